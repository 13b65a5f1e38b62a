#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "imap/encode.h"

static void test_form(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t len;
        enum imap_string_form form;
    } cases[] = {
        {"", 0, IMAP_STRING_QUOTED},      {"INBOX", 5, IMAP_STRING_QUOTED},
        {" ~", 2, IMAP_STRING_QUOTED},    {"a\"b\\c{5}", 8, IMAP_STRING_QUOTED},
        {"a\rb", 3, IMAP_STRING_LITERAL}, {"a\nb", 3, IMAP_STRING_LITERAL},
        {"\r\n", 2, IMAP_STRING_LITERAL}, {"\t", 1, IMAP_STRING_LITERAL},
        {"\x7F", 1, IMAP_STRING_LITERAL}, {"\xC3\xA4", 2, IMAP_STRING_LITERAL},
        {"a\0b", 3, IMAP_STRING_INVALID}, {"\xFF\0", 2, IMAP_STRING_INVALID},
        {"\0", 1, IMAP_STRING_INVALID},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(imap_string_form(cases[i].text, cases[i].len), cases[i].form);

    char longer[1001];
    memset(longer, 'x', sizeof longer);
    assert_int_equal(imap_string_form(longer, 1000), IMAP_STRING_QUOTED);
    assert_int_equal(imap_string_form(longer, 1001), IMAP_STRING_LITERAL);
    longer[1000] = '\0';
    assert_int_equal(imap_string_form(longer, 1001), IMAP_STRING_INVALID);
}

static void test_quoted(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"", "\"\""},
        {"INBOX", "\"INBOX\""},
        {"a\"b", "\"a\\\"b\""},
        {"\\", "\"\\\\\""},
        {"\"} {5}\\\"", "\"\\\"} {5}\\\\\\\"\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf out = {0};
        buf_add_byte(&out, '>');
        imap_add_quoted(&out, cases[i][0], strlen(cases[i][0]));
        assert_string_equal(buf_cstr(&out) + 1, cases[i][1]);
        buf_release(&out);
    }
}

/* Pairs of UTF-8 and modified UTF-7, both ways. */
static void test_utf7(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"", ""},
        {"INBOX", "INBOX"},
        {"a ~!\"\\%*(){}", "a ~!\"\\%*(){}"},
        {"&", "&-"},
        {"&&", "&-&-"},
        {"A&B", "A&-B"},
        {"Entw\xC3\xBCrfe", "Entw&APw-rfe"},
        {"Gel\xC3\xB6schte Elemente", "Gel&APY-schte Elemente"},
        {"\xC3\xA4\xC3\xB6", "&AOQA9g-"},
        {"\xC3\xA4&", "&AOQ-&-"},
        {"\xC3\xA4-", "&AOQ--"},
        {"\xE6\x97\xA5\xE6\x9C\xAC\xE8\xAA\x9E", "&ZeVnLIqe-"},
        {"~peter/mail/\xE5\x8F\xB0\xE5\x8C\x97/\xE6\x97\xA5\xE6\x9C\xAC\xE8\xAA\x9E",
         "~peter/mail/&U,BTFw-/&ZeVnLIqe-"}, /* RFC 3501's own example */
        {"\xF0\x9F\x93\xA7", "&2D3c5w-"},    /* U+1F4E7: a surrogate pair */
        {"\xF0\x90\x80\x80", "&2ADcAA-"},
        {"\xF4\x8F\xBF\xBF", "&2,,f,w-"},
        {"\xEF\xBF\xBF", "&,,8-"},
        {"\t", "&AAk-"},
        {"a\r\nb", "a&AA0ACg-b"},
        {"\x7F", "&AH8-"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf out = {0};
        buf_add_byte(&out, '>');
        assert_true(imap_utf7_encode(&out, cases[i][0], strlen(cases[i][0])));
        assert_string_equal(buf_cstr(&out) + 1, cases[i][1]);
        buf_clear(&out);
        buf_add_byte(&out, '>');
        assert_true(imap_utf7_decode(&out, cases[i][1], strlen(cases[i][1])));
        assert_string_equal(buf_cstr(&out) + 1, cases[i][0]);
        buf_release(&out);
    }
}

