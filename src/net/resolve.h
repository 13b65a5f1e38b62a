/* net/resolve.h: names to addresses. Equal names asked for at the same time are looked up once,
 * and what was found is kept for a minute: ten thousand mailboxes may share one host. */
#ifndef NET_RESOLVE_H
#define NET_RESOLVE_H

#include <stddef.h>

#include "base/err.h"
#include "net/socket.h"
#include "net/task.h"

enum {
    NET_ADDRESSES_MAX = 16, /* more than anyone should try */
};

/* The order is that of RFC 8305 section 4: the resolver's, families interleaved. */
struct net_addresses {
    size_t count;
    union net_address list[NET_ADDRESSES_MAX];
};

/* A question, embedded in whoever asks. */
struct net_lookup {
    struct net_task task; /* links it to its name, then runs it */
    struct net_host *host;
    /* Exactly one of `found` and `err` is not NULL; both are valid during the call only. */
    void (*done)(void *ctx, const struct net_addresses *found, const struct err *err);
    void *ctx;
};

struct net_resolver *net_resolver_new(struct net_loop *loop);
/* No question may be open. A lookup at work is waited for when the loop is freed. */
void net_resolver_free(struct net_resolver *resolver);

/* `done` comes once, from the loop. */
void net_lookup_start(struct net_lookup *lookup, struct net_resolver *resolver, const char *host,
                      void (*done)(void *ctx, const struct net_addresses *found,
                                   const struct err *err),
                      void *ctx);
/* `done` will not come any more. */
void net_lookup_cancel(struct net_lookup *lookup);

/* Puts the families in turn, beginning with that of the first; the order is kept otherwise. */
void net_addresses_interleave(struct net_addresses *addresses);

#endif
