/* programs/collector_authorize.h: --authorize: a refresh token by the device flow (RFC 8628). */
#ifndef PROGRAMS_COLLECTOR_AUTHORIZE_H
#define PROGRAMS_COLLECTOR_AUTHORIZE_H

#include "conf/conf.h"

/* Gets a refresh token for the mailbox of this label or username and stores it where the collector
 * looks for it; says on standard output what the person is to do. `directory`: as in
 * collector_tokens.h. Returns the program's exit code. */
int authorize_run(const struct conf *conf, const char *account, const char *directory);

#endif
