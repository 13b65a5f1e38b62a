#include "programs/broker/options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/num.h"
#include "conf/broker.h"

enum {
    DAEMON_FRAME_LIMIT = 1 << 30, /* what --max-frame may be: some peers read the length signed */
};

static const uint64_t daemon_store_limit = (uint64_t)10 << 30;

static const char daemon_usage[] =
    "Usage: hpfeeds-broker [OPTION]...\n"
    "An hpfeeds broker.\n"
    "\n"
    "      --config FILE        read options from a YAML file; what is given here counts more\n"
    "  -e, --endpoint ENDPOINT  listen on tcp:interface=ADDRESS:port=PORT:device=DEVICE or\n"
    "                           tls:interface=ADDRESS:port=PORT:cert=FILE:key=FILE\n"
    "                           (can be used multiple times)\n"
    "      --bind HOST:PORT     listen there (default 0.0.0.0:20000); with TLS when\n"
    "                           --tlscert and --tlskey are given\n"
    "      --tlscert FILE       certificate chain (PEM)\n"
    "      --tlskey FILE        its key (PEM)\n"
    "      --exporter HOST:PORT answer /metrics (Prometheus) and /healthz there\n"
    "      --name NAME          the broker's name (default hpfeeds)\n"
    "\n"
    "Accounts (--auth can be used multiple times):\n"
    "      --auth env           HPFEEDS_<IDENT>_SECRET, _PUBCHANS, _SUBCHANS, _OWNER\n"
    "      --auth FILE.json     a file, read again when it changes\n"
    "      --auth sqlite        the table authkeys in ./sqlite.db (this is the default)\n"
    "      --auth sqlite:FILE   the same in another file\n"
    "      --auth database+sqlite:///FILE\n"
    "                           the table auth_keys there\n"
    "\n"
    "Limits:\n"
    "      --max-frame SIZE     largest frame taken (default 10MiB)\n"
    "      --max-queue SIZE     most that is queued for a subscriber (default 64MiB)\n"
    "      --slow-subscribers disconnect|drop-oldest\n"
    "                           what then happens (default disconnect)\n"
    "      --max-memory SIZE    most that is queued for all (default 1GiB)\n"
    "      --auth-timeout TIME  for a client to authenticate (default 30 s)\n"
    "      --max-unauthenticated N\n"
    "                           clients of one address that have not yet (default 500; 0: any)\n"
    "      --max-per-address N  clients of one address (default 0: any number)\n"
    "\n"
    "Durable subscriptions:\n"
    "      --durable IDENT=CHANNEL\n"
    "                           keep on disk what is for IDENT until it has it (can be used\n"
    "                           multiple times)\n"
    "      --store DIR          where (default $STATE_DIRECTORY)\n"
    "      --store-limit SIZE   most for one subscription (default 10GiB)\n"
    "      --store-full refuse|drop-oldest\n"
    "                           what then happens to what is published (default refuse)\n"
    "\n"
    "      --no-private-channels\n"
    "                           do not give each identity its channel confirm.IDENT\n"
    "      --user NAME          run as this user, with its groups\n"
    "      --no-sandbox         without the fences that keep it from other files,\n"
    "                           programs and sockets: for debuggers\n"
    "      --log-level LEVEL    error, warning, info (default) or debug\n"
    "      --log-format FORMAT  text (default) or json\n"
    "      --debug              the same as --log-level debug\n"
    "  -h, --help               show this help\n"
    "  -V, --version            show the version\n";

static int daemon_usage_error(const char *text)
{
    fprintf(stderr, "hpfeeds-broker: %s\nTry 'hpfeeds-broker --help'.\n", text);
    return DAEMON_EXIT_USAGE;
}

static bool daemon_begins(const char *text, const char *prefix)
{
    return !strncmp(text, prefix, strlen(prefix));
}

