/* imap-collector: options, wiring, signals. What it does is in the collect room. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/log.h"
#include "collect/collector.h"
#include "conf/conf.h"
#include "fence/process.h"
#include "fence/user.h"
#include "net/loop.h"
#include "programs/collector_authorize.h"
#include "programs/collector_clerk.h"
#include "programs/collector_fences.h"
#include "programs/collector_limits.h"
#include "programs/collector_live.h"
#include "programs/collector_options.h"
#include "programs/collector_report.h"
#include "programs/collector_setup.h"

enum {
    PROGRESS_TERMINAL = 200, /* ms between two progress lines */
    PROGRESS_LIVE = 1000,
    PROGRESS_LOG = 10000,
    EXIT_SOME_FAILED = 1,
    CHECK_BROKER_PATIENCE = 15000,
    PROGRAM_REST = 200,              /* µs: see net_loop_set_rest() */
    PROGRAM_TOKENS_PATIENCE = 20000, /* for tokens that are being got, at the end … */
    PROGRAM_TOKENS_LOOK = 20,        /* … which is looked at so often */
};

struct program {
    struct collector_options options;
    char *tokens_directory; /* where refresh tokens are kept; NULL: nowhere */
    struct clerk *clerk;
    struct conf *conf; /* NULL once the rooms have what they need */
    struct net_loop *loop;
    struct tls_store *tls;
    struct tokens *tokens;
    struct sink *sink; /* NULL: the collector's */
    struct state *state;
    struct collector *collector;
    struct live *live; /* NULL without -c */
    struct net_signal *term;
    struct net_signal *interrupt;
    struct net_signal *child;
    struct net_timer *progress;
    struct net_timer *tokens_look;
    msec_t tokens_until; /* as long as it waits for tokens */
    msec_t started;
    bool terminal; /* progress is shown as one line that is written over */
    bool collected;
    enum collector_outcome outcome;
    /* --check: the broker is looked at beside the mailboxes. */
    struct net_timer *broker_patience;
    bool broker_looked;
    bool broker_failed;
    struct err broker_err;
};

/* Log lines and the progress line share a terminal: it makes way for them. */
static void program_clear_progress(void)
{
    fputs("\r\033[K", stderr);
}

/* On a terminal a line that is written over; else a pass logs one now and then. */
static void program_progress(void *ctx)
{
    struct program *program = ctx;
    char line[300];
    if (program->live)
        report_live(line, sizeof line, program->collector);
    else
        report_progress(line, sizeof line, program->collector,
                        net_loop_now(program->loop) - program->started);
    if (program->terminal)
        fprintf(stderr, "\r\033[K%.*s", 79, line);
    else
        log_info(NULL, "%s", line);
    fflush(stderr);
    net_timer_start(program->progress, !program->terminal ? PROGRESS_LOG
                                       : program->live    ? PROGRESS_LIVE
                                                          : PROGRESS_TERMINAL);
}

static int program_load(struct program *program)
{
    struct conf_problems problems;
    int result = clerk_load(program->clerk, &program->conf, &problems);
    for (size_t i = 0; i < problems.count; i++)
        fprintf(stderr, "%s%s\n", problems.items[i].warning ? "warning: " : "",
                problems.items[i].text);
    if (result < 0)
        fprintf(stderr, "%zu error%s in the configuration: nothing was contacted\n",
                problems.errors, problems.errors == 1 ? "" : "s");
    conf_problems_release(&problems);
    return result;
}

static void program_stop(void *ctx)
{
    struct program *program = ctx;
    log_info(NULL, "stopping");
    if (program->live)
        live_stopping(program->live);
    if (program->collected)
        net_loop_stop(program->loop);
    else
        collector_stop(program->collector);
}

static void program_child(void *ctx)
{
    struct program *program = ctx;
    if (clerk_gone(program->clerk))
        log_error(NULL,
                  "the process that reads the configuration and gets tokens (collector-clerk) is "
                  "gone: collecting goes on; restart to reload, and for mailboxes with oauth2");
}

static void program_maybe_end(struct program *program)
{
    bool stopped = program->collected && program->outcome == COLLECTOR_STOPPED;
    if (program->collected && (stopped || !program->options.check || program->broker_looked))
        net_loop_stop(program->loop);
}

static void program_finished(void *ctx, enum collector_outcome outcome, const struct err *err)
{
    struct program *program = ctx;
    program->collected = true;
    program->outcome = outcome;
    if (outcome == COLLECTOR_SINK_FAILED)
        log_error(NULL,
                  "the broker takes no mail: %s; what it does not have stays "
                  "in its mailbox, untouched",
                  err->text);
    program_maybe_end(program);
}

