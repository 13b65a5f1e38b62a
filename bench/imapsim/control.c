#include "imapsim/control.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/num.h"
#include "imapsim/sim.h"
#include "net/loop.h"
#include "net/worker.h"

const char sim_control_help[] =
    "Commands on standard input, each answered by one line: \"ok …\" or \"no REASON\". BOX is\n"
    "box1 and so on. The server ends when its standard input does.\n"
    "  stat [BOX]               what was counted, as name=value; of BOX its INBOX\n"
    "  wait NAME N [SECONDS]    answers when that count of `stat` is at least N, or with -N at\n"
    "                           most N; \"no\" after SECONDS (60)\n"
    "  mail BOX [COUNT]         new mail; answers BOX, the last UID, the monotonic clock in ns\n"
    "                           as the EXISTS was written, and to how many connections\n"
    "  rate N COUNT             COUNT new mails at random boxes, N a second; 0 0 stops\n"
    "  drop BOX|all|P% [fin]    resets connections, P% of them; fin: ends them\n"
    "  bye BOX|all TEXT         says \"* BYE TEXT\" and ends\n"
    "  freeze BOX|all           takes bytes, answers nothing; thaw BOX|all\n"
    "  mute BOX|all             IDLE that reports nothing; unmute BOX|all\n"
    "  slow BOX|all MS          answers each command so late; 0 stops\n"
    "  refuse TEXT              every login is answered with \"NO TEXT\"; accept stops\n"
    "  uidvalidity BOX          a new UIDVALIDITY, the same mails under new UIDs, unseen\n"
    "  restart [MS]             resets all connections and listens again after MS (0)\n";

enum {
    SIM_LINE_MAX = 1000,
    SIM_WAIT = 60,
    SIM_WAIT_MOST = 3600,
    SIM_COUNT_MOST = 10 * 1000 * 1000,
    SIM_MS_MOST = 3600 * 1000,
};

struct sim_control {
    struct net_loop *loop;
    struct sim *sim;
    struct net_worker *worker;
    struct net_job job; /* reads the next line */
    char line[SIM_LINE_MAX + 2];
    bool ended;
    struct net_timer *patience;
    const uint64_t *awaited; /* a count of `stat`, or NULL */
    uint64_t wanted;
    bool at_most; /* else at least */
};

struct sim_count {
    const char *name;
    size_t at;
};

#define SIM_COUNT(name)                                                                            \
    {                                                                                              \
#name, offsetof(struct sim_stats, name)                                                    \
    }
static const struct sim_count sim_counts[] = {
    SIM_COUNT(listening),   SIM_COUNT(connected), SIM_COUNT(logged_in), SIM_COUNT(idling),
    SIM_COUNT(connections), SIM_COUNT(logins),    SIM_COUNT(refused),   SIM_COUNT(commands),
    SIM_COUNT(idles),       SIM_COUNT(delivered), SIM_COUNT(fetched),   SIM_COUNT(refetched),
    SIM_COUNT(seen),        SIM_COUNT(expunged),
};

enum {
    SIM_COUNTS = sizeof sim_counts / sizeof *sim_counts
};

static const uint64_t *sim_count_of(const struct sim *sim, const struct sim_count *count)
{
    return (const uint64_t *)(const void *)((const char *)&sim->stats + count->at);
}

/* The next word of the line, or "". */
static char *sim_control_word(char **rest)
{
    char *word = *rest + strspn(*rest, " ");
    *rest = word + strcspn(word, " ");
    if (**rest)
        *(*rest)++ = '\0';
    return word;
}

/* A number that may be left out. */
static bool sim_control_number(char **rest, uint64_t least, uint64_t most, uint64_t otherwise,
                               uint64_t *ret_number)
{
    const char *word = sim_control_word(rest);
    *ret_number = otherwise;
    return !*word || (num_parse_u64(word, strlen(word), most, ret_number) && *ret_number >= least);
}

/* BOX or, where that is possible, "all" (*ret_box is NULL then). */
static bool sim_control_box(struct sim *sim, char **rest, bool all, struct sim_box **ret_box)
{
    const char *word = sim_control_word(rest);
    *ret_box = sim_find_box(sim, word, strlen(word));
    return *ret_box || (all && strcmp(word, "all") == 0);
}

