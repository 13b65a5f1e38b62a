/* What can wait for others does: that costs less. */
#include "stage.h"

#include "collect/watch_impl.h"

static void test_renewals_share_their_moments(void **state)
{
    (void)state;
    for (msec_t now = 1; now < MINUTE; now += 7) {
        msec_t at = watch_due(now, 5 * MINUTE);
        assert_int_equal(at % SECOND, 0);
        assert_in_range(at, now + 5 * MINUTE * 7 / 8 - SECOND, now + 5 * MINUTE);
        assert_in_range(watch_due(now, 2 * SECOND), now + 2 * SECOND * 7 / 8, now + 2 * SECOND);
    }
}

/* A sweep is done with the renewal before it, not by itself: what is told is told within the
 * quarter of an hour, and IDLE is broken no more often for it. */
static void test_sweeps_come_with_renewals(void **state)
{
    (void)state;
    struct stage stage;
    stage_init(&stage);
    stage.settings.continuous = true;
    struct trap *trap = stage_add_trap(&stage, "trap");
    stage_start(&stage);
    stage_await_idling(&stage, MINUTE, 1);
    trap_deliver(trap, "INBOX", "hello"); /* from now on it is known to tell */
    stage_await_taken(&stage, MINUTE, 1);
    stage_pass(&stage, HOUR);
    unsigned idles = trap_count(trap, "IDLE"), sweeps = trap_count(trap, "SEARCH");
    stage_pass(&stage, 2 * HOUR);
    idles = trap_count(trap, "IDLE") - idles;
    sweeps = trap_count(trap, "SEARCH") - sweeps;
    /* A quarter of an hour, less an eighth of it, less a renewal at most. */
    assert_in_range(sweeps, 8, 15);
    assert_in_range(idles, 2 * HOUR / (5 * MINUTE), 2 * HOUR / (5 * MINUTE * 7 / 8) + 1);
    stage_release(&stage);
}

/* A mailbox that has been in IDLE for a while, of a server that was seen to tell of mail there. */
static struct trap *start_told(struct stage *stage, const char *label)
{
    stage_init(stage);
    stage->settings.continuous = true;
    struct trap *trap = stage_add_trap(stage, label);
    stage_start(stage);
    stage_await_idling(stage, MINUTE, 1);
    trap_deliver(trap, "INBOX", "hello");
    stage_await_taken(stage, MINUTE, 1);
    stage_pass(stage, 20 * MINUTE);
    assert_int_equal(trap->connections, 1);
    return trap;
}

static void deliver_second(struct trap_conn *conn)
{
    trap_deliver(conn->trap, "INBOX", "second");
}

struct renewal_case {
    const char *name;
    struct trap_fault fault; /* at the next renewal */
    bool comes_by_itself;
};

static const struct renewal_case renewal_cases[] = {
    {.name = "nothing happens"},
    {.name = "mail comes with DONE",
     .fault = {.on = "DONE", .act = TRAP_CALL, .times = 1, .call = deliver_second},
     .comes_by_itself = true},
    {.name = "mail comes between IDLE's end and the next",
     .fault = {.on = "IDLE", .act = TRAP_CALL, .times = 1, .call = deliver_second},
     .comes_by_itself = true},
    {.name = "mail comes with the next +",
     .fault = {.on = "IDLE", .act = TRAP_CALL, .times = 1, .call = deliver_second, .late = true},
     .comes_by_itself = true},
    {.name = "IDLE's end is refused",
     .fault = {.on = "DONE", .act = TRAP_AFTER, .text = "", .times = 1}},
    {.name = "the next is refused",
     .fault = {.on = "IDLE", .act = TRAP_ANSWER, .text = "$ NO not now\r\n", .times = 1}},
};

/* The next IDLE goes out with DONE. Whatever the server makes of it, the next mail is delivered as
 * it comes, or by polling where IDLE was refused, and the connection stays. */
static void test_renewed_in_one_piece(void **state)
{
    (void)state;
    static const char *const bodies[] = {"hello", "second", "third"};
    for (size_t i = 0; i < sizeof renewal_cases / sizeof *renewal_cases; i++) {
        const struct renewal_case *c = &renewal_cases[i];
        struct stage stage;
        struct trap *trap = start_told(&stage, c->name);
        if (c->fault.on)
            trap_fault(trap, c->fault);
        unsigned idles = trap_count(trap, "IDLE");
        stage_pass(&stage, 6 * MINUTE);
        if (trap_count(trap, "IDLE") == idles)
            stage_fail(&stage, "IDLE was not renewed");
        if (!c->comes_by_itself)
            trap_deliver(trap, "INBOX", "second");
        stage_await_taken(&stage, 65 * SECOND, 2);
        stage_pass(&stage, HOUR);
        trap_deliver(trap, "INBOX", "third");
        stage_await_taken(&stage, 65 * SECOND, 3);
        stage_assert_taken(&stage, bodies, 3);
        if (trap->connections != 1)
            stage_fail(&stage, "the connection did not stay");
        stage_release(&stage);
    }
}

/* A server that loses what came behind DONE costs one connection. Then IDLE is ended by itself. */
static void test_server_that_loses_the_next(void **state)
{
    (void)state;
    struct stage stage;
    struct trap *trap = start_told(&stage, "hasty");
    trap->hasty = true;
    stage_pass(&stage, HOUR);
    assert_int_equal(trap->unread, 1);
    assert_int_equal(trap->connections, 2);
    unsigned idles = trap_count(trap, "IDLE");
    stage_pass(&stage, HOUR);
    assert_true(trap_count(trap, "IDLE") >= idles + 12);
    assert_int_equal(trap->unread, 1);
    assert_int_equal(trap->connections, 2);
    trap_deliver(trap, "INBOX", "second");
    stage_await_taken(&stage, SECOND, 2);
    stage_release(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_renewals_share_their_moments),
        cmocka_unit_test(test_sweeps_come_with_renewals),
        cmocka_unit_test(test_renewed_in_one_piece),
        cmocka_unit_test(test_server_that_loses_the_next),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
