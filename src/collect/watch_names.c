/* The names of folders: special uses have them from LIST. */
#include <string.h>

#include "collect/watch_impl.h"

bool watch_needs_list(const struct watch *watch)
{
    const struct mailbox *mailbox = watch->mailbox;
    bool needed = mailbox->target.special && !folder_name_resolved(&mailbox->target);
    for (size_t i = 0; i < mailbox->account->folder_count; i++)
        needed = needed || !folder_name_resolved(&mailbox->folders[i].called);
    return needed && watch->primary;
}

void watch_list(struct watch *watch)
{
    watch->listed_plain = false;
    watch_enter(watch, WATCH_LISTING);
    watch->command = imap_session_list(watch->connection.session, false);
}

void watch_list_data(struct watch *watch, const struct imap_response *response)
{
    struct mailbox *mailbox = watch->mailbox;
    for (size_t i = 0; i < mailbox->account->folder_count; i++)
        folder_name_offer(&mailbox->folders[i].called, response);
    folder_name_offer(&mailbox->target, response);
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

void watch_begin_names(struct watch *watch)
{
    struct mailbox *mailbox = watch->mailbox;
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

void watch_listed(struct watch *watch, const struct imap_event *event)
{
    if (event->status != IMAP_OK && !watch->listed_plain) {
        watch->listed_plain = true;
        watch->command = imap_session_list(watch->connection.session, true);
        return;
    }
    watch_begin_folders(watch);
}
