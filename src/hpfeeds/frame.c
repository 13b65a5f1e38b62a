#include "hpfeeds/frame.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/mem.h"
#include "base/text.h"

enum {
    HPFEEDS_LENGTH = 4, /* of the length field */
    HPFEEDS_STRING_MAX = 255,
};

static uint32_t hpfeeds_get_u32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

void hpfeeds_decoder_init(struct hpfeeds_decoder *decoder, size_t frame_max)
{
    *decoder = (struct hpfeeds_decoder){.frame_max = frame_max};
}

void hpfeeds_decoder_release(struct hpfeeds_decoder *decoder)
{
    buf_release(&decoder->partial);
}

void hpfeeds_decoder_set_max(struct hpfeeds_decoder *decoder, size_t frame_max)
{
    decoder->frame_max = frame_max;
}

void hpfeeds_decoder_feed(struct hpfeeds_decoder *decoder, const uint8_t *data, size_t len)
{
    assert(!decoder->input_len);
    if (decoder->failed)
        return;
    decoder->input = data;
    decoder->input_len = len;
}

size_t hpfeeds_decoder_take_back(struct hpfeeds_decoder *decoder)
{
    size_t len = decoder->input_len;
    decoder->input_len = 0;
    return len;
}

bool hpfeeds_decoder_partial(const struct hpfeeds_decoder *decoder)
{
    return decoder->partial.len && !decoder->partial_used;
}

/* Judges as much of a header as is there: a bad length is refused before the rest has come. */
static int hpfeeds_decoder_check(const struct hpfeeds_decoder *decoder, const uint8_t *head,
                                 size_t have, struct err *err)
{
    if (have < HPFEEDS_LENGTH)
        return 0;
    uint32_t length = hpfeeds_get_u32(head);
    if (length < HPFEEDS_HEADER)
        return err_set(err, ERR_GIVE_UP, "hpfeeds frame of impossible length %u", (unsigned)length);
    if (length > decoder->frame_max)
        return err_set(err, ERR_GIVE_UP, "hpfeeds frame of %u bytes, at most %zu are allowed",
                       (unsigned)length, decoder->frame_max);
    if (have >= HPFEEDS_HEADER && head[HPFEEDS_LENGTH] > HPFEEDS_UNSUBSCRIBE)
        return err_set(err, ERR_GIVE_UP, "unknown hpfeeds opcode %u",
                       (unsigned)head[HPFEEDS_LENGTH]);
    return 0;
}

/* Moves input behind the partial frame until that has `total` bytes or the input is used up. The
 * buffer at most doubles, and never gets larger than the frame. */
static void hpfeeds_decoder_take(struct hpfeeds_decoder *decoder, size_t total)
{
    struct buf *partial = &decoder->partial;
    size_t len = total - partial->len;
    if (len > decoder->input_len)
        len = decoder->input_len;
    if (partial->cap - partial->len < len) {
        size_t cap = partial->cap < total / 2 ? partial->cap * 2 : total;
        size_t needed = partial->len + len;
        buf_reserve_exact(partial, (cap > needed ? cap : needed) - partial->len);
    }
    buf_add(partial, decoder->input, len);
    decoder->input += len;
    decoder->input_len -= len;
}

/* Goes on with a frame whose beginning came earlier. */
static int hpfeeds_decoder_resume(struct hpfeeds_decoder *decoder, const uint8_t **ret_frame,
                                  struct err *err)
{
    struct buf *partial = &decoder->partial;
    if (partial->len < HPFEEDS_HEADER)
        hpfeeds_decoder_take(decoder, HPFEEDS_HEADER);
    if (hpfeeds_decoder_check(decoder, partial->data, partial->len, err))
        return -1;
    if (partial->len < HPFEEDS_HEADER)
        return 0;
    size_t length = hpfeeds_get_u32(partial->data);
    hpfeeds_decoder_take(decoder, length);
    if (partial->len < length)
        return 0;
    decoder->partial_used = length;
    *ret_frame = partial->data;
    return 1;
}

/* A frame that is whole in the input is handed out where it lies. */
static int hpfeeds_decoder_direct(struct hpfeeds_decoder *decoder, const uint8_t **ret_frame,
                                  struct err *err)
{
    if (hpfeeds_decoder_check(decoder, decoder->input, decoder->input_len, err))
        return -1;
    size_t length = HPFEEDS_HEADER;
    if (decoder->input_len >= HPFEEDS_HEADER)
        length = hpfeeds_get_u32(decoder->input);
    if (decoder->input_len < length) {
        hpfeeds_decoder_take(decoder, length);
        return 0;
    }
    *ret_frame = decoder->input;
    decoder->input += length;
    decoder->input_len -= length;
    return 1;
}

