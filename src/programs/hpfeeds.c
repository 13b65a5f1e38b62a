/* hpfeeds: the command's options; what it does is in feed/. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "hpfeeds/frame.h"
#include "net/tls.h"
#include "programs/feed/feed.h"

enum {
    CLI_FRAME_MAX = 64 << 20,
    CLI_FRAME_LIMIT = 1 << 30, /* what --max-frame may be: some peers read the length signed */
    CLI_PORT = 10000,
};

static const char cli_usage_text[] =
    "Usage: hpfeeds subscribe [OPTION]... -i IDENT -c CHANNEL\n"
    "       hpfeeds publish   [OPTION]... -i IDENT -c CHANNEL TEXT...|-\n"
    "       hpfeeds sendfile  [OPTION]... -i IDENT -c CHANNEL FILE...\n"
    "Publish to an hpfeeds broker, and show what it sends.\n"
    "\n"
    "      --host HOST         the broker (default localhost)\n"
    "  -p, --port PORT         its port (default 10000)\n"
    "  -i, --ident IDENT       who we are\n"
    "  -s, --secret SECRET     our secret; rather in the environment as HPFEEDS_SECRET, or\n"
    "      --secret-file FILE  in a file's first line\n"
    "  -c, --chan CHANNEL      channel (can be used multiple times)\n"
    "      --tls               use TLS\n"
    "      --tlscert FILE      trust this CA (PEM) alone; with TLS\n"
    "      --max-frame SIZE    largest frame sent or taken (default 64MiB)\n"
    "      --debug             say more\n"
    "  -h, --help              show this help\n"
    "  -V, --version           show the version\n"
    "\n"
    "subscribe:\n"
    "      --mail              messages are mails: show sender, subject, size, and whether\n"
    "                          the hash is right\n"
    "      --raw               write the bytes to standard output in place of lines\n"
    "  -o, --output DIR        store each message in a file there\n"
    "  -n, --count N           end after N messages\n"
    "      --confirm           have the broker confirm the subscriptions, with a message on\n"
    "                          confirm.IDENT\n";

struct cli {
    struct feed_options feed;
    const char *action;
    char *secret; /* owned */
    char *secret_file;
    const char *tls_ca;
    bool tls;
    bool debug;
};

static int cli_usage_error(const char *text)
{
    fprintf(stderr, "hpfeeds: %s\nTry 'hpfeeds --help'.\n", text);
    return FEED_EXIT_USAGE;
}

enum {
    CLI_OPT_HOST = 256,
    CLI_OPT_SECRET_FILE,
    CLI_OPT_TLS,
    CLI_OPT_TLSCERT,
    CLI_OPT_MAX_FRAME,
    CLI_OPT_DEBUG,
    CLI_OPT_MAIL,
    CLI_OPT_RAW,
    CLI_OPT_CONFIRM,
};

static const struct option cli_long_options[] = {
    {"host", required_argument, NULL, CLI_OPT_HOST},
    {"port", required_argument, NULL, 'p'},
    {"ident", required_argument, NULL, 'i'},
    {"secret", required_argument, NULL, 's'},
    {"secret-file", required_argument, NULL, CLI_OPT_SECRET_FILE},
    {"chan", required_argument, NULL, 'c'},
    {"tls", no_argument, NULL, CLI_OPT_TLS},
    {"tlscert", required_argument, NULL, CLI_OPT_TLSCERT},
    {"max-frame", required_argument, NULL, CLI_OPT_MAX_FRAME},
    {"debug", no_argument, NULL, CLI_OPT_DEBUG},
    {"mail", no_argument, NULL, CLI_OPT_MAIL},
    {"raw", no_argument, NULL, CLI_OPT_RAW},
    {"output", required_argument, NULL, 'o'},
    {"count", required_argument, NULL, 'n'},
    {"confirm", no_argument, NULL, CLI_OPT_CONFIRM},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
};

static int cli_set_port(struct cli *cli, const char *text)
{
    uint64_t port;
    if (!num_parse_u64(text, strlen(text), UINT16_MAX, &port) || !port)
        return cli_usage_error("--port is a number from 1 to 65535");
    cli->feed.target.port = (uint16_t)port;
    return 0;
}

static int cli_set_max_frame(struct cli *cli, const char *text)
{
    uint64_t size;
    if (!num_parse_size(text, strlen(text), CLI_FRAME_LIMIT, &size) || size < 1024)
        return cli_usage_error("--max-frame is a size from 1KiB to 1GiB");
    cli->feed.target.frame_max = (size_t)size;
    return 0;
}

static int cli_set_count(struct cli *cli, const char *text)
{
    if (!num_parse_u64(text, strlen(text), UINT64_MAX, &cli->feed.count) || !cli->feed.count)
        return cli_usage_error("--count is a number from 1 up");
    return 0;
}

/* A copy; the original is struck out, for process lists show it. */
static void cli_take_secret(struct cli *cli, char *arg)
{
    mem_free_secret(cli->secret);
    cli->secret = mem_strdup(arg);
    mem_wipe(arg, strlen(arg));
}

static void cli_add_channel(struct cli *cli, const char *channel)
{
    cli->feed.channels =
        mem_realloc_array(cli->feed.channels, cli->feed.channel_count + 1, sizeof(const char *));
    cli->feed.channels[cli->feed.channel_count++] = channel;
}

