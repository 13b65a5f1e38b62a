/* collect/fetch.h: asks for sizes and bodies, and takes in the mail that is being received.
 * Internal to the room; part of a folder. */
#ifndef COLLECT_FETCH_H
#define COLLECT_FETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/num.h"
#include "collect/budget.h"
#include "imap/session.h"
#include "payload/payload.h"

struct folder;

/* Commands in flight, for sizes and for bodies each: no round trip is waited for. */
enum {
    FETCH_COMMANDS = 4,
    FETCH_BROKEN = 16, /* mails that are remembered */
};

/* The "limit" of held mails over which the server broke the protocol. */
extern const char FETCH_LIMIT_BROKEN[];

struct fetch {
    struct folder *folder;
    struct payload_encoder *encoder; /* while bodies come */
    struct budget_waiter waiter;
    size_t reserved;    /* for the body in hand */
    uint64_t announced; /* its size; 0: not known beforehand */
    bool has_slot;
    unsigned strays;    /* bodies that nobody asked for */
    unsigned barren;    /* mails in a row that were asked for and did not come */
    bool left_out;      /* since the last search one was */
    unsigned refused;   /* mails that the server would not give out, beyond those that it gave */
    unsigned pardons;   /* how often they were forgotten … */
    msec_t pardoned_at; /* … and when, the last time */
    bool nameless;      /* a body came without a UID */
    bool careful; /* the server broke the protocol, nobody knows over which mail: one at a time */
    uint32_t broken[FETCH_BROKEN]; /* the last mails over which it did: not asked for again */
    unsigned broken_count;
    bool have_body; /* a whole body, waiting for its FETCH to name it */
    bool discard;   /* the body in hand cannot be delivered now: it is read and dropped, so that
                       the connection stays alive */
    bool wide;      /* one grew beyond what there was: the most that they can become is reserved */
    struct buf frame;
    struct payload_result result;
    uint32_t size_commands[FETCH_COMMANDS]; /* on their way; 0: free */
    uint32_t body_commands[FETCH_COMMANDS];
};

void fetch_init(struct fetch *fetch, struct folder *folder);
/* Drops the body in hand and all reservations. */
void fetch_reset(struct fetch *fetch);
/* Nothing is to be fetched for now: keeps no memory for it. */
void fetch_rest(struct fetch *fetch);
/* The server broke the protocol in the midst of a FETCH, and the connection is gone; `named` is the
 * mail that it was about, if not 0. If it is known which one it was, it is held; else the next
 * connection asks for one mail at a time, to find it. To be called before fetch_reset(). */
void fetch_broke(struct fetch *fetch, uint32_t named, const char *why);
/* Did it do so over this mail in this run? */
bool fetch_is_broken(const struct fetch *fetch, uint32_t uid);
/* Issues what may be issued now. */
void fetch_next(struct fetch *fetch);
/* BODY_BEGIN, BODY_DATA, BODY_END, FETCH. False: stalls for memory. */
bool fetch_data(struct fetch *fetch, const struct imap_response *response);
/* The sink is down: what is being received, or waits for memory, is dropped, and will be fetched
 * again. */
void fetch_sink_down(struct fetch *fetch);
/* Was `event` the answer to one of its commands? Then 1 (or -1: give the connection up); else 0. */
int fetch_done(struct fetch *fetch, const struct imap_event *event, struct err *err);

#endif
