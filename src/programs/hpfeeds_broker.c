/* hpfeeds-broker: wiring and signals; its options are in broker/. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "broker/account.h"
#include "broker/accounts.h"
#include "broker/broker.h"
#include "broker/exporter.h"
#include "broker/store.h"
#include "fence/process.h"
#include "fence/user.h"
#include "net/conn.h"
#include "net/loop.h"
#include "net/tls.h"
#include "programs/broker/certs.h"
#include "programs/broker/fences.h"
#include "programs/broker/options.h"
#include "programs/broker/process.h"
#include "programs/service.h"

enum {
    DAEMON_GRACE_MS = 2000,
    DAEMON_CHECK_MS = 2000, /* how often files are looked at */
    DAEMON_SIGNALS = 3,
    DAEMON_ADDRESS = 64,
};

struct daemon {
    struct daemon_options options;
    struct broker_accounts *accounts;
    struct net_loop *loop;
    struct broker_store *store;
    struct broker *broker;
    struct broker_exporter *exporter;
    struct daemon_cert **certs;
    size_t cert_count;
    struct net_signal *signals[DAEMON_SIGNALS];
    struct net_timer *check;
    struct service *service;
    int socket_count; /* passed by systemd */
    char **socket_names;
    bool ending;
};

static void daemon_warn_readable(const char *path)
{
    struct stat status;
    if (!stat(path, &status) && status.st_mode & S_IROTH)
        log_warning(NULL, "%s holds secrets and can be read by everyone", path);
}

static int daemon_add_sqlite(struct daemon *daemon, const char *auth, const char *path,
                             struct err *err)
{
    if (strcmp(auth, "sqlite") != 0 && strncmp(auth, "sqlite:", 7) != 0)
        log_warning(NULL,
                    "--auth %s means the accounts in ./sqlite.db: say \"sqlite\", or "
                    "\"sqlite:FILE\" for another file",
                    auth);
    int result = broker_accounts_add_sqlite(daemon->accounts, path, err);
    if (!result) {
        log_info(NULL, "accounts in %s", path);
        daemon_warn_readable(path);
    }
    return result;
}

/* *databases: there is one, whose accounts are not counted. */
static int daemon_add_auth(struct daemon *daemon, const char *auth, bool *databases,
                           struct err *err)
{
    const char *path;
    switch (daemon_auth_parse(auth, &path)) {
    case DAEMON_AUTH_ENV:
        return broker_accounts_add_env(daemon->accounts, environ, err);
    case DAEMON_AUTH_JSON:
        daemon_warn_readable(path);
        return broker_accounts_add_json(daemon->accounts, path, err);
    case DAEMON_AUTH_DATABASE:
        *databases = true;
        daemon_warn_readable(path);
        return broker_accounts_add_database(daemon->accounts, path, err);
    case DAEMON_AUTH_SQLITE:
        break;
    }
    *databases = true;
    return daemon_add_sqlite(daemon, auth, path, err);
}

static int daemon_load_accounts(struct daemon *daemon)
{
    bool databases = false;
    daemon->accounts = broker_accounts_new(daemon->loop);
    for (size_t i = 0; i < daemon->options.auth_count; i++) {
        struct err err;
        if (daemon_add_auth(daemon, daemon->options.auths[i], &databases, &err)) {
            log_error(NULL, "%s", err.text);
            return DAEMON_EXIT_CONFIG;
        }
    }
    size_t count = broker_accounts_count(daemon->accounts);
    if (!count && !databases)
        log_warning(NULL, "no accounts: nobody will be able to authenticate");
    else if (count)
        log_info(NULL, "%zu account%s", count, count == 1 ? "" : "s");
    return 0;
}

/* A queue that nobody can read fills up. The environment's names are written in any case: the
 * account's own is what the subscriber will be found by. */
static void daemon_on_durable(void *ctx, struct broker_account *account, const struct err *err)
{
    struct daemon_durable *durable = ctx;
    if (err)
        return;
    if (!account) {
        log_warning(NULL, "durable subscription %s %s: there is no account of that name",
                    durable->ident, durable->channel);
        return;
    }
    if (!broker_account_may_subscribe(account, durable->channel, strlen(durable->channel)))
        log_warning(NULL, "durable subscription %s %s: the account may not subscribe to it",
                    durable->ident, durable->channel);
    free(durable->ident);
    durable->ident = mem_strdup(account->ident);
}

/* Databases answer when the store is open already; the names in them are written in one way. */
static void daemon_check_durable(struct daemon *daemon)
{
    for (size_t i = 0; i < daemon->options.durable_count; i++) {
        struct daemon_durable *durable = &daemon->options.durable[i];
        broker_accounts_lookup(daemon->accounts, durable->ident, strlen(durable->ident),
                               daemon_on_durable, durable);
    }
}

