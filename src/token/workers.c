#include "token/workers.h"

#include <stdlib.h>

#include "base/mem.h"
#include "token/source.h"

enum {
    WORKERS_MOST = 4
};

struct token_workers {
    struct net_loop *loop;
    struct net_worker *threads[WORKERS_MOST]; /* NULL: not started yet */
    struct token_job *running[WORKERS_MOST];  /* NULL: idle */
    struct token_job *first, **end;           /* waiting */
    bool ending;
};

static void workers_work(struct net_job *net)
{
    struct token_job *job = (struct token_job *)net;
    job->work(job);
}

static void workers_done(struct net_job *net);

/* Hands what waits to whoever is idle. */
static void workers_fill(struct token_workers *workers)
{
    for (unsigned i = 0; i < WORKERS_MOST && workers->first; i++) {
        struct token_job *job = workers->first;
        if (workers->running[i])
            continue;
        if (!workers->threads[i])
            workers->threads[i] = net_worker_new(workers->loop);
        if (!(workers->first = job->next))
            workers->end = &workers->first;
        job->job = (struct net_job){.work = workers_work, .done = workers_done};
        job->slot = i;
        workers->running[i] = job;
        net_worker_submit(workers->threads[i], &job->job);
    }
}

static void workers_done(struct net_job *net)
{
    struct token_job *job = (struct token_job *)net;
    struct token_workers *workers = job->workers;
    workers->running[job->slot] = NULL;
    job->done(job);
    if (!workers->ending)
        workers_fill(workers);
}

void token_workers_submit(struct token_workers *workers, struct token_job *job)
{
    job->workers = workers;
    job->next = NULL;
    *workers->end = job;
    workers->end = &job->next;
    workers_fill(workers);
}

struct token_workers *token_workers_new(struct net_loop *loop)
{
    struct token_workers *workers = mem_new(struct token_workers);
    workers->loop = loop;
    workers->end = &workers->first;
    return workers;
}

void token_workers_free(struct token_workers *workers)
{
    if (!workers)
        return;
    workers->ending = true;
    for (unsigned i = 0; i < WORKERS_MOST; i++)
        if (workers->running[i])
            atomic_store(&workers->running[i]->cancelled, true);
    for (unsigned i = 0; i < WORKERS_MOST; i++)
        net_worker_free(workers->threads[i]);
    while (workers->first) {
        struct token_job *job = workers->first;
        workers->first = job->next;
        job->work(job); /* a token that is to be stored is not lost */
        job->done(job);
    }
    free(workers);
}
