/* feed/words.h: encoded words in header fields (RFC 2047), made UTF-8. */
#ifndef FEED_WORDS_H
#define FEED_WORDS_H

#include <stddef.h>

#include "base/buf.h"

/* Appends the unfolded field body `text` with its encoded words decoded. What cannot be decoded
 * (broken, or of a charset that is not known here) is left as it stands; bytes that are nothing in
 * their charset become U+FFFD. The outcome is as hostile as its sender: escape it. */
void feed_words_decode(struct buf *out, const char *text, size_t len);

#endif
