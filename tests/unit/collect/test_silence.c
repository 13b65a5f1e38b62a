/* A server that falls silent, at each step of a session: the mailbox is given up by its deadline,
 * tried again, and reported; a mail that was on its way is not taken for delivered. All of them are
 * accounts of one collector, beside one whose server is well. */
#include "stage.h"

#include <string.h>

static const struct {
    const char *label;
    struct trap_fault fault;
    bool delivered;
} cases[] = {
    {"greeting", {.on = "greeting", .act = TRAP_SILENCE}, false},
    {"login", {.on = "LOGIN", .act = TRAP_SILENCE}, false},
    {"select", {.on = "SELECT", .act = TRAP_SILENCE}, false},
    {"search", {.on = "SEARCH", .act = TRAP_SILENCE}, false},
    {"sizes", {.on = "RFC822.SIZE", .act = TRAP_SILENCE}, false},
    {"body", {.on = "BODY.PEEK", .act = TRAP_CUT, .text = "llo"}, false},
    {"store", {.on = "STORE", .act = TRAP_SILENCE}, true},
    {"well", {.on = "nothing"}, true},
};

static void assert_report(const struct stage *stage, size_t i)
{
    const struct collect_report *report = collector_report(stage->collector, i);
    assert_int_equal(report->delivered, cases[i].delivered ? 1 : 0);
    if (i == COUNT(cases) - 1) {
        assert_int_equal(report->phase, COLLECT_DONE);
        return;
    }
    assert_int_equal(report->phase, COLLECT_FAILED);
    assert_non_null(strstr(report->err->text, "no answer for"));
    assert_true(stage->traps[i]->connections >= 3);
}

static void test_silence_at_each_step(void **state)
{
    (void)state;
    struct stage stage;
    stage_init(&stage);
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct trap *trap = stage_add_trap(&stage, cases[i].label);
        trap->caps = "UIDPLUS";
        trap_fault(trap, cases[i].fault);
        trap_deliver(trap, "INBOX", "hello");
    }
    stage_start(&stage);
    stage_await_finished(&stage, HOUR);
    assert_int_equal(stage.outcome, COLLECTOR_SOME_FAILED);
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_report(&stage, i);
    /* The mail that could not be marked was not sent again by the attempts that followed. */
    assert_int_equal(stage.sink.offered, 2);
    stage_release(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_silence_at_each_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
