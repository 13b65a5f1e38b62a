/* The process stands still for an hour (SIGSTOP, a virtual machine that pauses, a notebook that
 * sleeps): all that was to happen in it is due at once when it goes on. */
#include "stage.h"

enum {
    TRAPS = 10
};

static void run_asleep(bool dead)
{
    struct stage stage;
    stage_init(&stage);
    stage.settings.continuous = true;
    for (unsigned i = 0; i < TRAPS; i++) {
        static char labels[TRAPS][16];
        snprintf(labels[i], sizeof labels[i], "trap%u", i);
        struct trap *trap = stage_add_trap(&stage, labels[i]);
        trap->caps = "IDLE UIDPLUS ESEARCH";
        stage_mail(&stage, trap, 2, 100);
    }
    stage_start(&stage);
    stage_pass(&stage, MINUTE); /* marks come together, a little later */
    stage_assert_mailed(&stage);

    for (unsigned i = 0; i < TRAPS; i++) {
        if (dead)
            trap_freeze(stage.traps[i]);
        stage_mail(&stage, stage.traps[i], 3, 100);
    }
    net_loop_skip(stage.loop, HOUR);
    /* Asked for a sign of life at once, the dead are given up by its deadline. */
    stage_await_taken(&stage, dead ? 3 * MINUTE : 5 * SECOND, stage.mailed);
    stage_pass(&stage, MINUTE); /* marks come together, a little later */
    stage_assert_mailed(&stage);
    for (unsigned i = 0; i < TRAPS; i++)
        assert_int_equal(stage.traps[i]->connections, dead ? 2 : 1);
    assert_true(stage_logged(&stage, "warning") <= (dead ? TRAPS : 0));
    stage_release(&stage);
}

static void test_connections_that_live(void **state)
{
    (void)state;
    run_asleep(false);
}

static void test_connections_that_died(void **state)
{
    (void)state;
    run_asleep(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_connections_that_live),
        cmocka_unit_test(test_connections_that_died),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
