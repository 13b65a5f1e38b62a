/* The hpfeeds sink: when to connect, what goes out with how much company, who is told what. How a
 * delivery is known is the business of the ways (sink/confirm.h). */
#include "sink/hpfeeds.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/random.h"
#include "net/loop.h"
#include "sink/confirm.h"
#include "sink/notices.h"
#include "sink/outbox.h"

enum {
    /* Enough doublings to get to the longest pause from any first one. */
    HPFEEDS_ATTEMPT_MAX = 32,
    /* After so many ERRORs over mails, with none taken, it is not one of the mails. */
    HPFEEDS_REFUSALS_MAX = 16,
};

const struct sink_hpfeeds_tuning sink_hpfeeds_tuning_default = {
    .connect_deadline = 30 * 1000,
    .info_deadline = 30 * 1000,
    .backoff_first = 1000,
    .backoff_most = 60 * 1000,
    .stable = 10 * 1000,
    .check_rest = 1000,
    .stall = 60 * 1000,
    .poll = 5,
    .probe_interval = 200,
    .probe_limit = 3000,
    .marker_interval = 5,
    .marker_mails = 512,
    .marker_bytes = 4 << 20,
    .quiet = 50,
    .gather = 1000,
    .batch_mails = 1024,
    .batch_bytes = 8 << 20,
    .batches = 8,
};

/* NEW → OPENING → UP → PAUSED → OPENING …; UP → REOPENING → UP without a word to the owner, and
 * UP → JUDGING → UP or PAUSED. Mails are in flight in UP only, but for what `close` still has on
 * connections of their own. */
enum hpfeeds_state {
    HPFEEDS_NEW,       /* before sink_start() */
    HPFEEDS_OPENING,   /* down; the way connects */
    HPFEEDS_UP,        /* mails go out */
    HPFEEDS_REOPENING, /* up for the owner, offers wait: an idle connection went, or a lone mail
                        * needs a fresh one */
    HPFEEDS_JUDGING,   /* the same; a mail that was alone when its connection broke waits for its
                        * verdict: is the broker there without it? */
    HPFEEDS_PAUSED,    /* down; the pause runs */
};

struct sink_hpfeeds {
    struct sink sink;
    struct confirm_setup setup;
    enum sink_confirm asked;
    enum hpfeeds_state state;
    char *described; /* made when asked for */

    struct confirm *way;   /* in use, or being tried */
    struct confirm *plain; /* `close`, next to `echo`: what `auto` falls back to, and what tells a
                            * broker that does not echo from one that refuses the login */
    bool chosen;           /* the way is settled for this run */
    bool checking;         /* `plain` is opening, to find out about … */
    struct err echo_err;   /* … this failure of `echo` */
    enum publisher_end echo_end;
    bool echo_doubtful; /* it broke in the attempt, for the first time */

    struct notices *notices;
    struct outbox outbox;     /* offered mails, and those the way has */
    struct sink_mail *judged; /* JUDGING */
    struct err judged_err;
    bool judged_unheard; /* its connection broke without a word of the broker's */

    struct net_timer *pause;
    unsigned attempt;
    msec_t opened_at;
    unsigned refusals; /* ERRORs over mails since one was taken */
};

static struct sink_hpfeeds *hpfeeds_cast(const struct sink *sink)
{
    return (struct sink_hpfeeds *)(uintptr_t)sink;
}

static void hpfeeds_open(struct sink_hpfeeds *hpfeeds, enum hpfeeds_state state)
{
    hpfeeds->state = state;
    hpfeeds->way->ops->open(hpfeeds->way);
}

/* --- mails out ------------------------------------------------------------------------------ */

static void hpfeeds_settle(struct sink_hpfeeds *hpfeeds, struct sink_mail *mail,
                           enum sink_outcome outcome, const struct err *err)
{
    notices_settled(hpfeeds->notices, mail->token, outcome, err);
    sink_mail_free(mail);
}

static void hpfeeds_give_back(struct sink_hpfeeds *hpfeeds, struct sink_mail_list *mails,
                              const struct err *err)
{
    struct sink_mail *mail;
    while ((mail = sink_mail_list_pop(mails)))
        hpfeeds_settle(hpfeeds, mail, SINK_RETRY, err);
}

