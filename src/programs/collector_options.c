#include "programs/collector_options.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

enum {
    OPTION_AGAIN = 256,
    OPTION_CHECK,
    OPTION_AUTHORIZE,
    OPTION_LOG_LEVEL,
    OPTION_LOG_FORMAT,
    OPTION_USER,
    OPTION_NO_SANDBOX,
};

static const char collector_options_help[] =
    "Usage: imap-collector [OPTION]...\n"
    "Collects the mail of many mailboxes over IMAP and hands it to a message broker.\n"
    "\n"
    "  -h, --help                 show this help\n"
    "  -f, --feed-config FILE     where the mail goes: the broker (YAML)\n"
    "                             (default: feed_config.yml, then feed_config.yaml)\n"
    "  -m, --mailbox-config FILE  where the mail comes from: the mailboxes (YAML)\n"
    "                             (default: mailbox_credentials.yml, then .yaml)\n"
    "  -a, --fetch-all            all messages of a folder, not only the unseen ones\n"
    "  -d, --delete               delete each message once the broker has it\n"
    "                             (otherwise it is marked as seen, see `after`)\n"
    "  -c, --continuous-fetch     stay connected, and deliver new mail the moment it comes,\n"
    "                             until it is stopped (otherwise one pass, then it ends)\n"
    "\n"
    "  -s, --state PATH           where it remembers what was delivered; \"none\": nowhere\n"
    "                             (default: $STATE_DIRECTORY/state.db, else\n"
    "                             ~/.local/state/imap-collector/state.db)\n"
    "      --again                with -a: also what an earlier run has delivered\n"
    "      --check                log in everywhere, change and deliver nothing, show a table\n"
    "      --authorize ACCOUNT    get a refresh token for this mailbox (oauth2 with device_url):\n"
    "                             shows a code to be entered at the provider, stores the token\n"
    "      --user NAME            run as this user; root has to say so: --user root\n"
    "      --no-sandbox           without the fences around it: for debuggers\n"
    "      --log-level LEVEL      error, warning, info (default) or debug\n"
    "      --log-format FORMAT    text (default) or json\n"
    "  -V, --version              show the version\n"
    "\n"
    "A message is marked or deleted only after the broker is known to have taken it.\n"
    "SIGTERM and Ctrl-C end it cleanly. With -c, SIGHUP reloads both files.\n"
    "\n"
    "Exit codes: 0 all mailboxes collected; 1 some mailbox failed, or the state did;\n"
    "64 usage; 75 the broker could not be reached, mail untouched; 78 configuration.\n"
    "\n"
    "Try first:  imap-collector --check -f feed_config.yml -m mailbox_credentials.yml\n"
    "More:       man imap-collector\n";

static const struct option collector_options_long[] = {
    {"help", no_argument, NULL, 'h'},
    {"feed-config", required_argument, NULL, 'f'},
    {"mailbox-config", required_argument, NULL, 'm'},
    {"fetch-all", no_argument, NULL, 'a'},
    {"delete", no_argument, NULL, 'd'},
    {"continuous-fetch", no_argument, NULL, 'c'},
    {"state", required_argument, NULL, 's'},
    {"again", no_argument, NULL, OPTION_AGAIN},
    {"check", no_argument, NULL, OPTION_CHECK},
    {"authorize", required_argument, NULL, OPTION_AUTHORIZE},
    {"log-level", required_argument, NULL, OPTION_LOG_LEVEL},
    {"log-format", required_argument, NULL, OPTION_LOG_FORMAT},
    {"user", required_argument, NULL, OPTION_USER},
    {"no-sandbox", no_argument, NULL, OPTION_NO_SANDBOX},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
};

static bool collector_options_usage(int *ret_exit, const char *problem)
{
    if (problem)
        fprintf(stderr, "imap-collector: %s\n", problem);
    fprintf(stderr, "Try `imap-collector --help`.\n");
    *ret_exit = EX_USAGE;
    return false;
}

/* One option; false: the program is to end with *ret_exit. */
static bool collector_options_take(int option, struct collector_options *options, int *ret_exit)
{
    switch (option) {
    case 'f':
        options->feed_config = optarg;
        return true;
    case 'm':
        options->mailbox_config = optarg;
        return true;
    case 's':
        options->state = optarg;
        return true;
    case 'a':
        options->fetch_all = true;
        return true;
    case 'd':
        options->delete_after = true;
        return true;
    case OPTION_AGAIN:
        options->again = true;
        return true;
    case OPTION_CHECK:
        options->check = true;
        return true;
    case OPTION_AUTHORIZE:
        options->authorize = optarg;
        return true;
    case 'c':
        options->continuous = true;
        return true;
    case OPTION_USER:
        options->user = optarg;
        return true;
    case OPTION_NO_SANDBOX:
        options->no_sandbox = true;
        return true;
    case OPTION_LOG_LEVEL:
        return log_level_parse(optarg, &options->log_level) ||
               collector_options_usage(ret_exit,
                                       "--log-level takes one of error, warning, info, debug");
    case OPTION_LOG_FORMAT:
        return log_format_parse(optarg, &options->log_format) ||
               collector_options_usage(ret_exit, "--log-format takes text or json");
    case 'h':
        fputs(collector_options_help, stdout);
        *ret_exit = EX_OK;
        return false;
    case 'V':
        puts("imap-collector " PROJECT_VERSION);
        *ret_exit = EX_OK;
        return false;
    default:
        return collector_options_usage(ret_exit, NULL); /* getopt has said what */
    }
}

bool collector_options_parse(int argc, char **argv, struct collector_options *ret_options,
                             int *ret_exit)
{
    struct collector_options options = {.log_level = LOG_LEVEL_INFO};
    int option;
    while ((option = getopt_long(argc, argv, "hf:m:adcs:V", collector_options_long, NULL)) != -1)
        if (!collector_options_take(option, &options, ret_exit))
            return false;
    if (optind < argc) {
        fprintf(stderr, "imap-collector: unexpected argument \"%s\"\n", argv[optind]);
        return collector_options_usage(ret_exit, NULL);
    }
    if (options.again && !options.fetch_all)
        return collector_options_usage(ret_exit, "--again goes with -a");
    if (options.check) /* looks once, whatever else the command line is for */
        options.continuous = false;
    *ret_options = options;
    return true;
}
