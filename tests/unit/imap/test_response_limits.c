/* What a hostile server may try: memory, time and nesting stay within limits. */
#include "heap.h"
#include "response_cases.h"

static const struct imap_limits small = {
    .text_max = 16,
    .depth_max = 3,
    .body_max = 8,
    .skip_max = 64,
    .numbers_max = 5,
};

#define BROKEN "error: the server broke the IMAP protocol: "
#define X16 "xxxxxxxxxxxxxxxx"

static void test_small_limits(void **state)
{
    (void)state;
    static const struct response_case rows[] = {
        /* texts are cut, responses with longer names skipped */
        {"* OK 0123456789abcdefghi\r\n* 1 EXISTS\r\n",
         "status OK text=<0123456789abcdef>\nexists 1\n"},
        {"* OK [UIDNEXT 4] 0123456789\r\n", "status OK [UIDNEXT] number=4 text=<0123>\n"},
        {"* OK [CAPABILITY IDLE MOVE]\r\n",
         "status OK [CAPABILITY] caps=IDLE text=<[CAPABILITY IDLE>\n"},
        {"+ 0123456789abcdefghi\r\n", "continue text=<0123456789abcdef>\n"},
        {"* LIST () \"/\" \"0123456789abcdef\"\r\n* LIST () \"/\" 0123456789abcdefg\r\n",
         "list attrs= delimiter=</> name=<0123456789abcdef>\nother text=<LIST>\n"},
        {"* LIST () \"/\" \"0123456789abcde\\x\"\r\n", "other text=<LIST>\n"},
        {"* LIST () \"/\" {17}\r\n0123456789abcdefg\r\n", "other text=<LIST>\n"},
        {"* FLAGS (\\Seen 0123456789abcdefg\\Seen \\Draft)\r\n", "flags flags=Seen,Draft\n"},
        /* nesting */
        {"* X ((()))\r\n* X (((\r\n* X ()()()()()\r\n",
         "other text=<X>\nother text=<X>\nother text=<X>\n"},
        {"* X ((((\r\n", BROKEN "more than 3 nested parentheses (in X)\n"},
        {"* 1 FETCH (X (((\r\n", BROKEN "more than 3 nested parentheses (in FETCH)\n"},
        {"* LIST ((((\r\n", BROKEN "more than 3 nested parentheses (in LIST)\n"},
        {"* ESEARCH ((((\r\n", BROKEN "more than 3 nested parentheses (in ESEARCH)\n"},
        {"* OK ((((\r\n", "status OK text=<((((>\n"},
        /* bodies */
        {"* 1 FETCH (BODY[] {8}\r\n01234567)\r\n", "body 8 <01234567>\nfetch 1 body\n"},
        {"* 1 FETCH (BODY[] {9}\r\n", BROKEN "a body of 9 bytes, where the most is 8 (in FETCH)\n"},
        {"* 1 FETCH (BODY[] \"01234567\")\r\n", "body 0 <01234567>\nfetch 1 body\n"},
        {"* 1 FETCH (BODY[] \"0123\\x56789\")\r\n",
         "body 0 <0123\\x56" BROKEN "a body of more than 8 bytes (in FETCH)\n"},
        {"* 1 FETCH (BODY[] \"0123456\\x\")\r\n",
         "body 0 <0123456\\" BROKEN "a body of more than 8 bytes (in FETCH)\n"},
        /* numbers */
        {"* SEARCH 1 2 3 4 5\r\n", "search 1 2 3 4 5\n"},
        {"* SEARCH 1 2 3 4 5 6\r\n", BROKEN "more than 5 numbers (in SEARCH)\n"},
        {"* ESEARCH ALL 1,3,5,7,9,11\r\n", BROKEN "more than 5 numbers (in ESEARCH)\n"},
        /* responses: 64 bytes and no more, numbers and bodies not counted */
        {"* OK " X16 X16 X16 "1234567890\n", "status OK text=<xxxxxxxxxxxxxxxx>\n"},
        {"* X " X16 X16 X16 "1234567890\r\n", "other text=<X>\n"},
        {"* X " X16 X16 X16 X16 "\r\n", BROKEN "a response of more than 64 bytes (in X)\n"},
        {"* X " X16 X16 X16 X16 X16, BROKEN "a response of more than 64 bytes (in X)\n"},
        {"* LIST () \"/\" \"" X16 X16 X16 X16,
         BROKEN "a response of more than 64 bytes (in LIST)\n"},
        {"* X {64}\r\n", BROKEN "a literal of 64 bytes in a response of at most 64 (in X)\n"},
        {"* X {40}\r\n", "unfinished\n"},
        {"* SEARCH 4000000001 4000000002 4000000003 4000000004 4000000005"
         "                                       \r\n",
         "search 4000000001 4000000002 4000000003 4000000004 4000000005\n"},
        {X16 X16 X16 X16 X16, BROKEN "a response of more than 64 bytes\n"},
        {"* 1 EXISTS" X16 X16 X16 X16, BROKEN "a response of more than 64 bytes (in 1)\n"},
    };
    cases_check_within(&small, rows, sizeof rows / sizeof *rows);
}