/* Sends what may be sent. A mail that must travel alone goes first on a connection that was proven
 * to work just now (`fresh`): when it breaks, there is no other explanation than the mail. */
static void hpfeeds_pump(struct sink_hpfeeds *hpfeeds, bool fresh)
{
    struct confirm *way = hpfeeds->way;
    struct sink_mail *mail;

    while (hpfeeds->state == HPFEEDS_UP && way->ops->has_room(way) &&
           (mail = outbox_next(&hpfeeds->outbox, fresh))) {
        if (outbox_is_alone(mail) && !fresh) {
            hpfeeds_open(hpfeeds, HPFEEDS_REOPENING);
            return;
        }
        way->ops->publish(way, outbox_launch(&hpfeeds->outbox, mail));
        fresh = false;
    }
}

/* --- down and up ---------------------------------------------------------------------------- */

static void hpfeeds_rest(struct sink_hpfeeds *hpfeeds, enum err_action action)
{
    const struct sink_hpfeeds_tuning *tuning = &hpfeeds->setup.tuning;
    unsigned attempt = action == ERR_GIVE_UP ? HPFEEDS_ATTEMPT_MAX : hpfeeds->attempt;
    msec_t pause = random_backoff(attempt, tuning->backoff_first, tuning->backoff_most);

    if (hpfeeds->attempt < HPFEEDS_ATTEMPT_MAX)
        hpfeeds->attempt++;
    if (tuning->pausing)
        tuning->pausing(tuning->pausing_ctx, pause);
    net_timer_start(hpfeeds->pause, pause);
}

static void hpfeeds_go_down(struct sink_hpfeeds *hpfeeds, const struct err *err)
{
    struct sink_mail_list waiting = {0};

    hpfeeds->state = HPFEEDS_PAUSED;
    notices_down(hpfeeds->notices, err);
    outbox_empty(&hpfeeds->outbox, &waiting);
    hpfeeds_give_back(hpfeeds, &waiting, err);
    hpfeeds_rest(hpfeeds, err->action);
}

static void hpfeeds_pause_over(void *ctx)
{
    hpfeeds_open(ctx, HPFEEDS_OPENING);
}

static bool hpfeeds_was_stable(const struct sink_hpfeeds *hpfeeds)
{
    return net_loop_now(hpfeeds->setup.loop) - hpfeeds->opened_at >= hpfeeds->setup.tuning.stable;
}

/* --- suspicion ------------------------------------------------------------------------------ */

static void hpfeeds_refuse(struct sink_hpfeeds *hpfeeds, struct sink_mail *mail)
{
    struct err err;
    err_set(&err, ERR_GIVE_UP,
            "the broker closed the connection each of %d times this mail of %zu bytes was sent: %s",
            OUTBOX_STRIKES, mail->payload_len, hpfeeds->judged_err.text);
    hpfeeds_settle(hpfeeds, mail, SINK_REFUSED, &err);
}

/* Is it worth it to go on at once, and find out which of the mails the ERROR is about? Where none
 * is taken, it may be about the channel, and that is not asked for ever. */
static bool hpfeeds_may_search(const struct sink_hpfeeds *hpfeeds)
{
    return hpfeeds->refusals < HPFEEDS_REFUSALS_MAX;
}

/* The broker is there without the mail. If it took no others since this one first broke a
 * connection, that may be the channel's fault, and is no reason to go on without a pause. But a
 * channel, and all else that an account may not do, is refused by word; and the login is proven
 * where a frame made the way there and back. */
static void hpfeeds_judge(struct sink_hpfeeds *hpfeeds)
{
    struct sink_mail *mail = hpfeeds->judged;
    bool others = outbox_takes_others(&hpfeeds->outbox, mail);
    bool certain = hpfeeds->judged_unheard && hpfeeds->way->ops->proves_login;

    hpfeeds->judged = NULL;
    hpfeeds->state = HPFEEDS_UP;
    if (outbox_strike(&hpfeeds->outbox, mail, certain)) {
        hpfeeds_refuse(hpfeeds, mail);
        return;
    }
    if (!others && (hpfeeds->judged_unheard || !hpfeeds_may_search(hpfeeds) ||
                    !outbox_has_others(&hpfeeds->outbox, mail)))
        hpfeeds_go_down(hpfeeds, &hpfeeds->judged_err);
    hpfeeds_settle(hpfeeds, mail, SINK_RETRY, &hpfeeds->judged_err);
}

