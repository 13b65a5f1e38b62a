#include "collect/mailbox.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/text.h"
#include "collect/env.h"
#include "collect/folder.h"
#include "collect/names.h"
#include "imap/refusal.h"
#include "net/conn.h"
#include "net/loop.h"

enum {
    MAILBOX_ATTEMPTS = 3, /* in a row without progress */
    MAILBOX_RETRY_FIRST = 1000,
    MAILBOX_RETRY_MOST = 15000,
    MAILBOX_LEAVE_DEADLINE = 5000,
    MAILBOX_TALK = 20,         /* untagged lines that are a sign of life, between two answers */
    MAILBOX_TRICKLE = 65536,   /* bytes of bodies within a deadline, at least */
    MAILBOX_ATTEMPTS_ALL = 20, /* in a pass, even with progress */
    MAILBOX_ALERTS = 3,
};

enum mailbox_state {
    MAILBOX_IDLE,
    MAILBOX_CONNECTING,
    MAILBOX_LOGGING_IN,
    MAILBOX_LISTING,
    MAILBOX_COLLECTING,
    MAILBOX_CHECKING,
    MAILBOX_LEAVING,
    MAILBOX_DRAINING,
    MAILBOX_WAITING,
    MAILBOX_DONE,
    MAILBOX_FAILED,
};

static const struct {
    const char *name;
    enum collect_phase phase;
} mailbox_states[] = {
    [MAILBOX_IDLE] = {"idle", COLLECT_WAITING},
    [MAILBOX_CONNECTING] = {"connecting", COLLECT_CONNECTING},
    [MAILBOX_LOGGING_IN] = {"logging in", COLLECT_LOGGING_IN},
    [MAILBOX_LISTING] = {"listing folders", COLLECT_COLLECTING},
    [MAILBOX_COLLECTING] = {"collecting", COLLECT_COLLECTING},
    [MAILBOX_CHECKING] = {"checking", COLLECT_COLLECTING},
    [MAILBOX_LEAVING] = {"leaving", COLLECT_COLLECTING},
    [MAILBOX_DRAINING] = {"draining", COLLECT_COLLECTING},
    [MAILBOX_WAITING] = {"waiting to retry", COLLECT_RETRYING},
    [MAILBOX_DONE] = {"done", COLLECT_DONE},
    [MAILBOX_FAILED] = {"failed", COLLECT_FAILED},
};

struct mailbox {
    struct collect_env *env;
    const struct collect_account *account;
    struct collect_report *report;
    void (*finished)(void *ctx);
    void *ctx;
    struct log_scope scope;
    enum mailbox_state state;

    struct net_conn *conn;        /* NULL without a connection, as is … */
    struct imap_session *session; /* … this */
    bool stalled;                 /* a folder waits for memory: nothing is read */
    struct net_timer *retry;
    struct net_deferred *look;

    struct folder_name *names; /* of the folders, in their order … */
    struct folder *folders;    /* … and their work */
    size_t current;            /* the folder being worked on */
    struct folder_name target; /* of a move */
    uint32_t command;          /* LIST, STATUS or LOGOUT on its way */
    bool listed_plain;
    bool progressed; /* since the deadline was set: it is to be set anew */
    size_t trickle;  /* bytes of body since then */
    unsigned talk;   /* untagged responses that set it anew, since the last answer or body */

    unsigned attempts; /* in a row that made no progress */
    unsigned attempts_all;
    unsigned alerts;          /* told so far */
    uint64_t progress_before; /* delivered when this attempt began */
    msec_t pause;             /* the server asked for, before the next attempt */
    bool stopping;
    bool trouble; /* `why` is set: the attempt failed */
    struct err why;
};

static void mailbox_enter(struct mailbox *mailbox, enum mailbox_state state)
{
    log_debug(&mailbox->scope, "%s", mailbox_states[state].name);
    mailbox->state = state;
    mailbox->report->phase = mailbox_states[state].phase;
}

static void mailbox_look(void *ctx);
static void mailbox_retry(void *ctx);
static void mailbox_folder_changed(void *ctx);
static void mailbox_folder_resume(void *ctx);

static const struct folder_events mailbox_folder_events = {
    .changed = mailbox_folder_changed,
    .resume = mailbox_folder_resume,
};

