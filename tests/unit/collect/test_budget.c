/* The budget: who waits, who is served, in which order, and that nobody waits for ever. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "collect/budget.h"
#include "net/loop.h"

enum {
    WAITERS = 4
};

struct waiter {
    struct budget_waiter waiter;
    unsigned turn; /* when it was granted: 1, 2 … */
};

static unsigned turns;

static void granted(struct budget_waiter *waiter)
{
    ((struct waiter *)waiter)->turn = ++turns;
}

struct fixture {
    struct net_loop *loop;
    struct budget *budget;
    struct budget_host hosts[WAITERS]; /* each waiter's own, at first */
    struct waiter waiters[WAITERS];
};

/* These are of one host. */
static void init_waiters(struct waiter *waiters, size_t count, struct budget_host *host, bool fresh)
{
    for (size_t i = 0; i < count; i++)
        waiters[i].waiter =
            (struct budget_waiter){.granted = granted, .host = host, .fresh = fresh};
}

static int set_up(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){.loop = net_loop_new()};
    fixture.budget = budget_new(fixture.loop, 100, 3);
    for (size_t i = 0; i < WAITERS; i++) {
        budget_host_init(&fixture.hosts[i]);
        init_waiters(&fixture.waiters[i], 1, &fixture.hosts[i], false);
    }
    turns = 0;
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    budget_free(fixture->budget);
    net_loop_free(fixture->loop);
    return 0;
}

static bool request(struct fixture *fixture, size_t index, size_t bytes)
{
    return budget_request(fixture->budget, &fixture->waiters[index].waiter, bytes);
}

static void test_closed_at_first(void **state)
{
    struct fixture *fixture = *state;
    assert_false(request(fixture, 0, 1));
    net_loop_run(fixture->loop);
    assert_int_equal(fixture->waiters[0].turn, 0);
    budget_open(fixture->budget, true);
    net_loop_run(fixture->loop);
    assert_int_equal(fixture->waiters[0].turn, 1);
}

static void test_in_line(void **state)
{
    struct fixture *fixture = *state;
    budget_open(fixture->budget, true);
    assert_true(request(fixture, 0, 60));
    assert_false(request(fixture, 1, 60)); /* does not fit beside it */
    assert_false(request(fixture, 2, 10)); /* would, but nobody overtakes */
    budget_release_bytes(fixture->budget, 60);
    budget_release_slot(fixture->budget);
    net_loop_run(fixture->loop);
    assert_int_equal(fixture->waiters[1].turn, 1);
    assert_int_equal(fixture->waiters[2].turn, 2);
}

static void test_slots(void **state)
{
    struct fixture *fixture = *state;
    budget_open(fixture->budget, true);
    for (size_t i = 0; i < 3; i++)
        assert_true(request(fixture, i, 1));
    assert_false(request(fixture, 3, 1));
    budget_release_bytes(fixture->budget, 1);
    net_loop_run(fixture->loop);
    assert_int_equal(fixture->waiters[3].turn, 0);
    budget_release_slot(fixture->budget);
    net_loop_run(fixture->loop);
    assert_int_equal(fixture->waiters[3].turn, 1);
}

static void test_larger_than_all(void **state)
{
    struct fixture *fixture = *state;
    budget_open(fixture->budget, true);
    assert_true(request(fixture, 0, 10));
    assert_false(request(fixture, 1, 1000));
    budget_release_bytes(fixture->budget, 10);
    net_loop_run(fixture->loop);
    assert_int_equal(fixture->waiters[1].turn, 1);
}

static void test_cancel_lets_the_next_pass(void **state)
{
    struct fixture *fixture = *state;
    budget_open(fixture->budget, true);
    assert_true(request(fixture, 0, 60));
    assert_false(request(fixture, 1, 60));
    assert_false(request(fixture, 2, 25));
    budget_cancel(fixture->budget, &fixture->waiters[1].waiter);
    budget_cancel(fixture->budget, &fixture->waiters[1].waiter);
    net_loop_run(fixture->loop);
    assert_int_equal(fixture->waiters[1].turn, 0);
    assert_int_equal(fixture->waiters[2].turn, 1);
    budget_adjust(fixture->budget, 25, 10);
    assert_true(request(fixture, 3, 15));
}

