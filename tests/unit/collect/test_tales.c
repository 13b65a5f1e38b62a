/* A server that tells of news, and has none: it would have us run in circles as fast as it answers,
 * and write as many lines. It is looked into once a second, and still heard. */
#include "stage.h"

#include <string.h>

#include "base/buf.h"

enum {
    LOOK = 6,            /* commands at most to look into both folders, and to wait again */
    SWEEP = 16 * MINUTE, /* within this all is looked into, heard of or not */
};

static struct stage stage;
static unsigned number; /* grows with all that is told */

static void tell_of_another(struct trap_conn *conn)
{
    buf_printf(&conn->out, "* STATUS \"Other\" (UIDNEXT %u)\r\n", ++number);
}

static void tell_of_the_other_one(struct trap_conn *conn)
{
    const char *name = strstr(buf_cstr(&conn->line), "Other") ? "INBOX" : "Other";
    buf_printf(&conn->out, "* STATUS \"%s\" (UIDNEXT %u)\r\n", name, ++number);
}

static void tell_of_ghosts(struct trap_conn *conn)
{
    buf_printf(&conn->out, "* %u EXISTS\r\n", ++number);
}

static void tell_of_read_mail(struct trap_conn *conn)
{
    struct box *inbox = trap_box(conn->trap, "INBOX");
    box_add(inbox, "read by somebody else", "\\Seen");
    buf_printf(&conn->out, "* %zu EXISTS\r\n", inbox->count);
}

static void find_a_ghost(struct trap_conn *conn)
{
    buf_printf(&conn->out, "* SEARCH %u\r\n", ++number);
}

static const struct tale {
    const char *name;
    struct trap_fault faults[3];
    bool notify; /* it has NOTIFY */
    bool read_only;
    msec_t soon; /* until it is heard when it is well again; 0: SWEEP */
} tales[] = {
    {.name = "news of another folder",
     .faults = {{.on = "IDLE", .act = TRAP_CALL, .call = tell_of_another, .late = true}},
     .soon = 2 * SECOND},
    {.name = "news of another folder at each opening",
     .faults = {{.on = "SELECT", .act = TRAP_CALL, .call = tell_of_the_other_one},
                {.on = "IDLE", .act = TRAP_CALL, .call = tell_of_another, .late = true}},
     .read_only = true,
     .soon = 2 * SECOND},
    {.name = "mails that somebody else has read",
     .faults = {{.on = "IDLE", .act = TRAP_CALL, .call = tell_of_read_mail, .late = true}},
     .soon = 2 * SECOND},
    /* Of such UIDs that those to come are below them. */
    {.name = "mails that it does not have",
     .faults = {{.on = "IDLE", .act = TRAP_CALL, .call = tell_of_ghosts, .late = true},
                {.on = "UID SEARCH", .act = TRAP_ANSWER, .call = find_a_ghost, .text = "$ OK\r\n"},
                {.on = "UID FETCH", .act = TRAP_ANSWER, .text = "$ OK\r\n"}}},
    {.name = "folders that it says no more of",
     .faults = {{.on = "IDLE",
                 .act = TRAP_AFTER,
                 .text = "* OK [NOTIFICATIONOVERFLOW] too much\r\n"}},
     .notify = true,
     .soon = 2 * SECOND},
    {.name = "folders that cannot be opened, and can",
     .faults = {{.on = "IDLE", .act = TRAP_CALL, .call = tell_of_another, .late = true},
                {.on = "SELECT \"Other\"",
                 .act = TRAP_ANSWER,
                 .text = "$ NO not now\r\n",
                 .times = 1000}},
     .soon = 2 * SECOND},
};

static struct trap *begin(const struct tale *tale)
{
    static const char *const folders[] = {"INBOX", "Other", NULL};
    stage_init(&stage);
    struct trap *trap =
        stage_add_folders(&stage, tale->notify ? "IDLE UIDPLUS NOTIFY" : "IDLE UIDPLUS", folders);
    trap->account.max_connections = 1;
    trap_box(trap, "INBOX")->read_only = tale->read_only;
    trap_add_box(trap, "Other", "")->read_only = tale->read_only;
    for (size_t i = 0; i < COUNT(tale->faults); i++)
        if (tale->faults[i].on)
            trap_fault(trap, tale->faults[i]);
    stage_start(&stage);
    return trap;
}

static void test_looked_into_once_a_second(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(tales); i++) {
        const struct tale *tale = &tales[i];
        struct trap *trap = begin(tale);
        stage_pass(&stage, MINUTE);
        unsigned all = trap_count(trap, ""), idles = trap_count(trap, "IDLE");
        unsigned lines = stage_logged(&stage, "trap");
        stage_pass(&stage, MINUTE);
        all = trap_count(trap, "") - all;
        idles = trap_count(trap, "IDLE") - idles;
        lines = stage_logged(&stage, "trap") - lines;
        assert_in_range(idles, 1, 61);
        assert_in_range(all, 1, (idles + 1) * LOOK);
        assert_in_range(lines, 0, 10);
        trap_mend(trap);
        stage_expect_mail(&stage, trap, "INBOX", tale->soon ? tale->soon : SWEEP);
        stage_expect_mail(&stage, trap, "Other", SWEEP);
        assert_int_equal(trap->connections, 1);
        stage_release(&stage);
    }
}

/* More than a look holds, each time. */
static void tell_of_what_is_not_given(struct trap_conn *conn)
{
    struct box *other = trap_box(conn->trap, "Other");
    for (unsigned i = 0; i < 110; i++)
        box_add(other, "not to be had", "");
    tell_of_another(conn);
}

/* What is told of, and not given out when it is looked for, goes on record; not without an end. */
static void test_not_given_out(void **state)
{
    (void)state;
    static const struct tale tale = {
        .faults = {
            {.on = "IDLE", .act = TRAP_CALL, .call = tell_of_what_is_not_given, .late = true},
            {.on = "BODY.PEEK", .act = TRAP_ANSWER, .text = "$ NO not that one\r\n"}}};
    enum {
        HELD = 100, /* by each */
        LOOKS = 21
    };
    struct trap *trap = begin(&tale);
    stage_pass(&stage, 3 * MINUTE);
    const struct collect_report *report = collector_report(stage.collector, 0);
    assert_in_range(report->held, 2 * HELD, LOOKS * HELD);
    stage_pass(&stage, 16 * MINUTE);
    assert_in_range(report->held, 2 * HELD, (LOOKS + 2) * HELD);
    trap_mend(trap);
    stage_expect_mail(&stage, trap, "INBOX", 2 * SECOND);
    stage_release(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_looked_into_once_a_second),
        cmocka_unit_test(test_not_given_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