/* --- events of the way ---------------------------------------------------------------------- */

static void hpfeeds_open_failed(void *ctx, enum publisher_end how, const struct err *err)
{
    struct sink_hpfeeds *hpfeeds = ctx;

    (void)how;
    hpfeeds->checking = false;
    hpfeeds_go_down(hpfeeds, err);
    if (hpfeeds->judged)
        hpfeeds_settle(hpfeeds, hpfeeds->judged, SINK_RETRY, &hpfeeds->judged_err);
    hpfeeds->judged = NULL;
}

static void hpfeeds_no_echo(void *ctx, enum publisher_end how, const struct err *err)
{
    struct sink_hpfeeds *hpfeeds = ctx;

    hpfeeds->echo_err = *err;
    hpfeeds->echo_end = how;
    /* A broker that did echo in this run may be slow. */
    if (how == PUBLISHER_TIMED_OUT && hpfeeds->chosen)
        hpfeeds->echo_err.action = ERR_RETRY_LATER;
    /* Brokers refuse by an ERROR or by silence. A connection that broke may be a broker that was
     * restarted, which is no reason to do without echo for the rest of the run. */
    hpfeeds->echo_doubtful = err->action == ERR_RETRY_LATER && !hpfeeds->echo_doubtful;
    if (!hpfeeds->plain)
        hpfeeds->plain = confirm_close_new(&hpfeeds->setup);
    hpfeeds->checking = true;
    hpfeeds->plain->ops->open(hpfeeds->plain);
}

static void hpfeeds_opened(void *ctx)
{
    struct sink_hpfeeds *hpfeeds = ctx;

    if (hpfeeds->checking) {
        if (hpfeeds->asked != SINK_CONFIRM_AUTO || hpfeeds->chosen || hpfeeds->echo_doubtful) {
            hpfeeds_open_failed(hpfeeds, hpfeeds->echo_end, &hpfeeds->echo_err);
            return;
        }
        struct confirm *echo = hpfeeds->way;
        hpfeeds->way = hpfeeds->plain;
        hpfeeds->plain = echo;
        hpfeeds->checking = false;
    }
    hpfeeds->chosen = true;
    hpfeeds->opened_at = net_loop_now(hpfeeds->setup.loop);
    if (hpfeeds->state == HPFEEDS_OPENING)
        notices_up(hpfeeds->notices);
    if (hpfeeds->state == HPFEEDS_JUDGING)
        hpfeeds_judge(hpfeeds);
    else
        hpfeeds->state = HPFEEDS_UP;
    hpfeeds_pump(hpfeeds, true);
}

static void hpfeeds_sent(void *ctx, struct sink_mail *mail)
{
    struct sink_hpfeeds *hpfeeds = ctx;
    notices_sent(hpfeeds->notices, mail->token);
}

static void hpfeeds_taken(void *ctx, struct sink_mail *mail)
{
    struct sink_hpfeeds *hpfeeds = ctx;

    outbox_taken(&hpfeeds->outbox, mail);
    hpfeeds->refusals = 0;
    hpfeeds->attempt = 0;
    hpfeeds_settle(hpfeeds, mail, SINK_TAKEN, NULL);
    hpfeeds_pump(hpfeeds, false);
}

/* An ERROR over mails says "not allowed", which only a person can change, unless the broker took
 * mails on the same channels before: then it is about these mails. One over nothing says less. */
static void hpfeeds_refused(struct sink_hpfeeds *hpfeeds, bool idle, struct err *err)
{
    const struct publisher_settings *publisher = &hpfeeds->setup.publisher;

    if (idle || (hpfeeds->outbox.taken && !hpfeeds->refusals))
        err->action = ERR_RETRY_LATER;
    else
        err_set(err, ERR_GIVE_UP, "%s; check that %s may publish to %s%s", err->text,
                publisher->ident, publisher->channels[0],
                publisher->channel_count > 1 ? " and the other channels" : "");
    hpfeeds->refusals += !idle;
}

