/* The sink is away, slow, or another one: servers notice nothing of it but that no mail is asked
 * for, nothing is lost, doubled or called overlooked, and all goes on by itself. */
#include "stage.h"

#include <string.h>

enum {
    SOON = SECOND,
};

static struct stage stage;
static struct trap *begin(const char *caps, size_t mails, size_t size)
{
    stage_init(&stage);
    stage.settings.continuous = true;
    struct trap *trap = stage_add_trap(&stage, "trap");
    trap->caps = caps;
    stage_mail(&stage, trap, mails, size);
    return trap;
}

/* All are taken and marked, over so many connections, without a warning but `warnings`. */
static void end(msec_t within, unsigned connections, unsigned warnings)
{
    stage_await_taken(&stage, within, stage.mailed);
    stage_pass(&stage, HOUR);
    stage_assert_mailed(&stage);
    assert_int_equal(stage.traps[0]->connections, connections);
    if (stage_logged(&stage, "warning") != warnings || stage_logged(&stage, "overlooked"))
        stage_fail(&stage, "the log tells another story");
    stage_release(&stage);
}

/* --- away --------------------------------------------------------------------------------------
 */

static void test_away_at_the_start(void **state)
{
    (void)state;
    begin("IDLE UIDPLUS ESEARCH", 3, 0);
    stage.sink.down = true;
    stage_start(&stage);
    stage_pass(&stage, HOUR);
    assert_int_equal(stage.traps[0]->connections, 0);
    fake_sink_return(&stage.sink);
    end(SOON, 1, 0);
}

/* Connections stay in IDLE, and are renewed; no body is asked for. */
static void test_away_while_idle(void **state)
{
    (void)state;
    struct trap *trap = begin("IDLE UIDPLUS ESEARCH", 3, 0);
    stage_start(&stage);
    stage_await_taken(&stage, SOON, 3);
    stage_pass(&stage, MINUTE);
    fake_sink_lose(&stage.sink);
    stage_settle(&stage);
    unsigned asked = trap_count(trap, "BODY.PEEK");
    for (int i = 0; i < 10; i++) {
        stage_mail(&stage, trap, 1, 0);
        stage_pass(&stage, 20 * MINUTE);
        assert_int_equal(trap_idling(trap), 1);
    }
    assert_int_equal(trap_count(trap, "BODY.PEEK"), asked);
    assert_int_equal(trap->connections, 1);
    assert_int_equal(stage.sink.offered, 3);
    fake_sink_return(&stage.sink);
    end(SOON, 1, 1);
}

static void lose_sink(struct trap_conn *conn)
{
    (void)conn;
    fake_sink_lose(&stage.sink);
}

static void test_away_when_bodies_come(void **state)
{
    (void)state;
    struct trap *trap = begin("IDLE UIDPLUS ESEARCH", 20, 5000);
    trap_fault(trap, (struct trap_fault){
                         .on = "BODY.PEEK", .act = TRAP_CALL, .times = 1, .call = lose_sink});
    stage_start(&stage);
    stage_pass(&stage, 30 * MINUTE);
    assert_int_equal(stage.sink.taken_count, 0);
    assert_int_equal(trap_idling(trap), 1);
    fake_sink_return(&stage.sink);
    end(SOON, 1, 1);
}

/* It goes in the middle of the third of five. */
static struct trap *begin_in_mid_body(void)
{
    struct trap *trap = begin("IDLE UIDPLUS ESEARCH", 5, 5000);
    trap_fault(trap, (struct trap_fault){
                         .on = "BODY.PEEK", .act = TRAP_CUT, .text = "..)\r\n* 4", .times = 1});
    stage_start(&stage);
    stage_await_taken(&stage, SOON, 2);
    fake_sink_lose(&stage.sink);
    return trap;
}

/* What is there of it is dropped, and so is its rest. */
static void test_away_in_mid_body(void **state)
{
    (void)state;
    struct trap *trap = begin_in_mid_body();
    stage_pass(&stage, MINUTE);
    assert_int_equal(stage.sink.taken_count, 2);
    trap_go_on(trap);
    stage_pass(&stage, 30 * MINUTE);
    assert_int_equal(stage.sink.taken_count, 2);
    assert_int_equal(trap_idling(trap), 1);
    fake_sink_return(&stage.sink);
    end(SOON, 1, 1);
}

