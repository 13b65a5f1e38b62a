#include "payload/json_text.h"

#include <string.h>

#include "payload/out.h"
#include "payload/specials.h"

enum {
    /* The most that a block becomes, and a block that is written behind it before its turn. */
    PAYLOAD_BLOCK_ROOM = 6 * PAYLOAD_BLOCK + PAYLOAD_BLOCK,
};

/* Copied whole, as one word. */
struct payload_escape {
    char text[7];
    uint8_t len;
};

static const struct payload_escape payload_escapes[128] = {
    {"\\u0000", 6}, {"\\u0001", 6}, {"\\u0002", 6},      {"\\u0003", 6},       {"\\u0004", 6},
    {"\\u0005", 6}, {"\\u0006", 6}, {"\\u0007", 6},      {"\\b", 2},           {"\\t", 2},
    {"\\n", 2},     {"\\u000b", 6}, {"\\f", 2},          {"\\r", 2},           {"\\u000e", 6},
    {"\\u000f", 6}, {"\\u0010", 6}, {"\\u0011", 6},      {"\\u0012", 6},       {"\\u0013", 6},
    {"\\u0014", 6}, {"\\u0015", 6}, {"\\u0016", 6},      {"\\u0017", 6},       {"\\u0018", 6},
    {"\\u0019", 6}, {"\\u001a", 6}, {"\\u001b", 6},      {"\\u001c", 6},       {"\\u001d", 6},
    {"\\u001e", 6}, {"\\u001f", 6}, ['"'] = {"\\\"", 2}, ['\\'] = {"\\\\", 2},
};

/* Writes what the first `len` bytes of a block become, up to the first 8-bit byte, and returns how
 * many that were. Lines are short, and branches that depend on their lengths cost more than bytes:
 * so whole blocks are copied, and behind each escape the rest of its block once more. Therefore
 * two blocks must be there at `data`, and PAYLOAD_BLOCK_ROOM bytes at *to, which is advanced. */
static size_t payload_escape_block(uint8_t **to, const uint8_t *data, size_t len)
{
    uint64_t specials = payload_specials(data);
    uint8_t *out = *to;
    size_t done = 0;
    if (len < PAYLOAD_BLOCK)
        specials &= (UINT64_C(1) << len) - 1;
    memcpy(out, data, PAYLOAD_BLOCK);
    for (; specials; specials &= specials - 1) {
        size_t at = (size_t)__builtin_ctzll(specials);
        out += at - done;
        done = at;
        if (data[at] >= 0x80) {
            *to = out;
            return done;
        }
        const struct payload_escape *escape = &payload_escapes[data[at]];
        memcpy(out, escape, sizeof *escape);
        out += escape->len;
        done++;
        memcpy(out, data + done, PAYLOAD_BLOCK);
    }
    *to = out + len - done;
    return len;
}

/* Adds what the next block becomes, up to the first 8-bit byte; fewer bytes at the end of `data`.
 * Returns how many that took. */
static size_t payload_add_block(struct payload_out *out, const uint8_t *data, size_t len)
{
    uint8_t edge[2 * PAYLOAD_BLOCK], spare[PAYLOAD_BLOCK_ROOM];
    size_t block = len < PAYLOAD_BLOCK ? len : PAYLOAD_BLOCK;
    if (len < sizeof edge) {
        memcpy(edge, data, block);
        memset(edge + block, 0, sizeof edge - block);
        data = edge;
    }
    bool in_place = payload_out_room(out) >= sizeof spare;
    uint8_t *begin = in_place ? payload_out_end(out) : spare, *end = begin;
    size_t taken = payload_escape_block(&end, data, block);
    if (in_place)
        payload_out_advance(out, (size_t)(end - begin));
    else
        payload_out_add(out, spare, (size_t)(end - begin));
    return taken;
}

static void payload_replace(struct payload_json_text *text, struct payload_out *out)
{
    payload_out_add(out, "\xEF\xBF\xBD", 3);
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
    size_t i = 0;
    if (text->pending_len && len)
        i = payload_resume(text, out, data, len);
    while (i < len)
        i += data[i] < 0x80 ? payload_add_block(out, data + i, len - i)
                            : payload_add_8bit(text, out, data + i, len - i);
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
