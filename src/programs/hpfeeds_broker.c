/* hpfeeds-broker: the broker's options, wiring and signals. */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "broker/accounts.h"
#include "broker/broker.h"
#include "broker/endpoint.h"
#include "net/loop.h"
#include "net/tls.h"

enum {
    DAEMON_EXIT_FAILED = 1,
    DAEMON_EXIT_USAGE = 64,
    DAEMON_EXIT_CONFIG = 78,

    DAEMON_GRACE_MS = 2000,
    DAEMON_FRAME_MAX = 10 << 20,
    DAEMON_QUEUE_MAX = 64 << 20,
    DAEMON_FRAME_LIMIT = 1 << 30, /* what --max-frame may be: some peers read the length signed */
};

static const char daemon_usage[] =
    "Usage: hpfeeds-broker --auth env|FILE.json [OPTION]...\n"
    "An hpfeeds broker.\n"
    "\n"
    "  -e, --endpoint ENDPOINT  listen on tcp:interface=ADDRESS:port=PORT or\n"
    "                           tls:interface=ADDRESS:port=PORT:cert=FILE:key=FILE\n"
    "                           (can be used multiple times)\n"
    "      --bind HOST:PORT     listen there (default 0.0.0.0:20000); with TLS when\n"
    "                           --tlscert and --tlskey are given\n"
    "      --tlscert FILE       certificate chain (PEM)\n"
    "      --tlskey FILE        its key (PEM)\n"
    "      --auth env           accounts from HPFEEDS_<IDENT>_SECRET, _PUBCHANS,\n"
    "                           _SUBCHANS, _OWNER\n"
    "      --auth FILE.json     accounts from a file (--auth can be used multiple times)\n"
    "      --name NAME          the broker's name (default hpfeeds)\n"
    "      --max-frame SIZE     largest frame taken (default 10MiB)\n"
    "      --max-queue SIZE     a subscriber with more than this unread is cut off\n"
    "                           (default 64MiB)\n"
    "      --no-private-channels\n"
    "                           do not give each identity its channel confirm.IDENT\n"
    "      --log-level LEVEL    error, warning, info (default) or debug\n"
    "      --log-format FORMAT  text (default) or json\n"
    "      --debug              the same as --log-level debug\n"
    "  -h, --help               show this help\n"
    "  -V, --version            show the version\n";

struct daemon_options {
    struct broker_endpoint *endpoints;
    size_t endpoint_count;
    const char *bind;
    const char *tls_cert;
    const char *tls_key;
    const char **auths;
    size_t auth_count;
    struct broker_settings broker;
    enum log_level log_level;
    enum log_format log_format;
};

struct daemon {
    struct daemon_options options;
    struct broker_accounts *accounts;
    struct net_loop *loop;
    struct broker *broker;
    struct net_signal *signals[2];
    bool ending;
};

static int daemon_usage_error(const char *text)
{
    fprintf(stderr, "hpfeeds-broker: %s\nTry 'hpfeeds-broker --help'.\n", text);
    return DAEMON_EXIT_USAGE;
}

static int daemon_add_endpoint(struct daemon_options *options, struct broker_endpoint moved)
{
    options->endpoints = mem_realloc_array(options->endpoints, options->endpoint_count + 1,
                                           sizeof *options->endpoints);
    options->endpoints[options->endpoint_count++] = moved;
    return 0;
}

static int daemon_parse_endpoint(struct daemon_options *options, const char *text)
{
    struct broker_endpoint endpoint;
    struct err err;
    if (broker_endpoint_parse(text, &endpoint, &err))
        return daemon_usage_error(err.text);
    return daemon_add_endpoint(options, endpoint);
}

static int daemon_parse_auth(struct daemon_options *options, const char *text)
{
    size_t len = strlen(text);
    bool json = len > 5 && !strcmp(text + len - 5, ".json");
    if (!json && strcmp(text, "env") != 0)
        return daemon_usage_error("--auth is env or the name of a .json file: accounts in sqlite "
                                  "and other databases are not supported in this version");
    options->auths =
        mem_realloc_array(options->auths, options->auth_count + 1, sizeof(const char *));
    options->auths[options->auth_count++] = text;
    return 0;
}

static int daemon_parse_size(const char *option, const char *text, uint64_t least, uint64_t most,
                             size_t *ret_size)
{
    uint64_t size;
    if (!num_parse_size(text, strlen(text), most, &size) || size < least) {
        char *message = mem_printf("%s: \"%s\" is not a size, such as 10MiB, from %llu B up",
                                   option, text, (unsigned long long)least);
        int result = daemon_usage_error(message);
        free(message);
        return result;
    }
    *ret_size = (size_t)size;
    return 0;
}

