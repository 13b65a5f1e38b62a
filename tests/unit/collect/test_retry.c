/* When a connection that failed is tried again. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "collect/retry.h"

enum {
    SECOND = 1000,
    MINUTE = 60 * SECOND,
    HOUR = 60 * MINUTE,
};

static msec_t again(struct retry *retry, bool continuous, const struct retry_attempt *attempt)
{
    msec_t pause = 0;
    assert_true(retry_next(retry, continuous, attempt, &pause));
    return pause;
}

static void test_a_pass_gives_up(void **state)
{
    (void)state;
    const struct retry_attempt later = {.action = ERR_RETRY_LATER};
    const struct retry_attempt person = {.action = ERR_GIVE_UP};
    const struct retry_attempt moved = {.action = ERR_RETRY_LATER, .progressed = true};
    const struct retry_attempt short_hint = {.action = ERR_RETRY_LATER, .hint = 5 * SECOND};
    const struct retry_attempt long_hint = {.action = ERR_RETRY_LATER, .hint = 16 * SECOND};
    msec_t pause = 77;
    struct retry retry = {0};
    assert_in_range(again(&retry, false, &later), 500, SECOND);
    assert_in_range(again(&retry, false, &later), SECOND, 2 * SECOND);
    assert_false(retry_next(&retry, false, &later, &pause));
    assert_int_equal(pause, 77);

    retry = (struct retry){0};
    assert_false(retry_next(&retry, false, &person, &pause));
    retry = (struct retry){0};
    assert_false(retry_next(&retry, false, &long_hint, &pause));
    retry = (struct retry){0};
    /* With an eighth of it and half a second on top, at most. */
    assert_in_range(again(&retry, false, &short_hint), 5 * SECOND,
                    5 * SECOND + 5 * SECOND / 8 + SECOND / 2);

    retry = (struct retry){0};
    for (unsigned i = 1; i < 20; i++)
        assert_in_range(again(&retry, false, &moved), 500, SECOND);
    assert_false(retry_next(&retry, false, &moved, &pause));
}

static void test_continuous_never_does(void **state)
{
    (void)state;
    const struct retry_attempt later = {.action = ERR_RETRY_LATER};
    const struct retry_attempt person = {.action = ERR_GIVE_UP};
    const struct retry_attempt moved = {.action = ERR_RETRY_LATER, .progressed = true};
    const struct retry_attempt caught_up = {.action = ERR_RETRY_LATER, .caught_up = true};
    const struct retry_attempt limited = {.action = ERR_RETRY_LATER, .limited = true};
    const struct retry_attempt hint = {.action = ERR_RETRY_LATER, .hint = HOUR};
    struct retry retry = {0};
    msec_t longest = SECOND;
    for (unsigned i = 0; i < 100; i++) {
        assert_in_range(again(&retry, true, &later), longest / 2, longest);
        longest = longest * 2 > 15 * MINUTE ? 15 * MINUTE : longest * 2;
    }
    assert_in_range(again(&retry, true, &moved), 500, SECOND);
    for (unsigned i = 0; i < 10; i++)
        again(&retry, true, &caught_up);
    assert_in_range(again(&retry, true, &caught_up), MINUTE / 2, MINUTE);
    for (unsigned i = 0; i < 100; i++)
        assert_in_range(again(&retry, true, &person), HOUR / 2, HOUR);
    retry = (struct retry){0};
    assert_in_range(again(&retry, true, &limited), MINUTE, 2 * MINUTE);
    assert_in_range(again(&retry, true, &hint), HOUR, HOUR + 15 * MINUTE);

    /* A hint makes nothing come sooner. */
    struct retry_attempt small = {.action = ERR_GIVE_UP, .hint = 1};
    retry = (struct retry){0};
    assert_in_range(again(&retry, true, &small), HOUR / 2, HOUR);
    small = (struct retry_attempt){.action = ERR_RETRY_LATER, .limited = true, .hint = SECOND};
    assert_in_range(again(&retry, true, &small), MINUTE, 2 * MINUTE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_pass_gives_up),
        cmocka_unit_test(test_continuous_never_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
