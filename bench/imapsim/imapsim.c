/* imapsim: a simulated IMAP server with many mailboxes, for size and for faults. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/num.h"
#include "imapsim/control.h"
#include "imapsim/sim.h"
#include "net/loop.h"

enum {
    IMAPSIM_USAGE = 64,
    IMAPSIM_BOXES_MOST = 1000 * 1000,
    IMAPSIM_MAILS_MOST = 1000 * 1000,
    IMAPSIM_SIZE_MOST = 32 << 20,
    IMAPSIM_DESCRIPTORS = 1000, /* besides one for each box */
};

static const char imapsim_usage[] =
    "Usage: imapsim --cert FILE [OPTION]...\n"
    "A simulated IMAP server on loopback. Its users are box1, box2 …, their passwords\n"
    "secret-box1 …; each has INBOX, Junk and Trash. Mails follow from box and number and are the\n"
    "same in every run; the first header of each is \"X-Sim-Mail: box1/1\". No keywords are kept.\n"
    "It says \"ready HOST TLS-PORT PLAIN-PORT\" on standard output when it listens.\n"
    "\n"
    "  --cert FILE, --key FILE  certificate and key (PEM) of the TLS listener\n"
    "  --tls-port PORT          default: any that is free\n"
    "  --plain-port PORT        listen without TLS, too; 0: any that is free\n"
    "  --host ADDRESS           default 127.0.0.1\n"
    "  --boxes N                default 1000\n"
    "  --mails N                in each INBOX at the start, unseen; default 0\n"
    "  --size BYTES             of a mail, about; default 4096\n"
    "  --mail-dir DIRECTORY     the mails' text, of .eml files instead\n"
    "  --capability TEXT        what it announces, and does: of IDLE UIDPLUS ESEARCH ID SASL-IR\n"
    "                           MOVE SPECIAL-USE AUTH=PLAIN; default all\n"
    "  --seed N                 of what is random; default 1\n"
    "\n";

struct imapsim {
    struct sim_settings settings;
    const char *mail_dir;
    uint32_t mails;
    struct sim sim;
};

enum {
    IMAPSIM_CERT = 256,
    IMAPSIM_KEY,
    IMAPSIM_TLS_PORT,
    IMAPSIM_PLAIN_PORT,
    IMAPSIM_HOST,
    IMAPSIM_BOXES,
    IMAPSIM_MAILS,
    IMAPSIM_SIZE,
    IMAPSIM_MAIL_DIR,
    IMAPSIM_CAPABILITY,
    IMAPSIM_SEED,
    IMAPSIM_HELP,
};

static const struct option imapsim_options[] = {
    {"cert", required_argument, NULL, IMAPSIM_CERT},
    {"key", required_argument, NULL, IMAPSIM_KEY},
    {"tls-port", required_argument, NULL, IMAPSIM_TLS_PORT},
    {"plain-port", required_argument, NULL, IMAPSIM_PLAIN_PORT},
    {"host", required_argument, NULL, IMAPSIM_HOST},
    {"boxes", required_argument, NULL, IMAPSIM_BOXES},
    {"mails", required_argument, NULL, IMAPSIM_MAILS},
    {"size", required_argument, NULL, IMAPSIM_SIZE},
    {"mail-dir", required_argument, NULL, IMAPSIM_MAIL_DIR},
    {"capability", required_argument, NULL, IMAPSIM_CAPABILITY},
    {"seed", required_argument, NULL, IMAPSIM_SEED},
    {"help", no_argument, NULL, IMAPSIM_HELP},
    {NULL, 0, NULL, 0},
};

static bool imapsim_number(const char *value, uint64_t least, uint64_t most, uint64_t *ret_number)
{
    uint64_t number;
    if (!num_parse_u64(value, strlen(value), most, &number) || number < least) {
        fprintf(stderr, "imapsim: %s is not a number of %llu to %llu\n", value,
                (unsigned long long)least, (unsigned long long)most);
        return false;
    }
    *ret_number = number;
    return true;
}

