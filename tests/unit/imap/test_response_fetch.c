/* FETCH: bodies that stream, items in any order, and what is not asked for skipped. */
#include "response_cases.h"

static void test_bodies(void **state)
{
    (void)state;
    static const struct response_case rows[] = {
        {"* 12 FETCH (UID 7 FLAGS (\\Seen $x) INTERNALDATE \"17-Jul-1996 02:44:25 -0700\" "
         "RFC822.SIZE 44827 BODY[] {11}\r\nFrom: x\r\n\r\n)\r\n",
         "body 11 <From: x\\x0d\\x0a\\x0d\\x0a>\nfetch 12 uid=7 flags=Seen size=44827 "
         "date=<17-Jul-1996 02:44:25 -0700> body\n"},
        {"* 1 FETCH (BODY[] {3}\r\nabc UID 9)\r\n", "body 3 <abc>\nfetch 1 uid=9 body\n"},
        {"* 1 FETCH (BODY[] {3}\r\n)\r\n UID 9)\r\n* 1 EXISTS\r\n",
         "body 3 <)\\x0d\\x0a>\nfetch 1 uid=9 body\nexists 1\n"},
        {"* 1 FETCH (UID 9 BODY[] {0}\r\n)\r\n", "body 0 <>\nfetch 1 uid=9 body\n"},
        {"* 1 FETCH (UID 9 BODY[] ~{5}\r\na\x80\xff(\n)\r\n",
         "body 5 <a\\x80\\xff(\\x0a>\nfetch 1 uid=9 body\n"},
        {"* 1 FETCH (UID 9 BODY[] {5}\r\n\1a\1b\1)\r\n",
         "body 5 <\\x00a\\x00b\\x00>\nfetch 1 uid=9 body\n"},
        {"* 1 FETCH (UID 9 BODY[] {3+}\r\nabc)\r\n", "body 3 <abc>\nfetch 1 uid=9 body\n"},
        {"* 1 FETCH (UID 9 BODY[] {003}\nabc)\n", "body 3 <abc>\nfetch 1 uid=9 body\n"},
        {"* 1 FETCH (UID 9 BODY[] {3} \r\nabc)\r\n", "body 3 <abc>\nfetch 1 uid=9 body\n"},
        {"* 1 FETCH (UID 9 BODY[] {3}\r\nabc", "body 3 <abc>\nunfinished\n"},
        {"* 1 FETCH (UID 9 BODY[] {3}\r\nab", "body 3 <abunfinished\n"},
        /* Without the blank it is a body all the same, and its content no response. */
        {"* 1 FETCH (UID 9 BODY[]{10}\r\n* 2 EXISTS)\r\n",
         "body 10 <* 2 EXISTS>\nfetch 1 uid=9 body\n"},
        {"* 1 FETCH (X{10}\r\n* 2 EXISTS UID 9)\r\n", "fetch 1 uid=9\n"},
        {"* 1 FETCH (X y{10}\r\n* 2 EXISTS UID 9)\r\n", "fetch 1 uid=9\n"},
        {"* 1 FETCH (BODY[]\"UID 7\" UID 9)\r\n", "body 0 <UID 7>\nfetch 1 uid=9 body\n"},
    };
    CASES_CHECK(rows);
}

static void test_quoted_bodies(void **state)
{
    (void)state;
    static const struct response_case rows[] = {
        {"* 1 FETCH (UID 9 BODY[] \"a b\")\r\n", "body 0 <a b>\nfetch 1 uid=9 body\n"},
        {"* 1 FETCH (UID 9 BODY[] \"\")\r\n", "body 0 <>\nfetch 1 uid=9 body\n"},
        {"* 1 FETCH (UID 9 BODY[] \"\\\"a\\\\\\\"\")\r\n",
         "body 0 <\"a\\\">\nfetch 1 uid=9 body\n"},
        {"* 1 FETCH (UID 9 BODY[] \"c:\\dir\\\\\")\r\n",
         "body 0 <c:\\dir\\>\nfetch 1 uid=9 body\n"},
        {"* 1 FETCH (UID 9 BODY[] \"\1\r)\xff\")\r\n",
         "body 0 <\\x00\\x0d)\\xff>\nfetch 1 uid=9 body\n"},
        {"* 1 FETCH (UID 9 BODY[] \"torn\r\n* OK \")\r\n",
         "body 0 <torn\\x0derror: the server broke the IMAP protocol: a line end within a quoted "
         "body (in FETCH)\n"},
    };
    CASES_CHECK(rows);
}

