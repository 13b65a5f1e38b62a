#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/sha.h>

#include "payload/payload.h"

enum {
    HEADROOM = 40,
    UNLIMITED = 1 << 20
};

struct encoded {
    struct buf frame;
    struct payload_result result;
};

/* In chunks that end at `first`, at `second`, and at the end. */
static struct encoded encode(struct payload_encoder *encoder, const void *mail, size_t len,
                             size_t first, size_t second)
{
    const uint8_t *bytes = mail;
    struct encoded got = {0};
    payload_encoder_begin(encoder, len);
    payload_encoder_add(encoder, bytes, first);
    payload_encoder_add(encoder, bytes + first, second - first);
    payload_encoder_add(encoder, bytes + second, len - second);
    payload_encoder_finish(encoder, &got.frame, &got.result);
    return got;
}

static struct encoded encode_bytes(struct payload_encoder *encoder, const void *mail, size_t len)
{
    const uint8_t *bytes = mail;
    struct encoded got = {0};
    payload_encoder_begin(encoder, 0);
    for (size_t i = 0; i < len; i++)
        payload_encoder_add(encoder, bytes + i, 1);
    payload_encoder_finish(encoder, &got.frame, &got.result);
    return got;
}

/* The JSON for a mail; `base64` may be NULL. */
static void make_json(struct buf *out, const void *mail, size_t len, const char *msg,
                      const char *base64)
{
    uint8_t sha256[PAYLOAD_SHA256];
    SHA256(mail, len, sha256);
    buf_add_str(out, "{\"sha256\": \"");
    for (size_t i = 0; i < sizeof sha256; i++)
        buf_printf(out, "%02x", sha256[i]);
    buf_add_str(out, "\", \"msg\": \"");
    buf_add_str(out, msg);
    if (base64) {
        buf_add_str(out, "\", \"msg_base64\": \"");
        buf_add_str(out, base64);
    }
    buf_add_str(out, "\"}");
}

static void expect(struct encoded *moved, size_t mail_len, bool utf8, const struct buf *payload)
{
    assert_int_equal(moved->frame.len, HEADROOM + payload->len);
    assert_memory_equal(moved->frame.data + HEADROOM, payload->data, payload->len);
    assert_int_equal(moved->result.mail_size, mail_len);
    assert_int_equal(moved->result.payload_size, payload->len);
    assert_int_equal(moved->result.utf8, utf8);
    assert_false(moved->result.too_large);
    buf_release(&moved->frame);
}

struct mail_case {
    const char *mail;
    size_t len;
    const char *msg;
    const char *base64;
};

#define MAIL(text) text, sizeof text - 1
#define FFFD "\xEF\xBF\xBD"

static const struct mail_case cases[] = {
    {MAIL(""), "", NULL},
    {MAIL("Subject: x\r\n\r\n\"hello\"\\\r\n"), "Subject: x\\r\\n\\r\\n\\\"hello\\\"\\\\\\r\\n",
     NULL},
    {MAIL("a\0b\rc\x1f"), "a\\u0000b\\rc\\u001f", NULL},
    {MAIL("gr\xc3\xbc\xc3\x9f"), "gr\xc3\xbc\xc3\x9f", NULL},
    {MAIL("gr\xfc\xdf"), "gr" FFFD FFFD, "Z3L83w=="},
    {MAIL("\r\n\"\\\t\x01 cut \xe2\x82"), "\\r\\n\\\"\\\\\\t\\u0001 cut " FFFD,
     "DQoiXAkBIGN1dCDigg=="},
    {MAIL("\xe2\x82\xac\xe2\x82"
          "A\xf0\x9f\x93"),
     "\xe2\x82\xac" FFFD "A" FFFD, "4oKs4oJB8J+T"},
    {MAIL("\xff"), FFFD, "/w=="},
};

static void test_json_at_every_split(void **state)
{
    (void)state;
    struct payload_encoder *encoder = payload_encoder_new(PAYLOAD_JSON, HEADROOM, UNLIMITED);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct mail_case *c = &cases[i];
        struct buf json = {0};
        make_json(&json, c->mail, c->len, c->msg, c->base64);
        struct encoded got = encode_bytes(encoder, c->mail, c->len);
        expect(&got, c->len, !c->base64, &json);
        for (size_t first = 0; first <= c->len; first++)
            for (size_t second = first; second <= c->len; second++) {
                got = encode(encoder, c->mail, c->len, first, second);
                expect(&got, c->len, !c->base64, &json);
            }
        buf_release(&json);
    }
    payload_encoder_free(encoder);
}

