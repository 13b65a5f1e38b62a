/* Killed and started again, at each step of a mail's way and by each way of marking it: every mail
 * is taken once, as the sink and the state lose nothing here, and what was taken is only marked. */
#include "stage.h"

#include <string.h>

#include "base/mem.h"

static const char *const bodies[] = {"first", "second", "third"};

static struct stage stage;
static const char *awaited;

/* What the server does with the command at which the kill comes. */
static const struct {
    const char *name;
    enum trap_act act;
    const char *text;
} answers[] = {
    {"carried out, its answer unread", TRAP_CALL, NULL},
    {"carried out, not answered", TRAP_CUT, ""},
    {"not carried out", TRAP_SILENCE, NULL},
};

struct way {
    const char *name;
    enum collect_after after;
    const char *after_name;
    const char *caps;
    const char *steps[9]; /* besides those of all ways */
    bool gone;            /* marked mail is not in the INBOX any more */
    const char *flag;     /* else it has this one */
};

static const struct way ways[] = {
    {.name = "seen",
     .after = COLLECT_AFTER_SEEN,
     .caps = "IDLE UIDPLUS ESEARCH",
     .steps = {"STORE"},
     .flag = "\\Seen"},
    {.name = "keyword",
     .after = COLLECT_AFTER_KEYWORD,
     .after_name = "$Collected",
     .caps = "IDLE UIDPLUS ESEARCH",
     .steps = {"STORE"},
     .flag = "$Collected"},
    {.name = "delete",
     .after = COLLECT_AFTER_DELETE,
     .caps = "IDLE UIDPLUS ESEARCH",
     .steps = {"STORE", "UID EXPUNGE"},
     .gone = true},
    {.name = "delete without UIDPLUS",
     .after = COLLECT_AFTER_DELETE,
     .caps = "IDLE",
     .steps = {"STORE", "SEARCH DELETED", "EXPUNGE"},
     .gone = true},
    {.name = "move",
     .after = COLLECT_AFTER_MOVE,
     .after_name = "done",
     .caps = "IDLE UIDPLUS MOVE ESEARCH",
     .steps = {"UID MOVE"},
     .gone = true},
    {.name = "copy",
     .after = COLLECT_AFTER_MOVE,
     .after_name = "done",
     .caps = "IDLE UIDPLUS ESEARCH",
     .steps = {"UID COPY", "STORE", "UID EXPUNGE"},
     .gone = true},
};

static const char *const steps[] = {"greeting",    "LOGIN",     "SELECT", "SEARCH",
                                    "RFC822.SIZE", "BODY.PEEK", "IDLE",   "DONE"};

static bool was_told(struct stage *of)
{
    return strcmp(awaited, "greeting") == 0 ? of->traps[0]->connections
                                            : trap_count(of->traps[0], awaited);
}

static struct trap *begin(const struct way *way)
{
    stage_init(&stage);
    stage.settings.continuous = true;
    struct trap *trap = stage_add_trap(&stage, way->name);
    trap->caps = way->caps;
    trap->account.after = way->after;
    trap->account.after_name = way->after_name;
    if (way->after == COLLECT_AFTER_MOVE)
        trap_add_box(trap, way->after_name, "");
    for (size_t i = 0; i < COUNT(bodies); i++)
        trap_deliver(trap, "INBOX", bodies[i]);
    return trap;
}

static void assert_marked(const struct trap *trap, const struct way *way)
{
    const struct box *inbox = trap_box(trap, "INBOX");
    if (inbox->count != (way->gone ? 0 : COUNT(bodies)))
        stage_fail(&stage, "not what should be left in the INBOX");
    for (size_t i = 0; i < inbox->count; i++)
        if (!letter_has(&inbox->letters[i], way->flag))
            stage_fail(&stage, "not marked");
    if (way->after == COLLECT_AFTER_MOVE && trap_box(trap, way->after_name)->count < COUNT(bodies))
        stage_fail(&stage, "a mail is gone");
}

