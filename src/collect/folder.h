/* collect/folder.h: one folder of one mailbox: what is in it, what of it is to be delivered, what
 * became of it. Internal.
 *
 *   IDLE → OPENING (SELECT, SEARCH) → LOADING (the state) → WORKING → CAUGHT_UP
 *             └─────────────────────────┴───────────────────┴──→ FAILED
 *   CAUGHT_UP → LOOKING (SEARCH for what is new) → LOADING → WORKING → CAUGHT_UP
 *
 * A folder outlives its connection: mails that are in flight when it breaks are settled, recorded,
 * and only then is the folder opened again (folder_settled()). In CAUGHT_UP nothing of it is in
 * flight, and it holds no more than it needs to know what is new. */
#ifndef COLLECT_FOLDER_H
#define COLLECT_FOLDER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/log.h"
#include "collect/account.h"
#include "collect/fetch.h"
#include "collect/found.h"
#include "collect/marks.h"
#include "collect/worklist.h"
#include "sink/sink.h"
#include "state/state.h"

struct collect_env;
struct mail;

enum folder_state {
    FOLDER_IDLE,
    FOLDER_OPENING,
    FOLDER_LOOKING,
    FOLDER_LOADING,
    FOLDER_WORKING,
    FOLDER_CAUGHT_UP,
    FOLDER_FAILED, /* `err` says why; the connection may still be good for other folders */
};

/* How to look for mail. */
enum folder_look {
    FOLDER_LOOK_NONE,
    FOLDER_LOOK_NEWS,  /* search behind the last known UID */
    FOLDER_LOOK_AGAIN, /* SELECT, then the same: for servers that show new mail only then */
    FOLDER_LOOK_ALL,   /* SELECT, and search the whole folder */
};

/* Who has the connection. */
struct folder_events {
    /* Commands may have been issued, or the folder's state may have changed: look. Never called
     * from inside a folder_x() call that the mailbox made. */
    void (*changed)(void *ctx);
    /* Memory was granted to a folder that had stalled: go on reading. */
    void (*resume)(void *ctx);
};

struct folder {
    struct collect_env *env;
    const struct collect_account *account;
    struct budget_host *host; /* what its host has of the memory */
    struct collect_report *report;
    const struct folder_events *events;
    void *ctx;
    struct log_scope scope;
    char *name; /* in UTF-8: names the folder in state and logs */
    enum folder_state state;
    struct err *err; /* FAILED: why */

    struct imap_session *session; /* NULL without a connection */
    enum folder_look look;        /* the one that is, or was last, at work */
    uint32_t select_command;
    uint32_t search_command;  /* what is to be fetched */
    uint32_t more_command;    /* what else has come while there was work in hand */
    unsigned more_fruitless;  /* of these in a row, found nothing */
    uint32_t present_command; /* what of the known is still there */
    unsigned parts;      /* of the one at work, behind the first: the server limits searches … */
    uint32_t part_below; /* … and the next is for what is below this UID */
    bool search_answered;
    bool search_again;  /* it looked too narrowly: UIDVALIDITY turned out to be another */
    bool search_whole;  /* no limit of the server's cut its result off */
    bool looked_at_all; /* every mail of the folder was among those found */
    bool again;         /* also what is on record is fetched, until all was once … */
    struct imap_uidset sent_again; /* … but for these, which this run has delivered */
    bool flooded;     /* FAILED: the server talks without an end, give the connection up */
    bool uids_change; /* UIDNOTSTICKY (RFC 4315), or no UIDVALIDITY: UIDs mean nothing beyond
                         this opening */
    bool thorough;   /* this look is the first, or the first of a day: held mails are tried again */
    bool holds_told; /* of a first look */
    bool limit_told; /* that the server limits searches */
    bool uidnext_lies;
    uint64_t digest;             /* of what this look found; that of the last whole one … */
    uint64_t settled_digest;     /* … that left nothing to be done; 0: none */
    bool took_any;               /* mail, since the last search began */
    bool news;                   /* the server told of something since the last search began */
    bool expect_none;            /* nothing new should be found: it would have been told */
    uint32_t uidvalidity;        /* 0: it was never opened */
    uint32_t opened_uidvalidity; /* what this opening said so far */
    uint32_t uidnext;            /* as SELECT said; 0: it did not */
    uint64_t next;               /* what is below was looked at; 1 when nothing was */
    uint64_t exists;             /* 0 before … */
    bool counted;                /* … this opening has said how many mails there are */
    uint64_t overlooked;         /* mails that this look found where earlier ones had found none */
    uint64_t unannounced;        /* new ones that should have been told of */
    struct found found;          /* of search_command … */
    struct imap_uidset selected; /* … and all of it, until it is known what is to be done */
    struct found present;        /* of present_command */
    size_t ranges_held;          /* of the room that all folders have for what they found */
    msec_t loaded_at;            /* when all that is on record was last looked at; 0: never */

