#include "collect/collector.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "collect/budget.h"
#include "collect/deriver.h"
#include "collect/env.h"
#include "collect/folder.h"
#include "collect/journal.h"
#include "collect/mail.h"
#include "collect/mailbox.h"
#include "net/loop.h"

enum {
    COLLECTOR_LARGEST = 8,
    COLLECTOR_MEMORY = 64 << 20,
    COLLECTOR_IN_FLIGHT = 4000,
    COLLECTOR_IN_FLIGHT_FIRST = 64, /* until the first delivery is on record */
    COLLECTOR_CONNECTIONS = 80,     /* of one pass: 64 of a single host, see share.h */
    COLLECTOR_LOGINS = 256,         /* between connect and login at a time */
    COLLECTOR_STEP_DEADLINE = 120000,
    COLLECTOR_SINK_PATIENCE_FIRST = 15000,
    COLLECTOR_SINK_PATIENCE = 60000,
    COLLECTOR_STOP_PATIENCE = 3000,
    COLLECTOR_TELL_AGAIN = 3600 * 1000, /* trouble that goes on is told again */
    COLLECTOR_FRUITLESS = 5, /* losses of the sink in a row with no mail taken between them */
    COLLECTOR_VAIN = 2,      /* so many, after mail was sent: its coming up is no news any more */
};

/* One account, while its mailbox lives. */
struct collector_entry {
    struct collector *collector;
    struct mailbox *mailbox;
    struct collect_account *successor; /* takes its place when it has ended; NULL: none */
    bool started;
    bool finished;
    bool leaving; /* it is not among the accounts any more */
};

struct collector {
    struct collect_env env;
    struct state *state;
    collector_finished_fn *finished;
    void *ctx;
    struct collector_entry **entries; /* in the accounts' order … */
    size_t count;
    struct collector_entry **leaving; /* … and those that are on their way out */
    size_t leaving_count;
    struct collect_counts gone; /* of those that were freed */
    size_t next;                /* those before it were started */
    size_t running;             /* started and not finished */
    bool started;               /* the sink has been up once */
    bool over;                  /* `finished` was called, or is about to be */
    enum collector_outcome outcome;
    struct err why;
    struct err *state_err; /* why the state cannot be written for now; NULL: it can */
    bool stopping;         /* mailboxes are being stopped; then it is over */
    unsigned fruitless;    /* how often the sink was lost since it last took a mail … */
    unsigned vain;         /* … and how often of these after mail was sent */
    bool tried;            /* mail was sent since it came up, or took one */
    char *told;            /* the trouble with the sink that was told last; NULL: there is none */
    msec_t told_at;
    struct net_timer *patience;
    struct net_deferred *finish;
    struct net_deferred *reap;
};

void collector_settings_init(struct collector_settings *settings)
{
    *settings = (struct collector_settings){
        .memory_budget = COLLECTOR_MEMORY,
        .in_flight_max = COLLECTOR_IN_FLIGHT,
        .connections_max = COLLECTOR_CONNECTIONS,
        .step_deadline = COLLECTOR_STEP_DEADLINE,
        .sink_patience_first = COLLECTOR_SINK_PATIENCE_FIRST,
        .sink_patience = COLLECTOR_SINK_PATIENCE,
    };
}

/* --- its end -----------------------------------------------------------------------------------
 */

static void collector_finish(void *ctx)
{
    struct collector *collector = ctx;
    collector->finished(collector->ctx, collector->outcome, &collector->why);
}

static void collector_over(struct collector *collector, enum collector_outcome outcome)
{
    if (collector->over)
        return;
    collector->over = true;
    collector->outcome = outcome;
    net_timer_stop(collector->patience);
    net_deferred_schedule(collector->finish);
}

static enum collector_outcome collector_result(const struct collector *collector)
{
    for (size_t i = 0; i < collector->count; i++)
        if (collector->entries[i]->mailbox->report.phase != COLLECT_DONE)
            return COLLECTOR_SOME_FAILED;
    return COLLECTOR_ALL_DONE;
}

static void collector_start_entry(struct collector_entry *entry)
{
    entry->started = true;
    entry->collector->running++;
    mailbox_start(entry->mailbox);
}

/* Starts the mailboxes; ends when there is nothing left. */
static void collector_fill(struct collector *collector)
{
    const struct collector_settings *settings = &collector->env.settings;
    while (collector->started && !collector->stopping && collector->next < collector->count) {
        struct collector_entry *entry = collector->entries[collector->next++];
        if (!entry->started)
            collector_start_entry(entry);
    }
    if (collector->running)
        return;
    if (collector->stopping)
        collector_over(collector, collector->outcome);
    else if (collector->started && !settings->continuous)
        collector_over(collector, collector_result(collector));
}

