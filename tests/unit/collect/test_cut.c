/* An account's connection is cut behind each byte that goes to and fro in a session: ended, reset
 * and frozen, in the clear and under TLS, where most cuts are in mid-record. Whatever the byte, the
 * collector comes back by itself, each mail is taken once and marked after that, and of what it
 * had open nothing is left.
 *
 * Many accounts are cut in one stage, each behind another byte: none may disturb the others. */
#include "stage.h"

#include <string.h>

#include "../net/cuts.h"
#include "net/loop.h"

enum {
    TOGETHER = 40,
    MAILS = 3, /* the last one comes while IDLE stands, where there is IDLE */
    /* All of it is some 30,000 cuts; this is what `meson test` does of it, each time from another
     * byte on. */
    EVERY = 37,
};

struct way {
    const char *name;
    const char *caps;
    enum collect_after after;
    const char *after_name;
    bool stays; /* with -c */
    bool tls;
    bool copies; /* what is copied before the cut may be copied again */
};

static const struct way ways[] = {
    {.name = "seen", .caps = "UIDPLUS ESEARCH"},
    {.name = "delete", .caps = "UIDPLUS", .after = COLLECT_AFTER_DELETE},
    {.name = "delete without UIDPLUS", .caps = "", .after = COLLECT_AFTER_DELETE},
    {.name = "move", .caps = "MOVE", .after = COLLECT_AFTER_MOVE, .after_name = "done"},
    {.name = "copy",
     .caps = "UIDPLUS",
     .after = COLLECT_AFTER_MOVE,
     .after_name = "done",
     .copies = true},
    {.name = "stays", .caps = "IDLE UIDPLUS ESEARCH", .stays = true},
    {.name = "TLS", .caps = "UIDPLUS ESEARCH", .tls = true},
    {.name = "TLS, stays", .caps = "IDLE UIDPLUS ESEARCH", .stays = true, .tls = true},
};

static const char *const side_names[] = {"client", "server"};

/* One account, and the cut that is made for it. */
struct booth {
    struct trap *trap;
    struct cutter cutter;
    char label[60];
    char bodies[MAILS][20];
    bool idled; /* the server was in IDLE when it was cut */
};

static struct stage stage;
static const struct way *way; /* the one at hand */
static uint64_t length[2];    /* of a session that is not cut, to each side */
static struct booth booths[TOGETHER];
static size_t booth_count;
static struct net_tls *server_tls, *client_tls;

static struct booth *booth_of(const struct trap *trap)
{
    struct booth *booth = booths;
    while (booth->trap != trap)
        booth++;
    return booth;
}

static void booth_fail(const struct booth *booth, const char *why)
{
    fprintf(stderr, "%s, %s: %s\n--- the server was told:\n%s", way->name, booth->label, why,
            buf_cstr(&booth->trap->log));
    fflush(stage.log_file);
    for (char *line = strtok(stage.log, "\n"); line; line = strtok(NULL, "\n"))
        if (strstr(line, booth->label))
            fprintf(stderr, "%s\n", line);
    fail_msg("%s", why);
}

static void bring_last(struct trap_conn *conn)
{
    trap_deliver(conn->trap, "INBOX", booth_of(conn->trap)->bodies[MAILS - 1]);
}

/* After each command: nothing is marked, or in another folder, that was not taken. */
static void check_marks(struct trap_conn *conn)
{
    const struct booth *booth = booth_of(conn->trap);
    for (const struct box *box = conn->trap->boxes; box; box = box->next)
        for (size_t i = 0; i < box->count; i++)
            if ((*box->letters[i].flags || strcmp(box->name, "INBOX") != 0) &&
                !fake_sink_taken(&stage.sink, box->letters[i].body))
                booth_fail(booth, "marked and not taken");
}

static void note_cut(void *ctx)
{
    struct booth *booth = ctx;
    booth->idled = trap_idling(booth->trap);
}

static void booth_open(const struct cutter_cut *cut)
{
    struct booth *booth = &booths[booth_count];
    *booth = (struct booth){0};
    snprintf(booth->label, sizeof booth->label, "%s behind byte %llu to the %s",
             cuts_names[cut->way], (unsigned long long)cut->after, side_names[cut->side]);
    struct trap *trap = booth->trap = stage_add_trap(&stage, booth->label);
    trap->caps = way->caps;
    trap->account.after = way->after;
    trap->account.after_name = way->after_name;
    if (way->after_name)
        trap_add_box(trap, way->after_name, "");
    if (way->tls) {
        trap_leave(trap);
        trap->tls = server_tls;
        trap_return(trap);
        trap->account.security = IMAP_SECURITY_IMPLICIT;
        trap->account.tls = client_tls;
    }
    for (size_t i = 0; i < MAILS; i++) {
        snprintf(booth->bodies[i], sizeof booth->bodies[i], "%zu of %02zu", i, booth_count);
        if (!way->stays || i < MAILS - 1)
            trap_deliver(trap, "INBOX", booth->bodies[i]);
    }
    if (way->stays)
        trap_fault(
            trap,
            (struct trap_fault){
                .on = "IDLE", .act = TRAP_CALL, .times = 1, .late = true, .call = bring_last});
    trap_fault(trap, (struct trap_fault){
                         .on = "UID", .act = TRAP_CALL, .late = true, .call = check_marks});
    cutter_init(&booth->cutter, stage.loop, trap->port);
    booth->cutter.cut = *cut;
    booth->cutter.cutting = note_cut;
    booth->cutter.cutting_ctx = booth;
    trap->account.port = booth->cutter.port;
    booth_count++;
}

