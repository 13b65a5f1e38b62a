/* collect/collector.h: collects from many mailboxes at the same time into one sink.
 *
 *   mailbox (connection) → folder (what is to be fetched) → payload → sink → journal → marks
 *
 * One pass: every mailbox is opened once, what is new in it delivered, recorded and marked. A
 * mailbox's trouble stays its own; the sink's or the state's trouble is everybody's. */
#ifndef COLLECT_COLLECTOR_H
#define COLLECT_COLLECTOR_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/num.h"
#include "collect/account.h"
#include "payload/payload.h"
#include "sink/sink.h"
#include "state/state.h"

struct net_loop;
struct collector;

struct collector_settings {
    const struct collect_account *accounts;
    size_t account_count;
    bool fetch_all; /* all messages of a folder, not only unseen ones */
    bool again;     /* also those on record as delivered */
    bool check;     /* log in and look only: nothing is fetched, sent or changed */
    enum payload_format payload;
    size_t memory_budget;       /* bytes of mail in memory */
    size_t in_flight_max;       /* mails offered to the sink and not on record: bounds duplicates */
    size_t connections_max;     /* mailboxes worked on at a time */
    msec_t step_deadline;       /* for each answer of a server */
    msec_t sink_patience_first; /* for the sink to come up at the start … */
    msec_t sink_patience;       /* … and to come back during the pass */
};

/* The numbers above as they are meant to be used; accounts and switches left empty. */
void collector_settings_init(struct collector_settings *settings);

enum collector_outcome {
    COLLECTOR_ALL_DONE,     /* every mailbox is COLLECT_DONE */
    COLLECTOR_SOME_FAILED,  /* see the reports */
    COLLECTOR_SINK_FAILED,  /* the sink could not be reached, or refused us */
    COLLECTOR_STATE_FAILED, /* the state could not be written */
    COLLECTOR_STOPPED,      /* by collector_stop() */
};

/* Called once, when the pass is over. The collector may be freed in it. */
typedef void collector_finished_fn(void *ctx, enum collector_outcome outcome,
                                   const struct err *err);

/* Settings are copied, but what they point to must outlive the collector. `sink` may be NULL with
 * settings->check. */
struct collector *collector_new(struct net_loop *loop, const struct collector_settings *settings,
                                struct sink *sink, struct state *state,
                                collector_finished_fn *finished, void *ctx);
/* Brings the sink up, then begins with the mailboxes. */
void collector_start(struct collector *collector);
/* Ends early: what is on its way to the sink and not confirmed stays in its mailbox, unmarked.
 * `finished` comes with COLLECTOR_STOPPED. */
void collector_stop(struct collector *collector);
/* The sink must have been freed before, the state is to be freed afterwards. NULL does nothing. */
void collector_free(struct collector *collector);

/* The report of account `index`, live. */
const struct collect_report *collector_report(const struct collector *collector, size_t index);

#endif
