/* News that come while there is work in hand: they wait neither for the broker's word about what
 * came before, nor for its marks. */
#include "stage.h"

#include <stdlib.h>
#include <string.h>

enum {
    SOON = SECOND
};

static struct stage stage;
static struct trap *begin(const char *caps)
{
    stage_init(&stage);
    stage.settings.continuous = true;
    struct trap *trap = stage_add_trap(&stage, "trap");
    trap->caps = caps;
    stage_start(&stage);
    stage_await_idling(&stage, SOON, 1);
    return trap;
}

static void test_while_the_broker_is_silent(void **state)
{
    (void)state;
    static const char *const bodies[] = {"first", "second", "third"};
    struct trap *trap = begin("IDLE UIDPLUS");
    stage.sink.holds = true;
    for (size_t i = 0; i < COUNT(bodies); i++) {
        trap_deliver(trap, "INBOX", bodies[i]);
        stage_await_offered(&stage, SOON, i + 1);
        stage_await_idling(&stage, SOON, 1);
        assert_int_equal(stage.sink.taken_count, 0);
    }
    assert_int_equal(trap_count(trap, "STORE"), 0);
    stage.sink.holds = false;
    fake_sink_let_go(&stage.sink);
    stage_await_taken(&stage, SOON, COUNT(bodies));
    stage_pass(&stage, 2 * SECOND);
    assert_int_equal(box_unseen(trap_box(trap, "INBOX")), 0);
    stage_assert_taken(&stage, bodies, COUNT(bodies));
    assert_int_equal(trap->connections, 1);
    stage_release(&stage);
}

/* A server that cries news is heard some times, not for ever; and nothing is lost by that. */
static void cry(struct trap_conn *conn)
{
    box_add(trap_box(conn->trap, "INBOX"), "seen already", "\\Seen");
}

static void test_a_server_that_cries_news(void **state)
{
    (void)state;
    static const char *const bodies[] = {"first", "last"};
    struct trap *trap = begin("IDLE UIDPLUS");
    stage.sink.holds = true;
    trap_fault(trap, (struct trap_fault){.on = "UID SEARCH", .act = TRAP_CALL, .call = cry});
    trap_deliver(trap, "INBOX", bodies[0]);
    stage_await_offered(&stage, SOON, 1);
    stage_pass(&stage, 2 * SECOND);
    assert_in_range(trap_count(trap, "UID SEARCH"), 1, 30);
    trap_mend(trap);
    trap_deliver(trap, "INBOX", bodies[1]);
    stage.sink.holds = false;
    fake_sink_let_go(&stage.sink);
    stage_await_taken(&stage, SOON, COUNT(bodies));
    stage_pass(&stage, 2 * SECOND);
    stage_assert_taken(&stage, bodies, COUNT(bodies));
    stage_release(&stage);
}

struct answer_case {
    const char *answer; /* to the search for the second mail */
    size_t mails;
};

/* The look for more is refused, or its result cut short: nothing is lost by that, or doubled. */
static void test_a_look_that_fails(void **state)
{
    (void)state;
    static const char *const bodies[] = {"first", "second", "third"};
    static const struct answer_case cases[] = {
        {"$ NO [INUSE] not now\r\n", 2},
        {"* SEARCH 2\r\n$ OK [MESSAGELIMIT 1 2] that is all\r\n", 3}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct trap *trap = begin("IDLE UIDPLUS");
        stage.sink.holds = true;
        trap_deliver(trap, "INBOX", bodies[0]);
        stage_await_offered(&stage, SOON, 1);
        stage_await_idling(&stage, SOON, 1);
        trap_fault(trap,
                   (struct trap_fault){
                       .on = "SEARCH", .act = TRAP_ANSWER, .times = 1, .text = cases[i].answer});
        for (size_t j = 1; j < cases[i].mails; j++) {
            trap_deliver(trap, "INBOX", bodies[j]);
            stage_pass(&stage, 10 * SECOND);
        }
        stage.sink.holds = false;
        fake_sink_let_go(&stage.sink);
        stage_await_taken(&stage, SOON, cases[i].mails);
        stage_pass(&stage, HOUR);
        stage_assert_taken(&stage, bodies, cases[i].mails);
        assert_int_equal(box_unseen(trap_box(trap, "INBOX")), 0);
        assert_int_equal(trap->connections, 1);
        stage_release(&stage);
    }
}

