#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/num.h"

enum {
    UNTOUCHED = 4711 /* what an output is before a failure, and after */
};

/* Without a byte behind it, so that reading on is found. */
static char *num_exact(const char *text)
{
    size_t len = strlen(text);
    char *copy = mem_alloc(len);
    memcpy(copy, text, len);
    return copy;
}

static void test_u64(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t max;
        bool ok;
        uint64_t value;
    } cases[] = {
        {"0", UINT64_MAX, true, 0},
        {"7", 7, true, 7},
        {"8", 7, false, 0},
        {"0", 0, true, 0},
        {"1", 0, false, 0},
        {"007", 10, true, 7},
        {"65535", 65535, true, 65535},
        {"65536", 65535, false, 0},
        {"9223372036854775807", INT64_MAX, true, INT64_MAX},
        {"9223372036854775808", INT64_MAX, false, 0},
        {"18446744073709551615", UINT64_MAX, true, UINT64_MAX},
        {"18446744073709551616", UINT64_MAX, false, 0},
        {"18446744073709551620", UINT64_MAX, false, 0},
        {"99999999999999999999", UINT64_MAX, false, 0},
        {"184467440737095516150", UINT64_MAX, false, 0},
        {"", UINT64_MAX, false, 0},
        {" 1", UINT64_MAX, false, 0},
        {"1 ", UINT64_MAX, false, 0},
        {"+1", UINT64_MAX, false, 0},
        {"-1", UINT64_MAX, false, 0},
        {"-0", UINT64_MAX, false, 0},
        {"0x10", UINT64_MAX, false, 0},
        {"1e3", UINT64_MAX, false, 0},
        {"9.3736e+06", UINT64_MAX, false, 0},
        {"1_000", UINT64_MAX, false, 0},
        {"\xD9\xA1", UINT64_MAX, false, 0}, /* ARABIC-INDIC DIGIT ONE */
        {"/", UINT64_MAX, false, 0},
        {":", UINT64_MAX, false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = num_exact(cases[i].text);
        uint64_t value = UNTOUCHED;
        bool ok = num_parse_u64(text, strlen(cases[i].text), cases[i].max, &value);
        if (ok != cases[i].ok || value != (ok ? cases[i].value : UNTOUCHED))
            fail_msg("\"%s\": %d, %llu", cases[i].text, ok, (unsigned long long)value);
        free(text);
    }
}

static void test_u64_takes_the_length(void **state)
{
    (void)state;
    uint64_t value = 0;
    assert_true(num_parse_u64("12345", 3, UINT64_MAX, &value));
    assert_int_equal(value, 123);
    assert_false(num_parse_u64("1\0002", 3, UINT64_MAX, &value));
    assert_false(num_parse_u64("1", 0, UINT64_MAX, &value));
}

static void test_u32(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool ok;
        uint32_t value;
    } cases[] = {
        {"0", true, 0},           {"4294967295", true, UINT32_MAX},
        {"4294967296", false, 0}, {"18446744073709551617", false, 0},
        {"", false, 0},           {"-1", false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = num_exact(cases[i].text);
        uint32_t value = UNTOUCHED;
        bool ok = num_parse_u32(text, strlen(cases[i].text), &value);
        if (ok != cases[i].ok || value != (ok ? cases[i].value : UNTOUCHED))
            fail_msg("\"%s\": %d, %u", cases[i].text, ok, value);
        free(text);
    }
}

static void test_size(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t max;
        bool ok;
        uint64_t value;
    } cases[] = {
        {"0", UINT64_MAX, true, 0},
        {"1048576", UINT64_MAX, true, 1048576},
        {"1MiB", UINT64_MAX, true, 1 << 20},
        {"1 MiB", UINT64_MAX, true, 1 << 20},
        {"1mib", UINT64_MAX, true, 1 << 20},
        {"2M", UINT64_MAX, true, 2 << 20},
        {"2MB", UINT64_MAX, true, 2000000},
        {"3k", UINT64_MAX, true, 3072},
        {"3KiB", UINT64_MAX, true, 3072},
        {"3kB", UINT64_MAX, true, 3000},
        {"5 b", UINT64_MAX, true, 5},
        {"1G", UINT64_MAX, true, 1 << 30},
        {"1GiB", UINT64_MAX, true, 1 << 30},
        {"1GB", UINT64_MAX, true, 1000000000},
        {"17179869183G", UINT64_MAX, true, 17179869183u * (1ull << 30)},
        {"17179869184G", UINT64_MAX, false, 0},
        {"18446744073709551615K", UINT64_MAX, false, 0},
        {"1KiB", 1024, true, 1024},
        {"1KiB", 1023, false, 0},
        {"1025", 1024, false, 0},
        {"", UINT64_MAX, false, 0},
        {"MiB", UINT64_MAX, false, 0},
        {" 1", UINT64_MAX, false, 0},
        {"1 ", UINT64_MAX, false, 0},
        {"1MiB ", UINT64_MAX, false, 0},
        {"1  MiB", UINT64_MAX, false, 0},
        {"1\tMiB", UINT64_MAX, false, 0},
        {"1.5MiB", UINT64_MAX, false, 0},
        {"-1K", UINT64_MAX, false, 0},
        {"1T", UINT64_MAX, false, 0},
        {"1KK", UINT64_MAX, false, 0},
        {"1Mi", UINT64_MAX, false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = num_exact(cases[i].text);
        uint64_t value = UNTOUCHED;
        bool ok = num_parse_size(text, strlen(cases[i].text), cases[i].max, &value);
        if (ok != cases[i].ok || value != (ok ? cases[i].value : UNTOUCHED))
            fail_msg("\"%s\": %d, %llu", cases[i].text, ok, (unsigned long long)value);
        free(text);
    }
}

