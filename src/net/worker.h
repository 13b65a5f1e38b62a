/* net/worker.h: one thread beside the loop, for what blocks (disks), done in order. */
#ifndef NET_WORKER_H
#define NET_WORKER_H

struct net_loop;
struct net_worker;

/* Embedded in, and owned by, whoever submits it; untouched by the caller from submit to done. */
struct net_job {
    void (*work)(struct net_job *job); /* on the worker's thread */
    void (*done)(struct net_job *job); /* afterwards, on the loop's thread; may free the job */
    struct net_job *next;
};

struct net_worker *net_worker_new(struct net_loop *loop);
/* Jobs are worked one after another in the order of their submission. */
void net_worker_submit(struct net_worker *worker, struct net_job *job);
/* Waits until all submitted jobs have been worked, calls their `done`, ends the thread. NULL does
 * nothing. */
void net_worker_free(struct net_worker *worker);

#endif
