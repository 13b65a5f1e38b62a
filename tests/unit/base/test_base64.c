#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "base/base64.h"

/* RFC 4648 section 10, and all bits set. */
static const struct {
    const char *data;
    const char *text;
} test_pairs[] = {
    {"", ""},
    {"f", "Zg=="},
    {"fo", "Zm8="},
    {"foo", "Zm9v"},
    {"foob", "Zm9vYg=="},
    {"fooba", "Zm9vYmE="},
    {"foobar", "Zm9vYmFy"},
    {"\xff\xff\xff", "////"},
    {"\xfb\xef\xbe", "++++"},
};

static void test_both_ways(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof test_pairs / sizeof *test_pairs; i++) {
        struct buf out = {0};
        buf_add_byte(&out, '>');
        base64_encode(&out, test_pairs[i].data, strlen(test_pairs[i].data));
        assert_string_equal(buf_cstr(&out) + 1, test_pairs[i].text);
        buf_clear(&out);
        buf_add_byte(&out, '>');
        assert_true(base64_decode(&out, test_pairs[i].text, strlen(test_pairs[i].text)));
        assert_string_equal(buf_cstr(&out) + 1, test_pairs[i].data);
        buf_release(&out);
    }
}

static void test_every_byte(void **state)
{
    (void)state;
    uint8_t bytes[256];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)i;
    for (size_t len = 0; len <= sizeof bytes; len++) {
        struct buf text = {0}, back = {0};
        base64_encode(&text, bytes, len);
        assert_int_equal(text.len, (len + 2) / 3 * 4);
        assert_true(base64_decode(&back, (char *)text.data, text.len));
        assert_int_equal(back.len, len);
        assert_true(len == 0 || memcmp(back.data, bytes, len) == 0);
        buf_release(&text);
        buf_release(&back);
    }
}

static void test_malformed(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "Zg=",  "Zg",   "Z",    "====", "Z===", "=Zg=",    "Zg==Zg==", "Zm9v\r\n",
        "Zm 9", "Zh==", "Zm9=", "Zm-_", "Zm9*", "Zm9vZm9", "go ahead", "Zm\xffv",
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf out = {0};
        buf_add_str(&out, "before");
        assert_false(base64_decode(&out, cases[i], strlen(cases[i])));
        assert_string_equal(buf_cstr(&out), "before");
        buf_release(&out);
    }
    struct buf out = {0};
    assert_false(base64_decode(&out, "AA\0A", 4));
    buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_ways),
        cmocka_unit_test(test_every_byte),
        cmocka_unit_test(test_malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