static int daemon_open_store(struct daemon *daemon)
{
    const struct daemon_options *options = &daemon->options;
    struct broker_store_settings settings = {
        .directory = options->store,
        .queue_max = options->store_limit,
        .drop_oldest = options->store_drop_oldest,
    };
    struct err err;
    if (!options->durable_count)
        return 0;
    daemon_check_durable(daemon);
    int result = broker_store_open(daemon->loop, &settings, &daemon->store, &err);
    for (size_t i = 0; i < options->durable_count && !result; i++)
        result = broker_store_add(daemon->store, options->durable[i].ident,
                                  options->durable[i].channel, &err);
    if (result)
        log_error(NULL, "%s", err.text);
    return result ? DAEMON_EXIT_FAILED : 0;
}

static struct daemon_cert *daemon_add_cert(struct daemon *daemon, const char *cert, const char *key)
{
    struct daemon_cert *added = mem_new(struct daemon_cert);
    added->cert = cert;
    added->key = key ? key : cert;
    daemon->certs =
        mem_realloc_array(daemon->certs, daemon->cert_count + 1, sizeof(struct daemon_cert *));
    daemon->certs[daemon->cert_count++] = added;
    return added;
}

/* `cert` NULL: plain. */
static int daemon_listen(struct daemon *daemon, const struct net_listen_target *target,
                         const char *cert, const char *key)
{
    struct err err;
    struct net_tls *tls = NULL;
    struct daemon_cert *kept = cert ? daemon_add_cert(daemon, cert, key) : NULL;
    if (kept && daemon_cert_load(kept, &tls, &err)) {
        log_error(NULL, "%s", err.text);
        return DAEMON_EXIT_CONFIG;
    }
    struct net_listener *listener;
    int result = broker_listen(daemon->broker, target, tls, &listener, &err);
    net_tls_unref(tls);
    if (result) {
        log_error(NULL, "%s", err.text);
        return DAEMON_EXIT_FAILED;
    }
    char address[DAEMON_ADDRESS];
    if (kept)
        kept->listener = listener;
    log_info(NULL, "listening on %s %s%s%s", tls ? "tls" : "tcp",
             net_listener_address(listener, address, sizeof address), target->device ? " of " : "",
             target->device ? target->device : "");
    return 0;
}

static int daemon_listen_endpoint(struct daemon *daemon, const struct broker_endpoint *endpoint)
{
    struct net_listen_target target = {
        .host = endpoint->host,
        .port = endpoint->port,
        .device = endpoint->device,
    };
    return daemon_listen(daemon, &target, endpoint->tls ? endpoint->cert : NULL, endpoint->key);
}

/* One that systemd calls "tls" speaks TLS. */
static int daemon_listen_socket(struct daemon *daemon, int i)
{
    struct net_listen_target target = {.fd = SD_LISTEN_FDS_START + i};
    bool tls = daemon->socket_names && !strcmp(daemon->socket_names[i], "tls");
    if (tls && !daemon->options.tls_cert) {
        log_error(NULL, "a socket named tls, but no --tlscert and --tlskey");
        return DAEMON_EXIT_USAGE;
    }
    return daemon_listen(daemon, &target, tls ? daemon->options.tls_cert : NULL,
                         daemon->options.tls_key);
}

static void daemon_on_render(void *ctx, struct buf *out)
{
    struct daemon *daemon = ctx;
    broker_render_metrics(daemon->broker, out);
    daemon_render_process(out);
}

static int daemon_start_exporter(struct daemon *daemon)
{
    const struct broker_endpoint *where = &daemon->options.exporter;
    struct err err;
    if (!daemon->options.has_exporter)
        return 0;
    if (broker_exporter_new(daemon->loop, where->host, where->port, daemon_on_render, daemon,
                            &daemon->exporter, &err)) {
        err_prefix(&err, "--exporter");
        log_error(NULL, "%s", err.text);
        return DAEMON_EXIT_FAILED;
    }
    log_info(NULL, "metrics on port %u", (unsigned)broker_exporter_port(daemon->exporter));
    return 0;
}

static int daemon_listen_all(struct daemon *daemon)
{
    int result = 0;
    for (int i = 0; i < daemon->socket_count && !result; i++)
        result = daemon_listen_socket(daemon, i);
    for (size_t i = 0; i < daemon->options.endpoint_count && !result; i++)
        result = daemon_listen_endpoint(daemon, &daemon->options.endpoints[i]);
    return result ? result : daemon_start_exporter(daemon);
}

static void daemon_check_files(struct daemon *daemon, bool anyway)
{
    broker_accounts_refresh(daemon->accounts);
    for (size_t i = 0; i < daemon->cert_count; i++)
        daemon_cert_check(daemon->certs[i], anyway);
}

