/* feed/feed.h: what the parts of the hpfeeds command share. */
#ifndef FEED_FEED_H
#define FEED_FEED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/num.h"
#include "programs/feed/link.h"

enum {
    FEED_EXIT_FAILED = 1, /* refused, a wrong hash, a file that cannot be read or written */
    FEED_EXIT_USAGE = 64,
    /* EX_TEMPFAIL: no connection, it was lost before the confirmation, or the broker said that it
     * may be tried again later */
    FEED_EXIT_UNREACHABLE = 75,
};

struct feed_options {
    struct feed_target target;
    const char **channels;
    size_t channel_count;
    char *const *args; /* behind the action */
    size_t arg_count;

    msec_t retry; /* how long an unreachable broker is tried again; 0: not at all */

    /* publish, sendfile */
    bool
        json; /* payloads are mails, to be sent as JSON with their hash; in subscribe: JSON lines */

    /* subscribe */
    const char *output;  /* a folder for payloads, or NULL */
    const char *maildir; /* an archive for mails, or NULL */
    const char *command; /* run for each message, or NULL */
    bool mail;           /* payloads hold mails */
    bool raw;            /* bytes to standard output in place of lines */
    bool confirm;        /* ask the broker whether it has the subscriptions */
    uint64_t count;      /* end after so many messages; 0: never; of bench: how many are sent */

    /* bench */
    size_t size; /* of a payload */
    uint64_t subscribers;
    uint64_t idle; /* connections that do nothing */
};

/* Each runs until it is done and returns the exit code. */
int feed_publish(const struct feed_options *options);
int feed_sendfile(const struct feed_options *options);
int feed_subscribe(const struct feed_options *options);
int feed_bench(const struct feed_options *options);

#endif
