/* collect/retry.h: when a connection that failed is tried again. Internal; reads no clock.
 *
 * One pass: three attempts in a row without progress, twenty in all, and none for what a person
 * has to mend or for a server that wants to be left alone for longer. Continuous: for ever, from
 * seconds to a quarter of an hour apart (a minute, if all that was there is collected each time);
 * what a person has to mend about once an hour, as accounts
 * get locked; a server's hint is honoured. */
#ifndef COLLECT_RETRY_H
#define COLLECT_RETRY_H

#include <stdbool.h>

#include "base/err.h"
#include "base/num.h"

struct retry {
    unsigned in_a_row; /* attempts that failed without progress */
    unsigned all;
};

/* What came of an attempt. */
struct retry_attempt {
    enum err_action action;
    bool progressed; /* it stood for a while, or delivered something */
    bool caught_up;  /* all that was there is collected */
    bool limited;    /* the server spoke of a limit, or of being unavailable */
    msec_t hint;     /* the pause it asked for; 0: none */
};

/* An attempt failed. True: try again after *ret_pause. */
bool retry_next(struct retry *retry, bool continuous, const struct retry_attempt *attempt,
                msec_t *ret_pause);

#endif
