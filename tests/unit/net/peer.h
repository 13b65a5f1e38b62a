/* Two ends of a connection on one loop, each remembering what happened to it. */
#ifndef TEST_NET_PEER_H
#define TEST_NET_PEER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "net/conn.h"
#include "net/loop.h"

struct stage;

enum peer_event {
    PEER_NONE,
    PEER_READY, /* for the server: accepted */
    PEER_DATA,
    PEER_DRAINED,
    PEER_ENDED,
    PEER_FAILED,
    PEER_SENT,
};

struct peer {
    struct stage *stage;
    struct net_conn *conn;
    struct buf got;
    char log[64]; /* one letter an event, repeated data and drained once: "RdDE" */
    struct err err;

    enum peer_event close_at;                               /* closes itself in this event */
    void (*hook)(struct peer *peer, enum peer_event event); /* after each event */
    struct buf out;                                         /* written bit by bit from `ready` on */
    size_t out_at;
    bool end_after_out;
    bool picky;  /* takes what it is given in random bits, with pauses in between */
    size_t take; /* of each call's bytes at most this many; 0: all */
    unsigned sent;
    size_t sent_tokens[64]; /* the first tokens, in the order of their `sent` */
};

struct stage {
    struct net_loop *loop;
    struct net_listener *listener;
    struct net_timer *watchdog;
    struct net_deferred *resume;
    struct peer client, server;
    bool (*over)(struct stage *stage); /* asked after each event */
    uint32_t random;
    bool timed_out;
};

/* A loop with a listener on 127.0.0.1; `tls` may be NULL. */
void stage_init(struct stage *stage, struct net_tls *tls);
void stage_release(struct stage *stage);
/* The client connects to `host` at the listener's port. */
void stage_connect(struct stage *stage, const char *host, struct net_tls *tls);
void stage_connect_to(struct stage *stage, const struct net_conn_target *target);
const struct net_conn_events *peer_events(void);
/* Runs until `over`; fails the test when nothing comes of it. NULL: until nothing is left that
 * could happen. */
void stage_run(struct stage *stage, bool (*over)(struct stage *stage));
/* Lets what is on its way arrive: some turns without waiting. */
void stage_turns(struct stage *stage);
/* Below `below`, the same in each run. */
uint32_t stage_random(struct stage *stage, uint32_t below);
/* `len` bytes that depend on `seed`. */
void stage_fill(struct buf *buf, size_t len, uint32_t seed);
bool peer_saw(const struct peer *peer, char letter);
void peer_close(struct peer *peer);
void peer_sent(void *ctx, void *token);

bool stage_both_ready(struct stage *stage);
bool stage_client_failed(struct stage *stage);

#endif
