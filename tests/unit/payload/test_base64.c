#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "payload/base64.h"
#include "payload/out.h"

static void add(struct payload_base64 *state, struct payload_out *out, const uint8_t *data,
                size_t len)
{
    /* A copy of its own size: reading beyond it is then seen. */
    uint8_t *copy = malloc(len ? len : 1);
    assert_non_null(copy);
    memcpy(copy, data, len);
    payload_base64_add(state, out, copy, len);
    free(copy);
}

/* In three chunks, which end at `first` and `second`. */
static void encode(struct payload_out *out, const void *data, size_t len, size_t first,
                   size_t second)
{
    const uint8_t *bytes = data;
    struct payload_base64 state = {0};
    payload_out_reset(out, 1 << 20, 0);
    add(&state, out, bytes, first);
    add(&state, out, bytes + first, second - first);
    add(&state, out, bytes + second, len - second);
    payload_base64_end(&state, out);
    assert_int_equal(out->size, payload_base64_size(len));
}

static void expect(const struct payload_out *out, const char *text)
{
    assert_int_equal(out->kept.len, strlen(text));
    assert_memory_equal(out->kept.data, text, strlen(text));
}

/* RFC 4648 section 10. */
static void test_vectors(void **state)
{
    (void)state;
    static const struct {
        const char *data, *text;
    } cases[] = {
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
        {"\xff\xef\xbe", "/+++"},
        {"\xfb\xff", "+/8="},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t len = strlen(cases[i].data);
        for (size_t first = 0; first <= len; first++)
            for (size_t second = first; second <= len; second++) {
                struct payload_out out = {0};
                encode(&out, cases[i].data, len, first, second);
                expect(&out, cases[i].text);
                payload_out_drop(&out);
            }
    }
}

static void test_nothing(void **state)
{
    (void)state;
    struct payload_out out = {0};
    encode(&out, "", 0, 0, 0);
    assert_int_equal(out.size, 0);
    payload_out_drop(&out);
}

/* Longer than what is encoded at a time; OpenSSL says what is right. */
static void test_lengths(void **state)
{
    (void)state;
    uint8_t data[1700], text[2300];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 167 + i / 256);
    for (size_t len = 1; len <= sizeof data; len++) {
        struct payload_out out = {0};
        encode(&out, data, len, len / 3, len / 2);
        EVP_EncodeBlock(text, data, (int)len);
        expect(&out, (const char *)text);
        payload_out_drop(&out);
    }
}

/* Each digit in each place of what is encoded at a time. */
static void test_digits(void **state)
{
    (void)state;
    uint8_t data[48], text[65];
    for (unsigned digit = 0; digit < 64; digit++)
        for (size_t place = 0; place < 64; place++) {
            struct payload_out out = {0};
            size_t bit = 6 * place;
            memset(data, 0xA5, sizeof data);
            for (size_t i = 0; i < 6; i++, bit++) {
                uint8_t mask = (uint8_t)(0x80 >> bit % 8);
                data[bit / 8] &= (uint8_t)~mask;
                if (digit >> (5 - i) & 1)
                    data[bit / 8] |= mask;
            }
            encode(&out, data, sizeof data, 0, sizeof data);
            EVP_EncodeBlock(text, data, sizeof data);
            expect(&out, (const char *)text);
            payload_out_drop(&out);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_digits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
