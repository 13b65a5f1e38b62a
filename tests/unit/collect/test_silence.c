/* A server that falls silent, at each step of a session. In one pass the mailbox is given up by its
 * deadline, tried again, and reported; a mail that was on its way is not taken for delivered. Who
 * stays replaces the connection, each time, and nothing is lost or doubled by it. */
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

/* All of them are accounts of one collector, beside one whose server is well. */
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

/* --- a server that answers in the last moment ---------------------------------------------------
 */

/* It goes on whenever `pause` is over, for six hours or until the pass has ended; returns when. */
static msec_t drag_on(struct stage *stage, struct trap *trap, msec_t pause)
{
    msec_t passed = 0;
    for (; passed < 6 * HOUR && !stage->finished; passed += pause) {
        stage_pass(stage, pause);
        trap_go_on(trap);
    }
    return passed;
}

/* It gives out nothing, one command after the other: the pass ends, the others' mail is there. */
static void test_dragging_on(void **state)
{
    (void)state;
    struct stage stage;
    stage_init(&stage);
    struct trap *slow = stage_add_trap(&stage, "slow"), *quick = stage_add_trap(&stage, "quick");
    stage_mail(&stage, slow, 200, 0);
    trap_fault(
        slow,
        (struct trap_fault){
            .on = "UID SEARCH", .act = TRAP_CALL, .call = trap_empty, .late = true, .times = 1});
    trap_fault(slow, (struct trap_fault){
                         .on = "RFC822.SIZE", .act = TRAP_ANSWER, .text = "$ NO sizes here\r\n"});
    trap_fault(slow, (struct trap_fault){.on = "BODY.PEEK", .act = TRAP_CUT, .text = ""});
    stage_mail(&stage, quick, 1, 0);
    stage_start(&stage);
    msec_t passed = drag_on(&stage, slow, 110 * SECOND);
    assert_true(stage.finished);
    assert_in_range(passed, HOUR, HOUR + 10 * MINUTE);
    assert_int_equal(collector_report(stage.collector, 1)->phase, COLLECT_DONE);
    const struct collect_report *report = collector_report(stage.collector, 0);
    assert_int_equal(report->phase, COLLECT_FAILED);
    assert_non_null(strstr(report->err->text, "too slow"));
    assert_int_equal(stage_logged(&stage, "too slow"), 1);
    assert_int_equal(stage.sink.taken_count, 1);
    stage_release(&stage);
}

/* A mail each minute, which is with the sink when the minute is over: the server is waited for all
 * the same. */
static void test_dragging_on_with_mail(void **state)
{
    (void)state;
    struct stage stage;
    stage_init(&stage);
    struct trap *slow = stage_add_trap(&stage, "slow");
    stage_mail(&stage, slow, 150, 0);
    /* One mail with each command. */
    trap_fault(slow, (struct trap_fault){
                         .on = "BODY.PEEK", .act = TRAP_ANSWER, .text = "$ OK\r\n", .times = 1});
    trap_fault(slow, (struct trap_fault){.on = "BODY.PEEK", .act = TRAP_CUT, .text = ""});
    stage_start(&stage);
    stage_pass(&stage, MINUTE - 50);
    msec_t passed = 0;
    for (; passed < 6 * HOUR && !stage.finished; passed += MINUTE) {
        stage.sink.holds = true;
        trap_go_on(slow);
        stage_pass(&stage, 100);
        fake_sink_let_go(&stage.sink);
        stage_pass(&stage, MINUTE - 100);
    }
    assert_in_range(passed, HOUR, HOUR + 10 * MINUTE);
    assert_int_equal(stage_logged(&stage, "too slow"), 1);
    stage_release(&stage);
}

/* Slow, but mail comes: all of it is collected. */
static void test_slow_but_steady(void **state)
{
    (void)state;
    struct stage stage;
    stage_init(&stage);
    stage.sink.sink.max_payload = 2 << 20;
    struct trap *slow = stage_add_trap(&stage, "slow");
    stage_mail(&stage, slow, 70, 1 << 20);
    trap_fault(slow, (struct trap_fault){.on = "BODY.PEEK", .act = TRAP_CUT, .text = ""});
    stage_start(&stage);
    msec_t passed = drag_on(&stage, slow, 70 * SECOND);
    assert_true(stage.finished && passed > 70 * MINUTE);
    assert_int_equal(stage.outcome, COLLECTOR_ALL_DONE);
    stage_assert_mailed(&stage);
    stage_release(&stage);
}

/* --- a slow line -------------------------------------------------------------------------------
 */

/* A part of a LIST. */
static void say_folders(struct trap *trap, size_t bytes)
{
    struct buf text = {0};
    while (text.len < bytes)
        buf_printf(&text, "* LIST () \"/\" \"one of very many folders %zu\"\r\n", text.len);
    trap_say(trap, buf_cstr(&text));
    buf_release(&text);
}

