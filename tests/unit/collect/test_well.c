/* Whatever has happened before, by chance, to mailboxes, their servers, the broker and the
 * configuration: when all is well again, each mail is taken, what comes is taken at once, and the
 * connections stand. IMAP_COLLECTOR_SEED=N has one of these pasts told, IMAP_COLLECTOR_SEEDS=N-M
 * has more of them lived through than usual. */
#include "stage.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum {
    SEEDS = 15,
    EVENTS = 40,
    TRAPS = 4,
    SOON = 3 * SECOND,  /* where IDLE, or NOTIFY, tells */
    HEALED = 26 * HOUR, /* what was held is tried again after a day */
};

static struct stage stage;
static uint64_t dice;
static bool tells;
static struct pace_rule rule; /* for all */

/* xorshift64* */
static unsigned roll(unsigned sides)
{
    dice ^= dice >> 12;
    dice ^= dice << 25;
    dice ^= dice >> 27;
    return (unsigned)((dice * 0x2545f4914f6cdd1dULL) >> 33) % sides;
}

static const char *const caps[] = {
    "IDLE UIDPLUS ESEARCH MOVE",        "IDLE UIDPLUS", "IDLE", "UIDPLUS MOVE",
    "IDLE UIDPLUS MOVE NOTIFY ESEARCH",
};

static const char *const folder_lists[][3] = {
    {"INBOX"},
    {"INBOX", "Other"},
    {"Other", "INBOX"},
    {"INBOX", "\\Junk"},
};

static const struct trap_fault faults[] = {
    {.on = "greeting", .act = TRAP_ANSWER, .text = "* BYE too many\r\n"},
    {.on = "greeting", .act = TRAP_SILENCE},
    {.on = "LOGIN", .act = TRAP_ANSWER, .text = "$ NO [UNAVAILABLE] later\r\n"},
    {.on = "LOGIN", .act = TRAP_ANSWER, .text = "$ NO [AUTHENTICATIONFAILED] no\r\n"},
    {.on = "LOGIN", .act = TRAP_ANSWER, .text = "$ NO [LIMIT] too many connections\r\n"},
    {.on = "SELECT", .act = TRAP_ANSWER, .text = "$ NO not now\r\n"},
    {.on = "SELECT \"Other\"", .act = TRAP_ANSWER, .text = "$ NO not now\r\n"},
    {.on = "SELECT \"INBOX\"", .act = TRAP_ANSWER, .text = "$ NO not now\r\n"},
    {.on = "SELECT", .act = TRAP_CLOSE},
    {.on = "SEARCH", .act = TRAP_ANSWER, .text = "$ NO [INUSE] not now\r\n"},
    {.on = "SEARCH", .act = TRAP_SILENCE},
    {.on = "SEARCH", .act = TRAP_ANSWER, .text = "* SEARCH\r\n$ OK none\r\n"},
    {.on = "RFC822.SIZE", .act = TRAP_ANSWER, .text = "$ NO not now\r\n"},
    {.on = "RFC822.SIZE", .act = TRAP_ANSWER, .text = "$ OK none\r\n"},
    {.on = "BODY.PEEK", .act = TRAP_ANSWER, .text = "$ NO not now\r\n"},
    {.on = "BODY.PEEK", .act = TRAP_ANSWER, .text = "$ NO [LIMIT] not now\r\n"},
    {.on = "BODY.PEEK", .act = TRAP_ANSWER, .text = "$ OK none\r\n"},
    {.on = "BODY.PEEK", .act = TRAP_CLOSE},
    {.on = "BODY.PEEK", .act = TRAP_RESET},
    {.on = "BODY.PEEK", .act = TRAP_SILENCE},
    {.on = "STORE", .act = TRAP_ANSWER, .text = "$ NO [SERVERBUG] no space\r\n"},
    {.on = "STORE", .act = TRAP_CLOSE},
    {.on = "MOVE", .act = TRAP_ANSWER, .text = "$ NO [OVERQUOTA] full\r\n"},
    {.on = "EXPUNGE", .act = TRAP_ANSWER, .text = "$ NO not now\r\n"},
    {.on = "IDLE", .act = TRAP_ANSWER, .text = "$ NO not now\r\n"},
    {.on = "IDLE", .act = TRAP_ANSWER, .text = "$ BAD what?\r\n"},
    {.on = "IDLE", .act = TRAP_AFTER, .text = "* 3 EXISTS\r\n"},
    {.on = "IDLE", .act = TRAP_AFTER, .text = "* OK [NOTIFICATIONOVERFLOW] x\r\n"},
    {.on = "IDLE", .act = TRAP_AFTER, .text = "* STATUS \"Other\" (UIDNEXT 77)\r\n"},
    {.on = "IDLE", .act = TRAP_SILENCE},
    {.on = "DONE", .act = TRAP_SILENCE},
    {.on = "DONE", .act = TRAP_CLOSE},
    {.on = "NOTIFY", .act = TRAP_ANSWER, .text = "$ NO not now\r\n"},
    {.on = "STATUS", .act = TRAP_ANSWER, .text = "$ NO not now\r\n"},
    {.on = "STATUS", .act = TRAP_CLOSE},
    {.on = "LIST", .act = TRAP_ANSWER, .text = "$ NO not now\r\n"},
    {.on = "LIST", .act = TRAP_ANSWER, .text = "$ OK none\r\n"},
};

