/* net/alarm.h: something to be done at a certain time, embedded in whoever wants it. All alarms of
 * a loop are in one heap, with one timer of libuv's for the first of them: ten thousand deadlines
 * cost 64 bytes each, and nothing is allocated. */
#ifndef NET_ALARM_H
#define NET_ALARM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/num.h"

struct net_loop;

struct net_alarm {
    struct net_alarm *child, *next; /* its first child; its next sibling */
    struct net_alarm *prev;         /* its previous sibling, or its parent; NULL: the root */
    msec_t due;
    msec_t key;     /* by what it is sorted: never above `due` */
    uint64_t order; /* of setting, among equal times; 0: not set */
    void (*fire)(void *owner);
    void *owner;
};

void net_alarm_init(struct net_alarm *alarm, void (*fire)(void *owner), void *owner);
/* Fires once, from the loop, `after` from now; when set from an alarm that fires, in the next turn
 * at the earliest. Setting again replaces the earlier time; to put it off costs nothing. An alarm
 * that fires is set no more and may be set again or freed. */
void net_alarm_set(struct net_loop *loop, struct net_alarm *alarm, msec_t after);
void net_alarm_clear(struct net_loop *loop, struct net_alarm *alarm);
bool net_alarm_is_set(const struct net_alarm *alarm);

#endif
