/* net/loop_impl.h: the inside of the loop, for the files of this room only. */
#ifndef NET_LOOP_IMPL_H
#define NET_LOOP_IMPL_H

#include <stdint.h>
#include <uv.h>

#include "net/alarm.h"
#include "net/loop.h"
#include "net/task.h"

enum {
    /* The most that one TLS record carries (RFC 8446 section 5.1). */
    NET_RECORD = 16384,
    /* What one connection may read in one turn before the others have theirs. */
    NET_READ_SHARE = 256 * 1024,
    NET_READ_SHARE_LEAST = 4096,
};

struct net_resolver;

struct net_alarms {
    struct net_alarm *root; /* the first to come; NULL: none is set */
    uint64_t order;         /* that of the last one set */
    uv_timer_t timer;       /* wakes the loop for the first … */
    uint64_t wake_at;       /* … at this time of libuv's; 0: never */
};

struct net_loop {
    uv_loop_t uv;
    msec_t skipped; /* how far our clock is ahead of libuv's … */
    bool driven;    /* … or our clock itself: libuv's has no say in it */
    bool stirred;   /* something was called in this turn */
    bool was_late;  /* this turn's alarms wait for the next */
    struct net_alarms alarms;
    size_t outside;       /* jobs beside the loop */
    uv_prepare_t prepare; /* runs the phases before the loop waits */
    uv_idle_t idle;       /* active while a task is scheduled: then the loop does not wait */
    struct net_task phases[NET_PHASE_COUNT]; /* heads of circular lists */
    size_t came;                             /* bytes, in this turn */
    unsigned rest;
    uint64_t rests;
    bool reads_little;
    size_t read_share; /* what one connection may read in this turn before the others have theirs */
    size_t read_cost;  /* what all have read in it */
    struct net_resolver *resolver;
    uint8_t read_buffer[NET_READ_BUFFER];
    uint8_t record[NET_RECORD]; /* where small pieces are put together into one TLS record */
};

void net_alarms_init(struct net_loop *loop);
/* Fires what is due. */
void net_alarms_run(struct net_loop *loop);
/* Has the loop woken for the first that is left. */
void net_alarms_arm(struct net_loop *loop);
void net_alarms_close(struct net_loop *loop);

#endif
