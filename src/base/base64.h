/* base/base64.h: base64 (RFC 4648 section 4) of short strings, as protocols carry them. */
#ifndef BASE_BASE64_H
#define BASE_BASE64_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

/* Appends the encoded form, padded, on one line. */
void base64_encode(struct buf *out, const void *data, size_t len);
/* Appends what `text` says. False, and `out` as before, when it is not whole groups of four with
 * the padding in its place and unused bits zero: blanks and line ends are not skipped. */
bool base64_decode(struct buf *out, const char *text, size_t len);

#endif
