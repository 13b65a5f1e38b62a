/* programs/collector_live.h: what goes on beside continuous collecting: the service manager is
 * kept informed, a summary is logged every hour, SIGHUP reloads the configuration. */
#ifndef PROGRAMS_COLLECTOR_LIVE_H
#define PROGRAMS_COLLECTOR_LIVE_H

#include "collect/collector.h"
#include "conf/conf.h"
#include "programs/collector_clerk.h"
#include "programs/collector_options.h"
#include "programs/collector_tls.h"
#include "programs/collector_tokens.h"

struct net_loop;
struct live;

/* The collector was made from `conf`, and is started by the caller. `options`, the clerk, `tokens`
 * and the collector outlive it; `moved_store` belongs to it from now on. `hung_up`: the terminal it
 * was started from is gone. */
struct live *live_new(struct net_loop *loop, const struct collector_options *options,
                      struct clerk *clerk, struct collector *collector, const struct conf *conf,
                      struct tls_store *moved_store, struct tokens *tokens,
                      void (*hung_up)(void *ctx), void *ctx);
/* It is about to end: no more reloads. Twice is once. */
void live_stopping(struct live *live);
/* NULL does nothing. */
void live_free(struct live *live);

#endif