/* One is taken, the next waits for the broker for minutes: the first is marked meanwhile, and IDLE
 * is not broken for it again and again. */
static void test_marked_while_another_waits(void **state)
{
    (void)state;
    struct trap *trap = begin("IDLE UIDPLUS ESEARCH");
    stage.sink.slow = 10;
    stage_mail(&stage, trap, 2, 0);
    stage_await_taken(&stage, SOON, 1);
    stage.sink.slow = 10 * MINUTE;
    unsigned idles = trap_count(trap, "IDLE");
    stage_pass(&stage, 5 * MINUTE);
    assert_in_range(trap_count(trap, "IDLE") - idles, 0, 20);
    assert_int_equal(box_unseen(trap_box(trap, "INBOX")), 1);
    stage_await_taken(&stage, HOUR, 2);
    stage_pass(&stage, SECOND);
    stage_assert_mailed(&stage);
    stage_release(&stage);
}

/* The sink is lost while more is looked for, with mails that are flagged and wait for an EXPUNGE:
 * what is found is news, and not taken for what is \Deleted. */
static void test_the_sink_is_lost_while_more_is_looked_for(void **state)
{
    (void)state;
    enum {
        MAILS = 66
    };
    struct trap *trap = begin("IDLE");
    trap->account.after = COLLECT_AFTER_DELETE;
    stage_reload(&stage);
    stage_await_idling(&stage, MINUTE, 1);
    stage.sink.slow = 10;
    stage_mail(&stage, trap, MAILS, 0);
    stage_await_taken(&stage, MINUTE, MAILS - 1);
    stage.sink.slow = HOUR;
    stage_pass(&stage, 5 * SECOND);
    assert_true(trap_count(trap, "STORE") >= 1);
    trap_fault(trap, (struct trap_fault){.on = "SEARCH", .act = TRAP_CUT, .times = 1, .text = ""});
    stage_mail(&stage, trap, 1, 0);
    stage_pass(&stage, SECOND);
    fake_sink_lose(&stage.sink);
    stage_pass(&stage, SECOND);
    trap_go_on(trap);
    stage.sink.slow = 0;
    stage_pass(&stage, SECOND);
    fake_sink_return(&stage.sink);
    stage_await_taken(&stage, SOON, MAILS + 1);
    stage_pass(&stage, MINUTE);
    assert_int_equal(trap_box(trap, "INBOX")->count, 0);
    stage_release(&stage);
}

/* The first look is cut short by the server: what it found and is in hand is not found once more by
 * the look for what comes meanwhile. */
static void test_news_behind_a_limited_look(void **state)
{
    (void)state;
    stage_init(&stage);
    stage.settings.continuous = true;
    struct trap *trap = stage_add_trap(&stage, "trap");
    trap->caps = "IDLE UIDPLUS";
    stage.sink.holds = true;
    stage_mail(&stage, trap, 2, 0);
    trap_fault(
        trap, (struct trap_fault){.on = "SEARCH",
                                  .act = TRAP_ANSWER,
                                  .times = 1,
                                  .text = "* SEARCH 1 2\r\n$ OK [MESSAGELIMIT 2] that is all\r\n"});
    stage_start(&stage);
    stage_await_offered(&stage, SOON, 2);
    stage_await_idling(&stage, SOON, 1);
    stage_mail(&stage, trap, 1, 0);
    stage_pass(&stage, 10 * SECOND);
    fake_sink_let_go(&stage.sink);
    stage_pass(&stage, HOUR);
    stage_assert_mailed(&stage);
    assert_int_equal(stage.sink.offered, 3);
    stage_release(&stage);
}

enum {
    HEAP = 4000 /* mails that are found, none beside another */
};

/* The answer to a search, with UIDs from `first` on. */
static char *many(uint32_t first)
{
    struct buf text = {0};
    buf_add_str(&text, "* SEARCH");
    for (uint32_t i = 0; i < HEAP; i++)
        buf_printf(&text, " %u", (unsigned)(first + 2 * i));
    buf_add_str(&text, "\r\n$ OK\r\n");
    return (char *)text.data;
}

/* A server that finds ever more, and gives out none: what is to be fetched does not grow without
 * limit, as new mail comes behind the old anyway. */
