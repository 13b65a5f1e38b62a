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
    CLI_BENCH_COUNT = 100000,
    CLI_BENCH_SIZE = 4096,
};

static const char cli_usage_text[] =
    "Usage: hpfeeds subscribe [OPTION]... -i IDENT -c CHANNEL\n"
    "       hpfeeds publish   [OPTION]... -i IDENT -c CHANNEL TEXT...|-\n"
    "       hpfeeds sendfile  [OPTION]... -i IDENT -c CHANNEL FILE|MAILDIR...\n"
    "       hpfeeds bench     [OPTION]... -i IDENT\n"
    "Publish to an hpfeeds broker, show or keep what it sends, measure it.\n"
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
    "      --retry TIME        try for so long while the broker cannot be reached,\n"
    "                          or asks to be tried again later\n"
    "      --debug             say more\n"
    "  -h, --help              show this help\n"
    "  -V, --version           show the version\n"
    "\n"
    "publish, sendfile:\n"
    "      --format json       messages are mails: send them as JSON with their hash\n"
    "\n"
    "subscribe:\n"
    "      --format mail       messages are mails: show sender, subject, size, and whether\n"
    "                          the hash is right (also --mail)\n"
    "      --format raw        write the bytes to standard output (also --raw)\n"
    "      --format json       a line of JSON for each message\n"
    "      --format maildir=DIR\n"
    "                          messages are mails: keep each once, in a Maildir\n"
    "      --exec COMMAND      run it for each message, with the bytes on its standard input\n"
    "  -o, --output DIR        store each message in a file there\n"
    "  -n, --count N           end after N messages\n"
    "      --confirm           have the broker confirm the subscriptions, with a message on\n"
    "                          confirm.IDENT\n"
    "\n"
    "bench (on confirm.IDENT, or the channel given):\n"
    "  -n, --count N           messages (default 100000)\n"
    "      --size BYTES        of each (default 4096)\n"
    "      --subscribers N     default 1\n"
    "      --idle N            in place of that: hold N connections until a signal\n";

struct cli_action;