struct mailbox *mailbox_new(struct collect_env *env, const struct collect_account *account,
                            struct collect_report *report, void (*finished)(void *ctx), void *ctx)
{
    struct mailbox *mailbox = mem_new(struct mailbox);
    mailbox->env = env;
    mailbox->account = account;
    mailbox->report = report;
    mailbox->finished = finished;
    mailbox->ctx = ctx;
    mailbox->scope.account = account->label;
    mailbox->look = net_deferred_new(env->loop, mailbox_look, mailbox);
    mailbox->names = mem_zalloc(account->folder_count * sizeof *mailbox->names);
    mailbox->folders = mem_zalloc(account->folder_count * sizeof *mailbox->folders);
    for (size_t i = 0; i < account->folder_count; i++) {
        folder_name_init(&mailbox->names[i], account->folders[i]);
        folder_init(&mailbox->folders[i], env, account, report, &mailbox_folder_events, mailbox);
    }
    if (account->after == COLLECT_AFTER_MOVE)
        folder_name_init(&mailbox->target, account->after_name);
    return mailbox;
}

static void mailbox_disconnect(struct mailbox *mailbox)
{
    net_conn_close(mailbox->conn);
    mailbox->conn = NULL;
    for (size_t i = 0; i < mailbox->account->folder_count; i++)
        folder_detach(&mailbox->folders[i]);
    imap_session_free(mailbox->session);
    mailbox->session = NULL;
    mailbox->stalled = false;
}

void mailbox_free(struct mailbox *mailbox)
{
    if (!mailbox)
        return;
    mailbox_disconnect(mailbox);
    for (size_t i = 0; i < mailbox->account->folder_count; i++) {
        folder_release(&mailbox->folders[i]);
        folder_name_release(&mailbox->names[i]);
    }
    folder_name_release(&mailbox->target);
    net_deferred_free(mailbox->look);
    if (mailbox->retry)
        net_timer_free(mailbox->retry);
    free(mailbox->names);
    free(mailbox->folders);
    free(mailbox);
}

/* The attempt is over, well or not; what is in flight goes on. */
static void mailbox_drain(struct mailbox *mailbox)
{
    mailbox_disconnect(mailbox);
    mailbox_enter(mailbox, MAILBOX_DRAINING);
    net_deferred_schedule(mailbox->look);
}

static void mailbox_trouble(struct mailbox *mailbox, const struct err *err)
{
    if (mailbox->state == MAILBOX_LEAVING) {
        /* How a server ends after LOGOUT is its own affair. */
        mailbox_drain(mailbox);
        return;
    }
    mailbox->trouble = true;
    mailbox->why = *err;
    mailbox->pause = imap_session_suggested_pause(mailbox->session);
    mailbox_drain(mailbox);
}

/* The server has `step_deadline` for its next answer, counted from the last one. */
static void mailbox_set_deadline(struct mailbox *mailbox)
{
    const char *waiting_for = imap_session_waiting_for(mailbox->session);
    msec_t deadline = mailbox->state == MAILBOX_LEAVING ? MAILBOX_LEAVE_DEADLINE
                                                        : mailbox->env->settings.step_deadline;
    if (mailbox->stalled || !waiting_for)
        deadline = 0;
    net_conn_set_deadline(mailbox->conn, deadline, waiting_for);
    mailbox->progressed = false;
}

/* Hands the session's output to the connection. */
static void mailbox_flush(struct mailbox *mailbox)
{
    struct buf *output = imap_session_output(mailbox->session);
    if (output->len) {
        net_conn_write(mailbox->conn, output->data, output->len);
        mem_wipe(output->data, output->len);
        buf_clear(output);
        mailbox->progressed = true;
    }
    if (mailbox->progressed || mailbox->stalled)
        mailbox_set_deadline(mailbox);
}

static void mailbox_leave(struct mailbox *mailbox)
{
    mailbox_enter(mailbox, MAILBOX_LEAVING);
    mailbox->command = imap_session_logout(mailbox->session);
}

/* A special use may turn out to be a folder that is named as well. */
static bool mailbox_is_repeated(const struct mailbox *mailbox, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (mailbox->names[i].name && !strcmp(mailbox->names[i].name, mailbox->names[index].name))
            return true;
    return false;
}

