/* collect/mail.h: one mail between its last byte from the server and its record. Internal. */
#ifndef COLLECT_MAIL_H
#define COLLECT_MAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "payload/payload.h"
#include "sink/sink.h"

struct collect_env;
struct folder;

/* Holds one budget slot until its delivery is on record, and `reserved` bytes until it is sent. */
struct mail {
    struct collect_env *env;
    struct folder *folder; /* outlives it */
    uint32_t uid;
    bool foreign_deleted; /* was flagged \Deleted by somebody else when we came */
    uint8_t sha256[PAYLOAD_SHA256];
    uint64_t size;
    size_t reserved;
    struct mail *previous; /* in env->mails */
    struct mail *next;
};

/* Offers a finished frame to the sink; the mail's reservations are now its own. The folder hears
 * what became of it through folder_mail_settled(). */
void mail_offer(struct collect_env *env, struct folder *folder, uint32_t uid, bool foreign_deleted,
                const struct payload_result *result, struct buf *moved_frame, size_t reserved);

/* The sink's events about a mail. */
void mail_sent(struct mail *mail);
void mail_settled(struct mail *mail, enum sink_outcome outcome, const struct err *err);
/* All mails that are in flight will be offered again: there is another sink. */
void mail_retry_all(struct collect_env *env);
/* Drops all mails that are in flight, unsettled, when the sink is gone. */
void mail_drop_all(struct collect_env *env);

#endif
