/* confirm: echo. A marker is published behind the mails, and comes back: brokers handle a
 * connection's frames in order, so all before it were handled.
 *
 * Where the broker gives a publisher its own messages, the marker comes back on the connection
 * that carried the mails, behind any ERROR about them. Where it does not, a second connection of
 * the same identity listens. Nothing orders the two, so a refusal may come later than the marker:
 * therefore the first marker after connecting rests for confirm_grace before it counts. What an
 * identity may publish does not change after that. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "net/loop.h"
#include "sink/confirm.h"
#include "sink/markers.h"

enum {
    ECHO_SAME,   /* the connection that publishes */
    ECHO_SECOND, /* the one that only listens */
    ECHO_LINKS,
};

/* CLOSED → CONNECTING → PROBING → OPEN → CLOSED; each falls back to CLOSED on trouble. */
enum echo_state {
    ECHO_CLOSED,     /* no links */
    ECHO_CONNECTING, /* until AUTH is on its way on every link */
    ECHO_PROBING,    /* markers are published until one comes back */
    ECHO_OPEN,       /* mails may be in flight */
};

struct confirm_echo;

struct echo_link {
    struct confirm_echo *owner;
    struct publisher *publisher; /* NULL: not there */
    bool ready;
};

struct confirm_echo {
    struct confirm confirm;
    enum echo_state state;
    struct echo_link links[ECHO_LINKS];
    bool known;       /* which link the broker echoes to: kept over reconnects */
    int echoes;       /* that link */
    bool second_seen; /* PROBING: a marker came on the second link */
    msec_t probe_since;
    struct markers markers;
    struct net_timer *timer; /* PROBING: the next marker. OPEN with mails: a look at progress */
    struct net_deferred *deferred; /* OPEN: what is to be done behind all this turn did */
    struct net_timer *pace;        /* OPEN: mails wait for the next marker's time */
    msec_t mark_at;                /* when that is */
    struct net_timer *rest;        /* OPEN: the first marker's rest */
    bool rested;
    struct sink_mail_list mails;
    uint64_t published; /* mails, on this connection */
    uint64_t marked;    /* of these; there is a marker behind them */
    uint64_t resting;   /* of these; their marker is back, and rests */
    uint64_t confirmed; /* of these */
    uint64_t settled;   /* of these */
    size_t unmarked_bytes;
    uint64_t returned; /* markers */
    struct confirm_progress progress;
};

static struct confirm_echo *confirm_echo_cast(const struct confirm *confirm)
{
    return (struct confirm_echo *)(uintptr_t)confirm;
}

static msec_t echo_now(const struct confirm_echo *echo)
{
    return net_loop_now(echo->confirm.setup->loop);
}

static struct publisher *echo_publisher(const struct confirm_echo *echo)
{
    return echo->links[ECHO_SAME].publisher;
}

static void echo_link_close(struct echo_link *link)
{
    publisher_close(link->publisher);
    link->publisher = NULL;
    link->ready = false;
}

static void echo_close(struct confirm_echo *echo)
{
    for (int i = 0; i < ECHO_LINKS; i++)
        echo_link_close(&echo->links[i]);
    net_timer_stop(echo->timer);
    net_timer_stop(echo->rest);
    net_timer_stop(echo->pace);
    markers_clear(&echo->markers);
    echo->state = ECHO_CLOSED;
}

static void echo_no_echo(struct confirm_echo *echo, enum publisher_end how, const struct err *why)
{
    const struct confirm_setup *setup = echo->confirm.setup;
    const char *ident = setup->publisher.ident;
    struct err err;

    if (how == PUBLISHER_REFUSED || how == PUBLISHER_TIMED_OUT)
        err_set(&err, ERR_GIVE_UP,
                "the broker does not let %s publish and subscribe to %s: add it to the account's "
                "pubchans and subchans, or use confirm: close (%s)",
                ident, setup->channel, why->text);
    else
        err_set(&err, ERR_RETRY_LATER,
                "%s before a marker came back on %s: is the broker going down, or does it not let "
                "%s publish and subscribe there (pubchans, subchans)?",
                why->text, setup->channel, ident);
    echo_close(echo);
    setup->events->no_echo(setup->ctx, how, &err);
}

