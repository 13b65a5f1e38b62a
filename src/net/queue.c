#include "net/queue.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"

enum {
    /* Small writes gather in one piece up to this size. */
    NET_PIECE_FULL = 16384,
};

struct net_piece {
    struct net_piece *next;
    struct block *block; /* NULL: `bytes` holds them */
    struct buf bytes;
    size_t from; /* how far it is written */
    void (*sent)(void *ctx, void *token);
    void *token;
};

static const uint8_t *net_piece_rest(const struct net_piece *piece, size_t *ret_len)
{
    const uint8_t *data = piece->block ? piece->block->data : piece->bytes.data;
    *ret_len = (piece->block ? piece->block->len : piece->bytes.len) - piece->from;
    return *ret_len ? data + piece->from : NULL;
}

/* What it carries, not the piece itself. */
static void net_piece_empty(struct net_piece *piece)
{
    block_unref(piece->block);
    mem_wipe(piece->bytes.data, piece->bytes.cap); /* a password, perhaps; blocks hold mail */
    buf_release(&piece->bytes);
    piece->block = NULL;
}

static void net_piece_append(struct net_piece **first, struct net_piece **last,
                             struct net_piece *piece)
{
    piece->next = NULL;
    if (*first)
        (*last)->next = piece;
    else
        *first = piece;
    *last = piece;
}

void net_queue_add(struct net_queue *queue, const void *data, size_t len)
{
    struct net_piece *piece = queue->first ? queue->last : NULL;
    if (!len)
        return;
    if (!piece || piece->block || piece->bytes.len >= NET_PIECE_FULL) {
        piece = mem_new(struct net_piece);
        net_piece_append(&queue->first, &queue->last, piece);
    }
    buf_add(&piece->bytes, data, len);
    queue->bytes += len;
}

void net_queue_add_block(struct net_queue *queue, struct block *moved, size_t from,
                         void (*sent)(void *ctx, void *token), void *token)
{
    assert(from <= moved->len);
    struct net_piece *piece = mem_new(struct net_piece);
    *piece = (struct net_piece){.block = moved, .from = from, .sent = sent, .token = token};
    net_piece_append(&queue->first, &queue->last, piece);
    queue->bytes += moved->len - from;
}

int net_queue_parts(const struct net_queue *queue, struct iovec *parts, int cap, size_t limit)
{
    int count = 0;
    for (struct net_piece *piece = queue->first; piece && count < cap && limit;
         piece = piece->next) {
        size_t len;
        const uint8_t *rest = net_piece_rest(piece, &len);
        if (len > limit)
            len = limit;
        if (!len)
            continue;
        parts[count].iov_base = (void *)(uintptr_t)rest;
        parts[count++].iov_len = len;
        limit -= len;
    }
    return count;
}

const void *net_queue_join(const struct net_queue *queue, uint8_t *room, size_t cap,
                           size_t *ret_len)
{
    size_t used = 0;
    for (struct net_piece *piece = queue->first; piece && used < cap; piece = piece->next) {
        size_t len;
        const uint8_t *rest = net_piece_rest(piece, &len);
        if (len > cap - used)
            len = cap - used;
        if (!used && (len == cap || len == queue->bytes)) {
            *ret_len = len;
            return rest;
        }
        if (len)
            memcpy(room + used, rest, len);
        used += len;
    }
    *ret_len = used;
    return room;
}

static void net_queue_shift(struct net_queue *queue)
{
    struct net_piece *piece = queue->first;
    queue->first = piece->next;
    net_piece_empty(piece);
    if (piece->sent)
        net_piece_append(&queue->sent_first, &queue->sent_last, piece);
    else
        free(piece);
}

void net_queue_consume(struct net_queue *queue, size_t len)
{
    assert(len <= queue->bytes);
    queue->bytes -= len;
    while (queue->first) {
        size_t rest;
        net_piece_rest(queue->first, &rest);
        if (len < rest) {
            queue->first->from += len;
            return;
        }
        len -= rest;
        net_queue_shift(queue);
    }
}

bool net_queue_take_sent(struct net_queue *queue, void (**ret_sent)(void *ctx, void *token),
                         void **ret_token)
{
    struct net_piece *piece = queue->sent_first;
    if (!piece)
        return false;
    queue->sent_first = piece->next;
    *ret_sent = piece->sent;
    *ret_token = piece->token;
    free(piece);
    return true;
}

static void net_piece_free_all(struct net_piece *piece)
{
    for (struct net_piece *next; piece; piece = next) {
        next = piece->next;
        net_piece_empty(piece);
        free(piece);
    }
}

void net_queue_drop(struct net_queue *queue)
{
    net_piece_free_all(queue->first);
    queue->first = NULL;
    queue->bytes = 0;
}

void net_queue_release(struct net_queue *queue)
{
    net_queue_drop(queue);
    net_piece_free_all(queue->sent_first);
    queue->sent_first = NULL;
}
