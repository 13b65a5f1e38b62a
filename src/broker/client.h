/* broker/client.h: one connection of a client: authenticated, obeyed, refused, seen off. */
#ifndef BROKER_CLIENT_H
#define BROKER_CLIENT_H

#include "broker/hub.h"

struct broker_account;
struct err;
struct net_conn;

/* Takes over a connection that was admitted and accepted, and greets it. The client frees itself
 * when its connection is over. */
void broker_client_new(struct broker_hub *hub, struct net_conn *conn);
/* The reaper's work: closes the clients that are finished. */
void broker_client_reap(struct broker_hub *hub);
/* The broker goes: see broker_end(). */
void broker_client_dismiss(struct broker_client *client);
struct broker_client *broker_client_next(const struct broker_client *client);
/* Adds what it holds to the counts of its identity; a stranger has none. */
void broker_client_measure(struct broker_client *client);
/* "writer", and whose it is; NULL before it is authenticated. */
const struct broker_account *broker_client_account(const struct broker_client *client,
                                                   const char **ret_ident);
/* What stands before this in a client's connection is on disk, or could not be put there. */
void broker_client_store_durable(struct broker_hub *hub);
void broker_client_store_failed(struct broker_hub *hub, uint64_t from, const struct err *err);
/* The hub's timer: what have the readers of durable subscriptions acknowledged? */
void broker_reading_check(struct broker_hub *hub);
/* Closes the connection at once. */
void broker_client_free(struct broker_client *client);

#endif
