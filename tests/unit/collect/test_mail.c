/* A mail's claims on the budget, from its offer until the sink has it. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "collect/budget.h"
#include "collect/env.h"
#include "collect/folder.h"
#include "collect/mail.h"
#include "net/loop.h"

enum {
    MEMORY = 16000, /* of which 1000 bytes may wait for the sink */
    FRAME = 600,
};

static void *offered[2];
static size_t offers;

static void offer(struct sink *sink, struct buf *frame, void *token)
{
    (void)sink;
    offered[offers++] = token;
    buf_release(frame);
}

static const struct sink_ops ops = {.offer = offer};

static void granted(struct budget_waiter *waiter)
{
    (void)waiter;
}

static struct budget_host host;

static void offer_one(struct collect_env *env, struct folder *folder)
{
    struct budget_waiter waiter = {.granted = granted, .host = &host};
    struct payload_result result = {.mail_size = FRAME};
    struct buf frame = {0};
    assert_true(budget_request(env->budget, &waiter, 2 * FRAME));
    budget_received(&host, 2 * FRAME);
    buf_reserve_exact(&frame, FRAME);
    folder->in_flight++;
    mail_offer(env, folder, 1, false, &result, &frame, 2 * FRAME);
}

/* What the sink does not take stops the next mails; what it takes lets them come. */
static void test_waits_for_the_sink(void **state)
{
    (void)state;
    struct sink sink = {.ops = &ops};
    struct collect_env env = {.loop = net_loop_new(), .sink = &sink};
    struct folder folder = {.env = &env};
    struct budget_waiter waiter = {.granted = granted, .host = &host};
    budget_host_init(&host);
    env.budget = budget_new(env.loop, MEMORY, 10);
    budget_open(env.budget, true);
    offer_one(&env, &folder);
    offer_one(&env, &folder);
    assert_false(budget_request(env.budget, &waiter, 1));
    net_loop_run(env.loop);
    assert_true(waiter.waiting);
    mail_sent(offered[0]);
    net_loop_run(env.loop);
    assert_false(waiter.waiting);
    mail_drop_all(&env);
    assert_int_equal(folder.in_flight, 0);
    budget_free(env.budget);
    net_loop_free(env.loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_waits_for_the_sink),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
