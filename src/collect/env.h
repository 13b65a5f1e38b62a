/* collect/env.h: what all mailboxes of a collector share. Internal to the room. */
#ifndef COLLECT_ENV_H
#define COLLECT_ENV_H

#include <stdbool.h>
#include <stddef.h>

#include "collect/collector.h"

struct budget;
struct folder;
struct deriver;
struct pace;
struct journal;
struct mail;

struct collect_env {
    struct net_loop *loop;
    struct collector_settings settings;
    struct sink *sink;
    struct pace *pace;
    struct budget *budget; /* NULL until the sink has been up once */
    struct journal *journal;
    struct deriver *deriver;
    struct state_proofs proofs; /* how accounts logged in last, enum imap_proof */
    bool sink_up;
    bool recording;     /* a delivery was put on record in this run */
    struct mail *mails; /* in flight */
    size_t ranges_held; /* of what searches found, by all folders that have many, but for … */
    const struct folder *overfull; /* … the one that has more than its share; NULL: none has */
    char hold_limit[40];           /* names the limit under which mails are held: "json:1048576" */
};

#endif
