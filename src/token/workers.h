/* token/workers.h: what blocks, on threads beside the loop. Internal; struct token_workers is made
 * with token/source.h. */
#ifndef TOKEN_WORKERS_H
#define TOKEN_WORKERS_H

#include <stdatomic.h>

#include "net/worker.h"

struct token_workers;

/* Embedded, first, in what is to be done; on the heap. */
struct token_job {
    struct net_job job;
    void (*work)(struct token_job *job); /* on a thread */
    void (*done)(struct token_job *job); /* then on the loop: frees it */
    atomic_bool cancelled;               /* set by the owner when nobody cares any more */
    struct token_workers *workers;
    struct token_job *next;
    unsigned slot;
};

void token_workers_submit(struct token_workers *workers, struct token_job *job);

#endif
