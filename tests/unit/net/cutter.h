/* A proxy in the loop of a test that cuts one connection: behind a certain byte of all that it
 * passes on. Before and after that it changes nothing: bytes, ends and resets go through. */
#ifndef TEST_NET_CUTTER_H
#define TEST_NET_CUTTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/num.h"

struct net_loop;
struct net_listener;
struct cutter_link;

enum cutter_way {
    CUTTER_END,    /* both sides are ended cleanly (of TLS, in mid-record) */
    CUTTER_RESET,  /* both are reset */
    CUTTER_FREEZE, /* both stay open, and nothing goes through any more */
};

enum cutter_side {
    CUTTER_TO_CLIENT,
    CUTTER_TO_SERVER,
};

/* The connection over which byte number `after` of those to `side` goes is cut behind it; 0: the
 * first connection is cut when it is there. */
struct cutter_cut {
    enum cutter_side side;
    enum cutter_way way;
    uint64_t after;
};

struct cutter {
    struct net_loop *loop;
    struct net_listener *listener;
    uint16_t port; /* where it listens */
    uint16_t target;
    struct cutter_cut cut; /* UINT64_MAX bytes at first: never */
    uint64_t passed[2];    /* to each side */
    struct cutter_link *links;
    size_t open;                /* connections of clients that these have not ended */
    bool done;                  /* it was cut … */
    msec_t cut_at, left_at;     /* … then, and ended by its client then; 0: it was not */
    void (*cutting)(void *ctx); /* called when it is cut; may be NULL */
    void *cutting_ctx;
};

/* On 127.0.0.1, in front of port `target` there. */
void cutter_init(struct cutter *cutter, struct net_loop *loop, uint16_t target);
void cutter_release(struct cutter *cutter);

#endif
