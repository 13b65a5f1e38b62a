/* sink/tuning.h: the times and sizes the hpfeeds sink works with, settable by its tests. */
#ifndef SINK_TUNING_H
#define SINK_TUNING_H

#include <stddef.h>
#include <stdint.h>

#include "base/num.h"
#include "sink/hpfeeds.h"

struct sink_hpfeeds_tuning {
    msec_t connect_deadline; /* resolving, connecting and the TLS handshake */
    msec_t info_deadline;    /* from there to the broker's INFO */
    msec_t backoff_first;    /* the pause after a first failure, doubled … */
    msec_t backoff_most;     /* … up to this; also the pause after ERR_GIVE_UP */
    msec_t stable;           /* a connection that lived this long was a good one */
    msec_t check_rest;       /* how long a login must stay unquestioned to be believed */
    msec_t stall;            /* no progress for this long with mails in flight: lost */
    msec_t poll;             /* how often the kernel is asked what the peer acknowledged */

    msec_t probe_interval;  /* echo: between two markers of the probe */
    msec_t probe_limit;     /* echo: no marker came back after this: no echo here */
    msec_t marker_interval; /* echo: at least so long from one marker to the next, but … */
    size_t marker_mails;    /* … at most so many mails … */
    size_t marker_bytes;    /* … or bytes between two */

    msec_t quiet;       /* close: a batch is sealed when no mail came for this long … */
    msec_t gather;      /* … or when its first mail came this long ago … */
    size_t batch_mails; /* … or when it holds so many mails … */
    size_t batch_bytes; /* … or bytes */
    size_t batches;     /* close: batches (connections) at once */

    /* Told of each pause before it begins; may be NULL. */
    void (*pausing)(void *ctx, msec_t pause);
    void *pausing_ctx;
};

extern const struct sink_hpfeeds_tuning sink_hpfeeds_tuning_default;

struct sink *sink_hpfeeds_new_tuned(struct net_loop *loop,
                                    const struct sink_hpfeeds_settings *settings,
                                    const struct sink_hpfeeds_tuning *tuning);

#endif