static void program_broker_up(void *ctx)
{
    struct program *program = ctx;
    program->broker_looked = true;
    program_maybe_end(program);
}

static void program_broker_down(void *ctx, const struct err *err)
{
    struct program *program = ctx;
    program->broker_failed = true;
    program->broker_err = *err;
    program->broker_looked = true;
    program_maybe_end(program);
}

static void program_broker_silent(void *ctx)
{
    struct err err;
    err_set(&err, ERR_RETRY_LATER, "does not answer");
    program_broker_down(ctx, &err);
}

/* --check offers nothing, so nothing can be sent or settle. */
static const struct sink_events program_check_events = {
    .up = program_broker_up,
    .down = program_broker_down,
};

/* The collector has copies of its accounts, so that they go when it has them. */
static int program_make_collector(struct program *program, struct err *err)
{
    const struct collector_options *options = &program->options;
    const struct conf *conf = program->conf;
    struct collect_account *accounts;
    struct collector_settings settings;
    if (setup_accounts_new(conf, program->tls, program->tokens, &accounts, err) < 0)
        return -1;
    setup_settings_init(conf, &settings);
    settings.continuous = options->continuous;
    settings.fetch_all = options->fetch_all;
    settings.again = options->again;
    settings.check = options->check;
    program->collector =
        collector_new(program->loop, &settings, options->check ? NULL : program->sink,
                      program->state, program_finished, program);
    if (!options->check)
        program->sink = NULL;
    collector_set_accounts(program->collector, accounts, conf->mailbox_count);
    setup_accounts_free(accounts, conf->mailbox_count);
    setup_settings_release(&settings);
    tokens_sweep(program->tokens);
    clerk_taken(program->clerk);
    return 0;
}

/* Who asks for a reload while it starts is heard when it is up, and does not end it. */
static void program_hold_hangup(bool hold)
{
    sigset_t hangup;
    sigemptyset(&hangup);
    sigaddset(&hangup, SIGHUP);
    sigprocmask(hold ? SIG_BLOCK : SIG_UNBLOCK, &hangup, NULL);
}

static void program_look_at_tokens(void *ctx)
{
    struct program *program = ctx;
    if (!tokens_busy(program->tokens) || net_loop_now(program->loop) >= program->tokens_until)
        net_loop_stop(program->loop);
    else
        net_timer_start(program->tokens_look, PROGRAM_TOKENS_LOOK);
}

/* A provider that was asked may have made the old refresh token void: who does not wait for the new
 * one loses the account. A second signal ends that, too. */
static void program_await_tokens(struct program *program)
{
    if (!tokens_busy(program->tokens))
        return;
    log_info(NULL, "waiting for tokens that are being got");
    program->collected = true;
    program->tokens_until = net_loop_now(program->loop) + PROGRAM_TOKENS_PATIENCE;
    net_timer_start(program->tokens_look, PROGRAM_TOKENS_LOOK);
    net_loop_run(program->loop);
}

/* What is only done with -c. */
static void program_go_live(struct program *program)
{
    limits_check(program->conf);
    program->live = live_new(program->loop, &program->options, program->clerk, program->collector,
                             program->conf, program->tls, program->tokens, program_stop, program);
    program->tls = NULL;
    program_hold_hangup(false);
}

static void program_run(struct program *program)
{
    program->term = net_signal_new(program->loop, SIGTERM, program_stop, program);
    program->interrupt = net_signal_new(program->loop, SIGINT, program_stop, program);
    program->child = net_signal_new(program->loop, SIGCHLD, program_child, program);
    program->progress = net_timer_new(program->loop, program_progress, program);
    program->broker_patience = net_timer_new(program->loop, program_broker_silent, program);
    program->tokens_look = net_timer_new(program->loop, program_look_at_tokens, program);
    program->started = net_loop_now(program->loop);
    program->terminal = isatty(STDERR_FILENO) && !program->options.check;
    if (program->terminal)
        log_set_hooks(program_clear_progress, NULL);
    if (program->options.continuous)
        program_go_live(program);
    clerk_forget(program->clerk);
    program->conf = NULL;
    if (program->options.check) {
        net_timer_start(program->broker_patience, CHECK_BROKER_PATIENCE);
        sink_start(program->sink, &program_check_events, program);
    } else if (program->terminal || !program->live) {
        net_timer_start(program->progress, program->terminal ? PROGRESS_TERMINAL : PROGRESS_LOG);
    }
    collector_start(program->collector);
    net_loop_run(program->loop);
    program_await_tokens(program);
    if (program->terminal)
        program_clear_progress();
    log_set_hooks(NULL, NULL);
}