/* Takes a string of its own length from the front of the body. */
static bool hpfeeds_take_string(const uint8_t **body, size_t *len, const char **ret_text,
                                size_t *ret_len)
{
    if (!*len || **body > *len - 1)
        return false;
    *ret_len = **body;
    *ret_text = (const char *)*body + 1;
    *body += 1 + *ret_len;
    *len -= 1 + *ret_len;
    return true;
}

static int hpfeeds_frame_parse(const uint8_t *whole, struct hpfeeds_frame *ret_frame,
                               struct err *err)
{
    size_t whole_len = hpfeeds_get_u32(whole);
    const uint8_t *body = whole + HPFEEDS_HEADER;
    size_t len = whole_len - HPFEEDS_HEADER;
    struct hpfeeds_frame frame = {
        .opcode = (enum hpfeeds_opcode)whole[HPFEEDS_LENGTH],
        .whole = whole,
        .whole_len = whole_len,
    };
    bool fits = true;
    if (frame.opcode != HPFEEDS_ERROR)
        fits = hpfeeds_take_string(&body, &len, &frame.ident, &frame.ident_len);
    if (fits && frame.opcode == HPFEEDS_PUBLISH)
        fits = hpfeeds_take_string(&body, &len, &frame.channel, &frame.channel_len);
    if (!fits)
        return err_set(err, ERR_GIVE_UP, "hpfeeds frame with opcode %u is too short for its fields",
                       (unsigned)frame.opcode);
    if (frame.opcode == HPFEEDS_SUBSCRIBE || frame.opcode == HPFEEDS_UNSUBSCRIBE) {
        frame.channel = (const char *)body;
        frame.channel_len = len;
    } else {
        frame.payload = body;
        frame.payload_len = len;
    }
    *ret_frame = frame;
    return 1;
}

int hpfeeds_decoder_next(struct hpfeeds_decoder *decoder, struct hpfeeds_frame *ret_frame,
                         struct err *err)
{
    if (decoder->failed)
        return err_set(err, ERR_GIVE_UP, "an earlier hpfeeds frame was broken");
    if (decoder->partial_used) {
        buf_release(&decoder->partial);
        decoder->partial_used = 0;
    }
    if (!decoder->input_len)
        return 0;
    const uint8_t *whole = NULL;
    int got = decoder->partial.len ? hpfeeds_decoder_resume(decoder, &whole, err)
                                   : hpfeeds_decoder_direct(decoder, &whole, err);
    if (got > 0)
        got = hpfeeds_frame_parse(whole, ret_frame, err);
    if (got < 0) {
        buf_release(&decoder->partial);
        decoder->input_len = 0;
        decoder->failed = true;
    }
    return got;
}

static void hpfeeds_put_u32(uint8_t *out, size_t value)
{
    assert(value <= UINT32_MAX);
    out[0] = (uint8_t)(value >> 24);
    out[1] = (uint8_t)(value >> 16);
    out[2] = (uint8_t)(value >> 8);
    out[3] = (uint8_t)value;
}

static void hpfeeds_add_header(struct buf *out, enum hpfeeds_opcode opcode, size_t body_len)
{
    uint8_t header[HPFEEDS_HEADER];
    hpfeeds_put_u32(header, HPFEEDS_HEADER + body_len);
    header[HPFEEDS_LENGTH] = (uint8_t)opcode;
    buf_add(out, header, sizeof header);
}

static void hpfeeds_add_string(struct buf *out, const char *text, size_t len)
{
    assert(len <= HPFEEDS_STRING_MAX);
    buf_add_byte(out, (uint8_t)len);
    buf_add(out, text, len);
}

void hpfeeds_add_error(struct buf *out, const char *text)
{
    size_t len = strlen(text);
    hpfeeds_add_header(out, HPFEEDS_ERROR, len);
    buf_add(out, text, len);
}

void hpfeeds_add_info(struct buf *out, const char *name, const uint8_t *nonce, size_t nonce_len)
{
    size_t name_len = strlen(name);
    hpfeeds_add_header(out, HPFEEDS_INFO, 1 + name_len + nonce_len);
    hpfeeds_add_string(out, name, name_len);
    buf_add(out, nonce, nonce_len);
}

