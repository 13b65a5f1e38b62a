#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "base/buf.h"

static void test_empty(void **state)
{
    (void)state;
    struct buf buf = {0};
    buf_clear(&buf);
    buf_add(&buf, NULL, 0);
    buf_add_str(&buf, "");
    buf_drop_front(&buf, 0);
    buf_reserve(&buf, 0);
    assert_int_equal(buf.len, 0);
    assert_string_equal(buf_cstr(&buf), "");
    assert_int_equal(buf.len, 0);
    buf_release(&buf);
    assert_null(buf.data);
    buf_release(&buf);
}

static void test_adding(void **state)
{
    (void)state;
    struct buf buf = {0};
    buf_add(&buf, "a\0b", 3);
    buf_add_byte(&buf, 0xFF);
    buf_add_str(&buf, "str");
    buf_printf(&buf, "%d-%s", -5, "x");
    assert_int_equal(buf.len, 11);
    assert_memory_equal(buf.data, "a\0b\xFFstr-5-x", 11);
    buf_release(&buf);
    buf_add_str(&buf, "used again");
    assert_string_equal(buf_cstr(&buf), "used again");
    buf_release(&buf);
}

/* At every length around every growth, no byte is lost. */
static void test_growth(void **state)
{
    (void)state;
    struct buf buf = {0};
    for (size_t i = 0; i < 5000; i++) {
        buf_add_byte(&buf, (uint8_t)(i * 7));
        assert_true(buf.cap >= buf.len);
    }
    assert_int_equal(buf.len, 5000);
    for (size_t i = 0; i < 5000; i++)
        assert_int_equal(buf.data[i], (uint8_t)(i * 7));
    assert_true(buf.cap <= 2 * 5000 + 64);
    buf_release(&buf);
}

static void test_printf_every_length(void **state)
{
    (void)state;
    char text[301];
    for (size_t len = 0; len <= 300; len++) {
        struct buf buf = {0};
        memset(text, 'y', len);
        text[len] = '\0';
        buf_add_str(&buf, "<");
        buf_printf(&buf, "%s", text);
        buf_printf(&buf, "%s", "");
        buf_add_str(&buf, ">");
        assert_int_equal(buf.len, len + 2);
        assert_memory_equal(buf.data + 1, text, len);
        assert_int_equal(buf.data[len + 1], '>');
        buf_release(&buf);
    }
}

static void test_reserve(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 31, 32, 33, 1000, 100000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct buf buf = {0};
        buf_add_str(&buf, "abc");
        buf_reserve(&buf, sizes[i]);
        assert_true(buf.cap - buf.len >= sizes[i]);
        const uint8_t *data = buf.data;
        memset(buf.data + buf.len, 'z', sizes[i]);
        buf.len += sizes[i];
        assert_ptr_equal(buf.data, data);
        assert_memory_equal(buf.data, "abc", 3);
        buf_release(&buf);

        buf_reserve_exact(&buf, sizes[i]);
        assert_int_equal(buf.cap, sizes[i]);
        buf_reserve_exact(&buf, 0);
        buf_reserve_exact(&buf, sizes[i]);
        assert_int_equal(buf.cap, sizes[i]);
        buf_release(&buf);
    }
}

static void test_clear_keeps_memory(void **state)
{
    (void)state;
    struct buf buf = {0};
    buf_add_str(&buf, "some text that is long enough to have been allocated");
    const uint8_t *data = buf.data;
    size_t cap = buf.cap;
    buf_clear(&buf);
    buf_add_str(&buf, "x");
    assert_ptr_equal(buf.data, data);
    assert_int_equal(buf.cap, cap);
    assert_string_equal(buf_cstr(&buf), "x");
    buf_release(&buf);
}

static void test_drop_front(void **state)
{
    (void)state;
    static const char text[] = "0123456789";
    for (size_t drop = 0; drop <= 10; drop++) {
        struct buf buf = {0};
        buf_add_str(&buf, text);
        buf_drop_front(&buf, drop);
        assert_string_equal(buf_cstr(&buf), text + drop);
        buf_release(&buf);
    }
}

static void test_cstr_every_length(void **state)
{
    (void)state;
    struct buf buf = {0};
    for (size_t len = 0; len < 200; len++) {
        assert_int_equal(strlen(buf_cstr(&buf)), len);
        assert_int_equal(buf.len, len);
        buf_add_byte(&buf, 'x');
    }
    buf_release(&buf);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),      cmocka_unit_test(test_adding),
        cmocka_unit_test(test_growth),     cmocka_unit_test(test_printf_every_length),
        cmocka_unit_test(test_reserve),    cmocka_unit_test(test_clear_keeps_memory),
        cmocka_unit_test(test_drop_front), cmocka_unit_test(test_cstr_every_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
