#include "collect/watch.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/random.h"
#include "base/text.h"
#include "collect/env.h"
#include "collect/mailbox.h"
#include "net/conn.h"
#include "net/loop.h"

enum {
    WATCH_SWEEP = 15 * 60 * 1000,
    WATCH_MARKS_DELAY = 500, /* mails that come together are marked together */
    /* An IDLE that the server ends within this time, so often in a row, is none. */
    WATCH_IDLE_SHORT = 1000,
    WATCH_IDLE_SHORT_MAX = 3,
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

static void watch_next(struct watch *watch);

static const struct collect_account *watch_account(const struct watch *watch)
{
    return watch->mailbox->account;
}

static bool watch_continuous(const struct watch *watch)
{
    return watch->mailbox->env->settings.continuous;
}

static msec_t watch_now(const struct watch *watch)
{
    return net_loop_now(watch->mailbox->env->loop);
}

/* The last eighth is random, so that ten thousand do not do the same in the same moment. */
static msec_t watch_spread(msec_t span)
{
    uint32_t dice;
    random_bytes(&dice, sizeof dice);
    return span - span / 8 + dice % (span / 8 + 1);
}

static void watch_enter(struct watch *watch, enum watch_state state)
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

static bool watch_has_cap(const struct watch *watch, unsigned cap)
{
    return imap_session_caps(watch->connection.session) & cap;
}

bool watch_stands(const struct watch *watch)
{
    return watch->connection.ready;
}

void watch_nudge(struct watch *watch)
{
    net_deferred_schedule(watch->step);
}

void watch_resume(struct watch *watch)
{
    connection_resume(&watch->connection);
}

/* --- folders --------------------------------------------------------------------------------- */

static struct mailbox_folder *watch_folder(const struct watch *watch, size_t index)
{
    struct mailbox_folder *folder = &watch->mailbox->folders[index];
    return folder->watch == watch ? folder : NULL;
}

static void watch_want(struct mailbox_folder *folder, enum folder_look look)
{
    /* Where UIDs change with each opening, a new one would begin with all mails. */
    if (folder->folder.session && folder->folder.uids_change)
        look = FOLDER_LOOK_NEWS;
    if (folder->want < look)
        folder->want = look;
}

/* All its folders are to be looked at: those that were through only behind what was seen. */
static void watch_want_all(struct watch *watch)
{
    for (size_t i = 0; i < watch_account(watch)->folder_count; i++) {
        struct mailbox_folder *folder = watch_folder(watch, i);
        if (!folder)
            continue;
        bool through = folder->folder.state == FOLDER_CAUGHT_UP;
        bool hopeless =
            folder->folder.state == FOLDER_FAILED && folder->folder.err->action == ERR_GIVE_UP;
        if (watch_continuous(watch))
            folder->want = through ? FOLDER_LOOK_AGAIN : FOLDER_LOOK_ALL;
        else if (!through && !hopeless)
            folder->want = FOLDER_LOOK_ALL;
    }
}

static bool watch_may_visit(const struct watch *watch, const struct mailbox_folder *folder)
{
    return folder->watch == watch && folder->want && folder_name_resolved(&folder->called) &&
           folder_settled(&folder->folder);
}

/* The next folder to be looked at, the open one first; NULL when there is none. */
static struct mailbox_folder *watch_wanted(const struct watch *watch)
{
    if (watch->current && !folder_through(&watch->current->folder))
        return NULL;
    if (watch->current && watch_may_visit(watch, watch->current))
        return watch->current;
    for (size_t i = 0; i < watch_account(watch)->folder_count; i++)
        if (watch_may_visit(watch, &watch->mailbox->folders[i]))
            return &watch->mailbox->folders[i];
    return NULL;
}

static void watch_close_folder(struct watch *watch)
{
    if (!watch->current)
        return;
    folder_detach(&watch->current->folder);
    watch->current->listened = false;
    watch->current = NULL;
    /* A second connection may wait to take it over. */
    for (struct watch *other = watch->mailbox->more; other; other = other->next)
        watch_nudge(other);
}

static void watch_visit(struct watch *watch, struct mailbox_folder *folder)
{
    enum folder_look look = folder->want;
    if (watch->current != folder)
        watch_close_folder(watch);
    folder->want = FOLDER_LOOK_NONE;
    folder->folder.expect_none = folder->listened;
    folder->listened = false;
    watch_enter(watch, WATCH_WORKING);
    if (watch->current && look == FOLDER_LOOK_NEWS) {
        folder_look_news(&folder->folder);
        return;
    }
    watch->current = folder;
    folder_open(&folder->folder, watch->connection.session, folder->called.name,
                folder->called.mailbox, watch->mailbox->target.mailbox,
                look == FOLDER_LOOK_NEWS ? FOLDER_LOOK_AGAIN : look);
}

static void watch_fail(struct watch *watch, const struct err *err)
{
    connection_fail(&watch->connection, err);
}

/* The first of its folders that can be worked on; NULL when there is none. */
static struct mailbox_folder *watch_good_folder(const struct watch *watch)
{
    for (size_t i = 0; i < watch_account(watch)->folder_count; i++) {
        struct mailbox_folder *folder = watch_folder(watch, i);
        if (folder && folder->folder.state == FOLDER_CAUGHT_UP)
            return folder;
    }
    return NULL;
}

static void watch_folder_failed(struct watch *watch)
{
    struct mailbox_folder *folder = watch->current;
    if (watch_continuous(watch) && !folder->told)
        log_warning(&folder->folder.scope, "%s", folder->folder.err->text);
    folder->told = true;
    watch_close_folder(watch);
}

/* What its last look brought, in one line. */
static void watch_tell_folder(const struct watch *watch, struct mailbox_folder *folder)
{
    struct folder *work = &folder->folder;
    char bytes[16];
    if (work->overlooked)
        mailbox_overlooked(watch->mailbox, folder);
    work->overlooked = 0;
    if (work->delivered && watch_continuous(watch))
        log_info(&work->scope, "%llu delivered, %s", (unsigned long long)work->delivered,
                 num_format_bytes(bytes, sizeof bytes, work->delivered_bytes));
    work->delivered = work->delivered_bytes = 0;
}

/* The open folder is through. */
static void watch_folder_through(struct watch *watch)
{
    struct mailbox_folder *folder = watch->current;
    watch_tell_folder(watch, folder);
    if (folder->folder.state == FOLDER_FAILED)
        watch_folder_failed(watch);
    else if (folder->folder.news && watch_continuous(watch))
        watch_want(folder, FOLDER_LOOK_NEWS);
}

/* --- asking about folders --------------------------------------------------------------------- */

static bool watch_needs_list(const struct watch *watch)
{
    const struct mailbox *mailbox = watch->mailbox;
    bool needed = mailbox->target.special && !folder_name_resolved(&mailbox->target);
    for (size_t i = 0; i < mailbox->account->folder_count; i++)
        needed = needed || !folder_name_resolved(&mailbox->folders[i].called);
    return needed && watch->primary;
}

static void watch_list(struct watch *watch)
{
    watch->listed_plain = false;
    watch_enter(watch, WATCH_LISTING);
    watch->command = imap_session_list(watch->connection.session, false);
}

/* Is STATUS the way to know of this folder? */
static bool watch_asks(const struct watch *watch, const struct mailbox_folder *folder)
{
    return folder->watch == watch && folder != watch->current &&
           folder_name_resolved(&folder->called) &&
           (!watch->notified || folder->folder.state == FOLDER_FAILED);
}

/* Is there anything that a round would tell? */
static bool watch_needs_round(const struct watch *watch)
{
    bool needed = watch->primary && watch_needs_list(watch);
    for (size_t i = 0; i < watch_account(watch)->folder_count; i++)
        needed = needed || watch_asks(watch, &watch->mailbox->folders[i]);
    return needed;
}

static void watch_round_over(struct watch *watch)
{
    watch_enter(watch, WATCH_WORKING);
    watch_next(watch);
}

static void watch_ask(struct watch *watch)
{
    watch_enter(watch, WATCH_ROUND);
    watch->rounding = false;
    for (size_t i = 0; i < watch_account(watch)->folder_count; i++) {
        struct mailbox_folder *folder = &watch->mailbox->folders[i];
        if (watch_asks(watch, folder))
            folder->status_command =
                imap_session_status(watch->connection.session, folder->called.mailbox);
    }
    if (!imap_session_pending(watch->connection.session))
        watch_round_over(watch);
}

static void watch_begin_round(struct watch *watch)
{
    watch->round_at = watch_now(watch) + watch_spread(watch_account(watch)->poll_interval);
    watch->rounding = true;
    if (watch_needs_list(watch))
        watch_list(watch);
    else
        watch_ask(watch);
}

/* Names are compared as the server writes them; INBOX is the one without case (RFC 9051 section
 * 5.1). */
static struct mailbox_folder *watch_find(const struct watch *watch, const char *name)
{
    bool inbox = !strcasecmp(name, "INBOX");
    for (size_t i = 0; i < watch_account(watch)->folder_count; i++) {
        struct mailbox_folder *folder = watch_folder(watch, i);
        if (folder && folder->called.mailbox &&
            (inbox ? !strcasecmp(folder->called.mailbox, name)
                   : !strcmp(folder->called.mailbox, name)))
            return folder;
    }
    return NULL;
}

/* STATUS, asked for or by NOTIFY: is there anything new in the folder? */
static void watch_status(struct watch *watch, const struct imap_response *response)
{
    struct mailbox_folder *folder = watch_find(watch, response->name);
    if (watch->mailbox->env->settings.check && watch->mailbox->report.check) {
        watch->mailbox->report.check->messages += response->messages;
        watch->mailbox->report.check->unseen += response->unseen;
        return;
    }
    if (!folder || folder == watch->current)
        return;
    bool changed;
    if (response->has_uidvalidity && response->uidvalidity != folder->folder.uidvalidity &&
        response->uidvalidity != folder->status_uidvalidity)
        changed = true;
    else if (response->has_uidnext)
        changed =
            response->uidnext > folder->folder.next && response->uidnext != folder->status_uidnext;
    else
        changed = response->has_messages && response->messages != folder->status_messages;
    folder->status_uidnext = response->uidnext;
    folder->status_uidvalidity = response->uidvalidity;
    folder->status_messages = response->messages;
    if (!changed)
        return;
    folder->listened = false;
    watch_want(folder, FOLDER_LOOK_AGAIN);
}

static void watch_checked(struct mailbox_folder *folder, const struct imap_event *event)
{
    struct err err;
    char safe[100];
    folder->folder.state = FOLDER_CAUGHT_UP;
    if (event->status == IMAP_OK)
        return;
    /* A special use's name is the server's. */
    err_set(&err, ERR_GIVE_UP, "folder %s: the server answered %s %s",
            text_escape_utf8(safe, sizeof safe, folder->called.name, strlen(folder->called.name)),
            imap_status_name(event->status), event->text);
    folder->folder.state = FOLDER_FAILED;
    err_keep(&folder->folder.err, &err);
}

/* STATUS was answered. */
static void watch_asked(struct watch *watch, const struct imap_event *event)
{
    for (size_t i = 0; i < watch_account(watch)->folder_count; i++) {
        struct mailbox_folder *folder = &watch->mailbox->folders[i];
        if (folder->watch != watch || folder->status_command != event->command)
            continue;
        folder->status_command = 0;
        if (watch->mailbox->env->settings.check)
            watch_checked(folder, event);
        else if (event->status == IMAP_OK && folder->folder.state == FOLDER_FAILED)
            watch_want(folder, FOLDER_LOOK_ALL);
    }
}

/* --- notifications ---------------------------------------------------------------------------- */

static bool watch_has_others(const struct watch *watch)
{
    for (size_t i = 0; i < watch_account(watch)->folder_count; i++)
        if (watch_folder(watch, i) && watch_folder(watch, i) != watch->home &&
            folder_name_resolved(&watch->mailbox->folders[i].called))
            return true;
    return false;
}

static bool watch_may_notify(const struct watch *watch)
{
    return watch->primary && !watch->notified && !watch->notify_refused &&
           watch_has_cap(watch, IMAP_CAP_NOTIFY) && watch_has_others(watch);
}

static void watch_ask_notify(struct watch *watch)
{
    size_t count = 0;
    const char **names = mem_zalloc(watch_account(watch)->folder_count * sizeof *names);
    /* All of them: which one is open changes. */
    for (size_t i = 0; i < watch_account(watch)->folder_count; i++) {
        const struct mailbox_folder *folder = watch_folder(watch, i);
        if (folder && folder_name_resolved(&folder->called))
            names[count++] = folder->called.mailbox;
    }
    watch->command = imap_session_notify(watch->connection.session, names, count);
    free(names);
    watch_enter(watch, WATCH_NOTIFYING);
}

/* Notifications are not to be had, or no more: STATUS is. */
static void watch_lose_notify(struct watch *watch)
{
    watch->notified = false;
    watch->notify_refused = true;
    watch->round_at = 0;
    for (size_t i = 0; i < watch_account(watch)->folder_count; i++)
        if (watch_folder(watch, i) && watch_folder(watch, i) != watch->current)
            watch_folder(watch, i)->listened = false;
}

/* What came between the look at a folder and NOTIFY, STATUS tells; from then on NOTIFY does. */
static void watch_notified(struct watch *watch, const struct imap_event *event)
{
    watch_enter(watch, WATCH_WORKING);
    if (event->status != IMAP_OK) {
        watch_lose_notify(watch);
        watch_next(watch);
        return;
    }
    watch_ask(watch);
    watch->notified = true;
    for (size_t i = 0; i < watch_account(watch)->folder_count; i++)
        if (watch_folder(watch, i))
            watch_folder(watch, i)->listened = true;
}

/* --- waiting for what is new -------------------------------------------------------------------
 */

static bool watch_idles(const struct watch *watch)
{
    return watch->current && watch_account(watch)->idle && watch_has_cap(watch, IMAP_CAP_IDLE) &&
           !watch->idle_refused;
}

static msec_t watch_sooner(msec_t a, msec_t b)
{
    return !a || (b && b < a) ? b : a;
}

static bool watch_is_free(const struct watch *watch)
{
    return !watch->current || folder_through(&watch->current->folder);
}

/* The next moment there may be an errand at. */
static void watch_set_timer(struct watch *watch)
{
    msec_t now = watch_now(watch);
    msec_t next = watch_sooner(watch->refresh_at, watch->marks_at);
    if (watch_is_free(watch)) {
        next = watch_sooner(next, watch->sweep_at);
        if (watch_needs_round(watch))
            next = watch_sooner(next, watch->round_at);
    }
    net_timer_start(watch->timer, next > now ? next - now : 0);
}

/* Nothing can be done for now: waits, in IDLE where it can. */
static void watch_wait(struct watch *watch)
{
    const struct collect_account *account = watch_account(watch);
    msec_t span = account->poll_interval;
    bool idle = watch_idles(watch);
    if (idle && (mailbox_trusts_idle(watch->mailbox) || account->idle_refresh < span))
        span = account->idle_refresh;
    watch->idle_since = watch_now(watch);
    watch->refresh_at = watch->idle_since + watch_spread(span);
    watch->marks_at = 0;
    watch->idle_asked = false;
    watch_enter(watch, idle ? WATCH_IDLING : WATCH_RESTING);
    if (idle)
        watch->command = imap_session_idle(watch->connection.session);
    watch_set_timer(watch);
}

/* Marks may wait a moment for others, so that IDLE is not broken for each. */
static void watch_gather_marks(struct watch *watch)
{
    const struct folder *folder = watch->current ? &watch->current->folder : NULL;
    bool due = folder && folder_has_errand(folder, true);
    if (!due) {
        watch->marks_at = 0;
    } else if (!watch->marks_at) {
        watch->marks_at = watch_now(watch) + (watch->state == WATCH_IDLING ? WATCH_MARKS_DELAY : 0);
    }
}

static bool watch_is_due(msec_t now, msec_t at)
{
    return at && now >= at;
}

/* A second connection takes its folder over as soon as the first has left it. */
static bool watch_may_claim(const struct watch *watch)
{
    const struct mailbox_folder *home = watch->home;
    return !watch->primary && home->watch != watch && home->watch->current != home &&
           home->folder.state == FOLDER_CAUGHT_UP && folder_settled(&home->folder);
}

static bool watch_has_errand(struct watch *watch)
{
    msec_t now = watch_now(watch);
    const struct folder *folder = watch->current ? &watch->current->folder : NULL;
    if (watch_is_due(now, watch->refresh_at) || watch_is_due(now, watch->marks_at) ||
        (folder && folder_has_errand(folder, false)))
        return true;
    if (!watch_is_free(watch))
        return false;
    return watch_wanted(watch) || watch->yield || watch_may_claim(watch) ||
           (folder && (folder->news || folder->state == FOLDER_FAILED)) ||
           watch_is_due(now, watch->sweep_at) ||
           (watch_is_due(now, watch->round_at) && watch_needs_round(watch));
}

/* Everything is to be looked at, whatever was told. */
static void watch_sweep(struct watch *watch)
{
    watch->sweep_at = watch_now(watch) + watch_spread(WATCH_SWEEP);
    for (size_t i = 0; i < watch_account(watch)->folder_count; i++)
        if (watch_folder(watch, i))
            watch_want(watch_folder(watch, i), FOLDER_LOOK_ALL);
}

/* Awake: nothing is in flight. What is it that it was woken for? */
static void watch_awake(struct watch *watch, bool rested)
{
    msec_t now = watch_now(watch);
    struct mailbox_folder *current = watch->current;
    bool free = watch_is_free(watch);
    watch_enter(watch, WATCH_WORKING);
    if (watch_is_due(now, watch->sweep_at) && free)
        watch_sweep(watch);
    else if (watch_is_due(now, watch->refresh_at) && current && free &&
             (rested || !mailbox_trusts_idle(watch->mailbox)))
        watch_want(current, FOLDER_LOOK_AGAIN);
    else if (watch_is_due(now, watch->refresh_at) && rested)
        imap_session_noop(watch->connection.session); /* to stay alive */
    watch->round = watch_is_due(now, watch->round_at) && watch_needs_round(watch);
    if (current)
        folder_proceed(&current->folder, true);
    if (!imap_session_pending(watch->connection.session))
        watch_next(watch);
}

static void watch_wake(struct watch *watch)
{
    net_timer_stop(watch->timer);
    if (watch->state == WATCH_RESTING) {
        watch_awake(watch, true);
        return;
    }
    watch->idle_asked = true;
    watch_enter(watch, WATCH_WAKING);
    imap_session_idle_end(watch->connection.session);
}

/* IDLE is over, by our wish or the server's. */
static void watch_idled(struct watch *watch, const struct imap_event *event)
{
    bool soon = watch_now(watch) - watch->idle_since < WATCH_IDLE_SHORT;
    net_timer_stop(watch->timer);
    watch->idle_short = !watch->idle_asked && soon ? watch->idle_short + 1 : 0;
    if (event->status != IMAP_OK || watch->idle_short >= WATCH_IDLE_SHORT_MAX)
        watch->idle_refused = true;
    watch_awake(watch, false);
}

/* --- what is next ------------------------------------------------------------------------------
 */

static void watch_leave(struct watch *watch)
{
    watch_enter(watch, WATCH_LEAVING);
    connection_leave(&watch->connection);
}

static void watch_claim(struct watch *watch)
{
    struct mailbox_folder *home = watch->home;
    home->watch = watch;
    home->want = FOLDER_LOOK_AGAIN;
}

/* It can do nothing when not one of its folders can be worked on. */
static bool watch_choose_home(struct watch *watch)
{
    if (!watch->primary)
        return true;
    if (watch->home && watch->home->watch == watch && watch->home->folder.state == FOLDER_CAUGHT_UP)
        return true;
    watch->home = watch_good_folder(watch);
    if (watch->home)
        return true;
    for (size_t i = 0; i < watch_account(watch)->folder_count; i++)
        if (watch_folder(watch, i) && watch_folder(watch, i)->folder.err) {
            watch_fail(watch, watch_folder(watch, i)->folder.err);
            return false;
        }
    return true;
}

/* All folders are looked at: goes home, and waits there. */
static void watch_settle(struct watch *watch)
{
    if (watch_may_claim(watch)) {
        watch_claim(watch);
        watch_visit(watch, watch->home);
        return;
    }
    if (!watch_choose_home(watch))
        return;
    if (watch->current != watch->home && watch->home && watch->home->watch == watch &&
        folder_settled(&watch->home->folder)) {
        watch->home->want = FOLDER_LOOK_AGAIN;
        watch_visit(watch, watch->home);
    } else if (watch->round) {
        watch->round = false;
        watch_begin_round(watch);
    } else if (watch_may_notify(watch)) {
        watch_ask_notify(watch);
    } else if (watch->yield) {
        watch_leave(watch);
    } else {
        bool first = !watch->caught_up;
        watch->caught_up = true;
        watch_wait(watch);
        if (first && watch->primary)
            mailbox_caught_up(watch->mailbox);
    }
}

/* Nothing is in flight, and it is WORKING: what is next? */
static void watch_next(struct watch *watch)
{
    if (!watch_is_free(watch)) {
        /* The state answers at once; a broker may take its time. */
        if (watch_continuous(watch) && !watch->current->folder.loads)
            watch_wait(watch);
        return;
    }
    if (watch->current)
        watch_folder_through(watch);
    struct mailbox_folder *wanted = watch_wanted(watch);
    if (wanted)
        watch_visit(watch, wanted);
    else if (watch_continuous(watch))
        watch_settle(watch);
    else
        watch_leave(watch);
}

/* Works on until something is in flight, or all is done. */
static void watch_work(struct watch *watch)
{
    if (watch->connection.stalled)
        return;
    if (watch->current)
        folder_proceed(&watch->current->folder, true);
    if (!imap_session_pending(watch->connection.session))
        watch_next(watch);
}

/* Names that are wrong or missing, once LIST has said what there is. */
static void watch_judge_names(struct watch *watch)
{
    struct mailbox *mailbox = watch->mailbox;
    for (size_t i = 0; i < mailbox->account->folder_count; i++) {
        struct mailbox_folder *folder = &mailbox->folders[i];
        struct err err;
        if (folder->watch != watch || folder_name_resolved(&folder->called))
            continue;
        err_set(&err, ERR_GIVE_UP, "the server marks no folder as %s: give the folder by its name",
                mailbox->account->folders[i]);
        folder->folder.state = FOLDER_FAILED;
        err_keep(&folder->folder.err, &err);
        if (watch_continuous(watch) && !folder->told)
            log_warning(&mailbox->scope, "%s", err.text);
        folder->told = true;
    }
    /* A special use may turn out to be a folder that is named as well. */
    for (size_t i = 0; i < mailbox->account->folder_count; i++)
        for (size_t j = 0; j < i; j++)
            if (mailbox->folders[j].called.name && mailbox->folders[i].called.name &&
                !strcmp(mailbox->folders[j].called.name, mailbox->folders[i].called.name)) {
                mailbox->folders[i].watch = NULL;
                mailbox->folders[i].folder.state = FOLDER_CAUGHT_UP;
            }
}

/* Names are known: begins with the folders. */
static void watch_begin_folders(struct watch *watch)
{
    const struct mailbox *mailbox = watch->mailbox;
    if (mailbox->account->after == COLLECT_AFTER_MOVE && !folder_name_resolved(&mailbox->target)) {
        struct err err;
        err_set(&err, ERR_GIVE_UP,
                "the server marks no folder as %s to move mail to: give the folder by its name",
                mailbox->account->after_name);
        watch_fail(watch, &err);
        return;
    }
    watch_judge_names(watch);
    if (mailbox->env->settings.check || watch->rounding) {
        watch_ask(watch);
    } else {
        watch_enter(watch, WATCH_WORKING);
        watch_next(watch);
    }
}

static void watch_listed(struct watch *watch, const struct imap_event *event)
{
    if (event->status != IMAP_OK && !watch->listed_plain) {
        watch->listed_plain = true;
        watch->command = imap_session_list(watch->connection.session, true);
        return;
    }
    watch_begin_folders(watch);
}

/* --- the connection's events -------------------------------------------------------------------
 */

static void watch_connected(void *ctx)
{
    watch_enter(ctx, WATCH_LOGGING_IN);
}

static void watch_ready(void *ctx)
{
    struct watch *watch = ctx;
    struct mailbox *mailbox = watch->mailbox;
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
    for (size_t i = 0; i < mailbox->account->folder_count; i++) {
        if (!mailbox->folders[i].watch)
            mailbox->folders[i].watch = watch;
        if (watch_folder(watch, i))
            folder_name_reset(&mailbox->folders[i].called);
    }
    folder_name_reset(&mailbox->target);
    if (watch_needs_list(watch))
        watch_list(watch);
    else
        watch_begin_folders(watch);
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
        if (imap_session_pending(watch->connection.session))
            break;
        watch_round_over(watch);
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
    if (folder->folder.news && !had_news) {
        folder->listened = false;
        if (watch->state == WATCH_IDLING)
            pace_host_prove_idle(watch->mailbox->host);
    }
    return more;
}

static bool watch_data(void *ctx, const struct imap_response *response)
{
    struct watch *watch = ctx;
    struct mailbox *mailbox = watch->mailbox;
    if (response->type == IMAP_RESPONSE_MAILBOX_STATUS) {
        watch_status(watch, response);
        return true;
    }
    if (response->type == IMAP_RESPONSE_LIST && watch->state == WATCH_LISTING) {
        for (size_t i = 0; i < mailbox->account->folder_count; i++)
            folder_name_offer(&mailbox->folders[i].called, response);
        folder_name_offer(&mailbox->target, response);
        return true;
    }
    if (response->type == IMAP_RESPONSE_STATUS && response->code == IMAP_CODE_NOTIFICATIONOVERFLOW)
        watch_lose_notify(watch);
    return !watch->current || watch_folder_data(watch, response);
}

static void watch_idling(void *ctx)
{
    struct watch *watch = ctx;
    /* From now on the server tells. What came before, it has told: that is looked into first. */
    if (watch->current && !watch->current->folder.news)
        watch->current->listened = true;
}

/* In IDLE, or at rest: is there a reason to end it? */
static void watch_listen(struct watch *watch)
{
    if (watch->current)
        folder_proceed(&watch->current->folder, false);
    if (watch->current && watch_is_free(watch))
        watch_tell_folder(watch, watch->current);
    watch_gather_marks(watch);
    if (watch_has_errand(watch))
        watch_wake(watch);
    else
        watch_set_timer(watch);
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

static void watch_ended(void *ctx, const struct connection_end *end)
{
    struct watch *watch = ctx;
    watch->trouble = end->err;
    err_keep(&watch->why, end->err);
    watch->hint = end->hint;
    watch->limited = end->limited;
    net_timer_stop(watch->timer);
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
    .idling = watch_idling,
    .pumped = watch_pumped,
    .ended = watch_ended,
};

/* --- between two connections -------------------------------------------------------------------
 */

static void watch_begin(struct watch *watch)
{
    watch->trouble = false;
    watch->caught_up = watch->yield = watch->round = watch->rounding = false;
    watch->notified = watch->notify_refused = false;
    watch->idle_refused = false;
    watch->idle_short = 0;
    watch->round_at = 0;
    watch->delivered_before = watch->mailbox->report.delivered;
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
    if (!why) { /* it made room for another mailbox */
        watch_back_off(watch, watch_spread(watch_account(watch)->poll_interval));
        return;
    }
    struct retry_attempt attempt = {
        .action = why->action,
        .progressed =
            watch->caught_up || watch->mailbox->report.delivered > watch->delivered_before,
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
        .ticket.granted = watch_granted,
        .ticket.wanted = watch_asked_to_yield,
    };
    connection_init(&watch->connection, mailbox->env, mailbox->account, &mailbox->scope,
                    &watch_connection_events, watch);
    watch->timer = net_timer_new(mailbox->env->loop, watch_timer_fired, watch);
    watch->step = net_deferred_new(mailbox->env->loop, watch_step, watch);
    watch->sweep_at = watch_continuous(watch) ? watch_now(watch) + watch_spread(WATCH_SWEEP) : 0;
}

void watch_release(struct watch *watch)
{
    connection_close(&watch->connection);
    if (watch->current)
        folder_detach(&watch->current->folder);
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