static void mailbox_folder_unknown(struct mailbox *mailbox, size_t index)
{
    struct folder *folder = &mailbox->folders[index];
    folder->state = FOLDER_FAILED;
    err_set(&folder->err, ERR_GIVE_UP,
            "the server marks no folder as %s: give the folder by its name",
            mailbox->account->folders[index]);
}

/* Begins with the next folder there is something to do in, or leaves. */
static void mailbox_next_folder(struct mailbox *mailbox)
{
    for (; mailbox->current < mailbox->account->folder_count; mailbox->current++) {
        struct folder *folder = &mailbox->folders[mailbox->current];
        const struct folder_name *name = &mailbox->names[mailbox->current];
        if (folder->state == FOLDER_FINISHED || folder->state == FOLDER_FAILED)
            continue;
        if (!folder_name_resolved(name)) {
            mailbox_folder_unknown(mailbox, mailbox->current);
        } else if (mailbox_is_repeated(mailbox, mailbox->current)) {
            folder->state = FOLDER_FINISHED;
        } else if (mailbox->env->settings.check) {
            mailbox->command = imap_session_status(mailbox->session, name->mailbox);
            return;
        } else {
            folder_open(folder, mailbox->session, name->name, name->mailbox,
                        mailbox->target.mailbox);
            return;
        }
    }
    mailbox_leave(mailbox);
}

/* Goes on when the current folder is through. */
static void mailbox_step(struct mailbox *mailbox)
{
    if (mailbox->state != MAILBOX_COLLECTING || mailbox->stalled)
        return;
    struct folder *folder = &mailbox->folders[mailbox->current];
    if (folder->state != FOLDER_FINISHED && folder->state != FOLDER_FAILED)
        return;
    /* Answers that are on their way belong to this folder. */
    if (imap_session_pending(mailbox->session))
        return;
    folder_detach(folder);
    mailbox_next_folder(mailbox);
}

static void mailbox_begin_folders(struct mailbox *mailbox)
{
    if (mailbox->account->after == COLLECT_AFTER_MOVE && !folder_name_resolved(&mailbox->target)) {
        struct err err;
        err_set(&err, ERR_GIVE_UP,
                "the server marks no folder as %s to move mail to: give the folder by its name",
                mailbox->account->after_name);
        mailbox_trouble(mailbox, &err);
        return;
    }
    mailbox_enter(mailbox, mailbox->env->settings.check ? MAILBOX_CHECKING : MAILBOX_COLLECTING);
    mailbox->current = 0;
    mailbox_next_folder(mailbox);
}

static bool mailbox_needs_list(const struct mailbox *mailbox)
{
    bool needed = mailbox->target.special;
    for (size_t i = 0; i < mailbox->account->folder_count; i++)
        needed = needed || mailbox->names[i].special;
    return needed;
}

static void mailbox_logged_in(struct mailbox *mailbox)
{
    struct collect_check *check = &mailbox->report->check;
    *check = (struct collect_check){.caps = imap_session_caps(mailbox->session)};
    if (mailbox->env->settings.check)
        check->has_tls = net_conn_tls_info(mailbox->conn, &check->tls);
    if (!mailbox_needs_list(mailbox)) {
        mailbox_begin_folders(mailbox);
        return;
    }
    for (size_t i = 0; i < mailbox->account->folder_count; i++)
        folder_name_reset(&mailbox->names[i]);
    folder_name_reset(&mailbox->target);
    mailbox->listed_plain = false;
    mailbox_enter(mailbox, MAILBOX_LISTING);
    mailbox->command = imap_session_list(mailbox->session, false);
}

static void mailbox_listed(struct mailbox *mailbox, const struct imap_event *event)
{
    if (event->status != IMAP_OK && !mailbox->listed_plain) {
        mailbox->listed_plain = true;
        mailbox->command = imap_session_list(mailbox->session, true);
        return;
    }
    mailbox_begin_folders(mailbox);
}