static struct trap *begin_listing(struct stage *stage)
{
    stage_init(stage);
    stage->settings.continuous = true;
    struct trap *trap = stage_add_trap(stage, "slow");
    trap->caps = "SPECIAL-USE";
    trap->folders[0] = "\\Junk";
    trap_add_box(trap, "Spam", "\\Junk");
    trap_deliver(trap, "Spam", "hello");
    trap_fault(trap, (struct trap_fault){.on = "LIST", .act = TRAP_ANSWER, .times = 1});
    stage_start(stage);
    stage_pass(stage, SECOND);
    return trap;
}

/* A long list takes long: that is waited for, as long as a fair piece comes at a time. */
static void test_slow_line(void **state)
{
    (void)state;
    struct stage stage;
    struct trap *trap = begin_listing(&stage);
    for (int i = 0; i < 5; i++) {
        say_folders(trap, 70000);
        stage_pass(&stage, 100 * SECOND);
    }
    assert_int_equal(trap->connections, 1);
    char answer[128];
    snprintf(answer, sizeof answer, "* LIST (\\Junk) \"/\" Spam\r\n%s OK\r\n", trap->conns->tag);
    trap_say(trap, answer);
    stage_await_taken(&stage, SECOND, 1);
    assert_int_equal(trap->connections, 1);
    stage_release(&stage);
}

/* But not for ever, and not for scraps. */
static void test_talk_and_no_answer(void **state)
{
    (void)state;
    static const struct {
        size_t bytes, pieces;
    } talks[] = {{70000, 1100}, {1000, 10}};
    for (size_t i = 0; i < COUNT(talks); i++) {
        struct stage stage;
        struct trap *trap = begin_listing(&stage);
        for (size_t j = 0; j < talks[i].pieces && trap->connections == 1; j++) {
            say_folders(trap, talks[i].bytes);
            stage_pass(&stage, 100 * SECOND);
        }
        stage_await_taken(&stage, 5 * MINUTE, 1);
        assert_int_equal(trap->connections, 2);
        stage_release(&stage);
    }
}

/* Nor for a mail in the place of the list, whose bytes would be signs of life without an end. */
static void test_mail_and_no_answer(void **state)
{
    (void)state;
    struct stage stage;
    struct trap *trap = begin_listing(&stage);
    trap_say(trap, "* 1 FETCH (UID 1 BODY[] {4294967295}\r\nFrom: ");
    stage_pass(&stage, SECOND);
    assert_int_equal(trap->open, 0);
    assert_int_equal(stage_logged(&stage, "nobody asked for"), 1);
    stage_await_taken(&stage, 2 * HOUR, 1);
    stage_release(&stage);
}

/* --- who stays ---------------------------------------------------------------------------------
 */

static void freeze(struct trap_conn *conn)
{
    trap_freeze(conn->trap);
}

struct stay_case {
    const char *name;
    const char *caps; /* NULL: "IDLE UIDPLUS ESEARCH" */
    const char *folders[3];
    enum collect_after after;
    struct trap_fault fault;
};

