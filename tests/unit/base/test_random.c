#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/random.h"

static void test_bytes(void **state)
{
    (void)state;
    uint8_t one[32], two[32], guarded[34];
    random_bytes(one, sizeof one);
    random_bytes(two, sizeof two);
    assert_memory_not_equal(one, two, sizeof one);
    /* Every byte takes part, the ones around none. */
    unsigned changed[32] = {0};
    for (unsigned round = 0; round < 64; round++) {
        memset(guarded, 0x55, sizeof guarded);
        random_bytes(guarded + 1, 32);
        assert_int_equal(guarded[0], 0x55);
        assert_int_equal(guarded[33], 0x55);
        for (size_t i = 0; i < 32; i++)
            changed[i] |= guarded[i + 1] ^ 0x55u;
    }
    for (size_t i = 0; i < 32; i++)
        assert_int_equal(changed[i], 0xFF);
    random_bytes(NULL, 0);
}

static void test_child_has_others(void **state)
{
    (void)state;
    uint8_t own[16], others[16];
    int ends[2];
    random_bytes(own, 1); /* so that more of them are at hand */
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        random_bytes(others, sizeof others);
        _exit(write(ends[1], others, sizeof others) == sizeof others ? 0 : 1);
    }
    assert_true(child > 0);
    random_bytes(own, sizeof own);
    assert_int_equal(read(ends[0], others, sizeof others), sizeof others);
    assert_memory_not_equal(own, others, sizeof own);
    close(ends[0]);
    close(ends[1]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static volatile sig_atomic_t random_interrupts;

static void random_interrupt(int number)
{
    (void)number;
    random_interrupts++;
}

/* Signals arrive while the kernel is filling: they must not end the process. */
static void test_interrupted(void **state)
{
    (void)state;
    static uint8_t many[1 << 20];
    struct sigaction action = {.sa_handler = random_interrupt};
    struct itimerval timer = {{0, 100}, {0, 100}}, off = {{0, 0}, {0, 0}};
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &timer, NULL), 0);
    while (random_interrupts < 20)
        random_bytes(many, sizeof many);
    assert_int_equal(setitimer(ITIMER_REAL, &off, NULL), 0);
    signal(SIGALRM, SIG_DFL);
}

static void test_backoff(void **state)
{
    (void)state;
    static const struct {
        unsigned attempt;
        msec_t first;
        msec_t most;
        msec_t pause; /* before the dice: the result is of its upper half */
    } cases[] = {
        {0, 1000, 60000, 1000},
        {1, 1000, 60000, 2000},
        {5, 1000, 60000, 32000},
        {6, 1000, 60000, 60000},
        {7, 1000, 60000, 60000},
        {UINT32_MAX, 1000, 60000, 60000},
        {UINT32_MAX, 1, UINT32_MAX, UINT32_MAX},
        {0, 90000, 60000, 60000},
        {3, 1, 5, 5},
        {0, 1, 1, 1},
        {UINT32_MAX, 0, 60000, 0},
        {3, 1000, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (unsigned round = 0; round < 100; round++) {
            msec_t pause = random_backoff(cases[i].attempt, cases[i].first, cases[i].most);
            assert_in_range(pause, cases[i].pause - cases[i].pause / 2, cases[i].pause);
        }
}

static void test_backoff_spreads(void **state)
{
    (void)state;
    unsigned low = 0, high = 0;
    for (unsigned round = 0; round < 1000; round++) {
        msec_t pause = random_backoff(0, 1000, 1000);
        low += pause < 600;
        high += pause > 900;
    }
    assert_in_range(low, 50, 400);
    assert_in_range(high, 50, 400);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),           cmocka_unit_test(test_child_has_others),
        cmocka_unit_test(test_interrupted),     cmocka_unit_test(test_backoff),
        cmocka_unit_test(test_backoff_spreads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
