/* payload/base64.h: base64 (RFC 4648 section 4, padded, one line) of a stream. Internal. */
#ifndef PAYLOAD_BASE64_H
#define PAYLOAD_BASE64_H

#include <stddef.h>
#include <stdint.h>

struct payload_out;

/* All zero is the beginning. */
struct payload_base64 {
    uint8_t carry[2]; /* bytes that do not fill a group of three yet */
    size_t carried;
};

void payload_base64_add(struct payload_base64 *state, struct payload_out *out, const uint8_t *data,
                        size_t len);
/* The last group, with its padding. */
void payload_base64_end(struct payload_base64 *state, struct payload_out *out);
/* The encoded size of `len` bytes. */
uint64_t payload_base64_size(uint64_t len);

#endif
