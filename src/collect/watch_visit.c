/* Which folder is open, and which is next. */
#include <stdlib.h>
#include <string.h>

#include "collect/watch_impl.h"

void watch_want(struct mailbox_folder *folder, enum folder_look look)
{
    /* Where UIDs change with each opening, a new one would begin with all mails. */
    if (folder->folder.session && folder->folder.uids_change)
        look = FOLDER_LOOK_NEWS;
    if (folder->want < look)
        folder->want = look;
    folder->heard = false;
}

void watch_want_all(struct watch *watch)
{
    for (size_t i = 0; i < watch_account(watch)->folder_count; i++) {
        struct mailbox_folder *folder = watch_folder(watch, i);
        if (!folder)
            continue;
        bool through = folder->folder.state == FOLDER_CAUGHT_UP;
        bool hopeless =
            folder->folder.state == FOLDER_FAILED && folder->folder.err->action == ERR_GIVE_UP;
        if (watch_continuous(watch))
            watch_want(folder, through ? FOLDER_LOOK_AGAIN : FOLDER_LOOK_ALL);
        else if (!through && !hopeless)
            folder->want = FOLDER_LOOK_ALL;
    }
}

static bool watch_may_visit(const struct watch *watch, const struct mailbox_folder *folder)
{
    return folder->watch == watch && folder->want && folder_name_resolved(&folder->called) &&
           folder_settled(&folder->folder) &&
           (!folder->heard || watch_now(watch) >= watch_news_at(watch));
}

bool watch_is_free(const struct watch *watch)
{
    return !watch->current || folder_through(&watch->current->folder);
}

/* While mails of the open folder wait for nothing but the broker's word, others need not wait with
 * them for ever: what was in flight is settled and recorded without a connection, too. */
bool watch_may_leave(const struct watch *watch)
{
    return watch_is_free(watch) ||
           (watch_continuous(watch) && watch->mailbox->env->sink_up &&
            worklist_empty(&watch->current->folder.work) && watch->busy_since &&
            watch_now(watch) - watch->busy_since >= WATCH_PATIENCE);
}

struct mailbox_folder *watch_wanted(const struct watch *watch)
{
    size_t count = watch_account(watch)->folder_count;
    if (!watch_may_leave(watch))
        return NULL;
    for (size_t i = 1; i <= count; i++) {
        struct mailbox_folder *folder = &watch->mailbox->folders[(watch->opened + i) % count];
        if (watch_may_visit(watch, folder))
            return folder;
    }
    return NULL;
}

void watch_close_folder(struct watch *watch)
{
    struct mailbox_folder *folder = watch->current;
    if (!folder)
        return;
    bool news = folder->folder.news;
    folder_detach(&folder->folder);
    watch->current = NULL;
    watch->busy_since = 0;
    folder->listened = false;
    if (watch_continuous(watch) && !folder_through(&folder->folder))
        watch_want(folder, FOLDER_LOOK_ALL);
    else if (watch_continuous(watch) && news)
        watch_want(folder, FOLDER_LOOK_AGAIN);
    /* What comes before the server has heard that it is left is told of as if it were still open,
     * and can be taken for the next one's: it is asked about. */
    watch->round = watch->round || (watch->notified && folder != watch->home);
    /* A second connection may wait to take it over. */
    for (struct watch *other = watch->mailbox->more; other; other = other->next)
        watch_nudge(other);
}

static void watch_visit(struct watch *watch, struct mailbox_folder *folder)
{
    enum folder_look look = folder->want;
    if (watch->current != folder)
        watch_close_folder(watch);
    watch->at_word = folder->heard || look == FOLDER_LOOK_NEWS;
    folder->want = FOLDER_LOOK_NONE;
    folder->heard = false;
    folder->folder.expect_none = folder->listened;
    folder->listened = false;
    watch_enter(watch, WATCH_WORKING);
    if (watch->current == folder && look == FOLDER_LOOK_NEWS) {
        folder_look_news(&folder->folder);
        return;
    }
    watch->current = folder;
    watch->opened = (size_t)(folder - watch->mailbox->folders);
    folder_open(&folder->folder, watch->connection.session, folder->called.name,
                folder->called.mailbox, watch->mailbox->target.mailbox,
                look == FOLDER_LOOK_NEWS ? FOLDER_LOOK_AGAIN : look);
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
    if (!watch_continuous(watch))
        return;
    /* Perhaps it is another folder by now. The first connection looks for it. */
    folder_name_reset(&folder->called);
    mailbox_take_back(watch->mailbox, watch);
}

