#include "programs/collector_live.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "net/loop.h"
#include "programs/collector_changes.h"
#include "programs/collector_limits.h"
#include "programs/collector_reload.h"
#include "programs/collector_report.h"
#include "programs/collector_setup.h"
#include "programs/service.h"

enum {
    LIVE_TAKING = 20,             /* ms between two looks whether what was before is needed … */
    LIVE_TAKING_PATIENCE = 20000, /* … and how long a reload waits for that */
    LIVE_STARTING = 50,           /* ms between two looks whether the broker is there … */
    LIVE_BROKER_PATIENCE = 5000,  /* … until it is known to be away */
    LIVE_STATUS_INTERVAL = 30000, /* it takes a look at every mailbox */
    LIVE_SUMMARY_INTERVAL = 3600000,
};

struct live {
    struct net_loop *loop;
    const struct collector_options *options;
    struct clerk *clerk;
    struct collector *collector;
    struct tls_store *store;
    struct tokens *tokens;
    struct buf feed_key; /* of the sink that is in use; holds a secret */
    struct service *service;
    struct reload *reload; /* NULL: stopping */
    void (*hung_up)(void *ctx);
    void *ctx;
    struct net_signal *hup;
    struct net_timer *taking;
    struct net_timer *status;
    struct net_timer *summary;
    msec_t started;
    msec_t summed;            /* when the last summary was */
    struct report_sum before; /* as of then */
    bool takes;               /* the clerk has not been told yet that a configuration is in use */
    bool asked;               /* for a reload, which waits for that … */
    msec_t asked_until;       /* … at most until then */
    bool ready;
    bool on_terminal;
};

static void live_tell_status(struct live *live)
{
    char line[300];
    service_status(live->service, report_live(line, sizeof line, live->collector));
}

/* Once it is ready: how it goes; until then: whether it is. */
static void live_status(void *ctx)
{
    struct live *live = ctx;
    const char *broker;
    msec_t waited = net_loop_now(live->loop) - live->started;
    if (!live->ready) {
        live->ready = collector_sink_up(live->collector, &broker) || waited >= LIVE_BROKER_PATIENCE;
        if (live->ready)
            service_ready(live->service);
    }
    if (live->ready)
        live_tell_status(live);
    net_timer_start(live->status, live->ready ? LIVE_STATUS_INTERVAL : LIVE_STARTING);
}

static void live_summary(void *ctx)
{
    struct live *live = ctx;
    struct buf line = {0};
    msec_t now = net_loop_now(live->loop);
    report_summary(&line, live->collector, &live->before, now - live->summed);
    log_info(NULL, "%s", buf_cstr(&line));
    buf_release(&line);
    live->summed = now;
    live->before = report_add_up(live->collector);
    net_timer_start(live->summary, LIVE_SUMMARY_INTERVAL);
}

static void live_wipe_key(struct buf *key)
{
    if (key->data)
        mem_wipe(key->data, key->cap);
    buf_release(key);
}

/* Another feed needs another sink: *ret_sink stays NULL when it is the same. */
static int live_make_sink(struct live *live, const struct conf *conf, struct tls_store *store,
                          struct sink **ret_sink, struct err *err)
{
    struct buf key = {0};
    setup_feed_key(&conf->feed, &key);
    bool same = key.len == live->feed_key.len && !memcmp(key.data, live->feed_key.data, key.len);
    int result = same ? 0 : setup_sink_new(conf, live->loop, store, ret_sink, err);
    if (!same && result == 0) {
        live_wipe_key(&live->feed_key);
        live->feed_key = key;
    } else {
        live_wipe_key(&key);
    }
    return result;
}

static void live_log_changes(const struct changes *changes, bool feed)
{
    log_info(
        NULL,
        "the configuration is reloaded; mailboxes: %zu added, %zu removed, %zu changed, %zu as "
        "before; %s feed",
        changes->added, changes->removed, changes->changed, changes->unchanged,
        feed ? "another" : "the same");
}

/* A token that is being got for an account that is gone has its place with what was before, and
 * needs it until it is kept: the clerk has room for that and for what is loaded last. */
static bool live_needs_before(const struct live *live)
{
    return live->takes && tokens_busy(live->tokens) &&
           !(live->asked && net_loop_now(live->loop) >= live->asked_until);
}

