#include "payload/payload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/mem.h"
#include "payload/base64.h"
#include "payload/json_text.h"
#include "payload/out.h"

/* The text around the three values; the first has a gap for the hash, which is known last. */
static const char payload_json_start[] = "{\"sha256\": \"";
static const char payload_json_msg[] = "\", \"msg\": \"";
static const char payload_json_base64[] = "\", \"msg_base64\": \"";
static const char payload_json_end[] = "\"}";

enum {
    PAYLOAD_HEX = 2 * PAYLOAD_SHA256,
    PAYLOAD_START_SIZE = sizeof payload_json_start - 1,
    PAYLOAD_PREFIX_SIZE = PAYLOAD_START_SIZE + PAYLOAD_HEX + sizeof payload_json_msg - 1,
    PAYLOAD_BASE64_KEY_SIZE = sizeof payload_json_base64 - 1,
    PAYLOAD_END_SIZE = sizeof payload_json_end - 1,
    PAYLOAD_SLACK_MIN = 256, /* unused memory at the end of a frame that is not worth a call */
};

struct payload_encoder {
    enum payload_format format;
    size_t headroom;
    size_t max_payload;
    EVP_MD *sha256; /* fetched once: a fetch for each mail would cost more than a small mail */
    EVP_MD_CTX *hash;
    uint64_t mail_size;
    uint64_t expected;
    bool too_large;
    struct payload_out frame; /* headroom, then the payload */
    struct payload_json_text text;
    struct payload_out encoded; /* base64, from the first ill-formed sequence on */
    struct payload_base64 base64;
};

static void payload_hash_check(int ok)
{
    if (ok)
        return;
    fputs("OpenSSL does not do SHA-256\n", stderr);
    abort();
}

struct payload_encoder *payload_encoder_new(enum payload_format format, size_t headroom,
                                            size_t max_payload)
{
    struct payload_encoder *encoder = mem_new(struct payload_encoder);
    encoder->format = format;
    encoder->headroom = headroom;
    encoder->max_payload = max_payload < SIZE_MAX - headroom ? max_payload : SIZE_MAX - headroom;
    encoder->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    encoder->hash = EVP_MD_CTX_new();
    payload_hash_check(encoder->sha256 && encoder->hash);
    return encoder;
}

static void payload_encoder_drop(struct payload_encoder *encoder)
{
    payload_out_drop(&encoder->frame);
    payload_out_drop(&encoder->encoded);
}

void payload_encoder_free(struct payload_encoder *encoder)
{
    if (!encoder)
        return;
    payload_encoder_drop(encoder);
    EVP_MD_CTX_free(encoder->hash);
    EVP_MD_free(encoder->sha256);
    free(encoder);
}

/* The first allocation: enough for the usual mail at once. One that is announced as too large gets
 * nothing in advance, since it will most likely be dropped. */
static uint64_t payload_encoder_estimate(const struct payload_encoder *encoder)
{
    uint64_t expected = encoder->expected;
    if (expected > encoder->max_payload)
        return 0;
    if (encoder->format == PAYLOAD_RAW)
        return encoder->headroom + expected;
    /* A line end becomes two bytes longer; the text around the mail has less than 128 bytes. */
    return encoder->headroom + expected + expected / 8 + 128;
}

static void payload_encoder_start_frame(struct payload_encoder *encoder)
{
    static const uint8_t zeros[64];
    struct payload_out *frame = &encoder->frame;
    payload_out_reset(frame, encoder->headroom + encoder->max_payload,
                      payload_encoder_estimate(encoder));
    for (size_t left = encoder->headroom; left;) {
        size_t now = left < sizeof zeros ? left : sizeof zeros;
        payload_out_add(frame, zeros, now);
        left -= now;
    }
    if (encoder->format == PAYLOAD_JSON) {
        payload_out_add(frame, payload_json_start, PAYLOAD_START_SIZE);
        payload_out_add(frame, zeros, PAYLOAD_HEX);
        payload_out_add(frame, payload_json_msg, sizeof payload_json_msg - 1);
    }
}

void payload_encoder_begin(struct payload_encoder *encoder, uint64_t expected)
{
    encoder->mail_size = 0;
    encoder->expected = expected;
    encoder->too_large = false;
    encoder->text = (struct payload_json_text){0};
    encoder->base64 = (struct payload_base64){0};
    payload_out_drop(&encoder->encoded);
    payload_encoder_start_frame(encoder);
    payload_hash_check(EVP_DigestInit_ex(encoder->hash, encoder->sha256, NULL));
}

/* What the payload would have if the mail ended here. It never shrinks as the mail grows. */
static uint64_t payload_encoder_size(const struct payload_encoder *encoder)
{
    uint64_t size = encoder->frame.size - encoder->headroom;
    if (encoder->format == PAYLOAD_RAW)
        return size;
    if (encoder->text.replaced)
        size += PAYLOAD_BASE64_KEY_SIZE + payload_base64_size(encoder->mail_size);
    return size + PAYLOAD_END_SIZE;
}

void payload_encoder_keep_nothing(struct payload_encoder *encoder)
{
    encoder->too_large = true;
    payload_encoder_drop(encoder);
}

static void payload_encoder_check_size(struct payload_encoder *encoder)
{
    if (encoder->too_large || payload_encoder_size(encoder) <= encoder->max_payload)
        return;
    payload_encoder_keep_nothing(encoder);
}

