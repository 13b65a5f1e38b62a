#include "driven.h"

#include <stddef.h>
#include <time.h>

#include "wire.h"

enum {
    DRIVEN_BREATH = 20 * 1000, /* ns, for others to get on before they are looked at again */
};

/* Quiet is: nothing was under way, and then a whole turn called nobody. */
bool driven_settle(struct net_loop *loop, driven_holds *holds, void *ctx)
{
    while (!holds || !holds(ctx)) {
        if (net_loop_step(loop))
            continue;
        bool busy = net_loop_outside(loop) || wire_is_busy();
        if (net_loop_step(loop))
            continue;
        if (!busy)
            return false;
        nanosleep(&(struct timespec){.tv_nsec = DRIVEN_BREATH}, NULL);
    }
    return true;
}

const char *driven_await(struct net_loop *loop, msec_t within, driven_holds *holds, void *ctx)
{
    msec_t until = net_loop_now(loop) + within, after;
    while (!driven_settle(loop, holds, ctx)) {
        if (!net_loop_next_due(loop, &after))
            return "nothing is left to happen";
        if (after > until - net_loop_now(loop))
            return "it did not happen in time";
        net_loop_skip(loop, after);
    }
    return NULL;
}

void driven_pass(struct net_loop *loop, msec_t by)
{
    msec_t until = net_loop_now(loop) + by;
    driven_await(loop, by, NULL, NULL);
    net_loop_skip(loop, until - net_loop_now(loop));
    driven_settle(loop, NULL, NULL);
}