enum {
    DAEMON_OPT_BIND = 256,
    DAEMON_OPT_TLSCERT,
    DAEMON_OPT_TLSKEY,
    DAEMON_OPT_AUTH,
    DAEMON_OPT_NAME,
    DAEMON_OPT_EXPORTER,
    DAEMON_OPT_MAX_FRAME,
    DAEMON_OPT_MAX_QUEUE,
    DAEMON_OPT_NO_PRIVATE,
    DAEMON_OPT_LOG_LEVEL,
    DAEMON_OPT_LOG_FORMAT,
    DAEMON_OPT_DEBUG,
};

static const struct option daemon_long_options[] = {
    {"endpoint", required_argument, NULL, 'e'},
    {"bind", required_argument, NULL, DAEMON_OPT_BIND},
    {"tlscert", required_argument, NULL, DAEMON_OPT_TLSCERT},
    {"tlskey", required_argument, NULL, DAEMON_OPT_TLSKEY},
    {"auth", required_argument, NULL, DAEMON_OPT_AUTH},
    {"name", required_argument, NULL, DAEMON_OPT_NAME},
    {"exporter", required_argument, NULL, DAEMON_OPT_EXPORTER},
    {"max-frame", required_argument, NULL, DAEMON_OPT_MAX_FRAME},
    {"max-queue", required_argument, NULL, DAEMON_OPT_MAX_QUEUE},
    {"no-private-channels", no_argument, NULL, DAEMON_OPT_NO_PRIVATE},
    {"log-level", required_argument, NULL, DAEMON_OPT_LOG_LEVEL},
    {"log-format", required_argument, NULL, DAEMON_OPT_LOG_FORMAT},
    {"debug", no_argument, NULL, DAEMON_OPT_DEBUG},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
};

static int daemon_set_option(struct daemon_options *options, int option, const char *value)
{
    switch (option) {
    case 'e':
        return daemon_parse_endpoint(options, value);
    case DAEMON_OPT_BIND:
        options->bind = value;
        return 0;
    case DAEMON_OPT_TLSCERT:
        options->tls_cert = value;
        return 0;
    case DAEMON_OPT_TLSKEY:
        options->tls_key = value;
        return 0;
    case DAEMON_OPT_AUTH:
        return daemon_parse_auth(options, value);
    case DAEMON_OPT_NAME:
        options->broker.name = value;
        return strlen(value) <= 255 ? 0 : daemon_usage_error("--name is longer than 255 bytes");
    case DAEMON_OPT_EXPORTER:
        return daemon_usage_error("--exporter is not supported in this version");
    case DAEMON_OPT_MAX_FRAME:
        return daemon_parse_size("--max-frame", value, 1024, DAEMON_FRAME_LIMIT,
                                 &options->broker.max_frame);
    case DAEMON_OPT_MAX_QUEUE:
        return daemon_parse_size("--max-queue", value, 1, SIZE_MAX, &options->broker.queue_max);
    case DAEMON_OPT_NO_PRIVATE:
        options->broker.private_channels = false;
        return 0;
    case DAEMON_OPT_LOG_LEVEL:
        return log_level_parse(value, &options->log_level)
                   ? 0
                   : daemon_usage_error("--log-level is one of error, warning, info, debug");
    case DAEMON_OPT_LOG_FORMAT:
        return log_format_parse(value, &options->log_format)
                   ? 0
                   : daemon_usage_error("--log-format is one of text, json");
    case DAEMON_OPT_DEBUG:
        options->log_level = LOG_LEVEL_DEBUG;
        return 0;
    default:
        fputs("Try 'hpfeeds-broker --help'.\n", stderr);
        return DAEMON_EXIT_USAGE;
    }
}

/* --bind, or what stands for it when no endpoint was given. */
static int daemon_add_bind(struct daemon_options *options)
{
    if (!options->tls_cert != !options->tls_key)
        return daemon_usage_error("--tlscert and --tlskey go together");
    if (!options->bind && options->endpoint_count)
        return 0;
    struct broker_endpoint endpoint;
    struct err err;
    if (broker_endpoint_parse_bind(options->bind ? options->bind : "0.0.0.0:20000", &endpoint,
                                   &err)) {
        err_prefix(&err, "--bind");
        return daemon_usage_error(err.text);
    }
    endpoint.tls = options->tls_cert;
    endpoint.cert = mem_strdup(options->tls_cert);
    endpoint.key = mem_strdup(options->tls_key);
    return daemon_add_endpoint(options, endpoint);
}

