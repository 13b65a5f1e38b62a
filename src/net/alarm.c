/* A pairing heap: setting is O(1), clearing and firing O(log n), amortised. */
#include "net/alarm.h"

#include <assert.h>

#include "net/loop_impl.h"

void net_alarm_init(struct net_alarm *alarm, void (*fire)(void *owner), void *owner)
{
    *alarm = (struct net_alarm){.fire = fire, .owner = owner};
}

bool net_alarm_is_set(const struct net_alarm *alarm)
{
    return alarm->order;
}

static bool net_alarm_is_before(const struct net_alarm *a, const struct net_alarm *b)
{
    return a->key < b->key || (a->key == b->key && a->order < b->order);
}

/* Two roots, of which either may be NULL, become one. */
static struct net_alarm *net_alarm_meld(struct net_alarm *a, struct net_alarm *b)
{
    if (!a || !b)
        return a ? a : b;
    struct net_alarm *top = net_alarm_is_before(b, a) ? b : a;
    struct net_alarm *below = top == a ? b : a;
    below->prev = top;
    below->next = top->child;
    if (top->child)
        top->child->prev = below;
    top->child = below;
    top->prev = top->next = NULL;
    return top;
}

/* Melds siblings two by two from left to right, then the pairs from right to left: that order is
 * what makes the heap fast. */
static struct net_alarm *net_alarm_pair(struct net_alarm *first)
{
    struct net_alarm *pairs = NULL, *root = NULL;
    while (first) {
        struct net_alarm *second = first->next;
        struct net_alarm *rest = second ? second->next : NULL;
        struct net_alarm *pair = net_alarm_meld(first, second);
        pair->next = pairs;
        pairs = pair;
        first = rest;
    }
    while (pairs) {
        struct net_alarm *rest = pairs->next;
        pairs->next = pairs->prev = NULL;
        root = net_alarm_meld(root, pairs);
        pairs = rest;
    }
    return root;
}

/* Takes it out with all that is below it. */
static void net_alarm_cut(struct net_alarms *alarms, struct net_alarm *alarm)
{
    if (alarm == alarms->root)
        alarms->root = NULL;
    else if (alarm->prev->child == alarm)
        alarm->prev->child = alarm->next;
    else
        alarm->prev->next = alarm->next;
    if (alarm->next)
        alarm->next->prev = alarm->prev;
    alarm->next = alarm->prev = NULL;
}

static void net_alarm_insert(struct net_alarms *alarms, struct net_alarm *alarm)
{
    alarm->key = alarm->due;
    if (!alarm->order)
        alarm->order = ++alarms->order;
    alarms->root = net_alarm_meld(alarms->root, alarm);
}

static void net_alarm_remove(struct net_alarms *alarms, struct net_alarm *alarm)
{
    net_alarm_cut(alarms, alarm);
    alarms->root = net_alarm_meld(alarms->root, net_alarm_pair(alarm->child));
    alarm->child = NULL;
}

static void net_alarms_woken(uv_timer_t *timer)
{
    (void)timer; /* the turn that it began does the work */
}

void net_alarms_arm(struct net_loop *loop)
{
    struct net_alarms *alarms = &loop->alarms;
    msec_t now = net_loop_now(loop);
    if (!alarms->root || (loop->driven && alarms->root->key > now)) {
        uv_timer_stop(&alarms->timer);
        alarms->wake_at = 0;
        return;
    }
    msec_t after = alarms->root->key > now ? alarms->root->key - now : 0;
    alarms->wake_at = uv_now(&loop->uv) + after;
    if (!uv_is_active((uv_handle_t *)&alarms->timer) ||
        uv_timer_get_due_in(&alarms->timer) != after)
        uv_timer_start(&alarms->timer, net_alarms_woken, after, 0);
}

void net_alarm_set(struct net_loop *loop, struct net_alarm *alarm, msec_t after)
{
    struct net_alarms *alarms = &loop->alarms;
    msec_t now = net_loop_now(loop);
    alarm->due = after < UINT64_MAX - now ? now + after : UINT64_MAX;
    if (alarm->order && alarm->key <= alarm->due)
        return; /* sorted too early: that is seen when it comes up */
    if (alarm->order)
        net_alarm_cut(alarms, alarm);
    net_alarm_insert(alarms, alarm);
    if (alarms->root == alarm)
        net_alarms_arm(loop);
}

void net_alarm_clear(struct net_loop *loop, struct net_alarm *alarm)
{
    if (!alarm->order)
        return;
    net_alarm_remove(&loop->alarms, alarm);
    alarm->order = 0;
}

/* The one that fires next, taken out; NULL: none is due at `now` that was set before `order`. */
static struct net_alarm *net_alarms_take(struct net_alarms *alarms, msec_t now, uint64_t order)
{
    struct net_alarm *alarm;
    while ((alarm = alarms->root) && alarm->key <= now && alarm->order <= order) {
        net_alarm_remove(alarms, alarm);
        if (alarm->due <= alarm->key) {
            alarm->order = 0;
            return alarm;
        }
        net_alarm_insert(alarms, alarm);
    }
    return NULL;
}

/* What is set anew meanwhile waits for the next turn, or the sockets would never have theirs. */
void net_alarms_run(struct net_loop *loop)
{
    struct net_alarm *alarm;
    msec_t now = net_loop_now(loop);
    uint64_t order = loop->alarms.order;
    while ((alarm = net_alarms_take(&loop->alarms, now, order))) {
        loop->stirred = true;
        alarm->fire(alarm->owner);
    }
}

void net_alarms_init(struct net_loop *loop)
{
    uv_timer_init(&loop->uv, &loop->alarms.timer);
}

void net_alarms_close(struct net_loop *loop)
{
    assert(!loop->alarms.root); /* else the caller forgot one, and its memory is not ours */
    uv_close((uv_handle_t *)&loop->alarms.timer, NULL);
}

void net_loop_skip(struct net_loop *loop, msec_t by)
{
    loop->skipped += by;
    net_alarms_arm(loop);
}

bool net_loop_next_due(const struct net_loop *loop, msec_t *ret_after)
{
    const struct net_alarm *first = loop->alarms.root;
    msec_t now = net_loop_now(loop);
    if (!first)
        return false;
    *ret_after = first->key > now ? first->key - now : 0;
    return true;
}
