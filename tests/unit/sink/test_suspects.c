#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "sink/suspects.h"

static void test_company_shrinks(void **state)
{
    static const struct {
        size_t group;
        size_t limit;
    } losses[] = {{1000, 1000}, {1000, 125}, {125, 15}, {15, 1}, {1, 1}};
    struct suspects suspects = {0};

    (void)state;
    assert_int_equal(suspects_limit(&suspects, 7), SIZE_MAX);
    for (size_t i = 0; i < sizeof losses / sizeof *losses; i++) {
        suspects_lost(&suspects, 7, losses[i].group, 3);
        assert_int_equal(suspects_limit(&suspects, 7), losses[i].limit);
    }
    assert_int_equal(suspects_find(&suspects, 7)->losses, 5);
    assert_int_equal(suspects_find(&suspects, 7)->taken, 3);
    assert_int_equal(suspects_limit(&suspects, 8), SIZE_MAX);
    suspects_cleared(&suspects, 8);
    suspects_cleared(&suspects, 7);
    assert_int_equal(suspects_limit(&suspects, 7), SIZE_MAX);
    assert_null(suspects.slots);
}

static void test_a_shared_slot_keeps_the_worse(void **state)
{
    struct suspects suspects = {0};

    (void)state;
    suspects_lost(&suspects, 5, 10, 0);
    suspects_lost(&suspects, 5 + SUSPECTS_SLOTS, 10, 0);
    assert_null(suspects_find(&suspects, 5));
    suspects_lost(&suspects, 5 + SUSPECTS_SLOTS, 10, 0);
    suspects_lost(&suspects, 5, 10, 0);
    assert_int_equal(suspects_find(&suspects, 5 + SUSPECTS_SLOTS)->losses, 2);
    assert_null(suspects_find(&suspects, 5));
    assert_int_equal(suspects.count, 1);
    suspects_cleared(&suspects, 5);
    assert_int_equal(suspects.count, 1);
    suspects_release(&suspects);
}

static void test_prints_differ(void **state)
{
    static const size_t sizes[] = {1, 7, 8, 9, 1023, 1024, 1025, 2047, 2048, 2049, 5000};
    uint8_t data[5001] = {0};

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t len = sizes[i];
        uint64_t print = suspects_print(data, len);
        assert_true(suspects_print(data, len) == print);
        assert_true(suspects_print(data, len + 1) != print);
        data[0] = 1;
        assert_true(suspects_print(data, len) != print);
        data[0] = 0;
        data[len - 1] = 1;
        assert_true(suspects_print(data, len) != print);
        data[len - 1] = 0;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_company_shrinks),
        cmocka_unit_test(test_a_shared_slot_keeps_the_worse),
        cmocka_unit_test(test_prints_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