static int cli_set_option(struct cli *cli, int option, char *value)
{
    switch (option) {
    case CLI_OPT_HOST:
        cli->feed.target.host = value;
        break;
    case 'p':
        return cli_set_port(cli, value);
    case 'i':
        cli->feed.target.ident = value;
        break;
    case 's':
        cli_take_secret(cli, value);
        break;
    case CLI_OPT_SECRET_FILE:
        cli->secret_file = value;
        break;
    case 'c':
        cli_add_channel(cli, value);
        break;
    case CLI_OPT_TLS:
        cli->tls = true;
        break;
    case CLI_OPT_TLSCERT:
        cli->tls = true;
        cli->tls_ca = value;
        break;
    case CLI_OPT_MAX_FRAME:
        return cli_set_max_frame(cli, value);
    case CLI_OPT_DEBUG:
        cli->debug = true;
        break;
    case CLI_OPT_MAIL:
        cli->feed.mail = true;
        break;
    case CLI_OPT_RAW:
        cli->feed.raw = true;
        break;
    case 'o':
        cli->feed.output = value;
        break;
    case 'n':
        return cli_set_count(cli, value);
    case CLI_OPT_CONFIRM:
        cli->feed.confirm = true;
        break;
    default:
        fputs("Try 'hpfeeds --help'.\n", stderr);
        return FEED_EXIT_USAGE;
    }
    return 0;
}

static int cli_check_names(const struct cli *cli)
{
    struct err err;
    for (size_t i = 0; i < cli->feed.channel_count; i++)
        if (!hpfeeds_names_valid(cli->feed.target.ident, cli->feed.channels[i], &err))
            return cli_usage_error(err.text);
    return 0;
}

static int cli_check(const struct cli *cli)
{
    bool subscribe = !strcmp(cli->action, "subscribe");
    if (!subscribe && strcmp(cli->action, "publish") != 0 && strcmp(cli->action, "sendfile") != 0)
        return cli_usage_error("the action is one of subscribe, publish, sendfile");
    if (!subscribe && (cli->feed.mail || cli->feed.raw || cli->feed.output || cli->feed.count ||
                       cli->feed.confirm))
        return cli_usage_error("--mail, --raw, --output, --count and --confirm are for subscribe");
    if (subscribe && cli->feed.arg_count)
        return cli_usage_error("there is an argument too many");
    if (!subscribe && !cli->feed.arg_count)
        return cli_usage_error("there is nothing to publish");
    if (!cli->feed.target.ident)
        return cli_usage_error("no ident: give --ident");
    if (!cli->secret && !cli->secret_file)
        return cli_usage_error("no secret: give --secret-file, HPFEEDS_SECRET or --secret");
    if (!cli->feed.channel_count)
        return cli_usage_error("no channel: give --chan");
    return cli_check_names(cli);
}

/* 0: go on; -1: help or the version was shown; else the exit code. */
static int cli_parse(struct cli *cli, int argc, char **argv)
{
    int option, result = 0;
    cli->secret = mem_strdup(getenv("HPFEEDS_SECRET"));
    while (!result &&
           (option = getopt_long(argc, argv, "c:i:s:p:o:n:hV", cli_long_options, NULL)) >= 0) {
        if (option == 'h' || option == 'V') {
            fputs(option == 'h' ? cli_usage_text : "hpfeeds " PROJECT_VERSION "\n", stdout);
            return -1;
        }
        result = cli_set_option(cli, option, optarg);
    }
    if (result)
        return result;
    if (optind == argc)
        return cli_usage_error("no action: subscribe, publish or sendfile");
    cli->action = argv[optind++];
    cli->feed.args = argv + optind;
    cli->feed.arg_count = (size_t)(argc - optind);
    return cli_check(cli);
}

static int cli_read_secret(struct cli *cli, struct err *err)
{
    if (!cli->secret_file)
        return 0;
    char line[1026];
    FILE *file = fopen(cli->secret_file, "re");
    if (!file)
        return err_set(err, ERR_GIVE_UP, "%s: %s", cli->secret_file, strerror(errno));
    setvbuf(file, NULL, _IONBF, 0); /* no copy of the secret in a buffer that nobody wipes */
    bool got = fgets(line, sizeof line, file);
    fclose(file);
    size_t len = got ? strcspn(line, "\r\n") : 0;
    if (!len || len >= sizeof line - 1)
        return err_set(err, ERR_GIVE_UP, "%s: no secret in its first line", cli->secret_file);
    mem_free_secret(cli->secret);
    cli->secret = mem_strndup(line, len);
    mem_wipe(line, sizeof line);
    return 0;
}

static int cli_run(struct cli *cli)
{
    struct err err;
    struct net_tls *tls = NULL;
    struct net_tls_settings settings = {.ca_file = cli->tls_ca};
    if (cli_read_secret(cli, &err) || (cli->tls && net_tls_client_new(&settings, &tls, &err))) {
        log_error(NULL, "%s", err.text);
        return FEED_EXIT_FAILED;
    }
    cli->feed.target.tls = tls;
    cli->feed.target.secret = cli->secret;
    int result;
    if (!strcmp(cli->action, "subscribe"))
        result = feed_subscribe(&cli->feed);
    else if (!strcmp(cli->action, "publish"))
        result = feed_publish(&cli->feed);
    else
        result = feed_sendfile(&cli->feed);
    net_tls_unref(tls);
    return result;
}

int main(int argc, char **argv)
{
    struct cli cli = {
        .feed.target = {.host = "localhost", .port = CLI_PORT, .frame_max = CLI_FRAME_MAX},
    };
    int result = cli_parse(&cli, argc, argv);
    if (!result) {
        log_setup(cli.debug ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO, LOG_FORMAT_TEXT, stderr);
        result = cli_run(&cli);
    }
    mem_free_secret(cli.secret);
    free(cli.feed.channels);
    return result < 0 ? 0 : result;
}
