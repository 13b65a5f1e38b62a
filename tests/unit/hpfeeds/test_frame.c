#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "hpfeeds/frame.h"

enum {
    FRAME_MAX = 1000
};

struct frame_case {
    const char *wire;
    size_t wire_len;
    enum hpfeeds_opcode opcode;
    const char *ident, *channel, *payload; /* NULL: absent */
};

#define WIRE(text) text, sizeof text - 1
#define DIGEST "\xbf\x13\xc5\x97\xff\xb2\x88\xba\x1d\x01\x3c\x27\x7c\x6a\x22\x9a\x8e\x97\x6b\x5a"

static const struct frame_case cases[] = {
    {WIRE("\0\0\0\x05\0"), HPFEEDS_ERROR, NULL, NULL, ""},
    {WIRE("\0\0\0\x0b\0denied"), HPFEEDS_ERROR, NULL, NULL, "denied"},
    {WIRE("\0\0\0\x10\x01\x06"
          "broker\x01\x02\x03\x04"),
     HPFEEDS_INFO, "broker", NULL, "\x01\x02\x03\x04"},
    {WIRE("\0\0\0\x16\x01\0"
          "sixteen_byte_non"),
     HPFEEDS_INFO, "", NULL, "sixteen_byte_non"},
    {WIRE("\0\0\0\x20\x02\x06writer" DIGEST), HPFEEDS_AUTH, "writer", NULL, DIGEST},
    {WIRE("\0\0\0\x17\x03\x01w\x0aspam.mailshello"), HPFEEDS_PUBLISH, "w", "spam.mails", "hello"},
    {WIRE("\0\0\0\x0a\x03\x01w\x02"
          "ch"),
     HPFEEDS_PUBLISH, "w", "ch", ""},
    {WIRE("\0\0\0\x11\x04\x01wspam.mails"), HPFEEDS_SUBSCRIBE, "w", "spam.mails", NULL},
    {WIRE("\0\0\0\x11\x05\x01wspam.mails"), HPFEEDS_UNSUBSCRIBE, "w", "spam.mails", NULL},
    {WIRE("\0\0\0\x07\x05\x01w"), HPFEEDS_UNSUBSCRIBE, "w", "", NULL},
};

enum {
    CASES = sizeof cases / sizeof *cases
};

static void expect_bytes(const void *bytes, size_t len, const char *text)
{
    assert_int_equal(len, text ? strlen(text) : 0);
    if (len)
        assert_memory_equal(bytes, text, len);
}

static void expect_frame(const struct hpfeeds_frame *frame, const struct frame_case *c)
{
    assert_int_equal(frame->opcode, c->opcode);
    expect_bytes(frame->ident, frame->ident_len, c->ident);
    expect_bytes(frame->channel, frame->channel_len, c->channel);
    expect_bytes(frame->payload, frame->payload_len, c->payload);
    assert_int_equal(frame->whole_len, c->wire_len);
    assert_memory_equal(frame->whole, c->wire, c->wire_len);
}

/* Feeds a copy of exactly `len` bytes and expects the frames from cases[*seen] on. */
static void feed(struct hpfeeds_decoder *decoder, const uint8_t *data, size_t len, size_t *seen)
{
    uint8_t *copy = malloc(len ? len : 1);
    assert_non_null(copy);
    memcpy(copy, data, len);
    hpfeeds_decoder_feed(decoder, copy, len);
    struct hpfeeds_frame frame;
    struct err err;
    int got;
    while ((got = hpfeeds_decoder_next(decoder, &frame, &err)) > 0)
        expect_frame(&frame, &cases[(*seen)++]);
    assert_int_equal(got, 0);
    free(copy);
}

static void test_table_at_every_split(void **state)
{
    (void)state;
    struct buf wire = {0};
    for (size_t i = 0; i < CASES; i++)
        buf_add(&wire, cases[i].wire, cases[i].wire_len);
    for (size_t first = 0; first <= wire.len; first++)
        for (size_t second = first; second <= wire.len; second++) {
            struct hpfeeds_decoder decoder;
            size_t seen = 0;
            hpfeeds_decoder_init(&decoder, FRAME_MAX);
            feed(&decoder, wire.data, first, &seen);
            feed(&decoder, wire.data + first, second - first, &seen);
            feed(&decoder, wire.data + second, wire.len - second, &seen);
            assert_int_equal(seen, CASES);
            assert_false(hpfeeds_decoder_partial(&decoder));
            hpfeeds_decoder_release(&decoder);
        }
    buf_release(&wire);
}

