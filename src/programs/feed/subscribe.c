/* subscribe: messages in, until it is told to end; what is lost is connected again. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "net/loop.h"
#include "programs/feed/archive.h"
#include "programs/feed/feed.h"
#include "programs/feed/show.h"

enum {
    SUBSCRIBE_PAUSE_FIRST_MS = 1000,
    SUBSCRIBE_PAUSE_MOST_MS = 60000,
    /* A connection that lasted so long was accepted: what ends it later will pass. */
    SUBSCRIBE_PROVEN_MS = 10000,
    SUBSCRIBE_CONFIRM_MS = 10000, /* for the marker to come back */
    SUBSCRIBE_MARKER = 16,
};

struct subscribe {
    const struct feed_options *options;
    struct net_loop *loop;
    struct net_timer *pause;  /* before connecting again */
    struct net_timer *answer; /* for the marker */
    struct net_signal *signals[2];
    struct feed_link *link; /* NULL while pausing */
    struct feed_show show;
    char *private_channel; /* confirm.<ident> */
    uint8_t marker[SUBSCRIBE_MARKER];

    bool proven; /* the broker has been seen to accept us, on some connection */
    bool told;   /* of this connection: that it is subscribed */
    msec_t since;
    msec_t began; /* the command */
    unsigned attempt;
    uint64_t messages;
    int result;
};

static void subscribe_finish(struct subscribe *subscribe, int result)
{
    subscribe->result = result;
    net_loop_stop(subscribe->loop);
}

static void subscribe_prove(struct subscribe *subscribe)
{
    subscribe->proven = true;
    subscribe->attempt = 0;
}

static bool subscribe_asked_for(const struct subscribe *subscribe, const char *name, size_t len)
{
    for (size_t i = 0; i < subscribe->options->channel_count; i++)
        if (strlen(subscribe->options->channels[i]) == len &&
            !memcmp(subscribe->options->channels[i], name, len))
            return true;
    return false;
}

static void subscribe_tell(struct subscribe *subscribe)
{
    subscribe->told = true;
    for (size_t i = 0; i < subscribe->options->channel_count; i++)
        log_info(NULL, "subscribed to %s", subscribe->options->channels[i]);
}

/* The broker handles a connection's frames in order: when the marker comes back, the
 * subscriptions before it stand. */
static void subscribe_ask(struct subscribe *subscribe, struct buf *frames)
{
    const char *ident = subscribe->options->target.ident;
    random_bytes(subscribe->marker, sizeof subscribe->marker);
    hpfeeds_add_subscribe(frames, ident, subscribe->private_channel);
    hpfeeds_add_publish(frames, ident, subscribe->private_channel, subscribe->marker,
                        sizeof subscribe->marker);
    net_timer_start(subscribe->answer, SUBSCRIBE_CONFIRM_MS);
}

static void subscribe_on_ready(void *ctx)
{
    struct subscribe *subscribe = ctx;
    struct buf frames = {0};
    feed_link_guard(subscribe->link);
    for (size_t i = 0; i < subscribe->options->channel_count; i++)
        hpfeeds_add_subscribe(&frames, subscribe->options->target.ident,
                              subscribe->options->channels[i]);
    if (subscribe->options->confirm)
        subscribe_ask(subscribe, &frames);
    feed_link_send(subscribe->link, &frames);
    subscribe->since = net_loop_now(subscribe->loop);
}

static void subscribe_on_drained(void *ctx)
{
    struct subscribe *subscribe = ctx;
    if (!subscribe->told && !subscribe->options->confirm)
        subscribe_tell(subscribe);
}

static void subscribe_on_no_answer(void *ctx)
{
    (void)ctx;
    log_warning(NULL, "the marker did not come back: whether the broker has the subscriptions is "
                      "not known");
}

/* Is it the marker, or something else on a channel that nobody asked for? */
static bool subscribe_is_private(struct subscribe *subscribe, const struct hpfeeds_frame *frame)
{
    const char *name = subscribe->private_channel;
    if (!subscribe->options->confirm || frame->channel_len != strlen(name) ||
        memcmp(frame->channel, name, frame->channel_len) != 0)
        return false;
    bool marker = frame->payload_len == sizeof subscribe->marker &&
                  !memcmp(frame->payload, subscribe->marker, sizeof subscribe->marker);
    if (marker && !subscribe->told) {
        net_timer_stop(subscribe->answer);
        subscribe_tell(subscribe);
    }
    return marker || !subscribe_asked_for(subscribe, name, frame->channel_len);
}

static bool subscribe_on_message(void *ctx, const struct hpfeeds_frame *frame)
{
    struct subscribe *subscribe = ctx;
    struct err err;
    subscribe_prove(subscribe);
    if (subscribe_is_private(subscribe, frame))
        return true;
    if (feed_show_message(&subscribe->show, frame, &err)) {
        log_error(NULL, "%s", err.text);
        subscribe_finish(subscribe, FEED_EXIT_FAILED);
        return false;
    }
    if (subscribe->options->command) /* it may have taken long, and a signal may have come */
        feed_link_rest(subscribe->link);
    if (++subscribe->messages != subscribe->options->count)
        return true;
    subscribe_finish(subscribe, 0);
    return false;
}

