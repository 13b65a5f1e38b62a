/* A mail through the payload encoder, in chunks, against a slow and independent reading of what
 * came out. Input: format, chunk size, how far the limit is off the payload's size, the mail. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/sha.h>

#include "base/buf.h"
#include "payload/payload.h"

enum {
    HEADROOM = 7
};

static void fuzz_check(bool holds)
{
    if (!holds)
        abort();
}

/* Could these `len` bytes be the beginning of a UTF-8 sequence of `size` bytes? Unicode's Table 3-7
 * in another form: the code points they can still become must hold one that is allowed. */
static bool fuzz_can_become(const uint8_t *bytes, size_t len, size_t size)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    uint32_t low = bytes[0] & (0x7Fu >> size), high;
    for (size_t i = 1; i < len; i++) {
        if (bytes[i] >> 6 != 2)
            return false;
        low = low << 6 | (bytes[i] & 63);
    }
    high = low;
    for (size_t i = len; i < size; i++) {
        low <<= 6;
        high = high << 6 | 63;
    }
    if (high < least[size] || low > 0x10FFFF)
        return false;
    return !(low >= 0xD800 && high <= 0xDFFF);
}

/* The length of the maximal subpart at `bytes`; *ret_whole when it is a character. */
static size_t fuzz_subpart(const uint8_t *bytes, size_t len, bool *ret_whole)
{
    *ret_whole = bytes[0] < 0x80;
    size_t size = bytes[0] >> 5 == 6 ? 2 : bytes[0] >> 4 == 14 ? 3 : bytes[0] >> 3 == 30 ? 4 : 1;
    if (size == 1)
        return 1;
    size_t have = 0;
    while (have < size && have < len && fuzz_can_become(bytes, have + 1, size))
        have++;
    *ret_whole = have == size;
    return have ? have : 1;
}

static void fuzz_replace(struct buf *out, const uint8_t *mail, size_t len)
{
    for (size_t i = 0; i < len;) {
        bool whole;
        size_t have = fuzz_subpart(mail + i, len - i, &whole);
        if (whole)
            buf_add(out, mail + i, have);
        else
            buf_add_str(out, "\xEF\xBF\xBD");
        i += have;
    }
}

static unsigned fuzz_hex(uint8_t digit)
{
    const char *digits = "0123456789abcdef";
    const char *at = digit ? strchr(digits, digit) : NULL;
    fuzz_check(at);
    return (unsigned)(at - digits);
}

/* Takes `text` off the front. */
static void fuzz_expect(const uint8_t **at, const uint8_t *end, const char *text)
{
    size_t len = strlen(text);
    fuzz_check((size_t)(end - *at) >= len && !memcmp(*at, text, len));
    *at += len;
}

static uint8_t fuzz_escape(const uint8_t **at, const uint8_t *end)
{
    static const char escapes[] = "\"\"\\\\b\bf\fn\nr\rt\t";
    fuzz_check(end - *at >= 2);
    uint8_t kind = (*at)[1];
    *at += 2;
    for (size_t i = 0; i < sizeof escapes - 1; i += 2)
        if (kind == (uint8_t)escapes[i])
            return (uint8_t)escapes[i + 1];
    fuzz_check(kind == 'u' && end - *at >= 4);
    unsigned value = 0;
    for (int i = 0; i < 4; i++)
        value = value << 4 | fuzz_hex(*(*at)++);
    fuzz_check(value < 0x20);
    return (uint8_t)value;
}

/* Reads a JSON string up to its closing quote. */
static void fuzz_string(const uint8_t **at, const uint8_t *end, struct buf *out)
{
    fuzz_expect(at, end, "\"");
    for (;;) {
        fuzz_check(*at < end && **at >= 0x20);
        if (**at == '"')
            break;
        if (**at == '\\')
            buf_add_byte(out, fuzz_escape(at, end));
        else
            buf_add_byte(out, *(*at)++);
    }
    fuzz_expect(at, end, "\"");
}

static unsigned fuzz_base64_digit(uint8_t digit)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = digit ? strchr(digits, digit) : NULL;
    fuzz_check(at);
    return (unsigned)(at - digits);
}

