/* Timers: alarms on the heap. Signals: libuv's. */
#include <stdlib.h>

#include "base/mem.h"
#include "net/loop.h"
#include "net/loop_impl.h"

struct net_timer {
    struct net_loop *loop;
    struct net_alarm alarm;
};

struct net_signal {
    uv_signal_t uv; /* first: closing frees the whole */
    void (*caught)(void *ctx);
    void *ctx;
};

struct net_timer *net_timer_new(struct net_loop *loop, void (*fire)(void *ctx), void *ctx)
{
    struct net_timer *timer = mem_new(struct net_timer);
    timer->loop = loop;
    net_alarm_init(&timer->alarm, fire, ctx);
    return timer;
}

void net_timer_start(struct net_timer *timer, msec_t after)
{
    net_alarm_set(timer->loop, &timer->alarm, after);
}

void net_timer_stop(struct net_timer *timer)
{
    net_alarm_clear(timer->loop, &timer->alarm);
}

void net_timer_free(struct net_timer *timer)
{
    if (!timer)
        return;
    net_timer_stop(timer);
    free(timer);
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

static void net_signal_closed(uv_handle_t *handle)
{
    free(handle);
}

void net_signal_free(struct net_signal *signal)
{
    if (signal)
        uv_close((uv_handle_t *)&signal->uv, net_signal_closed);
}