/* Ends early: connections are closed now; what is in flight may still settle for a moment. */
static void collector_end(struct collector *collector, enum collector_outcome outcome,
                          const struct err *why)
{
    if (collector->stopping || collector->over)
        return;
    struct err kept = *why;
    collector->stopping = true;
    collector->outcome = outcome;
    collector->why = kept;
    for (size_t i = 0; i < collector->count; i++)
        if (collector->entries[i]->started)
            mailbox_stop(collector->entries[i]->mailbox, &kept);
        else
            err_keep(&collector->entries[i]->mailbox->report.err, &kept);
    if (collector->running)
        net_timer_start(collector->patience, COLLECTOR_STOP_PATIENCE);
    else
        collector_over(collector, outcome);
}

/* What keeps these mailboxes from being through. */
static void collector_name_cause(struct collector *collector, const struct err *err)
{
    for (size_t i = 0; i < collector->count; i++)
        if (!collector->entries[i]->finished)
            err_keep(&collector->entries[i]->mailbox->report.err, err);
}

static void collector_out_of_patience(void *ctx)
{
    struct collector *collector = ctx;
    if (collector->stopping && collector->state_err)
        collector_name_cause(collector, collector->state_err);
    if (collector->stopping)
        collector_over(collector, collector->outcome);
    else
        collector_end(collector, COLLECTOR_SINK_FAILED, &collector->why);
}

/* --- accounts ----------------------------------------------------------------------------------
 */

static void collector_mailbox_finished(void *ctx)
{
    struct collector_entry *entry = ctx;
    entry->finished = true;
    entry->collector->running--;
    net_deferred_schedule(entry->collector->reap);
}

static struct collector_entry *collector_new_entry(struct collector *collector,
                                                   struct collect_account *moved_account)
{
    struct collector_entry *entry = mem_new(struct collector_entry);
    entry->collector = collector;
    entry->mailbox = mailbox_new(&collector->env, moved_account, collector_mailbox_finished, entry);
    return entry;
}

static void collector_count_gone(struct collect_counts *counts, const struct mailbox *mailbox)
{
    counts->found += mailbox->report.found;
    counts->delivered += mailbox->report.delivered;
    counts->held += mailbox->report.held;
    counts->bytes += mailbox->report.bytes;
}

static void collector_free_mailbox(struct collector_entry *entry)
{
    collector_count_gone(&entry->collector->gone, entry->mailbox);
    mailbox_free(entry->mailbox);
}

static void collector_free_entry(struct collector_entry *entry)
{
    collector_free_mailbox(entry);
    collect_account_free(entry->successor);
    free(entry);
}

/* A mailbox that has ended, or was not begun, makes room for its successor. */
static void collector_replace(struct collector_entry *entry)
{
    collector_free_mailbox(entry);
    entry->mailbox =
        mailbox_new(&entry->collector->env, entry->successor, collector_mailbox_finished, entry);
    entry->successor = NULL;
}

static void collector_succeed(struct collector_entry *entry)
{
    collector_replace(entry);
    entry->finished = false;
    collector_start_entry(entry);
}

/* Sees to the mailboxes that have ended, outside of their own calls. */
static void collector_reap(void *ctx)
{
    struct collector *collector = ctx;
    size_t kept = 0;
    for (size_t i = 0; i < collector->leaving_count; i++)
        if (collector->leaving[i]->finished)
            collector_free_entry(collector->leaving[i]);
        else
            collector->leaving[kept++] = collector->leaving[i];
    collector->leaving_count = kept;
    for (size_t i = 0; i < collector->count && !collector->stopping; i++)
        if (collector->entries[i]->finished && collector->entries[i]->successor)
            collector_succeed(collector->entries[i]);
    collector_fill(collector);
}

static int collector_compare(const void *a, const void *b)
{
    const struct collector_entry *const *first = a, *const *second = b;
    return strcmp((*first)->mailbox->account->label, (*second)->mailbox->account->label);
}

static int collector_compare_key(const void *key, const void *element)
{
    const struct collector_entry *const *entry = element;
    return strcmp(key, (*entry)->mailbox->account->label);
}