    struct state_folder known;
    uint32_t *old_used; /* how often each run of equal old hashes was met, at its first index */
    bool known_loaded;
    /* What is left of the last load: above `last_known` nothing is on record, so that new mail need
     * not wait for the disk. */
    int64_t known_id; /* 0: was not loaded under this UIDVALIDITY */
    uint32_t last_known;
    bool had_old;   /* there were hashes of an earlier UIDVALIDITY */
    unsigned loads; /* on their way */

    struct worklist work;
    struct fetch fetch;
    struct marks marks;
    uint64_t delivered; /* since that was last told, as is … */
    uint64_t delivered_bytes;
    bool refusal_told; /* that delivered mails could not be marked */
    size_t in_flight;  /* mails with the sink */
    size_t unrecorded; /* changes with the journal */
};

void folder_init(struct folder *folder, struct collect_env *env,
                 const struct collect_account *account, struct budget_host *host,
                 struct collect_report *report, const struct folder_events *events, void *ctx);
/* Only when folder_settled(). */
void folder_release(struct folder *folder);

/* Opens the folder on a connection that works on no other one, or once more while it is open and
 * CAUGHT_UP, with `look` AGAIN or ALL. `name` is for people and the state, `mailbox` the same as
 * the server writes it, `target` that of the folder mails are moved to, or NULL. Only when
 * folder_settled(). AGAIN becomes ALL when nothing is known of an earlier opening. */
void folder_open(struct folder *folder, struct imap_session *session, const char *name,
                 const char *mailbox, const char *target, enum folder_look look);
/* Searches for what is new, in a folder that is open and CAUGHT_UP. */
void folder_look_news(struct folder *folder);
/* The connection is gone, or is given to another folder. */
void folder_detach(struct folder *folder);
/* Untagged data while this folder is open. False: it stalls for memory: stop reading until
 * `resume`. */
bool folder_data(struct folder *folder, const struct imap_response *response);
/* A command was answered. Returns -1 when the connection is better given up (throttled …). */
int folder_done(struct folder *folder, const struct imap_event *event, struct err *err);
/* Looks for what can be done next: after data and answers, when the sink came up. `may_issue`
 * false: no command may go out now, but what needs none is done. */
void folder_proceed(struct folder *folder, bool may_issue);
/* Sets the marks that are due, be they ever so few: they were gathered for long enough. */
void folder_mark(struct folder *folder);
/* WORKING: is there a command to be issued? `marks` counts those for marks, too, which are better
 * gathered for a while. */
bool folder_has_errand(const struct folder *folder, bool marks);
/* CAUGHT_UP or FAILED. */
bool folder_through(const struct folder *folder);
/* The sink is down or another one: what waits for memory is given up, to be fetched again. */
void folder_sink_down(struct folder *folder);
/* Nothing of it is with the sink or the journal. */
bool folder_settled(const struct folder *folder);

/* For mail.c and marks.c: what became of a mail; a change for the journal (its `folder` is filled
 * in here); a warning in the log. */
void folder_mail_settled(struct folder *folder, struct mail *mail, enum sink_outcome outcome,
                         const struct err *err);
void folder_record(struct folder *folder, const struct state_change *change);
void folder_warn(struct folder *folder, const char *text);
/* For fetch.c: the folder has FAILED; with _give_up() the connection is of no use, either. */
void folder_give_up(struct folder *folder, const char *why);
void folder_fail_later(struct folder *folder, const char *why);
/* For fetch.c: a mail cannot be delivered: record why. `sha256` NULL: it was never read whole. */
void folder_hold(struct folder *folder, uint32_t uid, const uint8_t *sha256, const char *limit,
                 const char *why);
/* For fetch.c: was a mail of this hash delivered under an earlier UIDVALIDITY? Uses one up. */
bool folder_recognise(struct folder *folder, const uint8_t sha256[STATE_SHA256]);
/* For fetch.c: a mail that was taken, now or (STATE_ADD_RECOGNISED) earlier, goes on record: as one
 * to be marked, unless it is to be left as it is. */
void folder_record_taken(struct folder *folder, enum state_change_type type, uint32_t uid,
                         const uint8_t sha256[STATE_SHA256], bool foreign_deleted);
/* From the journal. */
void folder_committed(void *owner, const struct state_change *change);

#endif
