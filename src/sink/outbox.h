/* sink/outbox.h: what waits to go out, what is in flight, and who may travel with whom.
 *
 * Suspects (sink/suspects.h) go out with limited company; see docs/reliability.md. */
#ifndef SINK_OUTBOX_H
#define SINK_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sink/mail.h"
#include "sink/suspects.h"

enum {
    /* How often a mail must break a connection, all alone, before it is refused. */
    OUTBOX_STRIKES = 3,
};

/* All zero is empty. */
struct outbox {
    struct sink_mail_list queue; /* mails without suspicion, waiting */
    struct sink_mail_list wary;  /* suspects, waiting; the least suspect first */
    size_t since_wary;           /* mails sent from `queue` since one from `wary` */
    size_t in_flight;            /* mails on their way */
    size_t limited;              /* of these, those with a limit */
    size_t limit;                /* the least of these limits */
    uint64_t taken;              /* mails, so far */
    uint64_t blamed;             /* a mail's print: refused, and nothing was taken since; 0: none */
    struct suspects suspects;
};

void outbox_release(struct outbox *outbox);
/* Recognises the mail by its payload, and queues it. */
void outbox_add(struct outbox *outbox, struct sink_mail *mail, const uint8_t *payload);
/* Moves all that waits to `to`. */
void outbox_empty(struct outbox *outbox, struct sink_mail_list *to);

/* The next mail, if it may go now, else NULL. `fresh`: it would be the first on a connection that
 * was just proven to work; a mail that must travel alone needs one that is. */
struct sink_mail *outbox_next(const struct outbox *outbox, bool fresh);
bool outbox_is_alone(const struct sink_mail *mail);
/* Takes it out, to be in flight; it is what outbox_next() returned. */
struct sink_mail *outbox_launch(struct outbox *outbox, struct sink_mail *mail);

/* It landed, and was taken. */
void outbox_taken(struct outbox *outbox, const struct sink_mail *mail);
/* They landed, as their connection broke: those the broker may have seen are suspects. Returns
 * how many these are. */
size_t outbox_lost(struct outbox *outbox, const struct sink_mail_list *mails);

/* The broker fell silent over them: each is not the first again before others were taken. */
void outbox_put_back(struct outbox *outbox, const struct sink_mail_list *mails);

/* Are there others that wait, or were lost and not taken since? */
bool outbox_has_others(const struct outbox *outbox, const struct sink_mail *mail);
/* Did the broker take others since it first dropped a connection with this one? */
bool outbox_takes_others(const struct outbox *outbox, const struct sink_mail *mail);
/* It broke a connection that worked before, alone, and another works after it. Returns true when
 * that was once too often, and others are taken; or, where each time nothing else can have been
 * the reason (`certain`), it is the only one that is blamed while none are. */
bool outbox_strike(struct outbox *outbox, const struct sink_mail *mail, bool certain);

#endif