/* Away and back before the rest of a body comes: that rest belongs to nothing. */
static void test_away_and_back_in_mid_body(void **state)
{
    (void)state;
    struct trap *trap = begin_in_mid_body();
    stage_settle(&stage);
    fake_sink_return(&stage.sink);
    stage_settle(&stage);
    trap_go_on(trap);
    end(SOON, 1, 1);
}

/* What is with it comes back, and is fetched again once it is there. */
static void test_away_with_mails(void **state)
{
    (void)state;
    struct trap *trap = begin("IDLE UIDPLUS ESEARCH", 10, 0);
    stage.sink.holds = true;
    stage_start(&stage);
    stage_await_offered(&stage, MINUTE, 10);
    stage_pass(&stage, 10 * MINUTE);
    fake_sink_lose(&stage.sink);
    stage_pass(&stage, 10 * MINUTE);
    assert_int_equal(trap_idling(trap), 1);
    stage.sink.holds = false;
    fake_sink_return(&stage.sink);
    end(SOON, 1, 1);
}

/* The connection ends while mails are with a sink that then is lost, too: they come back to a
 * folder that nobody has open, and are found anew. Nobody had overlooked them. */
static void test_away_with_mails_of_a_lost_connection(void **state)
{
    (void)state;
    struct trap *trap = begin("IDLE UIDPLUS ESEARCH", 10, 0);
    stage.sink.holds = true;
    stage_start(&stage);
    stage_await_offered(&stage, MINUTE, 10);
    stage_pass(&stage, 2 * MINUTE);
    trap_cut_off(trap, true);
    stage_pass(&stage, MINUTE);
    fake_sink_lose(&stage.sink);
    stage_pass(&stage, MINUTE);
    stage.sink.holds = false;
    fake_sink_return(&stage.sink);
    end(MINUTE, 2, 2);
}

/* --- slow --------------------------------------------------------------------------------------
 */

enum {
    SLOW_MAILS = 400,
    SLOW_SIZE = 20000,
    SLOW_BUDGET = 1 << 20,
};

static struct trap *begin_slow(void)
{
    struct trap *trap = begin("IDLE UIDPLUS ESEARCH", SLOW_MAILS, SLOW_SIZE);
    stage.sink.sink.max_payload = 100000;
    stage.settings.memory_budget = SLOW_BUDGET;
    return trap;
}

/* It takes nothing for half an hour: of eight megabytes no more than the budget is in memory, what
 * remains stays with the server, and nobody takes the connection for dead. */
static void test_stuck(void **state)
{
    (void)state;
    struct trap *trap = begin_slow();
    stage.sink.holds = true;
    stage_start(&stage);
    stage_pass(&stage, SECOND);
    size_t offered = stage.sink.offered;
    stage_pass(&stage, 30 * MINUTE);
    assert_int_equal(stage.sink.taken_count, 0);
    assert_int_equal(stage.sink.offered, offered);
    assert_in_range(stage.sink.bytes_most, SLOW_SIZE, SLOW_BUDGET);
    assert_in_range(trap_count(trap, "BODY.PEEK"), 1, 4); /* what was asked for is not read */
    fake_sink_let_go(&stage.sink);
    end(MINUTE, 1, 0);
}

/* A mail a second: reading pauses and goes on, hundreds of times. */
static void test_slow(void **state)
{
    (void)state;
    begin_slow();
    stage.sink.slow = SECOND;
    stage_start(&stage);
    stage_pass(&stage, SLOW_MAILS / 2 * SECOND);
    assert_in_range(stage.sink.taken_count, SLOW_MAILS / 2 - 2, SLOW_MAILS / 2 + 2);
    stage_await_taken(&stage, (SLOW_MAILS / 2 + 2) * SECOND, SLOW_MAILS);
    assert_in_range(stage.sink.bytes_most, SLOW_SIZE, SLOW_BUDGET);
    end(0, 1, 0);
}

/* --- another -----------------------------------------------------------------------------------
 */

/* The first has taken `taken` of 20, and holds others or not; the second takes the rest, when it is
 * there. `cut`: the third one is on its way. */