static void fuzz_base64(struct buf *out, const struct buf *text)
{
    size_t len = text->len;
    fuzz_check(len && len % 4 == 0);
    while (text->data[len - 1] == '=')
        len--;
    fuzz_check(text->len - len <= 2);
    unsigned bits = 0, count = 0;
    for (size_t i = 0; i < len; i++) {
        bits = bits << 6 | fuzz_base64_digit(text->data[i]);
        count += 6;
        if (count >= 8) {
            count -= 8;
            buf_add_byte(out, (uint8_t)(bits >> count));
            bits &= (1u << count) - 1;
        }
    }
    fuzz_check(bits == 0);
}

static void fuzz_check_same(const struct buf *a, const void *data, size_t len)
{
    fuzz_check(a->len == len && (!len || !memcmp(a->data, data, len)));
}

static void fuzz_check_json(const uint8_t *json, size_t json_len, const uint8_t *mail, size_t len,
                            const struct payload_result *result)
{
    const uint8_t *at = json, *end = json + json_len;
    struct buf hash = {0}, msg = {0}, text = {0}, bytes = {0}, replaced = {0};
    char hex[2 * PAYLOAD_SHA256 + 1];
    fuzz_expect(&at, end, "{\"sha256\": ");
    fuzz_string(&at, end, &hash);
    fuzz_check_same(&hash, payload_sha256_hex(hex, result->sha256), strlen(hex));
    fuzz_expect(&at, end, ", \"msg\": ");
    fuzz_string(&at, end, &msg);
    fuzz_replace(&replaced, mail, len);
    fuzz_check_same(&msg, replaced.data, replaced.len);
    fuzz_check(result->utf8 ==
               (replaced.len == len && !memcmp(msg.data ? msg.data : mail, mail, len)));
    if (!result->utf8) {
        fuzz_expect(&at, end, ", \"msg_base64\": ");
        fuzz_string(&at, end, &text);
        fuzz_base64(&bytes, &text);
        fuzz_check_same(&bytes, mail, len);
    }
    fuzz_expect(&at, end, "}");
    fuzz_check(at == end);
    buf_release(&hash);
    buf_release(&msg);
    buf_release(&text);
    buf_release(&bytes);
    buf_release(&replaced);
}

static void fuzz_encode(enum payload_format format, size_t limit, size_t chunk, const uint8_t *mail,
                        size_t len, struct buf *ret_frame, struct payload_result *ret_result)
{
    struct payload_encoder *encoder = payload_encoder_new(format, HEADROOM, limit);
    payload_encoder_begin(encoder, len * chunk); /* mostly not true */
    for (size_t i = 0; i < len; i += chunk) {
        payload_encoder_add(encoder, mail + i, chunk < len - i ? chunk : len - i);
        fuzz_check(payload_encoder_held(encoder) <= HEADROOM + limit + limit);
    }
    payload_encoder_finish(encoder, ret_frame, ret_result);
    uint8_t sha256[PAYLOAD_SHA256];
    SHA256(mail, len, sha256);
    fuzz_check(!memcmp(sha256, ret_result->sha256, sizeof sha256));
    fuzz_check(ret_result->mail_size == len);
    fuzz_check(ret_result->too_large == (ret_result->payload_size > limit));
    if (ret_result->too_large)
        fuzz_check(!ret_frame->data && !ret_frame->len);
    else
        fuzz_check(ret_frame->len == HEADROOM + ret_result->payload_size);
    payload_encoder_free(encoder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    enum payload_format format = data[0] & 1 ? PAYLOAD_RAW : PAYLOAD_JSON;
    size_t chunk = data[1] + 1u, off = data[2];
    const uint8_t *mail = data + 3;
    size_t len = size - 3;

    struct buf frame = {0}, again = {0};
    struct payload_result result, limited;
    fuzz_encode(format, 1 << 24, chunk, mail, len, &frame, &result);
    if (format == PAYLOAD_JSON)
        fuzz_check_json(frame.data + HEADROOM, frame.len - HEADROOM, mail, len, &result);
    else
        fuzz_check(!memcmp(frame.data + HEADROOM, mail, len) && result.utf8);

    size_t limit =
        (size_t)result.payload_size + 16 > off ? (size_t)result.payload_size + 16 - off : 0;
    fuzz_encode(format, limit, size, mail, len, &again, &limited);
    fuzz_check(limited.payload_size == result.payload_size && limited.utf8 == result.utf8);
    if (!limited.too_large)
        fuzz_check(!memcmp(again.data + HEADROOM, frame.data + HEADROOM, frame.len - HEADROOM));
    buf_release(&frame);
    buf_release(&again);
    return 0;
}
