#include "imap/encode.h"

#include <stdint.h>
#include <string.h>

#include "base/text.h"

enum {
    IMAP_QUOTED_MAX = 1000
};

enum imap_string_form imap_string_form(const void *text, size_t len)
{
    const uint8_t *bytes = text;
    bool quotable = len <= IMAP_QUOTED_MAX;
    for (size_t i = 0; i < len; i++) {
        if (!bytes[i])
            return IMAP_STRING_INVALID;
        quotable = quotable && bytes[i] >= 0x20 && bytes[i] < 0x7F;
    }
    return quotable ? IMAP_STRING_QUOTED : IMAP_STRING_LITERAL;
}

void imap_add_quoted(struct buf *out, const void *text, size_t len)
{
    const uint8_t *bytes = text;
    buf_reserve(out, 2 * len + 2); /* at once: the text may be a secret, growing leaves copies */
    buf_add_byte(out, '"');
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] == '"' || bytes[i] == '\\')
            buf_add_byte(out, '\\');
        buf_add_byte(out, bytes[i]);
    }
    buf_add_byte(out, '"');
}

/* RFC 3501 section 5.1.3: "," instead of "/", and no padding. */
static const char imap_utf7_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

/* Octets 0x20..0x7E stand for themselves, "&" as "&-". */
static bool imap_utf7_direct(uint32_t unit)
{
    return unit >= 0x20 && unit <= 0x7E;
}

/* UTF-16 units between "&" and "-", six bits a digit. */
struct imap_utf7_shift {
    uint32_t bits;
    unsigned count; /* how many of the low bits of `bits` have no digit yet: < 6 between units */
};

static void imap_utf7_add_unit(struct buf *out, struct imap_utf7_shift *shift, uint32_t unit)
{
    shift->bits = shift->bits << 16 | unit;
    shift->count += 16;
    while (shift->count >= 6) {
        shift->count -= 6;
        buf_add_byte(out, (uint8_t)imap_utf7_digits[shift->bits >> shift->count & 63]);
    }
}

static void imap_utf7_add_char(struct buf *out, struct imap_utf7_shift *shift, uint32_t c)
{
    if (c >= 0x10000) {
        imap_utf7_add_unit(out, shift, 0xD800 + ((c - 0x10000) >> 10));
        c = 0xDC00 + ((c - 0x10000) & 0x3FF);
    }
    imap_utf7_add_unit(out, shift, c);
}

/* The code point of a well-formed sequence of `size` bytes. */
static uint32_t imap_utf8_char(const uint8_t *text, size_t size)
{
    static const uint8_t lead[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    uint32_t c = text[0] & lead[size];
    for (size_t i = 1; i < size; i++)
        c = c << 6 | (text[i] & 0x3Fu);
    return c;
}

/* One run of characters that do not stand for themselves, from "&" to "-". Returns its length in
 * bytes of UTF-8. */
static size_t imap_utf7_encode_run(struct buf *out, const uint8_t *text, size_t len)
{
    struct imap_utf7_shift shift = {0};
    size_t at = 0;
    buf_add_byte(out, '&');
    while (at < len && !imap_utf7_direct(text[at])) {
        size_t size = text_utf8_length(text + at, len - at);
        imap_utf7_add_char(out, &shift, imap_utf8_char(text + at, size));
        at += size;
    }
    if (shift.count)
        buf_add_byte(out, (uint8_t)imap_utf7_digits[shift.bits << (6 - shift.count) & 63]);
    buf_add_byte(out, '-');
    return at;
}

bool imap_utf7_encode(struct buf *out, const char *utf8, size_t len)
{
    if (!text_is_utf8(utf8, len) || memchr(utf8, '\0', len))
        return false;
    const uint8_t *text = (const uint8_t *)utf8;
    for (size_t at = 0; at < len;) {
        if (!imap_utf7_direct(text[at])) {
            at += imap_utf7_encode_run(out, text + at, len - at);
            continue;
        }
        buf_add_byte(out, text[at]);
        if (text[at++] == '&')
            buf_add_byte(out, '-');
    }
    return true;
}

static void imap_utf8_add_char(struct buf *out, uint32_t c)
{
    if (c < 0x80) {
        buf_add_byte(out, (uint8_t)c);
        return;
    }
    unsigned more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    static const uint8_t lead[] = {0, 0xC0, 0xE0, 0xF0};
    buf_add_byte(out, (uint8_t)(lead[more] | c >> 6 * more));
    while (more--)
        buf_add_byte(out, (uint8_t)(0x80 | (c >> 6 * more & 0x3F)));
}

/* The next UTF-16 unit; `high` is the first half of a surrogate pair still open, or 0. False for
 * halves without their other half, for NUL, and for characters that stand for themselves: with
 * them, one name would have two spellings. */
static bool imap_utf7_take_unit(struct buf *out, uint32_t *high, uint32_t unit)
{
    bool low = unit >= 0xDC00 && unit <= 0xDFFF;
    if (low != (*high != 0) || !unit || imap_utf7_direct(unit))
        return false;
    if (unit >= 0xD800 && unit <= 0xDBFF) {
        *high = unit;
        return true;
    }
    imap_utf8_add_char(out, low ? 0x10000 + ((*high - 0xD800) << 10) + (unit - 0xDC00) : unit);
    *high = 0;
    return true;
}

/* The digits between "&" and "-". */
static bool imap_utf7_decode_run(struct buf *out, const char *digits, size_t len)
{
    uint32_t bits = 0, high = 0;
    unsigned count = 0;
    for (size_t i = 0; i < len; i++) {
        const char *digit = digits[i] ? strchr(imap_utf7_digits, digits[i]) : NULL;
        if (!digit)
            return false;
        bits = bits << 6 | (uint32_t)(digit - imap_utf7_digits);
        count += 6;
        if (count < 16)
            continue;
        count -= 16;
        if (!imap_utf7_take_unit(out, &high, bits >> count & 0xFFFF))
            return false;
    }
    /* What is left is padding: less than a digit, and zero. */
    return !high && count < 6 && !(bits & ((1u << count) - 1));
}

static bool imap_utf7_decode_all(struct buf *out, const char *text, size_t len)
{
    const char *run_end = NULL; /* behind the last run's "-" */
    for (size_t at = 0; at < len;) {
        if (!imap_utf7_direct((uint8_t)text[at]))
            return false;
        if (text[at] != '&') {
            buf_add_byte(out, (uint8_t)text[at++]);
            continue;
        }
        const char *digits = text + at + 1;
        const char *end = memchr(digits, '-', len - at - 1);
        if (!end)
            return false;
        if (end == digits) {
            buf_add_byte(out, '&');
        } else {
            /* "&AOQ-&APY-" is a second spelling of "&AOQA9g-". */
            if (text + at == run_end || !imap_utf7_decode_run(out, digits, (size_t)(end - digits)))
                return false;
            run_end = end + 1;
        }
        at = (size_t)(end - text) + 1;
    }
    return true;
}

bool imap_utf7_decode(struct buf *out, const char *utf7, size_t len)
{
    size_t before = out->len;
    if (imap_utf7_decode_all(out, utf7, len))
        return true;
    out->len = before;
    return false;
}