/* An account that is there, and is to be as `account` says. */
static void collector_renew(struct collector_entry *entry, const struct collect_account *account)
{
    static const struct err why = {.action = ERR_RETRY_NOW, .text = "its configuration changed"};
    entry->leaving = false;
    collect_account_free(entry->successor);
    entry->successor = NULL;
    bool ending = entry->mailbox->stopping;
    if (!ending && collect_account_equal(entry->mailbox->account, account)) {
        mailbox_hurry(entry->mailbox);
        return;
    }
    entry->successor = collect_account_copy(account);
    if (!entry->started)
        collector_replace(entry);
    else if (!ending)
        mailbox_stop(entry->mailbox, &why);
}

/* An account that is not wanted any more. */
static void collector_dismiss(struct collector *collector, struct collector_entry *entry)
{
    static const struct err why = {.action = ERR_GIVE_UP,
                                   .text = "it is not in the configuration any more"};
    if (!entry->started || entry->finished) {
        collector_free_entry(entry);
        return;
    }
    collect_account_free(entry->successor);
    entry->successor = NULL;
    collector->leaving = mem_realloc_array(collector->leaving, collector->leaving_count + 1,
                                           sizeof *collector->leaving);
    collector->leaving[collector->leaving_count++] = entry;
    mailbox_stop(entry->mailbox, &why);
}

/* All entries that live, sorted by label; *ret_count of them. */
static struct collector_entry **collector_sorted(const struct collector *collector,
                                                 size_t *ret_count)
{
    size_t count = collector->count + collector->leaving_count;
    struct collector_entry **sorted = mem_zalloc((count + 1) * sizeof *sorted);
    for (size_t i = 0; i < collector->count; i++)
        sorted[i] = collector->entries[i];
    for (size_t i = 0; i < collector->leaving_count; i++)
        sorted[collector->count + i] = collector->leaving[i];
    qsort(sorted, count, sizeof *sorted, collector_compare);
    for (size_t i = 0; i < count; i++)
        sorted[i]->leaving = true;
    *ret_count = count;
    return sorted;
}

void collector_set_accounts(struct collector *collector, const struct collect_account *accounts,
                            size_t count)
{
    if (collector->stopping || collector->over)
        return;
    size_t sorted_count;
    struct collector_entry **sorted = collector_sorted(collector, &sorted_count);
    struct collector_entry **entries = mem_zalloc((count + 1) * sizeof *entries);
    for (size_t i = 0; i < count; i++) {
        struct collector_entry **found =
            bsearch(accounts[i].label, sorted, sorted_count, sizeof *sorted, collector_compare_key);
        if (found) {
            entries[i] = *found;
            collector_renew(entries[i], &accounts[i]);
        } else {
            entries[i] = collector_new_entry(collector, collect_account_copy(&accounts[i]));
        }
    }
    collector->leaving_count = 0;
    for (size_t i = 0; i < sorted_count; i++)
        if (sorted[i]->leaving)
            collector_dismiss(collector, sorted[i]);
    free(sorted);
    free(collector->entries);
    collector->entries = entries;
    collector->count = count;
    collector->next = 0;
    net_deferred_schedule(collector->reap);
}

size_t collector_count(const struct collector *collector)
{
    return collector->count;
}

const struct collect_account *collector_account(const struct collector *collector, size_t index)
{
    return collector->entries[index]->mailbox->account;
}

const struct collect_report *collector_report(const struct collector *collector, size_t index)
{
    return &collector->entries[index]->mailbox->report;
}

struct collect_counts collector_gone(const struct collector *collector)
{
    struct collect_counts counts = collector->gone;
    for (size_t i = 0; i < collector->leaving_count; i++)
        collector_count_gone(&counts, collector->leaving[i]->mailbox);
    return counts;
}

/* --- the sink ----------------------------------------------------------------------------------
 */

static void collector_sink_changed(struct collector *collector, bool up)
{
    collector->env.sink_up = up;
    if (collector->env.budget)
        budget_open(collector->env.budget, up);
    for (size_t i = 0; i < collector->count; i++)
        if (collector->entries[i]->started)
            mailbox_sink_changed(collector->entries[i]->mailbox);
    for (size_t i = 0; i < collector->leaving_count; i++)
        mailbox_sink_changed(collector->leaving[i]->mailbox);
}

/* Of the largest mails so many fit into the budget side by side. One host may have four fifths of
 * it (share.h): what that leaves has to have room for one of another's, which would wait at the
 * head of the line and keep all there for as long as the first one trickles in. */
static size_t collector_memory(const struct collector *collector)
{
    const struct sink *sink = collector->env.sink;
    size_t least = COLLECTOR_LARGEST * (sink->headroom + sink->max_payload);
    size_t budget = collector->env.settings.memory_budget;
    return budget > least ? budget : least;
}

