#include "collect/mailbox.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "collect/deriver.h"
#include "collect/env.h"
#include "net/loop.h"

enum {
    MAILBOX_TELL_AGAIN = 3600 * 1000, /* trouble that goes on is told again */
    MAILBOX_UNANNOUNCED = 2,          /* looks in a row that found what IDLE had not told of */
    /* A pass waits for a mailbox's server for an hour, and for a minute for so much more that came:
     * else one that sends a byte now and then would keep it from its end. */
    MAILBOX_MINUTE = 60 * 1000,
    MAILBOX_MINUTES = 60,
    MAILBOX_MINUTE_MAILS = 60,
    MAILBOX_MINUTE_BYTES = 1 << 20,
};

/* Something became of a folder's mails or records. */
static void mailbox_folder_changed(void *ctx)
{
    struct mailbox_folder *folder = ctx;
    struct mailbox *mailbox = folder->mailbox;
    watch_nudge(&mailbox->first);
    for (struct watch *watch = mailbox->more; watch; watch = watch->next)
        watch_nudge(watch);
}

static void mailbox_folder_resume(void *ctx)
{
    struct mailbox_folder *folder = ctx;
    watch_resume(folder->watch);
}

static const struct folder_events mailbox_folder_events = {
    .changed = mailbox_folder_changed,
    .resume = mailbox_folder_resume,
};

/* A minute of a pass is over. */
static void mailbox_minute(void *ctx)
{
    struct mailbox *mailbox = ctx;
    const struct collect_report *report = &mailbox->report;
    uint64_t mails = report->delivered + report->held + report->recognised;
    struct err err;
    mailbox->waited += watch_waits(&mailbox->first);
    if (mailbox->waited <=
        MAILBOX_MINUTES + mails / MAILBOX_MINUTE_MAILS + report->bytes / MAILBOX_MINUTE_BYTES) {
        net_timer_start(mailbox->minute, MAILBOX_MINUTE);
        return;
    }
    err_set(&err, ERR_RETRY_LATER,
            "the server is too slow: %llu mails in %llu min; the next pass goes on from here",
            (unsigned long long)mails, (unsigned long long)mailbox->waited);
    log_error(&mailbox->scope, "%s", err.text);
    mailbox_stop(mailbox, &err);
}

struct mailbox *mailbox_new(struct collect_env *env, struct collect_account *moved_account,
                            void (*finished)(void *ctx), void *ctx)
{
    struct mailbox *mailbox = mem_new(struct mailbox);
    const struct collect_account *account = mailbox->account = moved_account;
    mailbox->env = env;
    mailbox->finished = finished;
    mailbox->ctx = ctx;
    mailbox->scope = (struct log_scope){.account = account->label, .share = &mailbox->said};
    mailbox->host = pace_host_use(env->pace, account->host);
    if (env->settings.check)
        mailbox->report.check = mem_new(struct collect_check);
    mailbox->folders = mem_zalloc(account->folder_count * sizeof *mailbox->folders);
    for (size_t i = 0; i < account->folder_count; i++) {
        struct mailbox_folder *folder = &mailbox->folders[i];
        folder->mailbox = mailbox;
        folder->watch = &mailbox->first;
        folder_name_init(&folder->called, account->folders[i]);
        folder_init(&folder->folder, env, account, pace_host_budget(mailbox->host),
                    &mailbox->report, &mailbox_folder_events, folder);
        folder->folder.scope.share = &mailbox->said;
    }
    if (account->after == COLLECT_AFTER_MOVE)
        folder_name_init(&mailbox->target, account->after_name);
    watch_init(&mailbox->first, mailbox, true);
    if (!env->settings.continuous)
        mailbox->minute = net_timer_new(env->loop, mailbox_minute, mailbox);
    return mailbox;
}

void mailbox_free(struct mailbox *mailbox)
{
    if (!mailbox)
        return;
    watch_release(&mailbox->first);
    while (mailbox->more) {
        struct watch *watch = mailbox->more;
        mailbox->more = watch->next;
        watch_release(watch);
        free(watch);
    }
    for (size_t i = 0; i < mailbox->account->folder_count; i++) {
        folder_release(&mailbox->folders[i].folder);
        folder_name_release(&mailbox->folders[i].called);
    }
    folder_name_release(&mailbox->target);
    log_share_end(&mailbox->scope);
    pace_host_unuse(mailbox->host);
    net_timer_free(mailbox->minute);
    derived_key_keep(&mailbox->key, NULL);
    collect_report_release(&mailbox->report);
    collect_account_free(mailbox->account);
    free(mailbox->told);
    free(mailbox->folders);
    free(mailbox);
}