/* 0: go on; -1: help or the version was shown; else the exit code. */
static int daemon_parse(struct daemon_options *options, int argc, char **argv)
{
    int option, result = 0;
    while (!result && (option = getopt_long(argc, argv, "e:hV", daemon_long_options, NULL)) >= 0) {
        if (option == 'h' || option == 'V') {
            fputs(option == 'h' ? daemon_usage : "hpfeeds-broker " PROJECT_VERSION "\n", stdout);
            return -1;
        }
        result = daemon_set_option(options, option, optarg);
    }
    if (result)
        return result;
    if (optind < argc)
        return daemon_usage_error("there is an argument too many");
    if (!options->auth_count)
        return daemon_usage_error("no accounts: give --auth env or --auth FILE.json");
    return daemon_add_bind(options);
}

static void daemon_warn_readable(const char *path)
{
    struct stat status;
    if (!stat(path, &status) && status.st_mode & S_IROTH)
        log_warning(NULL, "%s holds secrets and can be read by everyone", path);
}

static int daemon_load_accounts(struct daemon *daemon)
{
    struct err err;
    daemon->accounts = broker_accounts_new();
    for (size_t i = 0; i < daemon->options.auth_count; i++) {
        const char *auth = daemon->options.auths[i];
        bool env = !strcmp(auth, "env");
        if (env ? broker_accounts_add_env(daemon->accounts, environ, &err)
                : broker_accounts_add_json(daemon->accounts, auth, &err)) {
            log_error(NULL, "%s", err.text);
            return DAEMON_EXIT_CONFIG;
        }
        if (!env)
            daemon_warn_readable(auth);
    }
    size_t count = broker_accounts_count(daemon->accounts);
    if (!count)
        log_warning(NULL, "no accounts: nobody will be able to authenticate");
    else
        log_info(NULL, "%zu account%s", count, count == 1 ? "" : "s");
    return 0;
}

static int daemon_listen(struct daemon *daemon, const struct broker_endpoint *endpoint)
{
    struct err err;
    struct net_tls *tls = NULL;
    if (endpoint->tls && net_tls_server_new(endpoint->cert, endpoint->key, &tls, &err)) {
        log_error(NULL, "%s", err.text);
        return DAEMON_EXIT_CONFIG;
    }
    uint16_t port;
    int result = broker_listen(daemon->broker, endpoint->host, endpoint->port, tls, &port, &err);
    net_tls_unref(tls);
    if (result) {
        log_error(NULL, "%s", err.text);
        return DAEMON_EXIT_FAILED;
    }
    bool bracket = strchr(endpoint->host, ':');
    log_info(NULL, "listening on %s %s%s%s:%u", endpoint->tls ? "tls" : "tcp", bracket ? "[" : "",
             *endpoint->host ? endpoint->host : "*", bracket ? "]" : "", (unsigned)port);
    return 0;
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
    daemon_raise_descriptors();
    daemon->loop = net_loop_new();
    daemon->signals[0] = net_signal_new(daemon->loop, SIGTERM, daemon_on_signal, daemon);
    daemon->signals[1] = net_signal_new(daemon->loop, SIGINT, daemon_on_signal, daemon);
    daemon->options.broker.accounts = daemon->accounts;
    daemon->broker = broker_new(daemon->loop, &daemon->options.broker);

    int result = 0;
    for (size_t i = 0; i < daemon->options.endpoint_count && !result; i++)
        result = daemon_listen(daemon, &daemon->options.endpoints[i]);
    if (!result)
        net_loop_run(daemon->loop);

    broker_free(daemon->broker);
    net_signal_free(daemon->signals[0]);
    net_signal_free(daemon->signals[1]);
    net_loop_free(daemon->loop);
    return result;
}

static void daemon_release(struct daemon *daemon)
{
    for (size_t i = 0; i < daemon->options.endpoint_count; i++)
        broker_endpoint_release(&daemon->options.endpoints[i]);
    free(daemon->options.endpoints);
    free(daemon->options.auths);
    broker_accounts_free(daemon->accounts);
}

int main(int argc, char **argv)
{
    struct daemon daemon = {
        .options =
            {
                .broker =
                    {
                        .name = "hpfeeds",
                        .max_frame = DAEMON_FRAME_MAX,
                        .queue_max = DAEMON_QUEUE_MAX,
                        .private_channels = true,
                    },
                .log_level = LOG_LEVEL_INFO,
            },
    };
    int result = daemon_parse(&daemon.options, argc, argv);
    if (!result) {
        log_setup(daemon.options.log_level, daemon.options.log_format, stderr);
        result = daemon_load_accounts(&daemon);
    }
    if (!result)
        result = daemon_serve(&daemon);
    daemon_release(&daemon);
    return result < 0 ? 0 : result;
}