static void echo_lost(struct confirm_echo *echo, enum publisher_end how, const struct err *err)
{
    const struct confirm_setup *setup = echo->confirm.setup;
    struct sink_mail_list mails = echo->mails;
    struct err why = *err;

    echo_close(echo);
    echo->mails = (struct sink_mail_list){0};
    setup->events->lost(setup->ctx, &mails, how, &why);
}

static void echo_gone(void *ctx, enum publisher_end how, const struct err *err)
{
    struct echo_link *link = ctx;
    struct confirm_echo *echo = link->owner;
    const struct confirm_setup *setup = echo->confirm.setup;

    if (echo->state == ECHO_OPEN) {
        /* The mails are not to blame for what happens to the link that only listens. */
        bool listener = link == &echo->links[ECHO_SECOND] && how != PUBLISHER_REFUSED;
        echo_lost(echo, listener ? PUBLISHER_TIMED_OUT : how, err);
    } else if (link->ready && how != PUBLISHER_PUT_OFF) {
        echo_no_echo(echo, how, err);
    } else {
        struct err why = *err;
        echo_close(echo);
        setup->events->open_failed(setup->ctx, how, &why);
    }
}

static void echo_say_marker(struct confirm_echo *echo)
{
    const char *text = markers_new(&echo->markers, echo->published);
    publisher_say(echo_publisher(echo), echo->confirm.setup->channel, text, MARKER_TEXT);
    echo->mark_at = echo_now(echo) + echo->confirm.setup->tuning.marker_interval;
    echo->marked = echo->published;
    echo->unmarked_bytes = 0;
}

static void echo_opened(struct confirm_echo *echo, int echoes)
{
    const struct confirm_setup *setup = echo->confirm.setup;

    net_timer_stop(echo->timer);
    /* Those that were lost before the SUBSCRIBE was handled never come: wait for none. */
    markers_clear(&echo->markers);
    echo->mark_at = echo_now(echo);
    echo->known = true;
    echo->echoes = echoes;
    if (echoes == ECHO_SAME)
        echo_link_close(&echo->links[ECHO_SECOND]);
    echo->state = ECHO_OPEN;
    echo->rested = echoes == ECHO_SAME;
    setup->events->opened(setup->ctx);
}

/* SUBSCRIBE has no answer, and a marker from before it is not seen: so it is repeated. */
static void echo_probe(struct confirm_echo *echo)
{
    const struct confirm_setup *setup = echo->confirm.setup;
    struct err err;

    if (echo->second_seen) {
        echo_opened(echo, ECHO_SECOND);
        return;
    }
    if (echo_now(echo) - echo->probe_since >= setup->tuning.probe_limit) {
        err_set(&err, ERR_GIVE_UP, "no marker came back");
        echo_no_echo(echo, PUBLISHER_TIMED_OUT, &err);
        return;
    }
    echo_say_marker(echo);
    net_timer_start(echo->timer, setup->tuning.probe_interval);
}

static void echo_ready(void *ctx)
{
    struct echo_link *link = ctx;
    struct confirm_echo *echo = link->owner;

    link->ready = true;
    publisher_subscribe(link->publisher, echo->confirm.setup->channel);
    for (int i = 0; i < ECHO_LINKS; i++) {
        if (echo->links[i].publisher && !echo->links[i].ready)
            return;
    }
    echo->state = ECHO_PROBING;
    echo->probe_since = echo_now(echo);
    echo_probe(echo);
}

/* All that is confirmed, as far as the connection is done with it: the marker may be back before
 * it was told that the mail was sent. */