static void mailbox_checked(struct mailbox *mailbox, const struct imap_event *event)
{
    struct folder *folder = &mailbox->folders[mailbox->current];
    folder->state = FOLDER_FINISHED;
    if (event->status != IMAP_OK) {
        folder->state = FOLDER_FAILED;
        /* A special use's name is the server's. */
        char safe[100];
        const char *name = mailbox->names[mailbox->current].name;
        err_set(&folder->err, ERR_GIVE_UP, "folder %s: the server answered %s %s",
                text_escape_utf8(safe, sizeof safe, name, strlen(name)),
                imap_status_name(event->status), event->text);
    }
    mailbox_next_folder(mailbox);
}

static void mailbox_done(struct mailbox *mailbox, const struct imap_event *event)
{
    struct err err;
    if (mailbox->state == MAILBOX_COLLECTING) {
        if (folder_done(&mailbox->folders[mailbox->current], event, &err) < 0)
            mailbox_trouble(mailbox, &err);
    } else if (event->command != mailbox->command) {
        return;
    } else if (mailbox->state == MAILBOX_LISTING) {
        mailbox_listed(mailbox, event);
    } else if (mailbox->state == MAILBOX_CHECKING) {
        mailbox_checked(mailbox, event);
    } else if (mailbox->state == MAILBOX_LEAVING) {
        mailbox_drain(mailbox);
    }
}

/* "Must be presented to the user" (RFC 9051 section 7.1). */
static void mailbox_alert(struct mailbox *mailbox, const struct imap_response *response)
{
    char words[200];
    if (mailbox->alerts++ < MAILBOX_ALERTS)
        log_warning(&mailbox->scope, "the server alerts: %s",
                    imap_refusal_words(words, sizeof words, response, mailbox->account->user,
                                       mailbox->account->password));
}

static void mailbox_data(struct mailbox *mailbox, const struct imap_response *response)
{
    if (response->type == IMAP_RESPONSE_STATUS && response->code == IMAP_CODE_ALERT)
        mailbox_alert(mailbox, response);
    if (mailbox->state == MAILBOX_COLLECTING) {
        struct folder *folder = &mailbox->folders[mailbox->current];
        mailbox->stalled = !folder_data(folder, response);
        if (folder->flooded)
            mailbox_trouble(mailbox, &folder->err);
    } else if (mailbox->state == MAILBOX_LISTING && response->type == IMAP_RESPONSE_LIST) {
        for (size_t i = 0; i < mailbox->account->folder_count; i++)
            folder_name_offer(&mailbox->names[i], response);
        folder_name_offer(&mailbox->target, response);
    } else if (mailbox->state == MAILBOX_CHECKING &&
               response->type == IMAP_RESPONSE_MAILBOX_STATUS) {
        mailbox->report->check.messages += response->messages;
        mailbox->report->check.unseen += response->unseen;
    }
}

/* Nothing follows it but the end, and some servers leave even that to us. */
static void mailbox_goodbye(struct mailbox *mailbox, const struct imap_event *event)
{
    struct err err;
    if (mailbox->state == MAILBOX_LEAVING)
        return;
    err_set(&err, ERR_RETRY_LATER, "the server said goodbye: %s", event->text);
    mailbox_trouble(mailbox, &err);
}

/* An answer is progress, and so is a fair piece of a body. Of anything else that a server says the
 * first words are a sign of life; the rest, as single bytes now and then, is not, or a hostile
 * server could hold a pass for ever. */
static void mailbox_note_progress(struct mailbox *mailbox, const struct imap_event *event)
{
    if (event->type != IMAP_EVENT_DATA) {
        mailbox->progressed = true;
        mailbox->talk = 0;
        return;
    }
    if (event->response->type != IMAP_RESPONSE_BODY_DATA) {
        if (mailbox->talk < MAILBOX_TALK) {
            mailbox->talk++;
            mailbox->progressed = true;
        }
        return;
    }
    mailbox->trickle += event->response->data_len;
    if (mailbox->trickle < MAILBOX_TRICKLE)
        return;
    mailbox->trickle = 0;
    mailbox->talk = 0;
    mailbox->progressed = true;
}

