#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"

static const struct {
    const char *bytes;
    size_t len;
    const char *ascii; /* text_escape() */
    const char *utf8;  /* text_escape_utf8(); NULL: the same */
} escapes[] = {
    {"", 0, "", NULL},
    {"INBOX ~!\"'", 10, "INBOX ~!\"'", NULL},
    {"a\\b", 3, "a\\\\b", NULL},
    {"\\x41", 4, "\\\\x41", NULL},
    {"a\0b", 3, "a\\x00b", NULL},
    {"\r\n\t\x1B[31m\x7F", 9, "\\x0d\\x0a\\x09\\x1b[31m\\x7f", NULL},
    {"Gel\xC3\xB6scht", 9, "Gel\\xc3\\xb6scht", "Gel\xC3\xB6scht"},
    {"\xE2\x82\xAC\xF0\x9F\x93\xA7", 7, "\\xe2\\x82\\xac\\xf0\\x9f\\x93\\xa7",
     "\xE2\x82\xAC\xF0\x9F\x93\xA7"},
    {"\xC2\xA0", 2, "\\xc2\\xa0", "\xC2\xA0"},              /* the first after C1 */
    {"\xC2\x9B", 2, "\\xc2\\x9b", NULL},                    /* C1: CSI */
    {"\xC2\x80", 2, "\\xc2\\x80", NULL},                    /* C1: the first */
    {"\xD8\x9C", 2, "\\xd8\\x9c", NULL},                    /* U+061C */
    {"\xE2\x80\x8E", 3, "\\xe2\\x80\\x8e", NULL},           /* U+200E */
    {"\xE2\x80\xA8", 3, "\\xe2\\x80\\xa8", NULL},           /* U+2028 */
    {"\xE2\x80\xAE", 3, "\\xe2\\x80\\xae", NULL},           /* U+202E */
    {"\xE2\x80\xAF", 3, "\\xe2\\x80\\xaf", "\xE2\x80\xAF"}, /* U+202F */
    {"\xE2\x81\xA6", 3, "\\xe2\\x81\\xa6", NULL},           /* U+2066 */
    {"\xE2\x81\xA9", 3, "\\xe2\\x81\\xa9", NULL},           /* U+2069 */
    {"\xFF\xFE", 2, "\\xff\\xfe", NULL},
    {"\xC3", 1, "\\xc3", NULL},
    {"\xC3(", 2, "\\xc3(", NULL},
    {"\xE2\x82", 2, "\\xe2\\x82", NULL},
    {"\xC0\xAF", 2, "\\xc0\\xaf", NULL},
    {"\xED\xA0\x80", 3, "\\xed\\xa0\\x80", NULL},
};

static const char *text_expected(size_t i, bool utf8)
{
    return utf8 && escapes[i].utf8 ? escapes[i].utf8 : escapes[i].ascii;
}

static char *text_escape_as(bool utf8, char *out, size_t cap, const char *bytes, size_t len)
{
    return utf8 ? text_escape_utf8(out, cap, bytes, len) : text_escape(out, cap, bytes, len);
}

static void test_escape(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof escapes / sizeof *escapes; i++)
        for (int utf8 = 0; utf8 < 2; utf8++) {
            char out[100];
            assert_ptr_equal(
                text_escape_as(utf8, out, sizeof out, escapes[i].bytes, escapes[i].len), out);
            assert_string_equal(out, text_expected(i, utf8));
        }
}

/* At every capacity: whole, or a whole piece's beginning and dots, always with its NUL. */
static void test_escape_every_capacity(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof escapes / sizeof *escapes; i++)
        for (int utf8 = 0; utf8 < 2; utf8++)
            for (size_t cap = 4; cap < 60; cap++) {
                const char *whole = text_expected(i, utf8);
                char *out = mem_alloc(cap);
                text_escape_as(utf8, out, cap, escapes[i].bytes, escapes[i].len);
                size_t len = strlen(out);
                if (cap > strlen(whole)) {
                    assert_string_equal(out, whole);
                } else {
                    assert_true(len >= 3 && len < cap);
                    assert_string_equal(out + len - 3, "...");
                    assert_memory_equal(out, whole, len - 3);
                    assert_true(!utf8 || text_is_utf8(out, len));
                }
                free(out);
            }
}