static void echo_settle(struct confirm_echo *echo)
{
    const struct confirm_setup *setup = echo->confirm.setup;
    struct sink_mail_list taken = {0};
    struct sink_mail *mail;

    for (; echo->settled < echo->confirmed && echo->mails.head->sent; echo->settled++)
        sink_mail_list_add(&taken, sink_mail_list_pop(&echo->mails));
    if (!echo->mails.count)
        net_timer_stop(echo->timer);
    while ((mail = sink_mail_list_pop(&taken)))
        setup->events->taken(setup->ctx, mail);
}

static void echo_marker_returned(struct confirm_echo *echo, uint64_t upto)
{
    echo->returned++;
    net_deferred_schedule(echo->deferred);
    if (echo->rested) {
        echo->confirmed = upto;
        echo_settle(echo);
        return;
    }
    if (!echo->resting && upto)
        net_timer_start(echo->rest, echo->confirm.setup->grace);
    echo->resting = upto;
}

static void echo_rest_over(void *ctx)
{
    struct confirm_echo *echo = ctx;
    echo->rested = true;
    echo->confirmed = echo->resting;
    echo_settle(echo);
}

static bool echo_is_ours(const struct confirm_echo *echo, const struct hpfeeds_frame *frame)
{
    const struct confirm_setup *setup = echo->confirm.setup;
    return frame->ident_len == strlen(setup->publisher.ident) &&
           memcmp(frame->ident, setup->publisher.ident, frame->ident_len) == 0 &&
           frame->channel_len == strlen(setup->channel) &&
           memcmp(frame->channel, setup->channel, frame->channel_len) == 0;
}

/* The first link gets one interval to see the same marker, which therefore stays. */
static void echo_second_saw(struct confirm_echo *echo, const struct hpfeeds_frame *frame)
{
    if (echo->second_seen || !markers_has(&echo->markers, frame->payload, frame->payload_len))
        return;
    echo->second_seen = true;
    net_timer_start(echo->timer, echo->confirm.setup->tuning.probe_interval);
}

/* Others may use the identity, and so this channel: what is not ours is passed over. */
static void echo_message(void *ctx, const struct hpfeeds_frame *frame)
{
    struct echo_link *link = ctx;
    struct confirm_echo *echo = link->owner;
    int which = link == &echo->links[ECHO_SAME] ? ECHO_SAME : ECHO_SECOND;
    uint64_t upto;

    if (!echo_is_ours(echo, frame))
        return;
    if (echo->state == ECHO_PROBING && which == ECHO_SECOND && !echo->known) {
        echo_second_saw(echo, frame);
        return;
    }
    if (echo->state != ECHO_PROBING && which != echo->echoes)
        return;
    if (!markers_take(&echo->markers, frame->payload, frame->payload_len, &upto))
        return;
    if (echo->state == ECHO_PROBING)
        echo_opened(echo, which);
    else
        echo_marker_returned(echo, upto);
}

static void echo_mail_sent(void *ctx, struct sink_mail *mail)
{
    struct echo_link *link = ctx;
    struct confirm_echo *echo = link->owner;
    const struct confirm_setup *setup = echo->confirm.setup;

    setup->events->sent(setup->ctx, mail);
    if (echo->settled < echo->confirmed)
        net_deferred_schedule(echo->deferred);
}

static const struct publisher_events echo_events = {
    .ready = echo_ready,
    .message = echo_message,
    .sent = echo_mail_sent,
    .gone = echo_gone,
};

static uint64_t echo_progress(const struct confirm_echo *echo)
{
    return publisher_acknowledged(echo_publisher(echo)) + echo->returned;
}

static void echo_fire(void *ctx)
{
    struct confirm_echo *echo = ctx;
    const struct confirm_setup *setup = echo->confirm.setup;
    msec_t stall = setup->tuning.stall;
    struct err err;

    if (echo->state == ECHO_PROBING)
        echo_probe(echo);
    else if (confirm_progress_stalled(&echo->progress, echo_progress(echo), echo_now(echo), stall))
        echo_lost(echo, PUBLISHER_TIMED_OUT, confirm_stall_error(setup, &err));
    else
        net_timer_start(echo->timer, stall / 4 + 1);
}

