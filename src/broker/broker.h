/* broker/broker.h: an hpfeeds broker: accounts, routing, limits, over the net room.
 *
 * A frame is forwarded as it came. The frames of one connection reach each subscriber in their
 * order, and all that came before a client's half-close is routed before its own side is ended:
 * a clean end tells a publisher that its frames were taken. A refused frame, and whatever comes
 * behind it, is answered with ERROR and the end. */
#ifndef BROKER_BROKER_H
#define BROKER_BROKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/num.h"

struct broker;
struct broker_accounts;
struct net_loop;
struct net_tls;

struct broker_settings {
    const char *name;                 /* told to clients; at most 255 bytes; "hpfeeds" */
    size_t max_frame;                 /* of one frame, bytes */
    size_t queue_max;                 /* bytes queued for one subscriber before it is cut off */
    bool private_channels;            /* every identity may use its own confirm.<identity> */
    struct broker_accounts *accounts; /* owned by the caller, outlives the broker */
};

/* The name is copied. */
struct broker *broker_new(struct net_loop *loop, const struct broker_settings *settings);
/* Adds an endpoint; `tls` NULL: plain; a reference is taken. *ret_port (may be NULL) is the port
 * bound. */
int broker_listen(struct broker *broker, const char *host, uint16_t port, struct net_tls *tls,
                  uint16_t *ret_port, struct err *err);
/* Ends in good order, once: accepts nobody any more, tells every client but the pure subscribers
 * with an ERROR that what it sends now is not taken, sends what is queued, waits for the clients
 * to hang up. Calls `ended` when the last is gone, after `grace` at the latest; broker_free() is
 * the caller's. */
void broker_end(struct broker *broker, msec_t grace, void (*ended)(void *ctx), void *ctx);
/* Ends all connections and endpoints at once. NULL does nothing. */
void broker_free(struct broker *broker);

#endif