void mailbox_start(struct mailbox *mailbox)
{
    watch_start(&mailbox->first);
    if (mailbox->minute)
        net_timer_start(mailbox->minute, MAILBOX_MINUTE);
}

void mailbox_hurry(struct mailbox *mailbox)
{
    watch_hurry(&mailbox->first);
    for (struct watch *watch = mailbox->more; watch; watch = watch->next)
        watch_hurry(watch);
}

void mailbox_sink_changed(struct mailbox *mailbox)
{
    for (size_t i = 0; i < mailbox->account->folder_count && !mailbox->env->sink_up; i++)
        folder_sink_down(&mailbox->folders[i].folder);
    watch_nudge(&mailbox->first);
    for (struct watch *watch = mailbox->more; watch; watch = watch->next)
        watch_nudge(watch);
}

void mailbox_stop(struct mailbox *mailbox, const struct err *why)
{
    if (mailbox->report.phase == COLLECT_DONE || mailbox->report.phase == COLLECT_FAILED)
        return;
    mailbox->stopping = true;
    if (mailbox->minute) {
        net_timer_stop(mailbox->minute);
        err_keep(&mailbox->report.err, why);
    }
    watch_stop(&mailbox->first, why);
    for (struct watch *watch = mailbox->more; watch; watch = watch->next)
        watch_stop(watch, why);
}

bool mailbox_settled(const struct mailbox *mailbox, const struct watch *watch)
{
    for (size_t i = 0; i < mailbox->account->folder_count; i++)
        if (mailbox->folders[i].watch == watch && !folder_settled(&mailbox->folders[i].folder))
            return false;
    return true;
}

void mailbox_take_back(struct mailbox *mailbox, struct watch *watch)
{
    if (watch->primary)
        return;
    for (size_t i = 0; i < mailbox->account->folder_count; i++) {
        struct mailbox_folder *folder = &mailbox->folders[i];
        if (folder->watch != watch)
            continue;
        folder->watch = &mailbox->first;
        /* One that cannot be worked on the first one asks about in its rounds. */
        if (folder->folder.state == FOLDER_FAILED)
            continue;
        folder->want =
            folder->folder.state == FOLDER_CAUGHT_UP ? FOLDER_LOOK_AGAIN : FOLDER_LOOK_ALL;
    }
    watch_nudge(&mailbox->first);
}

static bool mailbox_has_watch_for(const struct mailbox *mailbox,
                                  const struct mailbox_folder *folder)
{
    for (const struct watch *watch = mailbox->more; watch; watch = watch->next)
        if (watch->home == folder)
            return true;
    return mailbox->first.home == folder;
}

/* More connections, so that more folders can be watched at a time. */
static void mailbox_spread(struct mailbox *mailbox)
{
    unsigned connections = 1;
    for (const struct watch *watch = mailbox->more; watch; watch = watch->next)
        connections++;
    for (size_t i = 0; i < mailbox->account->folder_count; i++) {
        struct mailbox_folder *folder = &mailbox->folders[i];
        if (connections >= mailbox->account->max_connections)
            return;
        if (folder->watch != &mailbox->first || folder->folder.state != FOLDER_CAUGHT_UP ||
            mailbox_has_watch_for(mailbox, folder))
            continue;
        struct watch *watch = mem_new(struct watch);
        watch_init(watch, mailbox, false);
        watch->home = folder;
        watch->next = mailbox->more;
        mailbox->more = watch;
        connections++;
        watch_start(watch);
    }
}

static void mailbox_recovered(struct mailbox *mailbox)
{
    struct collect_report *report = &mailbox->report;
    msec_t now = net_loop_now(mailbox->env->loop);
    if (mailbox->telling)
        log_info(&mailbox->scope, "collecting again, after %llu s",
                 (unsigned long long)((now - report->failing_since) / 1000));
    mailbox->telling = false;
    report->failing_since = 0;
    err_keep(&report->err, NULL);
}

void mailbox_caught_up(struct mailbox *mailbox)
{
    mailbox_recovered(mailbox);
    if (!mailbox->first.notified && !mailbox->stopping)
        mailbox_spread(mailbox);
}

/* A host's trouble is that of all its mailboxes, and is told once; that of a mailbox when it
 * begins, when it changes, and every hour. */
static void mailbox_tell(struct mailbox *mailbox, const struct err *err, msec_t pause)
{
    msec_t now = net_loop_now(mailbox->env->loop);
    msec_t failing = now - mailbox->report.failing_since;
    bool same = mailbox->told && text_says_same(mailbox->told->text, err->text);
    if (same && now - mailbox->told_at < MAILBOX_TELL_AGAIN)
        return;
    if (!same && err->action != ERR_GIVE_UP && !pace_host_tells(mailbox->host, err->text))
        return;
    if (failing >= MAILBOX_TELL_AGAIN)
        log_warning(&mailbox->scope, "%s; failing for %llu min now, tried again and again",
                    err->text, (unsigned long long)(failing / 60000));
    else
        log_warning(&mailbox->scope, "%s; trying again in %llu s", err->text,
                    (unsigned long long)(pause + 500) / 1000);
    err_keep(&mailbox->told, err);
    mailbox->telling = true;
    mailbox->told_at = now;
}