/* The usual broker takes every other word for its SQLite file. */
enum daemon_auth daemon_auth_parse(const char *auth, const char **ret_path)
{
    static const char sqlite[] = "sqlite:", database[] = "database+sqlite:///";
    size_t len = strlen(auth);
    *ret_path = NULL;
    if (!strcmp(auth, "env"))
        return DAEMON_AUTH_ENV;
    if (len >= 5 && !strcmp(auth + len - 5, ".json")) {
        *ret_path = auth;
        return DAEMON_AUTH_JSON;
    }
    if (daemon_begins(auth, database)) {
        *ret_path = auth + sizeof database - 1;
        return DAEMON_AUTH_DATABASE;
    }
    *ret_path = daemon_begins(auth, sqlite) ? auth + sizeof sqlite - 1 : "sqlite.db";
    return DAEMON_AUTH_SQLITE;
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

static int daemon_parse_exporter(struct daemon_options *options, const char *text)
{
    struct broker_endpoint endpoint;
    struct err err;
    if (!*text) /* the usual broker's way to have none */
        return 0;
    if (broker_endpoint_parse_bind(text, &endpoint, &err)) {
        err_prefix(&err, "--exporter");
        return daemon_usage_error(err.text);
    }
    broker_endpoint_release(&options->exporter);
    options->exporter = endpoint;
    options->has_exporter = true;
    return 0;
}

/* The usual broker has more databases. */
static int daemon_add_auth(struct daemon_options *options, const char *text)
{
    static const char database[] = "database+", sqlite[] = "database+sqlite:///";
    if (!strncmp(text, "mongo", 5) || (!strncmp(text, database, sizeof database - 1) &&
                                       strncmp(text, sqlite, sizeof sqlite - 1) != 0))
        return daemon_usage_error("--auth: of databases only SQLite is supported");
    options->auths =
        mem_realloc_array(options->auths, options->auth_count + 1, sizeof(const char *));
    options->auths[options->auth_count++] = text;
    return 0;
}

static int daemon_add_durable(struct daemon_options *options, const char *ident, size_t ident_len,
                              const char *channel)
{
    options->durable =
        mem_realloc_array(options->durable, options->durable_count + 1, sizeof *options->durable);
    options->durable[options->durable_count++] = (struct daemon_durable){
        .ident = mem_strndup(ident, ident_len),
        .channel = mem_strdup(channel),
    };
    return 0;
}

static int daemon_parse_durable(struct daemon_options *options, const char *text)
{
    const char *equals = strchr(text, '=');
    if (!equals || equals == text || !equals[1])
        return daemon_usage_error("--durable is IDENT=CHANNEL");
    return daemon_add_durable(options, text, (size_t)(equals - text), equals + 1);
}

static int daemon_parse_size(const char *option, const char *text, uint64_t least, uint64_t most,
                             uint64_t *ret_size)
{
    uint64_t size;
    if (!num_parse_size(text, strlen(text), most, &size) || size < least) {
        char *message = mem_printf("%s: \"%s\" is not a size, such as 10MiB, from %llu B up",
                                   option, text, (unsigned long long)least);
        int result = daemon_usage_error(message);
        free(message);
        return result;
    }
    *ret_size = size;
    return 0;
}

static int daemon_parse_size_t(const char *option, const char *text, uint64_t least, uint64_t most,
                               size_t *ret_size)
{
    uint64_t size = *ret_size;
    int result = daemon_parse_size(option, text, least, most, &size);
    *ret_size = (size_t)size;
    return result;
}

static int daemon_parse_number(const char *option, const char *text, size_t *ret_number)
{
    uint64_t number;
    if (!num_parse_u64(text, strlen(text), UINT32_MAX, &number)) {
        char *message = mem_printf("%s: \"%s\" is not a number", option, text);
        int result = daemon_usage_error(message);
        free(message);
        return result;
    }
    *ret_number = (size_t)number;
    return 0;
}

static int daemon_parse_timeout(const char *text, msec_t *ret_time)
{
    if (!num_parse_duration(text, strlen(text), 3600000, ret_time) || *ret_time < 100)
        return daemon_usage_error("--auth-timeout is a time from 0.1 s to 1 h");
    return 0;
}

static int daemon_parse_policy(const char *option, const char *text, const char *first,
                               bool *ret_drop_oldest)
{
    *ret_drop_oldest = !strcmp(text, "drop-oldest");
    if (*ret_drop_oldest || !strcmp(text, first))
        return 0;
    char *message = mem_printf("%s is one of %s, drop-oldest", option, first);
    int result = daemon_usage_error(message);
    free(message);
    return result;
}

static int daemon_parse_log_level(struct daemon_options *options, const char *text)
{
    return log_level_parse(text, &options->log_level)
               ? 0
               : daemon_usage_error("--log-level is one of error, warning, info, debug");
}

static int daemon_parse_log_format(struct daemon_options *options, const char *text)
{
    return log_format_parse(text, &options->log_format)
               ? 0
               : daemon_usage_error("--log-format is one of text, json");
}

static int daemon_set_name(struct daemon_options *options, const char *name)
{
    options->broker.name = name;
    return strlen(name) <= 255 ? 0 : daemon_usage_error("--name is longer than 255 bytes");
}

enum {
    DAEMON_OPT_BIND = 256,
    DAEMON_OPT_CONFIG,
    DAEMON_OPT_TLSCERT,
    DAEMON_OPT_TLSKEY,
    DAEMON_OPT_AUTH,
    DAEMON_OPT_NAME,
    DAEMON_OPT_EXPORTER,
    DAEMON_OPT_MAX_FRAME,
    DAEMON_OPT_MAX_QUEUE,
    DAEMON_OPT_MAX_MEMORY,
    DAEMON_OPT_SLOW,
    DAEMON_OPT_AUTH_TIMEOUT,
    DAEMON_OPT_MAX_STRANGERS,
    DAEMON_OPT_MAX_PER_ADDRESS,
    DAEMON_OPT_DURABLE,
    DAEMON_OPT_STORE,
    DAEMON_OPT_STORE_LIMIT,
    DAEMON_OPT_STORE_FULL,
    DAEMON_OPT_NO_PRIVATE,
    DAEMON_OPT_USER,
    DAEMON_OPT_NO_SANDBOX,
    DAEMON_OPT_LOG_LEVEL,
    DAEMON_OPT_LOG_FORMAT,
    DAEMON_OPT_DEBUG,
};

static const struct option daemon_long_options[] = {
    {"endpoint", required_argument, NULL, 'e'},
    {"config", required_argument, NULL, DAEMON_OPT_CONFIG},
    {"bind", required_argument, NULL, DAEMON_OPT_BIND},
    {"tlscert", required_argument, NULL, DAEMON_OPT_TLSCERT},
    {"tlskey", required_argument, NULL, DAEMON_OPT_TLSKEY},
    {"auth", required_argument, NULL, DAEMON_OPT_AUTH},
    {"name", required_argument, NULL, DAEMON_OPT_NAME},
    {"exporter", required_argument, NULL, DAEMON_OPT_EXPORTER},
    {"max-frame", required_argument, NULL, DAEMON_OPT_MAX_FRAME},
    {"max-queue", required_argument, NULL, DAEMON_OPT_MAX_QUEUE},
    {"max-memory", required_argument, NULL, DAEMON_OPT_MAX_MEMORY},
    {"slow-subscribers", required_argument, NULL, DAEMON_OPT_SLOW},
    {"auth-timeout", required_argument, NULL, DAEMON_OPT_AUTH_TIMEOUT},
    {"max-unauthenticated", required_argument, NULL, DAEMON_OPT_MAX_STRANGERS},
    {"max-per-address", required_argument, NULL, DAEMON_OPT_MAX_PER_ADDRESS},
    {"durable", required_argument, NULL, DAEMON_OPT_DURABLE},
    {"store", required_argument, NULL, DAEMON_OPT_STORE},
    {"store-limit", required_argument, NULL, DAEMON_OPT_STORE_LIMIT},
    {"store-full", required_argument, NULL, DAEMON_OPT_STORE_FULL},
    {"no-private-channels", no_argument, NULL, DAEMON_OPT_NO_PRIVATE},
    {"user", required_argument, NULL, DAEMON_OPT_USER},
    {"no-sandbox", no_argument, NULL, DAEMON_OPT_NO_SANDBOX},
    {"log-level", required_argument, NULL, DAEMON_OPT_LOG_LEVEL},
    {"log-format", required_argument, NULL, DAEMON_OPT_LOG_FORMAT},
    {"debug", no_argument, NULL, DAEMON_OPT_DEBUG},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
};

static const char daemon_short_options[] = "e:hV";

static int daemon_set_limit(struct daemon_options *options, int option, const char *value)
{
    struct broker_settings *broker = &options->broker;
    switch (option) {
    case DAEMON_OPT_MAX_FRAME:
        return daemon_parse_size_t("--max-frame", value, 1024, DAEMON_FRAME_LIMIT,
                                   &broker->max_frame);
    case DAEMON_OPT_MAX_QUEUE:
        return daemon_parse_size_t("--max-queue", value, 1, SIZE_MAX, &broker->queue_max);
    case DAEMON_OPT_MAX_MEMORY:
        return daemon_parse_size_t("--max-memory", value, 1 << 20, SIZE_MAX, &broker->memory_max);
    case DAEMON_OPT_SLOW:
        return daemon_parse_policy("--slow-subscribers", value, "disconnect", &broker->drop_oldest);
    case DAEMON_OPT_AUTH_TIMEOUT:
        return daemon_parse_timeout(value, &broker->auth_deadline);
    case DAEMON_OPT_MAX_STRANGERS:
        return daemon_parse_number("--max-unauthenticated", value, &broker->strangers_max);
    case DAEMON_OPT_MAX_PER_ADDRESS:
        return daemon_parse_number("--max-per-address", value, &broker->address_max);
    case DAEMON_OPT_STORE_LIMIT:
        return daemon_parse_size("--store-limit", value, 1 << 20, INT64_MAX, &options->store_limit);
    case DAEMON_OPT_STORE_FULL:
        return daemon_parse_policy("--store-full", value, "refuse", &options->store_drop_oldest);
    default:
        fputs("Try 'hpfeeds-broker --help'.\n", stderr);
        return DAEMON_EXIT_USAGE;
    }
}

static int daemon_set_option(struct daemon_options *options, int option, const char *value)
{
    switch (option) {
    case 'e':
        return daemon_parse_endpoint(options, value);
    case DAEMON_OPT_CONFIG:
        return 0; /* was read first */
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
        return daemon_add_auth(options, value);
    case DAEMON_OPT_NAME:
        return daemon_set_name(options, value);
    case DAEMON_OPT_EXPORTER:
        return daemon_parse_exporter(options, value);
    case DAEMON_OPT_DURABLE:
        return daemon_parse_durable(options, value);
    case DAEMON_OPT_STORE:
        options->store = value;
        return 0;
    case DAEMON_OPT_NO_PRIVATE:
        options->broker.private_channels = false;
        return 0;
    case DAEMON_OPT_USER:
        options->user = value;
        return 0;
    case DAEMON_OPT_NO_SANDBOX:
        options->no_sandbox = true;
        return 0;
    case DAEMON_OPT_LOG_LEVEL:
        return daemon_parse_log_level(options, value);
    case DAEMON_OPT_LOG_FORMAT:
        return daemon_parse_log_format(options, value);
    case DAEMON_OPT_DEBUG:
        options->log_level = LOG_LEVEL_DEBUG;
        return 0;
    default:
        return daemon_set_limit(options, option, value);
    }
}

/* A path that starts where the file is. NULL does nothing. */
static void daemon_resolve(const char *file, char **path)
{
    const char *slash = strrchr(file, '/');
    if (!*path || **path == '/' || !slash)
        return;
    char *resolved = mem_printf("%.*s%s", (int)(slash + 1 - file), file, *path);
    free(*path);
    *path = resolved;
}

static int daemon_take_endpoint(struct daemon_options *options, const struct conf_endpoint *from,
                                const char *path)
{
    if (from->text) {
        int result = daemon_parse_endpoint(options, from->text);
        if (result)
            return result;
        struct broker_endpoint *endpoint = &options->endpoints[options->endpoint_count - 1];
        daemon_resolve(path, &endpoint->cert);
        daemon_resolve(path, &endpoint->key);
        return 0;
    }
    return daemon_add_endpoint(options, (struct broker_endpoint){
                                            .tls = from->tls,
                                            .host = mem_strdup(from->interface),
                                            .port = from->port,
                                            .device = mem_strdup(from->device),
                                            .cert = mem_strdup(from->cert),
                                            .key = mem_strdup(from->key),
                                        });
}

static void daemon_take_limits(struct daemon_options *options, const struct conf_broker *file)
{
    struct broker_settings *broker = &options->broker;
    if (file->max_frame)
        broker->max_frame = (size_t)file->max_frame;
    if (file->max_queue)
        broker->queue_max = (size_t)file->max_queue;
    if (file->max_memory)
        broker->memory_max = (size_t)file->max_memory;
    if (file->auth_timeout)
        broker->auth_deadline = file->auth_timeout;
    if (file->has_strangers)
        broker->strangers_max = (size_t)file->max_unauthenticated;
    if (file->has_address_max)
        broker->address_max = (size_t)file->max_connections;
    broker->drop_oldest = file->drop_oldest;
    broker->private_channels = !file->no_private_channels;
    if (file->store_limit)
        options->store_limit = file->store_limit;
    options->store_drop_oldest = file->store_drop_oldest;
    options->store = file->store;
    options->tls_cert = file->cert;
    options->tls_key = file->key;
    options->user = file->user;
    options->no_sandbox = file->no_sandbox;
}

static int daemon_take_file(struct daemon_options *options, const struct conf_broker *file,
                            const char *path)
{
    int result = 0;
    daemon_take_limits(options, file);
    for (size_t i = 0; i < file->endpoint_count && !result; i++)
        result = daemon_take_endpoint(options, &file->endpoints[i], path);
    for (size_t i = 0; i < file->auth_count && !result; i++)
        result = daemon_add_auth(options, file->auths[i]);
    for (size_t i = 0; i < file->durable_count && !result; i++)
        result = daemon_add_durable(options, file->durable[i].ident, strlen(file->durable[i].ident),
                                    file->durable[i].channel);
    if (!result && file->exporter)
        result = daemon_parse_exporter(options, file->exporter);
    if (!result && file->name)
        result = daemon_set_name(options, file->name);
    if (!result && file->log_level)
        result = daemon_parse_log_level(options, file->log_level);
    if (!result && file->log_format)
        result = daemon_parse_log_format(options, file->log_format);
    return result ? DAEMON_EXIT_CONFIG : 0;
}

static int daemon_load_file(struct daemon_options *options, const char *path)
{
    struct conf_problems problems;
    int result = conf_broker_load(path, &options->file, &problems);
    for (size_t i = 0; i < problems.count; i++)
        log_write(NULL, problems.items[i].warning ? LOG_LEVEL_WARNING : LOG_LEVEL_ERROR, "%s",
                  problems.items[i].text);
    conf_problems_release(&problems);
    return result ? DAEMON_EXIT_CONFIG : daemon_take_file(options, options->file, path);
}

/* --bind, or what stands for it when there is nothing else to listen on. */
static int daemon_add_bind(struct daemon_options *options, int sockets)
{
    if (!options->tls_cert != !options->tls_key)
        return daemon_usage_error("--tlscert and --tlskey go together");
    if (!options->bind && (options->endpoint_count || sockets))
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

/* $STATE_DIRECTORY may name several: the first is ours. */
static int daemon_find_store(struct daemon_options *options)
{
    if (!options->durable_count || options->store)
        return 0;
    const char *directory = getenv("STATE_DIRECTORY");
    if (!directory || !*directory || strchr(directory, ':'))
        return daemon_usage_error("--durable needs a place: give --store DIR");
    options->store = directory;
    return 0;
}

static void daemon_options_init(struct daemon_options *options)
{
    *options = (struct daemon_options){
        .store_limit = daemon_store_limit,
        .log_level = LOG_LEVEL_INFO,
    };
    broker_settings_init(&options->broker);
}

/* The file comes first, wherever it is named: what is on the command line counts more. */
static int daemon_read_config(struct daemon_options *options, int argc, char **argv)
{
    int option, result = 0;
    opterr = 0;
    while (!result && (option = getopt_long(argc, argv, daemon_short_options, daemon_long_options,
                                            NULL)) >= 0) {
        if (option == DAEMON_OPT_CONFIG && options->file)
            result = daemon_usage_error("--config can be given once");
        else if (option == DAEMON_OPT_CONFIG)
            result = daemon_load_file(options, optarg);
        else if (option == 'h' || option == 'V') /* no file is needed for that */
            break;
    }
    opterr = 1;
    optind = 1;
    return result;
}

int daemon_options_parse(struct daemon_options *options, int argc, char **argv, int sockets)
{
    daemon_options_init(options);
    int option, result = daemon_read_config(options, argc, argv);
    while (!result && (option = getopt_long(argc, argv, daemon_short_options, daemon_long_options,
                                            NULL)) >= 0) {
        if (option == 'h' || option == 'V') {
            fputs(option == 'h' ? daemon_usage : "hpfeeds-broker " PROJECT_VERSION "\n", stdout);
            return -1;
        }
        result = daemon_set_option(options, option, optarg);
    }
    if (!result && optind < argc)
        result = daemon_usage_error("there is an argument too many");
    if (!result && !options->auth_count)
        result = daemon_add_auth(options, "sqlite");
    if (!result)
        result = daemon_add_bind(options, sockets);
    return result ? result : daemon_find_store(options);
}

void daemon_options_release(struct daemon_options *options)
{
    for (size_t i = 0; i < options->endpoint_count; i++)
        broker_endpoint_release(&options->endpoints[i]);
    free(options->endpoints);
    broker_endpoint_release(&options->exporter);
    free(options->auths);
    for (size_t i = 0; i < options->durable_count; i++) {
        free(options->durable[i].ident);
        free(options->durable[i].channel);
    }
    free(options->durable);
    conf_broker_free(options->file);
}