static void test_body_names(void **state)
{
    (void)state;
    static const struct response_case rows[] = {
        {"* 1 FETCH (RFC822 {1}\r\na)\r\n", "body 1 <a>\nfetch 1 body\n"},
        {"* 1 fetch (body[] {1}\r\na uid 4)\r\n", "body 1 <a>\nfetch 1 uid=4 body\n"},
        {"* 1 FETCH (BODY[]<0> {1}\r\na)\r\n", "body 1 <a>\nfetch 1 body\n"},
        {"* 1 FETCH (BODY.PEEK[] {1}\r\na)\r\n", "body 1 <a>\nfetch 1 body\n"},
        {"* 1 FETCH (BODY[]<1> {1}\r\na)\r\n", "fetch 1\n"},
        {"* 1 FETCH (BODY[]<00> {1}\r\na)\r\n", "fetch 1\n"},
        {"* 1 FETCH (BODY[HEADER] {1}\r\na BODY[TEXT] {1}\r\nb BODY[1] \"c\")\r\n", "fetch 1\n"},
        {"* 1 FETCH (BODY[HEADER.FIELDS (\"From\" To)] {4}\r\n* x\n UID 3)\r\n", "fetch 1 uid=3\n"},
        {"* 1 FETCH (BODY[HEADER.FIELDS.NOT (A B)]<7> NIL UID 3)\r\n", "fetch 1 uid=3\n"},
        {"* 1 FETCH (BINARY[] ~{2}\r\nab BINARY.SIZE[1] 7 UID 3)\r\n", "fetch 1 uid=3\n"},
        {"* 1 FETCH (RFC822.HEADER {2}\r\nab RFC822.TEXT {2}\r\ncd UID 3)\r\n", "fetch 1 uid=3\n"},
        {"* 1 FETCH (BODY (\"TEXT\" \"PLAIN\") BODY[] {1}\r\nx UID 3)\r\n",
         "body 1 <x>\nfetch 1 uid=3 body\n"},
    };
    CASES_CHECK(rows);
}

static void test_no_body(void **state)
{
    (void)state;
    static const struct response_case rows[] = {
        {"* 1 FETCH (UID 3 BODY[] NIL)\r\n", "fetch 1 uid=3 nil\n"},
        {"* 1 FETCH (BODY[] nil UID 3)\r\n", "fetch 1 uid=3 nil\n"},
        {"* 1 FETCH (UID 3 BODY[])\r\n", "fetch 1 uid=3\n"},
        {"* 1 FETCH (BODY[] what UID 3)\r\n", "fetch 1 uid=3\n"},
        {"* 1 FETCH (BODY[] (\"x\" {2}\r\n)) y) UID 3)\r\n", "fetch 1 uid=3\n"},
        {"* 1 FETCH (UID 3)\r\n* 2 FETCH ()\r\n* 3 FETCH\r\n", "fetch 1 uid=3\nfetch 2\nfetch 3\n"},
    };
    CASES_CHECK(rows);
}

