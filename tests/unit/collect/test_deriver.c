/* Keys are derived beside the loop, in turn; who does not wait any more hears nothing. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdbool.h>
#include <string.h>

#include "collect/deriver.h"
#include "net/loop.h"

enum {
    JOBS = 12,
    DERIVER_MOST = 4, /* threads */
};

static const struct sasl_derivation derivation = {SASL_SHA_256, 4096, 4, "salt"};

struct fixture {
    struct net_loop *loop;
    struct deriver *deriver;
    bool working; /* deriver_submit() is being called */
    unsigned done;
    uint8_t key[SASL_KEY_MAX];
};

static void derived(void *ctx, const struct derived_key *key)
{
    struct fixture *fixture = ctx;
    assert_false(fixture->working);
    assert_true(sasl_derivation_equal(&key->of, &derivation));
    memcpy(fixture->key, key->key, sizeof fixture->key);
    if (++fixture->done == JOBS)
        net_loop_stop(fixture->loop);
}

static struct derive_job *submit(struct fixture *fixture)
{
    fixture->working = true;
    struct derive_job *job =
        deriver_submit(fixture->deriver, "host", &derivation, "password", derived, fixture);
    fixture->working = false;
    return job;
}

static void set_up(struct fixture *fixture)
{
    *fixture = (struct fixture){.loop = net_loop_new()};
    fixture->deriver = deriver_new(fixture->loop);
}

static void tear_down(struct fixture *fixture)
{
    deriver_free(fixture->deriver);
    net_loop_free(fixture->loop);
}

static void test_all(void **state)
{
    (void)state;
    struct fixture fixture;
    uint8_t key[SASL_KEY_MAX];
    set_up(&fixture);
    for (unsigned i = 0; i < JOBS; i++)
        submit(&fixture);
    net_loop_run(fixture.loop);
    assert_int_equal(fixture.done, JOBS);
    sasl_derive(&derivation, "password", key);
    assert_memory_equal(fixture.key, key, sizeof key);
    tear_down(&fixture);
}

static void costly_derived(void *ctx, const struct derived_key *key)
{
    (void)key;
    ++*(unsigned *)ctx;
}

/* Whoever has us derive for long, many times at once, keeps no other host waiting for all of it. */
static void test_hosts_take_turns(void **state)
{
    (void)state;
    static const struct sasl_derivation costly = {SASL_SHA_256, 400000, 4, "salt"};
    struct fixture fixture;
    unsigned done = 0;
    set_up(&fixture);
    for (unsigned i = 0; i < JOBS; i++)
        deriver_submit(fixture.deriver, "costly", &costly, "password", costly_derived, &done);
    for (unsigned i = 0; i < JOBS; i++)
        submit(&fixture);
    net_loop_run(fixture.loop); /* until its last one is done */
    assert_in_range(done, 0, 2 * DERIVER_MOST);
    net_loop_run(fixture.loop);
    assert_int_equal(done, JOBS);
    tear_down(&fixture);
}

static void test_cancelled(void **state)
{
    (void)state;
    struct fixture fixture;
    struct derive_job *jobs[JOBS];
    set_up(&fixture);
    for (unsigned i = 0; i < JOBS; i++)
        jobs[i] = submit(&fixture);
    for (unsigned i = 0; i < JOBS; i += 2)
        derive_job_cancel(jobs[i]);
    derive_job_cancel(NULL);
    net_loop_run(fixture.loop);
    assert_int_equal(fixture.done, JOBS / 2);
    tear_down(&fixture);
}

static void test_freed_at_work(void **state)
{
    (void)state;
    struct fixture fixture;
    set_up(&fixture);
    for (unsigned i = 0; i < JOBS; i++)
        submit(&fixture);
    tear_down(&fixture);
    assert_int_equal(fixture.done, 0);
    deriver_free(NULL);
}

static void test_kept(void **state)
{
    (void)state;
    struct derived_key *kept = NULL;
    struct derived_key one = {.of = derivation, .key = {1}}, two = {.of = derivation, .key = {2}};
    derived_key_keep(&kept, NULL);
    assert_null(kept);
    derived_key_keep(&kept, &one);
    assert_int_equal(kept->key[0], 1);
    derived_key_keep(&kept, &two);
    assert_int_equal(kept->key[0], 2);
    derived_key_keep(&kept, NULL);
    assert_null(kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all),       cmocka_unit_test(test_hosts_take_turns),
        cmocka_unit_test(test_cancelled), cmocka_unit_test(test_freed_at_work),
        cmocka_unit_test(test_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