static void daemon_on_check(void *ctx)
{
    struct daemon *daemon = ctx;
    daemon_check_files(daemon, false);
    net_timer_start(daemon->check, DAEMON_CHECK_MS);
}

static void daemon_on_hangup(void *ctx)
{
    struct daemon *daemon = ctx;
    service_reloading(daemon->service);
    daemon_check_files(daemon, true);
    service_ready(daemon->service);
}

static void daemon_on_ended(void *ctx)
{
    struct daemon *daemon = ctx;
    net_loop_stop(daemon->loop);
}

static void daemon_on_signal(void *ctx)
{
    struct daemon *daemon = ctx;
    if (daemon->ending) { /* asked twice: at once */
        net_loop_stop(daemon->loop);
        return;
    }
    daemon->ending = true;
    log_info(NULL, "ending");
    service_stopping(daemon->service);
    broker_end(daemon->broker, DAEMON_GRACE_MS, daemon_on_ended, daemon);
}

/* A connection is a descriptor: take as many as we may. */
static void daemon_raise_descriptors(void)
{
    struct rlimit limit;
    if (!getrlimit(RLIMIT_NOFILE, &limit)) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int daemon_serve(struct daemon *daemon)
{
    daemon->signals[0] = net_signal_new(daemon->loop, SIGTERM, daemon_on_signal, daemon);
    daemon->signals[1] = net_signal_new(daemon->loop, SIGINT, daemon_on_signal, daemon);
    daemon->signals[2] = net_signal_new(daemon->loop, SIGHUP, daemon_on_hangup, daemon);
    daemon->service = service_new(daemon->loop);
    daemon->check = net_timer_new(daemon->loop, daemon_on_check, daemon);
    daemon->options.broker.accounts = daemon->accounts;
    daemon->options.broker.store = daemon->store;
    daemon->broker = broker_new(daemon->loop, &daemon->options.broker);

    int result = daemon_listen_all(daemon);
    if (!result) {
        if (!daemon->options.no_sandbox)
            daemon_fences_calls();
        net_timer_start(daemon->check, DAEMON_CHECK_MS);
        service_ready(daemon->service);
        net_loop_run(daemon->loop);
    }
    broker_exporter_free(daemon->exporter);
    broker_free(daemon->broker);
    net_timer_free(daemon->check);
    service_free(daemon->service);
    for (size_t i = 0; i < DAEMON_SIGNALS; i++)
        net_signal_free(daemon->signals[i]);
    return result;
}

/* The usual broker runs as whoever starts it, and so does this one; but it says what that means. */
static int daemon_settle(const struct daemon_options *options, struct err *err)
{
    if (options->user) {
        if (fence_user_become(options->user, err))
            return DAEMON_EXIT_USAGE;
        fence_process();
    } else if (geteuid() == 0) {
        log_warning(NULL, "it runs as root, who could be taken over: say --user NAME to run as "
                          "that user, or --user root");
    }
    return 0;
}

/* Who it is, and the fence that has to stand before there are threads. */
static int daemon_enclose(const struct daemon_options *options)
{
    struct err err;
    int result = daemon_settle(options, &err);
    if (!result && options->durable_count && broker_store_make(options->store, &err))
        result = DAEMON_EXIT_FAILED;
    if (result)
        log_error(NULL, "%s", err.text);
    else if (!options->no_sandbox)
        daemon_fences_files(options);
    return result;
}

static int daemon_run(struct daemon *daemon)
{
    daemon_raise_descriptors();
    int result = daemon_enclose(&daemon->options);
    if (result)
        return result;
    daemon->loop = net_loop_new();
    result = daemon_load_accounts(daemon);
    if (!result)
        result = daemon_open_store(daemon);
    if (!result)
        result = daemon_serve(daemon);
    broker_store_free(daemon->store);
    broker_accounts_free(daemon->accounts);
    net_loop_free(daemon->loop);
    return result;
}

int main(int argc, char **argv)
{
    struct daemon daemon = {0};
    mem_keep_large();
    fence_process();
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error like others */
    int sockets = sd_listen_fds_with_names(1, &daemon.socket_names);
    daemon.socket_count = sockets > 0 ? sockets : 0;
    int result = daemon_options_parse(&daemon.options, argc, argv, daemon.socket_count);
    if (!result) {
        log_setup(daemon.options.log_level, daemon.options.log_format, stderr);
        result = daemon_run(&daemon);
    }
    for (size_t i = 0; i < daemon.cert_count; i++)
        free(daemon.certs[i]);
    free(daemon.certs);
    for (int i = 0; i < daemon.socket_count && daemon.socket_names; i++)
        free(daemon.socket_names[i]);
    free(daemon.socket_names);
    daemon_options_release(&daemon.options);
    return result < 0 ? 0 : result;
}
