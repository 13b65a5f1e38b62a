/* feed/mail.h: the mail in a payload, either form (payload/payload.h). */
#ifndef FEED_MAIL_H
#define FEED_MAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum feed_mail_hash {
    FEED_MAIL_HASH_NONE, /* raw: it came without one */
    FEED_MAIL_HASH_OK,
    FEED_MAIL_HASH_WRONG,
};

struct feed_mail {
    struct buf bytes;
    char sha256[65]; /* of the bytes, lower-case hex */
    enum feed_mail_hash hash;
};

/* A JSON object with the texts "sha256" and "msg" is a mail in JSON; its bytes are those of
 * "msg_base64" where that is there. Anything else is a mail as it is. */
void feed_mail_init(struct feed_mail *mail, const uint8_t *payload, size_t len);
void feed_mail_release(struct feed_mail *mail);

/* Appends a field's body, unfolded and with its encoded words decoded; of many the first. False
 * when there is none. */
bool feed_mail_header(const struct feed_mail *mail, const char *name, struct buf *out);

/* SHA-256 as 64 digits and a NUL. */
void feed_sha256_hex(char out[65], const void *data, size_t len);

#endif
