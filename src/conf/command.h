/* conf/command.h: runs a command for what it writes: a password manager, or what gives an access
 * token.
 *
 * No shell, nothing on standard input, a session of its own, so that it can't ask the terminal,
 * and so that all of it can be ended when its time is over. */
#ifndef CONF_COMMAND_H
#define CONF_COMMAND_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/num.h"

enum {
    CONF_COMMAND_TIME_LIMIT = 30000, /* ms */
    CONF_COMMAND_OUTPUT_MOST = 64 << 10,
};

/* One command, filled in by the caller; then what came of it. */
struct conf_command {
    const char *words; /* the arguments, a NUL behind each */
    size_t words_len;
    const char *directory; /* where it runs; NULL: here */

    struct buf out;  /* its standard output; the caller releases it, wiped */
    struct buf err;  /* likewise */
    int start_error; /* errno: it could not be started */
    int status;      /* as of waitpid() */
    bool timed_out;  /* or it was cancelled */
    bool too_much;   /* more output than the limit; ended for that */
};

/* Runs all of them, a few at a time, each for `time_limit` at most, and returns when all have
 * ended. Blocks; touches no signal handler and no other child. Once *cancelled is true (NULL: it
 * never is), those that run are ended and no more are started. */
void conf_command_run(struct conf_command *commands, size_t count, msec_t time_limit,
                      const atomic_bool *cancelled);
/* What went wrong, with what it said on standard error, fit to be shown and without any line of its
 * output: "failed with exit status 1: no such key". The caller frees it; NULL: nothing did. Once.
 */
char *conf_command_trouble(struct conf_command *command);
/* Wipes and frees what it wrote. */
void conf_command_release(struct conf_command *command);

#endif
