/* Who has to wait for whom: a backlog does not delay another's new mail, and of a host's few
 * connections everybody has a turn. */
#include "stage.h"

#include <string.h>

static struct stage stage;

/* --- a backlog beside new mail ------------------------------------------------------------------
 */

enum {
    BACKLOG = 3000,
    NEW = 20,
};

static const struct backlog_case {
    const char *name;
    msec_t slow; /* the sink */
    size_t size; /* of a mail */
    size_t most; /* mails of the backlog that are offered between a mail's coming and its offer */
} backlog_cases[] = {
    {.name = "the sink is slow", .size = 200, .slow = 5, .most = 10},
    {.name = "the sink is slow, and mails are large", .size = 5000, .slow = 5, .most = 10},
};

static void run_backlog_case(const struct backlog_case *c)
{
    char body[32];
    stage_init(&stage);
    stage.settings.continuous = true;
    stage.settings.memory_budget = 1 << 20;
    stage.sink.sink.max_payload = 20000;
    stage.sink.slow = c->slow;
    struct trap *busy = stage_add_trap(&stage, c->name);
    struct trap *other = stage_add_trap(&stage, "other");
    stage_mail(&stage, busy, BACKLOG, c->size);
    stage_start(&stage);
    size_t worst = 0;
    for (size_t i = 0; i < NEW; i++) {
        stage_await_offered(&stage, HOUR, 100 * (i + 1));
        size_t before = stage.sink.offered;
        snprintf(body, sizeof body, "%zu in other:", stage.mailed);
        stage_mail(&stage, other, 1, 0);
        while (fake_sink_place(&stage.sink, body) == SIZE_MAX)
            stage_await_offered(&stage, HOUR, stage.sink.offered + 1);
        size_t place = fake_sink_place(&stage.sink, body) - before;
        worst = place > worst ? place : worst;
    }
    if (worst > c->most)
        stage_fail(&stage, "new mail waits for a backlog");
    stage_await_taken(&stage, HOUR, stage.mailed);
    stage_pass(&stage, MINUTE);
    stage_assert_mailed(&stage);
    stage_release(&stage);
}

static void test_backlog(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(backlog_cases); i++)
        run_backlog_case(&backlog_cases[i]);
}

/* --- a slow host beside a quick one -------------------------------------------------------------
 */

static char in_quotes[30000]; /* of a body whose size is not known beforehand */

static const struct slow_case {
    const char *name;
    size_t traps;
    struct trap_fault stuck;
    const char *later; /* what comes when all are stuck; NULL: nothing does */
    size_t size;       /* of its mails */
    size_t in_flight;
    bool pass;
} slow_cases[] = {
    {.name = "it has the memory",
     .traps = 60,
     .stuck = {.on = "BODY.PEEK", .act = TRAP_CUT, .text = "..)"},
     .size = 19000},
    {.name = "it has the memory, of which little was reserved",
     .traps = 60,
     .stuck = {.on = "BODY.PEEK", .act = TRAP_ANSWER, .text = "* 1 FETCH (UID 1 BODY[] \"q"},
     .later = in_quotes,
     .size = 100},
    {.name = "it has the mails in flight",
     .traps = 40,
     .stuck = {.on = "BODY.PEEK", .act = TRAP_CUT, .text = "..)"},
     .size = 100,
     .in_flight = 30},
    {.name = "it has the connections of a pass",
     .traps = 40,
     .stuck = {.on = "LOGIN", .act = TRAP_SILENCE},
     .pass = true},
};

static void run_slow_case(const struct slow_case *c)
{
    char labels[STAGE_TRAPS][32];
    stage_init(&stage);
    stage.settings.continuous = !c->pass;
    stage.settings.memory_budget = 1 << 20;
    stage.settings.connections_max = 20;
    stage.sink.sink.max_payload = 30000;
    if (c->in_flight)
        stage.settings.in_flight_max = c->in_flight;
    for (size_t i = 0; i < c->traps; i++) {
        snprintf(labels[i], sizeof labels[i], "slow %zu", i);
        struct trap *trap = stage_add_trap(&stage, labels[i]);
        trap->account.host = "localhost";
        trap_fault(trap, c->stuck);
    }
    struct trap *quick = stage_add_trap(&stage, c->name);
    stage_mail(&stage, quick, c->pass, c->size);
    stage_start(&stage);
    stage_pass(&stage, 10 * SECOND);
    for (size_t i = 0; i < c->traps; i++)
        stage_mail(&stage, stage.traps[i], 1, c->size);
    stage_pass(&stage, 10 * SECOND);
    for (size_t i = 0; i < c->traps && c->later; i++)
        trap_say(stage.traps[i], c->later);
    stage_pass(&stage, SECOND);
    stage_mail(&stage, quick, !c->pass, c->size);
    stage_pass(&stage, 10 * SECOND);
    if (collector_report(stage.collector, c->traps)->delivered != 1)
        stage_fail(&stage, "a slow host keeps another waiting");
    stage_release(&stage);
}

