/* Several folders in real time: over one connection where the server has NOTIFY, else over a second
 * one, and the rest by asking in turn; folders that come, go, and are numbered anew. */
#include "stage.h"

#include <stdlib.h>
#include <string.h>

#include "net/conn.h"

enum {
    SOON = SECOND / 2,
    POLL = 65 * SECOND,
    SWEEP = 16 * MINUTE,
};

static const char notify_caps[] = "IDLE NOTIFY UIDPLUS SPECIAL-USE LITERAL+";
static const char idle_caps[] = "IDLE UIDPLUS SPECIAL-USE";

/* One folder after the other gets a mail. */
static void deliver_round(struct stage *stage, struct trap *trap, const char *const *boxes,
                          const msec_t *within)
{
    for (size_t i = 0; boxes[i]; i++) {
        stage_expect_mail(stage, trap, boxes[i], within[i]);
        stage_pass(stage, 10 * SECOND);
    }
}

struct watched_case {
    const char *name;
    const char *caps;
    const char *folders[5]; /* of the account */
    const char *boxes[5];   /* the same, on the server */
    msec_t within[4];
    unsigned max_connections;
    unsigned connections; /* at a time */
    struct trap_fault fault;
};

static const struct watched_case watched_cases[] = {
    {.name = "NOTIFY: one connection for all",
     .caps = notify_caps,
     .folders = {"INBOX", "\\Junk",
                 "B\xC3\xBC"
                 "cher",
                 "a b"},
     .boxes = {"INBOX", "Spam", "B&APw-cher", "a b"},
     .within = {SOON, SOON, SOON, SOON},
     .max_connections = 2,
     .connections = 1},
    {.name = "a connection each, for two",
     .caps = idle_caps,
     .folders = {"INBOX", "\\Junk"},
     .boxes = {"INBOX", "Spam"},
     .within = {SOON, SOON},
     .max_connections = 2,
     .connections = 2},
    {.name = "two connections for four: two by asking",
     .caps = idle_caps,
     .folders = {"INBOX", "\\Junk",
                 "B\xC3\xBC"
                 "cher",
                 "a b"},
     .boxes = {"INBOX", "Spam", "B&APw-cher", "a b"},
     .within = {SOON, POLL, POLL, POLL},
     .max_connections = 2,
     .connections = 2},
    {.name = "one connection for two",
     .caps = idle_caps,
     .folders = {"INBOX", "\\Junk"},
     .boxes = {"INBOX", "Spam"},
     .within = {SOON, POLL},
     .max_connections = 1,
     .connections = 1},
    {.name = "no IDLE",
     .caps = "UIDPLUS SPECIAL-USE",
     .folders = {"INBOX", "\\Junk"},
     .boxes = {"INBOX", "Spam"},
     .within = {POLL, POLL},
     .max_connections = 2,
     .connections = 2},
    {.name = "NOTIFY is accepted, and tells nothing",
     .caps = notify_caps,
     .folders = {"INBOX", "\\Junk"},
     .boxes = {"INBOX", "Spam"},
     .within = {SOON, POLL},
     .max_connections = 2,
     .connections = 2,
     .fault = {.on = "NOTIFY", .act = TRAP_ANSWER, .text = "$ OK done\r\n"}},
    {.name = "NOTIFY is announced, and refused",
     .caps = notify_caps,
     .folders = {"INBOX", "\\Junk"},
     .boxes = {"INBOX", "Spam"},
     .within = {SOON, POLL},
     .max_connections = 2,
     .connections = 2,
     .fault = {.on = "NOTIFY", .act = TRAP_ANSWER, .text = "$ NO [BADEVENT (MessageNew)] no\r\n"}},
};

