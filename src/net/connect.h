/* net/connect.h: one TCP connection to whichever of several addresses answers first, as RFC 8305
 * section 5 has it: the next address is tried after 250 ms or at the first failure, the earlier
 * attempts go on meanwhile. */
#ifndef NET_CONNECT_H
#define NET_CONNECT_H

#include <stdint.h>

#include "base/err.h"
#include "net/resolve.h"

struct net_loop;
struct net_connect;

/* `done` comes once, from the loop: with a connected descriptor that is now the callee's and the
 * address it leads to, or with -1 and `err`. Afterwards the net_connect is gone. `host` is for
 * messages. The addresses are copied. */
struct net_connect *net_connect_start(
    struct net_loop *loop, const struct net_addresses *addresses, const char *host, uint16_t port,
    void (*done)(void *ctx, int fd, const union net_address *address, const struct err *err),
    void *ctx);
/* Closes all attempts; `done` will not come. NULL does nothing. */
void net_connect_cancel(struct net_connect *connect);

#endif