/* Once nobody needs what was before, the clerk is told, and loads what it is asked for. */
static void live_take(void *ctx)
{
    struct live *live = ctx;
    if (live_needs_before(live)) {
        net_timer_start(live->taking, LIVE_TAKING);
        return;
    }
    if (live->takes)
        clerk_taken(live->clerk);
    if (live->asked)
        reload_request(live->reload);
    live->takes = live->asked = false;
}

/* All of it, or nothing and why. */
static int live_apply(struct live *live, const struct conf *conf, struct err *err)
{
    struct tls_store *store = tls_store_new(live->store);
    struct collect_account *accounts = NULL;
    struct sink *sink = NULL;
    if (setup_accounts_new(conf, store, live->tokens, &accounts, err) < 0 ||
        live_make_sink(live, conf, store, &sink, err) < 0) {
        setup_accounts_free(accounts, conf->mailbox_count);
        tls_store_free(store);
        return -1;
    }
    struct changes changes = changes_count(live->collector, accounts, conf->mailbox_count);
    live_log_changes(&changes, sink);
    limits_check(conf);
    setup_update_limits(conf, live->collector);
    if (sink)
        collector_set_sink(live->collector, sink, setup_payload(conf));
    collector_set_accounts(live->collector, accounts, conf->mailbox_count);
    setup_accounts_free(accounts, conf->mailbox_count);
    tokens_sweep(live->tokens);
    live->takes = true;
    live_take(live);
    tls_store_settle(store);
    tls_store_free(live->store);
    live->store = store;
    return 0;
}

static void live_log_problems(const struct conf_problems *problems)
{
    for (size_t i = 0; i < problems->count; i++)
        log_write(NULL, problems->items[i].warning ? LOG_LEVEL_WARNING : LOG_LEVEL_ERROR, "%s",
                  problems->items[i].text);
}

static void live_loaded(void *ctx, const struct conf *conf, const struct conf_problems *problems)
{
    struct live *live = ctx;
    struct err err;
    live_log_problems(problems);
    if (!conf)
        log_error(NULL, "%zu error%s in the configuration: it stays as it was before",
                  problems->errors, problems->errors == 1 ? "" : "s");
    else if (live_apply(live, conf, &err) < 0)
        log_error(NULL, "%s: the configuration stays as it was before", err.text);
    live->ready = true;
    service_ready(live->service);
    live_tell_status(live);
}

static void live_hup(void *ctx)
{
    struct live *live = ctx;
    if (!live->reload)
        return;
    if (live->on_terminal && !isatty(STDERR_FILENO)) {
        live->hung_up(live->ctx);
        return;
    }
    log_info(NULL, "reloading the configuration");
    service_reloading(live->service);
    if (!live->asked)
        live->asked_until = net_loop_now(live->loop) + LIVE_TAKING_PATIENCE;
    live->asked = true;
    live_take(live);
}

struct live *live_new(struct net_loop *loop, const struct collector_options *options,
                      struct clerk *clerk, struct collector *collector, const struct conf *conf,
                      struct tls_store *moved_store, struct tokens *tokens,
                      void (*hung_up)(void *ctx), void *ctx)
{
    struct live *live = mem_new(struct live);
    live->loop = loop;
    live->options = options;
    live->clerk = clerk;
    live->collector = collector;
    live->store = moved_store;
    live->tokens = tokens;
    live->hung_up = hung_up;
    live->ctx = ctx;
    live->on_terminal = isatty(STDERR_FILENO);
    setup_feed_key(&conf->feed, &live->feed_key);
    live->service = service_new(loop);
    live->reload = reload_new(loop, options, clerk, live_loaded, live);
    live->hup = net_signal_new(loop, SIGHUP, live_hup, live);
    live->taking = net_timer_new(loop, live_take, live);
    live->status = net_timer_new(loop, live_status, live);
    live->summary = net_timer_new(loop, live_summary, live);
    live->started = live->summed = net_loop_now(loop);
    net_timer_start(live->status, LIVE_STARTING);
    net_timer_start(live->summary, LIVE_SUMMARY_INTERVAL);
    return live;
}

void live_stopping(struct live *live)
{
    if (!live->reload)
        return;
    service_stopping(live->service);
    reload_free(live->reload);
    live->reload = NULL;
    live->asked = false;
}

void live_free(struct live *live)
{
    if (!live)
        return;
    live_stopping(live);
    net_signal_free(live->hup);
    net_timer_free(live->taking);
    net_timer_free(live->status);
    net_timer_free(live->summary);
    service_free(live->service);
    tls_store_free(live->store);
    live_wipe_key(&live->feed_key);
    free(live);
}
