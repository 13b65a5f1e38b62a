/* Writes the payload of a mail, for tests that compare it with another implementation.
 *
 * payload-encode            one mail on standard input, its JSON payload on standard output
 * payload-encode --records  many of them. All numbers are u32, little-endian.
 *   in:  format (0 JSON, 1 raw), largest payload, headroom, length, the mail
 *   out: payload size, 1 when too large, 1 when UTF-8, 1 when the same came out byte by byte and
 *        for every split in two (256 of them in a long mail), length of what follows, the hash in
 * hex, the payload */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "payload/payload.h"

struct encoded {
    struct buf frame;
    struct payload_result result;
};

static void tool_read_all(struct buf *out)
{
    size_t got;
    do {
        buf_reserve(out, 65536);
        got = fread(out->data + out->len, 1, 65536, stdin);
        out->len += got;
    } while (got);
}

static bool tool_read_u32(size_t *ret_value)
{
    uint8_t bytes[4];
    if (fread(bytes, 1, sizeof bytes, stdin) != sizeof bytes)
        return false;
    *ret_value =
        (size_t)bytes[0] | (size_t)bytes[1] << 8 | (size_t)bytes[2] << 16 | (size_t)bytes[3] << 24;
    return true;
}

static void tool_write_u32(uint64_t value)
{
    uint8_t bytes[4] = {(uint8_t)value, (uint8_t)(value >> 8), (uint8_t)(value >> 16),
                        (uint8_t)(value >> 24)};
    fwrite(bytes, 1, sizeof bytes, stdout);
}

/* The first `first` bytes as one chunk, the rest in chunks of `step`. */
static struct encoded tool_encode(struct payload_encoder *encoder, const struct buf *mail,
                                  size_t first, size_t step)
{
    struct encoded encoded = {0};
    payload_encoder_begin(encoder, mail->len);
    payload_encoder_add(encoder, mail->data, first);
    for (size_t i = first; i < mail->len; i += step)
        payload_encoder_add(encoder, mail->data + i, step < mail->len - i ? step : mail->len - i);
    payload_encoder_finish(encoder, &encoded.frame, &encoded.result);
    return encoded;
}

static bool tool_same(const struct encoded *a, struct encoded *moved_b, size_t headroom)
{
    struct encoded *b = moved_b;
    bool same = a->frame.len == b->frame.len && a->result.payload_size == b->result.payload_size &&
                a->result.too_large == b->result.too_large && a->result.utf8 == b->result.utf8 &&
                !memcmp(a->result.sha256, b->result.sha256, PAYLOAD_SHA256);
    if (same && a->frame.len > headroom)
        same = !memcmp(a->frame.data + headroom, b->frame.data + headroom, a->frame.len - headroom);
    buf_release(&b->frame);
    return same;
}

static bool tool_same_at_splits(struct payload_encoder *encoder, const struct buf *mail,
                                const struct encoded *whole, size_t headroom)
{
    struct encoded other = tool_encode(encoder, mail, 0, 1);
    bool same = tool_same(whole, &other, headroom);
    size_t step = mail->len / 256 + 1; /* every position of a short mail */
    for (size_t i = 1; i < mail->len && same; i += step) {
        other = tool_encode(encoder, mail, i, mail->len - i);
        same = tool_same(whole, &other, headroom);
    }
    return same;
}

static int tool_record(size_t format)
{
    size_t limit, headroom, len;
    if (!tool_read_u32(&limit) || !tool_read_u32(&headroom) || !tool_read_u32(&len))
        return 1;
    struct buf mail = {0};
    buf_reserve(&mail, len);
    mail.len = fread(mail.data, 1, len, stdin);
    struct payload_encoder *encoder =
        payload_encoder_new(format ? PAYLOAD_RAW : PAYLOAD_JSON, headroom, limit);
    struct encoded whole = tool_encode(encoder, &mail, mail.len, 1);
    char hex[2 * PAYLOAD_SHA256 + 1];
    tool_write_u32(whole.result.payload_size);
    tool_write_u32(whole.result.too_large);
    tool_write_u32(whole.result.utf8);
    tool_write_u32(tool_same_at_splits(encoder, &mail, &whole, headroom));
    tool_write_u32(whole.frame.len ? whole.frame.len - headroom : 0);
    fputs(payload_sha256_hex(hex, whole.result.sha256), stdout);
    if (whole.frame.len)
        fwrite(whole.frame.data + headroom, 1, whole.frame.len - headroom, stdout);
    payload_encoder_free(encoder);
    buf_release(&whole.frame);
    buf_release(&mail);
    return 0;
}

static void tool_one(void)
{
    struct buf mail = {0};
    tool_read_all(&mail);
    struct payload_encoder *encoder = payload_encoder_new(PAYLOAD_JSON, 0, SIZE_MAX);
    struct encoded whole = tool_encode(encoder, &mail, mail.len, 1);
    fwrite(whole.frame.data, 1, whole.frame.len, stdout);
    payload_encoder_free(encoder);
    buf_release(&whole.frame);
    buf_release(&mail);
}

int main(int argc, char **argv)
{
    int failed = 0;
    if (argc == 1) {
        tool_one();
    } else if (argc == 2 && !strcmp(argv[1], "--records")) {
        for (size_t format; !failed && tool_read_u32(&format);)
            failed = tool_record(format);
    } else {
        fputs("usage: payload-encode [--records]\n", stderr);
        failed = 1;
    }
    return failed || fflush(stdout) || ferror(stdout);
}
