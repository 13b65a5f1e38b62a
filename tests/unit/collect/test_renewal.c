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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_renewals_share_their_moments),
        cmocka_unit_test(test_sweeps_come_with_renewals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
