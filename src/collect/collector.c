#include "collect/collector.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "collect/budget.h"
#include "collect/env.h"
#include "collect/folder.h"
#include "collect/journal.h"
#include "collect/mail.h"
#include "collect/mailbox.h"
#include "net/loop.h"

enum {
    COLLECTOR_MEMORY = 4 << 20,
    COLLECTOR_IN_FLIGHT = 4000,
    COLLECTOR_IN_FLIGHT_FIRST = 64, /* until the first delivery is on record */
    COLLECTOR_CONNECTIONS = 64,
    COLLECTOR_STEP_DEADLINE = 120000,
    COLLECTOR_SINK_PATIENCE_FIRST = 15000,
    COLLECTOR_SINK_PATIENCE = 60000,
    COLLECTOR_STOP_PATIENCE = 3000,
    COLLECTOR_FRUITLESS = 5, /* losses of the sink in a row with no mail taken between them */
};

struct collector {
    struct collect_env env;
    collector_finished_fn *finished;
    void *ctx;
    struct mailbox **mailboxes;
    struct collect_report *reports;
    size_t next;    /* the first mailbox that was not started */
    size_t running; /* started and not finished */
    bool started;   /* the sink has been up once */
    bool over;      /* `finished` was called, or is about to be */
    enum collector_outcome outcome;
    struct err why;
    bool stopping;      /* mailboxes are being stopped; then it is over */
    unsigned fruitless; /* how often the sink was lost since it last took a mail */
    struct net_timer *patience;
    struct net_deferred *finish;
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
    for (size_t i = 0; i < collector->env.settings.account_count; i++)
        if (collector->reports[i].phase != COLLECT_DONE)
            return COLLECTOR_SOME_FAILED;
    return COLLECTOR_ALL_DONE;
}

/* Starts as many mailboxes as may be worked on at a time. */
static void collector_fill(struct collector *collector)
{
    const struct collector_settings *settings = &collector->env.settings;
    while (!collector->stopping && collector->next < settings->account_count &&
           collector->running < settings->connections_max) {
        collector->running++;
        mailbox_start(collector->mailboxes[collector->next++]);
    }
    if (!collector->running)
        collector_over(collector,
                       collector->stopping ? collector->outcome : collector_result(collector));
}

static void collector_mailbox_finished(void *ctx)
{
    struct collector *collector = ctx;
    collector->running--;
    collector_fill(collector);
}

/* Ends early: connections are closed now; what is in flight may still settle for a moment. */
static void collector_end(struct collector *collector, enum collector_outcome outcome,
                          const struct err *why)
{
    if (collector->stopping || collector->over)
        return;
    collector->stopping = true;
    collector->outcome = outcome;
    collector->why = *why;
    for (size_t i = 0; i < collector->next; i++)
        mailbox_stop(collector->mailboxes[i], why);
    for (size_t i = collector->next; i < collector->env.settings.account_count; i++)
        collector->reports[i].err = *why;
    if (!collector->running)
        collector_over(collector, outcome);
    else
        net_timer_start(collector->patience, COLLECTOR_STOP_PATIENCE);
}

static void collector_out_of_patience(void *ctx)
{
    struct collector *collector = ctx;
    if (collector->stopping)
        collector_over(collector, collector->outcome);
    else
        collector_end(collector, COLLECTOR_SINK_FAILED, &collector->why);
}

static void collector_sink_changed(struct collector *collector, bool up)
{
    collector->env.sink_up = up;
    if (collector->env.budget)
        budget_open(collector->env.budget, up);
    for (size_t i = 0; i < collector->next; i++)
        mailbox_sink_changed(collector->mailboxes[i]);
}

