#include "conf/words.h"

#include <stdbool.h>
#include <string.h>

struct conf_words_scan {
    const char *at;
    const char *end;
    struct buf *out;
};

static bool conf_words_among(char byte, const char *set)
{
    return byte && strchr(set, byte);
}

/* Behind the opening quote; ends behind the closing one. */
static enum conf_words conf_words_single(struct conf_words_scan *scan)
{
    const char *close = memchr(scan->at, '\'', (size_t)(scan->end - scan->at));
    if (!close)
        return CONF_WORDS_QUOTE;
    buf_add(scan->out, scan->at, (size_t)(close - scan->at));
    scan->at = close + 1;
    return CONF_WORDS_GOOD;
}

static enum conf_words conf_words_double(struct conf_words_scan *scan)
{
    while (scan->at < scan->end && *scan->at != '"') {
        if (conf_words_among(*scan->at, "$`"))
            return CONF_WORDS_SHELL;
        if (*scan->at == '\\' && scan->at + 1 < scan->end &&
            conf_words_among(scan->at[1], "\"\\$`"))
            scan->at++;
        buf_add_byte(scan->out, (uint8_t)*scan->at++);
    }
    if (scan->at == scan->end)
        return CONF_WORDS_QUOTE;
    scan->at++;
    return CONF_WORDS_GOOD;
}

/* One character of a word, or one quoted part of it. */
static enum conf_words conf_words_piece(struct conf_words_scan *scan)
{
    char byte = *scan->at++;
    if (byte == '\'')
        return conf_words_single(scan);
    if (byte == '"')
        return conf_words_double(scan);
    if (conf_words_among(byte, "|&;<>$`"))
        return CONF_WORDS_SHELL;
    if (byte == '\\') {
        if (scan->at == scan->end)
            return CONF_WORDS_QUOTE;
        byte = *scan->at++;
    }
    buf_add_byte(scan->out, (uint8_t)byte);
    return CONF_WORDS_GOOD;
}

static enum conf_words conf_words_one(struct conf_words_scan *scan)
{
    while (scan->at < scan->end && !conf_words_among(*scan->at, " \t\r\n")) {
        enum conf_words result = conf_words_piece(scan);
        if (result != CONF_WORDS_GOOD)
            return result;
    }
    buf_add_byte(scan->out, '\0');
    return CONF_WORDS_GOOD;
}

enum conf_words conf_words_split(const char *text, size_t len, struct buf *out)
{
    struct conf_words_scan scan = {.at = text, .end = text + len, .out = out};
    size_t before = out->len;
    for (;;) {
        while (scan.at < scan.end && conf_words_among(*scan.at, " \t\r\n"))
            scan.at++;
        if (scan.at == scan.end)
            break;
        enum conf_words result = conf_words_one(&scan);
        if (result != CONF_WORDS_GOOD)
            return result;
    }
    /* A command's first word is its program: it has a name. */
    return out->len > before && out->data[before] ? CONF_WORDS_GOOD : CONF_WORDS_EMPTY;
}
