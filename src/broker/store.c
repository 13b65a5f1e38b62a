#include "broker/store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/text.h"
#include "net/loop.h"
#include "net/worker.h"

enum {
    STORE_SEGMENT_MAX = 64 << 20,
    STORE_SEGMENTS = 4,     /* of a full queue at least: space comes back by segments */
    STORE_READ = 256 << 10, /* bytes of frames handed to a reader at once */
    STORE_CURSOR_MS = 1000, /* how often a cursor is written at most */
    STORE_FILE_NAME_MAX = 255,
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

static void batches_init(struct store_batches *batches)
{
    *batches = (struct store_batches){0};
    batches->last = &batches->first;
}

static void batches_release(struct store_batches *batches)
{
    for (struct store_batch *batch = batches->first, *next; batch; batch = next) {
        next = batch->next;
        block_unref(batch->block);
        free(batch);
    }
    batches_init(batches);
}

/* --- the writer's thread --- */

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

static void store_write(struct net_job *job)
{
    struct broker_store *store =
        (struct broker_store *)((char *)job - offsetof(struct broker_store, job));
    for (size_t i = 0; i < store->count; i++)
        queue_work_on(store->queues[i]);
}

/* --- the loop's thread: writing --- */

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
        batches_init(&work->batches);
    batches_init(&queue->pending);
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

static void store_begin_job(struct broker_store *store, bool cursors)
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

static void store_on_begin(void *ctx)
{
    store_begin_job(ctx, false);
}

static void store_on_cursors(void *ctx)
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

static void queue_pump(struct broker_queue *queue);

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
    batches_release(&work->batches);
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
        queue_pump(store->queues[i]);
    store_begin_job(store, false);
}

/* --- the loop's thread: reading --- */

static void queue_read_work(struct net_job *job)
{
    struct queue_read *read = (struct queue_read *)job;
    read->behind = read->from;
    read->failed = broker_segment_read(read->folder, read->segment, read->end, STORE_READ,
                                       &read->behind, &read->frames, &read->err);
}

static void queue_move_settled(struct broker_queue *queue, struct broker_place place)
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
        queue_pump(queue);
    }
    buf_release(&read->frames);
    free(read);
}

/* The last segment that begins at or before `place`. */
static size_t queue_find_segment(const struct broker_queue *queue, struct broker_place place)
{
    size_t i = queue->segment_count;
    while (i > 1 && queue->segments[i - 1].at > place.at)
        i--;
    return i - 1;
}

static void queue_pump(struct broker_queue *queue)
{
    if (!queue->reader || !queue->wanted || queue->reading)
        return;
    if (queue->next.at < queue->settled.at) /* dropped to make room */
        queue->next = queue->settled;
    if (queue->next.at >= queue->end.at)
        return;
    size_t i = queue_find_segment(queue, queue->next);
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
    queue_pump(queue);
}

void broker_queue_settle(struct broker_queue *queue, struct broker_place behind)
{
    queue_move_settled(queue, behind);
}

/* --- the queues --- */

/* As it stands on disk, and what is on its way there. */
static uint64_t queue_used(const struct broker_queue *queue)
{
    uint64_t disk = queue->segment_count ? queue->end.at - queue->segments[0].at : 0;
    return disk + queue->pending.bytes + queue->work.batches.bytes;
}

static void queue_tell_full(struct broker_queue *queue)
{
    char size[24];
    if (queue->full_told)
        return;
    queue->full_told = true;
    log_error(NULL, "durable subscription %s is full: %" PRIu64 " messages, %s: %s", queue->label,
              broker_queue_frames(queue), num_format_bytes(size, sizeof size, queue_used(queue)),
              queue->store->drop_oldest ? "the oldest are dropped" : "publishers are refused");
}

/* What the settled segments at the front take is as good as free. */
static uint64_t queue_reclaimable(const struct broker_queue *queue)
{
    size_t i = 0;
    while (i + 1 < queue->segment_count && queue->segments[i + 1].at <= queue->settled.at)
        i++;
    return i ? queue->segments[i].at - queue->segments[0].at : 0;
}