/* A huge literal is announced and does not come: nothing is allocated for it. */
static void test_announced_memory(void **state)
{
    (void)state;
    static const char *const announced[] = {
        "* 1 FETCH (BODY[] {4294967295}\r\nx", "* 1 FETCH (X {16000000}\r\nx",
        "* LIST () \"/\" {16000000}\r\nx",     "* 1 FETCH (INTERNALDATE {16000000}\r\nx",
        "* ID (\"x\" {16000000}\r\nx",
    };
    struct imap_parser *parsers[sizeof announced / sizeof *announced];
    size_t before = heap_used();
    for (size_t i = 0; i < sizeof announced / sizeof *announced; i++) {
        parsers[i] = imap_parser_new(&imap_limits_default);
        imap_parser_feed(parsers[i], (const uint8_t *)announced[i], strlen(announced[i]));
        const struct imap_response *response;
        while (imap_parser_next(parsers[i], &response, NULL) > 0)
            ;
        assert_int_equal(imap_parser_rest(parsers[i]), 0);
    }
    assert_true(heap_used() - before < 1024 * (sizeof announced / sizeof *announced));
    for (size_t i = 0; i < sizeof announced / sizeof *announced; i++)
        imap_parser_free(parsers[i]);
}

/* Feeds `text` `times` times; counts what comes, stops at an error. */
static int feed_times(struct imap_parser *parser, const char *text, size_t times, size_t *count)
{
    const struct imap_response *response;
    int result = 0;
    for (size_t i = 0; i < times && result == 0; i++) {
        imap_parser_feed(parser, (const uint8_t *)text, strlen(text));
        while ((result = imap_parser_next(parser, &response, NULL)) > 0)
            (*count)++;
    }
    return result;
}

/* However much has come, an idle parser has given it all back: ten thousand may be idle. */
static void test_idle_memory(void **state)
{
    (void)state;
    static const char *const rows[][3] = {
        {"* OK ", "text text text text text text text text", "\r\n"},
        {"* LIST () \"/\" \"", "name name name name name", "\"\r\n"},
        {"* SEARCH", " 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17", "\r\n"},
        {"* ESEARCH ALL 1", ",3,5,7,9,11,13,15,17,19,21,23,25,27", "\r\n"},
        {"* 1 FETCH (BODY[] {2600}\r\n", "a body body body body body", ")\r\n"},
    };
    enum {
        PARSERS = 1000
    };
    struct imap_parser *parsers[PARSERS];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t before = heap_used();
        for (size_t j = 0; j < PARSERS; j++) {
            size_t count = 0;
            parsers[j] = imap_parser_new(&imap_limits_default);
            assert_int_equal(feed_times(parsers[j], rows[i][0], 1, &count), 0);
            assert_int_equal(feed_times(parsers[j], rows[i][1], 100, &count), 0);
            assert_false(imap_parser_idle(parsers[j]));
            assert_int_equal(feed_times(parsers[j], rows[i][2], 1, &count), 0);
            assert_true(imap_parser_idle(parsers[j]));
            assert_true(count > 0);
        }
        assert_true(heap_used() - before < PARSERS * 1024);
        for (size_t j = 0; j < PARSERS; j++)
            imap_parser_free(parsers[j]);
    }
}

/* What a session may leave unfinished for ever, as in IDLE, takes little of thousands of them. */
static void test_unfinished_memory(void **state)
{
    (void)state;
    size_t before = heap_used(), count = 0;
    struct imap_parser *parser = imap_parser_new(&imap_limits_default);
    feed_times(parser, "* LIST () \"/\" \"", 1, &count);
    feed_times(parser, "name", 100000, &count);
    assert_int_equal(count, 0);
    assert_true(heap_used() - before < 40000);
    imap_parser_free(parser);
}

