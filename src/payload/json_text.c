#include "payload/json_text.h"

#include <endian.h>
#include <string.h>

#include "payload/out.h"

/* 0x01 in each byte of a word. */
#define PAYLOAD_ONES UINT64_C(0x0101010101010101)

/* The top bit of each of eight bytes that is not copied as it is: quote, backslash, control, 8-bit.
 * A subtraction sets a byte's top bit when the byte was less than what was taken off. It may borrow
 * from the next byte, so that only the first hit counts. */
static uint64_t payload_hits(uint64_t word)
{
    uint64_t quote = (word ^ PAYLOAD_ONES * '"') - PAYLOAD_ONES;
    uint64_t backslash = (word ^ PAYLOAD_ONES * '\\') - PAYLOAD_ONES;
    uint64_t control = word - PAYLOAD_ONES * 0x20;
    return (word | quote | backslash | control) & PAYLOAD_ONES * 0x80;
}

static uint64_t payload_load(const uint8_t *data)
{
    uint64_t word;
    memcpy(&word, data, sizeof word);
    return le64toh(word);
}

static size_t payload_first_hit(uint64_t hits)
{
    return (size_t)__builtin_ctzll(hits) / 8;
}

/* The length of the run of bytes that are copied as they are. */
static size_t payload_plain_run(const uint8_t *data, size_t len)
{
    size_t i = 0;
    for (; len - i >= 8; i += 8) {
        uint64_t hits = payload_hits(payload_load(data + i));
        if (hits)
            return i + payload_first_hit(hits);
    }
    while (i < len && data[i] >= 0x20 && data[i] < 0x80 && data[i] != '"' && data[i] != '\\')
        i++;
    return i;
}

/* Copies that run and returns its length. Each eight bytes are written before they are judged:
 * lines are short, and a memcpy() for each would take longer than its bytes. */
static size_t payload_copy_plain(struct payload_out *out, const uint8_t *data, size_t len)
{
    size_t room = out->kept.cap - out->kept.len;
    size_t both = len < room ? len : room;
    uint64_t hits = 0;
    size_t i = 0;
    for (; both - i >= 8; i += 8) {
        memcpy(out->kept.data + out->kept.len + i, data + i, 8);
        hits = payload_hits(payload_load(data + i));
        if (hits) {
            i += payload_first_hit(hits);
            break;
        }
    }
    out->kept.len += i;
    out->size += i;
    if (hits)
        return i;
    size_t rest = payload_plain_run(data + i, len - i);
    payload_out_add(out, data + i, rest);
    return i + rest;
}

static void payload_escape(struct payload_out *out, uint8_t byte)
{
    static const char controls[32][8] = {
        "\\u0000", "\\u0001", "\\u0002", "\\u0003", "\\u0004", "\\u0005", "\\u0006", "\\u0007",
        "\\b",     "\\t",     "\\n",     "\\u000b", "\\f",     "\\r",     "\\u000e", "\\u000f",
        "\\u0010", "\\u0011", "\\u0012", "\\u0013", "\\u0014", "\\u0015", "\\u0016", "\\u0017",
        "\\u0018", "\\u0019", "\\u001a", "\\u001b", "\\u001c", "\\u001d", "\\u001e", "\\u001f",
    };
    static const char quote[8] = "\\\"", backslash[8] = "\\\\";
    if (byte == '"')
        payload_out_add_short(out, quote, 2);
    else if (byte == '\\')
        payload_out_add_short(out, backslash, 2);
    else
        payload_out_add_short(out, controls[byte], controls[byte][1] == 'u' ? 6 : 2);
}

static void payload_replace(struct payload_json_text *text, struct payload_out *out)
{
    static const char replacement[8] = "\xEF\xBF\xBD";
    payload_out_add_short(out, replacement, 3);
    text->replaced = true;
}

/* How many bytes a sequence that begins with `first` has; 0 if none does. */
static size_t payload_sequence_size(uint8_t first)
{
    if (first < 0xC2)
        return first < 0x80 ? 1 : 0;
    if (first < 0xE0)
        return 2;
    if (first < 0xF0)
        return 3;
    return first < 0xF5 ? 4 : 0;
}

/* May `byte` be the second one after `first`? Unicode 15, Table 3-7. */
static bool payload_second_fits(uint8_t first, uint8_t byte)
{
    uint8_t low = 0x80, high = 0xBF;
    if (first == 0xE0)
        low = 0xA0;
    else if (first == 0xED)
        high = 0x9F;
    else if (first == 0xF0)
        low = 0x90;
    else if (first == 0xF4)
        high = 0x8F;
    return byte >= low && byte <= high;
}