static void run_watched_case(const struct watched_case *c)
{
    struct stage stage;
    stage_init(&stage);
    struct trap *trap = stage_add_folders(&stage, c->caps, c->folders);
    trap->account.max_connections = c->max_connections;
    for (size_t i = 1; c->boxes[i]; i++)
        trap_add_box(trap, c->boxes[i], strcmp(c->boxes[i], "Spam") == 0 ? "\\Junk" : "");
    if (c->fault.on)
        trap_fault(trap, c->fault);
    stage_start(&stage);
    stage_pass(&stage, 2 * MINUTE);
    for (int round = 0; round < 3; round++) {
        deliver_round(&stage, trap, c->boxes, c->within);
        stage_pass(&stage, 20 * MINUTE);
    }
    if (trap->open_most != c->connections || stage_logged(&stage, "warning"))
        stage_fail(&stage, "not as it should be");
    stage_release(&stage);
}

static void test_watched(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(watched_cases); i++)
        run_watched_case(&watched_cases[i]);
}

static const char *const inbox_and_more[] = {"INBOX", "more", NULL};
static const char *const more_box[] = {"more", NULL};

/* A folder that is not there yet, with NOTIFY and without. */
static void test_folder_appears(void **state)
{
    (void)state;
    static const msec_t soon[] = {SWEEP};
    static const char *const inbox[] = {"INBOX", NULL};
    for (int notify = 0; notify < 2; notify++) {
        struct stage stage;
        stage_init(&stage);
        struct trap *trap =
            stage_add_folders(&stage, notify ? notify_caps : idle_caps, inbox_and_more);
        stage_start(&stage);
        stage_pass(&stage, HOUR);
        deliver_round(&stage, trap, inbox, (const msec_t[]){SOON});
        /* It is said once that it is missing, not at each look. */
        if (stage_logged(&stage, "warning") > 1)
            stage_fail(&stage, "too many words");
        trap_add_box(trap, "more", "");
        deliver_round(&stage, trap, more_box, soon);
        deliver_round(&stage, trap, more_box, (const msec_t[]){POLL});
        stage_release(&stage);
    }
}

/* Deleted and made again, with other mails under the same UIDs. */
static void test_folder_made_again(void **state)
{
    (void)state;
    for (int notify = 0; notify < 2; notify++) {
        struct stage stage;
        stage_init(&stage);
        struct trap *trap =
            stage_add_folders(&stage, notify ? notify_caps : idle_caps, inbox_and_more);
        trap_add_box(trap, "more", "");
        stage_start(&stage);
        stage_pass(&stage, 2 * MINUTE);
        deliver_round(&stage, trap, more_box, (const msec_t[]){POLL});
        trap_remove_box(trap, "more");
        stage_pass(&stage, 5 * MINUTE);
        trap_add_box(trap, "more", "");
        deliver_round(&stage, trap, more_box, (const msec_t[]){SWEEP});
        deliver_round(&stage, trap, more_box, (const msec_t[]){POLL});
        stage_release(&stage);
    }
}

/* All mails get new UIDs: those that were delivered are not delivered again. */
/* The first of them cannot be opened for a while: the other one is stayed in meanwhile, and the
 * first one again as soon as it can be. */
static void test_first_folder_returns(void **state)
{
    (void)state;
    static const char *const inbox[] = {"INBOX", NULL};
    static const msec_t soon[] = {SOON}, sweep[] = {SWEEP};
    struct stage stage;
    stage_init(&stage);
    struct trap *trap = stage_add_folders(&stage, idle_caps, inbox_and_more);
    trap->account.max_connections = 1;
    trap_add_box(trap, "more", "");
    trap_fault(trap, (struct trap_fault){.on = "SELECT \"INBOX\"",
                                         .act = TRAP_ANSWER,
                                         .text = "$ NO [INUSE] locked\r\n"});
    stage_start(&stage);
    stage_pass(&stage, MINUTE);
    deliver_round(&stage, trap, more_box, soon);
    trap_mend(trap);
    deliver_round(&stage, trap, inbox, sweep);
    stage_pass(&stage, 30 * MINUTE);
    deliver_round(&stage, trap, inbox, soon);
    stage_release(&stage);
}

