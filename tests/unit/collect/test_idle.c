/* Real time: whatever a server does with IDLE, and whenever a mail comes, it is delivered, once,
 * and within the time that the way it is watched for allows. */
#include "stage.h"

#include <string.h>

enum {
    SOON = SECOND / 2, /* the last mail's mark may be set first */
};

static const char *const bodies[] = {"first", "second", "third", "fourth"};

struct idle_case {
    const char *name;
    const char *caps; /* NULL: the usual */
    bool deaf, dull;
    struct trap_fault faults[3];
    /* When the first mail is taken, and marked; NULL: nothing. */
    void (*meanwhile)(struct stage *stage, struct trap *trap);
    bool second_comes_by_itself; /* a fault's call, or `meanwhile`, delivers it */
    msec_t within;               /* this time it is taken */
    msec_t third_within;         /* the same of the third; 0: the server mends its ways before */
    const char *warned;          /* a part of the warning that is in the log once; NULL: none is */
    unsigned connections;        /* at most, over all; 0: 1 */
};

static void deliver_second(struct trap_conn *conn)
{
    trap_deliver(conn->trap, "INBOX", "second");
}

static void deliver_second_unseen(struct trap_conn *conn)
{
    box_add(trap_box(conn->trap, "INBOX"), "second", "");
}

static void tell_selected(struct trap_conn *conn)
{
    if (conn->box)
        view_sync(&conn->view, conn->box, &conn->out);
}

static void tell_second_early(struct trap_conn *conn)
{
    deliver_second_unseen(conn);
    tell_selected(conn);
}

static void mark_second_unread(struct stage *stage, struct trap *trap)
{
    uint32_t uid = box_add(trap_box(trap, "INBOX"), "second", "\\Seen");
    stage_pass(stage, 3 * MINUTE);
    letter_store(box_find(trap_box(trap, "INBOX"), uid), '-', "\\Seen");
}

static void end_idle(struct stage *stage, struct trap *trap)
{
    (void)stage;
    trap_end_idle(trap);
}

/* As the last words before a server's restart, with a mail that came while it was away. */
static void restart(struct stage *stage, struct trap *trap)
{
    trap_say(trap, "* BYE restarting\r\n");
    trap_leave(trap);
    trap_cut_off(trap, false);
    stage_settle(stage);
    trap_return(trap);
}

static void reset(struct stage *stage, struct trap *trap)
{
    (void)stage;
    trap_cut_off(trap, true);
}

static void freeze(struct stage *stage, struct trap *trap)
{
    (void)stage;
    trap_freeze(trap);
}

static void tell_second_and_no_more(struct stage *stage, struct trap *trap)
{
    trap_deliver(trap, "INBOX", "second");
    stage_pass(stage, 10 * SECOND);
    trap->deaf = true;
}

static void renumber_nonsense(struct stage *stage, struct trap *trap)
{
    (void)stage;
    trap_say(trap, "* 0 FETCH (FLAGS ())\r\n* 99 FETCH (UID 4000 FLAGS ())\r\n* 77 EXPUNGE\r\n"
                   "* 0 EXPUNGE\r\n* OK Still here\r\n* FLAGS (\\Seen)\r\n");
}

static void expunge_first(struct stage *stage, struct trap *trap)
{
    (void)stage;
    trap_expunge(trap, "INBOX", 1);
}

static void store_first(struct stage *stage, struct trap *trap)
{
    (void)stage;
    trap_store(trap, "INBOX", 1, "\\Flagged $Label");
}

