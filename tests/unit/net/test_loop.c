/* Timers (more in test_timer.c), signals, end-of-turn work and the worker. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "net/loop.h"
#include "net/worker.h"

struct log {
    struct net_loop *loop;
    char text[64];
    struct net_timer *timer, *later;
    struct net_deferred *first, *second;
    struct net_signal *signal;
    int rounds;
};

static void log_add(struct log *log, char letter)
{
    log->text[strlen(log->text)] = letter;
}

static void log_timer_a(void *ctx)
{
    log_add(ctx, 'a');
}

static void log_timer_b(void *ctx)
{
    log_add(ctx, 'b');
}

static void test_timers_fire_once_in_order(void **state)
{
    (void)state;
    struct log log = {.loop = net_loop_new()};
    struct net_timer *a = net_timer_new(log.loop, log_timer_a, &log);
    struct net_timer *b = net_timer_new(log.loop, log_timer_b, &log);
    struct net_timer *never = net_timer_new(log.loop, log_timer_a, &log);
    net_timer_start(b, 5);
    net_timer_start(a, 60000);
    net_timer_start(a, 1); /* replaces */
    net_timer_start(never, 2);
    net_timer_stop(never);
    msec_t before = net_loop_now(log.loop);
    net_loop_run(log.loop); /* ends: nothing is left */
    assert_string_equal(log.text, "ab");
    assert_true(net_loop_now(log.loop) >= before + 5);
    net_timer_free(a);
    net_timer_free(b);
    net_timer_free(never);
    net_timer_free(NULL);
    net_loop_free(log.loop);
}

struct stop {
    struct log *log;
    int ends[2][2]; /* of two pipes */
    struct net_watch *watches[2];
    struct net_timer *deadline;
};

static void stop_deadline(void *ctx)
{
    struct stop *stop = ctx;
    log_add(stop->log, 'd');
    net_loop_stop(stop->log->loop);
}

/* As if the process was stopped: when it goes on, an answer has come, and its deadline is over. */
static void stop_happens(void *ctx)
{
    struct stop *stop = ctx;
    char byte;
    assert_int_equal(read(stop->ends[0][0], &byte, 1), 1);
    log_add(stop->log, 's');
    usleep(1200 * 1000);
    assert_int_equal(write(stop->ends[1][1], "x", 1), 1);
}

static void stop_answer(void *ctx)
{
    struct stop *stop = ctx;
    char byte;
    assert_int_equal(read(stop->ends[1][0], &byte, 1), 1);
    log_add(stop->log, 'a');
}

static void test_answers_come_before_deadlines(void **state)
{
    (void)state;
    struct log log = {.loop = net_loop_new()};
    struct stop stop = {.log = &log};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pipe(stop.ends[i]), 0);
        stop.watches[i] =
            net_watch_new(log.loop, stop.ends[i][0], i ? stop_answer : stop_happens, &stop);
    }
    stop.deadline = net_timer_new(log.loop, stop_deadline, &stop);
    net_timer_start(stop.deadline, 100);
    assert_int_equal(write(stop.ends[0][1], "x", 1), 1);
    net_loop_run(log.loop);
    assert_string_equal(log.text, "sad");
    for (int i = 0; i < 2; i++) {
        net_watch_free(stop.watches[i]);
        close(stop.ends[i][0]);
        close(stop.ends[i][1]);
    }
    net_timer_free(stop.deadline);
    net_loop_free(log.loop);
}

static void log_free_timer(void *ctx)
{
    struct log *log = ctx;
    log_add(log, 't');
    net_timer_free(log->timer);
}

static void test_timer_freed_in_its_callback(void **state)
{
    (void)state;
    struct log log = {.loop = net_loop_new()};
    log.timer = net_timer_new(log.loop, log_free_timer, &log);
    net_timer_start(log.timer, 0);
    net_loop_run(log.loop);
    assert_string_equal(log.text, "t");
    net_loop_free(log.loop);
}

/* Schedules itself and the other for the next turn; the other, where it is still to run in this
 * one, is not scheduled twice. */
static void log_deferred_first(void *ctx)
{
    struct log *log = ctx;
    log_add(log, '1');
    if (log->rounds-- > 0) {
        net_deferred_schedule(log->first);
        net_deferred_schedule(log->second);
        net_deferred_schedule(log->second);
    }
}

static void log_deferred_second(void *ctx)
{
    log_add(ctx, '2');
}

static void test_deferred(void **state)
{
    (void)state;
    struct log log = {.loop = net_loop_new(), .rounds = 2};
    log.first = net_deferred_new(log.loop, log_deferred_first, &log);
    log.second = net_deferred_new(log.loop, log_deferred_second, &log);
    struct net_deferred *never = net_deferred_new(log.loop, log_deferred_second, &log);
    net_deferred_schedule(log.second);
    net_deferred_schedule(log.first);
    net_deferred_schedule(log.second);
    net_deferred_schedule(never);
    net_deferred_free(never);
    assert_string_equal(log.text, ""); /* not from inside the call */
    net_loop_run(log.loop);
    assert_string_equal(log.text, "21121");
    net_deferred_free(log.first);
    net_deferred_free(log.second);
    net_deferred_free(NULL);
    net_loop_free(log.loop);
}

