/* broker/broker.h: an hpfeeds broker: accounts, routing, limits, over the net room.
 *
 * A frame is forwarded as it came. The frames of one connection reach each subscriber in their
 * order, and all that came before a client's half-close is routed before its own side is ended:
 * a clean end tells a publisher that its frames were taken, and so does a marker that comes back.
 * With durable subscriptions both wait until what stands before them is on disk. A refused frame,
 * and whatever comes behind it, is answered with ERROR and the end. */
#ifndef BROKER_BROKER_H
#define BROKER_BROKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/num.h"

struct broker;
struct broker_accounts;
struct broker_store;
struct net_listener;
struct net_listen_target;
struct net_loop;
struct net_tls;

/* Those that are pointers outlive the broker. */
struct broker_settings {
    const char *name;      /* told to clients; at most 255 bytes; "hpfeeds"; copied */
    size_t max_frame;      /* of one frame, bytes */
    size_t queue_max;      /* bytes queued for one subscriber … */
    bool drop_oldest;      /* … beyond which the oldest are dropped; else it is cut off */
    size_t memory_max;     /* of all that is queued: beyond it, whoever holds most gives way */
    msec_t auth_deadline;  /* for a stranger to authenticate */
    size_t strangers_max;  /* of one address not authenticated, at a time; 0: any number */
    size_t address_max;    /* connections of one address at a time; 0: any number */
    bool private_channels; /* every identity may use its own confirm.<identity> */
    msec_t settle_after;   /* durable: what a reader's kernel has acknowledged is sent again … */
    size_t settle_bytes;   /* … unless that is longer ago, or so much was acknowledged since, or
                              it ended its connection cleanly */
    struct broker_accounts *accounts;
    struct broker_store *store; /* NULL: no durable subscriptions */
};

/* What holds where nothing else is said; no accounts and no store. */
void broker_settings_init(struct broker_settings *settings);

struct broker *broker_new(struct net_loop *loop, const struct broker_settings *settings);
/* Adds an endpoint; `tls` NULL: plain; a reference is taken. *ret_listener (may be NULL) belongs to
 * the broker. */
int broker_listen(struct broker *broker, const struct net_listen_target *target,
                  struct net_tls *tls, struct net_listener **ret_listener, struct err *err);
/* Appends the broker's figures, as Prometheus reads them. */
void broker_render_metrics(struct broker *broker, struct buf *out);
/* Ends in good order, once: accepts nobody any more, tells every client but the pure subscribers
 * with an ERROR that what it sends now is not taken, sends what is queued, waits for the clients
 * to hang up. Calls `ended` when the last is gone, after `grace` at the latest; broker_free() is
 * the caller's. */
void broker_end(struct broker *broker, msec_t grace, void (*ended)(void *ctx), void *ctx);
/* Ends all connections and endpoints at once. NULL does nothing. */
void broker_free(struct broker *broker);

#endif
