/* net/loop.h: the event loop, its timers, signals and end-of-turn work.
 *
 * One loop, one thread. Callbacks run from net_loop_run() only, never from inside the call that
 * asked for them. Every object here may be freed inside its own callback; its memory goes when
 * libuv has closed the handle. */
#ifndef NET_LOOP_H
#define NET_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/num.h"

enum {
    /* The one read buffer that all connections of a loop share. */
    NET_READ_BUFFER = 65536,
};

struct net_loop;
struct net_timer;
struct net_signal;
struct net_watch;
struct net_deferred;

/* Also makes the process ignore SIGPIPE. Aborts when the kernel gives no descriptors for it. */
struct net_loop *net_loop_new(void);
/* Everything made on the loop must have been freed or closed before; runs the loop until the
 * last handle is closed. NULL does nothing. */
void net_loop_free(struct net_loop *loop);
/* Returns after net_loop_stop(), or when nothing is left that could happen. */
void net_loop_run(struct net_loop *loop);
void net_loop_stop(struct net_loop *loop);
/* For a loop that lives on throughput: after a turn that brought a little of much (2 to 64 kB) it
 * rests for `usec` before it looks for more, so that more comes at a time. What was to be written
 * has gone out by then. 0, as at first: it never does. */
void net_loop_set_rest(struct net_loop *loop, unsigned usec);
/* From now on connections read little at a time, or as much as fits: who cannot take what was read
 * keeps it until it can. For while many of them may have to wait. */
void net_loop_read_little(struct net_loop *loop, bool little);
/* The monotonic clock as of the start of this turn of the loop, and what was skipped. */
msec_t net_loop_now(const struct net_loop *loop);
/* For tests: the clock jumps ahead. All timers and deadlines that become due by it fire in the next
 * turn, in the order of their time, each once: one that starts itself again does so as of the
 * time after the jump. */
void net_loop_skip(struct net_loop *loop, msec_t by);
/* For tests: how long until the next timer or deadline may be due; false: none is set. One that
 * was put off may have nothing to do then. */
bool net_loop_next_due(const struct net_loop *loop, msec_t *ret_after);
/* For tests: from now on the clock moves by net_loop_skip() alone, and the loop by
 * net_loop_step(). */
void net_loop_drive(struct net_loop *loop);
/* For tests: one turn, which waits for nothing. False: not one callback came. */
bool net_loop_step(struct net_loop *loop);
/* For tests: how many jobs are at work beside the loop, or wait for that: of workers, and lookups
 * of names. While there are any, much may happen though no timer is due. */
size_t net_loop_outside(const struct net_loop *loop);

struct net_timer *net_timer_new(struct net_loop *loop, void (*fire)(void *ctx), void *ctx);
/* Fires once, `after` from now; starting again replaces the earlier time. */
void net_timer_start(struct net_timer *timer, msec_t after);
void net_timer_stop(struct net_timer *timer);
void net_timer_free(struct net_timer *timer);

/* Calls `caught` on the loop for each signal `signum`. */
struct net_signal *net_signal_new(struct net_loop *loop, int signum, void (*caught)(void *ctx),
                                  void *ctx);
void net_signal_free(struct net_signal *signal);

/* Calls `readable` on the loop whenever the descriptor is: for libraries with sockets of their own.
 * It stays open until the watch is freed. */
struct net_watch *net_watch_new(struct net_loop *loop, int fd, void (*readable)(void *ctx),
                                void *ctx);
/* NULL does nothing. */
void net_watch_free(struct net_watch *watch);

/* Work to be done once at the end of this turn, before the loop waits again: `run` is called once
 * however often net_deferred_schedule() was, and may schedule itself or others for the next turn
 * (which then comes without waiting). */
struct net_deferred *net_deferred_new(struct net_loop *loop, void (*run)(void *ctx), void *ctx);
void net_deferred_schedule(struct net_deferred *deferred);
void net_deferred_free(struct net_deferred *deferred);

#endif
