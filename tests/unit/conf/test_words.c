#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "conf/integer.h"
#include "conf/words.h"

struct words_case {
    const char *text;
    enum conf_words result;
    const char *words; /* a "|" behind each */
};

static const struct words_case words_cases[] = {
    {"pass show mail/x", CONF_WORDS_GOOD, "pass|show|mail/x|"},
    {"  a \t b\n", CONF_WORDS_GOOD, "a|b|"},
    {"a 'b c' \"d e\"", CONF_WORDS_GOOD, "a|b c|d e|"},
    {"a'b'\"c\"d", CONF_WORDS_GOOD, "abcd|"},
    {"a '' \"\"", CONF_WORDS_GOOD, "a|||"},
    {"a\\ b \\'c\\\\", CONF_WORDS_GOOD, "a b|'c\\|"},
    {"a \"\\\"\\\\\\$\\`\\n\"", CONF_WORDS_GOOD, "a|\"\\$`\\n|"},
    {"a '$HOME `x` \\' b", CONF_WORDS_GOOD, "a|$HOME `x` \\|b|"},
    {"a '|' \";\"", CONF_WORDS_GOOD, "a|||;|"},
    {"a ~/x *.c #y", CONF_WORDS_GOOD, "a|~/x|*.c|#y|"},
    {"caf\xC3\xA9 \xFF", CONF_WORDS_GOOD, "caf\xC3\xA9|\xFF|"},
    {"", CONF_WORDS_EMPTY, ""},
    {" \t ", CONF_WORDS_EMPTY, ""},
    {"'' a", CONF_WORDS_EMPTY, NULL},
    {"a 'b", CONF_WORDS_QUOTE, NULL},
    {"a \"b", CONF_WORDS_QUOTE, NULL},
    {"a \"b\\\"", CONF_WORDS_QUOTE, NULL},
    {"a \\", CONF_WORDS_QUOTE, NULL},
    {"a | b", CONF_WORDS_SHELL, NULL},
    {"a && b", CONF_WORDS_SHELL, NULL},
    {"a;", CONF_WORDS_SHELL, NULL},
    {"a <b", CONF_WORDS_SHELL, NULL},
    {"a >b", CONF_WORDS_SHELL, NULL},
    {"a $HOME", CONF_WORDS_SHELL, NULL},
    {"a `b`", CONF_WORDS_SHELL, NULL},
    {"a \"$HOME\"", CONF_WORDS_SHELL, NULL},
    {"a \"`b`\"", CONF_WORDS_SHELL, NULL},
};

static void test_words_split(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof words_cases / sizeof *words_cases; i++) {
        const struct words_case *c = &words_cases[i];
        struct buf out = {0};
        buf_add_str(&out, "before:");
        size_t before = out.len;
        enum conf_words result = conf_words_split(c->text, strlen(c->text), &out);
        if (result != c->result)
            fail_msg("%s: got %d, expected %d", c->text, result, c->result);
        for (size_t at = before; at < out.len; at++)
            if (!out.data[at])
                out.data[at] = '|';
        if (c->words)
            assert_string_equal(buf_cstr(&out) + before, c->words);
        buf_release(&out);
    }
}

/* Whatever the text is cut to, nothing beyond it is read: the copy ends where it ends. */
static void test_words_cut(void **state)
{
    (void)state;
    static const char text[] = "a\\ b 'c d' \"e \\\" f\" g$";
    for (size_t len = 0; len < sizeof text; len++) {
        struct buf exact = {0}, out = {0};
        buf_reserve_exact(&exact, len ? len : 1);
        buf_add(&exact, text, len);
        enum conf_words result = conf_words_split((const char *)exact.data, len, &out);
        assert_int_equal(result == CONF_WORDS_EMPTY, len == 0);
        buf_release(&exact);
        buf_release(&out);
    }
}

struct integer_case {
    const char *text;
    enum conf_integer result;
    uint64_t number;
};

static const struct integer_case integer_cases[] = {
    {"0", CONF_INTEGER_GOOD, 0},
    {"993", CONF_INTEGER_GOOD, 993},
    {"+993", CONF_INTEGER_GOOD, 993},
    {"-0", CONF_INTEGER_GOOD, 0},
    {"10_000", CONF_INTEGER_GOOD, 10000},
    {"1_0__0_", CONF_INTEGER_GOOD, 100},
    {"0x2710", CONF_INTEGER_GOOD, 10000},
    {"0xFf_fF", CONF_INTEGER_GOOD, 65535},
    {"0b1010_0111", CONF_INTEGER_GOOD, 167},
    {"0o17", CONF_INTEGER_GOOD, 15},
    {"18446744073709551615", CONF_INTEGER_GOOD, UINT64_MAX},
    {"18446744073709551616", CONF_INTEGER_BEYOND, 0},
    {"99999999999999999999999999999999", CONF_INTEGER_BEYOND, 0},
    {"-1", CONF_INTEGER_BEYOND, 0},
    {"0993", CONF_INTEGER_OCTAL, 0},
    {"010", CONF_INTEGER_OCTAL, 0},
    {"", CONF_INTEGER_NONE, 0},
    {"_1", CONF_INTEGER_NONE, 0},
    {"0x", CONF_INTEGER_NONE, 0},
    {"0x_1", CONF_INTEGER_NONE, 0},
    {"0b2", CONF_INTEGER_NONE, 0},
    {"-", CONF_INTEGER_NONE, 0},
    {"+-1", CONF_INTEGER_NONE, 0},
    {"1:30", CONF_INTEGER_NONE, 0},
    {"993.0", CONF_INTEGER_NONE, 0},
    {"1e3", CONF_INTEGER_NONE, 0},
    {" 1", CONF_INTEGER_NONE, 0},
    {"yes", CONF_INTEGER_NONE, 0},
};

static void test_integer_parse(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof integer_cases / sizeof *integer_cases; i++) {
        const struct integer_case *c = &integer_cases[i];
        uint64_t number = 77;
        enum conf_integer result = conf_integer_parse(c->text, strlen(c->text), &number);
        if (result != c->result)
            fail_msg("\"%s\": got %d, expected %d", c->text, result, c->result);
        assert_int_equal(number, result == CONF_INTEGER_GOOD ? c->number : 77);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words_split),
        cmocka_unit_test(test_words_cut),
        cmocka_unit_test(test_integer_parse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
