/* Status responses and their codes, continuations, counts, and lines that make little sense. */
#include "response_cases.h"

static void test_status(void **state)
{
    (void)state;
    static const struct response_case rows[] = {
        {"* OK ready\r\n", "status OK text=<ready>\n"},
        {"* PREAUTH hello\r\n", "status PREAUTH text=<hello>\n"},
        {"* BYE [UNAVAILABLE] bye\r\n", "status BYE [UNAVAILABLE] text=<bye>\n"},
        {"* NO  two  blanks \r\n", "status NO text=<two  blanks >\n"},
        {"* BAD throttled. Suggested Backoff Time: 299961 milliseconds\r\n",
         "status BAD text=<throttled. Suggested Backoff Time: 299961 milliseconds>\n"},
        {"A1 OK done\r\n", "status tag=<A1> OK text=<done>\n"},
        {"a.2 no (really) \"no\" {5}\r\n", "status tag=<a.2> NO text=<(really) \"no\" {5}>\n"},
        {"A1 BAD x\r\nA2 OK y\r\n", "status tag=<A1> BAD text=<x>\nstatus tag=<A2> OK text=<y>\n"},
        {"0123456789012345678901234567890123456789 OK x\r\n",
         "status tag=<0123456789012345678901234567890> OK text=<x>\n"},
        {"* OK", "unfinished\n"},
        {"", ""},
    };
    CASES_CHECK(rows);
}

static void test_codes(void **state)
{
    (void)state;
    static const struct response_case rows[] = {
        {"* OK [UIDVALIDITY 3857529045] UIDs valid\r\n",
         "status OK [UIDVALIDITY] number=3857529045 text=<UIDs valid>\n"},
        {"* OK [uidnext 4392]\r\n", "status OK [UIDNEXT] number=4392 text=<>\n"},
        {"* OK [UNSEEN 12] x\r\n", "status OK [UNSEEN] number=12 text=<x>\n"},
        {"* OK [HIGHESTMODSEQ 18446744073709551615] x\r\n",
         "status OK [HIGHESTMODSEQ] number=18446744073709551615 text=<x>\n"},
        {"* OK [PERMANENTFLAGS (\\Deleted \\Seen $Junk \\*)] Limited\r\n",
         "status OK [PERMANENTFLAGS] flags=Seen,Deleted keywords text=<Limited>\n"},
        {"* OK [PERMANENTFLAGS ()] none\r\n", "status OK [PERMANENTFLAGS] flags= text=<none>\n"},
        {"* OK [CAPABILITY IMAP4rev1 IDLE auth=plain X-NEW SASL-IR] ready\r\n",
         "status OK [CAPABILITY] caps=IMAP4REV1,SASL-IR,IDLE,AUTH=PLAIN text=<ready>\n"},
        {"A1 OK [READ-WRITE] SELECT completed\r\n",
         "status tag=<A1> OK [READ-WRITE] text=<SELECT completed>\n"},
        {"A1 OK [READ-ONLY] x\r\n", "status tag=<A1> OK [READ-ONLY] text=<x>\n"},
        {"A1 NO [TRYCREATE] x\r\n", "status tag=<A1> NO [TRYCREATE] text=<x>\n"},
        {"A1 NO [AUTHENTICATIONFAILED] x\r\n",
         "status tag=<A1> NO [AUTHENTICATIONFAILED] text=<x>\n"},
        {"A1 NO [ALERT] Too many simultaneous connections\r\n",
         "status tag=<A1> NO [ALERT] text=<Too many simultaneous connections>\n"},
        {"A1 OK [COPYUID 1 1:99999999 1:99999999] bomb\r\n",
         "status tag=<A1> OK [COPYUID] text=<bomb>\n"},
        {"A1 OK [APPENDUID 1 2] x\r\n", "status tag=<A1> OK [APPENDUID] text=<x>\n"},
        {"A1 NO [MESSAGELIMIT 1000 23221] x\r\n",
         "status tag=<A1> NO [MESSAGELIMIT] number=1000 uid=23221 text=<x>\n"},
        {"A1 NO [MESSAGELIMIT 1000] x\r\n",
         "status tag=<A1> NO [MESSAGELIMIT] number=1000 text=<x>\n"},
        {"A1 OK [MESSAGELIMIT 1000 4294967296] x\r\n",
         "status tag=<A1> OK [MESSAGELIMIT] number=1000 text=<x>\n"},
        {"A1 NO [THROTTLED] a\r\nA1 NO [LIMIT] b\r\nA1 NO [INUSE] c\r\n",
         "status tag=<A1> NO [THROTTLED] text=<a>\nstatus tag=<A1> NO [LIMIT] text=<b>\n"
         "status tag=<A1> NO [INUSE] text=<c>\n"},
        {"A1 NO [BADCHARSET (\"UTF-8\" x)] a\r\nA1 NO [X] b\r\n",
         "status tag=<A1> NO [another code] text=<a>\nstatus tag=<A1> NO [another code] "
         "text=<b>\n"},
    };
    CASES_CHECK(rows);
}