static void collector_set_limits(struct collector *collector)
{
    struct collect_env *env = &collector->env;
    size_t slots = env->settings.in_flight_max;
    if (!env->recording && slots > COLLECTOR_IN_FLIGHT_FIRST)
        slots = COLLECTOR_IN_FLIGHT_FIRST;
    if (env->budget)
        budget_set_bytes(env->budget, collector_memory(collector));
    else
        env->budget = budget_new(env->loop, collector_memory(collector), slots);
    snprintf(env->hold_limit, sizeof env->hold_limit, "%s:%zu",
             env->settings.payload == PAYLOAD_JSON ? "json" : "raw", env->sink->max_payload);
}

/* The trouble is over. */
static void collector_tell_good(struct collector *collector)
{
    log_info(NULL, "delivering to %s", sink_describe(collector->env.sink));
    free(collector->told);
    collector->told = NULL;
}

static void collector_sink_is_up(void *ctx)
{
    struct collector *collector = ctx;
    collector->tried = false;
    if (collector->vain < COLLECTOR_VAIN)
        collector_tell_good(collector);
    if (!collector->stopping)
        net_timer_stop(collector->patience);
    /* The sink's limits are known only now. */
    collector_set_limits(collector);
    collector_sink_changed(collector, true);
    if (!collector->started) {
        collector->started = true;
        collector_fill(collector);
    }
}

/* The same trouble, again and again, is told when it begins and every hour. */
static void collector_tell(struct collector *collector, const char *trouble)
{
    msec_t now = net_loop_now(collector->env.loop);
    bool same = collector->told && !strcmp(collector->told, trouble);
    if (collector->env.settings.continuous && same &&
        now - collector->told_at < COLLECTOR_TELL_AGAIN)
        return;
    log_warning(NULL, "%s%s", trouble,
                collector->env.settings.continuous
                    ? "; mail stays in its mailboxes until the broker takes it"
                    : "");
    free(collector->told);
    collector->told = mem_strdup(trouble);
    collector->told_at = now;
}

static void collector_sink_is_down(void *ctx, const struct err *err)
{
    struct collector *collector = ctx;
    const struct collector_settings *settings = &collector->env.settings;
    if (collector->over || collector->stopping)
        return;
    collector_tell(collector, err->text);
    bool was_up = collector->env.sink_up;
    collector->vain += was_up && collector->tried;
    collector_sink_changed(collector, false);
    collector->why = *err;
    if (settings->continuous)
        return;
    /* A mail that the broker breaks over each time, and no other mail beside it to tell by, would
     * go round for ever. */
    if (was_up && ++collector->fruitless >= COLLECTOR_FRUITLESS)
        err_set(&collector->why, ERR_GIVE_UP,
                "%u times in a row it broke the connection when mail was sent and took none (%s): "
                "is its frame limit below max_frame?",
                collector->fruitless, err->text);
    if (collector->why.action == ERR_GIVE_UP)
        collector_end(collector, COLLECTOR_SINK_FAILED, &collector->why);
    else if (was_up)
        net_timer_start(collector->patience, settings->sink_patience);
}

static void collector_sink_sent(void *ctx, void *token)
{
    struct collector *collector = ctx;
    collector->tried = true;
    mail_sent(token);
}

static void collector_sink_took(struct collector *collector)
{
    if (collector->vain >= COLLECTOR_VAIN)
        collector_tell_good(collector);
    collector->fruitless = collector->vain = 0;
    collector->tried = false;
}

static void collector_sink_settled(void *ctx, void *token, enum sink_outcome outcome,
                                   const struct err *err)
{
    struct collector *collector = ctx;
    if (outcome == SINK_TAKEN)
        collector_sink_took(collector);
    mail_settled(token, outcome, err);
}

static const struct sink_events collector_sink_events = {
    .up = collector_sink_is_up,
    .down = collector_sink_is_down,
    .sent = collector_sink_sent,
    .settled = collector_sink_settled,
};

void collector_set_sink(struct collector *collector, struct sink *moved_sink,
                        enum payload_format payload)
{
    if (collector->stopping || collector->over) {
        sink_free(moved_sink);
        return;
    }
    sink_free(collector->env.sink);
    collector->env.sink = moved_sink;
    collector->env.settings.payload = payload;
    collector_sink_changed(collector, false);
    mail_retry_all(&collector->env);
    sink_start(moved_sink, &collector_sink_events, collector);
}

