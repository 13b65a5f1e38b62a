/* broker/hub.h: what the clients of a broker share; the broker owns it. Internal. */
#ifndef BROKER_HUB_H
#define BROKER_HUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/num.h"
#include "broker/broker.h"
#include "broker/channels.h"
#include "broker/metrics.h"

struct broker_client;
struct broker_reading;
struct net_deferred;
struct net_loop;
struct net_timer;

/* How many connections a network has. */
struct broker_address {
    size_t connections;
    size_t strangers; /* of these not authenticated */
};

struct broker_hub {
    struct net_loop *loop;
    struct broker_settings settings;
    struct broker_channels channels;
    struct broker_metrics metrics;
    struct broker_map addresses;     /* network to struct broker_address */
    struct broker_client *clients;   /* all of them, a list */
    struct broker_client *waiting;   /* those that wait for the store, a list */
    struct broker_reading *readings; /* of durable subscriptions, a list */
    struct net_deferred *reaper;     /* scheduled when a client is finished or the last has gone */
    struct net_timer *acknowledged;  /* runs while a reader has not acknowledged all */
    size_t held;                     /* bytes that are queued, or of frames that are not whole */

    msec_t talk_since; /* refusals are logged up to a number a time */
    unsigned talk_count;
    unsigned talk_silent;
};

/* May one more refusal be logged? Tells how many were not. */
bool broker_hub_may_talk(struct broker_hub *hub);
/* Counts a connection from there; false, and told: there are too many already. */
bool broker_hub_admit(struct broker_hub *hub, const char *network);
/* One of a network was authenticated, or is gone. */
void broker_hub_leave(struct broker_hub *hub, const char *network, bool stranger, bool gone);
/* What it holds of its own; all clients must have left. */
void broker_hub_release(struct broker_hub *hub);

#endif
