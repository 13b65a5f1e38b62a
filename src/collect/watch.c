/* The life of a watch: its connections, and what is between two of them. */
#include <stdlib.h>

#include "base/mem.h"
#include "base/random.h"
#include "collect/watch_impl.h"
#include "net/conn.h"

enum {
    WATCH_STANDS = 60 * 1000, /* a connection that did so before it ended was a good one */
    WATCH_PERSON = 10 * 60 * 1000,
};

static const struct {
    const char *name;
    enum collect_phase phase; /* until it has caught up; then that of those is WATCHING */
} watch_states[] = {
    [WATCH_OFF] = {"off", COLLECT_WAITING},
    [WATCH_QUEUED] = {"waiting for its turn", COLLECT_WAITING},
    [WATCH_CONNECTING] = {"connecting", COLLECT_CONNECTING},
    [WATCH_LOGGING_IN] = {"logging in", COLLECT_LOGGING_IN},
    [WATCH_LISTING] = {"listing folders", COLLECT_COLLECTING},
    [WATCH_WORKING] = {"working", COLLECT_COLLECTING},
    [WATCH_ROUND] = {"asking about folders", COLLECT_COLLECTING},
    [WATCH_NOTIFYING] = {"asking to be notified", COLLECT_COLLECTING},
    [WATCH_IDLING] = {"idling", COLLECT_COLLECTING},
    [WATCH_WAKING] = {"ending IDLE", COLLECT_COLLECTING},
    [WATCH_RESTING] = {"resting", COLLECT_COLLECTING},
    [WATCH_LEAVING] = {"leaving", COLLECT_COLLECTING},
    [WATCH_DRAINING] = {"draining", COLLECT_COLLECTING},
    [WATCH_BACKING_OFF] = {"backing off", COLLECT_RETRYING},
    [WATCH_OVER] = {"over", COLLECT_DONE},
};

msec_t watch_spread(msec_t span)
{
    uint32_t dice;
    random_bytes(&dice, sizeof dice);
    return span - span / 8 + dice % (span / 8 + 1);
}

msec_t watch_due(msec_t now, msec_t span)
{
    msec_t at = now + watch_spread(span);
    return span < WATCH_TOGETHER_FROM ? at : at - at % WATCH_TOGETHER;
}

void watch_enter(struct watch *watch, enum watch_state state)
{
    struct collect_report *report = &watch->mailbox->report;
    log_debug(&watch->mailbox->scope, "%s", watch_states[state].name);
    watch->state = state;
    if (!watch->primary || state == WATCH_OVER)
        return;
    report->phase = watch_states[state].phase;
    if (report->phase == COLLECT_COLLECTING && watch->caught_up)
        report->phase = COLLECT_WATCHING;
}

void watch_nudge(struct watch *watch)
{
    net_deferred_schedule(watch->step);
}

bool watch_waits(const struct watch *watch)
{
    const struct connection *connection = &watch->connection;
    return connection->session && !connection->stalled &&
           imap_session_waiting_for(connection->session);
}

void watch_resume(struct watch *watch)
{
    connection_resume(&watch->connection);
}

void watch_fail(struct watch *watch, const struct err *err)
{
    connection_fail(&watch->connection, err);
}

/* --- the connection's events -------------------------------------------------------------------
 */

static void watch_idle_stands(void *ctx)
{
    watch_idling(ctx);
}

static void watch_connected(void *ctx)
{
    watch_enter(ctx, WATCH_LOGGING_IN);
}

static void watch_ready(void *ctx)
{
    struct watch *watch = ctx;
    struct mailbox *mailbox = watch->mailbox;
    watch->logged_in_at = watch_now(watch);
    pace_logged_in(&watch->ticket);
    if (mailbox->report.check) {
        struct collect_check *check = mailbox->report.check;
        *check = (struct collect_check){.caps = imap_session_caps(watch->connection.session)};
        check->has_tls = net_conn_tls_info(watch->connection.conn, &check->tls);
    }
    if (!watch->primary) {
        watch_enter(watch, WATCH_WORKING);
        watch_next(watch);
        return;
    }
    watch_begin_names(watch);
}

static void watch_done(void *ctx, const struct imap_event *event)
{
    struct watch *watch = ctx;
    struct err err;
    switch (watch->state) {
    case WATCH_WORKING:
        if (watch->current && folder_done(&watch->current->folder, event, &err) < 0)
            watch_fail(watch, &err);
        break;
    case WATCH_ROUND:
        watch_asked(watch, event);
        break;
    case WATCH_LISTING:
        if (event->command == watch->command)
            watch_listed(watch, event);
        break;
    case WATCH_NOTIFYING:
        if (event->command == watch->command)
            watch_notified(watch, event);
        break;
    case WATCH_IDLING:
    case WATCH_WAKING:
        if (event->command == watch->command)
            watch_idled(watch, event);
        break;
    default:
        break;
    }
}

