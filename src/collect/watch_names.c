/* The names of folders: special uses have them from LIST. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "collect/watch_impl.h"

bool watch_needs_list(const struct watch *watch)
{
    const struct mailbox *mailbox = watch->mailbox;
    bool needed = mailbox->target.special && !folder_name_resolved(&mailbox->target);
    for (size_t i = 0; i < mailbox->account->folder_count; i++)
        needed = needed || (mailbox->folders[i].called.special && mailbox->folders[i].watch &&
                            !folder_name_resolved(&mailbox->folders[i].called));
    return needed && watch->primary;
}

static bool watch_has_special(const struct mailbox *mailbox)
{
    bool special = mailbox->target.special;
    for (size_t i = 0; i < mailbox->account->folder_count; i++)
        special = special || mailbox->folders[i].called.special;
    return special;
}

/* The answer goes into names of its own: the old ones are in use until it is whole. */
void watch_list(struct watch *watch)
{
    const struct collect_account *account = watch_account(watch);
    watch_drop_list(watch);
    watch->listed = mem_zalloc((account->folder_count + 1) * sizeof *watch->listed);
    for (size_t i = 0; i < account->folder_count; i++)
        folder_name_init(&watch->listed[i], account->folders[i]);
    if (account->after == COLLECT_AFTER_MOVE)
        folder_name_init(&watch->listed[account->folder_count], account->after_name);
    watch->listed_plain = false;
    watch->list_at = watch_now(watch) + WATCH_SWEEP;
    watch_enter(watch, WATCH_LISTING);
    watch->command = imap_session_list(watch->connection.session, false);
}

void watch_drop_list(struct watch *watch)
{
    for (size_t i = 0; watch->listed && i <= watch_account(watch)->folder_count; i++)
        folder_name_release(&watch->listed[i]);
    free(watch->listed);
    watch->listed = NULL;
}

/* The name stands in the log and the state. A short password may be a part of any name. */
static bool watch_repeats_password(const struct watch *watch, const char *name)
{
    const char *password = watch_account(watch)->password;
    return password && strlen(password) >= 8 && strstr(name, password);
}

void watch_list_data(struct watch *watch, const struct imap_response *response)
{
    for (size_t i = 0; watch->listed && i <= watch_account(watch)->folder_count; i++) {
        struct folder_name *name = &watch->listed[i];
        folder_name_offer(name, response);
        if (name->special && name->name && watch_repeats_password(watch, name->name))
            folder_name_reset(name);
    }
}

/* A special use that LIST does not show keeps the name it had: if that is gone, opening it says so.
 */
static void watch_take_name(const struct watch *watch, const char *configured,
                            struct folder_name *name, struct folder_name *listed)
{
    if (folder_name_take(name, listed))
        log_warning(&watch->mailbox->scope,
                    "the server has marked %d folders as %s, one after the other: no other is "
                    "looked at until a restart; give the folder by its name",
                    FOLDER_NAMES_MOST, configured);
}

static void watch_take_list(struct watch *watch)
{
    struct mailbox *mailbox = watch->mailbox;
    const struct collect_account *account = mailbox->account;
    size_t count = account->folder_count;
    for (size_t i = 0; i < count; i++)
        watch_take_name(watch, account->folders[i], &mailbox->folders[i].called, &watch->listed[i]);
    watch_take_name(watch, account->after_name, &mailbox->target, &watch->listed[count]);
    watch_drop_list(watch);
}

/* A special use may turn out to be a folder that is there by its name, or by another use, as well.
 * One that is in work stays what it is. */
static bool watch_is_twice(const struct watch *watch, size_t index)
{
    const struct mailbox_folder *folders = watch->mailbox->folders, *folder = &folders[index];
    if (!folder->called.special || !folder->called.name || folder->watch != watch ||
        folder->folder.session || !folder_settled(&folder->folder))
        return false;
    for (size_t i = 0; i < watch_account(watch)->folder_count; i++)
        if (i != index && folders[i].watch && folders[i].called.name &&
            (i < index || !folders[i].called.special) &&
            !strcmp(folders[i].called.name, folder->called.name))
            return true;
    return false;
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
    for (size_t i = 0; i < mailbox->account->folder_count; i++)
        if (watch_is_twice(watch, i)) {
            mailbox->folders[i].want = FOLDER_LOOK_NONE;
            mailbox->folders[i].watch = NULL;
        }
}

/* A mail that is moved to where it is found would be found for ever. The configuration has no such
 * names, but special uses get theirs only now. */
static bool watch_moves_round(const struct watch *watch)
{
    const struct mailbox *mailbox = watch->mailbox;
    for (size_t i = 0; i < mailbox->account->folder_count && mailbox->target.name; i++)
        if (mailbox->folders[i].called.name &&
            !strcmp(mailbox->folders[i].called.name, mailbox->target.name))
            return true;
    return false;
}

static void watch_refuse_move(struct watch *watch)
{
    struct err err;
    char safe[100];
    const char *target = watch->mailbox->target.name;
    err_set(&err, ERR_GIVE_UP, "mail would be moved to %s, which is collected itself",
            text_escape_utf8(safe, sizeof safe, target, strlen(target)));
    watch_fail(watch, &err);
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
    if (watch_moves_round(watch)) {
        watch_refuse_move(watch);
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
    }
    /* What LIST said to an earlier connection may not hold any more. */
    if (watch_has_special(mailbox))
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
    watch_take_list(watch);
    watch_begin_folders(watch);
}
