/* sink/sink.h: the contract of an output: takes payloads, tells when the other side has them.
 *
 * A sink keeps a payload only until it is on its way; it never spools. A mail whose delivery did
 * not come to be known is given back as SINK_RETRY, and is fetched again from its mailbox, which
 * is the queue. */
#ifndef SINK_SINK_H
#define SINK_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum sink_outcome {
    SINK_TAKEN,   /* known to be taken by the other side, by the way `confirm` names */
    SINK_RETRY,   /* not known to be taken: offer it again */
    SINK_REFUSED, /* this one will never be taken (the other side drops the connection over it,
                   * and takes others): hold it */
};

/* Calls from the sink; never from inside a call of this header. */
struct sink_events {
    /* Connected, authenticated as far as can be known, and the way of confirmation found out:
     * payloads may be offered. Comes again after each loss. */
    void (*up)(void *ctx);
    /* The connection is lost or could not be made; again for each further attempt that fails. The
     * sink goes on trying by itself, with back-off; when err->action is ERR_GIVE_UP (refused by
     * word: secret, ident, channel; a certificate that is not trusted) only as rarely as its
     * longest pause. What was offered and is not known to be taken settles after it, but what
     * still is on a connection of its own (`confirm: close`) settles when that ends. */
    void (*down)(void *ctx, const struct err *err);
    /* The payload of `token` is with the kernel, its memory free again. */
    void (*sent)(void *ctx, void *token);
    /* What became of `token`: exactly once for each offer (until sink_free()), after `sent` if
     * that came. `err` says why unless it is SINK_TAKEN, then NULL. */
    void (*settled)(void *ctx, void *token, enum sink_outcome outcome, const struct err *err);
};

struct sink;

/* An output implements these; sink_x() below calls them. */
struct sink_ops {
    void (*start)(struct sink *sink);
    void (*offer)(struct sink *sink, struct buf *frame, void *token);
    const char *(*describe)(const struct sink *sink);
    void (*free)(struct sink *sink);
};

/* Embedded as the first member of an implementation. */
struct sink {
    const struct sink_ops *ops;
    const struct sink_events *events;
    void *ctx;
    size_t headroom;    /* bytes an offered frame leaves free at its front */
    size_t max_payload; /* the largest payload that may be offered */
};

/* Begins to connect. Events come from now on. */
static inline void sink_start(struct sink *sink, const struct sink_events *events, void *ctx)
{
    sink->events = events;
    sink->ctx = ctx;
    sink->ops->start(sink);
}

/* Takes the frame's memory (headroom, then payload). Only while up, but an offer made in the turn
 * in which the sink went down is fine: it settles as SINK_RETRY. */
static inline void sink_offer(struct sink *sink, struct buf *frame, void *token)
{
    sink->ops->offer(sink, frame, token);
}

/* In words, for logs and the summary: "hpfeeds 127.0.0.1:10000, confirmed by echo". */
static inline const char *sink_describe(const struct sink *sink)
{
    return sink->ops->describe(sink);
}

/* Drops everything; nothing is settled any more, no event comes. NULL does nothing. */
static inline void sink_free(struct sink *sink)
{
    if (sink)
        sink->ops->free(sink);
}

#endif
