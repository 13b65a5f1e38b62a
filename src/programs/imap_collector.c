/* imap-collector: options, wiring, signals. What it does is in the collect room. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "collect/collector.h"
#include "conf/conf.h"
#include "net/loop.h"
#include "net/tls.h"
#include "programs/collector_options.h"
#include "programs/collector_report.h"
#include "sink/hpfeeds.h"
#include "state/memory.h"
#include "state/sqlite.h"

enum {
    PROGRESS_TERMINAL = 200, /* ms between two progress lines */
    PROGRESS_LOG = 10000,
    EXIT_SOME_FAILED = 1,
    CHECK_BROKER_PATIENCE = 15000,
};

struct program {
    struct collector_options options;
    struct conf *conf;
    struct net_loop *loop;
    struct collect_account *accounts;
    struct sink *sink;
    struct state *state;
    struct collector *collector;
    struct net_signal *term;
    struct net_signal *interrupt;
    struct net_timer *progress;
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

static void program_progress(void *ctx)
{
    struct program *program = ctx;
    char line[300];
    report_progress(line, sizeof line, program->collector, program->accounts,
                    program->conf->mailbox_count, net_loop_now(program->loop) - program->started);
    if (program->terminal)
        fprintf(stderr, "\r\033[K%.*s", 79, line);
    else
        log_info(NULL, "%s", line);
    fflush(stderr);
    net_timer_start(program->progress, program->terminal ? PROGRESS_TERMINAL : PROGRESS_LOG);
}

static int program_load(struct program *program)
{
    struct conf_problems problems;
    int result = conf_load(program->options.feed_config, program->options.mailbox_config,
                           program->options.delete_after, NULL, &program->conf, &problems);
    for (size_t i = 0; i < problems.count; i++)
        fprintf(stderr, "%s%s\n", problems.items[i].warning ? "warning: " : "",
                problems.items[i].text);
    if (result < 0)
        fprintf(stderr, "%zu error%s in the configuration: nothing was contacted\n",
                problems.errors, problems.errors == 1 ? "" : "s");
    conf_problems_release(&problems);
    return result;
}

/* Accounts with equal settings share a context: it holds the CAs, which are large. */
static bool program_same_tls(const struct conf_tls *a, const struct conf_tls *b)
{
    if (a->mode == CONF_TLS_NONE || a->verify != b->verify ||
        a->has_fingerprint != b->has_fingerprint ||
        (a->has_fingerprint && memcmp(a->fingerprint, b->fingerprint, sizeof a->fingerprint)))
        return false;
    return a->ca && b->ca ? !strcmp(a->ca, b->ca) : a->ca == b->ca;
}

static int program_tls(const struct conf_tls *tls, struct net_tls **ret_tls, struct err *err)
{
    struct net_tls_settings settings = {
        .ca_file = tls->ca,
        .no_verify = !tls->verify,
        .has_fingerprint = tls->has_fingerprint,
        .cert_file = tls->cert,
        .key_file = tls->key,
    };
    memcpy(settings.fingerprint, tls->fingerprint, sizeof settings.fingerprint);
    return net_tls_client_new(&settings, ret_tls, err);
}

static int program_account_tls(struct program *program, size_t index, struct err *err)
{
    const struct conf_mailbox *mailboxes = program->conf->mailboxes;
    struct collect_account *account = &program->accounts[index];
    if (mailboxes[index].tls.mode == CONF_TLS_NONE)
        return 0;
    /* Neighbours in the file are mostly alike. */
    for (size_t back = 1; back <= index && back <= 16; back++)
        if (program_same_tls(&mailboxes[index - back].tls, &mailboxes[index].tls)) {
            account->tls = net_tls_ref(program->accounts[index - back].tls);
            return 0;
        }
    return program_tls(&mailboxes[index].tls, &account->tls, err);
}

static void program_account(struct collect_account *account, const struct conf_mailbox *mailbox)
{
    static const enum imap_security securities[] = {
        [CONF_TLS_IMPLICIT] = IMAP_SECURITY_IMPLICIT,
        [CONF_TLS_STARTTLS] = IMAP_SECURITY_STARTTLS,
        [CONF_TLS_NONE] = IMAP_SECURITY_NONE,
    };
    static const enum imap_auth auths[] = {
        [CONF_AUTH_AUTO] = IMAP_AUTH_AUTO,
        [CONF_AUTH_PLAIN] = IMAP_AUTH_PLAIN,
        [CONF_AUTH_LOGIN] = IMAP_AUTH_LOGIN,
    };
    static const enum collect_after afters[] = {
        [CONF_AFTER_SEEN] = COLLECT_AFTER_SEEN,       [CONF_AFTER_NONE] = COLLECT_AFTER_NONE,
        [CONF_AFTER_DELETE] = COLLECT_AFTER_DELETE,   [CONF_AFTER_MOVE] = COLLECT_AFTER_MOVE,
        [CONF_AFTER_KEYWORD] = COLLECT_AFTER_KEYWORD,
    };
    *account = (struct collect_account){
        .label = mailbox->label,
        .host = mailbox->host,
        .port = mailbox->port,
        .security = securities[mailbox->tls.mode],
        .auth = auths[mailbox->auth],
        .user = mailbox->username,
        .password = mailbox->password,
        .folders = (const char *const *)mailbox->folders,
        .folder_count = mailbox->folder_count,
        .after = afters[mailbox->after],
        .after_name = mailbox->after_name,
    };
}

static int program_make_accounts(struct program *program, struct err *err)
{
    const struct conf *conf = program->conf;
    program->accounts = mem_zalloc(conf->mailbox_count * sizeof *program->accounts);
    for (size_t i = 0; i < conf->mailbox_count; i++) {
        program_account(&program->accounts[i], &conf->mailboxes[i]);
        if (program_account_tls(program, i, err) < 0)
            return err_prefix(err, "%s:%u", conf->mailbox_path, conf->mailboxes[i].line);
    }
    return 0;
}

static int program_make_sink(struct program *program, struct err *err)
{
    static const enum sink_confirm confirms[] = {
        [CONF_CONFIRM_AUTO] = SINK_CONFIRM_AUTO,
        [CONF_CONFIRM_ECHO] = SINK_CONFIRM_ECHO,
        [CONF_CONFIRM_CLOSE] = SINK_CONFIRM_CLOSE,
        [CONF_CONFIRM_SENT] = SINK_CONFIRM_SENT,
    };
    const struct conf_feed *feed = &program->conf->feed;
    struct net_tls *tls = NULL;
    if (feed->tls.mode != CONF_TLS_NONE && program_tls(&feed->tls, &tls, err) < 0)
        return err_prefix(err, "%s", program->conf->feed_path);
    program->sink =
        sink_hpfeeds_new(program->loop, &(struct sink_hpfeeds_settings){
                                            .host = feed->host,
                                            .port = feed->port,
                                            .tls = tls,
                                            .ident = feed->ident,
                                            .secret = feed->secret,
                                            .channels = (const char *const *)feed->channels,
                                            .channel_count = feed->channel_count,
                                            .confirm = confirms[feed->confirm],
                                            .confirm_channel = feed->confirm_channel,
                                            .confirm_grace = feed->confirm_grace,
                                            .max_frame = feed->max_frame,
                                        });
    net_tls_unref(tls);
    return 0;
}

/* Where the state is, unless --state says so. The caller frees it; NULL: no home. */
static char *program_state_path(void)
{
    const char *directory = getenv("STATE_DIRECTORY");
    if (directory && *directory) /* systemd may name several, separated by colons */
        return mem_printf("%.*s/state.db", (int)strcspn(directory, ":"), directory);
    const char *xdg = getenv("XDG_STATE_HOME");
    if (xdg && *xdg == '/')
        return mem_printf("%s/imap-collector/state.db", xdg);
    const char *home = getenv("HOME");
    if (home && *home)
        return mem_printf("%s/.local/state/imap-collector/state.db", home);
    return NULL;
}

static int program_open_state(struct program *program, struct err *err)
{
    const char *given = program->options.state;
    if (program->options.check || (given && !strcmp(given, "none"))) {
        program->state = state_memory_new();
        return 0;
    }
    char *path = given ? mem_strdup(given) : program_state_path();
    if (!path)
        return err_set(err, ERR_GIVE_UP,
                       "no place for the state: $HOME is not set; give one with --state");
    int result = state_sqlite_open(path, &program->state, err);
    free(path);
    return result;
}

static void program_stop(void *ctx)
{
    struct program *program = ctx;
    log_info(NULL, "stopping");
    if (program->collected)
        net_loop_stop(program->loop);
    else
        collector_stop(program->collector);
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

static void program_make_collector(struct program *program)
{
    struct collector_settings settings;
    collector_settings_init(&settings);
    settings.accounts = program->accounts;
    settings.account_count = program->conf->mailbox_count;
    settings.fetch_all = program->options.fetch_all;
    settings.again = program->options.again;
    settings.check = program->options.check;
    settings.payload = program->conf->feed.payload_raw ? PAYLOAD_RAW : PAYLOAD_JSON;
    program->collector = collector_new(program->loop, &settings, program->sink, program->state,
                                       program_finished, program);
}

static void program_run(struct program *program)
{
    program_make_collector(program);
    program->term = net_signal_new(program->loop, SIGTERM, program_stop, program);
    program->interrupt = net_signal_new(program->loop, SIGINT, program_stop, program);
    program->progress = net_timer_new(program->loop, program_progress, program);
    program->broker_patience = net_timer_new(program->loop, program_broker_silent, program);
    program->started = net_loop_now(program->loop);
    program->terminal = isatty(STDERR_FILENO) && !program->options.check;
    if (program->terminal)
        log_set_hooks(program_clear_progress, NULL);
    if (!program->options.check) {
        net_timer_start(program->progress, program->terminal ? PROGRESS_TERMINAL : PROGRESS_LOG);
    } else {
        net_timer_start(program->broker_patience, CHECK_BROKER_PATIENCE);
        sink_start(program->sink, &program_check_events, program);
    }
    collector_start(program->collector);
    net_loop_run(program->loop);
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
    size_t count = program->conf->mailbox_count;
    if (program->options.check)
        report_check(stdout, program->collector, program->accounts, count,
                     sink_describe(program->sink),
                     program->broker_failed ? &program->broker_err : NULL);
    else
        report_table(stdout, program->collector, program->accounts, count);
    fflush(stdout);
}

static void program_release(struct program *program)
{
    /* It ends now anyway, with its result: a signal must not change that. */
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    sink_free(program->sink);
    collector_free(program->collector);
    state_free(program->state);
    if (program->term) {
        net_signal_free(program->term);
        net_signal_free(program->interrupt);
        net_timer_free(program->progress);
        net_timer_free(program->broker_patience);
    }
    for (size_t i = 0; program->accounts && i < program->conf->mailbox_count; i++)
        net_tls_unref(program->accounts[i].tls);
    free(program->accounts);
    net_loop_free(program->loop);
    conf_free(program->conf);
}

/* Each mailbox takes a descriptor; the usual soft limit is 1,024. */
static void program_raise_limits(void)
{
    struct rlimit limit;
    if (!getrlimit(RLIMIT_NOFILE, &limit) && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int main(int argc, char **argv)
{
    struct program program = {0};
    struct err err;
    int result;
    if (!collector_options_parse(argc, argv, &program.options, &result))
        return result;
    log_setup(program.options.log_level, program.options.log_format, stderr);
    if (program_load(&program) < 0)
        return EX_CONFIG;

    program_raise_limits();
    program.loop = net_loop_new();
    result = EX_CONFIG;
    if (program_make_accounts(&program, &err) < 0 || program_make_sink(&program, &err) < 0)
        goto out;
    result = EXIT_SOME_FAILED;
    if (program_open_state(&program, &err) < 0)
        goto out;
    program_run(&program);
    program_show_result(&program);
    result = program_result(&program);
    program_release(&program);
    return result;

out:
    log_error(NULL, "%s", err.text);
    program_release(&program);
    return result;
}