/* Where there is as little memory as can be set, a slow host leaves enough of it for the largest
 * mail of another, which otherwise would keep a third one waiting, too. */
static void test_slow_host_and_the_largest_mail(void **state)
{
    (void)state;
    enum {
        SLOW = 40,
        LARGEST = 30000
    };
    char labels[SLOW][32];
    struct trap *others[2];
    stage_init(&stage);
    stage.settings.continuous = true;
    stage.settings.memory_budget = 1;
    stage.sink.sink.max_payload = LARGEST;
    for (size_t i = 0; i < SLOW; i++) {
        snprintf(labels[i], sizeof labels[i], "slow %zu", i);
        struct trap *trap = stage_add_trap(&stage, labels[i]);
        trap->account.host = "localhost";
        trap_fault(trap, (struct trap_fault){.on = "BODY.PEEK", .act = TRAP_CUT, .text = "..)"});
    }
    for (size_t i = 0; i < COUNT(others); i++) {
        others[i] = stage_add_trap(&stage, i ? "small" : "large");
        others[i]->account.host = i ? "127.1" : "127.0.0.1";
    }
    stage_start(&stage);
    stage_pass(&stage, 10 * SECOND);
    stage_mail(&stage, others[1], 1, 0); /* so that more than the first few may be in flight */
    stage_await_taken(&stage, 10 * SECOND, 1);
    for (size_t i = 0; i < SLOW; i++)
        stage_mail(&stage, stage.traps[i], 1, 9000);
    stage_pass(&stage, 10 * SECOND);
    for (size_t i = 0; i < COUNT(others); i++)
        stage_mail(&stage, others[i], 1, i ? 0 : LARGEST - 100);
    stage_await_taken(&stage, 10 * SECOND, 3);
    stage_release(&stage);
}

static void test_slow_host(void **state)
{
    (void)state;
    memset(in_quotes, 'q', sizeof in_quotes - 1);
    for (size_t i = 0; i < COUNT(slow_cases); i++)
        run_slow_case(&slow_cases[i]);
}

/* --- two folders, one connection ----------------------------------------------------------------
 */

enum {
    POLL = 65 * SECOND,
    PATIENCE = 5 * SECOND, /* with the open folder, when its mails wait for the broker's word */
};

static struct trap *begin_folders(const char *caps)
{
    static const char *const folders[] = {"INBOX", "more", NULL};
    stage_init(&stage);
    struct trap *trap = stage_add_folders(&stage, caps, folders);
    trap->account.max_connections = 1;
    trap_add_box(trap, "more", "");
    stage_start(&stage);
    stage_pass(&stage, 2 * MINUTE);
    return trap;
}

/* A mail that the broker says nothing about does not keep the other folder from being looked at. */
static void test_unsettled_mail(void **state)
{
    (void)state;
    static const char *const bodies[] = {"first", "second", "third", "fourth", "fifth"};
    static const char *const boxes[] = {"INBOX", "INBOX", "more", "more"};
    struct trap *trap = begin_folders("IDLE UIDPLUS");
    stage.sink.holds = true;
    for (size_t i = 0; i < COUNT(boxes); i++) {
        trap_deliver(trap, boxes[i], bodies[i]);
        stage_await_offered(&stage, POLL + PATIENCE, i + 1);
        stage_pass(&stage, 10 * SECOND);
    }
    trap_deliver(trap, "INBOX", bodies[4]);
    stage_pass(&stage, HOUR);
    stage.sink.holds = false;
    fake_sink_let_go(&stage.sink);
    stage_await_taken(&stage, POLL + PATIENCE, COUNT(bodies));
    stage_pass(&stage, 2 * POLL);
    stage_assert_taken(&stage, bodies, COUNT(bodies));
    assert_int_equal(box_unseen(trap_box(trap, "INBOX")), 0);
    assert_int_equal(box_unseen(trap_box(trap, "more")), 0);
    assert_int_equal(trap->connections, 1);
    stage_release(&stage);
}