static int program_result(const struct program *program)
{
    if (program->options.check && program->outcome != COLLECTOR_STOPPED && program->broker_failed)
        return EX_TEMPFAIL;
    switch (program->outcome) {
    case COLLECTOR_ALL_DONE:
    case COLLECTOR_STOPPED:
        return EX_OK;
    case COLLECTOR_SINK_FAILED:
        return EX_TEMPFAIL;
    case COLLECTOR_SOME_FAILED:
    case COLLECTOR_STATE_FAILED:
        break;
    }
    return EXIT_SOME_FAILED;
}

static void program_show_result(const struct program *program)
{
    if (program->options.check)
        report_check(stdout, program->collector, sink_describe(program->sink),
                     program->broker_failed ? &program->broker_err : NULL);
    else
        report_table(stdout, program->collector);
    fflush(stdout);
}

static void program_release(struct program *program)
{
    /* It ends now anyway, with its result: a signal must not change that. */
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    if (program->options.continuous)
        signal(SIGHUP, SIG_IGN);
    live_free(program->live);
    sink_free(program->sink);
    collector_free(program->collector);
    state_free(program->state);
    if (program->term) {
        net_signal_free(program->term);
        net_signal_free(program->interrupt);
        net_signal_free(program->child);
        net_timer_free(program->progress);
        net_timer_free(program->broker_patience);
        net_timer_free(program->tokens_look);
    }
    tls_store_free(program->tls);
    tokens_free(program->tokens);
    net_loop_free(program->loop);
    clerk_stop(program->clerk);
    free(program->tokens_directory);
}

/* Who it is, and what it may not become. */
static int program_settle(struct program *program, struct err *err)
{
    if (fence_user_become(program->options.user, err) < 0)
        return EX_USAGE;
    fence_process();
    signal(SIGXFSZ, SIG_IGN); /* a state that may not grow is an error like others */
    if (program->options.continuous)
        program_hold_hangup(true);
    program->tokens_directory = setup_token_directory(&program->options);
    return clerk_start(&program->options, program->tokens_directory, &program->clerk, err) < 0
               ? EXIT_SOME_FAILED
               : EX_OK;
}

/* The memory; then the fences, as all files are open and there is no thread yet. */
static int program_open_state(struct program *program, struct err *err)
{
    char *path;
    if (setup_state_open(&program->options, &program->state, &path, err) < 0)
        return -1;
    if (!program->options.no_sandbox)
        collector_fences_up(program->conf, path);
    free(path);
    return 0;
}

/* All that there has to be before anything is contacted. Returns an exit code. */
static int program_prepare(struct program *program, struct err *err)
{
    if (limits_raise(err) < 0)
        return EXIT_SOME_FAILED;
    program->loop = net_loop_new();
    net_loop_set_rest(program->loop, PROGRAM_REST);
    program->tls = tls_store_new(NULL);
    const struct token_doer doer = clerk_doer(program->clerk);
    program->tokens = tokens_new(program->loop, program->tokens_directory, &doer);
    if (setup_sink_new(program->conf, program->loop, program->tls, &program->sink, err) < 0)
        return EX_CONFIG;
    if (program_open_state(program, err) < 0)
        return EXIT_SOME_FAILED;
    return program_make_collector(program, err) < 0 ? EX_CONFIG : EX_OK;
}

static int program_authorize(struct program *program)
{
    int result =
        authorize_run(&program->options, program->clerk, program->conf, program->tokens_directory);
    clerk_stop(program->clerk);
    free(program->tokens_directory);
    return result;
}

int main(int argc, char **argv)
{
    struct program program = {0};
    struct err err;
    int result;
    if (!collector_options_parse(argc, argv, &program.options, &result))
        return result;
    log_setup(program.options.log_level, program.options.log_format, stderr);
    result = program_settle(&program, &err);
    if (result != EX_OK) {
        fprintf(stderr, "imap-collector: %s\n", err.text);
        free(program.tokens_directory);
        return result;
    }
    if (program_load(&program) < 0) {
        clerk_stop(program.clerk);
        free(program.tokens_directory);
        return EX_CONFIG;
    }
    if (program.options.authorize)
        return program_authorize(&program);
    result = program_prepare(&program, &err);
    if (result == EX_OK) {
        program_run(&program);
        program_show_result(&program);
        result = program_result(&program);
    } else {
        log_error(NULL, "%s", err.text);
    }
    program_release(&program);
    return result;
}
