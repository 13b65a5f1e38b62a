/* Who may connect when: the rules of hosts, their lines, and who makes room. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>

#include "collect/pace.h"
#include "net/loop.h"

enum {
    TICKETS = 100
};

struct holder {
    struct pace_ticket ticket;
    unsigned turn;  /* when it was granted: 1, 2 …; 0: not yet */
    unsigned asked; /* to make room */
};

struct fixture {
    struct net_loop *loop;
    struct pace *pace;
    struct pace_host *host, *other;
    struct holder holders[TICKETS];
    unsigned turns;
};

static struct fixture fixture;

static void granted(struct pace_ticket *ticket)
{
    ((struct holder *)ticket)->turn = ++fixture.turns;
}

static void wanted(struct pace_ticket *ticket)
{
    ((struct holder *)ticket)->asked++;
}

static const struct pace_rule rules[] = {
    {.host = "Slow.example", .logins_per_second = 2},
    {.host = ".few.example", .connections = 2},
    {.host = NULL},
};

static int set_up(void **state)
{
    (void)state;
    fixture = (struct fixture){.loop = net_loop_new()};
    fixture.pace = pace_new(fixture.loop, rules, 3, 0, 400);
    for (size_t i = 0; i < TICKETS; i++) {
        fixture.holders[i].ticket.granted = granted;
        fixture.holders[i].ticket.wanted = wanted;
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (size_t i = 0; i < TICKETS; i++)
        pace_release(&fixture.holders[i].ticket);
    pace_host_unuse(fixture.host);
    if (fixture.other)
        pace_host_unuse(fixture.other);
    pace_free(fixture.pace);
    net_loop_free(fixture.loop);
    return 0;
}

static void stop(void *ctx)
{
    net_loop_stop(ctx);
}

/* What can happen now happens. */
static void settle(void)
{
    struct net_timer *timer = net_timer_new(fixture.loop, stop, fixture.loop);
    net_timer_start(timer, 0);
    net_loop_run(fixture.loop);
    net_timer_start(timer, 0);
    net_loop_run(fixture.loop);
    net_timer_free(timer);
}

static void request(struct pace_host *host, size_t first, size_t count)
{
    for (size_t i = first; i < first + count; i++)
        pace_request(host, &fixture.holders[i].ticket);
}

static void test_logins_are_spaced(void **state)
{
    (void)state;
    fixture.host = pace_host_use(fixture.pace, "SLOW.EXAMPLE");
    request(fixture.host, 0, 10);
    assert_int_equal(fixture.turns, 0); /* never from inside */
    settle();
    assert_int_equal(fixture.turns, 4); /* what a rested host bears at once */
    for (size_t i = 0; i < 4; i++)
        pace_logged_in(&fixture.holders[i].ticket);
    settle();
    assert_int_equal(fixture.turns, 4);
    for (unsigned more = 5; more <= 7; more++) {
        net_loop_skip(fixture.loop, 501);
        settle();
        assert_int_equal(fixture.turns, more);
        assert_int_equal(fixture.holders[more - 1].turn, more); /* in line */
    }
    net_loop_skip(fixture.loop, 60000); /* rest is not saved up */
    settle();
    assert_int_equal(fixture.turns, 10);
}

static void test_connections_are_counted(void **state)
{
    (void)state;
    fixture.host = pace_host_use(fixture.pace, "a.FEW.example");
    fixture.other = pace_host_use(fixture.pace, "few.example"); /* has a count of its own */
    request(fixture.host, 0, 4);
    request(fixture.other, 10, 1);
    settle();
    assert_int_equal(fixture.turns, 3);
    assert_true(fixture.holders[0].turn && fixture.holders[1].turn && fixture.holders[10].turn);

    pace_logged_in(&fixture.holders[0].ticket);
    assert_int_equal(fixture.holders[0].asked, 1); /* two wait: the one that is through is asked */
    pace_logged_in(&fixture.holders[1].ticket);
    assert_int_equal(fixture.holders[1].asked, 1);
    assert_int_equal(fixture.holders[10].asked, 0);
    request(fixture.host, 4, 1);
    assert_int_equal(fixture.holders[0].asked, 1); /* once is enough */

    pace_release(&fixture.holders[1].ticket);
    pace_release(&fixture.holders[1].ticket);
    settle();
    assert_int_equal(fixture.turns, 4);
    assert_int_equal(fixture.holders[2].turn, 4);
    pace_release(&fixture.holders[3].ticket); /* out of the line */
    pace_release(&fixture.holders[2].ticket); /* failed before it was logged in */
    settle();
    assert_int_equal(fixture.holders[3].turn, 0);
    assert_int_equal(fixture.holders[4].turn, 5);
}

/* A host that accepts and never answers holds its own mailboxes up, not the others'. */
static void test_a_host_that_hangs(void **state)
{
    (void)state;
    fixture.host = pace_host_use(fixture.pace, "hangs");
    fixture.other = pace_host_use(fixture.pace, "well");
    request(fixture.host, 0, 90);
    request(fixture.other, 90, 10);
    settle();
    assert_int_equal(fixture.turns, 60);
    for (size_t i = 90; i < TICKETS; i++)
        assert_true(fixture.holders[i].turn);
    for (size_t i = 0; i < 40; i++)
        pace_release(&fixture.holders[i].ticket);
    settle();
    assert_int_equal(fixture.turns, 100);
}

static void test_rules_change(void **state)
{
    (void)state;
    static const struct pace_rule wider[] = {{.host = NULL, .connections = 3}};
    fixture.host = pace_host_use(fixture.pace, "b.few.example");
    request(fixture.host, 0, 4);
    settle();
    assert_int_equal(fixture.turns, 2);
    pace_set_rules(fixture.pace, wider, 1);
    settle();
    assert_int_equal(fixture.turns, 3);
}

static void test_a_host_is_known_while_used(void **state)
{
    (void)state;
    fixture.host = pace_host_use(fixture.pace, "mx.example");
    struct pace_host *same = pace_host_use(fixture.pace, "MX.example");
    assert_ptr_equal(same, fixture.host);
    assert_false(pace_host_idle_proven(same));
    pace_host_prove_idle(same);
    assert_true(pace_host_tells(same, "away"));
    assert_false(pace_host_tells(same, "away"));
    assert_true(pace_host_tells(same, "full"));
    net_loop_skip(fixture.loop, 11 * 60 * 1000);
    assert_true(pace_host_tells(same, "full"));
    pace_host_unuse(same);
    assert_true(pace_host_idle_proven(fixture.host));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_logins_are_spaced, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_connections_are_counted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_host_that_hangs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_rules_change, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_host_is_known_while_used, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
