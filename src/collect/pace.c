#include "collect/pace.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/text.h"
#include "collect/budget.h"
#include "collect/share.h"
#include "net/loop.h"

enum {
    PACE_BURST = 64, /* logins that a rested host is thought to bear at once, where the rate is */
    PACE_BURST_RATE = 20, /* at least this; slower hosts get no more than PACE_BURST_SLOW */
    PACE_BURST_SLOW = 4,
    PACE_HOST_SHARE = 8, /* of all logins at a time, a host gets one of so many: when it hangs, the
                            others go on */
    PACE_TROUBLES = 4,   /* of a host that are remembered */
    PACE_TELL_AGAIN = 10 * 60 * 1000,
};

/* Circular lists of tickets, with a ticket of no meaning as their head. */
struct pace_list {
    struct pace_ticket head;
};

struct pace_host {
    struct pace *pace;
    char *name; /* in lower case */
    unsigned users;
    unsigned connections;     /* granted and not released */
    unsigned logins;          /* of these, not logged in yet */
    unsigned connections_max; /* its rule */
    double interval;          /* ms between two logins */
    double next_login; /* when the last of the logins so far would have been, evenly spaced */
    bool idle_proven;
    struct {
        char *trouble; /* told … */
        msec_t at;     /* … then */
    } told[PACE_TROUBLES];
    struct pace_list waiting;
    struct pace_list waiting_further;
    struct pace_list holding;
    struct budget_host budget;
    struct net_timer *due;  /* waits for next_login */
    struct pace_host *next; /* in the ring of those who may have a grant; NULL: is not in it */
};

struct pace {
    struct net_loop *loop;
    struct pace_rule *rules;
    size_t rule_count;
    unsigned connections; /* granted and not released */
    unsigned connections_max;
    unsigned logins; /* of these, not logged in yet */
    unsigned logins_max;
    void *hosts;                 /* tsearch(3) tree of struct pace_host */
    struct pace_host *ring_last; /* each host in turn; NULL when the ring is empty */
    struct net_deferred *grant;
};

static void pace_list_init(struct pace_list *list)
{
    list->head.previous = list->head.following = &list->head;
}

static bool pace_list_empty(const struct pace_list *list)
{
    return list->head.following == &list->head;
}

static void pace_list_add(struct pace_list *list, struct pace_ticket *ticket)
{
    ticket->following = &list->head;
    ticket->previous = list->head.previous;
    ticket->previous->following = ticket;
    list->head.previous = ticket;
}

static void pace_list_remove(struct pace_ticket *ticket)
{
    ticket->previous->following = ticket->following;
    ticket->following->previous = ticket->previous;
    ticket->previous = ticket->following = NULL;
}

static bool pace_rule_fits(const struct pace_rule *rule, const char *host)
{
    if (!rule->host)
        return true;
    size_t len = strlen(rule->host), host_len = strlen(host);
    if (*rule->host != '.')
        return !strcasecmp(rule->host, host);
    return (host_len >= len && !strcasecmp(host + host_len - len, rule->host)) ||
           !strcasecmp(host, rule->host + 1);
}

static void pace_host_rule(struct pace_host *host)
{
    const struct pace *pace = host->pace;
    host->connections_max = 0;
    host->interval = 0;
    for (size_t i = 0; i < pace->rule_count; i++) {
        if (!pace_rule_fits(&pace->rules[i], host->name))
            continue;
        host->connections_max = pace->rules[i].connections;
        if (pace->rules[i].logins_per_second > 0)
            host->interval = 1000 / pace->rules[i].logins_per_second;
        return;
    }
}

static bool pace_host_full(const struct pace_host *host)
{
    return host->connections_max && host->connections >= host->connections_max;
}

static bool pace_host_has_waiting(const struct pace_host *host)
{
    return !pace_list_empty(&host->waiting) || !pace_list_empty(&host->waiting_further);
}

static bool pace_full(const struct pace *pace)
{
    return pace->logins >= pace->logins_max ||
           (pace->connections_max && pace->connections >= pace->connections_max);
}

/* Has it its share of the places, or more? */
static bool pace_host_has_share(const struct pace_host *host)
{
    const struct pace *pace = host->pace;
    return pace->connections_max &&
           !share_allows(host->connections + 1, pace->connections + 1, pace->connections_max);
}

static bool pace_host_may_begin(const struct pace_host *host)
{
    unsigned share = host->pace->logins_max / PACE_HOST_SHARE;
    return pace_host_has_waiting(host) && !pace_host_full(host) &&
           host->logins < (share ? share : 1);
}

