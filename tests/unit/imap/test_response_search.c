/* SEARCH and ESEARCH, whose results stream in parts. */
#include "response_cases.h"

static void test_search(void **state)
{
    (void)state;
    static const struct response_case rows[] = {
        {"* SEARCH 2 84 882\r\n", "search 2 84 882\n"},
        {"* SEARCH\r\n", "search\n"},
        {"* search  7   8  \r\n", "search 7 8\n"},
        {"* SEARCH 9 3 3 4294967295\r\n", "search 9 3 3 4294967295\n"},
        {"* SEARCH 2 5 (MODSEQ 917162500)\r\n", "search 2 5\n"},
        {"* SEARCH 0 -1 9.3736e+06 4294967296 x 5 \"6\" {1}\r\n7\r\n", "search 5\n"},
        {"* SEARCH 5\1\1\r\n", "search 5\n"},
        {"* SEARCH 5 \"torn\r\n* 1 EXISTS\r\n", "search 5\nexists 1\n"},
        {"* SEARCH 1 2", "unfinished\n"},
    };
    CASES_CHECK(rows);
}

static void test_esearch(void **state)
{
    (void)state;
    static const struct response_case rows[] = {
        {"* ESEARCH (TAG \"A282\") UID MIN 2 COUNT 3 ALL 2,10:11\r\n",
         "esearch tag=<A282> count=3 2:2 10:11\n"},
        {"* ESEARCH (TAG A282) UID\r\n", "esearch tag=<A282>\n"},
        {"* ESEARCH (TAG \"A1\") UID ALL 1:17,21 COUNT 18\r\n",
         "esearch tag=<A1> count=18 1:17 21:21\n"},
        {"* ESEARCH (TAG {2}\r\nA1) ALL 5\r\n", "esearch tag=<A1> 5:5\n"},
        {"* esearch (tag \"a\") uid all 9:7,4\r\n", "esearch tag=<a> 7:9 4:4\n"},
        {"* ESEARCH UID ALL 3\r\n* ESEARCH\r\n", "esearch 3:3\nesearch\n"},
        {"* ESEARCH (TAG \"a\") UID PARTIAL (-1:-100 1,2) MODSEQ 9 MAX 7 ALL 2\r\n",
         "esearch tag=<a> 2:2\n"},
        {"* ESEARCH (TAG \"a\") UID ALL 0,1:0,*,4:*,3:x,1:2:3,7, ,8 MAX 9 COUNT x\r\n",
         "esearch tag=<a> 7:7 8:8\n"},
        {"* ESEARCH (TAG \"a\") UID ALL 1:4294967295\r\n", "esearch tag=<a> 1:4294967295\n"},
        {"* ESEARCH (TAG \"0123456789012345678901234567890123456789\") UID\r\n",
         "esearch tag=<0123456789012345678901234567890>\n"},
    };
    CASES_CHECK(rows);
}

/* As many numbers as fill parts exactly, and one fewer and more. */
static void test_parts(void **state)
{
    (void)state;
    static const size_t counts[] = {IMAP_NUMBERS - 1, IMAP_NUMBERS, IMAP_NUMBERS + 1,
                                    2 * IMAP_NUMBERS, 3 * IMAP_NUMBERS + 5};
    for (size_t i = 0; i < 2 * sizeof counts / sizeof *counts; i++) {
        bool extended = i % 2;
        size_t count = counts[i / 2];
        struct buf in = {0}, expected = {0};
        buf_add_str(&in, extended ? "* ESEARCH UID ALL " : "* SEARCH");
        buf_add_str(&expected, extended ? "esearch" : "search");
        for (size_t n = 1; n <= count; n++) {
            buf_printf(&in, extended ? "%s%zu" : "%s%zu", extended ? (n > 1 ? "," : "") : " ", n);
            buf_printf(&expected, extended ? " %zu:%zu" : " %zu", n, n);
            if (n % IMAP_NUMBERS == 0)
                buf_add_str(&expected, extended ? " ...\nesearch" : " ...\nsearch");
        }
        buf_add_str(&in, "\r\n");
        buf_add_str(&expected, "\n");
        struct response_case row = {buf_cstr(&in), buf_cstr(&expected)};
        case_check(&imap_limits_default, &row, 1, 1);
        case_check(&imap_limits_default, &row, 1000, 1000);
        case_check(&imap_limits_default, &row, in.len, 1);
        buf_release(&in);
        buf_release(&expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_search),
        cmocka_unit_test(test_esearch),
        cmocka_unit_test(test_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
