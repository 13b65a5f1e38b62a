/* programs/collector_limits.h: do the mailboxes fit into what the system, and the limits of the
 * configuration, allow? */
#ifndef PROGRAMS_COLLECTOR_LIMITS_H
#define PROGRAMS_COLLECTOR_LIMITS_H

#include "base/err.h"
#include "conf/conf.h"

/* As many files may be open as the system lets us: each connection takes one, and the usual soft
 * limit is 1,024. Fails where that are too few to begin with. */
int limits_raise(struct err *err);
/* Warns, and says what to do, where continuous collecting wants more connections than there can
 * be. */
void limits_check(const struct conf *conf);

#endif
