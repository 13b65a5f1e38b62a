#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "conf/pool.h"
#include "conf/table.h"

static void test_pool_pieces(void **state)
{
    (void)state;
    struct conf_pool pool = {0};
    char *texts[3000];
    for (int i = 0; i < 3000; i++) {
        char text[16];
        int len = snprintf(text, sizeof text, "%d", i);
        texts[i] = conf_pool_strndup(&pool, text, (size_t)len);
        uint64_t *number = conf_pool_alloc(&pool, sizeof *number);
        assert_int_equal((uintptr_t)number % sizeof(void *), 0);
        assert_int_equal(*number, 0);
        *number = UINT64_MAX;
    }
    for (int i = 0; i < 3000; i++) {
        char text[16];
        snprintf(text, sizeof text, "%d", i);
        assert_string_equal(texts[i], text);
    }
    char *large = conf_pool_alloc(&pool, 5 << 20);
    memset(large, 1, 5 << 20);
    assert_string_equal(conf_pool_strndup(&pool, NULL, 0), "");
    conf_pool_release(&pool);
}

static void test_pool_intern(void **state)
{
    (void)state;
    struct conf_pool pool = {0};
    char *one = conf_pool_intern(&pool, "mail.example", 12);
    assert_ptr_equal(conf_pool_intern(&pool, "mail.example.org", 12), one);
    assert_ptr_not_equal(conf_pool_intern(&pool, "mail.exampl", 11), one);
    assert_ptr_not_equal(conf_pool_strndup(&pool, "mail.example", 12), one);
    conf_pool_seal(&pool);
    assert_string_equal(one, "mail.example");
    conf_pool_release(&pool);
}

static void test_table_many(void **state)
{
    (void)state;
    struct conf_table table = {0};
    static char keys[5000][16];
    assert_null(conf_table_get(&table, "0", 1));
    for (int i = 0; i < 5000; i++) {
        snprintf(keys[i], sizeof keys[i], "%d", i);
        conf_table_put(&table, keys[i], strlen(keys[i]), keys[i]);
    }
    assert_int_equal(table.count, 5000);
    for (int i = 0; i < 5000; i++)
        assert_ptr_equal(conf_table_get(&table, keys[i], strlen(keys[i])), keys[i]);
    assert_null(conf_table_get(&table, "5000", 4));
    conf_table_put(&table, "17", 2, &table);
    assert_ptr_equal(conf_table_get(&table, "17", 2), &table);
    assert_int_equal(table.count, 5000);
    /* Keys may hold NULs. */
    conf_table_put(&table, "a\0b", 3, keys);
    assert_null(conf_table_get(&table, "a\0c", 3));
    assert_ptr_equal(conf_table_get(&table, "a\0b", 3), keys);
    conf_table_release(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pool_pieces),
        cmocka_unit_test(test_pool_intern),
        cmocka_unit_test(test_table_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
