/* base/text.h: words that came from somebody else, made fit to be shown. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Writes `len` bytes of a peer's text to `out` so that a terminal, a log and a person are safe
 * from it: printable ASCII as it is, backslash as "\\", everything else as "\xNN". What does not
 * fit is cut and ends in "...". `out` is always NUL-terminated; cap >= 4. Returns `out`. */
char *text_escape(char *out, size_t cap, const void *text, size_t len);

/* text_escape() that leaves valid UTF-8 as it is, but for control characters (C0, DEL, C1) and
 * the bidirectional controls: for names a person chose, in configuration and folders. */
char *text_escape_utf8(char *out, size_t cap, const void *text, size_t len);

/* The length in bytes (1..4) of the well-formed UTF-8 sequence at the start of `text`, or 0 if
 * there is none. Well-formed is Unicode's Table 3-7: no surrogates, nothing over U+10FFFF,
 * nothing overlong. */
size_t text_utf8_length(const uint8_t *text, size_t len);
/* The same, but 0 too for what would act on a terminal or reorder its line: control characters (C0,
 * DEL, C1), line separators and the bidirectional controls. */
size_t text_shown_length(const uint8_t *text, size_t len);
bool text_is_utf8(const void *text, size_t len);

/* The candidate of `candidates` (NULL ends the list) that `word` most likely was meant to be, or
 * NULL when none is near: for "did you mean". */
const char *text_nearest(const char *word, const char *const *candidates);

/* Overwrites each occurrence of `secret` in `text` with asterisks; an empty one has none. */
void text_strike(void *text, size_t len, const void *secret, size_t secret_len);

/* Do two texts say the same, but for digits and what follows 60 characters? Times, addresses and
 * session numbers in servers' words are no news. */
bool text_says_same(const char *a, const char *b);

#endif
