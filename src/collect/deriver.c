#include "collect/deriver.h"

#include <stdbool.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/worker.h"

enum {
    DERIVER_THREADS = 4, /* at most, and no more than there are processors */
};

struct deriver_thread {
    struct net_worker *worker; /* NULL until it is needed */
    struct derive_job *job;    /* at work; NULL: none */
};

/* In one place at a time: waiting in the deriver's line, or with a thread. */
struct derive_job {
    struct net_job job; /* first: the worker hands it back */
    struct deriver *deriver;
    struct derive_job *next;
    char *host;
    uint64_t begins; /* by the deriver's clock */
    char *password;
    struct derived_key key;
    void (*done)(void *ctx, const struct derived_key *key); /* NULL: cancelled */
    void *ctx;
};

struct deriver {
    struct net_loop *loop;
    struct deriver_thread threads[DERIVER_THREADS];
    size_t thread_count;
    struct derive_job *first; /* in line, the one that begins first in front */
    /* Start-time fair queuing (Goyal, Vin and Cheng 1996): a host's job begins where its last one
     * would have ended if it had a processor for itself, in iterations, but not in the past. */
    uint64_t now; /* when the last job that was given to a thread began */
};

void derived_key_keep(struct derived_key **kept, const struct derived_key *key)
{
    if (*kept)
        mem_wipe(*kept, sizeof **kept);
    free(*kept);
    *kept = NULL;
    if (!key)
        return;
    *kept = mem_new(struct derived_key);
    **kept = *key;
}

struct deriver *deriver_new(struct net_loop *loop)
{
    struct deriver *deriver = mem_new(struct deriver);
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    deriver->loop = loop;
    deriver->thread_count = processors < 1                 ? 1
                            : processors < DERIVER_THREADS ? (size_t)processors
                                                           : DERIVER_THREADS;
    return deriver;
}

static void derive_job_free(struct derive_job *job)
{
    mem_free_secret(job->password);
    free(job->host);
    mem_wipe(&job->key, sizeof job->key);
    free(job);
}

static struct derive_job *deriver_shift(struct deriver *deriver)
{
    struct derive_job *job = deriver->first;
    if (job)
        deriver->first = job->next;
    return job;
}

/* When a job of this host may begin, as far as this one of its jobs, or another's, says. */
static uint64_t derive_job_after(const struct derive_job *job, const char *host, uint64_t begins)
{
    uint64_t ends = job->begins + job->key.of.iterations;
    return !strcasecmp(job->host, host) && ends > begins ? ends : begins;
}

static void deriver_enqueue(struct deriver *deriver, struct derive_job *job)
{
    struct derive_job **place = &deriver->first;
    job->begins = deriver->now;
    for (size_t i = 0; i < deriver->thread_count; i++)
        if (deriver->threads[i].job)
            job->begins = derive_job_after(deriver->threads[i].job, job->host, job->begins);
    for (const struct derive_job *other = deriver->first; other; other = other->next)
        if (other->done)
            job->begins = derive_job_after(other, job->host, job->begins);
    while (*place && (*place)->begins <= job->begins)
        place = &(*place)->next;
    job->next = *place;
    *place = job;
}

/* The first in line that somebody waits for, or NULL. */
static struct derive_job *deriver_next(struct deriver *deriver)
{
    struct derive_job *job;
    while ((job = deriver_shift(deriver)) && !job->done)
        derive_job_free(job);
    if (job)
        deriver->now = job->begins;
    return job;
}

static void derive_job_work(struct net_job *net_job)
{
    struct derive_job *job = (struct derive_job *)net_job;
    sasl_derive(&job->key.of, job->password, job->key.key);
}

static void deriver_pump(struct deriver *deriver);

static void derive_job_done(struct net_job *net_job)
{
    struct derive_job *job = (struct derive_job *)net_job;
    struct deriver *deriver = job->deriver;
    for (size_t i = 0; i < deriver->thread_count; i++)
        if (deriver->threads[i].job == job)
            deriver->threads[i].job = NULL;
    deriver_pump(deriver);
    if (job->done)
        job->done(job->ctx, &job->key);
    derive_job_free(job);
}

static void deriver_pump(struct deriver *deriver)
{
    for (size_t i = 0; i < deriver->thread_count; i++) {
        struct deriver_thread *thread = &deriver->threads[i];
        if (thread->job || !(thread->job = deriver_next(deriver)))
            continue;
        if (!thread->worker)
            thread->worker = net_worker_new(deriver->loop);
        net_worker_submit(thread->worker, &thread->job->job);
    }
}

void deriver_free(struct deriver *deriver)
{
    if (!deriver)
        return;
    struct derive_job *job;
    while ((job = deriver_shift(deriver)))
        derive_job_free(job);
    for (size_t i = 0; i < deriver->thread_count; i++) {
        derive_job_cancel(deriver->threads[i].job);
        net_worker_free(deriver->threads[i].worker);
    }
    free(deriver);
}

struct derive_job *deriver_submit(struct deriver *deriver, const char *host,
                                  const struct sasl_derivation *derivation, const char *password,
                                  void (*done)(void *ctx, const struct derived_key *key), void *ctx)
{
    struct derive_job *job = mem_new(struct derive_job);
    job->job.work = derive_job_work;
    job->job.done = derive_job_done;
    job->deriver = deriver;
    job->host = mem_strdup(host);
    job->password = mem_strdup(password);
    job->key.of = *derivation;
    job->done = done;
    job->ctx = ctx;
    deriver_enqueue(deriver, job);
    deriver_pump(deriver);
    return job;
}

/* What a thread is at ends unheard, and what is in line is dropped in its turn. */
void derive_job_cancel(struct derive_job *job)
{
    if (job)
        job->done = NULL;
}