static void test_byte_by_byte(void **state)
{
    (void)state;
    struct hpfeeds_decoder decoder;
    size_t seen = 0;
    hpfeeds_decoder_init(&decoder, FRAME_MAX);
    for (size_t i = 0; i < CASES; i++)
        for (size_t j = 0; j < cases[i].wire_len; j++) {
            assert_int_equal(hpfeeds_decoder_partial(&decoder), j > 0);
            feed(&decoder, (const uint8_t *)cases[i].wire + j, 1, &seen);
        }
    assert_int_equal(seen, CASES);
    hpfeeds_decoder_release(&decoder);
}

struct bad_case {
    const char *wire;
    size_t len;
    size_t refused_after; /* this many bytes, not later */
};

static const struct bad_case bad_cases[] = {
    {WIRE("\0\0\0\0\x03"), 4},
    {WIRE("\0\0\0\x01\x03"), 4},
    {WIRE("\0\0\0\x04\x03"), 4},
    {WIRE("\0\0\x03\xe9\x03"), 4}, /* 1001 */
    {WIRE("\xff\xff\xff\xff\x03"), 4},
    {WIRE("\x80\0\0\x10\x03"), 4},
    {WIRE("\0\0\0\x05\x06"), 5},
    {WIRE("\0\0\0\x64\xff"), 5},
    {WIRE("\0\0\0\x05\x01"), 5},       /* no length of the name */
    {WIRE("\0\0\0\x08\x01\x03xy"), 8}, /* name longer than the body */
    {WIRE("\0\0\0\x06\x02\xff"), 6},
    {WIRE("\0\0\0\x05\x03"), 5},
    {WIRE("\0\0\0\x06\x03\0"), 6}, /* no length of the channel */
    {WIRE("\0\0\0\x0a\x03\x01w\x03xy"), 10},
    {WIRE("\0\0\0\x0a\x03\x05wxyz"), 10},
    {WIRE("\0\0\0\x05\x04"), 5},
    {WIRE("\0\0\0\x07\x05\x02w"), 7},
};

static int next_after(struct hpfeeds_decoder *decoder, const void *data, size_t len)
{
    static struct hpfeeds_frame frame;
    struct err err;
    hpfeeds_decoder_feed(decoder, data, len);
    int got = hpfeeds_decoder_next(decoder, &frame, &err);
    if (got < 0) {
        assert_int_equal(err.action, ERR_GIVE_UP);
        assert_true(strlen(err.text) > 0);
    }
    return got;
}

static void test_broken_frames_are_refused_at_once(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_cases / sizeof *bad_cases; i++) {
        const struct bad_case *c = &bad_cases[i];
        for (size_t split = 0; split < c->refused_after; split++) {
            struct hpfeeds_decoder decoder;
            hpfeeds_decoder_init(&decoder, FRAME_MAX);
            assert_int_equal(next_after(&decoder, c->wire, split), 0);
            assert_int_equal(next_after(&decoder, c->wire + split, c->refused_after - split), -1);
            /* and it stays so */
            assert_int_equal(next_after(&decoder, cases[1].wire, cases[1].wire_len), -1);
            assert_int_equal(decoder.partial.cap, 0);
            hpfeeds_decoder_release(&decoder);
        }
    }
}

static void test_good_frames_before_a_broken_one_come_out(void **state)
{
    (void)state;
    struct buf wire = {0};
    buf_add(&wire, cases[1].wire, cases[1].wire_len);
    buf_add(&wire, "\0\0\0\0", 4);
    struct hpfeeds_decoder decoder;
    struct hpfeeds_frame frame;
    hpfeeds_decoder_init(&decoder, FRAME_MAX);
    hpfeeds_decoder_feed(&decoder, wire.data, wire.len);
    assert_int_equal(hpfeeds_decoder_next(&decoder, &frame, NULL), 1);
    expect_frame(&frame, &cases[1]);
    assert_int_equal(hpfeeds_decoder_next(&decoder, &frame, NULL), -1);
    expect_frame(&frame, &cases[1]); /* untouched */
    hpfeeds_decoder_release(&decoder);
    buf_release(&wire);
}

