/* On the writer's thread: batches to segments, cursors, segments that nobody needs. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "broker/store_impl.h"

static int queue_begin_segment(struct broker_queue *queue, struct broker_place place,
                               struct err *err)
{
    struct queue_work *work = &queue->work;
    if (queue->fd >= 0) {
        /* What is in it has to be durable before anything behind it is. */
        if (fdatasync(queue->fd))
            return err_set(err, ERR_RETRY_LATER, "syncing: %s", strerror(errno));
        close(queue->fd);
    }
    queue->fd = broker_segment_create(queue->folder, place, err);
    if (queue->fd < 0)
        return -1;
    queue->fd_segment = place;
    work->made = mem_realloc_array(work->made, work->made_count + 1, sizeof *work->made);
    work->made[work->made_count++] = place;
    return 0;
}

static int queue_write_batches(struct broker_queue *queue, struct err *err)
{
    struct queue_work *work = &queue->work;
    struct broker_place place = work->end;
    for (struct store_batch *batch = work->batches.first; batch; batch = batch->next) {
        bool full = place.at - queue->fd_segment.at >= queue->store->segment_max;
        if ((queue->fd < 0 || full) && queue_begin_segment(queue, place, err))
            return -1;
        if (broker_segment_write(queue->fd, place.at - queue->fd_segment.at, batch->block->data,
                                 batch->block->len, batch->count, &place, err))
            return -1;
        batch->behind = place;
    }
    if (fdatasync(queue->fd))
        return err_set(err, ERR_RETRY_LATER, "syncing: %s", strerror(errno));
    work->end = place;
    return 0;
}

/* What is not known to be whole goes: the next batch begins a new segment where the last good one
 * ended, for after a failed sync nobody knows what the kernel still holds. */
static void queue_undo(struct broker_queue *queue)
{
    struct queue_work *work = &queue->work;
    for (size_t i = 0; i < work->made_count; i++)
        broker_segment_delete(queue->folder, work->made[i]);
    if (queue->fd >= 0 && !work->made_count)
        (void)!ftruncate(queue->fd, (off_t)(work->end.at - queue->fd_segment.at));
    if (queue->fd >= 0)
        close(queue->fd);
    queue->fd = -1;
    work->made_count = 0;
}

static void queue_work_on(struct broker_queue *queue)
{
    struct queue_work *work = &queue->work;
    if (work->batches.first && queue_write_batches(queue, &work->err))
        queue_undo(queue);
    if (work->cursor_wanted)
        broker_cursor_write(queue->folder, work->cursor, &work->cursor_err);
    for (size_t i = 0; i < work->deleted_count; i++)
        broker_segment_delete(queue->folder, work->deleted[i]);
}

void store_write(struct net_job *job)
{
    struct broker_store *store =
        (struct broker_store *)((char *)job - offsetof(struct broker_store, job));
    for (size_t i = 0; i < store->count; i++)
        queue_work_on(store->queues[i]);
}