/* One marker at a time is on its way, so that their number follows the broker's pace; and they keep
 * a distance, since the way there and back costs more than several mails. A long run of mails gets
 * one in its midst (confirm_echo_publish()). */
static void echo_mark(struct confirm_echo *echo)
{
    msec_t now = echo_now(echo);
    if (echo->markers.head || echo->marked == echo->published)
        return;
    if (now < echo->mark_at)
        net_timer_start(echo->pace, echo->mark_at - now);
    else
        echo_say_marker(echo);
}

static void echo_turn_over(void *ctx)
{
    struct confirm_echo *echo = ctx;
    if (echo->state != ECHO_OPEN)
        return;
    echo_mark(echo);
    echo_settle(echo);
}

static void echo_link_open(struct confirm_echo *echo, int which)
{
    const struct confirm_setup *setup = echo->confirm.setup;
    struct echo_link *link = &echo->links[which];
    link->publisher = publisher_open(setup->loop, &setup->publisher, &echo_events, link);
}

static void confirm_echo_open(struct confirm *confirm)
{
    struct confirm_echo *echo = confirm_echo_cast(confirm);

    echo_close(echo);
    echo->published = echo->marked = echo->resting = echo->confirmed = echo->settled = 0;
    echo->unmarked_bytes = 0;
    echo->second_seen = false;
    echo->state = ECHO_CONNECTING;
    echo_link_open(echo, ECHO_SAME);
    if (!echo->known || echo->echoes == ECHO_SECOND)
        echo_link_open(echo, ECHO_SECOND);
}

static bool confirm_echo_has_room(const struct confirm *confirm)
{
    (void)confirm;
    return true;
}

static void confirm_echo_publish(struct confirm *confirm, struct sink_mail *mail)
{
    struct confirm_echo *echo = confirm_echo_cast(confirm);
    const struct sink_hpfeeds_tuning *tuning = &confirm->setup->tuning;

    if (!echo->mails.count) {
        confirm_progress_start(&echo->progress, echo_progress(echo), echo_now(echo));
        net_timer_start(echo->timer, tuning->stall / 4 + 1);
    }
    sink_mail_list_add(&echo->mails, mail);
    publisher_publish(echo_publisher(echo), mail);
    echo->published++;
    echo->unmarked_bytes += mail->payload_len;
    if (echo->published - echo->marked >= tuning->marker_mails ||
        echo->unmarked_bytes >= tuning->marker_bytes)
        echo_say_marker(echo);
    else
        net_deferred_schedule(echo->deferred);
}

static void confirm_echo_free(struct confirm *confirm)
{
    struct confirm_echo *echo = confirm_echo_cast(confirm);
    echo_close(echo);
    net_timer_free(echo->timer);
    net_timer_free(echo->rest);
    net_timer_free(echo->pace);
    net_deferred_free(echo->deferred);
    sink_mail_list_release(&echo->mails);
    free(echo);
}

static const struct confirm_ops confirm_echo_ops = {
    .name = "echo",
    .proves_login = true,
    .open = confirm_echo_open,
    .has_room = confirm_echo_has_room,
    .publish = confirm_echo_publish,
    .free = confirm_echo_free,
};

struct confirm *confirm_echo_new(const struct confirm_setup *setup)
{
    struct confirm_echo *echo = mem_new(struct confirm_echo);
    echo->confirm = (struct confirm){.ops = &confirm_echo_ops, .setup = setup};
    for (int i = 0; i < ECHO_LINKS; i++)
        echo->links[i].owner = echo;
    echo->timer = net_timer_new(setup->loop, echo_fire, echo);
    echo->rest = net_timer_new(setup->loop, echo_rest_over, echo);
    echo->pace = net_timer_new(setup->loop, echo_turn_over, echo);
    echo->deferred = net_deferred_new(setup->loop, echo_turn_over, echo);
    return &echo->confirm;
}