/* Each answers by itself; false: the line is wrong. */
static bool sim_control_stat(struct sim_control *control, char *rest)
{
    struct sim *sim = control->sim;
    struct sim_box *box;
    if (*rest) {
        if (!sim_control_box(sim, &rest, false, &box))
            return false;
        const struct sim_folder *inbox = &box->folders[0];
        printf("ok made=%u exists=%u unseen=%u uidnext=%u uidvalidity=%u\n", box->made,
               inbox->count, sim_folder_count(inbox, 0, SIM_FLAG_SEEN), inbox->uidnext,
               inbox->uidvalidity);
        return true;
    }
    printf("ok");
    for (unsigned i = 0; i < SIM_COUNTS; i++)
        printf(" %s=%llu", sim_counts[i].name,
               (unsigned long long)*sim_count_of(sim, &sim_counts[i]));
    printf(" rate_left=%llu\n", (unsigned long long)sim->rate_left);
    return true;
}

static void sim_control_next(struct sim_control *control)
{
    fflush(stdout);
    net_worker_submit(control->worker, &control->job);
}

/* Something was counted: that may be what is waited for. */
static void sim_control_counted(void *ctx)
{
    struct sim_control *control = ctx;
    const uint64_t *count = control->awaited;
    if (!count || (control->at_most ? *count > control->wanted : *count < control->wanted))
        return;
    control->awaited = NULL;
    net_timer_stop(control->patience);
    printf("ok %llu\n", (unsigned long long)*count);
    sim_control_next(control);
}

static void sim_control_impatient(void *ctx)
{
    struct sim_control *control = ctx;
    printf("no %llu\n", (unsigned long long)*control->awaited);
    control->awaited = NULL;
    sim_control_next(control);
}

static bool sim_control_wait(struct sim_control *control, char *rest)
{
    const char *name = sim_control_word(&rest);
    uint64_t wanted, seconds;
    for (unsigned i = 0; i < SIM_COUNTS; i++)
        if (strcmp(name, sim_counts[i].name) == 0)
            control->awaited = sim_count_of(control->sim, &sim_counts[i]);
    rest += strspn(rest, " ");
    control->at_most = *rest == '-';
    rest += control->at_most;
    if (!sim_control_number(&rest, 0, UINT64_MAX, 1, &wanted) ||
        !sim_control_number(&rest, 1, SIM_WAIT_MOST, SIM_WAIT, &seconds))
        control->awaited = NULL;
    control->wanted = wanted;
    if (control->awaited)
        net_timer_start(control->patience, seconds * 1000);
    return control->awaited;
}

/* The clock is read before the write, which comes at the end of this turn: what a peer is said to
 * have taken is never too little. */
static bool sim_control_mail(struct sim_control *control, char *rest)
{
    struct sim_box *box;
    struct timespec now;
    uint64_t count;
    uint32_t uid = 0;
    unsigned told = 0;
    if (!sim_control_box(control->sim, &rest, false, &box) ||
        !sim_control_number(&rest, 1, SIM_COUNT_MOST, 1, &count))
        return false;
    clock_gettime(CLOCK_MONOTONIC, &now);
    for (; count; count--)
        uid = sim_deliver(control->sim, box, &told);
    printf("ok box%u %u %lld%09ld %u\n", box->number, uid, (long long)now.tv_sec, now.tv_nsec,
           told);
    return true;
}

static bool sim_control_rate(struct sim_control *control, char *rest)
{
    uint64_t rate, count;
    if (!sim_control_number(&rest, 0, SIM_COUNT_MOST, 0, &rate) ||
        !sim_control_number(&rest, 0, SIM_COUNT_MOST, 0, &count))
        return false;
    sim_set_rate(control->sim, (uint32_t)rate, count);
    puts("ok");
    return true;
}

static bool sim_control_drop(struct sim_control *control, char *rest)
{
    struct sim_box *box = NULL;
    size_t len = strcspn(rest, " ");
    uint64_t percent = 100;
    if (len && rest[len - 1] == '%' ? !num_parse_u64(rest, len - 1, 100, &percent)
                                    : !sim_control_box(control->sim, &rest, true, &box))
        return false;
    if (percent != 100)
        sim_control_word(&rest);
    bool fin = strcmp(rest, "fin") == 0;
    if (*rest && !fin)
        return false;
    printf("ok %u\n", sim_drop(control->sim, box, (unsigned)percent, !fin));
    return true;
}

static bool sim_control_bye(struct sim_control *control, char *rest)
{
    struct sim_box *box;
    if (!sim_control_box(control->sim, &rest, true, &box))
        return false;
    printf("ok %u\n", sim_bye(control->sim, box, rest));
    return true;
}

static bool sim_control_switch(struct sim_control *control, char *rest, bool on,
                               void (*set)(struct sim *sim, struct sim_box *box, bool on))
{
    struct sim_box *box;
    if (!sim_control_box(control->sim, &rest, true, &box))
        return false;
    set(control->sim, box, on);
    puts("ok");
    return true;
}

