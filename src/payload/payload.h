/* payload/payload.h: a mail's bytes in, the bytes that are published out, in one pass.
 *
 * `json`: {"sha256": "<hex>", "msg": "<the mail as UTF-8>"}. `msg` is the mail's exact bytes when
 * they are valid UTF-8 (JSON escapes for '"', '\' and U+0000..U+001F, everything else as it is).
 * Otherwise every maximal subpart of an ill-formed sequence becomes one U+FFFD (Unicode 15,
 * section 3.9 "U+FFFD Substitution of Maximal Subparts"; what Python's errors="replace" does), and
 * a third key, "msg_base64", holds the exact bytes (RFC 4648 section 4).
 * `raw`: the mail's bytes, nothing else. */
#ifndef PAYLOAD_PAYLOAD_H
#define PAYLOAD_PAYLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum {
    PAYLOAD_SHA256 = 32
};

enum payload_format {
    PAYLOAD_JSON,
    PAYLOAD_RAW,
};

struct payload_encoder;

struct payload_result {
    uint8_t sha256[PAYLOAD_SHA256]; /* of the mail's bytes */
    uint64_t mail_size;             /* in bytes */
    uint64_t payload_size;          /* without the headroom; exact also when it was too large */
    bool too_large;                 /* payload_size is over the limit: `frame` is left empty */
    bool utf8;                      /* the mail is valid UTF-8 (true for raw) */
};

/* One encoder does one mail after another; between two mails it holds a few hundred bytes. Adding
 * and finishing is for after a begin. `headroom` bytes are left free at the front of each
 * frame for the sink's header; payloads over `max_payload` bytes are hashed and measured to their
 * end but not kept, so that memory stays bounded by the limit. */
struct payload_encoder *payload_encoder_new(enum payload_format format, size_t headroom,
                                            size_t max_payload);
/* NULL does nothing. */
void payload_encoder_free(struct payload_encoder *encoder);
/* Begins a mail; drops one that was begun and not finished. `expected` is the announced size in
 * bytes, only a hint for the first allocation, which serves the usual mail whole, and is never more
 * than the limit. */
void payload_encoder_begin(struct payload_encoder *encoder, uint64_t expected);
/* The mail in hand is known to be too large: nothing more of it is kept, what is was dropped. */
void payload_encoder_keep_nothing(struct payload_encoder *encoder);
void payload_encoder_add(struct payload_encoder *encoder, const uint8_t *data, size_t len);
/* Memory held for the mail in hand. */
size_t payload_encoder_held(const struct payload_encoder *encoder);
/* Ends the mail. *ret_frame (released or empty before) gets the memory, little more than it needs:
 * headroom, then payload. */
void payload_encoder_finish(struct payload_encoder *encoder, struct buf *ret_frame,
                            struct payload_result *ret_result);

/* Lower-case hex; `out` has room for 2 * PAYLOAD_SHA256 + 1 bytes. Returns `out`. */
char *payload_sha256_hex(char *out, const uint8_t sha256[PAYLOAD_SHA256]);

#endif
