/* programs/collector_reload.h: loads the configuration once more, on a thread beside the loop, as
 * commands that give passwords take their time. */
#ifndef PROGRAMS_COLLECTOR_RELOAD_H
#define PROGRAMS_COLLECTOR_RELOAD_H

#include "programs/collector_clerk.h"

struct net_loop;
struct reload;

/* Comes on the loop. `conf` is valid during the call; NULL: the files have errors. */
typedef void reload_loaded_fn(void *ctx, const struct conf *conf,
                              const struct conf_problems *problems);

/* `options` and the clerk, which loads it, must outlive it. */
struct reload *reload_new(struct net_loop *loop, const struct collector_options *options,
                          struct clerk *clerk, reload_loaded_fn *loaded, void *ctx);
/* Begins to load. While one load is on its way it is abandoned for the new one: the files may have
 * been changed since it read them. */
void reload_request(struct reload *reload);
/* Ends what is on its way, commands too; nothing comes of it. NULL does nothing. */
void reload_free(struct reload *reload);

#endif