static void test_renumbered(void **state)
{
    (void)state;
    static const char *const bodies[] = {"first", "second", "third"};
    struct stage stage;
    stage_init(&stage);
    struct trap *trap = stage_add_trap(&stage, "trap");
    trap->account.after = COLLECT_AFTER_NONE;
    stage.settings.continuous = true;
    trap_deliver(trap, "INBOX", "first");
    trap_deliver(trap, "INBOX", "second");
    stage_start(&stage);
    stage_await_taken(&stage, MINUTE, 2);
    stage_pass(&stage, MINUTE);
    trap_expunge(trap, "INBOX", 1);
    trap_cut_off(trap, false);
    box_renumber(trap_box(trap, "INBOX"), 5);
    stage_pass(&stage, 5 * MINUTE);
    trap_deliver(trap, "INBOX", "third");
    stage_await_taken(&stage, SOON, 3);
    stage_pass(&stage, HOUR);
    stage_assert_taken(&stage, bodies, COUNT(bodies));
    assert_int_equal(collector_report(stage.collector, 0)->recognised, 1);
    stage_release(&stage);
}

static void overflow(struct stage *stage, struct trap *trap)
{
    (void)stage;
    for (struct trap_conn *conn = trap->conns; conn; conn = conn->next) {
        free(conn->notify);
        conn->notify = NULL;
    }
    trap_say(trap, "* OK [NOTIFICATIONOVERFLOW] too much\r\n");
}

/* It tells of some mail only, as Dovecot does where a mail system writes into a Maildir. */
static void test_notify_falls_silent(void **state)
{
    (void)state;
    static const msec_t within[] = {SOON, 6 * MINUTE, POLL, SOON};
    struct stage stage;
    stage_init(&stage);
    struct trap *trap = stage_add_folders(&stage, notify_caps, inbox_and_more);
    trap->account.max_connections = 2;
    trap_add_box(trap, "more", "");
    stage_start(&stage);
    for (size_t i = 0; i < COUNT(within); i++) {
        /* So that it waits at home again. */
        stage_pass(&stage, 2 * MINUTE);
        deliver_round(&stage, trap, more_box, &within[i]);
        for (struct trap_conn *conn = trap->conns; conn; conn = conn->next)
            if (conn->notify)
                conn->notify[0] = '\0';
    }
    stage_release(&stage);
}

static void test_notify_given_up(void **state)
{
    (void)state;
    struct stage stage;
    stage_init(&stage);
    struct trap *trap = stage_add_folders(&stage, notify_caps, inbox_and_more);
    trap_add_box(trap, "more", "");
    stage_start(&stage);
    stage_pass(&stage, 2 * MINUTE);
    deliver_round(&stage, trap, more_box, (const msec_t[]){SOON});
    overflow(&stage, trap);
    deliver_round(&stage, trap, more_box, (const msec_t[]){POLL});
    stage_pass(&stage, 20 * MINUTE);
    deliver_round(&stage, trap, more_box, (const msec_t[]){POLL});
    stage_release(&stage);
}

static void deliver_to_more(struct trap_conn *conn)
{
    trap_deliver(conn->trap, "more", "third");
}

/* A mail comes to the open folder just when it is left for another's news: the server tells of it
 * as of the open folder's, which is taken for the other's, and NOTIFY does not again. */
static void test_notify_while_leaving(void **state)
{
    (void)state;
    static const char *const bodies[] = {"first", "second", "third"};
    struct stage stage;
    stage_init(&stage);
    struct trap *trap = stage_add_folders(&stage, notify_caps, inbox_and_more);
    trap_add_box(trap, "more", "");
    stage_start(&stage);
    stage_pass(&stage, 2 * MINUTE);
    trap_deliver(trap, "more", "first");
    stage_await_taken(&stage, SOON, 1);
    stage_pass(&stage, 5 * SECOND);
    trap_fault(
        trap, (struct trap_fault){
                  .on = "SELECT \"INBOX\"", .times = 1, .act = TRAP_CALL, .call = deliver_to_more});
    trap_deliver(trap, "INBOX", "second");
    stage_await_taken(&stage, SOON, 3);
    stage_pass(&stage, 5 * MINUTE);
    stage_assert_taken(&stage, bodies, COUNT(bodies));
    assert_int_equal(trap->connections, 1);
    stage_release(&stage);
}

