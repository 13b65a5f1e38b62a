/* conf/broker.h: the broker's YAML file, made into one validated, constant struct. The keys and
 * their meaning are in docs/broker.md. */
#ifndef CONF_BROKER_H
#define CONF_BROKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/num.h"
#include "conf/conf.h"

struct conf_endpoint {
    char *text; /* as on the command line; else NULL, and the rest counts */
    bool tls;
    char *interface; /* "": all addresses */
    uint16_t port;
    char *device; /* NULL: any */
    char *cert;   /* of tls: PEM files */
    char *key;
};

struct conf_durable {
    char *ident;
    char *channel;
};

/* What is not written is NULL, 0 or false, unless it says otherwise. */
struct conf_broker {
    struct conf_endpoint *endpoints;
    size_t endpoint_count;
    char **auths; /* as --auth */
    size_t auth_count;
    char *exporter;
    char *name;
    uint64_t max_frame;
    uint64_t max_queue;
    uint64_t max_memory;
    bool drop_oldest; /* slow_subscribers: drop-oldest */
    msec_t auth_timeout;
    bool has_strangers, has_address_max;
    uint64_t max_unauthenticated; /* per address */
    uint64_t max_connections;     /* per address */
    bool no_private_channels;
    char *cert; /* of sockets that are passed, and speak TLS */
    char *key;  /* set when `cert` is */
    char *user;
    bool no_sandbox;
    struct conf_durable *durable;
    size_t durable_count;
    char *store;
    uint64_t store_limit;
    bool store_drop_oldest; /* store_full: drop-oldest */
    char *log_level;
    char *log_format;
};

/* As conf_load(): 0, or -1 and at least one error; *ret_problems is always set. */
int conf_broker_load(const char *path, struct conf_broker **ret_broker,
                     struct conf_problems *ret_problems);
/* NULL does nothing. */
void conf_broker_free(struct conf_broker *broker);

#endif
