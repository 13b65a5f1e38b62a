#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "payload/json_text.h"
#include "payload/out.h"
#include "payload/specials.h"

#define FFFD "\xEF\xBF\xBD"

struct text_case {
    const char *name;
    const char *in;
    size_t in_len;
    const char *out;
    bool replaced;
};

#define CASE(name, in, out, replaced)                                                              \
    {                                                                                              \
        name, in, sizeof in - 1, out, replaced                                                     \
    }

static const struct text_case cases[] = {
    CASE("nothing", "", "", false),
    CASE("plain", "plain text, longer than a word~\x7f", "plain text, longer than a word~\x7f",
         false),
    CASE("line ends", "a\r\nb\rc\nd\r\r\n\n\r", "a\\r\\nb\\rc\\nd\\r\\r\\n\\n\\r", false),
    CASE("quotes", "\"a\\b\"/", "\\\"a\\\\b\\\"/", false),
    CASE("quotes further on", "1234567\"12345678\\1234", "1234567\\\"12345678\\\\1234", false),
    CASE("controls", "\0\x01\x07\b\t\n\x0b\f\r\x0e\x0f\x10\x19\x1a\x1f ",
         "\\u0000\\u0001\\u0007\\b\\t\\n\\u000b\\f\\r\\u000e\\u000f\\u0010\\u0019\\u001a\\u001f ",
         false),
    CASE("two bytes", "\xc2\x80\xdf\xbf", "\xc2\x80\xdf\xbf", false),
    CASE("three bytes", "\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf",
         "\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf", false),
    CASE("four bytes", "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf",
         false),
    CASE("a real U+FFFD", "a" FFFD "b", "a" FFFD "b", false),
    CASE("a lone continuation", "a\x80z", "a" FFFD "z", true),
    CASE("bytes that begin nothing", "\xc0\xaf\xc1\xf5\xff", FFFD FFFD FFFD FFFD FFFD, true),
    CASE("overlong, three bytes", "\xe0\x9f\xbf", FFFD FFFD FFFD, true),
    CASE("overlong, four bytes", "\xf0\x8f\xbf\xbf", FFFD FFFD FFFD FFFD, true),
    CASE("a surrogate", "\xed\xa0\x80", FFFD FFFD FFFD, true),
    CASE("beyond U+10FFFF", "\xf4\x90\x80\x80", FFFD FFFD FFFD FFFD, true),
    CASE("latin-1",
         "gr\xfc\xdf"
         "e",
         "gr" FFFD FFFD "e", true),
    CASE("cut at the end", "a\xe2\x82", "a" FFFD, true),
    CASE("cut at the end, four", "a\xf0\x9f\x93", "a" FFFD, true),
    CASE("cut by a letter", "\xf0\x9f\x93z", FFFD "z", true),
    CASE("cut by a good sequence", "\xe2\x82\xc3\xa4", FFFD "\xc3\xa4", true),
    CASE("cut by a quote", "\xe2\x82\"", FFFD "\\\"", true),
    /* Unicode 15, Tables 3-8 to 3-11 */
    CASE("Table 3-8", "\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41",
         FFFD FFFD FFFD FFFD FFFD FFFD FFFD FFFD "A", true),
    CASE("Table 3-9", "\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41",
         FFFD FFFD FFFD FFFD FFFD FFFD FFFD FFFD "A", true),
    CASE("Table 3-10", "\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42",
         FFFD FFFD FFFD FFFD FFFD "A" FFFD FFFD "B", true),
    CASE("Table 3-11", "\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41", FFFD FFFD FFFD FFFD "A", true),
};

static void add(struct payload_json_text *text, struct payload_out *out, const char *in, size_t len)
{
    /* A copy of its own size: reading beyond it is then seen. */
    uint8_t *copy = malloc(len ? len : 1);
    assert_non_null(copy);
    memcpy(copy, in, len);
    payload_json_text_add(text, out, copy, len);
    free(copy);
}

