#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"

enum {
    STAMP_LEN = 20 /* 2026-11-24T01:02:03Z */
};

static struct {
    char *text;
    size_t len;
    FILE *out;
} captured;

static void log_capture(enum log_level level, enum log_format format)
{
    captured.out = open_memstream(&captured.text, &captured.len);
    assert_non_null(captured.out);
    log_setup(level, format, captured.out);
}

/* Ends the capture; the caller frees what was written. */
static char *log_captured(void)
{
    fclose(captured.out);
    log_setup(LOG_LEVEL_INFO, LOG_FORMAT_TEXT, NULL);
    char *text = captured.text;
    captured.text = NULL;
    return text;
}

static void log_check_stamp(const char *stamp)
{
    static const char form[] = "0000-00-00T00:00:00Z";
    for (size_t i = 0; i < STAMP_LEN; i++)
        assert_true(form[i] == '0' ? isdigit((unsigned char)stamp[i]) : stamp[i] == form[i]);
}

static const struct log_scope account = {.account = "trap@mx", .folder = NULL};
static const struct log_scope folder = {.account = "trap@mx", .folder = "INBOX"};
static const struct log_scope folder_only = {.account = NULL, .folder = "INBOX"};
static const struct log_scope nothing = {.account = NULL, .folder = NULL};
static const struct log_scope hostile = {.account = "a\nb", .folder = "\"\\\x1B[0m"};

static const struct {
    const struct log_scope *scope;
    enum log_level level;
    const char *message;
    const char *text; /* behind the stamp */
    const char *json; /* behind the time */
} lines[] = {
    {NULL, LOG_LEVEL_INFO, "hello", " info    hello\n",
     ", \"level\": \"info\", \"message\": \"hello\"}\n"},
    {&nothing, LOG_LEVEL_ERROR, "hello", " error   hello\n",
     ", \"level\": \"error\", \"message\": \"hello\"}\n"},
    {&account, LOG_LEVEL_WARNING, "x", " warning trap@mx: x\n",
     ", \"level\": \"warning\", \"account\": \"trap@mx\", \"message\": \"x\"}\n"},
    {&folder, LOG_LEVEL_DEBUG, "x", " debug   trap@mx INBOX: x\n",
     ", \"level\": \"debug\", \"account\": \"trap@mx\", \"folder\": \"INBOX\", "
     "\"message\": \"x\"}\n"},
    {&folder_only, LOG_LEVEL_INFO, "x", " info    INBOX: x\n",
     ", \"level\": \"info\", \"folder\": \"INBOX\", \"message\": \"x\"}\n"},
    {NULL, LOG_LEVEL_INFO, "", " info    \n", ", \"level\": \"info\", \"message\": \"\"}\n"},
    {NULL, LOG_LEVEL_INFO, "1\r\n2\t\x7F\x1B", " info    1\\x0d\\x0a2\\x09\\x7f\\x1b\n",
     ", \"level\": \"info\", \"message\": \"1\\u000d\\u000a2\\u0009\\u007f\\u001b\"}\n"},
    {NULL, LOG_LEVEL_INFO, "\"q\" \\", " info    \"q\" \\\n",
     ", \"level\": \"info\", \"message\": \"\\\"q\\\" \\\\\"}\n"},
    {NULL, LOG_LEVEL_INFO, "\xC3\xB6 %s%n", " info    \xC3\xB6 %s%n\n",
     ", \"level\": \"info\", \"message\": \"\xC3\xB6 %s%n\"}\n"},
    {&hostile, LOG_LEVEL_INFO, "x", " info    a\\x0ab \"\\\\x1b[0m: x\n",
     ", \"level\": \"info\", \"account\": \"a\\u000ab\", \"folder\": \"\\\"\\\\\\u001b[0m\", "
     "\"message\": \"x\"}\n"},
};

static void test_text(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        log_capture(LOG_LEVEL_DEBUG, LOG_FORMAT_TEXT);
        log_write(lines[i].scope, lines[i].level, "%s", lines[i].message);
        char *text = log_captured();
        log_check_stamp(text);
        assert_string_equal(text + STAMP_LEN, lines[i].text);
        free(text);
    }
}

static void test_json(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        log_capture(LOG_LEVEL_DEBUG, LOG_FORMAT_JSON);
        log_write(lines[i].scope, lines[i].level, "%s", lines[i].message);
        char *text = log_captured();
        assert_memory_equal(text, "{\"time\": \"", 10);
        log_check_stamp(text + 10);
        assert_int_equal(text[10 + STAMP_LEN], '"');
        assert_string_equal(text + 10 + STAMP_LEN + 1, lines[i].json);
        free(text);
    }
}

