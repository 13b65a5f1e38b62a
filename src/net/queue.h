/* net/queue.h: what waits to be written on one connection: bytes of our own and blocks of others,
 * in order. Empty, it holds no memory. All zero is a valid empty queue. */
#ifndef NET_QUEUE_H
#define NET_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/block.h"

struct net_piece;

struct net_queue {
    struct net_piece *first, *last;           /* to be written */
    struct net_piece *sent_first, *sent_last; /* written; their `sent` is still to be called */
    size_t bytes;
};

void net_queue_add(struct net_queue *queue, const void *data, size_t len);
/* Takes over the reference; drops it when the bytes are consumed. */
void net_queue_add_block(struct net_queue *queue, struct block *moved, size_t from,
                         void (*sent)(void *ctx, void *token), void *token);
/* Fills in what is first in line, at most `limit` bytes in at most `cap` parts. Returns how many
 * parts. */
int net_queue_parts(const struct net_queue *queue, struct iovec *parts, int cap, size_t limit);
/* The first min(bytes, cap) bytes in one piece: in place if they are so, else copied to `room`. */
const void *net_queue_join(const struct net_queue *queue, uint8_t *room, size_t cap,
                           size_t *ret_len);
/* The first `len` bytes are with the kernel. Blocks that end there, empty ones too, are done. */
void net_queue_consume(struct net_queue *queue, size_t len);
/* The next block that is done and wants to be told; false when there is none. */
bool net_queue_take_sent(struct net_queue *queue, void (**ret_sent)(void *ctx, void *token),
                         void **ret_token);
/* Drops what is unwritten; its `sent` are never called. */
void net_queue_drop(struct net_queue *queue);
void net_queue_release(struct net_queue *queue);

#endif