/* `first` bytes, `second` bytes, then byte by byte; `limit` under the size measures only. */
static void expect(const struct text_case *c, size_t first, size_t second, size_t limit)
{
    struct payload_out out = {0};
    struct payload_json_text text = {0};
    payload_out_reset(&out, limit, 0);
    add(&text, &out, c->in, first);
    add(&text, &out, c->in + first, second);
    for (size_t i = first + second; i < c->in_len; i++)
        add(&text, &out, c->in + i, 1);
    payload_json_text_end(&text, &out);
    assert_int_equal(out.size, strlen(c->out));
    assert_int_equal(text.replaced, c->replaced);
    if (limit >= strlen(c->out)) {
        assert_int_equal(out.kept.len, strlen(c->out));
        if (out.kept.len)
            assert_memory_equal(out.kept.data, c->out, out.kept.len);
    } else {
        assert_true(out.dropped);
    }
    payload_out_drop(&out);
}

static void test_table_at_every_split(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct text_case *c = &cases[i];
        print_message("  %s\n", c->name);
        for (size_t first = 0; first <= c->in_len; first++)
            for (size_t second = 0; first + second <= c->in_len; second++)
                expect(c, first, second, 1000);
        for (size_t limit = 0; limit <= strlen(c->out); limit++)
            expect(c, c->in_len, 0, limit);
    }
}

/* Each case with `before` plain bytes in front of it and `after` behind it, in one piece. */
static void expect_within(const struct text_case *c, size_t before, size_t after, size_t room)
{
    struct payload_out out = {0};
    struct payload_json_text text = {0};
    char in[6 * PAYLOAD_BLOCK], expected[6 * PAYLOAD_BLOCK];
    size_t out_len = strlen(c->out);
    assert_true(before + out_len + c->in_len + after <= sizeof in);
    memset(in, 'x', sizeof in);
    memset(expected, 'x', sizeof expected);
    memcpy(in + before, c->in, c->in_len);
    memcpy(expected + before, c->out, out_len);
    payload_out_reset(&out, 10000, room);
    add(&text, &out, in, before + c->in_len + after);
    payload_json_text_end(&text, &out);
    assert_int_equal(out.size, before + out_len + after);
    assert_int_equal(out.kept.len, out.size);
    if (out.kept.len)
        assert_memory_equal(out.kept.data, expected, out.kept.len);
    assert_int_equal(text.replaced, c->replaced);
    payload_out_drop(&out);
}

/* Wherever in a block something is special, and wherever the input or the memory ends. */
static void test_table_at_every_place_of_a_block(void **state)
{
    (void)state;
    static const size_t rooms[] = {0, 8 * PAYLOAD_BLOCK, 10000};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t before = 0; before <= 2 * PAYLOAD_BLOCK + 1; before++)
            for (size_t room = 0; room < sizeof rooms / sizeof *rooms; room++)
                for (size_t after = 1; after <= 2 * PAYLOAD_BLOCK + 1; after += 16)
                    expect_within(&cases[i], before, after, rooms[room]);
}

/* The most that a block can become, in exactly the memory that is needed, or a little more. */
static void test_nothing_but_escapes(void **state)
{
    (void)state;
    enum {
        LEN = 3 * PAYLOAD_BLOCK
    };
    char in[LEN] = {0};
    for (size_t len = 0; len <= LEN; len++)
        for (size_t more = 0; more <= 2 * PAYLOAD_BLOCK; more += 8) {
            struct payload_out out = {0};
            struct payload_json_text text = {0};
            payload_out_reset(&out, 6 * LEN + more, 6 * len + more);
            add(&text, &out, in, len);
            assert_int_equal(out.kept.len, 6 * len);
            for (size_t i = 0; i < len; i++)
                assert_memory_equal(out.kept.data + 6 * i, "\\u0000", 6);
            payload_out_drop(&out);
        }
}

static void test_unescape_gives_the_bytes_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct text_case *c = &cases[i];
        if (c->replaced)
            continue;
        for (size_t cap = 1; cap <= c->in_len + 1; cap++) {
            const uint8_t *text = (const uint8_t *)c->out;
            size_t len = strlen(c->out), got = 0;
            uint8_t bytes[64];
            for (size_t now; (now = payload_json_text_unescape(&text, &len, bytes + got, cap)) > 0;)
                got += now;
            assert_int_equal(len, 0);
            assert_int_equal(got, c->in_len);
            if (got)
                assert_memory_equal(bytes, c->in, got);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table_at_every_split),
        cmocka_unit_test(test_table_at_every_place_of_a_block),
        cmocka_unit_test(test_nothing_but_escapes),
        cmocka_unit_test(test_unescape_gives_the_bytes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
