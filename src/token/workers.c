#include "token/workers.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "net/worker.h"
#include "token/source.h"

struct token_job {
    struct net_job job; /* first: the worker's callbacks get only this */
    struct token_workers *workers;
    struct token_deed deed;
    uint8_t key[TOKEN_KEY];
    char *given; /* the deed's token */
    atomic_bool cancelled;
    token_job_done_fn *done;
    void *ctx; /* not looked at when it is cancelled */
    struct token_job *next;
    /* What came of it. */
    int result;
    char *got;
    struct err err;
};

struct token_workers {
    struct net_loop *loop;
    struct token_doer doer;
    struct net_worker *threads[TOKEN_DEEDS_AT_ONCE]; /* NULL: not started yet */
    struct token_job *running[TOKEN_DEEDS_AT_ONCE];  /* NULL: idle */
    struct token_job *first, **end;                  /* waiting */
    bool ending;
};

static void workers_work(struct net_job *net)
{
    struct token_job *job = (struct token_job *)net;
    const struct token_doer *doer = &job->workers->doer;
    job->result = doer->act(doer->ctx, &job->deed, &job->got, &job->err);
}

static void workers_finish(struct token_job *job)
{
    if (!atomic_load(&job->cancelled))
        job->done(job->ctx, job->result, job->got, &job->err);
    mem_free_secret(job->given);
    mem_free_secret(job->got);
    free(job);
}

static void workers_done(struct net_job *net);

/* Hands what waits to whoever is idle. */
static void workers_fill(struct token_workers *workers)
{
    for (unsigned i = 0; i < TOKEN_DEEDS_AT_ONCE && workers->first; i++) {
        struct token_job *job = workers->first;
        if (workers->running[i])
            continue;
        if (!workers->threads[i])
            workers->threads[i] = net_worker_new(workers->loop);
        if (!(workers->first = job->next))
            workers->end = &workers->first;
        job->job = (struct net_job){.work = workers_work, .done = workers_done};
        job->deed.slot = i;
        workers->running[i] = job;
        net_worker_submit(workers->threads[i], &job->job);
    }
}

static void workers_done(struct net_job *net)
{
    struct token_job *job = (struct token_job *)net;
    struct token_workers *workers = job->workers;
    workers->running[job->deed.slot] = NULL;
    workers_finish(job);
    if (!workers->ending)
        workers_fill(workers);
}

struct token_job *token_workers_submit(struct token_workers *workers, enum token_deed_kind kind,
                                       const uint8_t key[TOKEN_KEY], const char *token,
                                       token_job_done_fn *done, void *ctx)
{
    struct token_job *job = mem_new(struct token_job);
    job->workers = workers;
    job->done = done;
    job->ctx = ctx;
    job->given = mem_strdup(token);
    memcpy(job->key, key, TOKEN_KEY);
    job->deed = (struct token_deed){
        .kind = kind, .key = job->key, .token = job->given, .cancelled = &job->cancelled};
    *workers->end = job;
    workers->end = &job->next;
    workers_fill(workers);
    return job;
}

void token_job_cancel(struct token_job *job)
{
    if (job)
        atomic_store(&job->cancelled, true);
}

struct token_workers *token_workers_new(struct net_loop *loop, const struct token_doer *doer)
{
    struct token_workers *workers = mem_new(struct token_workers);
    workers->loop = loop;
    workers->doer = *doer;
    workers->end = &workers->first;
    return workers;
}

void token_workers_free(struct token_workers *workers)
{
    if (!workers)
        return;
    workers->ending = true;
    for (unsigned i = 0; i < TOKEN_DEEDS_AT_ONCE; i++)
        token_job_cancel(workers->running[i]);
    for (unsigned i = 0; i < TOKEN_DEEDS_AT_ONCE; i++)
        net_worker_free(workers->threads[i]);
    while (workers->first) { /* a token that is to be stored is not lost */
        struct token_job *job = workers->first;
        workers->first = job->next;
        if (job->deed.kind == TOKEN_WRITE)
            workers_work(&job->job);
        workers_finish(job);
    }
    free(workers);
}