static void collector_sink_up(void *ctx)
{
    struct collector *collector = ctx;
    log_info(NULL, "delivering to %s", sink_describe(collector->env.sink));
    if (!collector->stopping)
        net_timer_stop(collector->patience);
    if (!collector->env.budget) {
        /* The sink's limits are known only now. Some of the largest mails must fit
         * into the budget side by side, or one that trickles in would stop them all. */
        struct collector_settings *settings = &collector->env.settings;
        size_t largest = 4 * (collector->env.sink->headroom + collector->env.sink->max_payload);
        collector->env.budget = budget_new(
            collector->env.loop,
            settings->memory_budget > largest ? settings->memory_budget : largest,
            settings->in_flight_max < COLLECTOR_IN_FLIGHT_FIRST ? settings->in_flight_max
                                                                : COLLECTOR_IN_FLIGHT_FIRST);
        snprintf(collector->env.hold_limit, sizeof collector->env.hold_limit, "%s:%zu",
                 settings->payload == PAYLOAD_JSON ? "json" : "raw",
                 collector->env.sink->max_payload);
    }
    collector_sink_changed(collector, true);
    if (!collector->started) {
        collector->started = true;
        collector_fill(collector);
    }
}

static void collector_sink_down(void *ctx, const struct err *err)
{
    struct collector *collector = ctx;
    const struct collector_settings *settings = &collector->env.settings;
    if (collector->over || collector->stopping)
        return;
    log_warning(NULL, "%s", err->text);
    bool was_up = collector->env.sink_up;
    collector_sink_changed(collector, false);
    collector->why = *err;
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
    (void)ctx;
    mail_sent(token);
}

static void collector_sink_settled(void *ctx, void *token, enum sink_outcome outcome,
                                   const struct err *err)
{
    struct collector *collector = ctx;
    if (outcome == SINK_TAKEN)
        collector->fruitless = 0;
    mail_settled(token, outcome, err);
}

static const struct sink_events collector_sink_events = {
    .up = collector_sink_up,
    .down = collector_sink_down,
    .sent = collector_sink_sent,
    .settled = collector_sink_settled,
};

static void collector_state_failed(void *ctx, const struct err *err)
{
    struct collector *collector = ctx;
    log_error(NULL, "%s", err->text);
    /* Nothing can be recorded, so nothing in flight will ever settle: no patience for it. */
    collector->stopping = true;
    collector->why = *err;
    collector_over(collector, COLLECTOR_STATE_FAILED);
}

static const struct journal_events collector_journal_events = {
    .committed = folder_committed,
    .failed = collector_state_failed,
};

struct collector *collector_new(struct net_loop *loop, const struct collector_settings *settings,
                                struct sink *sink, struct state *state,
                                collector_finished_fn *finished, void *ctx)
{
    struct collector *collector = mem_new(struct collector);
    struct collect_env *env = &collector->env;
    env->loop = loop;
    env->settings = *settings;
    env->sink = sink;
    env->journal = journal_new(loop, state, &collector_journal_events, collector);
    collector->finished = finished;
    collector->ctx = ctx;
    collector->patience = net_timer_new(loop, collector_out_of_patience, collector);
    collector->finish = net_deferred_new(loop, collector_finish, collector);
    collector->reports = mem_zalloc(settings->account_count * sizeof *collector->reports);
    collector->mailboxes = mem_zalloc(settings->account_count * sizeof *collector->mailboxes);
    for (size_t i = 0; i < settings->account_count; i++)
        collector->mailboxes[i] = mailbox_new(env, &settings->accounts[i], &collector->reports[i],
                                              collector_mailbox_finished, collector);
    return collector;
}

void collector_start(struct collector *collector)
{
    if (collector->env.settings.check) {
        collector->started = true;
        collector_fill(collector);
        return;
    }
    err_set(&collector->why, ERR_RETRY_LATER, "%s does not answer",
            sink_describe(collector->env.sink));
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
    journal_free(collector->env.journal);
    mail_drop_all(&collector->env);
    for (size_t i = 0; i < collector->env.settings.account_count; i++)
        mailbox_free(collector->mailboxes[i]);
    budget_free(collector->env.budget);
    net_timer_free(collector->patience);
    net_deferred_free(collector->finish);
    free(collector->mailboxes);
    free(collector->reports);
    free(collector);
}

const struct collect_report *collector_report(const struct collector *collector, size_t index)
{
    return &collector->reports[index];
}
