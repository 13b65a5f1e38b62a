/* broker/store.h: durable subscriptions: what a named subscriber is to get, kept on disk until it
 * has it.
 *
 * What is appended is written and synced on a worker, all that came meanwhile at once. A ticket
 * says which appends are durable: when broker_store_durable() has reached the ticket an append
 * returned, its frames survive a crash of the process and of the machine. A subscription has one
 * reader at a time; it is given frames only when they are durable, in their order. */
#ifndef BROKER_STORE_H
#define BROKER_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/block.h"
#include "base/err.h"
#include "broker/segment.h"

struct broker_store;
struct broker_queue;
struct net_loop;

struct broker_store_settings {
    const char *directory; /* made if it is not there; nobody else may use it meanwhile */
    uint64_t queue_max;    /* bytes on disk of one subscription, at least 1 MiB */
    bool drop_oldest;      /* make room when it is full; else nothing more is taken */
};

struct broker_store_events {
    /* broker_store_durable() went forward. */
    void (*durable)(void *ctx);
    /* What was appended from ticket `from` on up to broker_store_durable() could not be written and
     * is forgotten. Called before `durable`. */
    void (*failed)(void *ctx, uint64_t from, const struct err *err);
};

struct broker_reader_events {
    /* Some frames, whole; the place behind them. What broker_queue_want() asked for, from the loop,
     * never from inside a call. `block` is the callee's. */
    void (*frames)(void *ctx, struct block *block, struct broker_place behind);
};

/* Makes the directory, if it is not there, so that it outlives a power loss. broker_store_open()
 * does it, too, where it may still look at the directory above. */
int broker_store_make(const char *directory, struct err *err);
int broker_store_open(struct net_loop *loop, const struct broker_store_settings *settings,
                      struct broker_store **ret_store, struct err *err);
/* Writes what is still to be written. NULL does nothing. */
void broker_store_free(struct broker_store *store);
void broker_store_set_events(struct broker_store *store, const struct broker_store_events *events,
                             void *ctx);
/* Opens a subscription's queue, with what is left in it. Blocks. One that is there already is no
 * error. */
int broker_store_add(struct broker_store *store, const char *ident, const char *channel,
                     struct err *err);
/* NULL: there is none. */
struct broker_queue *broker_store_find(const struct broker_store *store, const char *ident,
                                       const char *channel, size_t channel_len);
size_t broker_store_count(const struct broker_store *store);
struct broker_queue *broker_store_queue(const struct broker_store *store, size_t i);

/* Of the latest append. */
uint64_t broker_store_ticket(const struct broker_store *store);
uint64_t broker_store_durable(const struct broker_store *store);
/* Bytes that wait to be written: whoever appends should pause when it is large. */
size_t broker_store_pending(const struct broker_store *store);

const char *broker_queue_ident(const struct broker_queue *queue);
const char *broker_queue_channel(const struct broker_queue *queue);
/* Is there room for `len` bytes more? Makes it, if that is the policy. */
bool broker_queue_has_room(struct broker_queue *queue, size_t len);
/* Appends whole frames, `count` of them. Takes a reference of its own. */
void broker_queue_append(struct broker_queue *queue, struct block *block, unsigned count);

/* False: there is a reader already. */
bool broker_queue_attach(struct broker_queue *queue, const struct broker_reader_events *events,
                         void *ctx);
/* No more events; the next reader begins behind what was settled. */
void broker_queue_detach(struct broker_queue *queue);
/* Asks for frames, once: now or when there are some; or asks no more. */
void broker_queue_want(struct broker_queue *queue, bool wanted);
/* The reader has all before `behind` for good. */
void broker_queue_settle(struct broker_queue *queue, struct broker_place behind);

/* For metrics: frames and bytes that are not settled, frames that were dropped to make room. */
uint64_t broker_queue_frames(const struct broker_queue *queue);
uint64_t broker_queue_bytes(const struct broker_queue *queue);
uint64_t broker_queue_dropped(const struct broker_queue *queue);

#endif