static void test_raw(void **state)
{
    (void)state;
    struct payload_encoder *encoder = payload_encoder_new(PAYLOAD_RAW, HEADROOM, UNLIMITED);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct mail_case *c = &cases[i];
        struct buf mail = {0};
        uint8_t sha256[PAYLOAD_SHA256];
        buf_add(&mail, c->mail, c->len);
        SHA256(mail.data ? mail.data : (const uint8_t *)"", mail.len, sha256);
        for (size_t split = 0; split <= c->len; split++) {
            struct encoded got = encode(encoder, c->mail, c->len, split, c->len);
            assert_memory_equal(got.result.sha256, sha256, sizeof sha256);
            if (c->len)
                expect(&got, c->len, true, &mail);
            buf_release(&got.frame);
        }
        buf_release(&mail);
    }
    payload_encoder_free(encoder);
}

/* Where the first bad byte comes does not matter: the bytes before it are got back. */
static void test_base64_after_a_long_valid_beginning(void **state)
{
    (void)state;
    enum {
        LEN = 3000
    };
    uint8_t mail[LEN], base64[LEN * 2];
    struct payload_encoder *encoder = payload_encoder_new(PAYLOAD_JSON, HEADROOM, UNLIMITED);
    for (size_t bad = 0; bad < LEN; bad += 11) {
        for (size_t i = 0; i < LEN; i++)
            mail[i] = i % 13 == 0 ? (uint8_t)(i % 32) : i % 17 == 0 ? '\\' : 'a';
        mail[bad] = 0xFF;
        EVP_EncodeBlock(base64, mail, LEN);
        struct encoded got = encode(encoder, mail, LEN, bad / 2, bad);
        assert_false(got.result.utf8);
        buf_cstr(&got.frame);
        const char *text =
            strstr((const char *)got.frame.data + HEADROOM, "\", \"msg_base64\": \"");
        assert_non_null(text);
        text += strlen("\", \"msg_base64\": \"");
        assert_int_equal(strlen(text), strlen((const char *)base64) + 2);
        assert_memory_equal(text, base64, strlen((const char *)base64));
        buf_release(&got.frame);
    }
    payload_encoder_free(encoder);
}

/* The limit is on the payload, not on the headroom, and the size is told on both sides of it. */
static void test_limit(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct mail_case *c = &cases[i];
        struct buf json = {0};
        make_json(&json, c->mail, c->len, c->msg, c->base64);
        for (size_t limit = 0; limit < json.len + 3; limit++) {
            struct payload_encoder *encoder = payload_encoder_new(PAYLOAD_JSON, HEADROOM, limit);
            struct encoded got = encode(encoder, c->mail, c->len, c->len / 2, c->len);
            if (limit >= json.len) {
                expect(&got, c->len, !c->base64, &json);
            } else {
                assert_true(got.result.too_large);
                assert_int_equal(got.result.payload_size, json.len);
                assert_int_equal(got.result.utf8, !c->base64);
                assert_memory_equal(got.result.sha256,
                                    SHA256((const uint8_t *)c->mail, c->len, NULL), PAYLOAD_SHA256);
                assert_null(got.frame.data);
                assert_int_equal(got.frame.len, 0);
            }
            payload_encoder_free(encoder);
        }
        buf_release(&json);
    }
}

/* 10 MB of a mail against a limit of 64 kB; the next mail is not affected. */
static void test_too_large_holds_nothing(void **state)
{
    (void)state;
    enum {
        LIMIT = 65536,
        CHUNK = 10000,
        CHUNKS = 1000
    };
    static uint8_t chunk[CHUNK];
    for (int bad = 0; bad < 2; bad++) {
        memset(chunk, bad ? 0xE4 : '"', sizeof chunk);
        struct payload_encoder *encoder = payload_encoder_new(PAYLOAD_JSON, HEADROOM, LIMIT);
        struct encoded got = {0};
        payload_encoder_begin(encoder, (uint64_t)CHUNK * CHUNKS);
        for (size_t i = 0; i < CHUNKS; i++) {
            payload_encoder_add(encoder, chunk, sizeof chunk);
            assert_true(payload_encoder_held(encoder) <= 2 * LIMIT + HEADROOM);
            if (i > 4)
                assert_int_equal(payload_encoder_held(encoder), 0);
        }
        payload_encoder_finish(encoder, &got.frame, &got.result);
        assert_true(got.result.too_large);
        uint64_t len = (uint64_t)CHUNK * CHUNKS;
        uint64_t size = bad ? 3 * len + (len + 2) / 3 * 4 + 18 : 2 * len;
        assert_int_equal(got.result.payload_size, size + 89);
        assert_int_equal(got.result.mail_size, len);

        struct buf json = {0};
        make_json(&json, "small", 5, "small", NULL);
        got = encode(encoder, "small", 5, 2, 4);
        expect(&got, 5, true, &json);
        buf_release(&json);
        payload_encoder_free(encoder);
    }
}