/* Nor does a folder to which mail comes without an end. */
static void test_busy_folder(void **state)
{
    (void)state;
    static const struct {
        const char *caps;
        msec_t within;
    } cases[] = {{"IDLE NOTIFY UIDPLUS", 2 * SECOND}, {"IDLE UIDPLUS", POLL}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct trap *trap = begin_folders(cases[i].caps);
        trap_deliver(trap, "more", "rare");
        for (msec_t passed = 0; !fake_sink_taken(&stage.sink, "rare"); passed += 400) {
            if (passed > cases[i].within)
                stage_fail(&stage, "the other folder starves");
            stage_mail(&stage, trap, 1, 0);
            stage_pass(&stage, 400);
        }
        stage_await_taken(&stage, PATIENCE, stage.mailed + 1);
        stage_pass(&stage, 2 * POLL);
        assert_int_equal(stage.sink.taken_count, stage.mailed + 1);
        assert_int_equal(box_unseen(trap_box(trap, "INBOX")), 0);
        assert_int_equal(box_unseen(trap_box(trap, "more")), 0);
        assert_int_equal(trap->connections, 1);
        stage_release(&stage);
    }
}

/* --- a host's rule ------------------------------------------------------------------------------
 */

static unsigned connections_max;

static unsigned sum_of_open(const struct stage *of)
{
    unsigned open = 0;
    for (size_t i = 0; i < of->trap_count; i++)
        open += of->traps[i]->open;
    return open;
}

static unsigned sum_of_logins(const struct stage *of)
{
    unsigned logins = 0;
    for (size_t i = 0; i < of->trap_count; i++)
        logins += of->traps[i]->logins;
    return logins;
}

/* Looked at in each turn. */
static bool has_taken_within_limit(struct stage *of)
{
    if (sum_of_open(of) > connections_max)
        stage_fail(of, "too many connections at a time");
    return of->sink.taken_count >= of->mailed;
}

static void begin_ruled(size_t traps, const struct pace_rule *rule)
{
    static const char *const labels[] = {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j",
                                         "k", "l", "m", "n", "o", "p", "q", "r", "s", "t"};
    stage_init(&stage);
    stage.settings.continuous = true;
    stage.settings.rules = rule;
    stage.settings.rule_count = 1;
    for (size_t i = 0; i < traps; i++)
        stage_add_trap(&stage, labels[i]);
    connections_max = rule->connections;
}

/* Who waits for its turn is not in trouble. */
static void assert_no_trouble(void)
{
    for (size_t i = 0; i < stage.trap_count; i++)
        assert_int_not_equal(collector_report(stage.collector, i)->phase, COLLECT_RETRYING);
}

/* Whoever has a connection gives it up for who has none, and comes back after the pause between two
 * looks: so everybody's mail is found within two of these and a little. */
static void test_connections_per_host(void **state)
{
    (void)state;
    static const struct pace_rule rules[] = {
        {.connections = 1}, {.connections = 2}, {.connections = 5}};
    for (size_t i = 0; i < COUNT(rules); i++) {
        begin_ruled(7, &rules[i]);
        stage_start(&stage);
        for (int round = 0; round < 10; round++) {
            for (size_t j = 0; j < stage.trap_count; j++)
                stage_mail(&stage, stage.traps[j], 1, 0);
            stage_await(&stage, 2 * MINUTE + 10 * SECOND, has_taken_within_limit);
            stage_pass(&stage, 7 * SECOND);
            assert_no_trouble();
        }
        stage_pass(&stage, 2 * MINUTE);
        stage_assert_mailed(&stage);
        assert_int_equal(stage_logged(&stage, "warning"), 0);
        stage_release(&stage);
    }
}

/* More connections are used as soon as somebody comes back for one; fewer are not taken from who
 * has them before somebody else waits. */