static void test_items(void **state)
{
    (void)state;
    static const struct response_case rows[] = {
        {"* 1 FETCH (FLAGS ())\r\n", "fetch 1 flags=\n"},
        {"* 1 FETCH (FLAGS NIL UID 1)\r\n", "fetch 1 uid=1 flags=\n"},
        {"* 1 FETCH (FLAGS(\\SEEN \\answered \\Flagged \\Deleted \\Draft \\Recent \\X) UID 1)\r\n",
         "fetch 1 uid=1 flags=Seen,Answered,Flagged,Deleted,Draft,Recent\n"},
        {"* 1 FETCH (ENVELOPE (\"date\" {5}\r\n)\r\n\"x ((NIL NIL \"a\\\"\" \"b\")) NIL) UID "
         "4)\r\n",
         "fetch 1 uid=4\n"},
        {"* 1 FETCH (BODYSTRUCTURE ((\"A\" (\"B\" \"UID 9\") 3)(\"C\" UID 8) \"MIXED\") UID 4)\r\n",
         "fetch 1 uid=4\n"},
        {"* 1 FETCH (MODSEQ (624140003) X-GM-MSGID 1278455344230334865 X-GM-LABELS "
         "(\\Inbox \"a b\" {2}\r\nc) d) EMAILID (M6d99ac3275bb4e) THREADID NIL UID 4)\r\n",
         "fetch 1 uid=4\n"},
        {"* 1 FETCH (UID 4294967295 RFC822.SIZE 18446744073709551615)\r\n",
         "fetch 1 uid=4294967295 size=18446744073709551615\n"},
        {"* 1 FETCH (UID \"4\" RFC822.SIZE {2}\r\n12)\r\n", "fetch 1 uid=4 size=12\n"},
    };
    CASES_CHECK(rows);
}

static void test_item_slips(void **state)
{
    (void)state;
    static const struct response_case rows[] = {
        {"* 0 FETCH (UID 4 FLAGS (\\Seen))\r\n", "fetch 0 uid=4 flags=Seen\n"},
        {"* 1 FETCH (UID 9.3736e+06 RFC822.SIZE -1 MODSEQ -1 FLAGS ())\r\n", "fetch 1 flags=\n"},
        {"* 1 FETCH (UID 4294967296 RFC822.SIZE 18446744073709551616)\r\n", "fetch 1\n"},
        {"* 1 FETCH (UID 4 INTERNALDATE \"00-Jan-0000 00:00:00 +0000\")\r\n",
         "fetch 1 uid=4 date=<00-Jan-0000 00:00:00 +0000>\n"},
        {"* 1 FETCH (UID 4 INTERNALDATE NIL)\r\n", "fetch 1 uid=4\n"},
        {"* 1 FETCH (INTERNALDATE \"\" UID 4)\r\n", "fetch 1 uid=4\n"},
        {"* 1 FETCH (UID 4 INTERNALDATE \"\x1b[2J 0123456789012345678901234567890123456789\")\r\n",
         "fetch 1 uid=4 date=<\\x1b[2J 01234567890123456789...>\n"},
        {"* 1 FETCH ((UID 4 FLAGS ((\\Seen))))\r\n", "fetch 1 uid=4 flags=Seen\n"},
        {"* 1 FETCH (UID 4)) FLAGS (\\Seen)\r\n", "fetch 1 uid=4 flags=Seen\n"},
        {"* 1 FETCH UID 4 FLAGS (\\Seen\r\n* 1 EXISTS\r\n", "fetch 1 uid=4 flags=Seen\nexists 1\n"},
        {"* 1 FETCH (UID)\r\n* 1 FETCH (UID 4 FLAGS)\r\n", "fetch 1\nfetch 1 uid=4\n"},
        {"* 1 FETCH (\"UID\" UID 4)\r\n", "fetch 1 uid=4\n"},
        {"* 1 FETCH (UID 4\1FLAGS ())\1\1\r\n", "fetch 1 uid=4 flags=\n"},
        {"* 4294967296 FETCH (UID 4 BODY[] {3}\r\n* x)\r\n* 1 EXISTS\r\n",
         "other text=<4294967296>\nexists 1\n"},
        {"* FETCH (UID 4 BODY[] {3}\r\n* x)\r\n", "other text=<FETCH>\n"},
    };
    CASES_CHECK(rows);
}

#define BROKEN "error: the server broke the IMAP protocol: "

