/* programs/collector_options.h: imap-collector's command line. */
#ifndef PROGRAMS_COLLECTOR_OPTIONS_H
#define PROGRAMS_COLLECTOR_OPTIONS_H

#include <stdbool.h>

#include "base/log.h"

/* What is not given stays NULL, false or the default. Strings point into argv. */
struct collector_options {
    const char *feed_config;
    const char *mailbox_config;
    const char *state;
    const char *user;
    const char *authorize; /* an account: nothing else is done */
    bool fetch_all;
    bool delete_after;
    bool continuous;
    bool again;
    bool check;
    bool no_sandbox;
    enum log_level log_level;
    enum log_format log_format;
};

/* Returns true and the options; or false, the program having answered already (help, version, a
 * usage error on standard error), and the exit code to end with. */
bool collector_options_parse(int argc, char **argv, struct collector_options *ret_options,
                             int *ret_exit);

#endif