static void test_bytes_that_are_no_text(void **state)
{
    (void)state;
    log_capture(LOG_LEVEL_INFO, LOG_FORMAT_JSON);
    log_info(NULL, "a\xFF\xC3z\xC2\x9B\xE2\x80\xAE");
    char *text = log_captured();
    assert_non_null(strstr(text, "\"a\xEF\xBF\xBD\xEF\xBF\xBDz\\u009b\\u202e\"}\n"));
    free(text);
    log_capture(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    log_info(NULL, "a\xFF\xC3z\xC2\x9B\xE2\x80\xAE!");
    text = log_captured();
    assert_string_equal(text + STAMP_LEN, " info    a\\xff\\xc3z\\xc2\\x9b\\xe2\\x80\\xae!\n");
    free(text);
}

static void test_levels(void **state)
{
    (void)state;
    for (int level = LOG_LEVEL_ERROR; level <= LOG_LEVEL_DEBUG; level++) {
        log_capture((enum log_level)level, LOG_FORMAT_TEXT);
        log_error(NULL, "E");
        log_warning(NULL, "W");
        log_info(NULL, "I");
        log_debug(NULL, "D");
        for (int other = LOG_LEVEL_ERROR; other <= LOG_LEVEL_DEBUG; other++)
            assert_int_equal(log_enabled((enum log_level)other), other <= level);
        char *text = log_captured();
        int count = 0;
        for (const char *at = text; *at; at++)
            count += *at == '\n';
        assert_int_equal(count, level + 1);
        free(text);
    }
}

static void test_names(void **state)
{
    (void)state;
    static const char *const levels[] = {"error", "warning", "info", "debug"};
    enum log_level level = LOG_LEVEL_DEBUG;
    enum log_format format = LOG_FORMAT_JSON;
    for (size_t i = 0; i < 4; i++) {
        assert_true(log_level_parse(levels[i], &level));
        assert_int_equal(level, i);
    }
    assert_false(log_level_parse("Info", &level));
    assert_false(log_level_parse("", &level));
    assert_int_equal(level, LOG_LEVEL_DEBUG);
    assert_true(log_format_parse("text", &format));
    assert_int_equal(format, LOG_FORMAT_TEXT);
    assert_true(log_format_parse("json", &format));
    assert_int_equal(format, LOG_FORMAT_JSON);
    assert_false(log_format_parse("xml", &format));
    assert_int_equal(format, LOG_FORMAT_JSON);
}

static void log_hook_before(void)
{
    fputs("<", captured.out);
}

static void log_hook_after(void)
{
    fputs(">", captured.out);
}

static void test_hooks(void **state)
{
    (void)state;
    log_capture(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    log_set_hooks(log_hook_before, log_hook_after);
    log_info(NULL, "x");
    log_debug(NULL, "unheard");
    log_set_hooks(NULL, NULL);
    log_info(NULL, "y");
    char *text = log_captured();
    assert_int_equal(text[0], '<');
    assert_string_equal(text + 1 + STAMP_LEN + strlen(" info    x\n>") + STAMP_LEN, " info    y\n");
    free(text);
}

static int log_count(const char *text, const char *words)
{
    int count = 0;
    while ((text = strstr(text, words))) {
        count++;
        text++;
    }
    return count;
}

/* All scopes of one share have it together. */
static void test_share(void **state)
{
    (void)state;
    struct log_share share = {0};
    const struct log_scope shares[] = {{.account = "trap@mx", .share = &share},
                                       {.account = "trap@mx", .folder = "INBOX", .share = &share}};
    log_capture(LOG_LEVEL_DEBUG, LOG_FORMAT_TEXT);
    for (int i = 0; i < LOG_SHARE_LINES; i++) {
        log_warning(&shares[i % 2], "W");
        log_info(&shares[1], "I");
        log_error(&shares[0], "E");
        log_debug(&shares[0], "D");
        log_warning(&folder, "other");
    }
    log_share_end(&shares[0]);
    log_share_end(&shares[0]);
    log_warning(&shares[1], "again");
    char *text = log_captured();
    assert_int_equal(log_count(text, ": W\n") + log_count(text, ": I\n"), LOG_SHARE_LINES);
    assert_int_equal(log_count(text, ": E\n"), LOG_SHARE_LINES);
    assert_int_equal(log_count(text, ": D\n"), LOG_SHARE_LINES);
    assert_int_equal(log_count(text, ": other\n"), LOG_SHARE_LINES);
    assert_int_equal(log_count(text, " warning trap@mx: 100 more lines about it were left out\n"),
                     1);
    assert_int_equal(log_count(text, "left out"), 1);
    assert_int_equal(log_count(text, ": again\n"), 1);
    free(text);
}

static void test_long_line(void **state)
{
    (void)state;
    char *message = mem_alloc(100001);
    memset(message, 'x', 100000);
    message[100000] = '\0';
    log_capture(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    log_info(NULL, "%s", message);
    char *text = log_captured();
    assert_int_equal(strlen(text), STAMP_LEN + strlen(" info    \n") + 100000);
    free(text);
    free(message);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_bytes_that_are_no_text),
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_hooks),
        cmocka_unit_test(test_share),
        cmocka_unit_test(test_long_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
