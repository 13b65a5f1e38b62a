#include "broker/store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/text.h"
#include "broker/store_impl.h"
#include "net/loop.h"

enum {
    STORE_SEGMENT_MAX = 64 << 20,
    STORE_SEGMENTS = 4, /* of a full queue at least: space comes back by segments */
    STORE_FILE_NAME_MAX = 255,
};

void store_batches_init(struct store_batches *batches)
{
    *batches = (struct store_batches){0};
    batches->last = &batches->first;
}

void store_batches_release(struct store_batches *batches)
{
    for (struct store_batch *batch = batches->first, *next; batch; batch = next) {
        next = batch->next;
        block_unref(batch->block);
        free(batch);
    }
    store_batches_init(batches);
}

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
        size_t i = store_queue_find_segment(queue, queue->settled);
        bool more = queue->segment_count && i + 1 < queue->segment_count;
        if (!queue->store->drop_oldest || !more)
            break;
        queue->dropped += queue->segments[i + 1].number - queue->settled.number;
        queue_tell_full(queue);
        store_queue_move_settled(queue, queue->segments[i + 1]);
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
    store_batches_release(&queue->pending);
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
    store_batches_init(&queue->pending);
    store_batches_init(&queue->work.batches);
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

/* Else the folder might not be there after a power loss: also when it was there before, as who made
 * it may have been killed before this. */
static void store_sync_parent(int fd)
{
    int parent = openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent >= 0) {
        fsync(parent);
        close(parent);
    }
}

static int store_open_directory(const char *path, int *ret_fd, struct err *err)
{
    if (mkdir(path, 0700) && errno != EEXIST)
        return err_set(err, ERR_GIVE_UP, "%s: %s", path, strerror(errno));
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_set(err, ERR_GIVE_UP, "%s: %s", path, strerror(errno));
    store_sync_parent(fd);
    *ret_fd = fd;
    return 0;
}

int broker_store_make(const char *directory, struct err *err)
{
    int fd = -1;
    if (store_open_directory(directory, &fd, err))
        return -1;
    close(fd);
    return 0;
}

/* Two brokers in one folder would write over each other. */
static int store_lock(const char *path, int *ret_fd, struct err *err)
{
    int fd = -1;
    if (store_open_directory(path, &fd, err))
        return -1;
    if (flock(fd, LOCK_EX | LOCK_NB)) {
        err_set(err, ERR_GIVE_UP, "%s: %s", path,
                errno == EWOULDBLOCK ? "another broker uses it" : strerror(errno));
        close(fd);
        return -1;
    }
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
