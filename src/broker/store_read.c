/* Readers: what they have not had, from disk, on a thread of its own. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "broker/store_impl.h"
#include "net/loop.h"

enum {
    STORE_READ = 256 << 10, /* bytes of frames handed to a reader at once */
};

/* A reader's read: it outlives the reader's interest. */
struct queue_read {
    struct net_job job;
    struct broker_queue *queue; /* NULL: nobody waits for it any more */
    int folder;
    struct broker_place segment;
    uint64_t end;
    struct broker_place from, behind;
    struct buf frames;
    struct err err;
    bool failed;
};

static void queue_read_work(struct net_job *job)
{
    struct queue_read *read = (struct queue_read *)job;
    read->behind = read->from;
    read->failed = broker_segment_read(read->folder, read->segment, read->end, STORE_READ,
                                       &read->behind, &read->frames, &read->err);
}

void store_queue_move_settled(struct broker_queue *queue, struct broker_place place)
{
    struct broker_store *store = queue->store;
    if (place.at <= queue->settled.at)
        return;
    queue->settled = place;
    queue->cursor_moved = true;
    queue->full_told = false;
    if (!store->cursors_running) {
        store->cursors_running = true;
        net_timer_start(store->cursors, STORE_CURSOR_MS);
    }
}

/* The place where the segment ends that begins at `segments[i]`. */
static struct broker_place queue_segment_end(const struct broker_queue *queue, size_t i)
{
    return i + 1 < queue->segment_count ? queue->segments[i + 1] : queue->end;
}

/* What cannot be read is gone; what stands behind it in other segments is not. */
static void queue_skip_damage(struct broker_queue *queue, const struct queue_read *read)
{
    for (size_t i = 0; i < queue->segment_count; i++)
        if (queue->segments[i].at == read->segment.at) {
            struct broker_place behind = queue_segment_end(queue, i);
            log_error(NULL, "durable subscription %s: %s: %" PRIu64 " messages are lost",
                      queue->label, read->err.text, behind.number - read->from.number);
            queue->next = behind;
        }
}

static void queue_read_done(struct net_job *job)
{
    struct queue_read *read = (struct queue_read *)job;
    struct broker_queue *queue = read->queue;
    if (queue) {
        queue->reading = NULL;
        if (read->failed) {
            queue_skip_damage(queue, read);
        } else if (queue->wanted && queue->next.at == read->from.at) {
            queue->next = read->behind;
            queue->wanted = false;
            queue->reader->frames(queue->reader_ctx, block_from_buf(&read->frames), read->behind);
        }
        store_queue_pump(queue);
    }
    buf_release(&read->frames);
    free(read);
}

/* The last segment that begins at or before `place`. */
size_t store_queue_find_segment(const struct broker_queue *queue, struct broker_place place)
{
    size_t i = queue->segment_count;
    while (i > 1 && queue->segments[i - 1].at > place.at)
        i--;
    return i - 1;
}

void store_queue_pump(struct broker_queue *queue)
{
    if (!queue->reader || !queue->wanted || queue->reading)
        return;
    if (queue->next.at < queue->settled.at) /* dropped to make room */
        queue->next = queue->settled;
    if (queue->next.at >= queue->end.at)
        return;
    size_t i = store_queue_find_segment(queue, queue->next);
    struct queue_read *read = mem_new(struct queue_read);
    read->job = (struct net_job){.work = queue_read_work, .done = queue_read_done};
    read->queue = queue;
    read->folder = queue->folder;
    read->segment = queue->segments[i];
    read->end = queue_segment_end(queue, i).at;
    read->from = queue->next;
    queue->reading = read;
    net_worker_submit(queue->store->reader, &read->job);
}

bool broker_queue_attach(struct broker_queue *queue, const struct broker_reader_events *events,
                         void *ctx)
{
    if (queue->reader)
        return false;
    queue->reader = events;
    queue->reader_ctx = ctx;
    queue->next = queue->settled;
    queue->wanted = false;
    return true;
}

void broker_queue_detach(struct broker_queue *queue)
{
    queue->reader = NULL;
    queue->wanted = false;
    if (queue->reading)
        queue->reading->queue = NULL;
    queue->reading = NULL;
}

void broker_queue_want(struct broker_queue *queue, bool wanted)
{
    queue->wanted = wanted;
    store_queue_pump(queue);
}

void broker_queue_settle(struct broker_queue *queue, struct broker_place behind)
{
    store_queue_move_settled(queue, behind);
}
