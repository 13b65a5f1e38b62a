/* Timers and signals: libuv's, with an owner's callback. */
#include <stdlib.h>

#include "base/mem.h"
#include "net/loop.h"
#include "net/loop_impl.h"

struct net_timer {
    uv_timer_t uv; /* first: closing frees the whole */
    void (*fire)(void *ctx);
    void *ctx;
};

struct net_signal {
    uv_signal_t uv; /* first: closing frees the whole */
    void (*caught)(void *ctx);
    void *ctx;
};

static void net_handle_closed(uv_handle_t *handle)
{
    free(handle);
}

static void net_timer_fired(uv_timer_t *uv)
{
    struct net_timer *timer = (struct net_timer *)uv;
    timer->fire(timer->ctx);
}

struct net_timer *net_timer_new(struct net_loop *loop, void (*fire)(void *ctx), void *ctx)
{
    struct net_timer *timer = mem_new(struct net_timer);
    uv_timer_init(&loop->uv, &timer->uv);
    timer->fire = fire;
    timer->ctx = ctx;
    return timer;
}

void net_timer_start(struct net_timer *timer, msec_t after)
{
    uv_timer_start(&timer->uv, net_timer_fired, after, 0);
}

void net_timer_stop(struct net_timer *timer)
{
    uv_timer_stop(&timer->uv);
}

void net_timer_free(struct net_timer *timer)
{
    if (timer)
        uv_close((uv_handle_t *)&timer->uv, net_handle_closed);
}

static void net_signal_caught(uv_signal_t *uv, int signum)
{
    (void)signum;
    struct net_signal *signal = (struct net_signal *)uv;
    signal->caught(signal->ctx);
}

struct net_signal *net_signal_new(struct net_loop *loop, int signum, void (*caught)(void *ctx),
                                  void *ctx)
{
    struct net_signal *signal = mem_new(struct net_signal);
    if (uv_signal_init(&loop->uv, &signal->uv))
        abort();
    signal->caught = caught;
    signal->ctx = ctx;
    uv_signal_start(&signal->uv, net_signal_caught, signum);
    return signal;
}

void net_signal_free(struct net_signal *signal)
{
    if (signal)
        uv_close((uv_handle_t *)&signal->uv, net_handle_closed);
}
