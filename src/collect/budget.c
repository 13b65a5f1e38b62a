#include "collect/budget.h"

#include <stdlib.h>

#include "base/mem.h"
#include "collect/share.h"
#include "net/loop.h"

enum {
    BUDGET_KEPT = 8, /* one part in so many is kept for fresh mail */
    BUDGET_IN_A_ROW = 8,
    BUDGET_WAITING = 16, /* one part in so many may wait for the sink before servers are paused */
};

/* The queues of hosts, whose turn is next in front. */
TAILQ_HEAD(budget_line, budget_queue);

struct budget {
    struct net_loop *loop;
    size_t bytes_max;
    size_t bytes_used;
    size_t waiting; /* for the sink, of the bytes used */
    size_t slots_max;
    size_t slots_used;
    bool open;
    unsigned fresh_in_a_row; /* grants, while backlog waited */
    struct budget_line fresh;
    struct budget_line backlog;
    struct net_deferred *grant; /* grants come from the loop, never from inside a release */
};

void budget_host_init(struct budget_host *host)
{
    *host = (struct budget_host){.fresh.host = host, .backlog.host = host};
    TAILQ_INIT(&host->fresh.waiters);
    TAILQ_INIT(&host->backlog.waiters);
}

/* What there is for mail of that kind. */
static size_t budget_part(size_t max, bool fresh)
{
    return fresh ? max : max - max / BUDGET_KEPT;
}

static bool budget_fits(const struct budget *budget, bool fresh, size_t bytes)
{
    size_t bytes_max = budget_part(budget->bytes_max, fresh);
    if (!budget->open || budget->slots_used >= budget_part(budget->slots_max, fresh) ||
        budget->waiting > budget->bytes_max / BUDGET_WAITING)
        return false;
    return !budget->bytes_used ||
           (budget->bytes_used < bytes_max && bytes <= bytes_max - budget->bytes_used);
}

/* Has its host so much already that it has to wait, even if it would fit? */
static bool budget_host_full(const struct budget *budget, const struct budget_waiter *waiter)
{
    const struct budget_host *host = waiter->host;
    return host->mails &&
           (!share_allows(host->bytes + waiter->bytes, budget->bytes_used + waiter->bytes,
                          budget_part(budget->bytes_max, waiter->fresh)) ||
            !share_allows(host->mails + 1, budget->slots_used + 1,
                          budget_part(budget->slots_max, waiter->fresh)));
}

static void budget_take(struct budget *budget, const struct budget_waiter *waiter)
{
    budget->bytes_used += waiter->bytes;
    budget->slots_used++;
    waiter->host->bytes += waiter->bytes;
    waiter->host->mails++;
}

/* The next of a line, or NULL when there is none or it does not fit. Nobody overtakes it then: a
 * large mail would wait for ever behind small ones. A host that is full is passed over. */
static struct budget_waiter *budget_next(const struct budget *budget,
                                         const struct budget_line *line)
{
    const struct budget_queue *queue;
    TAILQ_FOREACH(queue, line, entry)
    {
        struct budget_waiter *waiter = TAILQ_FIRST(&queue->waiters);
        if (!budget_host_full(budget, waiter))
            return budget_fits(budget, waiter->fresh, waiter->bytes) ? waiter : NULL;
    }
    return NULL;
}

/* Whose turn it is; NULL when nobody fits. */
static struct budget_waiter *budget_turn(struct budget *budget)
{
    struct budget_waiter *backlog = budget_next(budget, &budget->backlog);
    struct budget_waiter *fresh = budget_next(budget, &budget->fresh);
    if (fresh && (!backlog || budget->fresh_in_a_row < BUDGET_IN_A_ROW)) {
        budget->fresh_in_a_row = backlog ? budget->fresh_in_a_row + 1 : 0;
        return fresh;
    }
    budget->fresh_in_a_row = 0;
    return backlog;
}

static struct budget_line *budget_line(struct budget *budget, const struct budget_waiter *waiter)
{
    return waiter->fresh ? &budget->fresh : &budget->backlog;
}

static struct budget_queue *budget_queue(const struct budget_waiter *waiter)
{
    return waiter->fresh ? &waiter->host->fresh : &waiter->host->backlog;
}

/* Who has to wait keeps what was read, beside all that is reserved. */
static void budget_look_at_lines(const struct budget *budget)
{
    net_loop_read_little(budget->loop,
                         !TAILQ_EMPTY(&budget->fresh) || !TAILQ_EMPTY(&budget->backlog));
}

/* Behind all others of its host, which is in the line already if there are any. */
static void budget_enqueue(struct budget *budget, struct budget_waiter *waiter)
{
    struct budget_queue *queue = budget_queue(waiter);
    if (TAILQ_EMPTY(&queue->waiters))
        TAILQ_INSERT_TAIL(budget_line(budget, waiter), queue, entry);
    TAILQ_INSERT_TAIL(&queue->waiters, waiter, entry);
    waiter->waiting = true;
    budget_look_at_lines(budget);
}

