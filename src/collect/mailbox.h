/* collect/mailbox.h: one account: its folders, and the connections that watch them. Internal.
 *
 * The first connection goes through all folders. When it is through, in continuous collecting, and
 * the server has no NOTIFY, further connections (up to the account's max_connections) take one
 * folder each off it; what is left it asks about with STATUS in turn. */
#ifndef COLLECT_MAILBOX_H
#define COLLECT_MAILBOX_H

#include <stdbool.h>
#include <stddef.h>

#include "collect/account.h"
#include "collect/folder.h"
#include "collect/names.h"
#include "collect/watch.h"

struct collect_env;
struct derived_key;

/* One configured folder. */
struct mailbox_folder {
    struct mailbox *mailbox;
    struct folder_name called;
    struct folder folder;
    struct watch *watch;     /* which looks after it; NULL: nobody, it is there twice */
    bool listened;           /* what came since the last look was told of */
    enum folder_look want;   /* it is to be looked at so … */
    bool heard;              /* … for no other reason than the server's word */
    uint32_t status_command; /* STATUS on its way; 0: none */
    uint32_t status_uidnext, status_uidvalidity, status_messages; /* as last said; 0: not */
    bool told;                                                    /* that it cannot be worked on */
};

struct mailbox {
    struct collect_env *env;
    struct collect_account *account; /* owned */
    struct collect_report report;
    struct pace_host *host;
    struct log_scope scope;
    struct log_share said; /* all its folders' lines too */
    void (*finished)(void *ctx);
    void *ctx;
    struct mailbox_folder *folders; /* account->folder_count of them */
    struct folder_name target;      /* of a move */
    struct derived_key *key;        /* see connection.h; shared by its connections */
    struct watch first;
    struct watch *more;   /* further connections */
    unsigned unannounced; /* looks since IDLE last told that found what it had not told of */
    bool renews_apart;    /* a connection ended while IDLE was renewed in one piece */
    unsigned unnotified;  /* the same of NOTIFY and folders that are not open */
    bool notified;        /* NOTIFY has told of mail */
    bool stopping;
    struct net_timer *minute; /* in a pass; else NULL */
    uint64_t waited;          /* minutes of it, for nothing but the server */
    struct err *told;         /* the trouble that was told last, in the log … */
    msec_t told_at;
    bool telling; /* … and that it is over was not */
};

/* Takes over the account (a copy). `finished` is called once, from the loop, when it is DONE or
 * FAILED. */
struct mailbox *mailbox_new(struct collect_env *env, struct collect_account *moved_account,
                            void (*finished)(void *ctx), void *ctx);
/* Only when it was never started, or finished, or nothing of it is with sink and journal any
 * more. NULL does nothing. */
void mailbox_free(struct mailbox *mailbox);
void mailbox_start(struct mailbox *mailbox);
/* What waits to be tried again is tried now. */
void mailbox_hurry(struct mailbox *mailbox);
/* The sink came up, went down, or is another one. */
void mailbox_sink_changed(struct mailbox *mailbox);
/* Closes the connections; finishes when what is in flight is settled: in a pass as FAILED with
 * `why`, else as it was. */
void mailbox_stop(struct mailbox *mailbox, const struct err *why);

/* For watch.c. */

/* The first connection is through with all folders. */
void mailbox_caught_up(struct mailbox *mailbox);
/* A watch has no connection any more: its folders are the first one's again. */
void mailbox_take_back(struct mailbox *mailbox, struct watch *watch);
/* Does any folder of it have mail in flight, or unrecorded changes? */
bool mailbox_settled(const struct mailbox *mailbox, const struct watch *watch);
/* An attempt failed, and is followed by another in `pause` ms. `progressed`: it had got as far as
 * it is to get. */
void mailbox_retrying(struct mailbox *mailbox, const struct watch *watch, const struct err *err,
                      bool progressed, msec_t pause);
/* It is OVER, well (NULL) or not. */
void mailbox_watch_over(struct mailbox *mailbox, struct watch *watch, const struct err *err);
/* IDLE told of mail. */
void mailbox_announced(struct mailbox *mailbox);
/* A look found mail that was overlooked before; or mail that IDLE should have told of. */
void mailbox_overlooked(const struct mailbox_folder *folder);
void mailbox_unannounced(const struct mailbox_folder *folder);
/* NOTIFY told of mail in a folder that is not open. */
void mailbox_notified(struct mailbox *mailbox);
/* A folder that is not open had mail that NOTIFY had not told of. */
void mailbox_not_notified(struct mailbox *mailbox, struct mailbox_folder *folder);
/* Or does that happen so often that NOTIFY is better given up? */
bool mailbox_may_notify(const struct mailbox *mailbox);
/* Are IDLE, and NOTIFY for the folders that are not open, relied upon? */
bool mailbox_trusts_idle(const struct mailbox *mailbox);
bool mailbox_trusts_notify(const struct mailbox *mailbox);

#endif