/* A login began or is over. */
static void pace_host_count(struct pace_host *host, int change)
{
    host->logins += (unsigned)change;
    host->pace->logins += (unsigned)change;
}

/* A host that rested may have some logins at once: its clock lags behind by as many at most. */
static void pace_host_rest(struct pace_host *host, double now)
{
    double burst = host->interval * PACE_BURST_RATE > 1000 ? PACE_BURST_SLOW : PACE_BURST;
    double earliest = now - host->interval * (burst - 1);
    if (host->next_login < earliest)
        host->next_login = earliest;
}

/* Something changed: puts the host into the ring if a ticket of its line may be granted now, else
 * sees to it that it is looked at again when one may; and lets those who are in the ring try. */
static void pace_host_look(struct pace_host *host)
{
    struct pace *pace = host->pace;
    if (pace->ring_last)
        net_deferred_schedule(pace->grant);
    if (host->next || !pace_host_may_begin(host))
        return;
    double now = (double)net_loop_now(pace->loop);
    pace_host_rest(host, now);
    if (host->next_login > now) {
        net_timer_start(host->due, (msec_t)(host->next_login - now) + 1);
        return;
    }
    struct pace_host *last = pace->ring_last;
    host->next = last ? last->next : host;
    if (last)
        last->next = host;
    pace->ring_last = host;
    net_deferred_schedule(pace->grant);
}

static void pace_host_due(void *ctx)
{
    pace_host_look(ctx);
}

static void pace_grant_one(struct pace_host *host)
{
    struct pace_list *line =
        pace_list_empty(&host->waiting) ? &host->waiting_further : &host->waiting;
    struct pace_ticket *ticket = line->head.following;
    pace_list_remove(ticket);
    ticket->state = PACE_LOGIN;
    host->connections++;
    host->pace->connections++;
    pace_host_count(host, 1);
    host->next_login += host->interval;
    ticket->granted(ticket);
}

static void pace_grant(void *ctx)
{
    struct pace *pace = ctx;
    const struct pace_host *passed = NULL; /* the first one since the last grant */
    while (pace->ring_last && !pace_full(pace)) {
        struct pace_host *host = pace->ring_last->next;
        if (host == passed)
            break;
        if (pace_host_has_share(host)) {
            passed = passed ? passed : host;
            pace->ring_last = host;
            continue;
        }
        passed = NULL;
        if (host == pace->ring_last)
            pace->ring_last = NULL;
        else
            pace->ring_last->next = host->next;
        host->next = NULL;
        host->users++; /* it must not go in the callback */
        if (pace_host_may_begin(host))
            pace_grant_one(host);
        pace_host_look(host);
        pace_host_unuse(host);
    }
}

struct pace *pace_new(struct net_loop *loop, const struct pace_rule *rules, size_t count,
                      unsigned connections_max, unsigned logins_max)
{
    struct pace *pace = mem_new(struct pace);
    pace->loop = loop;
    pace->connections_max = connections_max;
    pace->logins_max = logins_max;
    pace->grant = net_deferred_new(loop, pace_grant, pace);
    pace_set_rules(pace, rules, count);
    return pace;
}

static void pace_drop_rules(struct pace *pace)
{
    for (size_t i = 0; i < pace->rule_count; i++)
        free((char *)(uintptr_t)pace->rules[i].host);
    free(pace->rules);
}

void pace_free(struct pace *pace)
{
    if (!pace)
        return;
    pace_drop_rules(pace);
    net_deferred_free(pace->grant);
    free(pace);
}

static void pace_host_changed(const void *node, VISIT which, int depth)
{
    (void)depth;
    struct pace_host *host = *(struct pace_host *const *)node;
    if (which != postorder && which != leaf)
        return;
    pace_host_rule(host);
    pace_host_look(host);
}

void pace_set_rules(struct pace *pace, const struct pace_rule *rules, size_t count)
{
    pace_drop_rules(pace);
    pace->rules = mem_zalloc((count + 1) * sizeof *pace->rules);
    pace->rule_count = count;
    for (size_t i = 0; i < count; i++) {
        pace->rules[i] = rules[i];
        pace->rules[i].host = mem_strdup(rules[i].host);
    }
    twalk(pace->hosts, pace_host_changed);
}

static int pace_host_compare(const void *a, const void *b)
{
    return strcasecmp(((const struct pace_host *)a)->name, ((const struct pace_host *)b)->name);
}