/* A minute's pause between two looks, a refresh after five, and what answers take. */
static const struct idle_case idle_cases[] = {
    {.name = "told in IDLE", .within = SOON},
    {.name = "came before IDLE was asked for, told before the +",
     .faults = {{.on = "IDLE", .act = TRAP_CALL, .times = 1, .call = deliver_second_unseen}},
     .second_comes_by_itself = true,
     .within = SOON},
    {.name = "came with the +",
     .faults = {{.on = "IDLE", .act = TRAP_CALL, .times = 1, .call = deliver_second, .late = true}},
     .second_comes_by_itself = true,
     .within = SOON},
    {.name = "came while the first was searched for",
     .faults = {{.on = "SEARCH", .act = TRAP_CALL, .times = 1, .call = deliver_second}},
     .second_comes_by_itself = true,
     .within = SOON},
    {.name = "came while the first was fetched",
     .faults = {{.on = "BODY.PEEK", .act = TRAP_CALL, .times = 1, .call = deliver_second}},
     .second_comes_by_itself = true,
     .within = SOON},
    {.name = "came while the first was marked",
     .faults = {{.on = "STORE", .act = TRAP_CALL, .times = 1, .call = deliver_second}},
     .second_comes_by_itself = true,
     .within = SOON},
    {.name = "came between DONE and IDLE's end",
     .faults = {{.on = "DONE", .act = TRAP_CALL, .times = 1, .call = deliver_second_unseen}},
     .second_comes_by_itself = true,
     .within = 6 * MINUTE},
    {.name = "no IDLE", .caps = "UIDPLUS", .within = 65 * SECOND},
    {.name = "no IDLE, and NOOP tells nothing",
     .caps = "UIDPLUS",
     .dull = true,
     .within = 65 * SECOND},
    {.name = "IDLE is announced, and refused",
     .faults = {{.on = "IDLE", .act = TRAP_ANSWER, .text = "$ NO not here\r\n"}},
     .within = 65 * SECOND},
    {.name = "IDLE is announced, and unknown",
     .faults = {{.on = "IDLE", .act = TRAP_ANSWER, .text = "$ BAD what\r\n"}},
     .within = 65 * SECOND},
    {.name = "IDLE tells nothing", .deaf = true, .within = 65 * SECOND},
    {.name = "IDLE tells nothing, nor does anything else",
     .deaf = true,
     .dull = true,
     .within = 65 * SECOND},
    {.name = "IDLE told once, then no more",
     .meanwhile = tell_second_and_no_more,
     .second_comes_by_itself = true,
     .within = SOON,
     .third_within = 16 * MINUTE,
     .warned = "does not tell of in IDLE"},
    {.name = "IDLE tells before it stands, and at its end, but nothing between",
     .deaf = true,
     .faults = {{.on = "DONE", .act = TRAP_CALL, .call = tell_selected},
                {.on = "IDLE", .act = TRAP_CALL, .times = 1, .call = tell_second_early}},
     .second_comes_by_itself = true,
     .within = SOON,
     .third_within = 65 * SECOND,
     .warned = "does not tell of in IDLE"},
    {.name = "IDLE is not begun",
     .faults = {{.on = "IDLE", .act = TRAP_SILENCE, .times = 1}},
     .within = 3 * MINUTE,
     .connections = 2},
    {.name = "the server ends IDLE", .meanwhile = end_idle, .within = SOON},
    {.name = "a restart", .meanwhile = restart, .within = 2 * MINUTE, .connections = 3},
    {.name = "a reset", .meanwhile = reset, .within = 2 * MINUTE, .connections = 2},
    {.name = "a half-open connection", .meanwhile = freeze, .within = 7 * MINUTE, .connections = 2},
    {.name = "nonsense", .meanwhile = renumber_nonsense, .within = SOON},
    {.name = "another client expunges", .meanwhile = expunge_first, .within = SOON},
    {.name = "another client flags", .meanwhile = store_first, .within = SOON},
    {.name = "another client marks what was read as unread",
     .meanwhile = mark_second_unread,
     .second_comes_by_itself = true,
     .within = 16 * MINUTE,
     .warned = "or somebody marked them unread"},
    {.name = "the end comes in mid-literal",
     .faults = {{.on = "BODY.PEEK", .act = TRAP_CUT_CLOSE, .text = "rst", .times = 1}},
     .within = SOON,
     .warned = "the peer ended the connection",
     .connections = 2},
};

static void run_idle_case(const struct idle_case *c)
{
    struct stage stage;
    stage_init(&stage);
    struct trap *trap = stage_add_trap(&stage, c->name);
    if (c->caps)
        trap->caps = c->caps;
    trap->deaf = c->deaf;
    trap->dull = c->dull;
    for (size_t i = 0; i < COUNT(c->faults) && c->faults[i].on; i++)
        trap_fault(trap, c->faults[i]);
    trap_deliver(trap, "INBOX", "first");
    stage.settings.continuous = true;
    stage_start(&stage);
    stage_await_taken(&stage, MINUTE, 1);
    stage_pass(&stage, 10 * SECOND); /* marks are set, too */
    if (c->meanwhile)
        c->meanwhile(&stage, trap);
    if (!c->second_comes_by_itself)
        trap_deliver(trap, "INBOX", "second");
    stage_await_taken(&stage, c->within, 2);
    /* Whatever it was, it goes on. */
    if (!c->third_within) {
        trap_mend(trap);
        trap->deaf = trap->dull = false;
        stage_pass(&stage, MINUTE);
    }
    trap_deliver(trap, "INBOX", "third");
    stage_await_taken(&stage, c->third_within ? c->third_within : 65 * SECOND, 3);
    stage_pass(&stage, HOUR);
    trap_deliver(trap, "INBOX", "fourth");
    stage_await_taken(&stage, 65 * SECOND, 4);
    stage_pass(&stage, 5 * MINUTE);
    stage_assert_taken(&stage, bodies, COUNT(bodies));
    if (stage_logged(&stage, "warning") != (c->warned != NULL) ||
        (c->warned && !stage_logged(&stage, c->warned)))
        stage_fail(&stage, "the log tells another story");
    if (trap->connections > (c->connections ? c->connections : 1))
        stage_fail(&stage, "too many connections");
    stage_release(&stage);
}

static void test_idle_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(idle_cases); i++)
        run_idle_case(&idle_cases[i]);
}

static void end_at_once(struct trap_conn *conn)
{
    trap_end_idle(conn->trap);
}

/* Refused, or ended at once, for a while: it is used again without a new connection. */
static void test_idle_returns(void **state)
{
    (void)state;
    static const struct trap_fault faults[] = {
        {.on = "IDLE", .act = TRAP_ANSWER, .text = "$ NO [INUSE] not now\r\n"},
        {.on = "IDLE", .act = TRAP_CALL, .call = end_at_once, .late = true},
    };
    for (size_t i = 0; i < COUNT(faults); i++) {
        struct stage stage;
        stage_init(&stage);
        stage.settings.continuous = true;
        struct trap *trap = stage_add_trap(&stage, "trap");
        trap->caps = "IDLE UIDPLUS";
        trap_fault(trap, faults[i]);
        stage_start(&stage);
        stage_pass(&stage, HOUR);
        if (trap_count(trap, "IDLE") > 50)
            stage_fail(&stage, "it is tried again and again");
        trap_mend(trap);
        stage_pass(&stage, 20 * MINUTE);
        stage_expect_mail(&stage, trap, "INBOX", SOON);
        if (trap->connections > 1)
            stage_fail(&stage, "too many connections");
        stage_release(&stage);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_idle_cases),
        cmocka_unit_test(test_idle_returns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