static void test_fresh_mail_goes_first(void **state)
{
    struct fixture *fixture = *state;
    budget_open(fixture->budget, true);
    fixture->waiters[2].waiter.fresh = fixture->waiters[3].waiter.fresh = true;
    assert_true(request(fixture, 0, 80));
    assert_false(request(fixture, 1, 10)); /* 100 less the eighth that is kept is not enough … */
    assert_true(request(fixture, 2, 15));  /* … but for fresh mail it is */
    budget_release_slot(fixture->budget);
    assert_false(request(fixture, 3, 15));
    budget_release_bytes(fixture->budget, 80);
    budget_release_slot(fixture->budget);
    net_loop_run(fixture->loop);
    assert_int_equal(fixture->waiters[3].turn, 1);
    assert_int_equal(fixture->waiters[1].turn, 2);
}

/* The host's mail is here. */
static void receive(struct fixture *fixture, size_t host, size_t bytes)
{
    budget_received(&fixture->hosts[host], bytes);
    budget_release_bytes(fixture->budget, bytes);
    budget_release_slot(fixture->budget);
    net_loop_run(fixture->loop);
}

/* A host whose mails trickle in leaves a fifth to the others, who pass its line; it goes on when
 * one of them is here. */
static void test_a_host_has_a_share(void **state)
{
    struct fixture *fixture = *state;
    struct waiter slow[2] = {0};
    budget_open(fixture->budget, true);
    budget_set_slots(fixture->budget, 100);
    init_waiters(slow, 2, &fixture->hosts[0], true);
    for (size_t i = 0; i < WAITERS; i++)
        fixture->waiters[i].waiter.fresh = true;
    assert_true(request(fixture, 0, 40));
    assert_true(budget_request(fixture->budget, &slow[0].waiter, 40));
    assert_false(budget_request(fixture->budget, &slow[1].waiter, 5));
    assert_true(request(fixture, 1, 10));
    assert_false(request(fixture, 2, 20)); /* it fits into what there is in all only, and … */
    assert_false(request(fixture, 3, 1));  /* … nobody overtakes it */
    receive(fixture, 1, 10);
    assert_int_equal(fixture->waiters[2].turn, 1);
    assert_int_equal(turns, 1);
    receive(fixture, 0, 40);
    assert_int_equal(slow[1].turn, 2);
    assert_int_equal(fixture->waiters[3].turn, 3);
    /* It was larger than it had said. */
    assert_true(budget_grow(fixture->budget, &slow[1].waiter, 5, 50, true));
    assert_false(budget_request(fixture->budget, &slow[0].waiter, 1));
    receive(fixture, 0, 50);
    assert_int_equal(slow[0].turn, 4);
}

/* What its mails turn out to take beyond what was reserved is of the same share; the only mail of
 * all may take what it needs, and so may one that was put off already. */
static void test_a_host_has_a_share_of_what_grows(void **state)
{
    struct fixture *fixture = *state;
    struct waiter small[10] = {0};
    budget_open(fixture->budget, true);
    budget_set_slots(fixture->budget, 100);
    init_waiters(small, 10, &fixture->hosts[0], true);
    fixture->waiters[1].waiter.fresh = fixture->waiters[2].waiter.fresh = true;
    assert_true(budget_request(fixture->budget, &small[0].waiter, 1));
    assert_true(budget_grow(fixture->budget, &small[0].waiter, 1, 150, false));
    assert_true(budget_grow(fixture->budget, &small[0].waiter, 150, 1, false));
    for (size_t i = 1; i < 10; i++)
        assert_true(budget_request(fixture->budget, &small[i].waiter, 1));
    size_t grown = 0;
    for (size_t i = 0; i < 10; i++)
        grown += budget_grow(fixture->budget, &small[i].waiter, 1, 15, false);
    assert_int_equal(grown, 5); /* 75 and 5 of 100: more than four times what is free is too much */
    assert_int_equal(fixture->hosts[0].bytes, 80);
    assert_true(request(fixture, 1, 5));
    assert_true(request(fixture, 2, 1));
    assert_true(budget_grow(fixture->budget, &fixture->waiters[2].waiter, 1, 5, false));
    assert_false(budget_grow(fixture->budget, &fixture->waiters[2].waiter, 5, 90, false));
    assert_true(budget_grow(fixture->budget, &fixture->waiters[2].waiter, 5, 90, true));
}