void watch_tell_folder(struct watch *watch, struct mailbox_folder *folder)
{
    struct folder *work = &folder->folder;
    char bytes[16];
    if (work->overlooked)
        mailbox_overlooked(folder);
    if (work->unannounced)
        mailbox_unannounced(folder);
    work->overlooked = work->unannounced = 0;
    watch->delivered += work->delivered;
    if (work->delivered && watch_continuous(watch))
        log_info(&work->scope, "%llu delivered, %s", (unsigned long long)work->delivered,
                 num_format_bytes(bytes, sizeof bytes, work->delivered_bytes));
    work->delivered = work->delivered_bytes = 0;
}

/* Looks at the server's word that bring nothing, again and again, wait a moment: see
 * watch_news_at(). */
static void watch_count_fruit(struct watch *watch)
{
    if (watch->current->folder.took_any) {
        watch->fruitless = 0;
    } else if (watch->at_word) {
        watch->fruitless++;
        watch->looked_at = watch_now(watch);
    }
    watch->at_word = false; /* this look is counted */
}

/* The open folder is through. */
static void watch_folder_through(struct watch *watch)
{
    struct mailbox_folder *folder = watch->current;
    watch_tell_folder(watch, folder);
    watch_count_fruit(watch);
    if (folder->folder.state == FOLDER_FAILED) {
        watch_folder_failed(watch);
        return;
    }
    /* One that was not to be had is to be told of as well. */
    if (folder->told) {
        watch->notified = false;
        watch->spread_due = true;
    }
    folder->told = false;
    if (watch_continuous(watch) && folder->folder.news && watch_now(watch) >= watch_news_at(watch))
        watch_want(folder, FOLDER_LOOK_NEWS);
}

bool watch_may_claim(const struct watch *watch)
{
    const struct mailbox_folder *home = watch->home;
    return !watch->primary && home->watch && home->watch != watch && home->watch->current != home &&
           home->folder.state == FOLDER_CAUGHT_UP && folder_settled(&home->folder);
}

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

/* The first one that can be worked on, be it so again. It can do nothing when there is none. */
static bool watch_choose_home(struct watch *watch)
{
    if (!watch->primary)
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

static void watch_catch_up(struct watch *watch)
{
    bool first = !watch->caught_up;
    watch->caught_up = true;
    if (watch->primary && (first || watch->spread_due))
        mailbox_caught_up(watch->mailbox);
    watch->spread_due = false;
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
        folder_name_resolved(&watch->home->called) && folder_settled(&watch->home->folder)) {
        watch->home->want = FOLDER_LOOK_AGAIN;
        watch_visit(watch, watch->home);
    } else if (watch->round) {
        watch->round = false;
        watch_begin_round(watch);
    } else if (watch_may_notify(watch)) {
        watch_ask_notify(watch);
    } else {
        watch_catch_up(watch);
        if (watch->yield)
            watch_leave(watch);
        else
            watch_wait(watch);
    }
}

/* The open folder waits for the broker, or for marks to be gathered. */
static void watch_bide(struct watch *watch)
{
    struct mailbox_folder *wanted;
    if (!watch->busy_since)
        watch->busy_since = watch_now(watch);
    if (watch->current->folder.loads)
        return; /* the state answers at once */
    if (watch->round) {
        watch->round = false;
        watch_begin_round(watch);
    } else if ((wanted = watch_wanted(watch))) {
        watch_visit(watch, wanted);
    } else if (watch->yield && watch_may_leave(watch)) {
        watch_leave(watch);
    } else {
        watch_wait(watch);
    }
}

void watch_next(struct watch *watch)
{
    if (!watch_is_free(watch)) {
        if (watch_continuous(watch))
            watch_bide(watch);
        return;
    }
    watch->busy_since = 0;
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

void watch_work(struct watch *watch)
{
    if (watch->connection.stalled)
        return;
    if (watch->current)
        folder_proceed(&watch->current->folder, true);
    if (!imap_session_pending(watch->connection.session))
        watch_next(watch);
}