bool collector_sink_up(const struct collector *collector, const char **ret_describe)
{
    *ret_describe = collector->env.sink ? sink_describe(collector->env.sink) : "";
    return collector->env.sink_up;
}

/* --- the state ---------------------------------------------------------------------------------
 */

static void collector_state_failed(void *ctx, const struct err *err)
{
    struct collector *collector = ctx;
    log_error(NULL, "%s", err->text);
    /* Nothing can be recorded, so nothing in flight will ever settle: no patience for it. */
    collector->stopping = true;
    collector->why = *err;
    collector_name_cause(collector, err);
    collector_over(collector, COLLECTOR_STATE_FAILED);
}

static void collector_state_troubled(void *ctx, const struct err *err)
{
    struct collector *collector = ctx;
    err_keep(&collector->state_err, err);
    if (err)
        log_error(NULL, "%s; nothing is marked until it can be written, and little is fetched",
                  err->text);
    else
        log_info(NULL, "the state is written again");
}

bool collector_state_written(const struct collector *collector)
{
    return !collector->state_err;
}

static const struct journal_events collector_journal_events = {
    .committed = folder_committed,
    .failed = collector_state_failed,
    .troubled = collector_state_troubled,
};

/* --- its life ----------------------------------------------------------------------------------
 */

struct collector *collector_new(struct net_loop *loop, const struct collector_settings *settings,
                                struct sink *moved_sink, struct state *state,
                                collector_finished_fn *finished, void *ctx)
{
    struct collector *collector = mem_new(struct collector);
    struct collect_env *env = &collector->env;
    env->loop = loop;
    env->settings = *settings;
    env->sink = moved_sink;
    env->journal =
        journal_new(loop, state, settings->continuous, &collector_journal_events, collector);
    collector->state = state;
    env->deriver = deriver_new(loop);
    env->pace = pace_new(loop, settings->rules, settings->rule_count,
                         settings->continuous ? 0 : settings->connections_max, COLLECTOR_LOGINS);
    collector->finished = finished;
    collector->ctx = ctx;
    collector->patience = net_timer_new(loop, collector_out_of_patience, collector);
    collector->finish = net_deferred_new(loop, collector_finish, collector);
    collector->reap = net_deferred_new(loop, collector_reap, collector);
    return collector;
}

void collector_set_rules(struct collector *collector, const struct pace_rule *rules, size_t count)
{
    pace_set_rules(collector->env.pace, rules, count);
}

void collector_set_memory(struct collector *collector, size_t memory_budget)
{
    collector->env.settings.memory_budget = memory_budget;
    if (collector->env.budget)
        collector_set_limits(collector);
}

void collector_start(struct collector *collector)
{
    /* Nothing uses the state yet. */
    struct err err;
    if (state_load_proofs(collector->state, &collector->env.proofs, &err) < 0) {
        collector_state_failed(collector, &err);
        return;
    }
    if (collector->env.settings.check) {
        collector->started = true;
        collector_fill(collector);
        return;
    }
    err_set(&collector->why, ERR_RETRY_LATER, "%s does not answer",
            sink_describe(collector->env.sink));
    if (!collector->env.settings.continuous)
        net_timer_start(collector->patience, collector->env.settings.sink_patience_first);
    sink_start(collector->env.sink, &collector_sink_events, collector);
}

void collector_stop(struct collector *collector)
{
    struct err why;
    err_set(&why, ERR_RETRY_LATER, "stopped before it was through");
    collector_end(collector, COLLECTOR_STOPPED, &why);
}

void collector_free(struct collector *collector)
{
    if (!collector)
        return;
    sink_free(collector->env.sink);
    size_t lost = journal_free(collector->env.journal);
    if (lost)
        log_warning(NULL,
                    "%zu mails were delivered, but could not be put on record: they stay unmarked, "
                    "and will be delivered again",
                    lost);
    mail_drop_all(&collector->env);
    for (size_t i = 0; i < collector->count; i++)
        collector_free_entry(collector->entries[i]);
    for (size_t i = 0; i < collector->leaving_count; i++)
        collector_free_entry(collector->leaving[i]);
    budget_free(collector->env.budget);
    pace_free(collector->env.pace);
    deriver_free(collector->env.deriver);
    state_proofs_release(&collector->env.proofs);
    net_timer_free(collector->patience);
    net_deferred_free(collector->finish);
    net_deferred_free(collector->reap);
    free(collector->entries);
    free(collector->leaving);
    free(collector->told);
    free(collector->state_err);
    free(collector);
}