/* The folder that mails are moved to is found by its use, which is taken from it, or it is removed:
 * what was delivered is not delivered again, and is moved when there is a place for it. */
static void test_target_vanishes(void **state)
{
    (void)state;
    for (int removed = 0; removed < 2; removed++) {
        struct stage stage;
        stage_init(&stage);
        struct trap *trap =
            stage_add_folders(&stage, "IDLE UIDPLUS SPECIAL-USE MOVE", inbox_and_more);
        trap->account.after = COLLECT_AFTER_MOVE;
        trap->account.after_name = "\\Trash";
        trap_add_box(trap, "more", "");
        trap_add_box(trap, "Trash", "\\Trash");
        stage_start(&stage);
        stage_pass(&stage, 2 * MINUTE);
        if (removed)
            trap_remove_box(trap, "Trash");
        else
            box_set_attrs(trap_box(trap, "Trash"), "");
        for (struct trap_conn *conn = trap->conns; conn; conn = conn->next)
            if (conn->box == trap_box(trap, "INBOX"))
                net_conn_write(conn->conn, "* BYE\r\n", 7);
        stage_pass(&stage, 20 * MINUTE);
        stage_expect_mail(&stage, trap, "more", POLL);
        stage_expect_mail(&stage, trap, "INBOX", POLL);
        stage_pass(&stage, HOUR);
        if (removed)
            trap_add_box(trap, "Trash", "\\Trash");
        else
            box_set_attrs(trap_box(trap, "Trash"), "\\Trash");
        stage_pass(&stage, HOUR);
        stage_expect_mail(&stage, trap, "more", SOON);
        stage_pass(&stage, HOUR);
        stage_assert_mailed(&stage);
        assert_int_equal(trap_box(trap, "Trash")->count, 3);
        stage_release(&stage);
    }
}

/* The folder that mails are moved to turns out to be one that is collected: they would be found
 * there, sent and moved for ever. */
static void test_moved_to_itself(void **state)
{
    (void)state;
    static const char *const by_name[] = {"INBOX", "Trash", NULL};
    static const char *const by_use[] = {"INBOX", "\\Trash", NULL};
    static const char *const inbox[] = {"inbox", NULL};
    static const struct {
        const char *const *folders;
        const char *target;
    } cases[] = {{by_name, "\\Trash"}, {by_use, "Trash"}, {inbox, "INBOX"}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct stage stage;
        stage_init(&stage);
        struct trap *trap =
            stage_add_folders(&stage, "IDLE UIDPLUS MOVE SPECIAL-USE", cases[i].folders);
        trap_add_box(trap, "Trash", "\\Trash");
        trap->account.after = COLLECT_AFTER_MOVE;
        trap->account.after_name = cases[i].target;
        trap_deliver(trap, "INBOX", "first");
        stage_start(&stage);
        stage_pass(&stage, MINUTE);
        assert_int_equal(stage.sink.offered, 0);
        assert_int_equal(stage_logged(&stage, "which is collected itself"), 1);
        stage_release(&stage);
    }
}

/* A special use has another name at each connection: the first few are other folders, as where one
 * is renamed, and what they hold is taken. Each is kept in mind, so that there must be an end. */
static void test_names_without_an_end(void **state)
{
    (void)state;
    static const char *const folders[] = {"INBOX", "\\Junk", NULL};
    struct stage stage;
    stage_init(&stage);
    struct trap *trap = stage_add_folders(&stage, idle_caps, folders);
    char name[20] = "Junk-0";
    trap_add_box(trap, name, "\\Junk");
    stage_start(&stage);
    stage_pass(&stage, 2 * MINUTE);
    for (int i = 1; i < 40; i++) {
        if (i < 6)
            stage_expect_mail(&stage, trap, name, POLL);
        trap_remove_box(trap, name);
        snprintf(name, sizeof name, "Junk-%d", i);
        trap_add_box(trap, name, "\\Junk");
        trap_cut_off(trap, false);
        stage_pass(&stage, 2 * MINUTE);
    }
    unsigned selected = 0;
    for (int i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "\"Junk-%d\"", i);
        selected += trap_count(trap, name) > 0;
    }
    assert_int_equal(selected, 8);
    assert_int_equal(stage_logged(&stage, "8 folders as \\Junk, one after the other"), 1);
    /* One of them is there again, and so is what else there is. */
    trap_remove_box(trap, "Junk-39");
    trap_add_box(trap, "Junk-2", "\\Junk");
    stage_expect_mail(&stage, trap, "Junk-2", 25 * MINUTE);
    stage_expect_mail(&stage, trap, "INBOX", POLL);
    stage_pass(&stage, HOUR);
    stage_assert_mailed(&stage);
    stage_release(&stage);
}