static void test_maximum(void **state)
{
    (void)state;
    uint8_t payload[FRAME_MAX] = {0};
    for (size_t over = 0; over < 2; over++) {
        struct buf wire = {0};
        size_t prefix = hpfeeds_publish_prefix("ident", "channel");
        hpfeeds_add_publish(&wire, "ident", "channel", payload, FRAME_MAX - prefix + over);
        assert_int_equal(wire.len, FRAME_MAX + over);
        struct hpfeeds_decoder decoder;
        hpfeeds_decoder_init(&decoder, 20);
        hpfeeds_decoder_set_max(&decoder, FRAME_MAX);
        assert_int_equal(next_after(&decoder, wire.data, wire.len), over ? -1 : 1);
        hpfeeds_decoder_release(&decoder);
        buf_release(&wire);
    }
}

static void test_memory_follows_what_came(void **state)
{
    (void)state;
    enum {
        SIZE = 1 << 20,
        CHUNK = 1000
    };
    uint8_t *wire = calloc(1, SIZE);
    assert_non_null(wire);
    memcpy(wire, "\0\x10\0\0\x03", 5);
    struct hpfeeds_decoder decoder;
    hpfeeds_decoder_init(&decoder, SIZE);
    size_t fed = 0;
    for (; fed + CHUNK < SIZE; fed += CHUNK) {
        assert_int_equal(next_after(&decoder, wire + fed, CHUNK), 0);
        assert_true(decoder.partial.cap <= 2 * (fed + CHUNK) && decoder.partial.cap <= SIZE);
        assert_true(hpfeeds_decoder_partial(&decoder));
    }
    assert_int_equal(next_after(&decoder, wire + fed, SIZE - fed), 1);
    assert_false(hpfeeds_decoder_partial(&decoder));
    struct hpfeeds_frame frame;
    assert_int_equal(hpfeeds_decoder_next(&decoder, &frame, NULL), 0);
    assert_int_equal(decoder.partial.cap, 0); /* none of it stays with an idle connection */
    hpfeeds_decoder_release(&decoder);
    free(wire);
}

static void test_whole_frames_are_not_copied(void **state)
{
    (void)state;
    struct hpfeeds_decoder decoder;
    struct hpfeeds_frame frame;
    struct buf wire = {0};
    buf_add(&wire, cases[5].wire, cases[5].wire_len);
    buf_add(&wire, cases[6].wire, cases[6].wire_len);
    hpfeeds_decoder_init(&decoder, FRAME_MAX);
    hpfeeds_decoder_feed(&decoder, wire.data, wire.len);
    assert_int_equal(hpfeeds_decoder_next(&decoder, &frame, NULL), 1);
    assert_ptr_equal(frame.whole, wire.data);
    assert_int_equal(hpfeeds_decoder_next(&decoder, &frame, NULL), 1);
    assert_ptr_equal(frame.whole, wire.data + cases[5].wire_len);
    assert_int_equal(hpfeeds_decoder_next(&decoder, &frame, NULL), 0);
    assert_int_equal(decoder.partial.cap, 0);
    hpfeeds_decoder_release(&decoder);
    buf_release(&wire);
}

static void encode(struct buf *out, const struct frame_case *c)
{
    static const uint8_t nonce[] = {1, 2, 3, 4};
    const void *payload = c->payload;
    switch (c->opcode) {
    case HPFEEDS_ERROR:
        hpfeeds_add_error(out, c->payload);
        break;
    case HPFEEDS_INFO:
        hpfeeds_add_info(out, c->ident, payload, strlen(c->payload));
        break;
    case HPFEEDS_AUTH:
        hpfeeds_add_auth(out, c->ident, nonce, sizeof nonce, "secret");
        break;
    case HPFEEDS_PUBLISH:
        hpfeeds_add_publish(out, c->ident, c->channel, payload, strlen(c->payload));
        break;
    case HPFEEDS_SUBSCRIBE:
        hpfeeds_add_subscribe(out, c->ident, c->channel);
        break;
    case HPFEEDS_UNSUBSCRIBE:
        hpfeeds_add_unsubscribe(out, c->ident, c->channel);
        break;
    }
}

