/* sink/publisher.h: one connection to an hpfeeds broker, logged in.
 *
 * A good login gets no answer: `ready` only says that AUTH is on its way. */
#ifndef SINK_PUBLISHER_H
#define SINK_PUBLISHER_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/num.h"
#include "hpfeeds/frame.h"
#include "net/tls.h"

struct net_loop;
struct publisher;
struct sink_mail;

/* Owned by the sink, and outlives its publishers. */
struct publisher_settings {
    char *host;
    uint16_t port;
    struct net_tls *tls;
    char *ident;
    char *secret;
    char **channels;
    size_t channel_count;
    size_t headroom; /* in a mail's block, in front of the payload */
    size_t frame_max;
    msec_t connect_deadline;
    msec_t info_deadline;
};

/* How a connection came to its end. */
enum publisher_end {
    PUBLISHER_ENDED,     /* the broker ended its side cleanly */
    PUBLISHER_REFUSED,   /* the broker sent an ERROR frame */
    PUBLISHER_PUT_OFF,   /* the same, for now only: it goes down, or its disk is full */
    PUBLISHER_BROKEN,    /* reset, unreachable, a protocol error … */
    PUBLISHER_TIMED_OUT, /* nothing moved; never from the publisher itself */
};

/* No event comes from inside a call of this header. publisher_close() may be called in each. */
struct publisher_events {
    void (*ready)(void *ctx);
    /* A PUBLISH came; valid during the call. May be NULL. */
    void (*message)(void *ctx, const struct hpfeeds_frame *frame);
    /* All of the mail, on all channels, is with the kernel. */
    void (*sent)(void *ctx, struct sink_mail *mail);
    /* The last event: all that is left is publisher_close(). The broker's words are escaped. */
    void (*gone)(void *ctx, enum publisher_end how, const struct err *err);
};

struct publisher *publisher_open(struct net_loop *loop, const struct publisher_settings *settings,
                                 const struct publisher_events *events, void *ctx);
/* NULL does nothing. */
void publisher_close(struct publisher *publisher);

/* From `ready` on. Publishes the mail's payload on every channel and lets go of its block. The
 * mail outlives the publisher, or its `sent`. */
void publisher_publish(struct publisher *publisher, struct sink_mail *mail);
void publisher_subscribe(struct publisher *publisher, const char *channel);
/* A small message of our own. */
void publisher_say(struct publisher *publisher, const char *channel, const void *data, size_t len);
/* Half-closes behind all that was written. */
void publisher_end(struct publisher *publisher);

/* Bytes the peer's kernel has not acknowledged yet, those that are still queued included. */
size_t publisher_unacknowledged(const struct publisher *publisher);
/* Positions in the stream: what the kernel has, and what the peer's kernel has acknowledged. */
uint64_t publisher_written(const struct publisher *publisher);
uint64_t publisher_acknowledged(const struct publisher *publisher);

#endif