static void test_broken(void **state)
{
    (void)state;
    static const struct response_case rows[] = {
        {"* 1 FETCH (BODY[] {1}\r\na BODY[] {1}\r\nb)\r\n",
         "body 1 <a>\n" BROKEN "two bodies of one message (in FETCH)\n"},
        {"* 1 FETCH (BODY[] {1}\r\na RFC822 {1}\r\nb)\r\n",
         "body 1 <a>\n" BROKEN "two bodies of one message (in FETCH)\n"},
        {"* 1 FETCH (BODY[] NIL RFC822 {1}\r\nb)\r\n",
         BROKEN "two bodies of one message (in FETCH)\n"},
        {"* 1 FETCH (BODY[HEADER\r\n] {3}\r\nabc)\r\n",
         BROKEN "the line ends within the brackets of an item (in FETCH)\n"},
        {"* 1 FETCH (ENVELOPE (\"torn\r\n* 2 EXISTS\r\n",
         BROKEN "a line end within a quoted string (in FETCH)\n"},
        {"* 1 FETCH (UID 1 BODY[] {3}x\r\nabc)\r\n",
         BROKEN "a literal's size with more behind it (in FETCH)\n"},
        /* More bytes, or fewer, than were announced. */
        {"* 1 FETCH (UID 1 BODY[] {3}\r\nabcd)\r\n",
         "body 3 <abc>\n" BROKEN "a body that goes on behind its announced end (in FETCH)\n"},
        {"* 1 FETCH (UID 1 BODY[] {3}\r\nabc(d)\r\n",
         "body 3 <abc>\n" BROKEN "a body that goes on behind its announced end (in FETCH)\n"},
        {"* 1 FETCH (UID 1 BODY[] {3}\r\nabc) d)\r\n",
         "body 3 <abc>\n" BROKEN "more behind the end of a FETCH with a body (in FETCH)\n"},
        {"* 1 FETCH (UID 1 BODY[] {3}\r\nabc\r\nd)\r\n",
         "body 3 <abc>\n" BROKEN "a line end behind a body, where \")\" belongs (in FETCH)\n"},
        {"* 1 FETCH (UID 1 BODY[] {8}\r\nabc)\r\nA1 OK done\r\n",
         "body 8 <abc)\\x0d\\x0aA1>\n" BROKEN
         "a line end behind a body, where \")\" belongs (in FETCH)\n"},
    };
    CASES_CHECK(rows);
}

static void test_sizes(void **state)
{
    (void)state;
    static const struct response_case rows[] = {
        {"* 1 FETCH (BODY[] {4294967295}\r\n", "body 4294967295 <unfinished\n"},
        {"* 1 FETCH (BODY[] {4294967296}\r\n",
         BROKEN "a body of 4294967296 bytes, where the most is 4294967295 (in FETCH)\n"},
        {"* 1 FETCH (BODY[] {18446744073709551615}\r\n",
         BROKEN "a body of 18446744073709551615 bytes, where the most is 4294967295 (in FETCH)\n"},
        {"* 1 FETCH (BODY[] {18446744073709551616}\r\n",
         BROKEN "a literal of 18446744073709551616 bytes (in FETCH)\n"},
        {"* 1 FETCH (BODY[] {99999999999999999999999999}\r\n",
         BROKEN "a literal of 999999999999999999999999... bytes (in FETCH)\n"},
        {"* 1 FETCH (BODY[] {-1}\r\n", BROKEN "a literal's size that is none: {-1} (in FETCH)\n"},
        {"* 1 FETCH (BODY[] {}\r\n", BROKEN "a literal's size that is none: {} (in FETCH)\n"},
        {"* 1 FETCH (BODY[] {+}\r\n", BROKEN "a literal's size that is none: {+} (in FETCH)\n"},
        {"* 1 FETCH (BODY[] {12\r\n",
         BROKEN "a literal's size that is none: {12\\x0d} (in FETCH)\n"},
        {"* 1 FETCH (BODY[] { 3}\r\n", BROKEN "a literal's size that is none: { 3} (in FETCH)\n"},
        {"* 1 FETCH (BODY[] {\x1b\x02}\r\n",
         BROKEN "a literal's size that is none: {\\x1b\\x02} (in FETCH)\n"},
        {"* 1 FETCH (X {16777215}\r\n",
         BROKEN "a literal of 16777215 bytes in a response of at most 16777216 (in FETCH)\n"},
        {"* 1 FETCH (X {2147483648}\r\n",
         BROKEN "a literal of 2147483648 bytes in a response of at most 16777216 (in FETCH)\n"},
        {"* 1 FETCH (X {-1}\r\n", BROKEN "a literal's size that is none: {-1} (in FETCH)\n"},
    };
    CASES_CHECK(rows);
}