/* Of the mails at a time, too, before it is known whether there is a record to be had. */
static void test_a_host_has_a_share_of_the_mails(void **state)
{
    struct fixture *fixture = *state;
    struct waiter slow[40] = {0};
    size_t given = 0;
    budget_open(fixture->budget, true);
    budget_set_slots(fixture->budget, 40);
    init_waiters(slow, 40, &fixture->hosts[0], true);
    for (size_t i = 0; i < 40; i++)
        given += budget_request(fixture->budget, &slow[i].waiter, 1);
    assert_in_range(given, 30, 35);
    for (size_t i = 1; i < WAITERS; i++) {
        fixture->waiters[i].waiter.fresh = true;
        assert_true(request(fixture, i, 1));
    }
    assert_int_equal(turns, 0);
}

/* Each host has its turn, however many wait for another. */
static void test_hosts_take_turns(void **state)
{
    struct fixture *fixture = *state;
    struct waiter crowd[3] = {0};
    budget_set_slots(fixture->budget, 100);
    init_waiters(crowd, 3, &fixture->hosts[0], false);
    for (size_t i = 0; i < 3; i++)
        assert_false(budget_request(fixture->budget, &crowd[i].waiter, 1));
    assert_false(request(fixture, 1, 1));
    assert_false(request(fixture, 2, 1));
    budget_cancel(fixture->budget, &fixture->waiters[2].waiter);
    budget_open(fixture->budget, true);
    net_loop_run(fixture->loop);
    assert_int_equal(crowd[0].turn, 1);
    assert_int_equal(fixture->waiters[1].turn, 2);
    assert_int_equal(crowd[1].turn, 3);
    assert_int_equal(crowd[2].turn, 4);
    assert_int_equal(fixture->waiters[2].turn, 0);
}

/* A sink that is slow: what waits for it stops the granting long before the memory is used up. */
static void test_slow_sink(void **state)
{
    struct fixture *fixture = *state;
    budget_open(fixture->budget, true);
    fixture->waiters[2].waiter.fresh = true;
    assert_true(request(fixture, 0, 20));
    budget_adjust(fixture->budget, 20, 7);
    budget_add_waiting(fixture->budget, 7);
    assert_false(request(fixture, 1, 1));
    assert_false(request(fixture, 2, 1));
    net_loop_run(fixture->loop);
    assert_int_equal(turns, 0);
    budget_release_waiting(fixture->budget, 1);
    net_loop_run(fixture->loop);
    assert_int_equal(fixture->waiters[2].turn, 1);
    assert_int_equal(fixture->waiters[1].turn, 2);
}

enum {
    CROWD = 20
};

/* Fresh mail without an end must not starve the backlog. */
static void test_backlog_has_its_turns(void **state)
{
    struct fixture *fixture = *state;
    struct waiter crowd[CROWD] = {0};
    struct waiter *backlog = &fixture->waiters[0];
    budget_set_slots(fixture->budget, CROWD * 2);
    init_waiters(crowd, CROWD, &fixture->hosts[1], true);
    for (size_t i = 0; i < CROWD; i++)
        assert_false(budget_request(fixture->budget, &crowd[i].waiter, 1));
    assert_false(request(fixture, 0, 1));
    budget_open(fixture->budget, true);
    net_loop_run(fixture->loop);
    assert_int_equal(backlog->turn, 9);
    assert_int_equal(crowd[CROWD - 1].turn, CROWD + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_closed_at_first, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_in_line, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_slots, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_larger_than_all, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cancel_lets_the_next_pass, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_slow_sink, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_fresh_mail_goes_first, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_backlog_has_its_turns, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_host_has_a_share, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_host_has_a_share_of_what_grows, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_host_has_a_share_of_the_mails, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_hosts_take_turns, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
