/* programs/collector_clerk.h: the process that reads the configuration, its secrets and
 * certificates, and runs the commands that give passwords.
 *
 * It is started before the collector gives up the right to do any of that, and knows one request
 * only: to read all of it again, from the files that the command line names. Whoever takes the
 * collector over can ask for that and for nothing else. Each time a child of the clerk's own does
 * it, so that the clerk holds no secret and the collector sees no more than what came of it. */
#ifndef PROGRAMS_COLLECTOR_CLERK_H
#define PROGRAMS_COLLECTOR_CLERK_H

#include "base/err.h"
#include "conf/conf.h"
#include "programs/collector_options.h"

struct clerk;

/* Before there are threads, and before the fences. `options` must outlive it. */
int clerk_start(const struct collector_options *options, struct clerk **ret_clerk, struct err *err);
/* As conf_load(). Blocks, for as long as commands take; on one thread at a time. There is one
 * configuration at a time, too: clerk_forget() it before the next. */
int clerk_load(struct clerk *clerk, struct conf **ret_conf, struct conf_problems *ret_problems);
/* On any thread: a load that goes on ends soon, with an error. Else nothing happens. */
void clerk_cancel(struct clerk *clerk);
/* Wipes what was loaded last. NULL does nothing. */
void clerk_forget(struct clerk *clerk);
/* Ends it. No load may go on. NULL does nothing. */
void clerk_stop(struct clerk *clerk);

#endif
