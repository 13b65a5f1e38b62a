#include "broker/backlog.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"

enum {
    BACKLOG_PIECE_FULL = 16384, /* small frames gather up to this size */
};

struct broker_backlog_piece {
    struct broker_backlog_piece *next;
    struct broker_run *run; /* NULL: `bytes` holds them */
    struct buf bytes;
    unsigned count;
    size_t *held;
};

struct broker_run *broker_run_new(const void *frames, size_t len, unsigned count,
                                  size_t payload_len, size_t *held)
{
    struct broker_run *run = mem_new(struct broker_run);
    *run = (struct broker_run){
        .refs = 1,
        .count = count,
        .payload_len = payload_len,
        .block = block_new(frames, len),
        .held = held,
    };
    *held += len;
    return run;
}

void broker_run_unref(struct broker_run *run)
{
    if (--run->refs)
        return;
    *run->held -= run->block->len;
    block_unref(run->block);
    free(run);
}

void broker_backlog_release(struct broker_backlog *backlog)
{
    struct block *block;
    unsigned count;
    while ((block = broker_backlog_take(backlog, &count)))
        block_unref(block);
}

static struct broker_backlog_piece *backlog_append(struct broker_backlog *backlog)
{
    struct broker_backlog_piece *piece = mem_new(struct broker_backlog_piece);
    if (backlog->first)
        backlog->last->next = piece;
    else
        backlog->first = piece;
    backlog->last = piece;
    return piece;
}

static void backlog_add_small(struct broker_backlog *backlog, const struct broker_run *run)
{
    struct broker_backlog_piece *piece = backlog->first ? backlog->last : NULL;
    if (!piece || piece->run || piece->bytes.len >= BACKLOG_PIECE_FULL)
        piece = backlog_append(backlog);
    piece->held = run->held;
    piece->count += run->count;
    buf_add(&piece->bytes, run->block->data, run->block->len);
    *run->held += run->block->len;
}

void broker_backlog_add(struct broker_backlog *backlog, struct broker_run *run)
{
    backlog->bytes += run->block->len;
    if (run->block->len < BROKER_BACKLOG_SMALL) {
        backlog_add_small(backlog, run);
        return;
    }
    struct broker_backlog_piece *piece = backlog_append(backlog);
    piece->run = run;
    piece->count = run->count;
    run->refs++;
}

struct block *broker_backlog_take(struct broker_backlog *backlog, unsigned *ret_count)
{
    struct broker_backlog_piece *piece = backlog->first;
    struct block *block;
    if (!piece)
        return NULL;
    backlog->first = piece->next;
    *ret_count = piece->count;
    if (piece->run) {
        block = block_ref(piece->run->block);
        broker_run_unref(piece->run);
    } else {
        *piece->held -= piece->bytes.len;
        block = block_from_buf(&piece->bytes);
    }
    backlog->bytes -= block->len;
    free(piece);
    return block;
}
