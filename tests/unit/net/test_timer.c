/* Timers: their order, what may be done from inside one, and the clock that tests move. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "net/loop.h"

enum {
    MINUTE = 60 * 1000,
    CROWD = 3000,
};

struct bench;

struct bell {
    struct bench *bench;
    struct net_timer *timer;
    char letter;
    msec_t due; /* 0: not set */
    msec_t again;
    unsigned left; /* times that it sets itself again */
    void (*act)(struct bell *bell);
    struct bell *other;
};

struct bench {
    struct net_loop *loop;
    char log[64];
    msec_t last;
    unsigned rung;
};

static void bell_ring(void *ctx)
{
    struct bell *bell = ctx;
    size_t used = strlen(bell->bench->log);
    if (bell->letter && used + 1 < sizeof bell->bench->log)
        bell->bench->log[used] = bell->letter;
    if (bell->left) {
        bell->left--;
        net_timer_start(bell->timer, bell->again);
    }
    if (bell->act)
        bell->act(bell);
}

static void bell_init(struct bell *bell, struct bench *bench, char letter)
{
    *bell = (struct bell){.bench = bench, .letter = letter};
    bell->timer = net_timer_new(bench->loop, bell_ring, bell);
}

static void bell_stop_other(struct bell *bell)
{
    net_timer_stop(bell->other->timer);
}

static void bell_free_both(struct bell *bell)
{
    net_timer_free(bell->other->timer);
    net_timer_free(bell->timer);
    bell->other->timer = bell->timer = NULL;
}

static void bell_skip(struct bell *bell)
{
    net_loop_skip(bell->bench->loop, 10 * MINUTE);
}

static void bell_start_other(struct bell *bell)
{
    net_timer_start(bell->other->timer, 0);
}