bool broker_queue_has_room(struct broker_queue *queue, size_t len)
{
    uint64_t max = queue->store->queue_max;
    for (;;) {
        uint64_t used = queue_used(queue) - queue_reclaimable(queue);
        if (used + len + BROKER_BATCH_HEADER <= max)
            return true;
        size_t i = queue_find_segment(queue, queue->settled);
        bool more = queue->segment_count && i + 1 < queue->segment_count;
        if (!queue->store->drop_oldest || !more)
            break;
        queue->dropped += queue->segments[i + 1].number - queue->settled.number;
        queue_tell_full(queue);
        queue_move_settled(queue, queue->segments[i + 1]);
        queue->full_told = true; /* once until the reader makes room itself */
    }
    if (!queue->store->drop_oldest)
        queue_tell_full(queue);
    return queue->store->drop_oldest;
}

void broker_queue_append(struct broker_queue *queue, struct block *block, unsigned count)
{
    struct broker_store *store = queue->store;
    struct store_batch *batch = mem_new(struct store_batch);
    *batch = (struct store_batch){.block = block_ref(block), .count = count};
    *queue->pending.last = batch;
    queue->pending.last = &batch->next;
    queue->pending.bytes += BROKER_BATCH_HEADER + block->len;
    store->pending += BROKER_BATCH_HEADER + block->len;
    store->ticket++;
    net_deferred_schedule(store->begin);
}

const char *broker_queue_ident(const struct broker_queue *queue)
{
    return queue->ident;
}

const char *broker_queue_channel(const struct broker_queue *queue)
{
    return queue->channel;
}

uint64_t broker_queue_frames(const struct broker_queue *queue)
{
    return queue->end.number - queue->settled.number;
}

uint64_t broker_queue_bytes(const struct broker_queue *queue)
{
    return queue->end.at - queue->settled.at;
}

uint64_t broker_queue_dropped(const struct broker_queue *queue)
{
    return queue->dropped;
}

/* --- the store --- */

uint64_t broker_store_ticket(const struct broker_store *store)
{
    return store->ticket;
}

uint64_t broker_store_durable(const struct broker_store *store)
{
    return store->durable;
}

size_t broker_store_pending(const struct broker_store *store)
{
    return store->pending;
}

size_t broker_store_count(const struct broker_store *store)
{
    return store->count;
}

struct broker_queue *broker_store_queue(const struct broker_store *store, size_t i)
{
    return store->queues[i];
}

struct broker_queue *broker_store_find(const struct broker_store *store, const char *ident,
                                       const char *channel, size_t channel_len)
{
    for (size_t i = 0; i < store->count; i++) {
        struct broker_queue *queue = store->queues[i];
        if (!strcmp(queue->ident, ident) && strlen(queue->channel) == channel_len &&
            !memcmp(queue->channel, channel, channel_len))
            return queue;
    }
    return NULL;
}

static bool store_is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
}

/* "ident@channel" as a file's name: what is not plain becomes %XX. */
static char *store_file_name(const char *ident, const char *channel)
{
    struct buf name = {0};
    const char *parts[] = {ident, "@", channel};
    for (size_t i = 0; i < 3; i++)
        for (const char *at = parts[i]; *at; at++)
            if (i == 1 || store_is_plain(*at))
                buf_add_byte(&name, (uint8_t)*at);
            else
                buf_printf(&name, "%%%02X", (unsigned)(uint8_t)*at);
    char *text = mem_strdup(buf_cstr(&name));
    buf_release(&name);
    return text;
}

static char *store_label(const char *ident, const char *channel)
{
    char safe[2][200];
    return mem_printf("%s %s", text_escape_utf8(safe[0], sizeof safe[0], ident, strlen(ident)),
                      text_escape_utf8(safe[1], sizeof safe[1], channel, strlen(channel)));
}

static void queue_free(struct broker_queue *queue)
{
    batches_release(&queue->pending);
    if (queue->fd >= 0)
        close(queue->fd);
    close(queue->folder);
    free(queue->segments);
    free(queue->ident);
    free(queue->channel);
    free(queue->label);
    free(queue);
}

static void queue_tell_opened(const struct broker_queue *queue, uint64_t cut)
{
    char size[24];
    if (cut)
        log_warning(NULL, "durable subscription %s: %" PRIu64 " bytes of a torn end are cut off",
                    queue->label, cut);
    log_info(NULL, "durable subscription %s: %" PRIu64 " messages wait, %s", queue->label,
             broker_queue_frames(queue),
             num_format_bytes(size, sizeof size, broker_queue_bytes(queue)));
}