struct pace_host *pace_host_use(struct pace *pace, const char *name)
{
    struct pace_host key = {.name = (char *)(uintptr_t)name};
    struct pace_host **found = tfind(&key, &pace->hosts, pace_host_compare);
    if (found) {
        (*found)->users++;
        return *found;
    }
    struct pace_host *host = mem_new(struct pace_host);
    host->pace = pace;
    host->name = mem_strdup(name);
    host->users = 1;
    pace_list_init(&host->waiting);
    pace_list_init(&host->waiting_further);
    pace_list_init(&host->holding);
    budget_host_init(&host->budget);
    host->due = net_timer_new(pace->loop, pace_host_due, host);
    pace_host_rule(host);
    if (!tsearch(host, &pace->hosts, pace_host_compare))
        abort();
    return host;
}

static void pace_ring_remove(struct pace_host *host)
{
    struct pace *pace = host->pace;
    if (!host->next)
        return;
    struct pace_host *before = host;
    while (before->next != host)
        before = before->next;
    before->next = host->next;
    if (pace->ring_last == host)
        pace->ring_last = before == host ? NULL : before;
}

void pace_host_unuse(struct pace_host *host)
{
    if (--host->users)
        return;
    pace_ring_remove(host);
    tdelete(host, &host->pace->hosts, pace_host_compare);
    net_timer_free(host->due);
    for (size_t i = 0; i < PACE_TROUBLES; i++)
        free(host->told[i].trouble);
    free(host->name);
    free(host);
}

static void pace_login_over(struct pace_host *host)
{
    pace_host_count(host, -1);
    pace_host_look(host);
}

/* The longest connected that was not asked yet, of the further connections or of the first ones. */
static struct pace_ticket *pace_find_holder(struct pace_host *host, bool further)
{
    struct pace_ticket *ticket = host->holding.head.following;
    for (; ticket != &host->holding.head; ticket = ticket->following)
        if (!ticket->asked && ticket->wanted && ticket->further == further)
            return ticket;
    return NULL;
}

/* Asks one holder for each first connection that waits; for a further one nobody makes room. */
static void pace_ask(struct pace_host *host)
{
    if (!pace_host_full(host) || pace_list_empty(&host->waiting))
        return;
    struct pace_ticket *ticket = pace_find_holder(host, true);
    if (!ticket)
        ticket = pace_find_holder(host, false);
    if (!ticket)
        return;
    ticket->asked = true;
    ticket->wanted(ticket);
}

void pace_request(struct pace_host *host, struct pace_ticket *ticket)
{
    ticket->host = host;
    ticket->state = PACE_WAITING;
    ticket->asked = false;
    pace_list_add(ticket->further ? &host->waiting_further : &host->waiting, ticket);
    pace_host_look(host);
    if (!ticket->further)
        pace_ask(host);
}

void pace_logged_in(struct pace_ticket *ticket)
{
    struct pace_host *host = ticket->host;
    ticket->state = PACE_HOLDING;
    pace_list_add(&host->holding, ticket);
    pace_login_over(host);
    pace_ask(host);
}

void pace_release(struct pace_ticket *ticket)
{
    struct pace_host *host = ticket->host;
    enum pace_state state = ticket->state;
    if (state == PACE_NONE)
        return;
    ticket->state = PACE_NONE;
    if (state != PACE_LOGIN)
        pace_list_remove(ticket);
    if (state == PACE_WAITING)
        return;
    host->connections--;
    host->pace->connections--;
    if (state == PACE_LOGIN)
        pace_login_over(host);
    else
        pace_host_look(host);
    /* There may be more than the rule allows by now: then one that goes makes no room yet. */
    pace_ask(host);
}

struct budget_host *pace_host_budget(struct pace_host *host)
{
    return &host->budget;
}

bool pace_host_idle_proven(const struct pace_host *host)
{
    return host->idle_proven;
}

void pace_host_prove_idle(struct pace_host *host)
{
    host->idle_proven = true;
}

bool pace_host_tells(struct pace_host *host, const char *trouble)
{
    msec_t now = net_loop_now(host->pace->loop);
    size_t oldest = 0;
    for (size_t i = 0; i < PACE_TROUBLES; i++) {
        if (host->told[i].trouble && text_says_same(host->told[i].trouble, trouble) &&
            now - host->told[i].at < PACE_TELL_AGAIN)
            return false;
        if (host->told[i].at < host->told[oldest].at)
            oldest = i;
    }
    free(host->told[oldest].trouble);
    host->told[oldest].trouble = mem_strdup(trouble);
    host->told[oldest].at = now;
    return true;
}