/* Three timers, what the first does, and what is seen. All are due at once. */
static void test_acting_on_others(void **state)
{
    (void)state;
    static const struct {
        void (*act)(struct bell *bell);
        msec_t starts[3]; /* 0: not started */
        msec_t skip;
        const char *log;
    } cases[] = {
        {NULL, {3 * MINUTE, 2 * MINUTE, MINUTE}, 3 * MINUTE, "cba"},
        {NULL, {MINUTE, MINUTE, MINUTE}, MINUTE, "abc"},
        {bell_stop_other, {MINUTE, 2 * MINUTE, 3 * MINUTE}, 3 * MINUTE, "ac"},
        {bell_free_both, {MINUTE, 2 * MINUTE, 3 * MINUTE}, 3 * MINUTE, "ac"},
        /* The clock goes on while they fire: the next turn's business. */
        {bell_skip, {MINUTE, 2 * MINUTE, 11 * MINUTE}, 2 * MINUTE, "abc"},
        /* Started by another: after all that were due. */
        {bell_start_other, {MINUTE, 0, 2 * MINUTE}, 2 * MINUTE, "acb"},
        {bell_start_other, {MINUTE, 2 * MINUTE, 3 * MINUTE}, 3 * MINUTE + 1, "acb"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bench bench = {.loop = net_loop_new()};
        struct bell bells[3];
        for (size_t n = 0; n < 3; n++) {
            bell_init(&bells[n], &bench, (char)('a' + n));
            if (cases[i].starts[n])
                net_timer_start(bells[n].timer, cases[i].starts[n]);
        }
        bells[0].act = cases[i].act;
        bells[0].other = &bells[1];
        msec_t before = net_loop_now(bench.loop);
        net_loop_skip(bench.loop, cases[i].skip);
        assert_int_equal(net_loop_now(bench.loop), before + cases[i].skip);
        net_loop_run(bench.loop); /* ends: nothing is left */
        assert_string_equal(bench.log, cases[i].log);
        for (size_t n = 0; n < 3; n++)
            net_timer_free(bells[n].timer);
        net_loop_free(bench.loop);
    }
}

/* A jump over many intervals is one jump: once, and then from there on. */
static void test_jump_over_many_intervals(void **state)
{
    (void)state;
    struct bench bench = {.loop = net_loop_new()};
    struct bell often, seldom;
    msec_t after = 0;
    bell_init(&often, &bench, 'o');
    bell_init(&seldom, &bench, 's');
    often.again = MINUTE;
    often.left = 1;
    net_timer_start(often.timer, MINUTE);
    net_timer_start(seldom.timer, 90 * MINUTE);
    seldom.act = bell_skip;
    net_loop_skip(bench.loop, 90 * MINUTE);
    assert_true(net_loop_next_due(bench.loop, &after));
    assert_int_equal(after, 0);
    net_loop_run(bench.loop);
    assert_string_equal(bench.log, "oso");
    assert_false(net_loop_next_due(bench.loop, &after));
    net_timer_free(often.timer);
    net_timer_free(seldom.timer);
    net_loop_free(bench.loop);
}

static void ring_as_deferred(void *ctx)
{
    bell_ring(ctx);
}

/* A timer that starts itself again at once leaves the others their share of each turn. */
static void test_at_once_is_the_next_turn(void **state)
{
    (void)state;
    struct bench bench = {.loop = net_loop_new()};
    struct bell eager, end_of_turn;
    bell_init(&eager, &bench, 'e');
    bell_init(&end_of_turn, &bench, '.');
    struct net_deferred *deferred = net_deferred_new(bench.loop, ring_as_deferred, &end_of_turn);
    eager.left = 2;
    net_timer_start(eager.timer, 0);
    net_deferred_schedule(deferred);
    net_loop_run(bench.loop);
    assert_string_equal(bench.log, "e.ee");
    net_deferred_free(deferred);
    net_timer_free(eager.timer);
    net_timer_free(end_of_turn.timer);
    net_loop_free(bench.loop);
}

/* Driven, no timer fires before the clock is moved, and a turn tells whether it called anybody. */
static void test_driven(void **state)
{
    (void)state;
    struct bench bench = {.loop = net_loop_new()};
    struct net_loop *real = net_loop_new();
    struct bell bell;
    bell_init(&bell, &bench, 'a');
    struct net_deferred *deferred = net_deferred_new(bench.loop, ring_as_deferred, &bell);
    net_loop_drive(bench.loop);
    msec_t began = net_loop_now(bench.loop), late = net_loop_now(real) + 5;
    net_timer_start(bell.timer, 1);
    while (net_loop_now(real) < late) {
        net_loop_step(real);
        assert_false(net_loop_step(bench.loop));
    }
    assert_int_equal(net_loop_now(bench.loop), began);
    net_loop_skip(bench.loop, 1);
    assert_true(net_loop_step(bench.loop));
    assert_int_equal(net_loop_now(bench.loop), began + 1);
    assert_false(net_loop_step(bench.loop));
    net_deferred_schedule(deferred);
    assert_true(net_loop_step(bench.loop));
    assert_false(net_loop_step(bench.loop));
    assert_string_equal(bench.log, "aa");
    net_loop_free(real);
    net_deferred_free(deferred);
    net_timer_free(bell.timer);
    net_loop_free(bench.loop);
}

static void test_next_due(void **state)
{
    (void)state;
    struct bench bench = {.loop = net_loop_new()};
    struct bell bell;
    msec_t after = 0;
    bell_init(&bell, &bench, 'a');
    assert_false(net_loop_next_due(bench.loop, &after));
    net_timer_start(bell.timer, 5 * MINUTE);
    assert_true(net_loop_next_due(bench.loop, &after));
    assert_int_equal(after, 5 * MINUTE);
    net_timer_start(bell.timer, 2 * MINUTE);
    net_loop_skip(bench.loop, MINUTE);
    assert_true(net_loop_next_due(bench.loop, &after));
    assert_int_equal(after, MINUTE);
    net_timer_start(bell.timer, UINT64_MAX); /* never */
    net_loop_skip(bench.loop, MINUTE);
    net_timer_stop(bell.timer);
    net_timer_stop(bell.timer);
    assert_false(net_loop_next_due(bench.loop, &after));
    net_loop_run(bench.loop);
    assert_string_equal(bench.log, "");
    net_timer_free(bell.timer);
    net_loop_free(bench.loop);
}

static void bench_stop(void *ctx)
{
    struct bench *bench = ctx;
    net_loop_stop(bench->loop);
}

/* One turn, without waiting. */
static void bench_turn(struct bench *bench)
{
    struct net_deferred *stop = net_deferred_new(bench->loop, bench_stop, bench);
    net_deferred_schedule(stop);
    net_loop_run(bench->loop);
    net_deferred_free(stop);
}

/* Against a model that is a list of times. */
static void crowd_ring(struct bell *bell)
{
    struct bench *bench = bell->bench;
    assert_true(bell->due);
    assert_true(bell->due <= net_loop_now(bench->loop));
    assert_true(bell->due >= bench->last);
    bench->last = bell->due;
    bell->due = 0;
    bench->rung++;
}

static void test_crowd(void **state)
{
    (void)state;
    static struct bell bells[CROWD];
    struct bench bench = {.loop = net_loop_new()};
    uint32_t random = 11;
    for (size_t i = 0; i < CROWD; i++) {
        bell_init(&bells[i], &bench, '\0');
        bells[i].act = crowd_ring;
    }
    unsigned set = 0;
    for (unsigned round = 0; round < 30; round++) {
        for (unsigned i = 0; i < CROWD; i++) {
            random = random * 1664525u + 1013904223u;
            struct bell *bell = &bells[(random >> 8) % CROWD];
            msec_t after = MINUTE + (random >> 20);
            set -= bell->due != 0;
            bell->due = 0;
            if ((random >> 4) % 4 == 0) {
                net_timer_stop(bell->timer);
                continue;
            }
            net_timer_start(bell->timer, after);
            bell->due = net_loop_now(bench.loop) + after;
            set++;
        }
        unsigned before = bench.rung;
        /* Only some become due: those left are in a heap that was taken apart. */
        net_loop_skip(bench.loop, round % 2 ? MINUTE + 2048 : MINUTE + 5000);
        bench_turn(&bench);
        set -= bench.rung - before;
        for (size_t i = 0; i < CROWD; i++)
            assert_true(!bells[i].due || bells[i].due >= bench.last);
    }
    net_loop_skip(bench.loop, 2 * MINUTE);
    unsigned before = bench.rung;
    net_loop_run(bench.loop);
    assert_int_equal(bench.rung - before, set);
    for (size_t i = 0; i < CROWD; i++) {
        assert_int_equal(bells[i].due, 0);
        net_timer_free(bells[i].timer);
    }
    net_loop_free(bench.loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_acting_on_others),
        cmocka_unit_test(test_jump_over_many_intervals),
        cmocka_unit_test(test_at_once_is_the_next_turn),
        cmocka_unit_test(test_next_due),
        cmocka_unit_test(test_driven),
        cmocka_unit_test(test_crowd),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