static struct broker_queue *queue_new(struct broker_store *store, const char *ident,
                                      const char *channel, struct broker_folder *moved)
{
    struct broker_queue *queue = mem_new(struct broker_queue);
    queue->store = store;
    queue->ident = mem_strdup(ident);
    queue->channel = mem_strdup(channel);
    queue->label = store_label(ident, channel);
    queue->folder = moved->fd;
    queue->segments = moved->segments;
    queue->segment_count = moved->segment_count;
    queue->settled = moved->cursor;
    queue->end = moved->end;
    queue->fd = -1;
    batches_init(&queue->pending);
    batches_init(&queue->work.batches);
    return queue;
}

int broker_store_add(struct broker_store *store, const char *ident, const char *channel,
                     struct err *err)
{
    struct broker_folder folder;
    uint64_t cut = 0;
    if (broker_store_find(store, ident, channel, strlen(channel)))
        return 0;
    char *name = store_file_name(ident, channel);
    int result = strlen(name) > STORE_FILE_NAME_MAX
                     ? err_set(err, ERR_GIVE_UP, "the names are too long to name a folder")
                     : broker_folder_open(store->directory, name, &folder, &cut, err);
    free(name);
    if (result)
        return err_prefix(err, "durable subscription");
    store->queues =
        mem_realloc_array(store->queues, store->count + 1, sizeof(struct broker_queue *));
    store->queues[store->count++] = queue_new(store, ident, channel, &folder);
    queue_tell_opened(store->queues[store->count - 1], cut);
    return 0;
}

/* Else the folder might not be there after a power loss. */
static void store_sync_parent(int fd)
{
    int parent = openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent >= 0) {
        fsync(parent);
        close(parent);
    }
}

/* Two brokers in one folder would write over each other. */
static int store_lock(const char *path, int *ret_fd, struct err *err)
{
    bool made = !mkdir(path, 0700);
    if (!made && errno != EEXIST)
        return err_set(err, ERR_GIVE_UP, "%s: %s", path, strerror(errno));
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_set(err, ERR_GIVE_UP, "%s: %s", path, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB)) {
        err_set(err, ERR_GIVE_UP, "%s: %s", path,
                errno == EWOULDBLOCK ? "another broker uses it" : strerror(errno));
        close(fd);
        return -1;
    }
    if (made)
        store_sync_parent(fd);
    *ret_fd = fd;
    return 0;
}

int broker_store_open(struct net_loop *loop, const struct broker_store_settings *settings,
                      struct broker_store **ret_store, struct err *err)
{
    int directory = -1;
    if (store_lock(settings->directory, &directory, err))
        return -1;
    struct broker_store *store = mem_new(struct broker_store);
    store->loop = loop;
    store->directory = directory;
    store->queue_max = settings->queue_max;
    store->segment_max = settings->queue_max / STORE_SEGMENTS;
    if (store->segment_max > STORE_SEGMENT_MAX)
        store->segment_max = STORE_SEGMENT_MAX;
    store->drop_oldest = settings->drop_oldest;
    store->writer = net_worker_new(loop);
    store->reader = net_worker_new(loop);
    store->begin = net_deferred_new(loop, store_on_begin, store);
    store->cursors = net_timer_new(loop, store_on_cursors, store);
    *ret_store = store;
    return 0;
}

void broker_store_set_events(struct broker_store *store, const struct broker_store_events *events,
                             void *ctx)
{
    store->events = events;
    store->ctx = ctx;
}

void broker_store_free(struct broker_store *store)
{
    if (!store)
        return;
    store->events = NULL;
    store->closing = true;
    for (size_t i = 0; i < store->count; i++)
        broker_queue_detach(store->queues[i]);
    net_worker_free(store->reader);
    store_begin_job(store, true); /* if it is busy, it does so when it is not */
    net_worker_free(store->writer);
    net_deferred_free(store->begin);
    net_timer_free(store->cursors);
    for (size_t i = 0; i < store->count; i++)
        queue_free(store->queues[i]);
    free(store->queues);
    close(store->directory);
    free(store);
}
