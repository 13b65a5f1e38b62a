/* programs/collector_clerk.h: the process that reads the configuration, its secrets and
 * certificates, runs the commands that give passwords and tokens, and keeps refresh tokens.
 *
 * It is started before the collector gives up the right to do any of that, and knows these requests
 * only: to read all of it again, from the files that the command line names; and, of one account of
 * what was read, to run its token_command, or to read or replace its refresh token. Whoever takes
 * the collector over can ask for these and for nothing else. Each time a child of the clerk's own
 * does it, so that requests do not wait for each other, the clerk holds no secret, and the
 * collector sees no more than what came of it. */
#ifndef PROGRAMS_COLLECTOR_CLERK_H
#define PROGRAMS_COLLECTOR_CLERK_H

#include <stdbool.h>

#include "base/err.h"
#include "conf/conf.h"
#include "programs/collector_options.h"
#include "token/deed.h"

struct clerk;

/* Before there are threads, and before the fences. `options` must outlive it. `directory`: of
 * refresh tokens that have no file of their own, as in collector_tokens.h; NULL: none. */
int clerk_start(const struct collector_options *options, const char *directory,
                struct clerk **ret_clerk, struct err *err);
/* As conf_load(). Blocks, for as long as commands take; on one thread at a time. There is one
 * configuration at a time, too: clerk_forget() it before the next. */
int clerk_load(struct clerk *clerk, struct conf **ret_conf, struct conf_problems *ret_problems);
/* What was loaded last is in use: deeds are done for its accounts only. Before, also for those of
 * the one that was in use until then. Not while something is loaded. */
void clerk_taken(struct clerk *clerk);
/* On any thread: a load that goes on ends soon, with an error. Else nothing happens. */
void clerk_cancel(struct clerk *clerk);
/* Wipes what was loaded last. NULL does nothing. */
void clerk_forget(struct clerk *clerk);
/* Does what tokens need, for accounts by their tokens_key(). Valid as long as the clerk. */
struct token_doer clerk_doer(struct clerk *clerk);
/* After a SIGCHLD: whether it has ended, which it should not. Said once. All that can be asked of
 * it fails from then on. */
bool clerk_gone(struct clerk *clerk);
/* Ends it, when what it does has ended. No load or deed may go on. NULL does nothing. */
void clerk_stop(struct clerk *clerk);

#endif
