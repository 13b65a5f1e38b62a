/* collect/worklist.h: the mails of one folder that are still to be fetched. Internal.
 *
 *   pending → SIZING → SIZED → ASKED → (removed)
 *
 * Only a window of them has items, whatever the size of the backlog: sizes are asked for one
 * window ahead of the bodies. Every set that is asked for is ascending and bounded. */
#ifndef COLLECT_WORKLIST_H
#define COLLECT_WORKLIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "imap/uidset.h"

enum work_state {
    WORK_SIZING, /* its size and flags are asked for */
    WORK_SIZED,  /* its body may be asked for */
    WORK_ASKED,  /* its body is asked for */
};

struct work_item {
    uint32_t uid;
    uint32_t size;    /* RFC822.SIZE, a hint; saturates */
    uint32_t command; /* that it is asked for with; 0: being composed, or none */
    enum work_state state;
    bool unasked;         /* its size and flags were not asked for beforehand */
    bool foreign_deleted; /* carried \Deleted when we came */
    bool alone;           /* is asked for in a command of its own: failed among others */
    bool twice;           /* likewise once more */
    bool limited;         /* the server's limit of messages (RFC 9738) left it out once */
    bool answered;        /* a FETCH with its UID came, without a body */
};

struct worklist {
    struct imap_uidset pending;
    struct work_item *items; /* ascending by uid */
    size_t count;
    size_t cap;
    uint32_t last;     /* is worked on when all others are through; 0: none */
    uint32_t last_lot; /* how many it was chosen from */
};

void worklist_release(struct worklist *list);
void worklist_clear(struct worklist *list);
bool worklist_empty(const struct worklist *list);
/* Puts a mail (back) among the pending ones. */
void worklist_add(struct worklist *list, uint32_t uid);
/* Of all mails that are added so, one is chosen by lot, to be worked on when all others are
 * through. */
void worklist_add_last(struct worklist *list, uint32_t uid);
/* Puts that one among the pending ones. */
void worklist_take_last(struct worklist *list);
struct work_item *worklist_find(struct worklist *list, uint32_t uid);
void worklist_remove(struct worklist *list, struct work_item *item);
/* How many items are in a state. */
size_t worklist_count(const struct worklist *list, enum work_state state);
/* The set of the next mails to ask the sizes of, appended to `set`; false when there are none or
 * the window is full. Follow it with worklist_issued(). */
bool worklist_next_sizes(struct worklist *list, struct buf *set);
/* A few mails need no sizes to be told apart: when no more than that are pending, and no items
 * there are, they become SIZED as they are, `unasked`. */
void worklist_skip_sizes(struct worklist *list);
/* The same for bodies: at most `bytes_max` by their sizes, but at least one mail; 0: just one.
 * *ret_unasked: the flags of one of them are not known. */
bool worklist_next_bodies(struct worklist *list, uint64_t bytes_max, struct buf *set,
                          bool *ret_unasked);
/* The one mail whose body is asked for, if it is just one; else NULL. */
struct work_item *worklist_only_asked(struct worklist *list);
/* The number of the command that was made of the last set. */
void worklist_issued(struct worklist *list, uint32_t command);
/* An item asked for with `command` that is still in a state of asking, or NULL: call it until
 * NULL, changing each item's state or removing it. */
struct work_item *worklist_unanswered(struct worklist *list, uint32_t command);

#endif