static void test_all_code_names(void **state)
{
    (void)state;
    for (enum imap_code code = IMAP_CODE_ALERT; code <= IMAP_CODE_MESSAGELIMIT; code++) {
        const char *name = imap_code_name(code);
        struct buf in = {0};
        buf_printf(&in, "* NO [%s] x\r\n", name);
        struct imap_parser *parser = imap_parser_new(&imap_limits_default);
        imap_parser_feed(parser, in.data, in.len);
        const struct imap_response *response;
        struct err err;
        assert_int_equal(imap_parser_next(parser, &response, &err), 1);
        assert_int_equal(response->code, code);
        assert_int_equal(imap_parser_next(parser, &response, &err), 0);
        imap_parser_free(parser);
        buf_release(&in);
    }
}

static void test_code_slips(void **state)
{
    (void)state;
    static const struct response_case rows[] = {
        /* no "OK" before the code, no "*" either, no blank behind the OK */
        {"* [UIDNEXT 5] next\r\n", "status OK [UIDNEXT] number=5 text=<next>\n"},
        {"[ALERT] over quota\r\n", "status OK [ALERT] text=<over quota>\n"},
        {"* OK[UIDNEXT 5]next\r\n", "status OK [UIDNEXT] number=5 text=<next>\n"},
        /* parentheses too many or too few */
        {"* OK [PERMANENTFLAGS ((\\Seen) \\*))] x\r\n",
         "status OK [PERMANENTFLAGS] flags=Seen keywords text=<x>\n"},
        {"* OK [PERMANENTFLAGS \\Seen \\*] x\r\n",
         "status OK [PERMANENTFLAGS] flags=Seen keywords text=<x>\n"},
        {"* OK [UIDVALIDITY (7)] x\r\n", "status OK [UIDVALIDITY] number=7 text=<x>\n"},
        /* numbers that are none */
        {"* OK [UIDVALIDITY 0] x\r\n", "status OK [UIDVALIDITY] text=<x>\n"},
        {"* OK [UIDNEXT 9.3736e+06] x\r\n", "status OK [UIDNEXT] text=<x>\n"},
        {"* OK [HIGHESTMODSEQ -1] x\r\n", "status OK [HIGHESTMODSEQ] text=<x>\n"},
        {"* OK [UIDNEXT] x\r\n", "status OK [UIDNEXT] text=<x>\n"},
        {"* OK [UIDNEXT 99999999999999999999999999] x\r\n", "status OK [UIDNEXT] text=<x>\n"},
        /* "LITERAL +" is not LITERAL+ */
        {"* OK [CAPABILITY IMAP4rev1 LITERAL + IDLE] x\r\n",
         "status OK [CAPABILITY] caps=IMAP4REV1,IDLE text=<x>\n"},
        /* brackets that do not match */
        {"* OK [ALERT too [many] brackets]] x\r\n", "status OK [ALERT] text=<brackets]] x>\n"},
        {"* OK [ALERT no end\r\n", "status OK [ALERT] text=<[ALERT no end>\n"},
        {"* OK text ]with[ brackets\r\n", "status OK text=<text ]with[ brackets>\n"},
        {"* OK []\r\n", "status OK [another code] text=<>\n"},
        {"* OK [\r\n", "status OK [another code] text=<[>\n"},
        {"* OK ]\r\n", "status OK text=<]>\n"},
        {"* OK [[UIDNEXT 4]] x\r\n", "status OK [another code] text=<] x>\n"},
    };
    CASES_CHECK(rows);
}

