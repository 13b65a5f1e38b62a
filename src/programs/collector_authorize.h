/* programs/collector_authorize.h: --authorize: a refresh token by the device flow (RFC 8628). */
#ifndef PROGRAMS_COLLECTOR_AUTHORIZE_H
#define PROGRAMS_COLLECTOR_AUTHORIZE_H

#include "conf/conf.h"
#include "programs/collector_clerk.h"
#include "programs/collector_options.h"

/* Gets a refresh token for the mailbox that `options` name by its label or username, and has the
 * clerk store it where the collector looks for it; says on standard output what the person is to
 * do. `conf` is what the clerk has loaded; it is forgotten, and the fences are up, before anything
 * is contacted. `directory`: as in collector_tokens.h. Returns the program's exit code. */
int authorize_run(const struct collector_options *options, struct clerk *clerk,
                  const struct conf *conf, const char *directory);

#endif
