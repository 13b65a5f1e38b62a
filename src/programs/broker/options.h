/* broker/options.h: what the broker is told on its command line and in its file. */
#ifndef DAEMON_OPTIONS_H
#define DAEMON_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "broker/broker.h"
#include "broker/endpoint.h"

enum {
    DAEMON_EXIT_FAILED = 1,
    DAEMON_EXIT_USAGE = 64,
    DAEMON_EXIT_CONFIG = 78,
};

struct conf_broker;

struct daemon_durable {
    char *ident;
    char *channel;
};

struct daemon_options {
    struct conf_broker *file; /* what --config names; other fields point into it */
    struct broker_endpoint *endpoints;
    size_t endpoint_count;
    const char *bind;
    const char *tls_cert; /* of --bind and of passed sockets */
    const char *tls_key;
    const char **auths; /* at least one */
    size_t auth_count;
    bool has_exporter;
    struct broker_endpoint exporter;
    struct broker_settings broker;
    struct daemon_durable *durable;
    size_t durable_count;
    const char *store; /* where durable subscriptions are kept; set when there are any */
    uint64_t store_limit;
    bool store_drop_oldest;
    const char *user; /* to become; NULL: nobody else */
    bool no_sandbox;
    enum log_level log_level;
    enum log_format log_format;
};

enum daemon_auth {
    DAEMON_AUTH_ENV,
    DAEMON_AUTH_JSON,
    DAEMON_AUTH_SQLITE, /* and what follows, are databases */
    DAEMON_AUTH_DATABASE,
};

/* What an --auth means, and its file; NULL: it has none. */
enum daemon_auth daemon_auth_parse(const char *auth, const char **ret_path);

/* 0: go on; -1: help or the version was shown; else the exit code, told. `sockets`: how many were
 * passed, so that none need be named. */
int daemon_options_parse(struct daemon_options *options, int argc, char **argv, int sockets);
void daemon_options_release(struct daemon_options *options);

#endif