static void test_encoders_write_the_same_bytes(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASES; i++) {
        struct buf out = {0};
        buf_add_str(&out, "before");
        encode(&out, &cases[i]);
        assert_int_equal(out.len, 6 + cases[i].wire_len);
        assert_memory_equal(out.data + 6, cases[i].wire, cases[i].wire_len);
        buf_release(&out);
    }
}

static void test_publish_prefix(void **state)
{
    (void)state;
    uint8_t out[64];
    memset(out, 0xEE, sizeof out);
    assert_int_equal(hpfeeds_publish_prefix("w", "spam.mails"), 18);
    hpfeeds_put_publish_prefix(out, "w", "spam.mails", 5);
    assert_memory_equal(out, cases[5].wire, 18);
    assert_int_equal(out[18], 0xEE);
    hpfeeds_put_publish_prefix(out, "w", "spam.mails", 0x01020304 - 18);
    assert_memory_equal(out, "\x01\x02\x03\x04\x03", 5);
}

static void test_longest_strings(void **state)
{
    (void)state;
    char name[256];
    memset(name, 'n', 255);
    name[255] = '\0';
    struct buf out = {0};
    hpfeeds_add_publish(&out, name, name, "x", 1);
    hpfeeds_add_subscribe(&out, name, name);
    struct hpfeeds_decoder decoder;
    struct hpfeeds_frame frame;
    hpfeeds_decoder_init(&decoder, FRAME_MAX);
    hpfeeds_decoder_feed(&decoder, out.data, out.len);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(hpfeeds_decoder_next(&decoder, &frame, NULL), 1);
        expect_bytes(frame.ident, frame.ident_len, name);
        expect_bytes(frame.channel, frame.channel_len, name);
    }
    hpfeeds_decoder_release(&decoder);
    buf_release(&out);
}

static void test_digest(void **state)
{
    (void)state;
    static const uint8_t nonce[16];
    uint8_t digest[HPFEEDS_DIGEST];
    hpfeeds_digest(digest, (const uint8_t *)"\x01\x02\x03\x04", 4, "secret");
    assert_memory_equal(digest, DIGEST, sizeof digest);
    hpfeeds_digest(digest, nonce, sizeof nonce, "");
    assert_memory_equal(digest,
                        "\xe1\x29\xf2\x7c\x51\x03\xbc\x5c\xc4\x4b\xcd\xf0\xa1\x5e\x16\x0d\x44\x50"
                        "\x66\xff",
                        sizeof digest);
}

static void test_names_valid(void **state)
{
    (void)state;
    char longest[128], over[129], rest[127];
    memset(longest, 'a', sizeof longest);
    memset(over, 'a', sizeof over);
    memset(rest, 'b', sizeof rest);
    longest[127] = over[128] = rest[126] = '\0';
    const struct {
        const char *ident, *channel;
        bool valid;
    } names[] = {
        {"writer", "spam.mails", true},
        {"schr\xc3\xa4g", "\xe2\x82\xac", true},
        {"", "spam.mails", false},
        {"writer", "", false},
        {longest, "c", true},
        {"i", longest, true},
        {over, "c", false},
        {"i", over, false},
        {longest, rest + 1, true}, /* 127 + 125 */
        {longest, rest, false},    /* 127 + 126 */
        {longest, longest, false},
        {"wr\xe4ter", "c", false},
        {"i", "\xed\xa0\x80", false},
        {"i", "cut\xe2\x82", false},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct err err = {.text = ""};
        assert_int_equal(hpfeeds_names_valid(names[i].ident, names[i].channel, &err),
                         names[i].valid);
        assert_int_equal(strlen(err.text) == 0, names[i].valid);
    }
    assert_false(hpfeeds_names_valid("", "", NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table_at_every_split),
        cmocka_unit_test(test_byte_by_byte),
        cmocka_unit_test(test_broken_frames_are_refused_at_once),
        cmocka_unit_test(test_good_frames_before_a_broken_one_come_out),
        cmocka_unit_test(test_maximum),
        cmocka_unit_test(test_memory_follows_what_came),
        cmocka_unit_test(test_whole_frames_are_not_copied),
        cmocka_unit_test(test_encoders_write_the_same_bytes),
        cmocka_unit_test(test_publish_prefix),
        cmocka_unit_test(test_longest_strings),
        cmocka_unit_test(test_digest),
        cmocka_unit_test(test_names_valid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
