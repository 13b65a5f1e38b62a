/* broker/backlog.h: what waits for one subscriber beside what its connection has queued already.
 *
 * Blocks are shared by all who wait for them; small ones are copied together, for a place in the
 * queue would take many times their size. */
#ifndef BROKER_BACKLOG_H
#define BROKER_BACKLOG_H

#include <stddef.h>

#include "base/block.h"

enum {
    /* Up to here it is cheaper to copy. */
    BROKER_BACKLOG_SMALL = 2048,
};

/* Whole frames that were read together from one publisher for one channel. */
struct broker_run {
    unsigned refs;
    unsigned count;     /* frames */
    size_t payload_len; /* of all of them */
    struct block *block;
    size_t *held; /* counts the bytes of all runs that are kept */
};

/* Copies. The caller owns one reference. */
struct broker_run *broker_run_new(const void *frames, size_t len, unsigned count,
                                  size_t payload_len, size_t *held);
void broker_run_unref(struct broker_run *run);

struct broker_backlog_piece;

/* All zero is a valid empty one. */
struct broker_backlog {
    struct broker_backlog_piece *first, *last;
    size_t bytes;
};

/* Drops all. */
void broker_backlog_release(struct broker_backlog *backlog);
void broker_backlog_add(struct broker_backlog *backlog, struct broker_run *run);
/* Takes the oldest out: the caller owns the block. NULL: it is empty. *ret_count are its frames. */
struct block *broker_backlog_take(struct broker_backlog *backlog, unsigned *ret_count);

#endif
