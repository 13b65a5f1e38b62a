/* net/loop_impl.h: the inside of the loop, for the files of this room only. */
#ifndef NET_LOOP_IMPL_H
#define NET_LOOP_IMPL_H

#include <stdint.h>
#include <uv.h>

#include "net/loop.h"
#include "net/task.h"

enum {
    /* The most that one TLS record carries (RFC 8446 section 5.1). */
    NET_RECORD = 16384,
};

struct net_resolver;

struct net_loop {
    uv_loop_t uv;
    uv_prepare_t prepare; /* runs the phases before the loop waits */
    uv_idle_t idle;       /* active while a task is scheduled: then the loop does not wait */
    struct net_task phases[NET_PHASE_COUNT]; /* heads of circular lists */
    struct net_resolver *resolver;
    uint8_t read_buffer[NET_READ_BUFFER];
    uint8_t record[NET_RECORD]; /* where small pieces are put together into one TLS record */
};

#endif
