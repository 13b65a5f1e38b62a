/* Mails that a server does not give out as it should. */
#include "stage.h"

#include <stdio.h>
#include <string.h>

enum {
    ROUNDS = 20 /* more than are remembered */
};

/* What the server does when the mail of this UID is asked for. */
static struct trap_fault broken_fetch(uint32_t uid)
{
    static char on[ROUNDS][60], text[ROUNDS][90];
    static unsigned used;
    unsigned i = used++ % ROUNDS;
    snprintf(on[i], sizeof on[i], "UID FETCH %u (UID FLAGS BODY.PEEK", uid);
    snprintf(text[i], sizeof text[i], "* %u FETCH (UID %u BODY[] {4294967296}\r\n", uid, uid);
    return (struct trap_fault){.on = on[i], .act = TRAP_ANSWER, .text = text[i]};
}

static uint64_t held;

static bool is_held(struct stage *stage)
{
    return collector_report(stage->collector, 0)->held == held;
}

/* Over each the server breaks the protocol, and with it the connection: each is held at its first
 * time, and what comes behind it is taken. */
static void test_one_after_the_other(void **state)
{
    (void)state;
    struct stage stage;
    stage_init(&stage);
    struct trap *trap = stage_add_trap(&stage, "trap");
    trap->account.idle = true;
    trap->account.idle_refresh = 9 * MINUTE;
    trap->account.poll_interval = MINUTE;
    stage.settings.continuous = true;
    stage_start(&stage);
    stage_await_idling(&stage, MINUTE, 1);
    for (uint32_t i = 0; i < ROUNDS; i++) {
        held = i + 1;
        trap_fault(trap, broken_fetch(2 * i + 1));
        assert_int_equal(trap_deliver(trap, "INBOX", "broken"), 2 * i + 1);
        stage_await(&stage, MINUTE, is_held);
        stage_await_idling(&stage, MINUTE, 1);
        trap_deliver(trap, "INBOX", "good");
        stage_await_taken(&stage, MINUTE, i + 1);
        stage_pass(&stage, 10 * SECOND); /* it is marked, too */
    }
    assert_int_equal(collector_report(stage.collector, 0)->held, ROUNDS);
    assert_int_equal(stage_logged(&stage, "held, left untouched"), ROUNDS);
    stage_release(&stage);
}

/* One that the server will not give out is tried once a day, and told of once. */
static void test_refused(void **state)
{
    (void)state;
    struct stage stage;
    stage_init(&stage);
    struct trap *trap = stage_add_trap(&stage, "trap");
    stage.settings.continuous = true;
    trap_fault(trap, (struct trap_fault){
                         .on = "BODY.PEEK", .act = TRAP_ANSWER, .text = "$ NO it is broken\r\n"});
    stage_mail(&stage, trap, 1, 0);
    stage_start(&stage);
    stage_pass(&stage, 5 * 24 * HOUR);
    assert_int_equal(collector_report(stage.collector, 0)->held, 1);
    assert_int_equal(stage_logged(&stage, "held, left untouched"), 1);
    assert_int_equal(stage_logged(&stage, "warning"), 1);
    assert_in_range(trap_count(trap, "BODY.PEEK"), 4, 20);
    trap_mend(trap);
    stage_await_taken(&stage, 25 * HOUR, 1);
    stage_pass(&stage, MINUTE);
    stage_assert_mailed(&stage);
    stage_release(&stage);
}

/* A server that says OK, and for a moment gives out nothing: the mail was not expunged, and the
 * next sweep finds it. */
static void test_left_out(void **state)
{
    (void)state;
    struct stage stage;
    stage_init(&stage);
    struct trap *trap = stage_add_trap(&stage, "trap");
    stage.settings.continuous = true;
    trap->caps = "IDLE UIDPLUS ESEARCH";
    trap_fault(trap,
               (struct trap_fault){
                   .on = "BODY.PEEK", .act = TRAP_ANSWER, .times = 2, .text = "$ OK done\r\n"});
    stage_mail(&stage, trap, 1, 0);
    stage_start(&stage);
    stage_await_taken(&stage, 20 * MINUTE, 1);
    stage_pass(&stage, MINUTE);
    stage_assert_mailed(&stage);
    stage_release(&stage);
}

static void expunge_first(struct trap_conn *conn)
{
    trap_expunge(conn->trap, "INBOX", 1);
}

/* Somebody else flags a mail and expunges it while it is asked for: of the flags the server tells,
 * which is no answer. There is nothing to be held. */
static void test_flags_of_what_goes(void **state)
{
    (void)state;
    struct stage stage;
    stage_init(&stage);
    struct trap *trap = stage_add_trap(&stage, "trap");
    stage.settings.continuous = true;
    trap_fault(trap,
               (struct trap_fault){
                   .on = "BODY.PEEK", .act = TRAP_ANSWER, .times = 1, .text = "$ OK done\r\n"});
    trap_fault(trap,
               (struct trap_fault){.on = "BODY.PEEK",
                                   .act = TRAP_ANSWER,
                                   .times = 1,
                                   .call = expunge_first,
                                   .text = "* 1 FETCH (UID 1 FLAGS (\\Deleted))\r\n$ OK done\r\n"});
    trap_deliver(trap, "INBOX", "gone");
    stage_mail(&stage, trap, 1, 0);
    stage_start(&stage);
    stage_pass(&stage, HOUR);
    stage_assert_mailed(&stage);
    assert_int_equal(collector_report(stage.collector, 0)->held, 0);
    assert_int_equal(stage_logged(&stage, "warning"), 0);
    stage_release(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_after_the_other),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_left_out),
        cmocka_unit_test(test_flags_of_what_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
