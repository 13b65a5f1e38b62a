/* What the server says of folders that are not open: STATUS and NOTIFY. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/text.h"
#include "collect/watch_impl.h"

/* Is STATUS a way to know of this folder? NOTIFY does not change that: it may tell of some mail,
 * and not of other. Dovecot tells of what came by itself, not of what a mail system puts into a
 * Maildir. */
static bool watch_asks(const struct watch *watch, const struct mailbox_folder *folder)
{
    return folder->watch == watch && folder != watch->current &&
           folder_name_resolved(&folder->called);
}

/* Where NOTIFY tells, asking is to make sure. */
static msec_t watch_round_span(const struct watch *watch)
{
    const struct collect_account *account = watch_account(watch);
    bool told = watch->notified && mailbox_trusts_notify(watch->mailbox);
    return told && account->idle_refresh > account->poll_interval ? account->idle_refresh
                                                                  : account->poll_interval;
}

static bool watch_list_is_due(const struct watch *watch)
{
    return watch_needs_list(watch) && watch_now(watch) >= watch->list_at;
}

bool watch_needs_round(const struct watch *watch)
{
    bool needed = watch_list_is_due(watch);
    for (size_t i = 0; i < watch_account(watch)->folder_count; i++)
        needed = needed || watch_asks(watch, &watch->mailbox->folders[i]);
    return needed;
}

static void watch_round_over(struct watch *watch)
{
    watch->notified_now = false;
    watch_enter(watch, WATCH_WORKING);
    watch_next(watch);
}

void watch_ask(struct watch *watch)
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

void watch_begin_round(struct watch *watch)
{
    watch->round_at = watch_due(watch_now(watch), watch_round_span(watch));
    watch->rounding = true;
    if (watch_list_is_due(watch))
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

/* Is there anything in the folder that was not looked at? What was said before needs no second
 * look. */
static bool watch_is_changed(struct mailbox_folder *folder, const struct imap_response *said)
{
    bool changed;
    if (said->has_uidvalidity && said->uidvalidity != folder->folder.uidvalidity &&
        said->uidvalidity != folder->status_uidvalidity)
        changed = true;
    else if (said->has_uidnext)
        changed = said->uidnext > folder->folder.next && said->uidnext != folder->status_uidnext;
    else
        changed = said->has_messages && said->messages != folder->status_messages;
    folder->status_uidnext = said->uidnext;
    folder->status_uidvalidity = said->uidvalidity;
    folder->status_messages = said->messages;
    return changed;
}

/* There is news of a folder that is not open. Who told? During a round it may have been either. */
static void watch_heard(struct watch *watch, struct mailbox_folder *folder,
                        const struct imap_response *said)
{
    if (!watch->notified || said->uidvalidity != folder->folder.uidvalidity)
        return;
    if (watch->state != WATCH_ROUND)
        mailbox_notified(watch->mailbox);
    else if (!watch->notified_now)
        mailbox_not_notified(watch->mailbox, folder);
    if (!mailbox_may_notify(watch->mailbox))
        watch_lose_notify(watch);
}

void watch_status(struct watch *watch, const struct imap_response *response)
{
    struct mailbox_folder *folder = watch_find(watch, response->name);
    if (watch->mailbox->env->settings.check && watch->mailbox->report.check) {
        watch->mailbox->report.check->messages += response->messages;
        watch->mailbox->report.check->unseen += response->unseen;
        return;
    }
    /* A pass asks for no STATUS, and looks at each folder once. */
    if (!watch_continuous(watch) || !folder || folder == watch->current)
        return;
    if (!watch_is_changed(folder, response))
        return;
    watch_heard(watch, folder, response);
    folder->listened = false;
    bool heard = !folder->want || folder->heard;
    watch_want(folder, FOLDER_LOOK_AGAIN);
    folder->heard = heard;
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

void watch_asked(struct watch *watch, const struct imap_event *event)
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
    if (!imap_session_pending(watch->connection.session))
        watch_round_over(watch);
}

static bool watch_has_others(const struct watch *watch)
{
    for (size_t i = 0; i < watch_account(watch)->folder_count; i++)
        if (watch_folder(watch, i) && watch_folder(watch, i) != watch->home &&
            watch_folder(watch, i)->folder.state == FOLDER_CAUGHT_UP)
            return true;
    return false;
}

bool watch_may_notify(const struct watch *watch)
{
    return watch->primary && !watch->notified && !watch->notify_refused &&
           watch_has_cap(watch, IMAP_CAP_NOTIFY) && mailbox_may_notify(watch->mailbox) &&
           watch_has_others(watch);
}

void watch_ask_notify(struct watch *watch)
{
    size_t count = 0;
    const char **names = mem_zalloc(watch_account(watch)->folder_count * sizeof *names);
    /* All of them: which one is open changes. */
    for (size_t i = 0; i < watch_account(watch)->folder_count; i++) {
        const struct mailbox_folder *folder = watch_folder(watch, i);
        if (folder && folder->folder.state == FOLDER_CAUGHT_UP)
            names[count++] = folder->called.mailbox;
    }
    watch->command = imap_session_notify(watch->connection.session, names, count);
    free(names);
    watch_enter(watch, WATCH_NOTIFYING);
}

void watch_lose_notify(struct watch *watch)
{
    watch->notified = false;
    watch->notify_refused = true;
    watch->spread_due = true;
    watch->round_at = watch_now(watch);
    for (size_t i = 0; i < watch_account(watch)->folder_count; i++)
        if (watch_folder(watch, i) && watch_folder(watch, i) != watch->current)
            watch_folder(watch, i)->listened = false;
}

/* What came between the look at a folder and NOTIFY, STATUS tells; from then on NOTIFY does. */
void watch_notified(struct watch *watch, const struct imap_event *event)
{
    watch_enter(watch, WATCH_WORKING);
    if (event->status != IMAP_OK) {
        watch_lose_notify(watch);
        watch_next(watch);
        return;
    }
    watch_ask(watch);
    watch->notified = watch->notified_now = true;
    for (size_t i = 0; i < watch_account(watch)->folder_count; i++)
        if (watch_folder(watch, i))
            watch_folder(watch, i)->listened = true;
}
