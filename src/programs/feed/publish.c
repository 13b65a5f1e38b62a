/* publish and sendfile: frames out, half-close, and the broker's clean end as confirmation. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "net/loop.h"
#include "payload/payload.h"
#include "programs/feed/feed.h"
#include "programs/feed/file.h"

enum {
    PUBLISH_TICK_MS = 5000,
    PUBLISH_STALL_TICKS = 12, /* a minute in which the broker takes and says nothing */
    PUBLISH_PAUSE_FIRST_MS = 500,
    PUBLISH_PAUSE_MOST_MS = 10000,
};

struct publish {
    const struct feed_options *options;
    struct net_loop *loop;
    struct net_timer *tick;
    struct net_signal *signals[2];
    struct feed_link *link;
    struct net_timer *pause; /* before it is tried again */
    char **files;            /* to be sent one by one; NULL: `payload` is all */
    size_t file_count;
    struct buf payload;
    size_t next_file;
    msec_t began;
    unsigned attempt;
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

/* The arguments in one line, as from a shell's echo; "-" alone is standard input. */
static int publish_gather(struct publish *publish, struct err *err)
{
    const struct feed_options *options = publish->options;
    if (options->arg_count == 1 && !strcmp(options->args[0], "-"))
        return feed_file_load("-", options->target.frame_max, &publish->payload, err);
    for (size_t i = 0; i < options->arg_count; i++) {
        if (i)
            buf_add_byte(&publish->payload, ' ');
        buf_add_str(&publish->payload, options->args[i]);
    }
    return 0;
}

/* As imap-collector sends mails: with their hash. */
static void publish_encode(const struct publish *publish, struct buf *payload)
{
    struct payload_encoder *encoder =
        payload_encoder_new(PAYLOAD_JSON, 0, publish->options->target.frame_max);
    struct payload_result result;
    struct buf json = {0};
    payload_encoder_begin(encoder, payload->len);
    payload_encoder_add(encoder, payload->data, payload->len);
    payload_encoder_finish(encoder, &json, &result);
    payload_encoder_free(encoder);
    buf_release(payload);
    *payload = json;
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

static int publish_load(struct publish *publish, struct err *err)
{
    size_t max = publish->options->target.frame_max;
    buf_clear(&publish->payload);
    if (feed_file_load(publish->files[publish->next_file], max, &publish->payload, err))
        return -1;
    if (publish->options->json)
        publish_encode(publish, &publish->payload);
    if (publish->options->json && !publish->payload.len)
        return err_set(err, ERR_GIVE_UP, "the frame would be larger than --max-frame");
    return 0;
}

/* Queues what comes next, one payload at a time so that not all files are in memory at once. */
static void publish_next(struct publish *publish)
{
    struct err err;
    if ((publish->files && publish_load(publish, &err)) || publish_send(publish, &err)) {
        log_error(NULL, "%s", err.text);
        publish_finish(publish, FEED_EXIT_FAILED);
        return;
    }
    publish->next_file++;
    if (!publish->files || publish->next_file == publish->file_count) {
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

/* All of it once more, for nobody knows what was taken; false when it has been tried enough. */
static bool publish_retry(struct publish *publish, const char *text)
{
    msec_t spent = net_loop_now(publish->loop) - publish->began;
    if (spent >= publish->options->retry)
        return false;
    msec_t wait = random_backoff(publish->attempt++, PUBLISH_PAUSE_FIRST_MS, PUBLISH_PAUSE_MOST_MS);
    log_warning(NULL, "%s: trying again in %.1f s", text, (double)wait / 1000);
    feed_link_close(publish->link);
    publish->link = NULL;
    publish->ending = publish->half_closed = false;
    publish->next_file = publish->stalled = 0;
    publish->frames = 0;
    net_timer_stop(publish->tick);
    net_timer_start(publish->pause, wait);
    return true;
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
    } else if (end == FEED_END_TRUST || !publish_retry(publish, text)) {
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

static void publish_connect(void *ctx)
{
    static const struct feed_link_events events = {
        .ready = publish_on_ready,
        .drained = publish_on_drained,
        .over = publish_on_over,
    };
    struct publish *publish = ctx;
    publish->link = feed_link_open(publish->loop, &publish->options->target, &events, publish);
}

static void publish_run(struct publish *publish)
{
    publish->loop = net_loop_new();
    publish->tick = net_timer_new(publish->loop, publish_on_tick, publish);
    publish->pause = net_timer_new(publish->loop, publish_connect, publish);
    publish->signals[0] = net_signal_new(publish->loop, SIGINT, publish_on_signal, publish);
    publish->signals[1] = net_signal_new(publish->loop, SIGTERM, publish_on_signal, publish);
    publish->began = net_loop_now(publish->loop);
    publish_connect(publish);
    net_loop_run(publish->loop);

    feed_link_close(publish->link);
    net_signal_free(publish->signals[0]);
    net_signal_free(publish->signals[1]);
    net_timer_free(publish->pause);
    net_timer_free(publish->tick);
    net_loop_free(publish->loop);
}

int feed_publish(const struct feed_options *options)
{
    struct publish publish = {.options = options};
    struct err err;
    if (publish_gather(&publish, &err)) {
        log_error(NULL, "%s", err.text);
        publish.result = FEED_EXIT_FAILED;
    } else {
        if (options->json)
            publish_encode(&publish, &publish.payload);
        publish_run(&publish);
    }
    buf_release(&publish.payload);
    return publish.result;
}

static void publish_add_file(struct publish *publish, const char *name)
{
    publish->files =
        mem_realloc_array(publish->files, publish->file_count + 2, sizeof *publish->files);
    publish->files[publish->file_count++] = mem_strdup(name);
    publish->files[publish->file_count] = NULL;
}

/* A Maildir stands for the mails in it. */
static int publish_list(struct publish *publish, struct err *err)
{
    for (size_t i = 0; i < publish->options->arg_count; i++) {
        char **mails;
        if (feed_file_list_maildir(publish->options->args[i], &mails, err))
            return -1;
        for (char **at = mails; at && *at; at++)
            publish_add_file(publish, *at);
        if (!mails)
            publish_add_file(publish, publish->options->args[i]);
        feed_file_free_list(mails);
    }
    return 0;
}

int feed_sendfile(const struct feed_options *options)
{
    struct publish publish = {.options = options};
    struct err err;
    if (publish_list(&publish, &err)) {
        log_error(NULL, "%s", err.text);
        publish.result = FEED_EXIT_FAILED;
    } else if (!publish.file_count) {
        log_info(NULL, "no mails there");
    } else {
        publish_run(&publish);
    }
    feed_file_free_list(publish.files);
    buf_release(&publish.payload);
    return publish.result;
}