static void mailbox_event(struct mailbox *mailbox, const struct imap_event *event)
{
    mailbox_note_progress(mailbox, event);
    switch (event->type) {
    case IMAP_EVENT_STARTTLS:
        net_conn_start_tls(mailbox->conn, mailbox->account->tls, mailbox->account->host,
                           mailbox->env->settings.step_deadline);
        break;
    case IMAP_EVENT_READY:
        mailbox_logged_in(mailbox);
        break;
    case IMAP_EVENT_DONE:
        mailbox_done(mailbox, event);
        break;
    case IMAP_EVENT_DATA:
        mailbox_data(mailbox, event->response);
        break;
    case IMAP_EVENT_BYE:
        mailbox_goodbye(mailbox, event);
        break;
    case IMAP_EVENT_IDLING:
        break;
    }
}

/* Works on input until it is used up, a folder stalls or the connection is given up. Returns how
 * much of it was taken. */
static size_t mailbox_pump(struct mailbox *mailbox, const uint8_t *data, size_t len)
{
    struct imap_event event;
    struct err err;
    int got = 0;
    imap_session_feed(mailbox->session, data, len);
    while (mailbox->session && !mailbox->stalled &&
           (got = imap_session_next(mailbox->session, &event, &err)) > 0)
        mailbox_event(mailbox, &event);
    if (!mailbox->session)
        return len;
    if (got < 0) {
        mailbox_trouble(mailbox, &err);
        return len;
    }
    size_t rest = imap_session_rest(mailbox->session);
    if (mailbox->stalled)
        net_conn_pause(mailbox->conn);
    mailbox_step(mailbox);
    if (mailbox->session)
        mailbox_flush(mailbox);
    return len - rest;
}

static void mailbox_conn_ready(void *ctx)
{
    struct mailbox *mailbox = ctx;
    if (mailbox->state == MAILBOX_CONNECTING)
        mailbox_enter(mailbox, MAILBOX_LOGGING_IN);
    else
        imap_session_secured(mailbox->session);
    mailbox->progressed = true;
    mailbox_flush(mailbox);
}

static size_t mailbox_conn_data(void *ctx, const uint8_t *data, size_t len)
{
    return mailbox_pump(ctx, data, len);
}

static void mailbox_conn_failed(void *ctx, const struct err *err)
{
    mailbox_trouble(ctx, err);
}

static const struct net_conn_events mailbox_conn_events = {
    .ready = mailbox_conn_ready,
    .data = mailbox_conn_data,
    .failed = mailbox_conn_failed,
};

static void mailbox_connect(struct mailbox *mailbox)
{
    const struct collect_account *account = mailbox->account;
    mailbox->trouble = false;
    mailbox->pause = 0;
    mailbox->progress_before = mailbox->report->delivered;
    mailbox_enter(mailbox, MAILBOX_CONNECTING);
    mailbox->session = imap_session_new(&(struct imap_session_settings){
        .security = account->security,
        .auth = account->auth,
        .user = account->user,
        .password = account->password,
        .limits = imap_limits_default,
    });
    mailbox->conn =
        net_conn_open(mailbox->env->loop,
                      &(struct net_conn_target){
                          .host = account->host,
                          .port = account->port,
                          .tls = account->security == IMAP_SECURITY_IMPLICIT ? account->tls : NULL,
                          .deadline = mailbox->env->settings.step_deadline,
                      },
                      &mailbox_conn_events, mailbox);
}

void mailbox_start(struct mailbox *mailbox)
{
    mailbox_connect(mailbox);
}

static void mailbox_retry(void *ctx)
{
    struct mailbox *mailbox = ctx;
    net_timer_free(mailbox->retry);
    mailbox->retry = NULL;
    mailbox_connect(mailbox);
}

static void mailbox_log_done(const struct mailbox *mailbox)
{
    const struct collect_report *report = mailbox->report;
    char bytes[16];
    log_info(&mailbox->scope, "done: %llu delivered, %llu held, %s",
             (unsigned long long)report->delivered, (unsigned long long)report->held,
             num_format_bytes(bytes, sizeof bytes, report->bytes));
}

static void mailbox_finish(struct mailbox *mailbox, const struct err *err)
{
    if (err)
        mailbox->report->err = *err;
    mailbox_enter(mailbox, err ? MAILBOX_FAILED : MAILBOX_DONE);
    if (err && !mailbox->stopping)
        log_error(&mailbox->scope, "%s", err->text);
    else if (!err && !mailbox->env->settings.check)
        mailbox_log_done(mailbox);
    mailbox->finished(mailbox->ctx);
}