static struct trap *any_trap(void)
{
    return stage.traps[roll((unsigned)stage.trap_count)];
}

static const char *any_box(struct trap *trap)
{
    static const char *const names[] = {"INBOX", "INBOX", "Other", "Spam"};
    const char *name = names[roll(COUNT(names))];
    return trap_box(trap, name) ? name : "INBOX";
}

static void tell(const char *what, const struct trap *trap)
{
    if (tells)
        fprintf(stderr, "%8llu s %s %s\n", (unsigned long long)net_loop_now(stage.loop) / 1000,
                trap ? trap->account.label : "", what);
}

static unsigned mails;

static void deliver(struct trap *trap, const char *box, size_t size)
{
    struct buf body = {0};
    buf_printf(&body, "%s %u %s\r\n", trap->account.label, mails++, box);
    while (body.len < size)
        buf_add_str(&body, "spam and eggs\r\n");
    trap_deliver(trap, box, buf_cstr(&body));
    buf_release(&body);
}

static void happen(void)
{
    struct trap *trap = any_trap();
    const char *name = any_box(trap);
    struct box *box = trap_box(trap, name);
    unsigned times;
    switch (roll(23)) {
    case 0:
    case 1:
    case 2:
        times = 1 + roll(20);
        tell("mails", trap);
        for (unsigned i = 0, size = roll(2) ? 0 : 60000; i < times; i++)
            deliver(trap, name, size);
        break;
    case 3:
        times = 1 + roll(40);
        tell("read mail, one by one", trap);
        for (unsigned i = 0; i < times; i++) {
            box_add(box, "read by somebody else", "\\Seen");
            for (struct trap_conn *conn = trap->conns; conn; conn = conn->next)
                trap_tell(conn, box);
            stage_pass(&stage, 100);
        }
        break;
    case 4:
        tell("a mail is expunged", trap);
        if (box->count)
            trap_expunge(trap, name, box->letters[roll((unsigned)box->count)].uid);
        break;
    case 5:
        tell("broker lost", NULL);
        fake_sink_lose(&stage.sink);
        break;
    case 6:
        tell("broker back", NULL);
        if (stage.sink.down)
            fake_sink_return(&stage.sink);
        break;
    case 7:
        tell("broker holds", NULL);
        stage.sink.holds = true;
        break;
    case 8:
        tell("broker goes on", NULL);
        stage.sink.holds = false;
        fake_sink_let_go(&stage.sink);
        break;
    case 9:
        stage.sink.slow = roll(2) ? roll(3000) : 0;
        tell("broker slow", NULL);
        break;
    case 10:
        tell("server gone", trap);
        if (trap->listener) {
            trap_leave(trap);
            trap_cut_off(trap, roll(2));
        } else {
            trap_return(trap);
        }
        break;
    case 11:
        tell("cut off", trap);
        trap_cut_off(trap, roll(2));
        break;
    case 12:
        tell("frozen", trap);
        trap_freeze(trap);
        break;
    case 13:
        tell("IDLE is ended", trap);
        trap_end_idle(trap);
        break;
    case 14:
        trap->deaf = roll(2);
        trap->dull = roll(2);
        tell("deaf, dull", trap);
        break;
    case 15:
        if (strcmp(name, "INBOX") == 0)
            break;
        tell("folder removed", trap);
        trap_remove_box(trap, name);
        break;
    case 16:
        tell("folder there", trap);
        if (!trap_box(trap, "Other"))
            trap_add_box(trap, "Other", "");
        if (!trap_box(trap, "Spam"))
            trap_add_box(trap, "Spam", "\\Junk");
        break;
    case 17:
        tell("renumbered", trap);
        trap_cut_off(trap, true);
        box_renumber(box, box->uidvalidity + 1000);
        break;
    case 18:
        trap->dismissed = roll(2);
        trap->account.idle = roll(4);
        tell(trap->dismissed ? "dismissed" : "reload", trap);
        stage_reload(&stage);
        break;
    case 19:
        tell("other limits", NULL);
        if (rule.connections) {
            rule.connections = 1 + roll(3);
            collector_set_rules(stage.collector, &rule, 1);
        }
        collector_set_memory(stage.collector, roll(2) ? 64 << 20 : 1 << 20);
        break;
    default: {
        struct trap_fault fault = faults[roll(COUNT(faults))];
        fault.skip = roll(3);
        fault.times = roll(3) ? 1 + roll(4) : 0;
        tell(fault.on, trap);
        tell(fault.text ? fault.text : "silence or end", trap);
        trap_fault(trap, fault);
    } break;
    }
    if (!roll(4))
        trap_mend(trap);
}

