/* broker/broker.h: an hpfeeds broker: accounts, routing, limits, over the net room. */
#ifndef BROKER_BROKER_H
#define BROKER_BROKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct broker;
struct broker_accounts;
struct net_loop;
struct net_tls;

struct broker_settings {
    const char *name;                 /* told to clients; "hpfeeds" */
    size_t max_frame;                 /* of one frame, bytes */
    size_t queue_max;                 /* bytes queued for one subscriber before it is cut off */
    bool private_channels;            /* every identity may use its own confirm.<identity> */
    struct broker_accounts *accounts; /* owned by the caller, outlives the broker */
};

struct broker *broker_new(struct net_loop *loop, const struct broker_settings *settings);
/* Adds an endpoint; `tls` NULL: plain. *ret_port (may be NULL) is the port bound. */
int broker_listen(struct broker *broker, const char *host, uint16_t port, struct net_tls *tls,
                  uint16_t *ret_port, struct err *err);
/* Ends all connections and endpoints. NULL does nothing. */
void broker_free(struct broker *broker);

#endif
