/* collect/budget.h: how much mail may be in memory, and how many mails in flight, at a time.
 *
 * Memory is reserved when a server announces a body, before its first byte is kept, so whoever
 * has a reservation can finish its mail and no two wait for each other. Who gets none waits in
 * line, its connection paused; while anybody does, little is read at a time, on all connections.
 *
 * There are two lines, so that one mailbox's backlog does not delay another's new mail: fresh mail
 * goes first, and a part of it all is kept for it; but of so many grants in a row one is for the
 * backlog, which fresh mail must not starve.
 *
 * In a line each host has its turn, and its mails that are on their way, however slowly they come,
 * have a share of it all (share.h). */
#ifndef COLLECT_BUDGET_H
#define COLLECT_BUDGET_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

struct net_loop;
struct budget;
struct budget_host;

/* A place in the line; embedded in its owner. */
struct budget_waiter {
    void (*granted)(struct budget_waiter *waiter);
    struct budget_host *host;
    size_t bytes;
    bool fresh; /* for mail that has just come, see above */
    bool waiting;
    TAILQ_ENTRY(budget_waiter) entry;
};

/* Those of a host in one of the lines. */
struct budget_queue {
    struct budget_host *host;
    TAILQ_HEAD(, budget_waiter) waiters;
    TAILQ_ENTRY(budget_queue) entry; /* among those of all hosts; only with waiters */
};

/* What a host has of a budget; embedded in its owner. Nothing is reserved or waits at its end. */
struct budget_host {
    size_t bytes;  /* reserved for mails that are being received … */
    size_t mails;  /* … so many */
    size_t ranges; /* of what searches found, by its folders that have many */
    struct budget_queue fresh, backlog;
};

void budget_host_init(struct budget_host *host);

/* `bytes` of memory and `slots` mails in flight. It is closed at first. */
struct budget *budget_new(struct net_loop *loop, size_t bytes, size_t slots);
void budget_free(struct budget *budget);
void budget_set_slots(struct budget *budget, size_t slots);
/* Closed, it grants nothing: while the sink is down. */
void budget_open(struct budget *budget, bool open);
/* Reserves a slot and `bytes`. True: granted at once. False: `waiter` is in line, and is called,
 * with the reservation made, when its turn has come. A request for more than there ever is gets
 * its turn when all is free. */
bool budget_request(struct budget *budget, struct budget_waiter *waiter, size_t bytes);
/* Leaves the line; no effect when not in it. */
void budget_cancel(struct budget *budget, struct budget_waiter *waiter);
/* Another sink may need more: the bytes there are from now on. */
void budget_set_bytes(struct budget *budget, size_t bytes);
/* The mail that is being received turns out to be larger than its reservation. False: that is more
 * than there is, or than its host's share; unless it is forced to, the reservation stays. */
bool budget_grow(struct budget *budget, const struct budget_waiter *waiter, size_t from_bytes,
                 size_t to_bytes, bool force);
/* The mail is here, or will not come: its reservation does not count as its host's any more. */
void budget_received(struct budget_host *host, size_t bytes);
/* The reservation of a mail that was received turned out to be larger or smaller. */
void budget_adjust(struct budget *budget, size_t from_bytes, size_t to_bytes);
/* Of what is reserved, `bytes` wait for the sink from now on. While much waits nothing is granted:
 * the sink is slower than the servers, and more in memory would not help. */
void budget_add_waiting(struct budget *budget, size_t bytes);
/* They wait no longer, and are free. */
void budget_release_waiting(struct budget *budget, size_t bytes);
void budget_release_bytes(struct budget *budget, size_t bytes);
void budget_release_slot(struct budget *budget);

#endif