/* base64 is needed after all: the bytes of the mail that are gone already are what the first
 * `written` bytes of the frame say, which were valid until then, and what was pending. */
static void payload_encoder_recover(struct payload_encoder *encoder, size_t written,
                                    const struct payload_json_text *before)
{
    uint8_t bytes[768];
    size_t skipped = encoder->headroom + PAYLOAD_PREFIX_SIZE;
    const uint8_t *text = encoder->frame.kept.data + skipped;
    size_t len = written - skipped;
    uint64_t known =
        encoder->expected > encoder->mail_size ? encoder->expected : encoder->mail_size;
    if (known > encoder->max_payload)
        known = encoder->mail_size;
    payload_out_reset(&encoder->encoded, encoder->max_payload, payload_base64_size(known));
    while (len) {
        size_t now = payload_json_text_unescape(&text, &len, bytes, sizeof bytes);
        payload_base64_add(&encoder->base64, &encoder->encoded, bytes, now);
    }
    payload_base64_add(&encoder->base64, &encoder->encoded, before->pending, before->pending_len);
}

/* `before` and `written` are how things stood before `data` was added. */
static void payload_encoder_add_base64(struct payload_encoder *encoder, size_t written,
                                       const struct payload_json_text *before, const uint8_t *data,
                                       size_t len)
{
    payload_encoder_check_size(encoder);
    if (!encoder->text.replaced || encoder->too_large)
        return;
    if (!before->replaced)
        payload_encoder_recover(encoder, written, before);
    payload_base64_add(&encoder->base64, &encoder->encoded, data, len);
}

void payload_encoder_add(struct payload_encoder *encoder, const uint8_t *data, size_t len)
{
    payload_hash_check(EVP_DigestUpdate(encoder->hash, data, len));
    encoder->mail_size += len;
    if (encoder->format == PAYLOAD_RAW) {
        payload_out_add(&encoder->frame, data, len);
        payload_encoder_check_size(encoder);
        return;
    }
    size_t written = encoder->frame.kept.len;
    struct payload_json_text before = encoder->text;
    payload_json_text_add(&encoder->text, &encoder->frame, data, len);
    payload_encoder_add_base64(encoder, written, &before, data, len);
}

size_t payload_encoder_held(const struct payload_encoder *encoder)
{
    return encoder->frame.kept.cap + encoder->encoded.kept.cap;
}

/* The rest of the JSON, and the hash into its gap. The size has been checked. */
static void payload_encoder_finish_json(struct payload_encoder *encoder,
                                        const uint8_t sha256[PAYLOAD_SHA256])
{
    struct payload_out *frame = &encoder->frame;
    struct buf *encoded = &encoder->encoded.kept;
    if (encoder->text.replaced) {
        payload_base64_end(&encoder->base64, &encoder->encoded);
        payload_out_reserve(frame, PAYLOAD_BASE64_KEY_SIZE + encoded->len + PAYLOAD_END_SIZE);
        payload_out_add(frame, payload_json_base64, PAYLOAD_BASE64_KEY_SIZE);
        payload_out_add(frame, encoded->data, encoded->len);
        payload_out_drop(&encoder->encoded);
    }
    payload_out_add(frame, payload_json_end, PAYLOAD_END_SIZE);
    char hex[PAYLOAD_HEX + 1];
    memcpy(frame->kept.data + encoder->headroom + PAYLOAD_START_SIZE,
           payload_sha256_hex(hex, sha256), PAYLOAD_HEX);
}

/* Hands the memory over, without more than a little that is unused. */
static void payload_encoder_hand_over(struct payload_encoder *encoder, struct buf *ret_frame)
{
    struct buf *kept = &encoder->frame.kept;
    if (kept->cap - kept->len > kept->len / 8 + PAYLOAD_SLACK_MIN) {
        kept->data = mem_realloc_array(kept->data, kept->len, 1);
        kept->cap = kept->len;
    }
    *ret_frame = *kept;
    *kept = (struct buf){0};
}

void payload_encoder_finish(struct payload_encoder *encoder, struct buf *ret_frame,
                            struct payload_result *ret_result)
{
    struct payload_result result = {.mail_size = encoder->mail_size};
    payload_hash_check(EVP_DigestFinal_ex(encoder->hash, result.sha256, NULL));
    if (encoder->format == PAYLOAD_JSON) {
        size_t written = encoder->frame.kept.len;
        struct payload_json_text before = encoder->text;
        payload_json_text_end(&encoder->text, &encoder->frame);
        payload_encoder_add_base64(encoder, written, &before, NULL, 0);
    }
    result.payload_size = payload_encoder_size(encoder);
    result.utf8 = !encoder->text.replaced;
    result.too_large = encoder->too_large;
    if (encoder->format == PAYLOAD_JSON && !encoder->too_large)
        payload_encoder_finish_json(encoder, result.sha256);
    payload_encoder_hand_over(encoder, ret_frame);
    payload_encoder_drop(encoder);
    *ret_result = result;
}

char *payload_sha256_hex(char *out, const uint8_t sha256[PAYLOAD_SHA256])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < PAYLOAD_SHA256; i++) {
        out[2 * i] = digits[sha256[i] >> 4];
        out[2 * i + 1] = digits[sha256[i] & 15];
    }
    out[PAYLOAD_HEX] = '\0';
    return out;
}
