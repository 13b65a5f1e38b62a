/* collect/watch.h: one connection of an account and the folders it looks after. Internal.
 *
 * One pass: connect, log in, go through the folders, leave. Continuous: the same, but instead of
 * leaving it stays in one folder (its home) and waits there for what is new, in IDLE where it can,
 * else looking from time to time; the other folders it watches by NOTIFY or asks with STATUS.
 *
 *   OFF → QUEUED → CONNECTING → LOGGING_IN → [LISTING] → WORKING → LEAVING  (one pass)
 *             ↑                                  ┌────────→ ↑ ←──────┐
 *             │              [LISTING] ROUND, NOTIFYING     │  IDLING → WAKING, or RESTING
 *             │                                             └────────┘        (continuous)
 *             └──── BACKING_OFF ←── DRAINING ←── any of these, when the connection ends
 *                                      └─→ OVER
 * Invariants:
 *   WORKING: `current` is being opened or worked on, or nothing is in flight and what is next is
 *   decided. IDLING: IDLE is in flight, and nothing else. RESTING: nothing is in flight.
 *   DRAINING: no connection; what is in flight is settled and recorded before it is decided how to
 *   go on. BACKING_OFF, QUEUED, OFF, OVER: nothing of its folders is open.
 * docs/collect.md has it as a picture. */
#ifndef COLLECT_WATCH_H
#define COLLECT_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/num.h"
#include "collect/connection.h"
#include "collect/pace.h"
#include "collect/retry.h"

struct folder;
struct folder_name;
struct mailbox;

enum watch_state {
    WATCH_OFF,
    WATCH_QUEUED, /* for its turn to connect */
    WATCH_CONNECTING,
    WATCH_LOGGING_IN,
    WATCH_LISTING, /* LIST, for special uses */
    WATCH_WORKING,
    WATCH_ROUND,     /* STATUS of the folders that are not open */
    WATCH_NOTIFYING, /* NOTIFY */
    WATCH_IDLING,
    WATCH_WAKING,  /* DONE went out */
    WATCH_RESTING, /* without IDLE: until the next look */
    WATCH_LEAVING,
    WATCH_DRAINING,
    WATCH_BACKING_OFF,
    WATCH_OVER,
};

struct watch {
    struct mailbox *mailbox;
    struct watch *next; /* of the same mailbox */
    bool primary;       /* the mailbox's first, which looks after whatever no other does */
    enum watch_state state;
    struct connection connection;
    struct pace_ticket ticket;
    struct retry retry;
    struct net_timer *timer; /* BACKING_OFF: the next attempt; IDLING, RESTING: the next errand */
    struct net_deferred *step;
    struct mailbox_folder *current; /* open, or being opened; NULL: none */
    struct mailbox_folder *home;    /* NULL: not chosen yet; of a second connection: its only one */
    size_t opened; /* the number of the folder that was opened last, on this connection or before */
    uint32_t command;           /* LIST, NOTIFY or IDLE that is on its way */
    struct folder_name *listed; /* of each folder, and of a move's target, by the LIST on its way */
    msec_t list_at;             /* LIST is worth asking again */
    bool listed_plain;
    bool caught_up;    /* all its folders were looked at on this connection */
    bool notified;     /* NOTIFY stands: other folders are told of */
    bool notified_now; /* … but of what came before it, the round that is under way tells */
    bool notify_refused;
    uint32_t renewal;    /* the next IDLE, which went out with the last one's DONE, until its "+" */
    bool idle_refused;   /* it was announced, but does not work */
    bool idle_stands;    /* the "+" has come */
    bool spread_due;     /* further connections may be of use */
    bool idle_asked;     /* DONE was due to us, not the server's own end of IDLE */
    unsigned idle_short; /* IDLEs in a row that the server ended at once */
    unsigned fruitless;  /* looks in a row, at the server's word, that brought no mail */
    msec_t looked_at;    /* when the last of them was over */
    bool at_word;        /* the look at work is one at the server's word */
    bool yield;          /* somebody waits for this connection */
    bool round;          /* a round is due */
    bool rounding;       /* the LIST on its way is a round's */
    bool stopping;
    bool trouble;      /* the attempt ended with `why` */
    msec_t idle_since; /* when the last IDLE or rest began */
    msec_t refresh_at; /* IDLE is renewed, or the next look taken */
    msec_t sweep_at;   /* everything is looked at, whatever was told */
    msec_t round_at;
    msec_t marks_at;     /* marks that are due are set; 0: none are */
    msec_t logged_in_at; /* on the last connection … */
    msec_t ended_at;     /* … and when it ended */
    msec_t busy_since;   /* the open folder has had work in hand since then; 0: it has none */
    uint64_t delivered;  /* on this connection, as far as told */
    struct err *why;
    msec_t hint;
    bool limited;
};

/* Embedded or on the heap; `mailbox` outlives it. */
void watch_init(struct watch *watch, struct mailbox *mailbox, bool primary);
/* Only when OFF or OVER, or when nothing of its folders is with sink and journal any more. */
void watch_release(struct watch *watch);
/* Begins, from OFF. */
void watch_start(struct watch *watch);
/* Something happened outside the connection (mails settled or recorded, the sink came up, a folder
 * became free): looks at it in this turn of the loop. */
void watch_nudge(struct watch *watch);
/* BACKING_OFF: tries again now, but for what only a person can mend and what the server asked for.
 */
void watch_hurry(struct watch *watch);
/* Is it the server that its connection waits for, and nobody else? */
bool watch_waits(const struct watch *watch);
/* Goes on reading: memory is there for the folder that is open on it. */
void watch_resume(struct watch *watch);
/* Closes the connection; becomes OVER when what is in flight is settled. */
void watch_stop(struct watch *watch, const struct err *why);

#endif
