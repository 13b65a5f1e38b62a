#include "collect/budget.h"

#include <stdlib.h>

#include "base/mem.h"
#include "net/loop.h"

struct budget {
    size_t bytes_max;
    size_t bytes_used;
    size_t slots_max;
    size_t slots_used;
    bool open;
    struct budget_waiter *first;
    struct budget_waiter **last;
    struct net_deferred *grant; /* grants come from the loop, never from inside a release */
};

static bool budget_fits(const struct budget *budget, size_t bytes)
{
    if (!budget->open || budget->slots_used >= budget->slots_max)
        return false;
    return !budget->bytes_used || (budget->bytes_used < budget->bytes_max &&
                                   bytes <= budget->bytes_max - budget->bytes_used);
}

static void budget_take(struct budget *budget, size_t bytes)
{
    budget->bytes_used += bytes;
    budget->slots_used++;
}

static void budget_grant(void *ctx)
{
    struct budget *budget = ctx;
    while (budget->first && budget_fits(budget, budget->first->bytes)) {
        struct budget_waiter *waiter = budget->first;
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
    budget->last = &budget->first;
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
    if (budget->first && budget_fits(budget, budget->first->bytes))
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

bool budget_request(struct budget *budget, struct budget_waiter *waiter, size_t bytes)
{
    /* Nobody overtakes the line: a large mail would wait for ever behind small ones. */
    if (!budget->first && budget_fits(budget, bytes)) {
        budget_take(budget, bytes);
        return true;
    }
    waiter->bytes = bytes;
    waiter->waiting = true;
    waiter->next = NULL;
    *budget->last = waiter;
    budget->last = &waiter->next;
    return false;
}

void budget_cancel(struct budget *budget, struct budget_waiter *waiter)
{
    if (!waiter->waiting)
        return;
    struct budget_waiter **at = &budget->first;
    while (*at != waiter)
        at = &(*at)->next;
    *at = waiter->next;
    if (budget->last == &waiter->next)
        budget->last = at;
    waiter->waiting = false;
    budget_changed(budget);
}

void budget_adjust(struct budget *budget, size_t from_bytes, size_t to_bytes)
{
    budget->bytes_used = budget->bytes_used - from_bytes + to_bytes;
    budget_changed(budget);
}

void budget_release_bytes(struct budget *budget, size_t bytes)
{
    budget_adjust(budget, bytes, 0);
}

void budget_release_slot(struct budget *budget)
{
    budget->slots_used--;
    budget_changed(budget);
}