/* Was it one mail, alone on a fresh connection, and is the broker neither slow nor in trouble? */
static bool hpfeeds_is_judgeable(const struct sink_hpfeeds *hpfeeds,
                                 const struct sink_mail_list *mails, size_t suspects,
                                 enum publisher_end how)
{
    return hpfeeds->state == HPFEEDS_UP && how != PUBLISHER_TIMED_OUT && how != PUBLISHER_PUT_OFF &&
           suspects == 1 && mails->count == 1 && outbox_is_alone(mails->head);
}

static void hpfeeds_lost(void *ctx, struct sink_mail_list *mails, enum publisher_end how,
                         const struct err *err)
{
    struct sink_hpfeeds *hpfeeds = ctx;
    struct err why = *err;
    bool idle = mails->count == 0;

    if (how == PUBLISHER_REFUSED)
        hpfeeds_refused(hpfeeds, idle, &why);
    size_t suspects = outbox_lost(&hpfeeds->outbox, mails);
    if (how == PUBLISHER_TIMED_OUT)
        outbox_put_back(&hpfeeds->outbox, mails);
    if (hpfeeds_is_judgeable(hpfeeds, mails, suspects, how)) {
        hpfeeds->judged = sink_mail_list_pop(mails);
        hpfeeds->judged_err = why;
        hpfeeds->judged_unheard = how != PUBLISHER_REFUSED;
        hpfeeds_open(hpfeeds, HPFEEDS_JUDGING);
        return;
    }
    /* A proxy cuts what is idle for minutes: nobody needs to know, if it can be mended at once. */
    bool stable = hpfeeds->state == HPFEEDS_UP && hpfeeds_was_stable(hpfeeds);
    if (stable)
        hpfeeds->attempt = 0;
    bool search = how == PUBLISHER_REFUSED && suspects > 1 && hpfeeds_may_search(hpfeeds);
    if (hpfeeds->state == HPFEEDS_UP && (search || (idle && stable && how != PUBLISHER_REFUSED)))
        hpfeeds_open(hpfeeds, HPFEEDS_REOPENING);
    else if (hpfeeds->state == HPFEEDS_UP)
        hpfeeds_go_down(hpfeeds, &why);
    hpfeeds_give_back(hpfeeds, mails, &why);
}

static const struct confirm_events hpfeeds_confirm_events = {
    .opened = hpfeeds_opened,
    .open_failed = hpfeeds_open_failed,
    .no_echo = hpfeeds_no_echo,
    .sent = hpfeeds_sent,
    .taken = hpfeeds_taken,
    .lost = hpfeeds_lost,
};

/* --- sink_ops ------------------------------------------------------------------------------- */

static void hpfeeds_start(struct sink *sink)
{
    struct sink_hpfeeds *hpfeeds = hpfeeds_cast(sink);
    notices_set_owner(hpfeeds->notices, sink->events, sink->ctx);
    hpfeeds_open(hpfeeds, HPFEEDS_OPENING);
}

static struct sink_mail *hpfeeds_mail_new(struct sink_hpfeeds *hpfeeds, struct buf *frame,
                                          void *token)
{
    const struct publisher_settings *publisher = &hpfeeds->setup.publisher;
    struct sink_mail *mail = mem_new(struct sink_mail);
    uint8_t *payload = frame->data + publisher->headroom;
    const char *channel = publisher->channels[0];

    mail->token = token;
    mail->payload_len = frame->len - publisher->headroom;
    hpfeeds_put_publish_prefix(payload - hpfeeds_publish_prefix(publisher->ident, channel),
                               publisher->ident, channel, mail->payload_len);
    mail->block = block_from_buf(frame);
    return mail;
}

static void hpfeeds_offer(struct sink *sink, struct buf *frame, void *token)
{
    struct sink_hpfeeds *hpfeeds = hpfeeds_cast(sink);
    struct sink_mail *mail = hpfeeds_mail_new(hpfeeds, frame, token);
    struct err err;

    if (mail->payload_len > sink->max_payload) {
        err_set(&err, ERR_GIVE_UP, "too large for one hpfeeds frame: %zu bytes, at most %zu",
                mail->payload_len, sink->max_payload);
        hpfeeds_settle(hpfeeds, mail, SINK_REFUSED, &err);
        return;
    }
    if (hpfeeds->state == HPFEEDS_OPENING || hpfeeds->state == HPFEEDS_PAUSED) {
        err_set(&err, ERR_RETRY_LATER, "the broker is away");
        hpfeeds_settle(hpfeeds, mail, SINK_RETRY, &err);
        return;
    }
    outbox_add(&hpfeeds->outbox, mail, mail->block->data + sink->headroom);
    hpfeeds_pump(hpfeeds, false);
}

