/* imap/encode.h: strings as a client writes them: atoms, quoted strings, literals, modified
 * UTF-7. */
#ifndef IMAP_ENCODE_H
#define IMAP_ENCODE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

/* How a string argument can be written. */
enum imap_string_form {
    IMAP_STRING_QUOTED,  /* quoted: printable ASCII, '"' and '\' escaped, of modest length */
    IMAP_STRING_LITERAL, /* 8-bit, CR, LF, or long */
    IMAP_STRING_INVALID, /* holds NUL, which no form can carry */
};

/* RFC 9051 "astring"; always quoted rather than an atom, which every server takes. Strings over
 * 1,000 octets and 8-bit ones want a literal. */
enum imap_string_form imap_string_form(const void *text, size_t len);

/* Appends the quoted form; only for strings whose form is IMAP_STRING_QUOTED. */
void imap_add_quoted(struct buf *out, const void *text, size_t len);

/* Modified UTF-7 (RFC 3501 section 5.1.3), both ways. _encode takes valid UTF-8 without
 * NUL (false otherwise). _decode is for showing and comparing names: false when it is not
 * well-formed (or not the one spelling that _encode gives), and the caller then uses the name as it
 * stands. Both append to `out`, which is as before when they return false. */
bool imap_utf7_encode(struct buf *out, const char *utf8, size_t len);
bool imap_utf7_decode(struct buf *out, const char *utf7, size_t len);

#endif
