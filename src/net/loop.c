#include "net/loop.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "net/loop_impl.h"
#include "net/resolve.h"
#include "net/socket.h"

/* Of libuv's threads half may wait for name servers at a time, and one name whose servers are
 * silent takes the resolver 20 s and more. What does not run takes no memory to speak of. */
static const char net_threads[] = "32";

enum {
    NET_LATE = 1000,           /* ms that an alarm is late when something was wrong */
    NET_REST_LEAST = 2 * 1024, /* less is an answer, not a flow */
    NET_REST_MOST = 64 * 1024, /* so much at a time is worth its turn */
    NET_TURN_COST = 1 << 20,   /* bytes: 10 ms, when they are lines of some bytes each */
};

void net_task_init(struct net_task *task, void (*run)(void *owner), void *owner)
{
    *task = (struct net_task){.run = run, .owner = owner};
}

void net_task_cancel(struct net_task *task)
{
    if (!task->next)
        return;
    task->prev->next = task->next;
    task->next->prev = task->prev;
    task->prev = task->next = NULL;
}

static void net_loop_idled(uv_idle_t *idle)
{
    (void)idle; /* being active is all it is for */
}

void net_task_schedule(struct net_loop *loop, enum net_phase phase, struct net_task *task)
{
    if (task->next)
        return;
    struct net_task *head = &loop->phases[phase];
    task->next = head;
    task->prev = head->prev;
    head->prev->next = task;
    head->prev = task;
    uv_idle_start(&loop->idle, net_loop_idled);
}

/* Takes the list as it is first: what schedules itself anew waits for the next turn, and the
 * sockets get their share in between. */
static void net_loop_run_phase(struct net_loop *loop, struct net_task *head)
{
    if (head->next == head)
        return;
    struct net_task batch = *head;
    loop->stirred = true;
    batch.next->prev = &batch;
    batch.prev->next = &batch;
    head->next = head->prev = head;
    while (batch.next != &batch) {
        struct net_task *task = batch.next;
        net_task_cancel(task);
        task->run(task->owner);
    }
}

/* A peer that is slower than we are would wake us for each of its writes: waking, a read and the
 * write of what was made of it cost 10 µs, as much as a mail's hash and text. */
static void net_loop_rest(struct net_loop *loop)
{
    size_t came = loop->came;
    loop->came = 0;
    if (!loop->rest || came < NET_REST_LEAST || came >= NET_REST_MOST)
        return;
    nanosleep(&(struct timespec){.tv_nsec = 1000L * loop->rest}, NULL);
    loop->rests++;
}

/* What comes as fast as it can, on hundreds of connections, takes as long as it is much, and all
 * that anybody else needs takes some turns. */
static void net_loop_share(struct net_loop *loop)
{
    if (loop->read_cost > NET_TURN_COST && loop->read_share > NET_READ_SHARE_LEAST)
        loop->read_share /= 2;
    else if (loop->read_cost < NET_TURN_COST / 4 && loop->read_share < NET_READ_SHARE)
        loop->read_share *= 2;
    loop->read_cost = 0;
}

/* Who was stopped, or starved, for a while has answers to read that came in time: it looks at the
 * sockets first, once, before their deadlines end them. */
static bool net_loop_is_late(const struct net_loop *loop)
{
    uint64_t wake_at = loop->alarms.wake_at;
    return !loop->was_late && wake_at && uv_now(&loop->uv) > wake_at + NET_LATE;
}

/* Before the loop waits. */
static void net_loop_turn(uv_prepare_t *prepare)
{
    struct net_loop *loop = prepare->data;
    bool empty = true;
    net_loop_share(loop);
    loop->was_late = net_loop_is_late(loop);
    if (!loop->was_late)
        net_alarms_run(loop);
    for (int i = 0; i < NET_PHASE_COUNT; i++)
        net_loop_run_phase(loop, &loop->phases[i]);
    for (int i = 0; i < NET_PHASE_COUNT; i++)
        empty = empty && loop->phases[i].next == &loop->phases[i];
    if (empty) {
        uv_idle_stop(&loop->idle);
        net_loop_rest(loop);
    }
    net_alarms_arm(loop);
}

struct net_loop *net_loop_new(void)
{
    struct net_loop *loop = mem_new(struct net_loop);
    loop->read_share = NET_READ_SHARE;
    signal(SIGPIPE, SIG_IGN);
    setenv("UV_THREADPOOL_SIZE", net_threads, 0);
    int failed = uv_loop_init(&loop->uv);
    if (failed) {
        fprintf(stderr, "cannot begin: %s\n", err_errno_text(-failed));
        abort();
    }
    for (int i = 0; i < NET_PHASE_COUNT; i++)
        loop->phases[i].next = loop->phases[i].prev = &loop->phases[i];
    uv_idle_init(&loop->uv, &loop->idle);
    net_alarms_init(loop);
    uv_prepare_init(&loop->uv, &loop->prepare);
    loop->prepare.data = loop;
    uv_prepare_start(&loop->prepare, net_loop_turn);
    uv_unref((uv_handle_t *)&loop->prepare);
    loop->resolver = net_resolver_new(loop);
    return loop;
}

void net_loop_free(struct net_loop *loop)
{
    if (!loop)
        return;
    net_resolver_free(loop->resolver);
    net_alarms_close(loop);
    uv_close((uv_handle_t *)&loop->prepare, NULL);
    uv_close((uv_handle_t *)&loop->idle, NULL);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    int closed = uv_loop_close(&loop->uv);
    assert(!closed); /* else the caller forgot something that is still open */
    (void)closed;
    free(loop);
}

void net_loop_run(struct net_loop *loop)
{
    uv_run(&loop->uv, UV_RUN_DEFAULT);
}

void net_loop_set_rest(struct net_loop *loop, unsigned usec)
{
    loop->rest = usec;
}

void net_loop_read_little(struct net_loop *loop, bool little)
{
    loop->reads_little = little;
}

void net_loop_stop(struct net_loop *loop)
{
    uv_stop(&loop->uv);
}

msec_t net_loop_now(const struct net_loop *loop)
{
    return (loop->driven ? 0 : uv_now(&loop->uv)) + loop->skipped;
}

void net_loop_drive(struct net_loop *loop)
{
    loop->skipped = net_loop_now(loop);
    loop->driven = true;
    net_alarms_arm(loop);
}

bool net_loop_step(struct net_loop *loop)
{
    loop->stirred = false;
    uv_run(&loop->uv, UV_RUN_NOWAIT);
    return loop->stirred;
}

size_t net_loop_outside(const struct net_loop *loop)
{
    return loop->outside;
}

struct net_deferred {
    struct net_loop *loop;
    struct net_task task;
    void (*run)(void *ctx);
    void *ctx;
};

/* The owner may free the deferred in `run`: nothing of it is touched afterwards. */
static void net_deferred_run(void *owner)
{
    struct net_deferred *deferred = owner;
    deferred->run(deferred->ctx);
}

struct net_deferred *net_deferred_new(struct net_loop *loop, void (*run)(void *ctx), void *ctx)
{
    struct net_deferred *deferred = mem_new(struct net_deferred);
    *deferred = (struct net_deferred){.loop = loop, .run = run, .ctx = ctx};
    net_task_init(&deferred->task, net_deferred_run, deferred);
    return deferred;
}

void net_deferred_schedule(struct net_deferred *deferred)
{
    net_task_schedule(deferred->loop, NET_PHASE_DEFERRED, &deferred->task);
}

void net_deferred_free(struct net_deferred *deferred)
{
    if (!deferred)
        return;
    net_task_cancel(&deferred->task);
    free(deferred);
}
