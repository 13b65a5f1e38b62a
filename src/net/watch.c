/* Watching descriptors of others. */
#include <stdlib.h>

#include "base/mem.h"
#include "net/loop.h"
#include "net/loop_impl.h"

struct net_watch {
    uv_poll_t uv; /* first: closing frees the whole */
    struct net_loop *loop;
    void (*readable)(void *ctx);
    void *ctx;
};

static void net_watch_polled(uv_poll_t *uv, int status, int events)
{
    struct net_watch *watch = (struct net_watch *)uv;
    (void)status; /* whoever reads finds out what it is */
    (void)events;
    watch->loop->stirred = true;
    watch->readable(watch->ctx);
}

struct net_watch *net_watch_new(struct net_loop *loop, int fd, void (*readable)(void *ctx),
                                void *ctx)
{
    struct net_watch *watch = mem_new(struct net_watch);
    if (uv_poll_init(&loop->uv, &watch->uv, fd))
        abort();
    watch->loop = loop;
    watch->readable = readable;
    watch->ctx = ctx;
    uv_poll_start(&watch->uv, UV_READABLE, net_watch_polled);
    return watch;
}

static void net_watch_closed(uv_handle_t *handle)
{
    free(handle);
}

void net_watch_free(struct net_watch *watch)
{
    if (watch)
        uv_close((uv_handle_t *)&watch->uv, net_watch_closed);
}