static void budget_dequeue(struct budget *budget, struct budget_waiter *waiter)
{
    struct budget_queue *queue = budget_queue(waiter);
    TAILQ_REMOVE(&queue->waiters, waiter, entry);
    if (TAILQ_EMPTY(&queue->waiters))
        TAILQ_REMOVE(budget_line(budget, waiter), queue, entry);
    waiter->waiting = false;
    budget_look_at_lines(budget);
}

/* Its turn has come; the next one is another host's. */
static void budget_serve(struct budget *budget, struct budget_waiter *waiter)
{
    struct budget_line *line = budget_line(budget, waiter);
    struct budget_queue *queue = budget_queue(waiter);
    TAILQ_REMOVE(line, queue, entry);
    TAILQ_INSERT_TAIL(line, queue, entry);
    budget_dequeue(budget, waiter);
    budget_take(budget, waiter);
}

static void budget_grant(void *ctx)
{
    struct budget *budget = ctx;
    struct budget_waiter *waiter;
    while ((waiter = budget_turn(budget))) {
        budget_serve(budget, waiter);
        waiter->granted(waiter);
    }
}

struct budget *budget_new(struct net_loop *loop, size_t bytes, size_t slots)
{
    struct budget *budget = mem_new(struct budget);
    budget->loop = loop;
    budget->bytes_max = bytes;
    budget->slots_max = slots;
    TAILQ_INIT(&budget->fresh);
    TAILQ_INIT(&budget->backlog);
    budget->grant = net_deferred_new(loop, budget_grant, budget);
    return budget;
}

void budget_free(struct budget *budget)
{
    if (!budget)
        return;
    net_deferred_free(budget->grant);
    free(budget);
}

static void budget_changed(struct budget *budget)
{
    if (budget_next(budget, &budget->fresh) || budget_next(budget, &budget->backlog))
        net_deferred_schedule(budget->grant);
}

void budget_open(struct budget *budget, bool open)
{
    budget->open = open;
    budget_changed(budget);
}

void budget_set_slots(struct budget *budget, size_t slots)
{
    budget->slots_max = slots;
    budget_changed(budget);
}

void budget_set_bytes(struct budget *budget, size_t bytes)
{
    budget->bytes_max = bytes;
    budget_changed(budget);
}

bool budget_request(struct budget *budget, struct budget_waiter *waiter, size_t bytes)
{
    waiter->bytes = bytes;
    budget_enqueue(budget, waiter);
    if (budget_next(budget, budget_line(budget, waiter)) != waiter)
        return false;
    budget_serve(budget, waiter);
    return true;
}

void budget_cancel(struct budget *budget, struct budget_waiter *waiter)
{
    if (!waiter->waiting)
        return;
    budget_dequeue(budget, waiter);
    budget_changed(budget);
}

/* A host's only mail may have what is free; one that is alone, whatever it needs. */
static bool budget_may_grow(const struct budget *budget, const struct budget_waiter *waiter,
                            size_t from_bytes, size_t to_bytes)
{
    const struct budget_host *host = waiter->host;
    size_t max = budget_part(budget->bytes_max, waiter->fresh);
    size_t all = budget->bytes_used - from_bytes + to_bytes;
    return budget->bytes_used == from_bytes ||
           share_allows(host->mails > 1 ? host->bytes - from_bytes + to_bytes : 0, all, max);
}

bool budget_grow(struct budget *budget, const struct budget_waiter *waiter, size_t from_bytes,
                 size_t to_bytes, bool force)
{
    if (!force && !budget_may_grow(budget, waiter, from_bytes, to_bytes))
        return false;
    waiter->host->bytes += to_bytes - from_bytes;
    budget_adjust(budget, from_bytes, to_bytes);
    return true;
}

void budget_received(struct budget_host *host, size_t bytes)
{
    host->bytes -= bytes;
    host->mails--;
}

void budget_adjust(struct budget *budget, size_t from_bytes, size_t to_bytes)
{
    budget->bytes_used = budget->bytes_used - from_bytes + to_bytes;
    budget_changed(budget);
}

void budget_add_waiting(struct budget *budget, size_t bytes)
{
    budget->waiting += bytes;
}

void budget_release_bytes(struct budget *budget, size_t bytes)
{
    budget_adjust(budget, bytes, 0);
}

void budget_release_waiting(struct budget *budget, size_t bytes)
{
    budget->waiting -= bytes;
    budget_release_bytes(budget, bytes);
}

void budget_release_slot(struct budget *budget)
{
    budget->slots_used--;
    budget_changed(budget);
}