/* The announced size is a hint: it changes memory, never the outcome. */
static void test_announced_size(void **state)
{
    (void)state;
    static const uint64_t announced[] = {0, 1, 500, 1000, 5000, UNLIMITED, UINT64_MAX};
    uint8_t mail[1000];
    memset(mail, 'x', sizeof mail);
    struct payload_encoder *encoder = payload_encoder_new(PAYLOAD_JSON, HEADROOM, 2000);
    for (size_t i = 0; i < sizeof announced / sizeof *announced; i++) {
        struct encoded got = {0};
        payload_encoder_begin(encoder, announced[i]);
        assert_true(payload_encoder_held(encoder) <= HEADROOM + 2000);
        payload_encoder_add(encoder, mail, sizeof mail);
        payload_encoder_finish(encoder, &got.frame, &got.result);
        assert_int_equal(got.result.payload_size, 1089);
        assert_int_equal(got.frame.len, HEADROOM + 1089);
        buf_release(&got.frame);
    }
    payload_encoder_free(encoder);
}

static void test_known_to_be_too_large(void **state)
{
    (void)state;
    uint8_t mail[1000];
    memset(mail, 'x', sizeof mail);
    mail[500] = 0xFF;
    struct encoded whole;
    for (int format = 0; format < 2; format++) {
        struct payload_encoder *encoder =
            payload_encoder_new(format ? PAYLOAD_RAW : PAYLOAD_JSON, HEADROOM, UNLIMITED);
        whole = encode(encoder, (const char *)mail, sizeof mail, 0, sizeof mail);
        struct encoded got = {0};
        payload_encoder_begin(encoder, sizeof mail);
        payload_encoder_add(encoder, mail, 400);
        payload_encoder_keep_nothing(encoder);
        assert_int_equal(payload_encoder_held(encoder), 0);
        payload_encoder_add(encoder, mail + 400, sizeof mail - 400);
        assert_int_equal(payload_encoder_held(encoder), 0);
        payload_encoder_finish(encoder, &got.frame, &got.result);
        assert_true(got.result.too_large);
        assert_int_equal(got.frame.len, 0);
        assert_int_equal(got.result.payload_size, whole.result.payload_size);
        assert_memory_equal(got.result.sha256, whole.result.sha256, PAYLOAD_SHA256);
        buf_release(&whole.frame);
        payload_encoder_free(encoder);
    }
}

/* The right announcement: the memory is there at once and is what is handed over. */
static void test_one_allocation(void **state)
{
    (void)state;
    uint8_t mail[4000];
    for (size_t i = 0; i < sizeof mail; i++)
        mail[i] = i % 40 == 38 ? '\r' : i % 40 == 39 ? '\n' : 'x';
    struct payload_encoder *encoder = payload_encoder_new(PAYLOAD_JSON, HEADROOM, UNLIMITED);
    payload_encoder_begin(encoder, sizeof mail);
    size_t held = payload_encoder_held(encoder);
    payload_encoder_add(encoder, mail, sizeof mail);
    assert_int_equal(payload_encoder_held(encoder), held);
    struct encoded got = {0};
    payload_encoder_finish(encoder, &got.frame, &got.result);
    assert_int_equal(got.frame.len, HEADROOM + sizeof mail + 200 + 89);
    assert_true(got.frame.cap - got.frame.len <= got.frame.len / 8 + 256);
    assert_int_equal(payload_encoder_held(encoder), 0);
    buf_release(&got.frame);
    payload_encoder_free(encoder);
}

static void test_begin_drops_the_one_before(void **state)
{
    (void)state;
    struct payload_encoder *encoder = payload_encoder_new(PAYLOAD_JSON, HEADROOM, UNLIMITED);
    payload_encoder_begin(encoder, 10);
    payload_encoder_add(encoder, (const uint8_t *)"half a m\xff\xe2", 10);
    struct buf json = {0};
    make_json(&json, "whole", 5, "whole", NULL);
    struct encoded got = encode(encoder, "whole", 5, 0, 5);
    expect(&got, 5, true, &json);
    buf_release(&json);
    payload_encoder_begin(encoder, 10);
    payload_encoder_add(encoder, (const uint8_t *)"left\xff", 5);
    payload_encoder_free(encoder);
    payload_encoder_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_at_every_split),
        cmocka_unit_test(test_raw),
        cmocka_unit_test(test_base64_after_a_long_valid_beginning),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_too_large_holds_nothing),
        cmocka_unit_test(test_announced_size),
        cmocka_unit_test(test_known_to_be_too_large),
        cmocka_unit_test(test_one_allocation),
        cmocka_unit_test(test_begin_drops_the_one_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