static void log_free_both(void *ctx)
{
    struct log *log = ctx;
    log_add(log, 'f');
    net_deferred_free(log->first);
    net_deferred_free(log->second);
}

static void test_deferred_freed_in_its_callback(void **state)
{
    (void)state;
    struct log log = {.loop = net_loop_new()};
    log.first = net_deferred_new(log.loop, log_free_both, &log);
    log.second = net_deferred_new(log.loop, log_deferred_second, &log);
    net_deferred_schedule(log.first);
    net_deferred_schedule(log.second);
    net_loop_run(log.loop);
    assert_string_equal(log.text, "f");
    net_loop_free(log.loop);
}

static void log_signal(void *ctx)
{
    struct log *log = ctx;
    log_add(log, 's');
    net_signal_free(log->signal);
}

static void test_signal(void **state)
{
    (void)state;
    struct log log = {.loop = net_loop_new()};
    log.signal = net_signal_new(log.loop, SIGUSR1, log_signal, &log);
    kill(getpid(), SIGUSR1);
    net_loop_run(log.loop);
    assert_string_equal(log.text, "s");
    net_loop_free(log.loop);
}

static void log_stop(void *ctx)
{
    struct log *log = ctx;
    log_add(log, 'x');
    net_loop_stop(log->loop);
    if (log->later)
        net_timer_start(log->later, 1); /* counted from this turn: never in it */
}

static void test_stop_and_run_again(void **state)
{
    (void)state;
    struct log log = {.loop = net_loop_new()};
    struct net_timer *timer = net_timer_new(log.loop, log_stop, &log);
    struct net_timer *later = log.later = net_timer_new(log.loop, log_timer_a, &log);
    net_timer_start(timer, 0);
    net_loop_run(log.loop);
    assert_string_equal(log.text, "x");
    net_loop_run(log.loop);
    assert_string_equal(log.text, "xa");
    net_timer_free(timer);
    net_timer_free(later);
    net_loop_free(log.loop);
}

struct job {
    struct net_job job; /* first */
    char name;
    struct net_worker *worker;
    struct job *again; /* submitted in `done` */
    char *worked, *done;
    pthread_t loop_thread;
    bool own_thread;
};

static void job_work(struct net_job *base)
{
    struct job *job = (struct job *)base;
    job->worked[strlen(job->worked)] = job->name;
    job->own_thread = !pthread_equal(pthread_self(), job->loop_thread);
}

static void job_done(struct net_job *base)
{
    struct job *job = (struct job *)base;
    assert_true(pthread_equal(pthread_self(), job->loop_thread));
    assert_true(job->own_thread);
    job->done[strlen(job->done)] = job->name;
    if (job->again)
        net_worker_submit(job->worker, &job->again->job);
}

struct jobs {
    char worked[32], done[32];
    struct job list[20];
};

static void jobs_init(struct jobs *jobs, struct net_worker *worker)
{
    memset(jobs, 0, sizeof *jobs);
    for (size_t i = 0; i < 20; i++)
        jobs->list[i] = (struct job){.job = {.work = job_work, .done = job_done},
                                     .name = (char)('a' + i),
                                     .worker = worker,
                                     .worked = jobs->worked,
                                     .done = jobs->done,
                                     .loop_thread = pthread_self()};
}

static void test_worker_keeps_order(void **state)
{
    (void)state;
    struct net_loop *loop = net_loop_new();
    struct net_worker *worker = net_worker_new(loop);
    struct jobs jobs;
    jobs_init(&jobs, worker);
    jobs.list[2].again = &jobs.list[19];
    for (size_t i = 0; i < 19; i++)
        net_worker_submit(worker, &jobs.list[i].job);
    assert_string_equal(jobs.done, "");
    assert_int_equal(net_loop_outside(loop), 19);
    net_loop_run(loop); /* ends when all is done: an idle worker keeps nothing up */
    assert_int_equal(net_loop_outside(loop), 0);
    assert_string_equal(jobs.worked, "abcdefghijklmnopqrst");
    assert_string_equal(jobs.done, "abcdefghijklmnopqrst");
    net_worker_free(worker);
    net_loop_free(loop);
}

static void test_worker_free_waits(void **state)
{
    (void)state;
    struct net_loop *loop = net_loop_new();
    struct net_worker *worker = net_worker_new(loop);
    struct jobs jobs;
    jobs_init(&jobs, worker);
    for (size_t i = 0; i < 20; i++)
        net_worker_submit(worker, &jobs.list[i].job);
    net_worker_free(worker);
    assert_int_equal(net_loop_outside(loop), 0);
    assert_string_equal(jobs.worked, "abcdefghijklmnopqrst");
    assert_string_equal(jobs.done, "abcdefghijklmnopqrst");
    net_worker_free(NULL);
    net_loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_timers_fire_once_in_order),
        cmocka_unit_test(test_answers_come_before_deadlines),
        cmocka_unit_test(test_timer_freed_in_its_callback),
        cmocka_unit_test(test_deferred),
        cmocka_unit_test(test_deferred_freed_in_its_callback),
        cmocka_unit_test(test_signal),
        cmocka_unit_test(test_stop_and_run_again),
        cmocka_unit_test(test_worker_keeps_order),
        cmocka_unit_test(test_worker_free_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
