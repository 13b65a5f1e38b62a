/* collect/collector.h: collects from many mailboxes at the same time into one sink.
 *
 *   mailbox (connection) → folder (what is to be fetched) → payload → sink → journal → marks
 *
 * One pass: every mailbox is opened once, what is new in it delivered, recorded and marked.
 * Continuous: mailboxes stay open, new mail is delivered when it comes, until collector_stop(). A
 * mailbox's trouble stays its own; the sink's or the state's trouble is everybody's. */
#ifndef COLLECT_COLLECTOR_H
#define COLLECT_COLLECTOR_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/num.h"
#include "collect/account.h"
#include "collect/pace.h"
#include "payload/payload.h"
#include "sink/sink.h"
#include "state/state.h"

struct net_loop;
struct collector;

struct collector_settings {
    bool continuous;
    bool fetch_all; /* all messages of a folder, not only unseen ones */
    bool again;     /* also those on record as delivered */
    bool check;     /* log in and look only: nothing is fetched, sent or changed */
    enum payload_format payload;
    const struct pace_rule *rules; /* of hosts; copied */
    size_t rule_count;
    size_t memory_budget;       /* bytes of mail in memory */
    size_t in_flight_max;       /* mails offered to the sink and not on record: bounds duplicates */
    unsigned connections_max;   /* one pass: at a time */
    msec_t step_deadline;       /* for each answer of a server */
    msec_t sink_patience_first; /* one pass: for the sink to come up at the start … */
    msec_t sink_patience;       /* … and to come back during the pass */
};

/* The numbers above as they are meant to be used; rules and switches left empty. */
void collector_settings_init(struct collector_settings *settings);

enum collector_outcome {
    COLLECTOR_ALL_DONE,     /* every mailbox is COLLECT_DONE */
    COLLECTOR_SOME_FAILED,  /* see the reports */
    COLLECTOR_SINK_FAILED,  /* the sink could not be reached, or refused us */
    COLLECTOR_STATE_FAILED, /* the state could not be written */
    COLLECTOR_STOPPED,      /* by collector_stop() */
};

/* Called once, when it is over. The collector may be freed in it. */
typedef void collector_finished_fn(void *ctx, enum collector_outcome outcome,
                                   const struct err *err);

/* Without accounts at first. The sink belongs to the collector from now on; it may be NULL with
 * settings->check. The state is to be freed after the collector. */
struct collector *collector_new(struct net_loop *loop, const struct collector_settings *settings,
                                struct sink *moved_sink, struct state *state,
                                collector_finished_fn *finished, void *ctx);
/* These are the accounts from now on; they are copied. What is there by the same label and equal
 * (collect_account_equal()) goes on undisturbed, but for what waits to be tried again: that is
 * tried now; what differs is ended and begun anew; what is new is begun, what is missing ended.
 * Labels are unique. */
void collector_set_accounts(struct collector *collector, const struct collect_account *accounts,
                            size_t count);
/* Replaces the hosts' rules, the memory budget, or the sink (what it has not confirmed goes to the
 * new one; no effect while it ends, when it waits for that). Continuous only. */
void collector_set_rules(struct collector *collector, const struct pace_rule *rules, size_t count);
void collector_set_memory(struct collector *collector, size_t memory_budget);
void collector_set_sink(struct collector *collector, struct sink *moved_sink,
                        enum payload_format payload);
/* Brings the sink up, then begins with the mailboxes. */
void collector_start(struct collector *collector);
/* Ends early: what is on its way to the sink and not confirmed stays in its mailbox, unmarked.
 * `finished` comes with COLLECTOR_STOPPED. */
void collector_stop(struct collector *collector);
/* NULL does nothing. */
void collector_free(struct collector *collector);

/* The accounts in their order, and their reports, live. Valid until the next
 * collector_set_accounts() or return to the loop. */
size_t collector_count(const struct collector *collector);
const struct collect_account *collector_account(const struct collector *collector, size_t index);
const struct collect_report *collector_report(const struct collector *collector, size_t index);
/* What mailboxes that are not there any more had done: mails count that were delivered. */
struct collect_counts {
    uint64_t found, delivered, held, bytes; /* as in the reports */
};
struct collect_counts collector_gone(const struct collector *collector);
/* Is the sink up? And its words, for people. */
bool collector_sink_up(const struct collector *collector, const char **ret_describe);
/* Can deliveries be put on record? Else no mail is marked, and that is tried again all the time. */
bool collector_state_written(const struct collector *collector);

#endif