static bool sim_control_freeze(struct sim_control *control, char *rest)
{
    return sim_control_switch(control, rest, true, sim_freeze);
}

static bool sim_control_thaw(struct sim_control *control, char *rest)
{
    return sim_control_switch(control, rest, false, sim_freeze);
}

static bool sim_control_mute(struct sim_control *control, char *rest)
{
    return sim_control_switch(control, rest, true, sim_mute);
}

static bool sim_control_unmute(struct sim_control *control, char *rest)
{
    return sim_control_switch(control, rest, false, sim_mute);
}

static bool sim_control_slow(struct sim_control *control, char *rest)
{
    struct sim_box *box;
    uint64_t ms;
    if (!sim_control_box(control->sim, &rest, true, &box) ||
        !sim_control_number(&rest, 0, SIM_MS_MOST, 0, &ms))
        return false;
    sim_slow(control->sim, box, (uint32_t)ms);
    puts("ok");
    return true;
}

static bool sim_control_refuse(struct sim_control *control, char *rest)
{
    free(control->sim->refusal);
    control->sim->refusal = mem_strdup(rest);
    puts("ok");
    return true;
}

static bool sim_control_accept(struct sim_control *control, char *rest)
{
    (void)rest;
    free(control->sim->refusal);
    control->sim->refusal = NULL;
    puts("ok");
    return true;
}

static bool sim_control_uidvalidity(struct sim_control *control, char *rest)
{
    struct sim_box *box;
    if (!sim_control_box(control->sim, &rest, false, &box))
        return false;
    sim_renew(control->sim, box);
    printf("ok %u\n", box->folders[0].uidvalidity);
    return true;
}

static bool sim_control_restart(struct sim_control *control, char *rest)
{
    uint64_t ms;
    if (!sim_control_number(&rest, 0, SIM_MS_MOST, 0, &ms))
        return false;
    sim_restart(control->sim, (uint32_t)ms);
    puts("ok");
    return true;
}

static const struct {
    const char *name;
    bool (*run)(struct sim_control *control, char *rest);
} sim_control_commands[] = {
    {"stat", sim_control_stat},       {"wait", sim_control_wait},
    {"mail", sim_control_mail},       {"rate", sim_control_rate},
    {"drop", sim_control_drop},       {"bye", sim_control_bye},
    {"freeze", sim_control_freeze},   {"thaw", sim_control_thaw},
    {"mute", sim_control_mute},       {"unmute", sim_control_unmute},
    {"slow", sim_control_slow},       {"refuse", sim_control_refuse},
    {"accept", sim_control_accept},   {"uidvalidity", sim_control_uidvalidity},
    {"restart", sim_control_restart}, {NULL, NULL},
};

static void sim_control_run(struct sim_control *control, char *line)
{
    char *rest = line;
    const char *name = sim_control_word(&rest);
    unsigned i = 0;
    while (sim_control_commands[i].name && strcmp(name, sim_control_commands[i].name) != 0)
        i++;
    if (!sim_control_commands[i].name)
        puts("no such command");
    else if (!sim_control_commands[i].run(control, rest))
        puts("no: see --help");
}

static void sim_control_read(struct net_job *job)
{
    struct sim_control *control =
        (struct sim_control *)(void *)((char *)job - offsetof(struct sim_control, job));
    control->ended = !fgets(control->line, sizeof control->line, stdin);
}

static void sim_control_got(struct net_job *job)
{
    struct sim_control *control =
        (struct sim_control *)(void *)((char *)job - offsetof(struct sim_control, job));
    if (control->ended) {
        net_loop_stop(control->loop);
        return;
    }
    control->line[strcspn(control->line, "\r\n")] = '\0';
    sim_control_run(control, control->line);
    if (!control->awaited)
        sim_control_next(control);
    else
        sim_control_counted(control);
}

struct sim_control *sim_control_new(struct net_loop *loop, struct sim *sim)
{
    struct sim_control *control = mem_new(struct sim_control);
    control->loop = loop;
    control->sim = sim;
    control->worker = net_worker_new(loop);
    control->patience = net_timer_new(loop, sim_control_impatient, control);
    control->job = (struct net_job){.work = sim_control_read, .done = sim_control_got};
    sim->counted = sim_control_counted;
    sim->counted_ctx = control;
    sim_control_next(control);
    return control;
}

void sim_control_free(struct sim_control *control)
{
    if (!control)
        return;
    net_worker_free(control->worker);
    net_timer_free(control->patience);
    control->sim->counted = NULL;
    free(control);
}