static const struct stay_case stay_cases[] = {
    {.name = "greeting", .fault = {.on = "greeting", .act = TRAP_SILENCE}},
    {.name = "a part of the greeting",
     .fault = {.on = "greeting", .act = TRAP_CUT, .text = "ready"}},
    {.name = "LOGIN", .fault = {.on = "LOGIN", .act = TRAP_SILENCE}},
    {.name = "LOGIN, let in", .fault = {.on = "LOGIN", .act = TRAP_CUT, .text = ""}},
    {.name = "ID", .caps = "IDLE ID", .fault = {.on = "ID (", .act = TRAP_SILENCE}},
    {.name = "LIST",
     .caps = "IDLE SPECIAL-USE",
     .folders = {"INBOX", "\\Junk"},
     .fault = {.on = "LIST", .act = TRAP_SILENCE}},
    {.name = "a part of LIST",
     .caps = "IDLE SPECIAL-USE",
     .folders = {"INBOX", "\\Junk"},
     .fault = {.on = "LIST", .act = TRAP_CUT, .text = "BOX"}},
    {.name = "NOTIFY",
     .caps = "IDLE NOTIFY",
     .folders = {"INBOX", "more"},
     .fault = {.on = "NOTIFY", .act = TRAP_SILENCE}},
    {.name = "STATUS",
     .caps = "IDLE NOTIFY",
     .folders = {"INBOX", "more"},
     .fault = {.on = "STATUS", .act = TRAP_SILENCE}},
    {.name = "SELECT", .fault = {.on = "SELECT", .act = TRAP_SILENCE}},
    {.name = "SEARCH", .fault = {.on = "SEARCH", .act = TRAP_SILENCE}},
    {.name = "a part of SEARCH", .fault = {.on = "SEARCH", .act = TRAP_CUT, .text = " ALL"}},
    {.name = "sizes", .fault = {.on = "RFC822.SIZE", .act = TRAP_SILENCE}},
    {.name = "some sizes", .fault = {.on = "RFC822.SIZE", .act = TRAP_CUT, .text = ")\r\n* "}},
    {.name = "bodies", .fault = {.on = "BODY.PEEK", .act = TRAP_SILENCE}},
    {.name = "in mid-body", .fault = {.on = "BODY.PEEK", .act = TRAP_CUT, .text = "..)\r\n* "}},
    {.name = "between two bodies", .fault = {.on = "BODY.PEEK", .act = TRAP_CUT, .text = "\r\n* "}},
    {.name = "before the bodies' OK", .fault = {.on = "BODY.PEEK", .act = TRAP_CUT, .text = " OK"}},
    {.name = "IDLE", .fault = {.on = "IDLE", .act = TRAP_SILENCE}},
    {.name = "in IDLE", .fault = {.on = "IDLE", .act = TRAP_CALL, .late = true, .call = freeze}},
    {.name = "DONE", .fault = {.on = "DONE", .act = TRAP_SILENCE}},
    {.name = "STORE", .fault = {.on = "STORE", .act = TRAP_SILENCE}},
    {.name = "STORE, done", .fault = {.on = "STORE", .act = TRAP_CUT, .text = ""}},
    {.name = "MOVE",
     .caps = "IDLE MOVE",
     .after = COLLECT_AFTER_MOVE,
     .fault = {.on = "MOVE", .act = TRAP_SILENCE}},
    {.name = "MOVE, done",
     .caps = "IDLE MOVE",
     .after = COLLECT_AFTER_MOVE,
     .fault = {.on = "MOVE", .act = TRAP_CUT, .text = ""}},
    {.name = "EXPUNGE",
     .after = COLLECT_AFTER_DELETE,
     .fault = {.on = "EXPUNGE", .act = TRAP_SILENCE}},
    {.name = "EXPUNGE, done",
     .after = COLLECT_AFTER_DELETE,
     .fault = {.on = "EXPUNGE", .act = TRAP_CUT, .text = ""}},
};

/* Twice, a while apart. At the second time there is new mail, of which nothing may be told: then
 * the renewal of IDLE finds the connection dead. */
static void run_stay_case(const struct stay_case *c)
{
    struct stage stage;
    stage_init(&stage);
    stage.settings.continuous = true;
    struct trap *trap = stage_add_trap(&stage, c->name);
    trap->caps = c->caps ? c->caps : "IDLE UIDPLUS ESEARCH";
    trap->account.max_connections = 1;
    trap->account.after = c->after;
    trap_add_box(trap, "Spam", "\\Junk");
    trap_add_box(trap, "more", "");
    if (c->after == COLLECT_AFTER_MOVE)
        trap->account.after_name = "more";
    for (size_t i = 0; c->folders[i]; i++) {
        trap->folders[i] = c->folders[i];
        trap->account.folder_count = i + 1;
    }
    struct trap_fault once = c->fault;
    once.times = 1;
    trap_fault(trap, once);
    stage_mail(&stage, trap, 3, 1000);
    stage_start(&stage);
    stage_await_taken(&stage, 2 * MINUTE + 5 * SECOND, stage.mailed);
    stage_pass(&stage, HOUR);
    trap_fault(trap, once);
    stage_mail(&stage, trap, 3, 1000);
    stage_await_taken(&stage, 5 * MINUTE + 2 * MINUTE + 5 * SECOND, stage.mailed);
    stage_pass(&stage, HOUR);
    stage_assert_mailed(&stage);
    if (c->after != COLLECT_AFTER_SEEN)
        assert_int_equal(trap_box(trap, "INBOX")->count, 0);
    if (c->after == COLLECT_AFTER_MOVE)
        assert_int_equal(trap_box(trap, "more")->count, stage.mailed);
    if (trap->connections < 2 || trap->connections > 3 || stage_logged(&stage, "overlooked") ||
        stage_logged(&stage, "warning") > 2)
        stage_fail(&stage, "not as it should be");
    stage_release(&stage);
}

static void test_silence_while_staying(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(stay_cases); i++)
        run_stay_case(&stay_cases[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_silence_at_each_step),
        cmocka_unit_test(test_dragging_on),
        cmocka_unit_test(test_dragging_on_with_mail),
        cmocka_unit_test(test_slow_but_steady),
        cmocka_unit_test(test_slow_line),
        cmocka_unit_test(test_talk_and_no_answer),
        cmocka_unit_test(test_mail_and_no_answer),
        cmocka_unit_test(test_silence_while_staying),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
