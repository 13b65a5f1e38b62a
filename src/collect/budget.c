#include "collect/budget.h"

#include <stdlib.h>

#include "base/mem.h"
#include "net/loop.h"

enum {
    BUDGET_KEPT = 8, /* one part in so many is kept for fresh mail */
    BUDGET_IN_A_ROW = 8,
    BUDGET_WAITING = 16, /* one part in so many may wait for the sink before servers are paused */
};

struct budget_line {
    struct budget_waiter *first;
    struct budget_waiter **last;
};

struct budget {
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

static bool budget_fits(const struct budget *budget, bool fresh, size_t bytes)
{
    size_t bytes_max = budget->bytes_max, slots_max = budget->slots_max;
    if (!fresh) {
        bytes_max -= bytes_max / BUDGET_KEPT;
        slots_max -= slots_max / BUDGET_KEPT;
    }
    if (!budget->open || budget->slots_used >= slots_max ||
        budget->waiting > budget->bytes_max / BUDGET_WAITING)
        return false;
    return !budget->bytes_used ||
           (budget->bytes_used < bytes_max && bytes <= bytes_max - budget->bytes_used);
}

static void budget_take(struct budget *budget, size_t bytes)
{
    budget->bytes_used += bytes;
    budget->slots_used++;
}

static bool budget_line_fits(const struct budget *budget, const struct budget_line *line)
{
    return line->first && budget_fits(budget, line == &budget->fresh, line->first->bytes);
}

/* Whose turn it is; NULL when nobody fits. */
static struct budget_waiter *budget_turn(struct budget *budget)
{
    bool backlog = budget_line_fits(budget, &budget->backlog);
    bool fresh = budget_line_fits(budget, &budget->fresh);
    if (fresh && (!backlog || budget->fresh_in_a_row < BUDGET_IN_A_ROW)) {
        budget->fresh_in_a_row = backlog ? budget->fresh_in_a_row + 1 : 0;
        return budget->fresh.first;
    }
    budget->fresh_in_a_row = 0;
    return backlog ? budget->backlog.first : NULL;
}

static void budget_grant(void *ctx)
{
    struct budget *budget = ctx;
    struct budget_waiter *waiter;
    while ((waiter = budget_turn(budget))) {
        budget_cancel(budget, waiter);
        budget_take(budget, waiter->bytes);
        waiter->granted(waiter);
    }
}

struct budget *budget_new(struct net_loop *loop, size_t bytes, size_t slots)
{
    struct budget *budget = mem_new(struct budget);
    budget->bytes_max = bytes;
    budget->slots_max = slots;
    budget->fresh.last = &budget->fresh.first;
    budget->backlog.last = &budget->backlog.first;
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
    if (budget_line_fits(budget, &budget->fresh) || budget_line_fits(budget, &budget->backlog))
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

static struct budget_line *budget_line(struct budget *budget, const struct budget_waiter *waiter)
{
    return waiter->fresh ? &budget->fresh : &budget->backlog;
}

bool budget_request(struct budget *budget, struct budget_waiter *waiter, size_t bytes)
{
    struct budget_line *line = budget_line(budget, waiter);
    /* Nobody overtakes the line: a large mail would wait for ever behind small ones. */
    if (!line->first && budget_fits(budget, waiter->fresh, bytes)) {
        budget_take(budget, bytes);
        return true;
    }
    waiter->bytes = bytes;
    waiter->waiting = true;
    waiter->next = NULL;
    waiter->at = line->last;
    *line->last = waiter;
    line->last = &waiter->next;
    return false;
}

void budget_cancel(struct budget *budget, struct budget_waiter *waiter)
{
    if (!waiter->waiting)
        return;
    struct budget_line *line = budget_line(budget, waiter);
    *waiter->at = waiter->next;
    if (waiter->next)
        waiter->next->at = waiter->at;
    else
        line->last = waiter->at;
    waiter->waiting = false;
    budget_changed(budget);
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
