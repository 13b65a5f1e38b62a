/* broker/fences.h: what the broker needs of the machine while it serves. */
#ifndef DAEMON_FENCES_H
#define DAEMON_FENCES_H

#include "programs/broker/options.h"

/* The first fence (fence/fence.h): from now on it may read the directories of its accounts and
 * certificates, as what is in them may be replaced, and write in those of its store, which is
 * there, and of its databases, as SQLite makes files beside them. Before there are threads. What
 * the kernel lacks is logged, and is no reason not to serve. */
void daemon_fences_files(const struct daemon_options *options);
/* The second: it listens, and needs no other call than those of serving. */
void daemon_fences_calls(void);

#endif