/* The trouble of a folder that could not be worked on, of one where it may pass if there is any;
 * or NULL. */
static const struct err *mailbox_folder_trouble(struct mailbox *mailbox)
{
    const struct err *found = NULL;
    for (size_t i = 0; i < mailbox->account->folder_count; i++) {
        const struct folder *folder = &mailbox->folders[i];
        if (folder->state == FOLDER_FAILED && (!found || found->action == ERR_GIVE_UP))
            found = &folder->err;
    }
    return found;
}

/* Folders whose trouble may pass are worked on again by the next attempt. */
static void mailbox_reopen_folders(struct mailbox *mailbox)
{
    for (size_t i = 0; i < mailbox->account->folder_count; i++) {
        struct folder *folder = &mailbox->folders[i];
        if (folder->state == FOLDER_FAILED && folder->err.action != ERR_GIVE_UP)
            folder->state = FOLDER_IDLE;
    }
}

/* Nothing is in flight any more: how does it go on? */
static void mailbox_decide(struct mailbox *mailbox)
{
    const struct err *folder_trouble = mailbox_folder_trouble(mailbox);
    if (!mailbox->trouble && !folder_trouble) {
        mailbox_finish(mailbox, NULL);
        return;
    }
    if (!mailbox->trouble)
        mailbox->why = *folder_trouble;
    if (mailbox->report->delivered > mailbox->progress_before)
        mailbox->attempts = 0;
    /* A server that wants to be left alone for longer than a pass waits gets its peace. */
    if (mailbox->stopping || mailbox->why.action == ERR_GIVE_UP ||
        mailbox->pause > MAILBOX_RETRY_MOST || ++mailbox->attempts >= MAILBOX_ATTEMPTS ||
        ++mailbox->attempts_all >= MAILBOX_ATTEMPTS_ALL) {
        mailbox_finish(mailbox, &mailbox->why);
        return;
    }
    log_warning(&mailbox->scope, "%s; trying again", mailbox->why.text);
    mailbox->report->err = mailbox->why;
    mailbox_reopen_folders(mailbox);
    mailbox_enter(mailbox, MAILBOX_WAITING);
    mailbox->retry = net_timer_new(mailbox->env->loop, mailbox_retry, mailbox);
    msec_t pause = random_backoff(mailbox->attempts - 1, MAILBOX_RETRY_FIRST, MAILBOX_RETRY_MOST);
    net_timer_start(mailbox->retry, mailbox->pause > pause ? mailbox->pause : pause);
}

/* Something happened outside the connection: mails settled, changes recorded, the sink came up. */
static void mailbox_look(void *ctx)
{
    struct mailbox *mailbox = ctx;
    if (mailbox->state == MAILBOX_DRAINING) {
        for (size_t i = 0; i < mailbox->account->folder_count; i++)
            if (!folder_settled(&mailbox->folders[i]))
                return;
        mailbox_decide(mailbox);
    } else if (mailbox->state == MAILBOX_COLLECTING) {
        folder_proceed(&mailbox->folders[mailbox->current]);
        mailbox_step(mailbox);
        mailbox_flush(mailbox);
    }
}

static void mailbox_folder_changed(void *ctx)
{
    struct mailbox *mailbox = ctx;
    net_deferred_schedule(mailbox->look);
}

static void mailbox_folder_resume(void *ctx)
{
    struct mailbox *mailbox = ctx;
    mailbox->stalled = false;
    mailbox->progressed = true;
    net_conn_resume(mailbox->conn);
    mailbox_flush(mailbox);
}

void mailbox_sink_changed(struct mailbox *mailbox)
{
    net_deferred_schedule(mailbox->look);
}

void mailbox_stop(struct mailbox *mailbox, const struct err *why)
{
    if (mailbox->state == MAILBOX_DONE || mailbox->state == MAILBOX_FAILED)
        return;
    mailbox->stopping = true;
    mailbox->trouble = true;
    mailbox->why = *why;
    mailbox->report->err = *why;
    if (mailbox->retry) {
        net_timer_free(mailbox->retry);
        mailbox->retry = NULL;
    }
    mailbox_drain(mailbox);
}
