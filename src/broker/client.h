/* broker/client.h: one connection of a client: authenticated, obeyed, refused, seen off. */
#ifndef BROKER_CLIENT_H
#define BROKER_CLIENT_H

#include <stddef.h>

#include "broker/broker.h"
#include "broker/channels.h"

struct broker_client;
struct net_conn;
struct net_deferred;

/* What the clients of a broker share; the broker owns it. */
struct broker_hub {
    struct broker_settings settings;
    struct broker_channels channels;
    struct broker_client *clients; /* all of them, a list */
    struct net_deferred *reaper;   /* scheduled when a client is finished or the last has gone */
};

/* Takes over an accepted connection and greets it. The client frees itself when its connection
 * is over. */
void broker_client_new(struct broker_hub *hub, struct net_conn *conn);
/* The reaper's work: closes the clients that are finished. */
void broker_client_reap(struct broker_hub *hub);
/* The broker goes: see broker_end(). */
void broker_client_dismiss(struct broker_client *client);
struct broker_client *broker_client_next(const struct broker_client *client);
/* Closes the connection at once. */
void broker_client_free(struct broker_client *client);

#endif