void hpfeeds_add_auth(struct buf *out, const char *ident, const uint8_t *nonce, size_t nonce_len,
                      const char *secret)
{
    size_t ident_len = strlen(ident);
    uint8_t digest[HPFEEDS_DIGEST];
    hpfeeds_digest(digest, nonce, nonce_len, secret);
    hpfeeds_add_header(out, HPFEEDS_AUTH, 1 + ident_len + sizeof digest);
    hpfeeds_add_string(out, ident, ident_len);
    buf_add(out, digest, sizeof digest);
}

void hpfeeds_add_publish(struct buf *out, const char *ident, const char *channel,
                         const void *payload, size_t len)
{
    size_t prefix = hpfeeds_publish_prefix(ident, channel);
    buf_reserve(out, prefix + len);
    hpfeeds_put_publish_prefix(out->data + out->len, ident, channel, len);
    out->len += prefix;
    buf_add(out, payload, len);
}

static void hpfeeds_add_channel_frame(struct buf *out, enum hpfeeds_opcode opcode,
                                      const char *ident, const char *channel)
{
    size_t ident_len = strlen(ident), channel_len = strlen(channel);
    assert(channel_len <= HPFEEDS_STRING_MAX);
    hpfeeds_add_header(out, opcode, 1 + ident_len + channel_len);
    hpfeeds_add_string(out, ident, ident_len);
    buf_add(out, channel, channel_len);
}

void hpfeeds_add_subscribe(struct buf *out, const char *ident, const char *channel)
{
    hpfeeds_add_channel_frame(out, HPFEEDS_SUBSCRIBE, ident, channel);
}

void hpfeeds_add_unsubscribe(struct buf *out, const char *ident, const char *channel)
{
    hpfeeds_add_channel_frame(out, HPFEEDS_UNSUBSCRIBE, ident, channel);
}

size_t hpfeeds_publish_prefix(const char *ident, const char *channel)
{
    return HPFEEDS_HEADER + 1 + strlen(ident) + 1 + strlen(channel);
}

static uint8_t *hpfeeds_put_string(uint8_t *out, const char *text)
{
    size_t len = strlen(text);
    assert(len <= HPFEEDS_STRING_MAX);
    *out = (uint8_t)len;
    memcpy(out + 1, text, len);
    return out + 1 + len;
}

void hpfeeds_put_publish_prefix(uint8_t *out, const char *ident, const char *channel,
                                size_t payload_len)
{
    hpfeeds_put_u32(out, hpfeeds_publish_prefix(ident, channel) + payload_len);
    out[HPFEEDS_LENGTH] = HPFEEDS_PUBLISH;
    hpfeeds_put_string(hpfeeds_put_string(out + HPFEEDS_HEADER, ident), channel);
}

void hpfeeds_digest(uint8_t out[HPFEEDS_DIGEST], const uint8_t *nonce, size_t nonce_len,
                    const char *secret)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (!ctx || EVP_DigestInit_ex(ctx, EVP_sha1(), NULL) != 1 ||
        EVP_DigestUpdate(ctx, nonce, nonce_len) != 1 ||
        EVP_DigestUpdate(ctx, secret, strlen(secret)) != 1 ||
        EVP_DigestFinal_ex(ctx, out, NULL) != 1) {
        fputs("OpenSSL does not do SHA-1\n", stderr);
        abort();
    }
    EVP_MD_CTX_free(ctx); /* wipes what it held of the secret */
}

static bool hpfeeds_name_valid(const char *what, const char *name, struct err *err)
{
    size_t len = strlen(name);
    if (!len) {
        err_set(err, ERR_GIVE_UP, "the %s is empty", what);
        return false;
    }
    if (len > HPFEEDS_NAME_MAX) {
        err_set(err, ERR_GIVE_UP, "the %s has %zu bytes, hpfeeds brokers take at most %d", what,
                len, HPFEEDS_NAME_MAX);
        return false;
    }
    if (!text_is_utf8(name, len)) {
        err_set(err, ERR_GIVE_UP, "the %s is not valid UTF-8", what);
        return false;
    }
    return true;
}

bool hpfeeds_names_valid(const char *ident, const char *channel, struct err *err)
{
    if (!hpfeeds_name_valid("ident", ident, err) || !hpfeeds_name_valid("channel", channel, err))
        return false;
    size_t both = strlen(ident) + strlen(channel);
    if (both > HPFEEDS_NAMES_MAX) {
        err_set(err, ERR_GIVE_UP,
                "ident and channel have %zu bytes together, hpfeeds brokers take at most %d", both,
                HPFEEDS_NAMES_MAX);
        return false;
    }
    return true;
}
