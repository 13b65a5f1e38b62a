/* What the writer is given to do, and what came of it: tickets, segments, readers that wait. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "broker/store_impl.h"
#include "net/loop.h"

/* The segments whose frames are all settled, except for the last, which is written to. */
static void queue_collect_deleted(struct broker_queue *queue)
{
    struct queue_work *work = &queue->work;
    size_t count = 0;
    work->deleted = NULL;
    work->deleted_count = 0;
    while (count + 1 < queue->segment_count && queue->segments[count + 1].at <= queue->settled.at)
        count++;
    if (!count)
        return;
    /* A read may be under way in them: its descriptor keeps the file. */
    work->deleted = mem_realloc_array(NULL, count, sizeof *work->deleted);
    work->deleted_count = count;
    for (size_t i = 0; i < count; i++)
        work->deleted[i] = queue->segments[i];
    queue->segment_count -= count;
    memmove(queue->segments, queue->segments + count,
            queue->segment_count * sizeof *queue->segments);
}

/* True when there is something to do. */
static bool queue_prepare(struct broker_queue *queue, bool cursors)
{
    struct queue_work *work = &queue->work;
    *work = (struct queue_work){.batches = queue->pending, .end = queue->end};
    if (!queue->pending.first)
        store_batches_init(&work->batches);
    store_batches_init(&queue->pending);
    queue_collect_deleted(queue);
    /* Before a segment goes the cursor has left it. */
    work->cursor_wanted = queue->cursor_moved && (cursors || work->deleted_count);
    if (work->cursor_wanted) {
        work->cursor = queue->settled;
        queue->cursor_moved = false;
    }
    return work->batches.first || work->cursor_wanted || work->deleted_count;
}

static void store_written(struct net_job *job);

void store_begin_job(struct broker_store *store, bool cursors)
{
    bool anything = false;
    if (store->busy)
        return;
    for (size_t i = 0; i < store->count; i++)
        anything = queue_prepare(store->queues[i], cursors || store->closing) || anything;
    if (!anything)
        return;
    store->busy = true;
    store->job_ticket = store->ticket;
    store->job = (struct net_job){.work = store_write, .done = store_written};
    net_worker_submit(store->writer, &store->job);
}

void store_on_begin(void *ctx)
{
    store_begin_job(ctx, false);
}

void store_on_cursors(void *ctx)
{
    struct broker_store *store = ctx;
    store->cursors_running = false;
    for (size_t i = 0; i < store->count; i++)
        if (store->queues[i]->cursor_moved && store->busy) {
            store->cursors_running = true;
            net_timer_start(store->cursors, STORE_CURSOR_MS);
        }
    store_begin_job(store, true);
}

/* The reader that has all that was durable before gets what was just written from memory. */
static void queue_give_written(struct broker_queue *queue)
{
    struct store_batch *batch = queue->work.batches.first;
    struct broker_place from = queue->end;
    /* `frames` may detach, or attach another. */
    while (batch && queue->reader && queue->wanted && !queue->reading &&
           queue->next.at == from.at) {
        queue->wanted = false;
        queue->next = from = batch->behind;
        queue->reader->frames(queue->reader_ctx, block_ref(batch->block), batch->behind);
        batch = batch->next;
    }
}

static void queue_take_segments(struct broker_queue *queue)
{
    struct queue_work *work = &queue->work;
    if (!work->made_count)
        return;
    queue->segments = mem_realloc_array(queue->segments, queue->segment_count + work->made_count,
                                        sizeof *queue->segments);
    for (size_t i = 0; i < work->made_count; i++) {
        size_t count = queue->segment_count;
        /* A crash may have left one without a batch in it: it was begun anew. */
        if (!count || queue->segments[count - 1].at != work->made[i].at)
            queue->segments[queue->segment_count++] = work->made[i];
    }
}

/* Returns whether what was appended is on disk. */
static bool queue_finish_work(struct broker_queue *queue)
{
    struct queue_work *work = &queue->work;
    bool good = !*work->err.text;
    if (good) {
        queue_take_segments(queue);
        struct broker_place end = work->end;
        queue_give_written(queue);
        queue->end = end;
    }
    if (*work->cursor_err.text) {
        log_error(NULL, "durable subscription %s: %s", queue->label, work->cursor_err.text);
        queue->cursor_moved = !queue->store->closing;
    }
    queue->store->pending -= work->batches.bytes;
    store_batches_release(&work->batches);
    free(work->made);
    free(work->deleted);
    work->made = work->deleted = NULL;
    work->made_count = work->deleted_count = 0;
    return good;
}

static void store_written(struct net_job *job)
{
    struct broker_store *store =
        (struct broker_store *)((char *)job - offsetof(struct broker_store, job));
    uint64_t before = store->durable;
    struct err err = {0};
    store->busy = false;
    store->durable = store->job_ticket;
    for (size_t i = 0; i < store->count; i++) {
        struct broker_queue *queue = store->queues[i];
        if (!queue_finish_work(queue)) {
            err = queue->work.err;
            err_prefix(&err, "durable subscription %s", queue->label);
            log_error(NULL, "%s", err.text);
        }
    }
    if (*err.text && store->events)
        store->events->failed(store->ctx, before + 1, &err);
    if (store->durable != before && store->events)
        store->events->durable(store->ctx);
    for (size_t i = 0; i < store->count; i++)
        store_queue_pump(store->queues[i]);
    store_begin_job(store, false);
}