/* The connection ends in the middle of a sweep: the folders that were still to be looked at are by
 * the next one. */
static void test_a_sweep_goes_on(void **state)
{
    (void)state;
    static const char *const folders[] = {"INBOX", "bad", "more", NULL};
    static const char *const bodies[] = {"overlooked"};
    struct stage stage;
    stage_init(&stage);
    struct trap *trap = stage_add_folders(&stage, "IDLE UIDPLUS", folders);
    trap->account.max_connections = 1;
    trap_add_box(trap, "bad", "");
    struct box *more = trap_add_box(trap, "more", "");
    box_add(more, bodies[0], "\\Seen");
    box_add(more, "read", "\\Seen");
    stage_start(&stage);
    stage_pass(&stage, 2 * MINUTE);
    letter_store(box_find(more, 1), '-', "\\Seen");
    trap_fault(trap, (struct trap_fault){.on = "SELECT \"bad\"", .act = TRAP_CLOSE, .times = 1});
    stage_await_taken(&stage, 20 * MINUTE, 1);
    stage_assert_taken(&stage, bodies, 1);
    stage_release(&stage);
}

/* A folder at which the server ends the connection each time, as where a process of its dies of it:
 * those behind it are collected all the same. */
static void test_a_folder_that_ends_connections(void **state)
{
    (void)state;
    static const char *const folders[] = {"INBOX", "bad", "more", NULL};
    static const char *const bodies[] = {"first", "second", "third", "fourth"};
    for (int continuous = 0; continuous < 2; continuous++) {
        struct stage stage;
        stage_init(&stage);
        struct trap *trap = stage_add_folders(&stage, "IDLE UIDPLUS", folders);
        stage.settings.continuous = continuous;
        for (int i = 1; i < 3; i++)
            trap_add_box(trap, folders[i], "");
        for (int i = 0; i < 3; i++)
            trap_deliver(trap, folders[i], bodies[i]);
        trap_fault(trap, (struct trap_fault){.on = "SELECT \"bad\"", .act = TRAP_CLOSE});
        stage_start(&stage);
        stage_await_taken(&stage, MINUTE, 2);
        assert_int_equal(fake_sink_taken(&stage.sink, bodies[2]), 1);
        stage_pass(&stage, HOUR);
        if (continuous) {
            trap_deliver(trap, "more", bodies[3]);
            stage_await_taken(&stage, 20 * MINUTE, 3);
            trap_mend(trap);
            stage_await_taken(&stage, 20 * MINUTE, 4);
            stage_assert_taken(&stage, bodies, 4);
        } else {
            assert_int_equal(stage.outcome, COLLECTOR_SOME_FAILED);
        }
        stage_release(&stage);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_watched),
        cmocka_unit_test(test_folder_appears),
        cmocka_unit_test(test_folder_made_again),
        cmocka_unit_test(test_first_folder_returns),
        cmocka_unit_test(test_renumbered),
        cmocka_unit_test(test_notify_given_up),
        cmocka_unit_test(test_notify_falls_silent),
        cmocka_unit_test(test_notify_while_leaving),
        cmocka_unit_test(test_target_vanishes),
        cmocka_unit_test(test_moved_to_itself),
        cmocka_unit_test(test_names_without_an_end),
        cmocka_unit_test(test_a_sweep_goes_on),
        cmocka_unit_test(test_a_folder_that_ends_connections),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