static void test_escape_uses_the_room(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t cap;
        const char *out;
    } cases[] = {
        {"abcdef", 7, "abcdef"}, {"abcdef", 6, "ab..."},     {"abcdef", 4, "..."},
        {"ab\ncd", 8, "ab..."},  {"ab\ncd", 9, "ab\\x0acd"}, {"\n\n", 8, "\\x0a..."},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char out[20];
        text_escape(out, cases[i].cap, cases[i].text, strlen(cases[i].text));
        assert_string_equal(out, cases[i].out);
    }
}

/* Every sequence of Unicode's Table 3-7 at its edges, and what is just outside. */
static void test_utf8_length(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        size_t expected;
    } cases[] = {
        {"", 0, 0},
        {"\0", 1, 1},
        {"\x7F", 1, 1},
        {"\x80", 1, 0},
        {"\xBF", 1, 0},
        {"\xC0\x80", 2, 0},
        {"\xC1\xBF", 2, 0},
        {"\xC2\x80", 2, 2},
        {"\xC2\x7F", 2, 0},
        {"\xC2\xC0", 2, 0},
        {"\xDF\xBF", 2, 2},
        {"\xE0\x9F\xBF", 3, 0},
        {"\xE0\xA0\x80", 3, 3},
        {"\xE1\x80\x80", 3, 3},
        {"\xEC\xBF\xBF", 3, 3},
        {"\xED\x9F\xBF", 3, 3},
        {"\xED\xA0\x80", 3, 0},
        {"\xEE\x80\x80", 3, 3},
        {"\xEF\xBF\xBF", 3, 3},
        {"\xEF\xBF\x7F", 3, 0},
        {"\xF0\x8F\xBF\xBF", 4, 0},
        {"\xF0\x90\x80\x80", 4, 4},
        {"\xF3\xBF\xBF\xBF", 4, 4},
        {"\xF3\xBF\x7F\xBF", 4, 0},
        {"\xF3\xBF\xBF\xC0", 4, 0},
        {"\xF4\x8F\xBF\xBF", 4, 4},
        {"\xF4\x90\x80\x80", 4, 0},
        {"\xF5\x80\x80\x80", 4, 0},
        {"\xFF\x80\x80\x80", 4, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t *exact = mem_alloc(cases[i].len);
        memcpy(exact, cases[i].bytes, cases[i].len);
        assert_int_equal(text_utf8_length(exact, cases[i].len), cases[i].expected);
        assert_int_equal(text_is_utf8(exact, cases[i].len),
                         !cases[i].len || cases[i].expected == cases[i].len);
        /* Cut anywhere it is none. */
        for (size_t len = 1; len < cases[i].expected; len++)
            assert_int_equal(text_utf8_length(exact, len), 0);
        free(exact);
    }
}