/* Long things in small pieces. Were any of them handled in more than linear time, these would
 * take minutes. */
static void test_linear(void **state)
{
    (void)state;
    static const struct imap_limits limits = {.text_max = 65536,
                                              .depth_max = 32,
                                              .body_max = UINT32_MAX,
                                              .skip_max = 1u << 20,
                                              .numbers_max = 512000};
    static const struct {
        const char *begin, *repeated;
        size_t times;
        const char *end;
        size_t events; /* with the end */
        int result;
    } rows[] = {
        /* tiny literals, digits, parentheses */
        {"* ID (", "{1}\r\n(", 100000, ")\r\n", 1, 0},
        {"* 1 FETCH (", "X {0}\r\n ", 100000, ")\r\n", 1, 0},
        {"* 1 FETCH (UID ", "7", 1000000, ")\r\n", 1, 0},
        {"* SEARCH ", "7", 1000000, "\r\n", 1, 0},
        {"* ", "7", 1000000, " EXISTS\r\n", 1, 0},
        {"* OK [UIDNEXT ", "7", 1000000, "]\r\n", 1, 0},
        {"* X ", "()", 100000, "\r\n", 1, 0},
        {"* X ", "(", 100000, "\r\n", 0, -1},
        {"* 1 FETCH (BODY[] \"", "\\\"", 100000, "\")\r\n", 100003, 0},
        /* a line that never ends, a response that doesn't */
        {"* OK ", "x", 1100000, "\r\n", 0, -1},
        {"A1 OK ", "x", 1100000, "\r\n", 0, -1},
        {"A", "1", 1100000, " OK x\r\n", 0, -1},
        {"+ ", "x", 1100000, "\r\n", 0, -1},
        {"* ", "x", 1100000, "\r\n", 0, -1},
        {"* LIST () \"/\" ", "x", 1100000, "\r\n", 0, -1},
        {"* 1 FETCH (BODY[", "x", 1100000, "\r\n", 0, -1},
        {"* 1 FETCH (", "FLAGS () ", 130000, ")\r\n", 0, -1},
        {"* LIST (", "\\Junk ", 200000, ") NIL x\r\n", 0, -1},
        {"* SEARCH ", "x ", 600000, "\r\n", 0, -1},
        /* numbers have a limit of their own */
        {"* SEARCH", " 4294967295", 512000, "\r\n", 2001, 0},
        {"* SEARCH", " 4294967295", 512001, "\r\n", 2000, -1},
        {"* ESEARCH ALL ", "1:7,", 512001, "\r\n", 2000, -1},
        /* responses without end are the business of whoever waits for one */
        {"", "* X\r\n", 300000, "", 300000, 0},
        {"", "\r\n", 600000, "", 0, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t before = heap_used(), count = 0;
        struct imap_parser *parser = imap_parser_new(&limits);
        int result = feed_times(parser, rows[i].begin, 1, &count);
        if (result == 0)
            result = feed_times(parser, rows[i].repeated, rows[i].times, &count);
        assert_true(heap_used() - before < 3 * limits.text_max);
        if (result == 0)
            result = feed_times(parser, rows[i].end, 1, &count);
        if (result != rows[i].result || count != rows[i].events)
            fail_msg("%s%s...: %d after %zu events", rows[i].begin, rows[i].repeated, result,
                     count);
        imap_parser_free(parser);
    }
}

/* The same at once, in one piece of input. */
static void test_linear_whole(void **state)
{
    (void)state;
    struct buf in = {0};
    buf_add_str(&in, "* 1 FETCH (");
    for (size_t i = 0; i < 100000; i++)
        buf_add_str(&in, "X {3}\r\n(((");
    buf_add_str(&in, " UID 5)\r\n* SEARCH ");
    for (size_t i = 0; i < 1000000; i++)
        buf_add_byte(&in, '9');
    buf_add_str(&in, " 8\r\n");
    struct response_case row = {buf_cstr(&in), "fetch 1 uid=5\nsearch 8\n"};
    case_check(&imap_limits_default, &row, in.len, 1);
    buf_release(&in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_limits), cmocka_unit_test(test_announced_memory),
        cmocka_unit_test(test_idle_memory),  cmocka_unit_test(test_linear),
        cmocka_unit_test(test_linear_whole), cmocka_unit_test(test_unfinished_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
