/* An output that keeps what it is given, and behaves as a test wants. */
#ifndef TEST_COLLECT_FAKE_SINK_H
#define TEST_COLLECT_FAKE_SINK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/num.h"
#include "net/loop.h"
#include "sink/sink.h"

struct fake_offer;

struct fake_sink {
    struct sink sink; /* first */
    struct net_loop *loop;
    bool down;           /* from the start, or by fake_sink_lose() */
    bool holds;          /* nothing is settled until fake_sink_let_go() */
    msec_t slow;         /* it takes one mail each so many ms */
    const char *refuses; /* mails with this in them; NULL: none */

    struct net_deferred *tell;
    struct net_timer *timer;
    struct fake_offer *offers; /* not settled yet */
    size_t waiting, waiting_most;
    size_t bytes, bytes_most; /* of these */
    char **offered_bodies;    /* in the order of their being offered */
    size_t offered;
    msec_t settled_at; /* the last one */
    char **taken;      /* bodies, in the order of their being taken */
    size_t taken_count;
    bool told_up;
    bool freed; /* by its owner: only what was taken is left */
};

/* For payloads as they are in the mail (PAYLOAD_RAW). */
void fake_sink_init(struct fake_sink *fake, struct net_loop *loop);
/* After sink_free(): ready for another owner; what was taken is still known. */
void fake_sink_renew(struct fake_sink *fake);
/* sink_free() may come before it. */
void fake_sink_release(struct fake_sink *fake);
/* What it holds settles. */
void fake_sink_let_go(struct fake_sink *fake);
/* The connection is lost: what is not settled goes back. */
void fake_sink_lose(struct fake_sink *fake);
void fake_sink_return(struct fake_sink *fake);
/* How often it took this very mail. */
size_t fake_sink_taken(const struct fake_sink *fake, const char *body);
/* How many mails were offered before this one; SIZE_MAX: it was not. */
size_t fake_sink_place(const struct fake_sink *fake, const char *body);

#endif
