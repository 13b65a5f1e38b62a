/* publish and sendfile: frames out, half-close, and the broker's clean end as confirmation. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "base/text.h"
#include "net/loop.h"
#include "programs/feed/feed.h"

enum {
    PUBLISH_TICK_MS = 5000,
    PUBLISH_STALL_TICKS = 12, /* a minute in which the broker takes and says nothing */
    PUBLISH_READ = 65536,
};

struct publish {
    const struct feed_options *options;
    struct net_loop *loop;
    struct net_timer *tick;
    struct net_signal *signals[2];
    struct feed_link *link;
    bool files; /* the arguments are names of files */
    struct buf payload;
    size_t next_arg;  /* of files: which comes next */
    bool ending;      /* all is queued, and the half-close behind it */
    bool half_closed; /* with the kernel: only now a clean end confirms */
    size_t pending;   /* at the last tick */
    unsigned stalled; /* ticks without progress */
    uint64_t frames;
    int result;
};

static void publish_finish(struct publish *publish, int result)
{
    publish->result = result;
    net_loop_stop(publish->loop);
}

/* Appends all there is to read, at most `max` bytes. */
static int publish_read(int fd, size_t max, struct buf *payload, struct err *err)
{
    for (;;) {
        buf_reserve(payload, PUBLISH_READ);
        ssize_t got = read(fd, payload->data + payload->len, payload->cap - payload->len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_set(err, ERR_GIVE_UP, "%s", strerror(errno));
        if (!got)
            return 0;
        payload->len += (size_t)got;
        if (payload->len > max)
            return err_set(err, ERR_GIVE_UP, "larger than --max-frame allows");
    }
}

static int publish_load(const struct publish *publish, const char *name, struct buf *payload,
                        struct err *err)
{
    int fd = strcmp(name, "-") ? open(name, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
    int result = fd < 0 ? err_set(err, ERR_GIVE_UP, "%s", strerror(errno))
                        : publish_read(fd, publish->options->target.frame_max, payload, err);
    if (fd > STDIN_FILENO)
        close(fd);
    char safe[200];
    return result ? err_prefix(err, "%s", text_escape_utf8(safe, sizeof safe, name, strlen(name)))
                  : 0;
}

/* The arguments in one line, as from a shell's echo; "-" alone is standard input. */
static int publish_gather(struct publish *publish, struct err *err)
{
    const struct feed_options *options = publish->options;
    if (options->arg_count == 1 && !strcmp(options->args[0], "-"))
        return publish_load(publish, "-", &publish->payload, err);
    for (size_t i = 0; i < options->arg_count; i++) {
        if (i)
            buf_add_byte(&publish->payload, ' ');
        buf_add_str(&publish->payload, options->args[i]);
    }
    return 0;
}

/* Queues the payload on every channel. */
static int publish_send(struct publish *publish, struct err *err)
{
    const struct buf *payload = &publish->payload;
    const struct feed_target *target = &publish->options->target;
    for (size_t i = 0; i < publish->options->channel_count; i++) {
        const char *channel = publish->options->channels[i];
        struct buf frame = {0};
        if (hpfeeds_publish_prefix(target->ident, channel) + payload->len > target->frame_max)
            return err_set(err, ERR_GIVE_UP, "the frame would be larger than --max-frame");
        hpfeeds_add_publish(&frame, target->ident, channel, payload->data, payload->len);
        feed_link_send(publish->link, &frame);
        publish->frames++;
    }
    return 0;
}

/* Queues what comes next, one payload at a time so that not all files are in memory at once. */
static void publish_next(struct publish *publish)
{
    struct err err;
    int result = 0;
    if (publish->files) {
        buf_clear(&publish->payload);
        result = publish_load(publish, publish->options->args[publish->next_arg], &publish->payload,
                              &err);
    }
    if (!result)
        result = publish_send(publish, &err);
    if (result) {
        log_error(NULL, "%s", err.text);
        publish_finish(publish, FEED_EXIT_FAILED);
        return;
    }
    publish->next_arg++;
    if (!publish->files || publish->next_arg == publish->options->arg_count) {
        publish->ending = true;
        feed_link_end(publish->link);
    }
}

static void publish_on_ready(void *ctx)
{
    struct publish *publish = ctx;
    net_timer_start(publish->tick, PUBLISH_TICK_MS);
    publish_next(publish);
}

static void publish_on_drained(void *ctx)
{
    struct publish *publish = ctx;
    if (publish->ending)
        publish->half_closed = true;
    else
        publish_next(publish);
}

static void publish_on_over(void *ctx, enum feed_end end, const char *text)
{
    struct publish *publish = ctx;
    if (end == FEED_END_CLEAN && publish->half_closed) {
        log_info(NULL, "%llu message%s taken", (unsigned long long)publish->frames,
                 publish->frames == 1 ? "" : "s");
        publish_finish(publish, 0);
    } else if (end == FEED_END_ERROR) {
        log_error(NULL, "refused by the broker: %s", text);
        publish_finish(publish, FEED_EXIT_FAILED);
    } else {
        log_error(NULL, "%s%s", publish->frames ? "not confirmed: " : "", text);
        publish_finish(publish, end == FEED_END_TRUST ? FEED_EXIT_FAILED : FEED_EXIT_UNREACHABLE);
    }
}

/* A broker may take long over much, but not stand still. */
static void publish_on_tick(void *ctx)
{
    struct publish *publish = ctx;
    size_t pending = feed_link_pending(publish->link);
    publish->stalled = pending == publish->pending ? publish->stalled + 1 : 0;
    publish->pending = pending;
    if (publish->stalled < PUBLISH_STALL_TICKS) {
        net_timer_start(publish->tick, PUBLISH_TICK_MS);
        return;
    }
    log_error(NULL, "not confirmed: nothing from the broker for a minute");
    publish_finish(publish, FEED_EXIT_UNREACHABLE);
}

static void publish_on_signal(void *ctx)
{
    log_error(NULL, "interrupted, not confirmed");
    publish_finish(ctx, FEED_EXIT_FAILED);
}

static int publish_run(const struct feed_options *options, bool files)
{
    static const struct feed_link_events events = {
        .ready = publish_on_ready,
        .drained = publish_on_drained,
        .over = publish_on_over,
    };
    struct publish publish = {.options = options, .files = files};
    struct err err;
    if (!files && publish_gather(&publish, &err)) {
        log_error(NULL, "%s", err.text);
        buf_release(&publish.payload);
        return FEED_EXIT_FAILED;
    }
    publish.loop = net_loop_new();
    publish.tick = net_timer_new(publish.loop, publish_on_tick, &publish);
    publish.signals[0] = net_signal_new(publish.loop, SIGINT, publish_on_signal, &publish);
    publish.signals[1] = net_signal_new(publish.loop, SIGTERM, publish_on_signal, &publish);
    publish.link = feed_link_open(publish.loop, &options->target, &events, &publish);
    net_loop_run(publish.loop);

    feed_link_close(publish.link);
    net_signal_free(publish.signals[0]);
    net_signal_free(publish.signals[1]);
    net_timer_free(publish.tick);
    net_loop_free(publish.loop);
    buf_release(&publish.payload);
    return publish.result;
}

int feed_publish(const struct feed_options *options)
{
    return publish_run(options, false);
}

int feed_sendfile(const struct feed_options *options)
{
    return publish_run(options, true);
}