/* The length (>= 1) of the maximal subpart at the start of `data`: the longest beginning of a
 * well-formed sequence, or a single byte that begins none. It is a whole sequence when that length
 * is *ret_size. */
static size_t payload_subpart(const uint8_t *data, size_t len, size_t *ret_size)
{
    size_t size = payload_sequence_size(data[0]);
    *ret_size = size;
    if (size < 2 || len < 2 || !payload_second_fits(data[0], data[1]))
        return 1;
    size_t have = 2;
    while (have < size && have < len && (data[have] & 0xC0) == 0x80)
        have++;
    return have;
}

/* Handles the ill-formed or unfinished sequence of `have` bytes at `data`. */
static void payload_ill_formed(struct payload_json_text *text, struct payload_out *out,
                               const uint8_t *data, size_t have, bool unfinished)
{
    if (!unfinished) {
        payload_replace(text, out);
        return;
    }
    memcpy(text->pending, data, have);
    text->pending_len = (uint8_t)have;
}

/* Completes the pending sequence from the front of `data`, or replaces it. Returns how many bytes
 * of `data` that took. */
static size_t payload_resume(struct payload_json_text *text, struct payload_out *out,
                             const uint8_t *data, size_t len)
{
    uint8_t joined[6];
    size_t before = text->pending_len;
    size_t more = len < 3 ? len : 3;
    memcpy(joined, text->pending, before);
    memcpy(joined + before, data, more);
    size_t size, have = payload_subpart(joined, before + more, &size);
    text->pending_len = 0;
    if (have == size)
        payload_out_add(out, joined, size);
    else
        payload_ill_formed(text, out, joined, have, have == before + more);
    return have - before;
}

/* Adds what begins with an 8-bit byte. Returns how many bytes of `data` that took. */
static size_t payload_add_8bit(struct payload_json_text *text, struct payload_out *out,
                               const uint8_t *data, size_t len)
{
    size_t size, have = payload_subpart(data, len, &size);
    if (have == size)
        payload_out_add(out, data, size);
    else
        payload_ill_formed(text, out, data, have, size && have == len);
    return have;
}

void payload_json_text_add(struct payload_json_text *text, struct payload_out *out,
                           const uint8_t *data, size_t len)
{
    static const char line_end[8] = "\\r\\n";
    size_t i = 0;
    if (text->pending_len && len)
        i = payload_resume(text, out, data, len);
    while (i < len) {
        i += payload_copy_plain(out, data + i, len - i);
        if (i == len)
            break;
        if (data[i] >= 0x80) {
            i += payload_add_8bit(text, out, data + i, len - i);
        } else if (data[i] == '\r' && len - i > 1 && data[i + 1] == '\n') {
            payload_out_add_short(out, line_end, 4);
            i += 2;
        } else {
            payload_escape(out, data[i++]);
        }
    }
}

void payload_json_text_end(struct payload_json_text *text, struct payload_out *out)
{
    if (text->pending_len)
        payload_replace(text, out);
    text->pending_len = 0;
}

/* The byte that the escape at `text` stands for; *ret_len is the escape's length. */
static uint8_t payload_unescape_one(const uint8_t *text, size_t *ret_len)
{
    *ret_len = 2;
    switch (text[1]) {
    case 'b':
        return '\b';
    case 't':
        return '\t';
    case 'n':
        return '\n';
    case 'f':
        return '\f';
    case 'r':
        return '\r';
    case 'u': /* "\u00XX", XX < 20 in lower-case hex */
        *ret_len = 6;
        return (uint8_t)((text[4] - '0') * 16 +
                         (text[5] <= '9' ? text[5] - '0' : text[5] - 'a' + 10));
    default:
        return text[1];
    }
}

size_t payload_json_text_unescape(const uint8_t **text, size_t *len, uint8_t *out, size_t cap)
{
    size_t written = 0;
    while (*len && written < cap) {
        size_t run = *len < cap - written ? *len : cap - written;
        const uint8_t *escape = memchr(*text, '\\', run);
        if (escape)
            run = (size_t)(escape - *text);
        memcpy(out + written, *text, run);
        written += run;
        *text += run;
        *len -= run;
        if (escape && written < cap) {
            size_t taken;
            out[written++] = payload_unescape_one(*text, &taken);
            *text += taken;
            *len -= taken;
        }
    }
    return written;
}