static void subscribe_on_caught_up(void *ctx)
{
    struct subscribe *subscribe = ctx;
    struct err err;
    if (feed_show_flush(&err)) {
        log_error(NULL, "%s", err.text);
        subscribe_finish(subscribe, FEED_EXIT_FAILED);
    }
}

/* What goes wrong before the broker was seen to accept us is for a person to mend. */
static void subscribe_give_up(struct subscribe *subscribe, enum feed_end end, const char *text)
{
    switch (end) {
    case FEED_END_ERROR:
        log_error(NULL, "refused by the broker: %s", text);
        break;
    case FEED_END_CLEAN:
        log_error(NULL, "%s: it may not accept the ident, the secret or a channel", text);
        break;
    case FEED_END_FAILED:
    case FEED_END_TRUST:
        log_error(NULL, "%s", text);
        break;
    }
    subscribe_finish(subscribe, end == FEED_END_FAILED ? FEED_EXIT_UNREACHABLE : FEED_EXIT_FAILED);
}

static void subscribe_on_over(void *ctx, enum feed_end end, const char *text)
{
    struct subscribe *subscribe = ctx;
    subscribe_on_caught_up(subscribe);
    net_timer_stop(subscribe->answer);
    if (subscribe->since && net_loop_now(subscribe->loop) - subscribe->since >= SUBSCRIBE_PROVEN_MS)
        subscribe_prove(subscribe);
    bool patient = end == FEED_END_FAILED && subscribe->options->retry &&
                   net_loop_now(subscribe->loop) - subscribe->began < subscribe->options->retry;
    if (!subscribe->proven && !patient) {
        subscribe_give_up(subscribe, end, text);
        return;
    }
    msec_t wait =
        random_backoff(subscribe->attempt++, SUBSCRIBE_PAUSE_FIRST_MS, SUBSCRIBE_PAUSE_MOST_MS);
    log_warning(NULL, "%s%s: connecting again in %.1f s",
                end == FEED_END_ERROR ? "error from the broker: " : "", text, (double)wait / 1000);
    feed_link_close(subscribe->link);
    subscribe->link = NULL;
    net_timer_start(subscribe->pause, wait);
}

static void subscribe_connect(void *ctx)
{
    static const struct feed_link_events events = {
        .ready = subscribe_on_ready,
        .message = subscribe_on_message,
        .caught_up = subscribe_on_caught_up,
        .drained = subscribe_on_drained,
        .over = subscribe_on_over,
    };
    struct subscribe *subscribe = ctx;
    subscribe->told = false;
    subscribe->since = 0;
    subscribe->link =
        feed_link_open(subscribe->loop, &subscribe->options->target, &events, subscribe);
}

static void subscribe_on_signal(void *ctx)
{
    subscribe_finish(ctx, 0);
}

/* What was shown, and did not get out, was not worked off. */
static void subscribe_end(struct subscribe *subscribe)
{
    struct err err;
    if (!subscribe->result && feed_show_flush(&err)) {
        log_error(NULL, "%s", err.text);
        subscribe->result = FEED_EXIT_FAILED;
    }
    if (subscribe->result)
        feed_link_break(subscribe->link);
    else
        feed_link_close(subscribe->link);
}

static void subscribe_run(struct subscribe *subscribe)
{
    subscribe->loop = net_loop_new();
    subscribe->pause = net_timer_new(subscribe->loop, subscribe_connect, subscribe);
    subscribe->answer = net_timer_new(subscribe->loop, subscribe_on_no_answer, subscribe);
    subscribe->signals[0] = net_signal_new(subscribe->loop, SIGINT, subscribe_on_signal, subscribe);
    subscribe->signals[1] =
        net_signal_new(subscribe->loop, SIGTERM, subscribe_on_signal, subscribe);
    subscribe->began = net_loop_now(subscribe->loop);
    subscribe_connect(subscribe);
    net_loop_run(subscribe->loop);

    subscribe_end(subscribe);
    net_signal_free(subscribe->signals[0]);
    net_signal_free(subscribe->signals[1]);
    net_timer_free(subscribe->answer);
    net_timer_free(subscribe->pause);
    net_loop_free(subscribe->loop);
}

int feed_subscribe(const struct feed_options *options)
{
    struct subscribe subscribe = {.options = options};
    struct err err;
    if (feed_show_init(&subscribe.show, options, &err)) {
        log_error(NULL, "%s", err.text);
        feed_show_release(&subscribe.show);
        return FEED_EXIT_FAILED;
    }
    subscribe.private_channel = mem_printf("confirm.%s", options->target.ident);
    subscribe_run(&subscribe);
    if (subscribe.show.archive)
        log_info(NULL, "%llu mails archived, %llu doubles",
                 (unsigned long long)feed_archive_added(subscribe.show.archive),
                 (unsigned long long)feed_archive_doubles(subscribe.show.archive));
    if ((subscribe.show.wrong || subscribe.show.failed) && !subscribe.result)
        subscribe.result = FEED_EXIT_FAILED;
    free(subscribe.private_channel);
    feed_show_release(&subscribe.show);
    return subscribe.result;
}