void mailbox_retrying(struct mailbox *mailbox, const struct watch *watch, const struct err *err,
                      bool progressed, msec_t pause)
{
    struct collect_report *report = &mailbox->report;
    if (!mailbox->env->settings.continuous) {
        log_warning(&mailbox->scope, "%s; trying again", err->text);
        err_keep(&report->err, err);
        return;
    }
    /* Servers end connections that have done their work; that is no trouble yet. */
    if (progressed && err->action != ERR_GIVE_UP) {
        log_debug(&mailbox->scope, "%s; connecting again", err->text);
        return;
    }
    if (!watch->primary) {
        log_debug(&mailbox->scope, "a further connection: %s; trying again", err->text);
        return;
    }
    if (!report->failing_since)
        report->failing_since = net_loop_now(mailbox->env->loop);
    mailbox_tell(mailbox, err, pause);
    err_keep(&report->err, err);
}

static void mailbox_log_done(const struct mailbox *mailbox)
{
    const struct collect_report *report = &mailbox->report;
    char bytes[16];
    log_info(&mailbox->scope, "done: %llu delivered, %llu held, %s",
             (unsigned long long)report->delivered, (unsigned long long)report->held,
             num_format_bytes(bytes, sizeof bytes, report->bytes));
}

void mailbox_watch_over(struct mailbox *mailbox, struct watch *watch, const struct err *err)
{
    struct collect_report *report = &mailbox->report;
    bool over = mailbox->first.state == WATCH_OVER;
    for (const struct watch *other = mailbox->more; other; other = other->next)
        over = over && other->state == WATCH_OVER;
    /* Who was watching when it was stopped has done what it was to do. */
    if (watch->primary && !(mailbox->stopping && mailbox->env->settings.continuous))
        err_keep(&report->err, err);
    if (!over)
        return;
    if (mailbox->minute)
        net_timer_stop(mailbox->minute);
    report->phase = report->err ? COLLECT_FAILED : COLLECT_DONE;
    if (report->err && !mailbox->stopping)
        log_error(&mailbox->scope, "%s", report->err->text);
    else if (!report->err && !mailbox->stopping && !mailbox->env->settings.check)
        mailbox_log_done(mailbox);
    mailbox->finished(mailbox->ctx);
}

void mailbox_overlooked(const struct mailbox_folder *folder)
{
    log_warning(&folder->folder.scope,
                "%llu mails were not found by earlier looks: the server did not show them, or "
                "somebody marked them unread",
                (unsigned long long)folder->folder.overlooked);
}

/* Servers may take half a second to tell: one mail that came just before a look, and was not told
 * of yet, says little. IDLE is not relied upon from then on all the same, until it tells again. */
void mailbox_unannounced(const struct mailbox_folder *folder)
{
    struct mailbox *mailbox = folder->mailbox;
    if (++mailbox->unannounced == MAILBOX_UNANNOUNCED)
        log_warning(&folder->folder.scope,
                    "mail comes that the server does not tell of in IDLE: it is looked for "
                    "every %llu s",
                    (unsigned long long)mailbox->account->poll_interval / 1000);
    else
        log_debug(&folder->folder.scope, "mail was found that the server had not told of yet");
}

void mailbox_announced(struct mailbox *mailbox)
{
    mailbox->unannounced = 0;
    pace_host_prove_idle(mailbox->host);
}

bool mailbox_trusts_idle(const struct mailbox *mailbox)
{
    return !mailbox->unannounced && pace_host_idle_proven(mailbox->host);
}

void mailbox_notified(struct mailbox *mailbox)
{
    mailbox->unnotified = 0;
    mailbox->notified = true;
}

void mailbox_not_notified(struct mailbox *mailbox, struct mailbox_folder *folder)
{
    if (++mailbox->unnotified == MAILBOX_UNANNOUNCED)
        log_info(&folder->folder.scope, "mail comes that the server does not tell of by NOTIFY: "
                                        "the folder is watched without");
}

bool mailbox_may_notify(const struct mailbox *mailbox)
{
    return mailbox->unnotified < MAILBOX_UNANNOUNCED;
}

bool mailbox_trusts_notify(const struct mailbox *mailbox)
{
    return mailbox->notified && !mailbox->unnotified;
}