/* The server tells of news. In IDLE that proves it; only at its end, it shows the contrary. */
static void watch_hear(struct watch *watch, struct mailbox_folder *folder)
{
    if (watch->state == WATCH_IDLING && watch->idle_stands)
        mailbox_announced(watch->mailbox);
    else if (watch->state == WATCH_WAKING && folder->listened &&
             watch_now(watch) - watch->idle_since >= WATCH_PATIENCE)
        mailbox_unannounced(folder);
    folder->listened = false;
}

/* Something about the open folder. False: it stalls for memory. */
static bool watch_folder_data(struct watch *watch, const struct imap_response *response)
{
    struct mailbox_folder *folder = watch->current;
    bool had_news = folder->folder.news;
    bool more = folder_data(&folder->folder, response);
    if (folder->folder.flooded) {
        watch_fail(watch, folder->folder.err);
        return true;
    }
    if (folder->folder.news && !had_news)
        watch_hear(watch, folder);
    return more;
}

/* A mail, and no folder is open: a mail's bytes are signs of life, so it could go on for ever. */
static void watch_refuse_body(struct watch *watch)
{
    struct err err;
    err_set(&err, ERR_GIVE_UP, "the server sends mails that nobody asked for");
    watch_fail(watch, &err);
}

static bool watch_data(void *ctx, const struct imap_response *response)
{
    struct watch *watch = ctx;
    if (response->type == IMAP_RESPONSE_MAILBOX_STATUS) {
        watch_status(watch, response);
        return true;
    }
    if (response->type == IMAP_RESPONSE_LIST) {
        if (watch->state == WATCH_LISTING)
            watch_list_data(watch, response);
        return true;
    }
    if (response->type == IMAP_RESPONSE_STATUS &&
        response->code == IMAP_CODE_NOTIFICATIONOVERFLOW && watch->notified)
        watch_lose_notify(watch);
    if (watch->current)
        return watch_folder_data(watch, response);
    if (response->type == IMAP_RESPONSE_BODY_BEGIN)
        watch_refuse_body(watch);
    return true;
}

static void watch_look(struct watch *watch)
{
    switch (watch->state) {
    case WATCH_WORKING:
        watch_work(watch);
        break;
    case WATCH_IDLING:
    case WATCH_RESTING:
        watch_listen(watch);
        break;
    default:
        break;
    }
}

static void watch_pumped(void *ctx)
{
    watch_look(ctx);
}

/* The numbers of commands begin anew with a connection. */
static void watch_forget_status(struct watch *watch)
{
    for (size_t i = 0; i < watch_account(watch)->folder_count; i++)
        if (watch_folder(watch, i))
            watch_folder(watch, i)->status_command = 0;
}

static void watch_ended(void *ctx, const struct connection_end *end)
{
    struct watch *watch = ctx;
    watch->trouble = end->err;
    err_keep(&watch->why, end->err);
    watch->hint = end->hint;
    watch->limited = end->limited;
    watch->ended_at = watch_now(watch);
    net_timer_stop(watch->timer);
    if (watch->renewal) /* it may have lost what came behind DONE */
        watch->mailbox->renews_apart = true;
    watch->renewal = 0;
    if (end->broke_in_fetch && watch->current)
        fetch_broke(&watch->current->folder.fetch, end->broke_over, end->err->text);
    watch_drop_list(watch);
    watch_forget_status(watch);
    watch_close_folder(watch);
    pace_release(&watch->ticket);
    mailbox_take_back(watch->mailbox, watch);
    watch_enter(watch, WATCH_DRAINING);
    watch_nudge(watch);
}

static const struct connection_events watch_connection_events = {
    .connected = watch_connected,
    .ready = watch_ready,
    .done = watch_done,
    .data = watch_data,
    .idling = watch_idle_stands,
    .pumped = watch_pumped,
    .ended = watch_ended,
};

/* --- between two connections -------------------------------------------------------------------
 */

static void watch_begin(struct watch *watch)
{
    watch->trouble = false;
    watch->caught_up = watch->yield = watch->round = watch->rounding = false;
    watch->notified = watch->notified_now = watch->notify_refused = false;
    for (size_t i = 0; i < watch_account(watch)->folder_count; i++)
        if (watch_folder(watch, i))
            watch_folder(watch, i)->listened = false;
    watch->idle_refused = false;
    watch->idle_short = 0;
    watch->round_at = watch_now(watch) + watch_spread(watch_account(watch)->poll_interval);
    watch->delivered = 0;
    if (watch->primary && !watch->mailbox->env->settings.check)
        watch_want_all(watch);
    watch_enter(watch, WATCH_QUEUED);
    pace_request(watch->mailbox->host, &watch->ticket);
}

static void watch_granted(struct pace_ticket *ticket)
{
    struct watch *watch = (struct watch *)((char *)ticket - offsetof(struct watch, ticket));
    watch_enter(watch, WATCH_CONNECTING);
    connection_open(&watch->connection);
}

static void watch_asked_to_yield(struct pace_ticket *ticket)
{
    struct watch *watch = (struct watch *)((char *)ticket - offsetof(struct watch, ticket));
    watch->yield = watch_continuous(watch);
    watch_nudge(watch);
}