static void test_line_slips(void **state)
{
    (void)state;
    static const struct response_case rows[] = {
        {"* OK bare line feed\nA1 OK x\n",
         "status OK text=<bare line feed>\nstatus tag=<A1> OK text=<x>\n"},
        {"\r\n\n * OK blank lines\r\n\r\n \r\n", "status OK text=<blank lines>\n"},
        {"* OK\r\n", "status OK text=<>\n"},
        {"* OK \r\n", "status OK text=<>\n"},
        {"*  OK  x\r\n", "status OK text=<x>\n"},
        {"*OK x\r\n", "status OK text=<x>\n"},
        {"*\tOK\tx\r\n", "status OK text=<x>\n"},
        {"A1OK done\r\n", "status tag=<A1> OK text=<done>\n"},
        {"A1OK SEARCH completed, at last\r\n",
         "status tag=<A1> OK text=<SEARCH completed, at last>\n"},
        {"A1no [ALERT] sorry\r\n", "status tag=<A1> NO [ALERT] text=<sorry>\n"},
        {"A1BAD\r\n", "status tag=<A1> BAD text=<>\n"},
        {"* OK two\rhalves\r\r\n", "status OK text=<two\\x0dhalves>\n"},
        {"* OK gr\xc3\xbc\xdf\x80\x1b[2J\r\n", "status OK text=<gr\\xc3\\xbc\\xdf\\x80\\x1b[2J>\n"},
        {"* OK pad\1ded\1\1\1\r\n\1\1* 3 EXISTS\1\1\r\n\1", "status OK text=<padded>\nexists 3\n"},
        {"* FLAGS (\\Seen\1\\Draft)\1\1\1\r\n", "flags flags=Seen,Draft\n"},
    };
    CASES_CHECK(rows);
}

static void test_continue(void **state)
{
    (void)state;
    static const struct response_case rows[] = {
        {"+ idling\r\n", "continue text=<idling>\n"},
        {"+ \r\n", "continue text=<>\n"},
        {"+\r\n", "continue text=<>\n"},
        {"+idling\r\n", "continue text=<idling>\n"},
        {"+ eyJzdGF0dXMiOiI0MDAifQ==\r\n", "continue text=<eyJzdGF0dXMiOiI0MDAifQ==>\n"},
        {"+ [ALERT] (\"\r\n", "continue text=<[ALERT] (\">\n"},
        {"* 4 EXISTS\r\n+ idling\r\n* 5 EXISTS\r\n",
         "exists 4\ncontinue text=<idling>\nexists 5\n"},
    };
    CASES_CHECK(rows);
}

static void test_counts(void **state)
{
    (void)state;
    static const struct response_case rows[] = {
        {"* 23 EXISTS\r\n* 4294967295 RECENT\r\n* 1 EXPUNGE\r\n",
         "exists 23\nrecent 4294967295\nexpunge 1\n"},
        {"* 0 exists \r\n", "exists 0\n"},
        {"* 3 EXISTS \"torn\r\n* 4 EXISTS (\r\n* 5 EXISTS\r\n", "exists 3\nexists 4\nexists 5\n"},
        {"* 4294967296 EXISTS\r\n", "other text=<4294967296>\n"},
        {"* -1 EXISTS\r\n", "other text=<-1>\n"},
        {"* 9.3736e+06 EXISTS\r\n", "other text=<9.3736E+06>\n"},
        {"* 5\r\n* 5 (\r\n* 5 WHAT\r\n", "other text=<5>\nother text=<5>\nother text=<WHAT>\n"},
    };
    CASES_CHECK(rows);
}

static void test_others(void **state)
{
    (void)state;
    static const struct response_case rows[] = {
        {"* ENABLED CONDSTORE\r\n", "other text=<ENABLED>\n"},
        {"* id (\"name\" \"x\" \"version\" NIL)\r\n", "other text=<ID>\n"},
        {"* ID (\"a\" {10}\r\n)\r\n* BYE\r\n NIL)\r\n* 1 EXISTS\r\n",
         "other text=<ID>\nexists 1\n"},
        {"* METADATA INBOX (/x ~{4}\r\n\r\n) ~{0}\r\n ~tilde)\r\n* 1 EXISTS\r\n",
         "other text=<METADATA>\nexists 1\n"},
        {"* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n", "other text=<NAMESPACE>\n"},
        {"* VANISHED (EARLIER) 41,43:116,118\r\n", "other text=<VANISHED>\n"},
        {"* QUOTA \"\" (STORAGE 10 512)\r\n", "other text=<QUOTA>\n"},
        {"* X-NEWS don't \"worry\r\n* 1 EXISTS\r\n", "other text=<X-NEWS>\nexists 1\n"},
        {"* \r\n*\r\n* (\r\n* \"x\"\r\n* ) x\r\n", "other text=<>\nother text=<>\nother text=<>\n"
                                                   "other text=<>\nother text=<>\n"},
        {"* ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJKLMNOPQRSTUVWXYZ x\r\n",
         "other text=<ABCDEFGHIJKLMNOPQRSTUVWXYZABCDE>\n"},
    };
    CASES_CHECK(rows);
}