static void test_a_server_that_finds_ever_more(void **state)
{
    (void)state;
    struct trap *trap = begin("IDLE UIDPLUS");
    unsigned before = trap_count(trap, "UID SEARCH");
    char *answers[] = {many(10), many(100010)};
    for (size_t i = 0; i < COUNT(answers); i++)
        trap_fault(trap,
                   (struct trap_fault){
                       .on = "UID SEARCH", .act = TRAP_ANSWER, .times = 1, .text = answers[i]});
    trap_fault(trap, (struct trap_fault){.on = "UID FETCH", .act = TRAP_ANSWER});
    trap_say(trap, "* 10000 EXISTS\r\n");
    stage_pass(&stage, SECOND);
    assert_int_equal(collector_report(stage.collector, 0)->found, HEAP);
    trap_say(trap, "* 20000 EXISTS\r\n");
    stage_pass(&stage, SECOND);
    assert_int_equal(collector_report(stage.collector, 0)->found, HEAP);
    assert_int_equal(trap_count(trap, "UID SEARCH"), before + 1);
    stage_release(&stage);
    for (size_t i = 0; i < COUNT(answers); i++)
        free(answers[i]);
}

/* The answer to a search: every second UID. */
static char *found(uint32_t count)
{
    struct buf text = {0};
    buf_add_str(&text, "* SEARCH");
    for (uint32_t i = 0; i < count; i++)
        buf_printf(&text, " %u", (unsigned)(1 + 2 * i));
    buf_add_str(&text, "\r\n$ OK\r\n");
    return (char *)text.data;
}

/* Servers that find more than a host's share of the memory is: one of them has it, others wait
 * until it is through, but for those that find less. */
static void test_more_found_than_there_is_memory_for(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint32_t count; /* 32768 fit in, of which a host has 26214 */
    } boxes[] = {{"large", 40000}, {"as large", 40000}, {"usual", 5000}, {"small", 0}};
    struct trap *traps[COUNT(boxes)];
    char *answers[COUNT(boxes)];
    stage_init(&stage);
    stage.settings.continuous = true;
    stage.settings.memory_budget = 4 << 20;
    for (size_t i = 0; i < COUNT(boxes); i++) {
        traps[i] = stage_add_trap(&stage, boxes[i].name);
        traps[i]->caps = "IDLE UIDPLUS";
        answers[i] = found(boxes[i].count);
        if (!boxes[i].count)
            continue;
        trap_fault(traps[i], (struct trap_fault){.on = "SELECT",
                                                 .act = TRAP_ANSWER,
                                                 .text = "* 50000 EXISTS\r\n"
                                                         "* OK [UIDVALIDITY 7] x\r\n$ OK\r\n"});
        trap_fault(traps[i],
                   (struct trap_fault){.on = "UID SEARCH", .act = TRAP_ANSWER, .text = answers[i]});
        trap_fault(traps[i], (struct trap_fault){.on = "UID FETCH", .act = TRAP_ANSWER});
    }
    stage_start(&stage);
    stage_pass(&stage, 10 * SECOND);
    /* Whoever was first. */
    assert_true(!trap_count(traps[0], "UID FETCH") != !trap_count(traps[1], "UID FETCH"));
    assert_true(trap_count(traps[2], "UID FETCH"));
    stage_mail(&stage, traps[3], 3, 0);
    stage_await_taken(&stage, MINUTE, 3);
    for (size_t i = 0; i < 3; i++) {
        trap_mend(traps[i]);
        stage_mail(&stage, traps[i], 3, 0);
    }
    stage_await_taken(&stage, HOUR, 12);
    stage_pass(&stage, MINUTE);
    stage_assert_mailed(&stage);
    stage_release(&stage);
    for (size_t i = 0; i < COUNT(boxes); i++)
        free(answers[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_while_the_broker_is_silent),
        cmocka_unit_test(test_a_server_that_cries_news),
        cmocka_unit_test(test_a_look_that_fails),
        cmocka_unit_test(test_marked_while_another_waits),
        cmocka_unit_test(test_the_sink_is_lost_while_more_is_looked_for),
        cmocka_unit_test(test_news_behind_a_limited_look),
        cmocka_unit_test(test_a_server_that_finds_ever_more),
        cmocka_unit_test(test_more_found_than_there_is_memory_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