static void test_duration(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        msec_t max;
        bool ok;
        msec_t value;
    } cases[] = {
        {"0", UINT64_MAX, true, 0},
        {"60", UINT64_MAX, true, 60000},
        {"60s", UINT64_MAX, true, 60000},
        {"60 sec", UINT64_MAX, true, 60000},
        {"250ms", UINT64_MAX, true, 250},
        {"250 MS", UINT64_MAX, true, 250},
        {"5m", UINT64_MAX, true, 300000},
        {"5min", UINT64_MAX, true, 300000},
        {"2h", UINT64_MAX, true, 7200000},
        {"1d", UINT64_MAX, true, 86400000},
        {"0.5", UINT64_MAX, true, 500},
        {"1.25s", UINT64_MAX, true, 1250},
        {"1.5 m", UINT64_MAX, true, 90000},
        {"0.001", UINT64_MAX, true, 1},
        {"0.0009", UINT64_MAX, true, 0},
        {"1.9999999999999999999999", UINT64_MAX, true, 1999},
        {"0.9ms", UINT64_MAX, true, 0},
        {"1s", 1000, true, 1000},
        {"1.001s", 1000, false, 0},
        {"2s", 1000, false, 0},
        {"18446744073709551615ms", UINT64_MAX, true, UINT64_MAX},
        {"18446744073709551616ms", UINT64_MAX, false, 0},
        {"18446744073709551.615s", UINT64_MAX, true, UINT64_MAX},
        {"18446744073709551.616s", UINT64_MAX, false, 0},
        {"18446744073709551.999s", UINT64_MAX, false, 0},
        {"213503982334.99d", UINT64_MAX, false, 0},
        {"213503982335d", UINT64_MAX, false, 0},
        {"", UINT64_MAX, false, 0},
        {"s", UINT64_MAX, false, 0},
        {".5", UINT64_MAX, false, 0},
        {"5.", UINT64_MAX, false, 0},
        {"5.s", UINT64_MAX, false, 0},
        {"1.2.3", UINT64_MAX, false, 0},
        {"1,5", UINT64_MAX, false, 0},
        {"-1s", UINT64_MAX, false, 0},
        {" 1s", UINT64_MAX, false, 0},
        {"1s ", UINT64_MAX, false, 0},
        {"1 ", UINT64_MAX, false, 0},
        {"1.5 ", UINT64_MAX, false, 0},
        {"1  s", UINT64_MAX, false, 0},
        {"1w", UINT64_MAX, false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = num_exact(cases[i].text);
        msec_t value = UNTOUCHED;
        bool ok = num_parse_duration(text, strlen(cases[i].text), cases[i].max, &value);
        if (ok != cases[i].ok || value != (ok ? cases[i].value : UNTOUCHED))
            fail_msg("\"%s\": %d, %llu", cases[i].text, ok, (unsigned long long)value);
        free(text);
    }
}

static void test_format_bytes(void **state)
{
    (void)state;
    static const struct {
        uint64_t bytes;
        const char *text;
    } cases[] = {
        {0, "0 B"},
        {950, "950 B"},
        {999, "999 B"},
        {1000, "1.0 kB"},
        {4096, "4.1 kB"},
        {999949, "999.9 kB"},
        {999950, "1.0 MB"},
        {72300000, "72.3 MB"},
        {1000000000, "1.0 GB"},
        {1000000000000, "1.0 TB"},
        {1000000000000000, "1.0 PB"},
        {UINT64_MAX, "18.4 EB"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char out[16];
        assert_ptr_equal(num_format_bytes(out, sizeof out, cases[i].bytes), out);
        assert_string_equal(out, cases[i].text);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_u64),      cmocka_unit_test(test_u64_takes_the_length),
        cmocka_unit_test(test_u32),      cmocka_unit_test(test_size),
        cmocka_unit_test(test_duration), cmocka_unit_test(test_format_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
