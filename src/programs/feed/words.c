#include "programs/feed/words.h"

#include <errno.h>
#include <iconv.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "base/base64.h"

enum {
    WORDS_CHARSET_MAX = 40,
};

/* An encoded word: =?charset?encoding?text?= */
struct words_word {
    const char *charset;
    size_t charset_len;
    char encoding;
    const char *text;
    size_t text_len;
    size_t whole; /* its length, from "=?" to "?=" */
};

/* iconv() has more charsets, and loads a module for each: a spammer's word picks none of those. */
static bool words_charset_known(const char *name)
{
    static const char *const known[] = {
        "utf-8",   "us-ascii",       "ascii",     "gb2312", "gbk",
        "gb18030", "big5",           "shift_jis", "euc-jp", "iso-2022-jp",
        "euc-kr",  "ks_c_5601-1987", "koi8-r",    "koi8-u", "tis-620",
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcasecmp(name, known[i]))
            return true;
    size_t digits = 0;
    if (!strncasecmp(name, "iso-8859-", 9))
        digits = 9;
    else if (!strncasecmp(name, "windows-125", 11))
        digits = 11;
    return digits && name[digits] && strspn(name + digits, "0123456789") == strlen(name + digits);
}

/* Reads up to the next '?'; the part must not be empty or hold blanks. */
static bool words_take_part(const char **at, const char *end, const char **ret_part,
                            size_t *ret_len)
{
    const char *part = *at;
    while (*at < end && **at != '?' && **at != ' ' && **at != '\t')
        ++*at;
    if (*at == end || **at != '?')
        return false;
    *ret_part = part;
    *ret_len = (size_t)(*at - part);
    ++*at;
    return true;
}

static bool words_parse(const char *text, size_t len, struct words_word *ret_word)
{
    const char *at = text + 2, *end = text + len, *encoding;
    size_t encoding_len;
    struct words_word word;
    if (len < 2 || text[0] != '=' || text[1] != '?')
        return false;
    if (!words_take_part(&at, end, &word.charset, &word.charset_len) ||
        !words_take_part(&at, end, &encoding, &encoding_len) || encoding_len != 1 ||
        !words_take_part(&at, end, &word.text, &word.text_len) || at == end || *at != '=')
        return false;
    word.encoding = *encoding;
    word.whole = (size_t)(at + 1 - text);
    *ret_word = word;
    return true;
}

static int words_hex(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'A' && digit <= 'F')
        return digit - 'A' + 10;
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

/* RFC 2047 section 4.2. */
static void words_decode_q(struct buf *out, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        int high = i + 2 < len && text[i] == '=' ? words_hex(text[i + 1]) : -1;
        int low = high >= 0 ? words_hex(text[i + 2]) : -1;
        if (low >= 0) {
            buf_add_byte(out, (uint8_t)(high << 4 | low));
            i += 2;
        } else {
            buf_add_byte(out, text[i] == '_' ? ' ' : (uint8_t)text[i]);
        }
    }
}

/* Mailers leave the padding off. */
static bool words_decode_b(struct buf *out, const char *text, size_t len)
{
    struct buf padded = {0};
    buf_add(&padded, text, len);
    while (padded.len % 4)
        buf_add_byte(&padded, '=');
    bool decoded = base64_decode(out, (const char *)padded.data, padded.len);
    buf_release(&padded);
    return decoded;
}

static void words_convert_all(struct buf *out, iconv_t converter, struct buf *from)
{
    static const char replacement[] = "\xEF\xBF\xBD";
    char *in = (char *)from->data;
    size_t in_len = from->len;
    while (in_len) {
        buf_reserve(out, in_len * 4 + 16);
        char *to = (char *)out->data + out->len;
        size_t room = out->cap - out->len;
        size_t result = iconv(converter, &in, &in_len, &to, &room);
        out->len = out->cap - room;
        if (result == (size_t)-1 && errno != E2BIG) {
            buf_add_str(out, replacement);
            in++;
            in_len--;
        }
    }
}

static bool words_convert(struct buf *out, const struct words_word *word, struct buf *from)
{
    char charset[WORDS_CHARSET_MAX + 1];
    size_t len = 0; /* RFC 2231 section 5: a language may follow the charset behind a '*' */
    while (len < word->charset_len && word->charset[len] != '*')
        len++;
    if (len > WORDS_CHARSET_MAX)
        return false;
    memcpy(charset, word->charset, len);
    charset[len] = '\0';
    if (!words_charset_known(charset))
        return false;
    iconv_t converter = iconv_open("UTF-8", charset);
    if (converter == (iconv_t)-1)
        return false;
    words_convert_all(out, converter, from);
    iconv_close(converter);
    return true;
}

static bool words_decode_word(struct buf *out, const struct words_word *word)
{
    struct buf bytes = {0};
    bool decoded = true;
    if (word->encoding == 'Q' || word->encoding == 'q')
        words_decode_q(&bytes, word->text, word->text_len);
    else if (word->encoding == 'B' || word->encoding == 'b')
        decoded = words_decode_b(&bytes, word->text, word->text_len);
    else
        decoded = false;
    decoded = decoded && words_convert(out, word, &bytes);
    buf_release(&bytes);
    return decoded;
}

void feed_words_decode(struct buf *out, const char *text, size_t len)
{
    size_t blanks = 0; /* at the end of `out`, with nothing but them since an encoded word */
    bool after_word = false;
    for (size_t i = 0; i < len;) {
        struct words_word word;
        struct buf decoded = {0};
        if (words_parse(text + i, len - i, &word) && words_decode_word(&decoded, &word)) {
            /* RFC 2047 section 6.2: blanks between encoded words are not shown. */
            out->len -= blanks;
            buf_add(out, decoded.data, decoded.len);
            i += word.whole;
            after_word = true;
            blanks = 0;
        } else {
            after_word = after_word && (text[i] == ' ' || text[i] == '\t');
            blanks = after_word ? blanks + 1 : 0;
            buf_add_byte(out, (uint8_t)text[i++]);
        }
        buf_release(&decoded);
    }
}
