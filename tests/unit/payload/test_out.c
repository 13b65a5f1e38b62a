#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "payload/out.h"

static void test_keeps_up_to_the_limit(void **state)
{
    (void)state;
    for (uint64_t expected = 0; expected < 14; expected++) {
        struct payload_out out = {0};
        payload_out_reset(&out, 10, expected);
        assert_true(out.kept.cap <= 10);
        payload_out_add(&out, "abcd", 4);
        payload_out_add(&out, "ef", 2);
        payload_out_add(&out, NULL, 0);
        payload_out_add(&out, "ghij", 4);
        assert_int_equal(out.kept.len, 10);
        assert_memory_equal(out.kept.data, "abcdefghij", 10);
        assert_int_equal(out.kept.cap, 10);
        assert_false(out.dropped);
        assert_int_equal(payload_out_room(&out), 0);
        payload_out_add(&out, "k", 1);
        assert_true(out.dropped);
        assert_int_equal(out.kept.cap, 0);
        assert_int_equal(payload_out_room(&out), 0);
        payload_out_add(&out, "lmn", 3);
        assert_int_equal(out.size, 14);
        payload_out_drop(&out);
    }
}

/* One realloc for each doubling, not for each byte; and the last ends at the limit. */
static void test_growth(void **state)
{
    (void)state;
    struct payload_out out = {0};
    payload_out_reset(&out, 100000, 100);
    size_t cap = out.kept.cap, grown = 0;
    for (size_t i = 0; i < 100000; i++) {
        payload_out_add(&out, "x", 1);
        grown += out.kept.cap != cap;
        cap = out.kept.cap;
        assert_true(cap >= out.kept.len && cap <= 100000);
    }
    assert_true(grown <= 11);
    payload_out_drop(&out);
}

static void test_written_in_place(void **state)
{
    (void)state;
    struct payload_out out = {0};
    payload_out_reset(&out, 100, 10);
    payload_out_add(&out, "ab", 2);
    assert_int_equal(payload_out_room(&out), 8);
    memcpy(payload_out_end(&out), "cdefghij", 8);
    payload_out_advance(&out, 3);
    payload_out_add(&out, "xy", 2);
    assert_int_equal(out.size, 7);
    assert_int_equal(out.kept.len, 7);
    assert_memory_equal(out.kept.data, "abcdexy", 7);
    payload_out_drop(&out);
}

static void test_reset_keeps_again(void **state)
{
    (void)state;
    struct payload_out out = {0};
    payload_out_reset(&out, 1, 1);
    payload_out_add(&out, "too much", 8);
    assert_true(out.dropped);
    payload_out_reset(&out, 8, UINT64_MAX);
    assert_int_equal(out.size, 0);
    payload_out_add(&out, "as much", 7);
    assert_memory_equal(out.kept.data, "as much", 7);
    payload_out_drop(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keeps_up_to_the_limit),
        cmocka_unit_test(test_growth),
        cmocka_unit_test(test_written_in_place),
        cmocka_unit_test(test_reset_keeps_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