/* All code points, by encoding them. */
static void test_utf8_all(void **state)
{
    (void)state;
    static const uint8_t leads[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (uint32_t code = 0; code < 0x110000; code++) {
        uint8_t bytes[4];
        size_t size = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
        uint32_t rest = code;
        for (size_t i = size; i > 1; i--, rest >>= 6)
            bytes[i - 1] = (uint8_t)(0x80 | (rest & 0x3F));
        bytes[0] = (uint8_t)(leads[size] | rest);
        bool surrogate = code >= 0xD800 && code <= 0xDFFF;
        if (text_utf8_length(bytes, size) != (surrogate ? 0 : size))
            fail_msg("U+%04X", code);
        bool acts = code < 0x20 || (code >= 0x7F && code <= 0x9F) || code == 0x61C ||
                    code == 0x200E || code == 0x200F || (code >= 0x2028 && code <= 0x202E) ||
                    (code >= 0x2066 && code <= 0x2069);
        if (text_shown_length(bytes, size) != (surrogate || acts ? 0 : size))
            fail_msg("U+%04X", code);
    }
}

static void test_is_utf8(void **state)
{
    (void)state;
    assert_true(text_is_utf8(NULL, 0));
    assert_true(text_is_utf8("a\xC3\xB6\0\xF0\x9F\x93\xA7z", 9));
    assert_false(text_is_utf8("abc\xC3", 4));
    assert_false(text_is_utf8("\xC3\xB6\xB6", 3));
    assert_false(text_is_utf8("abc\xE9"
                              "def",
                              7));
}

static void test_nearest(void **state)
{
    (void)state;
    static const char *const keys[] = {"username", "password", "password_file", "host", "port",
                                       "tls",      "tls_ca",   "folders",       "idle", NULL};
    static const struct {
        const char *word;
        const char *nearest;
    } cases[] = {
        {"usernmae", "username"},
        {"pasword", "password"},
        {"password", "password"},
        {"passwordfile", "password_file"},
        {"hots", "host"},
        {"prot", "port"},
        {"Host", "host"},
        {"folder", "folders"},
        {"tsl", "tls"},
        {"tlsca", "tls_ca"},
        {"xyzzy", NULL},
        {"completely_different", NULL},
        {"", NULL},
        {"a_word_of_more_than_thirty-two_bytes", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *nearest = text_nearest(cases[i].word, keys);
        if (!nearest || !cases[i].nearest)
            assert_ptr_equal(nearest, cases[i].nearest);
        else
            assert_string_equal(nearest, cases[i].nearest);
    }
    assert_null(text_nearest("x", (const char *const[]){NULL}));
    /* Of two the nearer, whatever their order. */
    assert_string_equal(text_nearest("abcdef", (const char *const[]){"abcxyf", "abcdxf", NULL}),
                        "abcdxf");
    assert_string_equal(text_nearest("abcdef", (const char *const[]){"abcdxf", "abcxyf", NULL}),
                        "abcdxf");
}

static void test_strike(void **state)
{
    (void)state;
    static const struct {
        const char *text, *secret, *struck;
    } cases[] = {
        {"the token abc is wrong", "abc", "the token *** is wrong"},
        {"abcabcab", "abc", "******ab"},
        {"aaaa", "aaa", "***a"},
        {"abc", "abc", "***"},
        {"abc", "abcd", "abc"},
        {"abc", "", "abc"},
        {"", "abc", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[64];
        size_t len = strlen(cases[i].text);
        memcpy(text, cases[i].text, len + 1);
        text_strike(text, len, cases[i].secret, strlen(cases[i].secret));
        assert_string_equal(text, cases[i].struck);
    }
}

static void test_says_same(void **state)
{
    (void)state;
    char a[300], b[300];
    assert_true(text_says_same("", ""));
    assert_true(text_says_same("busy [mx1 2026-11-27 08:01:02]", "busy [mx22 2026-11-28 9:10:11]"));
    assert_true(text_says_same("12", ""));
    assert_false(text_says_same("busy", "busy now"));
    assert_false(text_says_same("busy 1 now", "busy 2 never"));
    memset(a, 'x', sizeof a);
    memset(b, 'x', sizeof b);
    a[299] = b[200] = '\0';
    assert_true(text_says_same(a, b));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_says_same),
        cmocka_unit_test(test_strike),
        cmocka_unit_test(test_escape),
        cmocka_unit_test(test_escape_every_capacity),
        cmocka_unit_test(test_escape_uses_the_room),
        cmocka_unit_test(test_utf8_length),
        cmocka_unit_test(test_utf8_all),
        cmocka_unit_test(test_is_utf8),
        cmocka_unit_test(test_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