static const char *hpfeeds_describe(const struct sink *sink)
{
    struct sink_hpfeeds *hpfeeds = hpfeeds_cast(sink);
    const struct confirm_setup *setup = &hpfeeds->setup;
    const char *host = setup->publisher.host;
    bool bare6 = strchr(host, ':') && host[0] != '[';
    bool known = hpfeeds->chosen || hpfeeds->asked != SINK_CONFIRM_AUTO;
    const char *name = known ? hpfeeds->way->ops->name : "echo or close (not known yet)";
    bool echo = known && strcmp(name, "echo") == 0;
    bool doubtful = known && strcmp(name, "close") == 0 && setup->publisher.tls;

    free(hpfeeds->described);
    hpfeeds->described = mem_printf("hpfeeds %s%s%s:%u, confirmed by %s%s%s%s", bare6 ? "[" : "",
                                    host, bare6 ? "]" : "", setup->publisher.port, name,
                                    echo ? " on " : "", echo ? setup->channel : "",
                                    doubtful ? " (a TLS proxy in between can make a dying broker "
                                               "look as if it had taken mail: echo is sound)"
                                             : "");
    return hpfeeds->described;
}

static void hpfeeds_free(struct sink *sink)
{
    struct sink_hpfeeds *hpfeeds = hpfeeds_cast(sink);

    notices_free(hpfeeds->notices);
    hpfeeds->way->ops->free(hpfeeds->way);
    if (hpfeeds->plain)
        hpfeeds->plain->ops->free(hpfeeds->plain);
    net_timer_free(hpfeeds->pause);
    sink_mail_free(hpfeeds->judged);
    outbox_release(&hpfeeds->outbox);
    confirm_setup_release(&hpfeeds->setup);
    free(hpfeeds->described);
    free(hpfeeds);
}

static const struct sink_ops hpfeeds_ops = {
    .start = hpfeeds_start,
    .offer = hpfeeds_offer,
    .describe = hpfeeds_describe,
    .free = hpfeeds_free,
};

/* --- construction --------------------------------------------------------------------------- */

static struct confirm *hpfeeds_way_new(const struct confirm_setup *setup, enum sink_confirm asked)
{
    switch (asked) {
    case SINK_CONFIRM_CLOSE:
        return confirm_close_new(setup);
    case SINK_CONFIRM_SENT:
        return confirm_sent_new(setup);
    case SINK_CONFIRM_AUTO:
    case SINK_CONFIRM_ECHO:
        break;
    }
    return confirm_echo_new(setup);
}

struct sink *sink_hpfeeds_new_tuned(struct net_loop *loop,
                                    const struct sink_hpfeeds_settings *settings,
                                    const struct sink_hpfeeds_tuning *tuning)
{
    struct sink_hpfeeds *hpfeeds = mem_new(struct sink_hpfeeds);
    struct confirm_setup *setup = &hpfeeds->setup;

    confirm_setup_init(setup, loop, settings, tuning);
    setup->events = &hpfeeds_confirm_events;
    setup->ctx = hpfeeds;
    hpfeeds->asked = settings->confirm;
    hpfeeds->way = hpfeeds_way_new(setup, settings->confirm);
    hpfeeds->notices = notices_new(loop);
    hpfeeds->pause = net_timer_new(loop, hpfeeds_pause_over, hpfeeds);
    hpfeeds->sink.ops = &hpfeeds_ops;
    hpfeeds->sink.headroom = setup->publisher.headroom;
    if (settings->max_frame > setup->publisher.headroom)
        hpfeeds->sink.max_payload = settings->max_frame - setup->publisher.headroom;
    return &hpfeeds->sink;
}

struct sink *sink_hpfeeds_new(struct net_loop *loop, const struct sink_hpfeeds_settings *settings)
{
    return sink_hpfeeds_new_tuned(loop, settings, &sink_hpfeeds_tuning_default);
}
