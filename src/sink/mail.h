/* sink/mail.h: one offered mail on its way, and lists of them. */
#ifndef SINK_MAIL_H
#define SINK_MAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/block.h"

struct sink_mail {
    struct sink_mail *next;
    void *token; /* the owner's name for it */
    struct block
        *block; /* headroom (with the first channel's prefix), payload; NULL once written */
    size_t payload_len;
    uint64_t print;    /* what it is recognised by when it is offered again (sink/suspects.h) */
    size_t limit;      /* it goes out with at most so many mails in flight, itself included */
    unsigned losses;   /* how often it was in flight when a connection broke */
    bool written;      /* queued on a connection */
    bool sent;         /* all of it is with the kernel */
    uint64_t position; /* `sent`: where in the connection's stream it ends */
};

/* First in, first out. All zero is empty. */
struct sink_mail_list {
    struct sink_mail *head;
    struct sink_mail *tail;
    size_t count;
};

/* Drops the payload if it is still there. NULL does nothing. */
void sink_mail_free(struct sink_mail *mail);

void sink_mail_list_add(struct sink_mail_list *list, struct sink_mail *mail);
/* Behind all that were lost less often, or as often and are no larger: a frame over the broker's
 * limit is the most usual cause, so the small ones show sooner that they are not it. */
void sink_mail_list_add_by_suspicion(struct sink_mail_list *list, struct sink_mail *mail);
/* The first one, taken out; NULL when empty. */
struct sink_mail *sink_mail_list_pop(struct sink_mail_list *list);
/* Moves all of `from` to the end of `list`. */
void sink_mail_list_join(struct sink_mail_list *list, struct sink_mail_list *from);
void sink_mail_list_release(struct sink_mail_list *list);

#endif
