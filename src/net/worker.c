#include "net/worker.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/mem.h"
#include "net/loop_impl.h"

struct net_jobs {
    struct net_job *first, **end;
};

struct net_worker {
    struct net_loop *loop;
    uv_async_t async; /* wakes the loop when jobs have been worked */
    uv_thread_t thread;
    uv_mutex_t mutex;     /* guards the three below */
    uv_cond_t changed;    /* something was submitted, or `ending` set */
    struct net_jobs todo; /* submitted */
    struct net_jobs done; /* worked, their `done` not yet called */
    bool ending;
    size_t pending; /* loop's thread only: submitted, `done` not yet called */
};

static void net_jobs_init(struct net_jobs *jobs)
{
    jobs->first = NULL;
    jobs->end = &jobs->first;
}

static void net_jobs_push(struct net_jobs *jobs, struct net_job *job)
{
    job->next = NULL;
    *jobs->end = job;
    jobs->end = &job->next;
}

static struct net_job *net_jobs_shift(struct net_jobs *jobs)
{
    struct net_job *job = jobs->first;
    if (job && !(jobs->first = job->next))
        jobs->end = &jobs->first;
    return job;
}

static void net_worker_thread(void *arg)
{
    struct net_worker *worker = arg;
    uv_mutex_lock(&worker->mutex);
    for (;;) {
        struct net_job *job = net_jobs_shift(&worker->todo);
        if (!job && worker->ending)
            break;
        if (!job) {
            uv_cond_wait(&worker->changed, &worker->mutex);
            continue;
        }
        uv_mutex_unlock(&worker->mutex);
        job->work(job);
        uv_mutex_lock(&worker->mutex);
        net_jobs_push(&worker->done, job);
        uv_async_send(&worker->async);
    }
    uv_mutex_unlock(&worker->mutex);
}

static struct net_job *net_worker_shift_done(struct net_worker *worker)
{
    uv_mutex_lock(&worker->mutex);
    struct net_job *job = net_jobs_shift(&worker->done);
    uv_mutex_unlock(&worker->mutex);
    return job;
}

/* An idle worker does not keep the loop running. */
static void net_worker_count(struct net_worker *worker, size_t pending)
{
    worker->loop->outside += pending - worker->pending;
    worker->pending = pending;
    if (pending)
        uv_ref((uv_handle_t *)&worker->async);
    else
        uv_unref((uv_handle_t *)&worker->async);
}

static void net_worker_woken(uv_async_t *async)
{
    struct net_worker *worker = async->data;
    struct net_job *job;
    /* `done` may free the worker, which then has called all that was left here. */
    while (!uv_is_closing((uv_handle_t *)async) && (job = net_worker_shift_done(worker))) {
        net_worker_count(worker, worker->pending - 1);
        job->done(job);
    }
}

struct net_worker *net_worker_new(struct net_loop *loop)
{
    struct net_worker *worker = mem_new(struct net_worker);
    net_jobs_init(&worker->todo);
    net_jobs_init(&worker->done);
    worker->async.data = worker;
    worker->loop = loop;
    if (uv_async_init(&loop->uv, &worker->async, net_worker_woken) ||
        uv_mutex_init(&worker->mutex) || uv_cond_init(&worker->changed) ||
        uv_thread_create(&worker->thread, net_worker_thread, worker))
        abort();
    net_worker_count(worker, 0);
    return worker;
}

void net_worker_submit(struct net_worker *worker, struct net_job *job)
{
    net_worker_count(worker, worker->pending + 1);
    uv_mutex_lock(&worker->mutex);
    net_jobs_push(&worker->todo, job);
    uv_cond_signal(&worker->changed);
    uv_mutex_unlock(&worker->mutex);
}

static void net_worker_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void net_worker_free(struct net_worker *worker)
{
    if (!worker)
        return;
    uv_mutex_lock(&worker->mutex);
    worker->ending = true;
    uv_cond_signal(&worker->changed);
    uv_mutex_unlock(&worker->mutex);
    uv_thread_join(&worker->thread);

    /* What `done` submits now is worked here: the thread is gone. */
    struct net_job *job;
    for (;;) {
        if ((job = net_worker_shift_done(worker))) {
            job->done(job);
        } else if ((job = net_jobs_shift(&worker->todo))) {
            job->work(job);
            net_jobs_push(&worker->done, job);
        } else {
            break;
        }
    }
    net_worker_count(worker, 0);
    uv_cond_destroy(&worker->changed);
    uv_mutex_destroy(&worker->mutex);
    uv_close((uv_handle_t *)&worker->async, net_worker_closed);
}