static bool imapsim_set_number(struct imapsim *imapsim, int option, const char *value)
{
    uint64_t number = 0;
    bool fits;
    switch (option) {
    case IMAPSIM_TLS_PORT:
    case IMAPSIM_PLAIN_PORT:
        fits = imapsim_number(value, 0, UINT16_MAX, &number);
        imapsim->settings.listens[option == IMAPSIM_PLAIN_PORT] = true;
        imapsim->settings.ports[option == IMAPSIM_PLAIN_PORT] = (uint16_t)number;
        return fits;
    case IMAPSIM_BOXES:
        fits = imapsim_number(value, 1, IMAPSIM_BOXES_MOST, &number);
        imapsim->settings.boxes = (uint32_t)number;
        return fits;
    case IMAPSIM_MAILS:
        fits = imapsim_number(value, 0, IMAPSIM_MAILS_MOST, &number);
        imapsim->mails = (uint32_t)number;
        return fits;
    case IMAPSIM_SIZE:
        fits = imapsim_number(value, 0, IMAPSIM_SIZE_MOST, &number);
        imapsim->sim.mails.size = (size_t)number;
        return fits;
    case IMAPSIM_SEED:
        return imapsim_number(value, 0, UINT64_MAX, &imapsim->settings.seed);
    default:
        return false; /* getopt said it */
    }
}

static bool imapsim_set(struct imapsim *imapsim, int option, const char *value)
{
    switch (option) {
    case IMAPSIM_CERT:
        imapsim->settings.cert = value;
        imapsim->settings.listens[SIM_PORT_TLS] = true;
        return true;
    case IMAPSIM_KEY:
        imapsim->settings.key = value;
        return true;
    case IMAPSIM_HOST:
        imapsim->settings.host = value;
        return true;
    case IMAPSIM_MAIL_DIR:
        imapsim->mail_dir = value;
        return true;
    case IMAPSIM_CAPABILITY:
        imapsim->settings.capabilities = value;
        return true;
    default:
        return imapsim_set_number(imapsim, option, value);
    }
}

/* 0: go on; -1: help was shown; else the exit code. */
static int imapsim_parse(struct imapsim *imapsim, int argc, char **argv)
{
    int option;
    while ((option = getopt_long(argc, argv, "", imapsim_options, NULL)) >= 0) {
        if (option == IMAPSIM_HELP) {
            printf("%s%s", imapsim_usage, sim_control_help);
            return -1;
        }
        if (!imapsim_set(imapsim, option, optarg))
            return IMAPSIM_USAGE;
    }
    const bool *listens = imapsim->settings.listens;
    if (optind < argc || (!listens[SIM_PORT_TLS] && !listens[SIM_PORT_PLAIN]) ||
        (listens[SIM_PORT_TLS] && !imapsim->settings.cert)) {
        fputs("imapsim: give --cert or --plain-port, see --help\n", stderr);
        return IMAPSIM_USAGE;
    }
    return 0;
}

/* Only root may have more than the hard limit. */
static void imapsim_raise_descriptors(const struct imapsim *imapsim)
{
    struct rlimit limit;
    rlim_t wanted = (rlim_t)imapsim->settings.boxes + IMAPSIM_DESCRIPTORS;
    if (getrlimit(RLIMIT_NOFILE, &limit))
        return;
    if (limit.rlim_max < wanted) {
        struct rlimit more = {.rlim_cur = wanted, .rlim_max = wanted};
        if (!setrlimit(RLIMIT_NOFILE, &more))
            return;
        fprintf(stderr, "imapsim: only %llu descriptors may be open, %llu may be needed: %s\n",
                (unsigned long long)limit.rlim_max, (unsigned long long)wanted, strerror(errno));
    }
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static int imapsim_run(struct imapsim *imapsim)
{
    struct err err;
    struct sim *sim = &imapsim->sim;
    struct sim_control *control = NULL;
    struct net_loop *loop = net_loop_new();
    imapsim_raise_descriptors(imapsim);
    int result = sim_start(sim, loop, &imapsim->settings, imapsim->mails, &err);
    if (!result && imapsim->mail_dir)
        result = sim_mails_load(&sim->mails, imapsim->mail_dir, &err);
    if (result) {
        fprintf(stderr, "imapsim: %s\n", err.text);
    } else {
        printf("ready %s %u %u\n", imapsim->settings.host, sim_port(sim, SIM_PORT_TLS),
               sim_port(sim, SIM_PORT_PLAIN));
        control = sim_control_new(loop, sim);
        net_loop_run(loop);
    }
    sim_control_free(control);
    sim_release(sim);
    net_loop_free(loop);
    return result ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    static struct imapsim imapsim = {
        .settings = {.host = "127.0.0.1",
                     .boxes = 1000,
                     .seed = 1,
                     .capabilities = "IMAP4rev1 LITERAL+ IDLE UIDPLUS ESEARCH ID SASL-IR MOVE "
                                     "SPECIAL-USE AUTH=PLAIN"},
        .sim.mails.size = 4096,
    };
    int result = imapsim_parse(&imapsim, argc, argv);
    if (!result)
        return imapsim_run(&imapsim);
    return result < 0 ? EXIT_SUCCESS : result;
}
