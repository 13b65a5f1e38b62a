#include "base/text.h"

#include <stdio.h>
#include <string.h>

size_t text_utf8_length(const uint8_t *text, size_t len)
{
    if (!len)
        return 0;
    uint8_t first = text[0];
    if (first < 0x80)
        return 1;

    /* Unicode 15, Table 3-7: only the second byte's range depends on the first. */
    size_t size;
    uint8_t low = 0x80, high = 0xBF;
    if (first >= 0xC2 && first <= 0xDF) {
        size = 2;
    } else if (first >= 0xE0 && first <= 0xEF) {
        size = 3;
        low = first == 0xE0 ? 0xA0 : 0x80;
        high = first == 0xED ? 0x9F : 0xBF;
    } else if (first >= 0xF0 && first <= 0xF4) {
        size = 4;
        low = first == 0xF0 ? 0x90 : 0x80;
        high = first == 0xF4 ? 0x8F : 0xBF;
    } else {
        return 0;
    }
    if (len < size || text[1] < low || text[1] > high)
        return 0;
    for (size_t i = 2; i < size; i++)
        if ((text[i] & 0xC0) != 0x80)
            return 0;
    return size;
}

bool text_is_utf8(const void *text, size_t len)
{
    const uint8_t *bytes = text;
    for (size_t i = 0; i < len;) {
        size_t size = text_utf8_length(bytes + i, len - i);
        if (!size)
            return false;
        i += size;
    }
    return true;
}

/* Multi-byte characters that would act on the terminal or reorder the line: C1 controls
 * (U+0080..U+009F), U+200E/F, U+2028..U+202E, U+2066..U+2069, U+061C. */
static bool text_acts(const uint8_t *seq, size_t size)
{
    if (size == 2)
        return (seq[0] == 0xC2 && seq[1] < 0xA0) || (seq[0] == 0xD8 && seq[1] == 0x9C);
    if (size == 3 && seq[0] == 0xE2 && seq[1] == 0x80)
        return seq[2] == 0x8E || seq[2] == 0x8F || (seq[2] >= 0xA8 && seq[2] <= 0xAE);
    return size == 3 && seq[0] == 0xE2 && seq[1] == 0x81 && seq[2] >= 0xA6 && seq[2] <= 0xA9;
}

size_t text_shown_length(const uint8_t *text, size_t len)
{
    size_t size = text_utf8_length(text, len);
    if (size == 1)
        return *text >= 0x20 && *text != 0x7F;
    return text_acts(text, size) ? 0 : size;
}

static char *text_escape_with(char *out, size_t cap, const void *text, size_t len, bool utf8)
{
    const uint8_t *bytes = text;
    size_t used = 0;      /* written so far */
    size_t last_safe = 0; /* where "..." still fits if the next piece does not */
    for (size_t i = 0; i < len;) {
        char piece[8];
        size_t size = 1, taken = 1;
        size_t shown = text_shown_length(bytes + i, len - i);
        if (bytes[i] >= 0x20 && bytes[i] < 0x7F && bytes[i] != '\\') {
            piece[0] = (char)bytes[i];
        } else if (bytes[i] == '\\') {
            memcpy(piece, "\\\\", 2);
            size = 2;
        } else if (utf8 && shown > 1) {
            memcpy(piece, bytes + i, shown);
            size = taken = shown;
        } else {
            snprintf(piece, sizeof piece, "\\x%02x", bytes[i]);
            size = 4;
        }
        if (used + size + 1 > cap) {
            memcpy(out + last_safe, "...", 3);
            used = last_safe + 3;
            break;
        }
        memcpy(out + used, piece, size);
        used += size;
        if (used + 4 <= cap)
            last_safe = used;
        i += taken;
    }
    out[used] = '\0';
    return out;
}

char *text_escape(char *out, size_t cap, const void *text, size_t len)
{
    return text_escape_with(out, cap, text, len, false);
}

char *text_escape_utf8(char *out, size_t cap, const void *text, size_t len)
{
    return text_escape_with(out, cap, text, len, true);
}

enum {
    TEXT_WORD_MAX = 32
};

static size_t text_min3(size_t a, size_t b, size_t c)
{
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

/* Levenshtein's distance, two rows; both words are at most TEXT_WORD_MAX long. */
static size_t text_distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
    size_t rows[2][TEXT_WORD_MAX + 1];
    for (size_t j = 0; j <= b_len; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        size_t *row = rows[i & 1], *above = rows[(i - 1) & 1];
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++)
            row[j] = text_min3(above[j] + 1, row[j - 1] + 1,
                               above[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1));
    }
    return rows[a_len & 1][b_len];
}

const char *text_nearest(const char *word, const char *const *candidates)
{
    size_t len = strlen(word);
    if (len > TEXT_WORD_MAX)
        return NULL;
    const char *nearest = NULL;
    size_t best = len / 3 + 1; /* one slip in a short word, a few in a long one */
    for (; *candidates; candidates++) {
        size_t other = strlen(*candidates);
        if (other > TEXT_WORD_MAX)
            continue;
        size_t distance = text_distance(word, len, *candidates, other);
        if (distance <= best && distance < other) {
            nearest = *candidates;
            best = distance ? distance - 1 : 0;
        }
    }
    return nearest;
}

void text_strike(void *text, size_t len, const void *secret, size_t secret_len)
{
    uint8_t *at = text, *end = at + len;
    while (secret_len && (at = memmem(at, (size_t)(end - at), secret, secret_len))) {
        memset(at, '*', secret_len);
        at += secret_len;
    }
}

bool text_says_same(const char *a, const char *b)
{
    for (size_t i = 0; i < 60; i++, a++, b++) {
        a += strspn(a, "0123456789");
        b += strspn(b, "0123456789");
        if (*a != *b)
            return false;
        if (!*a)
            return true;
    }
    return true;
}
