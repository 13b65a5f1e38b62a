/* feed/link.h: one connection to a broker, from the name lookup to its end. */
#ifndef FEED_LINK_H
#define FEED_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "hpfeeds/frame.h"

struct block;
struct feed_link;
struct net_loop;
struct net_tls;

struct feed_target {
    const char *host;
    uint16_t port;
    struct net_tls *tls; /* NULL: plain */
    const char *ident;
    const char *secret;
    size_t frame_max; /* of a frame from the broker */
};

enum feed_end {
    FEED_END_ERROR,  /* the broker said ERROR: `text` is what it said */
    FEED_END_CLEAN,  /* the broker ended its side */
    FEED_END_FAILED, /* the connection did not come about, broke, the peer speaks no hpfeeds, or the
                      * broker said ERROR and that it may be tried again later */
    FEED_END_TRUST,  /* failed in a way that does not pass, as a certificate that is not trusted */
};

struct feed_link_events {
    /* INFO came and AUTH is queued: frames may follow. */
    void (*ready)(void *ctx);
    /* False: no more messages, please; the owner closes the link soon. May be NULL. */
    bool (*message)(void *ctx, const struct hpfeeds_frame *frame);
    /* What came in one piece is worked off. May be NULL. */
    void (*caught_up)(void *ctx);
    /* All that was queued is with the kernel. */
    void (*drained)(void *ctx);
    /* Called once, last of all. `text` is one line, escaped; it may close the link. */
    void (*over)(void *ctx, enum feed_end end, const char *text);
};

/* Begins to connect. The target outlives the link; events come from the loop only. */
struct feed_link *feed_link_open(struct net_loop *loop, const struct feed_target *target,
                                 const struct feed_link_events *events, void *ctx);
/* Queues frames; the buffer is empty afterwards. */
void feed_link_send(struct feed_link *link, struct buf *moved);
/* The same of a block: the reference is taken over. */
void feed_link_send_block(struct feed_link *link, struct block *moved);
/* Half-closes after all that is queued. */
void feed_link_end(struct feed_link *link);
/* From `ready` on: its end is a reset, also when the process is killed, unless all that came was
 * worked off when feed_link_close() was called. A broker that keeps what its subscriber has not had
 * knows by it. */
void feed_link_guard(struct feed_link *link);
/* From `message`: what came behind it waits until the loop has looked at all else. */
void feed_link_rest(struct feed_link *link);
/* Bytes that the peer's kernel has not acknowledged. */
size_t feed_link_pending(const struct feed_link *link);
/* NULL does nothing. */
void feed_link_close(struct feed_link *link);
/* The same, and what came last was not worked off. */
void feed_link_break(struct feed_link *link);

#endif