static void begin(void)
{
    stage_init(&stage);
    stage.settings.continuous = true;
    stage.settings.fetch_all = !roll(4);
    if (!roll(3))
        stage.settings.memory_budget = 1 << 20;
    if (!roll(4))
        stage.settings.in_flight_max = 1 + roll(20);
    unsigned count = 1 + roll(TRAPS);
    rule = (struct pace_rule){.connections = roll(4) ? 0 : 1 + roll(3)};
    if (rule.connections) {
        stage.settings.rules = &rule;
        stage.settings.rule_count = 1;
    }
    for (unsigned i = 0; i < count; i++) {
        static const char *const labels[TRAPS] = {"one", "two", "three", "four"};
        struct trap *trap = stage_add_trap(&stage, labels[i]);
        const char *const *folders = folder_lists[roll(COUNT(folder_lists))];
        for (size_t j = 0; j < 3 && folders[j]; j++) {
            trap->folders[j] = folders[j];
            trap->account.folder_count = j + 1;
        }
        trap_add_box(trap, "Other", "");
        trap_add_box(trap, "Spam", "\\Junk");
        trap_add_box(trap, "done", "");
        trap->caps = caps[roll(COUNT(caps))];
        trap->account.max_connections = 1 + roll(3);
        trap->account.after = roll(4);
        trap->account.host = roll(4) ? "127.0.0.1" : "localhost";
        if (trap->account.after == COLLECT_AFTER_MOVE)
            trap->account.after_name = "done";
    }
}