static void watch_over(struct watch *watch, const struct err *why)
{
    watch_enter(watch, WATCH_OVER);
    mailbox_watch_over(watch->mailbox, watch, why);
}

static void watch_back_off(struct watch *watch, msec_t pause)
{
    watch_enter(watch, WATCH_BACKING_OFF);
    net_timer_start(watch->timer, pause);
}

/* The trouble of a folder that could not be worked on, of one where it may pass if there is any;
 * or NULL. */
static const struct err *watch_folder_trouble(const struct watch *watch)
{
    const struct err *found = NULL;
    for (size_t i = 0; i < watch_account(watch)->folder_count; i++) {
        const struct folder *folder = &watch->mailbox->folders[i].folder;
        if (folder->state == FOLDER_FAILED && (!found || found->action == ERR_GIVE_UP))
            found = folder->err;
    }
    return found;
}

/* A server that lets us in and then ends it, again and again, is not to be stormed. */
static bool watch_has_stood(const struct watch *watch)
{
    return watch->caught_up && watch->ended_at - watch->logged_in_at >= WATCH_STANDS;
}

/* Some of it may have come on record only after the connection ended. */
static bool watch_has_delivered(struct watch *watch)
{
    for (size_t i = 0; i < watch_account(watch)->folder_count; i++)
        if (watch_folder(watch, i))
            watch_tell_folder(watch, watch_folder(watch, i));
    return watch->delivered;
}

/* Nothing is in flight any more: how does it go on? */
static void watch_decide(struct watch *watch)
{
    const struct err *why = watch->trouble ? watch->why : NULL;
    if (!why && !watch_continuous(watch))
        why = watch_folder_trouble(watch);
    if (watch->stopping || (!why && !watch_continuous(watch))) {
        watch_over(watch, why);
        return;
    }
    if (!why) { /* it made room for another mailbox, and waits for its turn */
        watch_back_off(watch, watch_spread(watch_account(watch)->poll_interval));
        if (watch->primary)
            watch->mailbox->report.phase = COLLECT_WAITING;
        return;
    }
    struct retry_attempt attempt = {
        .action = why->action,
        .progressed = watch_has_delivered(watch) || watch_has_stood(watch),
        .caught_up = watch->caught_up,
        .limited = watch->limited,
        .hint = watch->hint,
    };
    msec_t pause;
    if (!retry_next(&watch->retry, watch_continuous(watch), &attempt, &pause)) {
        watch_over(watch, why);
        return;
    }
    mailbox_retrying(watch->mailbox, watch, why, attempt.progressed, pause);
    watch_back_off(watch, pause);
}

void watch_hurry(struct watch *watch)
{
    /* Not against a server's wish; nor too often what a person has to mend: accounts get locked. */
    bool patient = watch->hint || (watch->trouble && watch->why->action == ERR_GIVE_UP &&
                                   watch_now(watch) - watch->ended_at < WATCH_PERSON);
    if (watch->state == WATCH_BACKING_OFF && !patient)
        net_timer_start(watch->timer, 0);
}

static void watch_timer_fired(void *ctx)
{
    struct watch *watch = ctx;
    if (watch->state == WATCH_BACKING_OFF) {
        watch_begin(watch);
        return;
    }
    watch_look(watch);
    connection_flush(&watch->connection);
}

static void watch_step(void *ctx)
{
    struct watch *watch = ctx;
    if (watch->state == WATCH_DRAINING) {
        if (mailbox_settled(watch->mailbox, watch))
            watch_decide(watch);
        return;
    }
    watch_look(watch);
    connection_flush(&watch->connection);
}

void watch_init(struct watch *watch, struct mailbox *mailbox, bool primary)
{
    *watch = (struct watch){
        .mailbox = mailbox,
        .primary = primary,
        .opened = mailbox->account->folder_count - 1,
        .ticket.granted = watch_granted,
        .ticket.wanted = watch_asked_to_yield,
        .ticket.further = !primary,
    };
    connection_init(&watch->connection, mailbox->env, mailbox->account, &mailbox->scope,
                    &mailbox->key, &watch_connection_events, watch);
    watch->timer = net_timer_new(mailbox->env->loop, watch_timer_fired, watch);
    watch->step = net_deferred_new(mailbox->env->loop, watch_step, watch);
    watch->sweep_at = watch_continuous(watch) ? watch_due(watch_now(watch), WATCH_SWEEP) : 0;
}

void watch_release(struct watch *watch)
{
    connection_close(&watch->connection);
    if (watch->current)
        folder_detach(&watch->current->folder);
    watch_drop_list(watch);
    pace_release(&watch->ticket);
    net_timer_free(watch->timer);
    net_deferred_free(watch->step);
    free(watch->why);
}

void watch_start(struct watch *watch)
{
    watch_begin(watch);
}

void watch_stop(struct watch *watch, const struct err *why)
{
    watch->stopping = true;
    if (watch->state == WATCH_OVER)
        return;
    connection_close(&watch->connection);
    watch_ended(watch, &(struct connection_end){.err = why});
}
