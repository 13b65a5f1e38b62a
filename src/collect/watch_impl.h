/* collect/watch_impl.h: the inside of a watch, for watch.c (its life), watch_visit.c (its folders),
 * watch_ask.c (what the server says of folders) and watch_listen.c (waiting for what is new). */
#ifndef COLLECT_WATCH_IMPL_H
#define COLLECT_WATCH_IMPL_H

#include "collect/env.h"
#include "collect/mailbox.h"
#include "collect/watch.h"
#include "net/loop.h"

enum {
    WATCH_SWEEP = 15 * 60 * 1000,
    WATCH_PATIENCE = 5000, /* with a folder whose mails are in flight, while others are wanted */
    WATCH_TOGETHER = 1000, /* what is due within so many ms is done together … */
    WATCH_TOGETHER_FROM = 10 * 1000, /* … if it comes about no more often than this */
    /* A server that tells of news there are none of, so often in a row, is heard once a second. */
    WATCH_FRUITLESS_MAX = 20,
    WATCH_FRUITLESS_PAUSE = 1000,
};

static inline const struct collect_account *watch_account(const struct watch *watch)
{
    return watch->mailbox->account;
}

static inline bool watch_continuous(const struct watch *watch)
{
    return watch->mailbox->env->settings.continuous;
}

static inline msec_t watch_now(const struct watch *watch)
{
    return net_loop_now(watch->mailbox->env->loop);
}

static inline bool watch_has_cap(const struct watch *watch, unsigned cap)
{
    return imap_session_caps(watch->connection.session) & cap;
}

/* The configured folder of this number, if it is this watch that looks after it; else NULL. */
static inline struct mailbox_folder *watch_folder(const struct watch *watch, size_t index)
{
    struct mailbox_folder *folder = &watch->mailbox->folders[index];
    return folder->watch == watch ? folder : NULL;
}

/* watch.c */

void watch_enter(struct watch *watch, enum watch_state state);
/* The span, of which the last eighth is random, so that ten thousand do not do the same in the same
 * moment. */
msec_t watch_spread(msec_t span);
/* When that is due, from `now` on: a little before, at a moment that it shares with others. To wake
 * up for thirty connections takes a quarter of the CPU of waking up thirty times. */
msec_t watch_due(msec_t now, msec_t span);
/* The connection is of no use any more. */
void watch_fail(struct watch *watch, const struct err *err);

/* watch_visit.c */

/* The folder is to be looked at, at least so. */
void watch_want(struct mailbox_folder *folder, enum folder_look look);
/* All its folders are to be looked at: those that were through only behind what was seen. */
void watch_want_all(struct watch *watch);
/* The next folder to be looked at, each in its turn; NULL when there is none. */
struct mailbox_folder *watch_wanted(const struct watch *watch);
/* Is nothing to be done in the folder that is open, if any is? */
bool watch_is_free(const struct watch *watch);
/* May it go to another one? */
bool watch_may_leave(const struct watch *watch);
/* A second connection takes its folder over as soon as the first has left it. */
bool watch_may_claim(const struct watch *watch);
void watch_close_folder(struct watch *watch);
/* Says what the folder's last look brought. */
void watch_tell_folder(struct watch *watch, struct mailbox_folder *folder);
/* Nothing is in flight, and it is WORKING: what is next? */
void watch_next(struct watch *watch);
/* Works on until something is in flight, or all is done. */
void watch_work(struct watch *watch);

/* watch_names.c */

/* Logged in: learns the names of the folders, where that takes a LIST, and begins with them. */
void watch_begin_names(struct watch *watch);
/* Are there special uses whose folder is not known? */
bool watch_needs_list(const struct watch *watch);
void watch_list(struct watch *watch);
/* Forgets a LIST that is not through. */
void watch_drop_list(struct watch *watch);
void watch_list_data(struct watch *watch, const struct imap_response *response);
void watch_listed(struct watch *watch, const struct imap_event *event);

/* watch_ask.c */

/* STATUS of all folders that only it tells of. */
void watch_ask(struct watch *watch);
/* Is there anything that a round (LIST, STATUS) would tell? */
bool watch_needs_round(const struct watch *watch);
void watch_begin_round(struct watch *watch);
/* A STATUS response, asked for or by NOTIFY. */
void watch_status(struct watch *watch, const struct imap_response *response);
/* A STATUS of the round was answered. */
void watch_asked(struct watch *watch, const struct imap_event *event);
bool watch_may_notify(const struct watch *watch);
void watch_ask_notify(struct watch *watch);
void watch_notified(struct watch *watch, const struct imap_event *event);
/* Notifications are not to be had, or no more: STATUS is. */
void watch_lose_notify(struct watch *watch);

/* watch_listen.c */

/* When the server's news may be looked into. */
msec_t watch_news_at(const struct watch *watch);
/* Nothing can be done for now: waits, in IDLE where it can. */
void watch_wait(struct watch *watch);
/* "+" to IDLE. */
void watch_idling(struct watch *watch);
/* In IDLE, or at rest: is there a reason to end it? */
void watch_listen(struct watch *watch);
/* IDLE is over, by our wish or the server's. */
void watch_idled(struct watch *watch, const struct imap_event *event);

#endif
