/* broker/store_impl.h: the inside of the store, for store.c (the store, its queues), store_write.c
 * (on the writer's thread), store_jobs.c (what it is given to do, and what came of it) and
 * store_read.c (readers). */
#ifndef BROKER_STORE_IMPL_H
#define BROKER_STORE_IMPL_H

#include "broker/store.h"
#include "net/worker.h"

struct queue_read;

enum {
    STORE_CURSOR_MS = 1000, /* how often a cursor is written at most */
};

/* Frames that were appended together. */
struct store_batch {
    struct store_batch *next;
    struct block *block;
    unsigned count;
    struct broker_place behind; /* once it is written */
};

struct store_batches {
    struct store_batch *first, **last;
    size_t bytes; /* headers included */
};

/* What the writer does for one queue in one job, and what came of it. */
struct queue_work {
    struct store_batches batches;
    bool cursor_wanted;
    struct broker_place cursor;
    struct broker_place *deleted; /* segments to be deleted */
    size_t deleted_count;

    struct broker_place end;   /* behind the last batch that was written */
    struct broker_place *made; /* segments that were begun */
    size_t made_count;
    struct err err; /* its text is empty when all went well */
    struct err cursor_err;
};

struct broker_queue {
    struct broker_store *store;
    char *ident;
    char *channel;
    char *label; /* "reader spam.mails", escaped, for logs */
    int folder;

    /* Of the loop. */
    struct broker_place *segments; /* where each begins; the first is the oldest that is kept */
    size_t segment_count;
    struct broker_place end;     /* behind what is durable */
    struct broker_place settled; /* behind what the reader has */
    struct store_batches pending;
    uint64_t dropped;
    bool full_told;
    bool cursor_moved;

    const struct broker_reader_events *reader; /* NULL: nobody reads */
    void *reader_ctx;
    struct broker_place next; /* what the reader is given next */
    bool wanted;
    struct queue_read *reading; /* a job is under way */

    /* Of the writer, while it is busy. */
    struct queue_work work;
    int fd; /* the segment that is written to; -1: a new one has to be begun */
    struct broker_place fd_segment;
};

struct broker_store {
    struct net_loop *loop;
    int directory;
    uint64_t queue_max;
    uint64_t segment_max;
    bool drop_oldest;
    const struct broker_store_events *events;
    void *ctx;

    struct broker_queue **queues;
    size_t count;

    uint64_t ticket, durable;
    size_t pending; /* bytes, those being written included */

    struct net_worker *writer, *reader;
    struct net_deferred *begin; /* the next job, at the end of this turn */
    struct net_timer *cursors;
    bool cursors_running;
    struct net_job job;
    uint64_t job_ticket;
    bool busy;
    bool closing;
};

/* store.c */

void store_batches_init(struct store_batches *batches);
void store_batches_release(struct store_batches *batches);

/* store_write.c */

/* The writer's job: all queues' work. */
void store_write(struct net_job *job);

/* store_jobs.c */

/* Gives the writer what there is to do, unless it is busy; then it is given when it is not. */
void store_begin_job(struct broker_store *store, bool cursors);
/* At the end of a turn in which something was appended. */
void store_on_begin(void *ctx);
/* It is time to write the cursors that have moved. */
void store_on_cursors(void *ctx);

/* store_read.c */

/* Reads what the reader wants and has not had, if there is any. */
void store_queue_pump(struct broker_queue *queue);
/* What is before `place` is not needed any more. */
void store_queue_move_settled(struct broker_queue *queue, struct broker_place place);
/* The last segment that begins at or before `place`. */
size_t store_queue_find_segment(const struct broker_queue *queue, struct broker_place place);

#endif
