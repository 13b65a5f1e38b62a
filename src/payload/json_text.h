/* payload/json_text.h: a stream of bytes as the inside of a JSON string in UTF-8, and back.
 * Internal.
 *
 * Valid UTF-8 stays as it is, but for the characters that RFC 8259 section 7 wants escaped: '"',
 * '\' and U+0000..U+001F, each in its shortest form. Every maximal subpart of an ill-formed
 * sequence becomes one U+FFFD (Unicode 15, section 3.9). */
#ifndef PAYLOAD_JSON_TEXT_H
#define PAYLOAD_JSON_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct payload_out;

/* All zero is the beginning. */
struct payload_json_text {
    uint8_t pending[3]; /* a sequence that goes on in the next chunk, well-formed so far */
    uint8_t pending_len;
    bool replaced; /* there was something ill-formed */
};

void payload_json_text_add(struct payload_json_text *text, struct payload_out *out,
                           const uint8_t *data, size_t len);
/* The text ends here, and with it what is pending. */
void payload_json_text_end(struct payload_json_text *text, struct payload_out *out);

/* Undoes the escapes in what payload_json_text_add() wrote, until `out` (of `cap` bytes) is full
 * or the text ends. Advances *text and *len; returns the number of bytes written. */
size_t payload_json_text_unescape(const uint8_t **text, size_t *len, uint8_t *out, size_t cap);

#endif