#define BROKEN "error: the server broke the IMAP protocol: "

static void test_no_response(void **state)
{
    (void)state;
    static const struct response_case rows[] = {
        {"220 smtp.example ESMTP\r\n",
         BROKEN "a line that is no response, beginning with \"220\"\n"},
        {"HTTP/1.1 400 Bad Request\r\n",
         BROKEN "a line that is no response, beginning with \"HTTP/1.1\"\n"},
        {"A1\r\n", BROKEN "a line that is no response, beginning with \"A1\"\n"},
        {"A1 BYE x\r\n", BROKEN "a line that is no response, beginning with \"A1\"\n"},
        {"A1 PREAUTH x\r\n", BROKEN "a line that is no response, beginning with \"A1\"\n"},
        {"OK x\r\n", BROKEN "a line that is no response, beginning with \"OK\"\n"},
        {"\x1b]0;x\\ y\r\n",
         BROKEN "a line that is no response, beginning with \"\\x1b]0;x\\\\\"\n"},
        {"(x)\r\n", BROKEN "a line that is no response\n"},
        {"\"x\" OK y\r\n", BROKEN "a line that is no response\n"},
        {"A1 (OK) x\r\n", BROKEN "a line that is no response, beginning with \"A1\"\n"},
    };
    CASES_CHECK(rows);
}

/* Broken once is broken for good: what follows an error can't be trusted to begin anywhere. */
static void test_broken_stays_broken(void **state)
{
    (void)state;
    static const char bad[] = "nonsense here\r\n", good[] = "* OK x\r\n";
    struct imap_parser *parser = imap_parser_new(&imap_limits_default);
    const struct imap_response *response;
    struct err err;
    imap_parser_feed(parser, (const uint8_t *)bad, sizeof bad - 1);
    assert_int_equal(imap_parser_next(parser, &response, &err), -1);
    assert_int_equal(err.action, ERR_RETRY_LATER);
    imap_parser_feed(parser, (const uint8_t *)good, sizeof good - 1);
    assert_int_equal(imap_parser_next(parser, &response, NULL), -1);
    assert_int_equal(imap_parser_next(parser, &response, &err), -1);
    assert_string_equal(err.text, "the server broke the IMAP protocol before");
    imap_parser_free(parser);
    imap_parser_free(NULL);
}

/* What the session's guard against bytes sent ahead of STARTTLS rests on. */
static void test_rest_and_idle(void **state)
{
    (void)state;
    static const char text[] = "A1 OK go\r\n* CAPABILITY IDLE\r\n* O";
    struct imap_parser *parser = imap_parser_new(&imap_limits_default);
    const struct imap_response *response;
    assert_true(imap_parser_idle(parser));
    assert_int_equal(imap_parser_rest(parser), 0);
    imap_parser_feed(parser, (const uint8_t *)text, sizeof text - 1);
    assert_int_equal(imap_parser_next(parser, &response, NULL), 1);
    assert_int_equal(imap_parser_rest(parser), sizeof text - 1 - 10);
    assert_true(imap_parser_idle(parser));
    assert_int_equal(imap_parser_next(parser, &response, NULL), 1);
    assert_int_equal(imap_parser_rest(parser), 3);
    assert_true(imap_parser_idle(parser));
    assert_int_equal(imap_parser_next(parser, &response, NULL), 0);
    assert_int_equal(imap_parser_rest(parser), 0);
    assert_false(imap_parser_idle(parser));
    imap_parser_free(parser);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status),         cmocka_unit_test(test_codes),
        cmocka_unit_test(test_all_code_names), cmocka_unit_test(test_code_slips),
        cmocka_unit_test(test_line_slips),     cmocka_unit_test(test_continue),
        cmocka_unit_test(test_counts),         cmocka_unit_test(test_others),
        cmocka_unit_test(test_no_response),    cmocka_unit_test(test_broken_stays_broken),
        cmocka_unit_test(test_rest_and_idle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
