#include "base/base64.h"

#include <stdint.h>
#include <string.h>

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(struct buf *out, const void *data, size_t len)
{
    const uint8_t *bytes = data;
    buf_reserve(out, len / 3 * 4 + 4);
    for (size_t i = 0; i < len; i += 3) {
        size_t left = len - i;
        unsigned group = (unsigned)bytes[i] << 16;
        if (left > 1)
            group |= (unsigned)bytes[i + 1] << 8;
        if (left > 2)
            group |= bytes[i + 2];
        buf_add_byte(out, (uint8_t)base64_digits[group >> 18]);
        buf_add_byte(out, (uint8_t)base64_digits[group >> 12 & 63]);
        buf_add_byte(out, left > 1 ? (uint8_t)base64_digits[group >> 6 & 63] : '=');
        buf_add_byte(out, left > 2 ? (uint8_t)base64_digits[group & 63] : '=');
    }
}

/* 0..63, or -1. */
static int base64_value(char digit)
{
    const char *at = digit ? strchr(base64_digits, digit) : NULL;
    return at ? (int)(at - base64_digits) : -1;
}

/* One group of four whose last `padding` (0..2) characters are '='. */
static bool base64_decode_group(struct buf *out, const char *text, size_t padding)
{
    unsigned group = 0;
    for (size_t i = 0; i < 4; i++) {
        int value = i < 4 - padding ? base64_value(text[i]) : 0;
        if (value < 0)
            return false;
        group = group << 6 | (unsigned)value;
    }
    if (group & ((1u << 8 * padding) - 1))
        return false;
    uint8_t bytes[3] = {(uint8_t)(group >> 16), (uint8_t)(group >> 8), (uint8_t)group};
    buf_add(out, bytes, 3 - padding);
    return true;
}

bool base64_decode(struct buf *out, const char *text, size_t len)
{
    if (len % 4)
        return false;
    size_t before = out->len;
    size_t padding = 0;
    while (padding < 2 && padding < len && text[len - 1 - padding] == '=')
        padding++;
    for (size_t i = 0; i < len; i += 4) {
        if (!base64_decode_group(out, text + i, i + 4 == len ? padding : 0)) {
            out->len = before;
            return false;
        }
    }
    return true;
}