struct cli {
    struct feed_options feed;
    const struct cli_action *action;
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
    CLI_OPT_FORMAT,
    CLI_OPT_EXEC,
    CLI_OPT_RETRY,
    CLI_OPT_SIZE,
    CLI_OPT_SUBSCRIBERS,
    CLI_OPT_IDLE,
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
    {"format", required_argument, NULL, CLI_OPT_FORMAT},
    {"exec", required_argument, NULL, CLI_OPT_EXEC},
    {"retry", required_argument, NULL, CLI_OPT_RETRY},
    {"size", required_argument, NULL, CLI_OPT_SIZE},
    {"subscribers", required_argument, NULL, CLI_OPT_SUBSCRIBERS},
    {"idle", required_argument, NULL, CLI_OPT_IDLE},
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

static int cli_set_number(const char *option, const char *text, uint64_t most, uint64_t *ret_number)
{
    uint64_t number;
    if (num_parse_u64(text, strlen(text), most, &number) && number) {
        *ret_number = number;
        return 0;
    }
    char *message = mem_printf("%s is a number from 1 up", option);
    int result = cli_usage_error(message);
    free(message);
    return result;
}

static int cli_set_size(struct cli *cli, const char *text)
{
    uint64_t size;
    if (!num_parse_size(text, strlen(text), CLI_FRAME_MAX, &size))
        return cli_usage_error("--size is a size, such as 4KiB");
    cli->feed.size = (size_t)size;
    return 0;
}

static int cli_set_retry(struct cli *cli, const char *text)
{
    return num_parse_duration(text, strlen(text), UINT64_MAX / 2, &cli->feed.retry)
               ? 0
               : cli_usage_error("--retry is a time, such as 10min");
}

static int cli_set_format(struct cli *cli, const char *text)
{
    static const char maildir[] = "maildir=";
    if (!strcmp(text, "raw"))
        cli->feed.raw = true;
    else if (!strcmp(text, "json"))
        cli->feed.json = true;
    else if (!strcmp(text, "mail"))
        cli->feed.mail = true;
    else if (!strncmp(text, maildir, sizeof maildir - 1) && text[sizeof maildir - 1])
        cli->feed.maildir = text + sizeof maildir - 1;
    else
        return cli_usage_error("--format is one of raw, json, mail, maildir=DIR");
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
        return cli_set_number("--count", value, UINT64_MAX, &cli->feed.count);
    case CLI_OPT_FORMAT:
        return cli_set_format(cli, value);
    case CLI_OPT_EXEC:
        cli->feed.command = value;
        break;
    case CLI_OPT_RETRY:
        return cli_set_retry(cli, value);
    case CLI_OPT_SIZE:
        return cli_set_size(cli, value);
    case CLI_OPT_SUBSCRIBERS:
        return cli_set_number("--subscribers", value, 100000, &cli->feed.subscribers);
    case CLI_OPT_IDLE:
        return cli_set_number("--idle", value, 1000000, &cli->feed.idle);
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

static const struct cli_action {
    const char *name;
    int (*run)(const struct feed_options *options);
    bool takes_arguments, needs_channel, subscribes, publishes, measures;
} cli_actions[] = {
    {"subscribe", feed_subscribe, .needs_channel = true, .subscribes = true},
    {"publish", feed_publish, .takes_arguments = true, .needs_channel = true, .publishes = true},
    {"sendfile", feed_sendfile, .takes_arguments = true, .needs_channel = true, .publishes = true},
    {"bench", feed_bench, .measures = true},
};

static const struct cli_action *cli_find_action(const char *name)
{
    for (size_t i = 0; i < sizeof cli_actions / sizeof *cli_actions; i++)
        if (!strcmp(cli_actions[i].name, name))
            return &cli_actions[i];
    return NULL;
}

/* Options that mean nothing to the action. */
static int cli_check_fit(const struct cli *cli)
{
    const struct feed_options *feed = &cli->feed;
    const struct cli_action *action = cli->action;
    if (!action->subscribes && (feed->mail || feed->raw || feed->output || feed->confirm ||
                                feed->maildir || feed->command))
        return cli_usage_error("--mail, --raw, --format other than json, --output, --exec and "
                               "--confirm are for subscribe");
    if (!action->subscribes && !action->measures && feed->count)
        return cli_usage_error("--count is for subscribe and bench");
    if (!action->measures && (feed->size || feed->subscribers || feed->idle))
        return cli_usage_error("--size, --subscribers and --idle are for bench");
    if (action->measures && (feed->json || feed->retry))
        return cli_usage_error("--format and --retry are not for bench");
    if (feed->maildir && (feed->raw || feed->json))
        return cli_usage_error("a Maildir is another format than raw or json");
    if (feed->raw && feed->json)
        return cli_usage_error("raw and json are two formats");
    return 0;
}

static int cli_check(const struct cli *cli)
{
    int result = cli_check_fit(cli);
    if (result)
        return result;
    if (!cli->action->takes_arguments && cli->feed.arg_count)
        return cli_usage_error("there is an argument too many");
    if (cli->action->takes_arguments && !cli->feed.arg_count)
        return cli_usage_error("there is nothing to publish");
    if (!cli->feed.target.ident)
        return cli_usage_error("no ident: give --ident");
    if (!cli->secret && !cli->secret_file)
        return cli_usage_error("no secret: give --secret-file, HPFEEDS_SECRET or --secret");
    if (cli->action->needs_channel && !cli->feed.channel_count)
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
        return cli_usage_error("no action: subscribe, publish, sendfile or bench");
    cli->action = cli_find_action(argv[optind++]);
    if (!cli->action)
        return cli_usage_error("the action is one of subscribe, publish, sendfile, bench");
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
    int result = cli->action->run(&cli->feed);
    net_tls_unref(tls);
    return result;
}

static void cli_set_defaults(struct cli *cli)
{
    enum log_level level = cli->action->measures ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO;
    log_setup(cli->debug ? LOG_LEVEL_DEBUG : level, LOG_FORMAT_TEXT, stderr);
    if (!cli->action->measures)
        return;
    cli->feed.count = cli->feed.count ? cli->feed.count : CLI_BENCH_COUNT;
    cli->feed.size = cli->feed.size ? cli->feed.size : CLI_BENCH_SIZE;
    cli->feed.subscribers = cli->feed.subscribers ? cli->feed.subscribers : 1;
}

int main(int argc, char **argv)
{
    struct cli cli = {
        .feed.target = {.host = "localhost", .port = CLI_PORT, .frame_max = CLI_FRAME_MAX},
    };
    mem_keep_large();
    int result = cli_parse(&cli, argc, argv);
    if (!result) {
        cli_set_defaults(&cli);
        result = cli_run(&cli);
    }
    mem_free_secret(cli.secret);
    free(cli.feed.channels);
    return result < 0 ? 0 : result;
}