/* Killed when the server was told `step`. */
static void run_step(const struct way *way, const char *step, size_t answer)
{
    struct trap *trap = begin(way);
    trap_fault(trap, (struct trap_fault){
                         .on = step, .act = answers[answer].act, .text = answers[answer].text});
    awaited = step;
    stage_start(&stage);
    stage_await(&stage, 2 * MINUTE, was_told);
    trap_mend(trap);
    size_t offered = stage.sink.offered;
    bool through = stage.sink.taken_count == COUNT(bodies);
    stage_start(&stage);
    stage_await_taken(&stage, 10 * SECOND, COUNT(bodies));
    stage_pass(&stage, 20 * MINUTE);
    stage_assert_taken(&stage, bodies, COUNT(bodies));
    if (through) /* only marked */
        assert_int_equal(stage.sink.offered, offered);
    assert_marked(trap, way);
    if (way->after == COLLECT_AFTER_MOVE && !strstr(step, "COPY"))
        assert_int_equal(trap_box(trap, way->after_name)->count, COUNT(bodies));
    if (stage_logged(&stage, "warning"))
        stage_fail(&stage, "there is nothing to warn of");
    stage_release(&stage);
}

static void test_killed_at_a_command(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(ways); i++)
        for (size_t answer = 0; answer < COUNT(answers); answer++) {
            for (size_t j = 0; j < COUNT(steps); j++)
                run_step(&ways[i], steps[j], answer);
            for (size_t j = 0; ways[i].steps[j]; j++)
                run_step(&ways[i], ways[i].steps[j], answer);
        }
}

/* With all of them at the sink, which has taken `taken` of them. */
static void test_killed_with_mails_at_the_sink(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(ways); i++)
        for (size_t taken = 0; taken <= COUNT(bodies); taken++) {
            struct trap *trap = begin(&ways[i]);
            stage.sink.slow = taken ? SECOND : 0;
            stage.sink.holds = !taken;
            stage_start(&stage);
            stage_await_offered(&stage, MINUTE, COUNT(bodies));
            stage_await_taken(&stage, MINUTE, taken);
            stage.sink.holds = false;
            stage.sink.slow = 0;
            stage_start(&stage);
            stage_pass(&stage, HOUR);
            stage_assert_taken(&stage, bodies, COUNT(bodies));
            assert_int_equal(stage.sink.offered, 2 * COUNT(bodies) - taken);
            assert_marked(trap, &ways[i]);
            stage_release(&stage);
        }
}

/* Killed again and again, a little later each time, while mails go on coming. */
static void test_killed_again_and_again(void **state)
{
    (void)state;
    stage_init(&stage);
    stage.settings.continuous = true;
    struct trap *trap = stage_add_trap(&stage, "trap");
    stage.sink.slow = 10;
    for (msec_t life = 0; life < 600; life += 5) {
        stage_mail(&stage, trap, 3, 0);
        stage_start(&stage);
        stage_pass(&stage, life);
    }
    stage_pass(&stage, HOUR);
    stage_assert_mailed(&stage);
    stage_release(&stage);
}

/* --again sends what earlier runs have delivered, not what this one has, when its connection ends
 * in the middle. */
static void test_again_over_two_connections(void **state)
{
    (void)state;
    enum {
        MAILS = 20
    };
    for (int continuous = 0; continuous < 2; continuous++) {
        stage_init(&stage);
        stage.settings.fetch_all = true;
        struct trap *trap = stage_add_trap(&stage, "trap");
        stage_mail(&stage, trap, MAILS, 5000);
        stage_start(&stage);
        stage_await_finished(&stage, HOUR);
        assert_int_equal(stage.sink.offered, MAILS);
        stage.settings.again = true;
        stage.settings.continuous = continuous;
        trap_fault(trap,
                   (struct trap_fault){
                       .on = "BODY.PEEK", .act = TRAP_CUT, .times = 1, .text = "..)\r\n* 11"});
        stage_start(&stage);
        stage_await_taken(&stage, MINUTE, MAILS + 9);
        stage_settle(&stage);
        trap_cut_off(trap, false);
        stage_pass(&stage, HOUR);
        for (size_t i = 0; i < MAILS; i++)
            assert_int_equal(fake_sink_taken(&stage.sink, stage.sink.taken[i]), 2);
        assert_int_equal(stage.sink.offered, 2 * MAILS);
        stage_release(&stage);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_killed_at_a_command),
        cmocka_unit_test(test_killed_with_mails_at_the_sink),
        cmocka_unit_test(test_killed_again_and_again),
        cmocka_unit_test(test_again_over_two_connections),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