static void heal(void)
{
    tell("all is well", NULL);
    for (size_t i = 0; i < stage.trap_count; i++) {
        struct trap *trap = stage.traps[i];
        trap_mend(trap);
        trap->deaf = trap->dull = trap->dismissed = false;
        if (!trap->listener)
            trap_return(trap);
        if (!trap_box(trap, "Other"))
            trap_add_box(trap, "Other", "");
        if (!trap_box(trap, "Spam"))
            trap_add_box(trap, "Spam", "\\Junk");
    }
    if (stage.sink.down)
        fake_sink_return(&stage.sink);
    stage.sink.slow = 0;
    stage.sink.holds = false;
    fake_sink_let_go(&stage.sink);
    stage_reload(&stage);
}

/* Where mail of this folder is told of. */
static bool is_told(const struct trap *trap, const char *folder)
{
    if (rule.connections || !trap->account.idle || !strstr(trap->caps, "IDLE"))
        return false;
    return strstr(trap->caps, "NOTIFY") || strcmp(folder, trap->folders[0]) == 0;
}

static void check_all_taken(void)
{
    for (size_t i = 0; i < stage.trap_count; i++) {
        const struct trap *trap = stage.traps[i];
        for (size_t j = 0; j < trap->account.folder_count; j++) {
            const char *name = *trap->folders[j] == '\\' ? "Spam" : trap->folders[j];
            const struct box *box = trap_box(trap, name);
            for (size_t k = 0; k < box->count; k++)
                if (!letter_has(&box->letters[k], "\\Seen") &&
                    !fake_sink_taken(&stage.sink, box->letters[k].body)) {
                    fprintf(stderr, "%s: %s UID %u\n", trap->account.label, name,
                            (unsigned)box->letters[k].uid);
                    stage_fail(&stage, "not taken");
                }
        }
    }
}

static void check_prompt(void)
{
    for (size_t i = 0; i < stage.trap_count; i++) {
        struct trap *trap = stage.traps[i];
        for (size_t j = 0; j < trap->account.folder_count; j++) {
            const char *name = *trap->folders[j] == '\\' ? "Spam" : trap->folders[j];
            msec_t within =
                is_told(trap, trap->folders[j]) ? SOON : 2 * trap->account.poll_interval;
            tell(name, trap);
            stage_expect_mail(&stage, trap, name, within);
            stage_pass(&stage, roll(2) ? roll(5000) : roll(300) * SECOND);
        }
    }
}

static void live(uint64_t seed)
{
    dice = seed * 0x9e3779b97f4a7c15ULL + 1;
    mails = 0;
    begin();
    stage_start(&stage);
    stage_pass(&stage, roll(10) * SECOND);
    unsigned events = 1 + roll(EVENTS);
    for (unsigned i = 0; i < events; i++) {
        happen();
        stage_pass(&stage, roll(2) ? roll(3000) : roll(600) * SECOND);
    }
    heal();
    stage_pass(&stage, HEALED);
    check_all_taken();
    unsigned connections[TRAPS];
    for (size_t i = 0; i < stage.trap_count; i++)
        connections[i] = stage.traps[i]->connections;
    check_prompt();
    stage_pass(&stage, HOUR);
    check_prompt();
    for (size_t i = 0; i < stage.trap_count; i++)
        if (!rule.connections && stage.traps[i]->connections != connections[i])
            stage_fail(&stage, "the connections do not stand");
    stage_release(&stage);
}

static void test_well_again(void **state)
{
    (void)state;
    const char *seed = getenv("IMAP_COLLECTOR_SEED"), *seeds = getenv("IMAP_COLLECTOR_SEEDS");
    tells = seed;
    if (seed) {
        live(strtoull(seed, NULL, 10));
        return;
    }
    char *rest = NULL;
    uint64_t first = seeds ? strtoull(seeds, &rest, 10) : 1;
    uint64_t last = seeds ? strtoull(rest + 1, NULL, 10) : SEEDS;
    for (uint64_t i = first; i <= last; i++) {
        print_message("  seed %llu\n", (unsigned long long)i);
        live(i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_well_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