/* Which mail it was that cannot be taken, as far as the server had said. */
static void test_broken_over_a_mail(void **state)
{
    (void)state;
    static const struct {
        const char *input;
        int64_t uid; /* -1: it was no FETCH */
    } rows[] = {
        {"* 1 FETCH (UID 7 BODY[] {-1}\r\n", 7},
        {"* 1 FETCH (UID 7)\r\n* 2 FETCH (UID 8 FLAGS () BODY[] {4294967296}\r\n", 8},
        {"* 1 FETCH (UID 7)\r\n* 2 FETCH (BODY[] {4294967296}\r\n", 0},
        {"* 1 FETCH (UID 7 BODY[] {1}\r\na BODY[] {1}\r\nb)\r\n", 7},
        {"* 1 FETCH (UID 7 BODY[] {1}\r\na)\r\nA1 BYE x\r\n", -1},
        {"* LIST () {-1}\r\n", -1},
        {"220 hello\r\n", -1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct imap_parser *parser = imap_parser_new(&imap_limits_default);
        const struct imap_response *response;
        uint32_t uid = 99;
        int got;
        imap_parser_feed(parser, (const uint8_t *)rows[i].input, strlen(rows[i].input));
        assert_false(imap_parser_broke_in_fetch(parser, &uid));
        while ((got = imap_parser_next(parser, &response, NULL)) > 0)
            assert_false(imap_parser_broke_in_fetch(parser, &uid));
        assert_int_equal(got, -1);
        assert_true(imap_parser_broke_in_fetch(parser, &uid) == (rows[i].uid >= 0));
        assert_int_equal(uid, rows[i].uid < 0 ? 99 : rows[i].uid);
        imap_parser_free(parser);
    }
}

/* Bodies are not copied: each piece is the input itself. */
static void test_body_points_into_input(void **state)
{
    (void)state;
    static const uint8_t head[] = "* 1 FETCH (BODY[] {10}\r\n01234", tail[] = "56789)\r\n";
    struct imap_parser *parser = imap_parser_new(&imap_limits_default);
    const struct imap_response *response;
    imap_parser_feed(parser, head, sizeof head - 1);
    assert_int_equal(imap_parser_next(parser, &response, NULL), 1);
    assert_int_equal(response->type, IMAP_RESPONSE_BODY_BEGIN);
    assert_int_equal(response->number, 10);
    assert_int_equal(imap_parser_next(parser, &response, NULL), 1);
    assert_int_equal(response->type, IMAP_RESPONSE_BODY_DATA);
    assert_ptr_equal(response->data, head + sizeof head - 1 - 5);
    assert_int_equal(response->data_len, 5);
    assert_int_equal(imap_parser_next(parser, &response, NULL), 0);
    imap_parser_feed(parser, tail, sizeof tail - 1);
    assert_int_equal(imap_parser_next(parser, &response, NULL), 1);
    assert_ptr_equal(response->data, tail);
    assert_int_equal(response->data_len, 5);
    assert_int_equal(imap_parser_next(parser, &response, NULL), 1);
    assert_int_equal(response->type, IMAP_RESPONSE_BODY_END);
    imap_parser_free(parser);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_quoted_bodies),
        cmocka_unit_test(test_body_names),
        cmocka_unit_test(test_no_body),
        cmocka_unit_test(test_items),
        cmocka_unit_test(test_item_slips),
        cmocka_unit_test(test_broken),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_broken_over_a_mail),
        cmocka_unit_test(test_body_points_into_input),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