static bool booth_is_marked(const struct booth *booth)
{
    const struct box *inbox = trap_box(booth->trap, "INBOX");
    if (way->after == COLLECT_AFTER_SEEN)
        return inbox->count == MAILS && !box_unseen(inbox);
    return !inbox->count && booth->trap->boxes->uidnext == MAILS + 1;
}

static bool booth_is_done(const struct booth *booth)
{
    const struct cutter *cutter = &booth->cutter;
    bool left = cutter->cut.way != CUTTER_FREEZE || !cutter->done || cutter->left_at;
    return left && booth_is_marked(booth) && cutter->open == way->stays &&
           trap_idling(booth->trap) == way->stays;
}

static bool all_done(struct stage *of)
{
    (void)of;
    for (size_t i = 0; i < booth_count; i++)
        if (!booth_is_done(&booths[i]))
            return false;
    return true;
}

static void check_cut(const struct booth *booth)
{
    const struct cutter *cutter = &booth->cutter;
    msec_t within = stage.settings.step_deadline + SECOND;
    if (booth->idled) /* nothing is waited for but the next renewal */
        within += booth->trap->account.idle_refresh;
    uint64_t sure = length[cutter->cut.side] - (way->tls ? CUTS_TLS_VARIES : 0);
    if (!cutter->done && cutter->cut.after <= sure)
        booth_fail(booth, "it was not cut");
    if (cutter->done && cutter->cut.way == CUTTER_FREEZE &&
        cutter->left_at - cutter->cut_at > within)
        booth_fail(booth, "it was left too late");
}

static void check_booth(size_t i)
{
    const struct booth *booth = &booths[i];
    const struct collect_report *report = collector_report(stage.collector, i);
    for (size_t j = 0; j < MAILS; j++)
        if (fake_sink_taken(&stage.sink, booth->bodies[j]) != 1)
            booth_fail(booth, "not taken once");
    if (!booth_is_done(booth))
        booth_fail(booth, "it does not last");
    if (report->phase != (way->stays ? COLLECT_WATCHING : COLLECT_DONE))
        booth_fail(booth, "not where it should be");
    if (report->delivered != MAILS || report->held || report->recognised)
        booth_fail(booth, "wrongly reported");
    if (way->after_name) {
        size_t there = trap_box(booth->trap, way->after_name)->count;
        if (there != MAILS && !(way->copies && there == 2 * MAILS))
            booth_fail(booth, "not in its folder");
    }
    check_cut(booth);
}

static void begin(void)
{
    stage_init(&stage);
    stage.settings.continuous = way->stays;
    booth_count = 0;
}

static void end(void)
{
    for (size_t i = 0; i < booth_count; i++)
        cutter_release(&booths[i].cutter);
    stage_release(&stage);
}

static void run(void)
{
    stage_start(&stage);
    if (way->stays)
        stage_await(&stage, HOUR, all_done);
    else
        stage_await_finished(&stage, HOUR);
    stage_pass(&stage, 10 * SECOND);
    for (size_t i = 0; i < booth_count; i++)
        check_booth(i);
}

static void measure(void)
{
    begin();
    length[0] = length[1] = CUTS_TLS_VARIES;
    booth_open(&(struct cutter_cut){.after = UINT64_MAX});
    run();
    memcpy(length, booths[0].cutter.passed, sizeof length);
    end();
}

/* One after the other, as many as there is room for at a time. */
static void cut_behind(const struct cutter_cut *cut)
{
    if (booth_count == TOGETHER) {
        run();
        end();
        begin();
    }
    booth_open(cut);
}

static void run_way(size_t number, unsigned every, unsigned from)
{
    way = &ways[number];
    measure();
    unsigned files = cuts_open_files();
    begin();
    cuts_each_byte(way->name, length, every, from, cut_behind);
    run();
    end();
    assert_int_equal(cuts_open_files(), files);
}

/* CUT_EVERY=1 in the environment: behind each byte. */
static void test_cut(void **state)
{
    (void)state;
    cuts_each_way(COUNT(ways), EVERY, run_way);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cut),
    };
    cuts_make_tls(&server_tls, &client_tls);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    net_tls_unref(client_tls);
    net_tls_unref(server_tls);
    return failed;
}