static void run_exchange(bool cut, bool away, size_t taken)
{
    static struct fake_sink other;
    struct trap *trap = begin("IDLE UIDPLUS ESEARCH", 20, 5000);
    fake_sink_init(&other, stage.loop);
    stage.sink.slow = SECOND;
    other.down = away;
    if (cut)
        trap_fault(trap, (struct trap_fault){
                             .on = "BODY.PEEK", .act = TRAP_CUT, .text = "..)\r\n* 4", .times = 1});
    stage_start(&stage);
    stage_await_taken(&stage, MINUTE, taken);
    collector_set_sink(stage.collector, &other.sink, PAYLOAD_RAW);
    assert_true(stage.sink.freed);
    stage_settle(&stage);
    if (cut)
        trap_go_on(trap);
    stage_mail(&stage, trap, 1, 0);
    stage_pass(&stage, MINUTE);
    assert_int_equal(other.taken_count > 0, !away);
    fake_sink_return(&other);
    stage_pass(&stage, MINUTE);
    assert_int_equal(stage.sink.taken_count, taken);
    /* Nothing twice: they are told apart by their numbers. */
    for (size_t i = 0; i < other.taken_count; i++)
        assert_int_equal(fake_sink_taken(&stage.sink, other.taken[i]), 0);
    assert_int_equal(stage.sink.taken_count + other.taken_count, stage.mailed);
    assert_int_equal(box_unseen(trap_box(trap, "INBOX")), 0);
    assert_int_equal(trap->connections, 1);
    assert_int_equal(stage_logged(&stage, "warning"), 0);
    collector_free(stage.collector);
    stage.collector = NULL;
    fake_sink_release(&other);
    stage_release(&stage);
}

static void test_another(void **state)
{
    (void)state;
    static const size_t taken[] = {1, 7, 19, 20};
    for (size_t i = 0; i < COUNT(taken); i++)
        for (int away = 0; away < 2; away++)
            run_exchange(false, away, taken[i]);
    run_exchange(true, false, 1);
    run_exchange(true, true, 1);
}

/* Whoever has the mails confirms them in the moment that there is for it at the end. */
static void test_another_at_the_end(void **state)
{
    (void)state;
    static struct fake_sink other;
    begin("IDLE UIDPLUS ESEARCH", 5, 100);
    fake_sink_init(&other, stage.loop);
    stage.sink.slow = SECOND;
    stage_start(&stage);
    stage_await_offered(&stage, MINUTE, 5);
    collector_stop(stage.collector);
    collector_set_sink(stage.collector, &other.sink, PAYLOAD_RAW);
    assert_true(other.freed);
    stage_await_finished(&stage, MINUTE);
    assert_true(stage.sink.taken_count > 0);
    /* A next run does not send them again. */
    stage.sink.slow = 0;
    stage_start(&stage);
    stage_pass(&stage, MINUTE);
    stage_assert_mailed(&stage);
    fake_sink_release(&other);
    stage_release(&stage);
}

/* A mail that is held for a limit is tried again when another sink has a higher one. */
static void test_another_that_takes_more(void **state)
{
    (void)state;
    static struct fake_sink other;
    begin("IDLE UIDPLUS ESEARCH", 1, 2000);
    fake_sink_init(&other, stage.loop);
    stage.sink.sink.max_payload = 1000;
    stage_start(&stage);
    stage_pass(&stage, 2 * HOUR);
    assert_int_equal(stage.sink.offered, 0);
    assert_int_equal(stage_logged(&stage, "held, left untouched"), 1);
    collector_set_sink(stage.collector, &other.sink, PAYLOAD_RAW);
    stage_pass(&stage, 20 * MINUTE);
    assert_int_equal(other.taken_count, 1);
    assert_int_equal(box_unseen(trap_box(stage.traps[0], "INBOX")), 0);
    collector_free(stage.collector);
    stage.collector = NULL;
    fake_sink_release(&other);
    stage_release(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_away_at_the_start),
        cmocka_unit_test(test_away_while_idle),
        cmocka_unit_test(test_away_when_bodies_come),
        cmocka_unit_test(test_away_in_mid_body),
        cmocka_unit_test(test_away_and_back_in_mid_body),
        cmocka_unit_test(test_away_with_mails),
        cmocka_unit_test(test_away_with_mails_of_a_lost_connection),
        cmocka_unit_test(test_stuck),
        cmocka_unit_test(test_slow),
        cmocka_unit_test(test_another),
        cmocka_unit_test(test_another_at_the_end),
        cmocka_unit_test(test_another_that_takes_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