static void test_rules_change(void **state)
{
    (void)state;
    static const struct pace_rule few = {.connections = 1}, more = {.connections = 5};
    begin_ruled(7, &few);
    stage_start(&stage);
    stage_settle(&stage);
    assert_int_equal(sum_of_open(&stage), 1);
    collector_set_rules(stage.collector, &more, 1);
    stage_pass(&stage, MINUTE);
    assert_int_equal(sum_of_open(&stage), 5);
    collector_set_rules(stage.collector, &few, 1);
    stage_settle(&stage);
    assert_int_equal(sum_of_open(&stage), 5);
    for (size_t j = 0; j < stage.trap_count; j++)
        stage_mail(&stage, stage.traps[j], 1, 0);
    connections_max = 5;
    stage_await(&stage, 2 * MINUTE + 10 * SECOND, has_taken_within_limit);
    stage_pass(&stage, 2 * MINUTE);
    stage_settle(&stage);
    assert_int_equal(sum_of_open(&stage), 1);
    stage_assert_mailed(&stage);
    stage_release(&stage);
}

/* A mailbox's second connection takes none from another's first one, and makes room for it. */
static void test_second_connections(void **state)
{
    (void)state;
    enum {
        FIRST = 4,
        LATE = 2
    };
    for (unsigned most = FIRST; most <= FIRST + LATE; most += LATE) {
        struct pace_rule rule = {.connections = most};
        begin_ruled(FIRST + LATE, &rule);
        for (size_t i = 0; i < stage.trap_count; i++) {
            struct trap *trap = stage.traps[i];
            trap->folders[1] = "Spam";
            trap->account.folder_count = 2;
            trap_add_box(trap, "Spam", "");
            trap->dismissed = i >= FIRST;
        }
        stage_start(&stage);
        for (size_t i = 0; i < FIRST * 4; i++) {
            stage_pass(&stage, 3 * MINUTE);
            stage_expect_mail(&stage, stage.traps[i % FIRST], "INBOX", SECOND);
            stage_expect_mail(&stage, stage.traps[i % FIRST], "Spam", POLL);
        }
        assert_int_equal(sum_of_logins(&stage), most);
        assert_int_equal(sum_of_open(&stage), most);
        if (most > FIRST) {
            for (size_t i = FIRST; i < stage.trap_count; i++)
                stage.traps[i]->dismissed = false;
            stage_reload(&stage);
            stage_pass(&stage, 30 * MINUTE);
            for (size_t i = 0; i < stage.trap_count; i++)
                stage_expect_mail(&stage, stage.traps[i], "INBOX", SECOND);
            assert_int_equal(sum_of_logins(&stage), most + LATE);
            assert_int_equal(sum_of_open(&stage), most);
        }
        stage_pass(&stage, 5 * SECOND);
        stage_assert_mailed(&stage);
        stage_release(&stage);
    }
}

/* A rested host bears four at once, then two a second: when it begins, and after all are thrown
 * out. */
static void test_logins_per_second(void **state)
{
    (void)state;
    static const struct pace_rule rule = {.logins_per_second = 2};
    begin_ruled(20, &rule);
    stage_start(&stage);
    for (unsigned second = 0; second <= 8; second++) {
        stage_settle(&stage);
        assert_in_range(sum_of_logins(&stage), 3 + 2 * second, 5 + 2 * second);
        stage_pass(&stage, SECOND);
    }
    stage_pass(&stage, 2 * MINUTE);
    assert_int_equal(sum_of_logins(&stage), 20);
    for (size_t i = 0; i < stage.trap_count; i++)
        trap_cut_off(stage.traps[i], true);
    for (unsigned second = 0; second <= 8; second++) {
        stage_settle(&stage);
        assert_in_range(sum_of_logins(&stage), 20, 20 + 5 + 2 * second);
        stage_pass(&stage, SECOND);
    }
    stage_pass(&stage, 10 * SECOND);
    assert_int_equal(sum_of_logins(&stage), 40);
    stage_release(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_backlog),
        cmocka_unit_test(test_slow_host),
        cmocka_unit_test(test_slow_host_and_the_largest_mail),
        cmocka_unit_test(test_unsettled_mail),
        cmocka_unit_test(test_busy_folder),
        cmocka_unit_test(test_connections_per_host),
        cmocka_unit_test(test_rules_change),
        cmocka_unit_test(test_second_connections),
        cmocka_unit_test(test_logins_per_second),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