/* Adds a code point that is no surrogate as UTF-8. */
static size_t test_utf8(char *out, uint32_t c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    static const uint8_t lead[] = {0, 0xC0, 0xE0, 0xF0};
    out[0] = (char)(lead[more] | c >> 6 * more);
    for (size_t i = 1; i <= more; i++)
        out[i] = (char)(0x80 | (c >> 6 * (more - i) & 0x3F));
    return more + 1;
}

static void test_utf7_every_char(void **state)
{
    (void)state;
    struct buf utf7 = {0}, back = {0};
    for (uint32_t c = 1; c <= 0x10FFFF; c += c < 0x3000 ? 1 : 61) {
        if (c >= 0xD800 && c <= 0xDFFF)
            continue;
        char text[16] = "a";
        size_t len = 1 + test_utf8(text + 1, c);
        len += test_utf8(text + len, c); /* twice: the second begins at another bit */
        text[len++] = 'z';
        buf_clear(&utf7);
        buf_clear(&back);
        assert_true(imap_utf7_encode(&utf7, text, len));
        for (size_t i = 0; i < utf7.len; i++)
            assert_true(utf7.data[i] >= 0x20 && utf7.data[i] < 0x7F);
        assert_true(imap_utf7_decode(&back, (char *)utf7.data, utf7.len));
        assert_int_equal(back.len, len);
        assert_memory_equal(back.data, text, len);
    }
    buf_release(&utf7);
    buf_release(&back);
}

static void test_utf7_malformed(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "&",               /* no end */
        "a&AOQ",           /* no end */
        "&AOQ-&",          /* no end of the second */
        "Entw\xC3\xBCrfe", /* 8-bit */
        "a\tb",            /* control characters */
        "a\x7F",
        "&A-",    /* half a unit */
        "&AO-",   /* 12 bits */
        "&AOQA-", /* one unit and a digit too many */
        "&AOR-",  /* padding that is not zero */
        "&AOQ=-", /* not its alphabet */
        "&AOQ/-",
        "&AO Q-",
        "&\xC3\xA4-",
        "&AEE-",      /* "A" stands for itself */
        "&ACY-",      /* so does "&", as "&-" */
        "&AOQ-&APY-", /* one run in two */
        "&2D0-",      /* half a surrogate pair */
        "&2D0AQQ-",   /* first half, then something else */
        "&3Oc-",      /* second half alone */
        "&2D3YPQ-",   /* two first halves */
        "&3OfYPQ-",   /* the wrong way round */
        "&AAA-",      /* NUL */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf out = {0};
        buf_add_str(&out, "before");
        if (imap_utf7_decode(&out, cases[i], strlen(cases[i])))
            fail_msg("%s was taken as well-formed", cases[i]);
        assert_string_equal(buf_cstr(&out), "before");
        buf_release(&out);
    }
}

static void test_utf7_refuses(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t len;
    } cases[] = {
        {"\xFF", 1}, {"a\xC3", 2}, {"\xED\xA0\x80", 3}, {"\xC0\x80", 2}, {"\xF4\x90\x80\x80", 4},
        {"a\0b", 3},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf out = {0};
        buf_add_str(&out, "before");
        assert_false(imap_utf7_encode(&out, cases[i].text, cases[i].len));
        assert_string_equal(buf_cstr(&out), "before");
        buf_release(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_form),           cmocka_unit_test(test_quoted),
        cmocka_unit_test(test_utf7),           cmocka_unit_test(test_utf7_every_char),
        cmocka_unit_test(test_utf7_malformed), cmocka_unit_test(test_utf7_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
