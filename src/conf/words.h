/* conf/words.h: a command line, split into words as a shell does, but without a shell. Internal. */
#ifndef CONF_WORDS_H
#define CONF_WORDS_H

#include <stddef.h>

#include "base/buf.h"

enum conf_words {
    CONF_WORDS_GOOD,
    CONF_WORDS_EMPTY,
    CONF_WORDS_QUOTE, /* one is not closed */
    CONF_WORDS_SHELL, /* what only a shell could do: | & ; < > $ ` without quotes around them */
};

/* Appends each word with a NUL behind it to `out`. Blanks separate words; '…' keeps everything,
 * "…" everything but \" \\ \$ \` and takes no $ or `; a backslash keeps the next character. */
enum conf_words conf_words_split(const char *text, size_t len, struct buf *out);

#endif
