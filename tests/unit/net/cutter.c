#include "cutter.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "net/conn.h"
#include "net/loop.h"

enum {
    CUTTER_DEADLINE = 60 * 1000,
};

struct cutter_end {
    struct cutter_link *link;
    enum cutter_side side;
    struct net_conn *conn; /* NULL: closed */
    bool ended;            /* by its peer */
};

struct cutter_link {
    struct cutter *cutter;
    struct cutter_link *next;
    struct cutter_end ends[2];
    bool left;    /* by its client */
    bool cut;     /* nothing goes through any more */
    bool waiting; /* until the last bytes before the cut are with the kernel */
};

static bool cutter_is_frozen(const struct cutter_link *link)
{
    return link->cut && link->cutter->cut.way == CUTTER_FREEZE;
}

static void cutter_close(struct cutter_end *end, bool reset);

/* Its client has ended it, or is told of the end. The server of a frozen one finds out by then. */
static void cutter_leave(struct cutter_link *link)
{
    struct cutter *cutter = link->cutter;
    if (link->left)
        return;
    link->left = true;
    cutter->open--;
    if (link->cut)
        cutter->left_at = net_loop_now(cutter->loop);
    if (cutter_is_frozen(link))
        cutter_close(&link->ends[CUTTER_TO_SERVER], true);
}

static void cutter_close(struct cutter_end *end, bool reset)
{
    if (!end->conn)
        return;
    if (end->side == CUTTER_TO_CLIENT)
        cutter_leave(end->link);
    if (reset)
        net_conn_abort(end->conn);
    else
        net_conn_close(end->conn);
    end->conn = NULL;
}

static void cutter_link_free(struct cutter_link *link)
{
    struct cutter_link **at = &link->cutter->links;
    while (*at != link)
        at = &(*at)->next;
    *at = link->next;
    free(link);
}

static void cutter_link_close(struct cutter_link *link, bool reset)
{
    cutter_close(&link->ends[CUTTER_TO_CLIENT], reset);
    cutter_close(&link->ends[CUTTER_TO_SERVER], reset);
    cutter_link_free(link);
}

/* What went before is with the kernel. The link may be gone afterwards. */
static void cutter_cut(struct cutter_link *link)
{
    struct cutter *cutter = link->cutter;
    link->waiting = false;
    cutter->cut_at = net_loop_now(cutter->loop);
    if (cutter->cutting)
        cutter->cutting(cutter->cutting_ctx);
    switch (cutter->cut.way) {
    case CUTTER_END:
        net_conn_end(link->ends[CUTTER_TO_CLIENT].conn);
        net_conn_end(link->ends[CUTTER_TO_SERVER].conn);
        break;
    case CUTTER_RESET:
        cutter_link_close(link, true);
        break;
    case CUTTER_FREEZE:
        if (link->ends[CUTTER_TO_CLIENT].ended)
            cutter_leave(link);
        break;
    }
}

static bool cutter_is_due(const struct cutter *cutter)
{
    return !cutter->done && cutter->passed[cutter->cut.side] >= cutter->cut.after;
}

/* Of `len` bytes to this side, those that go before the cut. */
static size_t cutter_share(const struct cutter *cutter, enum cutter_side side, size_t len)
{
    uint64_t left = cutter->cut.after - cutter->passed[side];
    return cutter->done || side != cutter->cut.side || len < left ? len : (size_t)left;
}

static size_t cutter_data(void *ctx, const uint8_t *data, size_t len)
{
    struct cutter_end *from = ctx, *to = &from->link->ends[!from->side];
    struct cutter_link *link = from->link;
    struct cutter *cutter = link->cutter;
    if (link->cut)
        return len;
    size_t share = cutter_share(cutter, to->side, len);
    cutter->passed[to->side] += share;
    net_conn_write(to->conn, data, share);
    if (cutter_is_due(cutter))
        cutter->done = link->cut = link->waiting = true;
    return len;
}

/* Also of what went the other way; the bytes before the cut are the last ones. */
static void cutter_drained(void *ctx)
{
    struct cutter_end *end = ctx;
    if (end->link->waiting && end->side == end->link->cutter->cut.side)
        cutter_cut(end->link);
}

/* What is frozen answers nothing, not even an end. */
static void cutter_ended(void *ctx)
{
    struct cutter_end *end = ctx, *other = &end->link->ends[!end->side];
    struct cutter_link *link = end->link;
    end->ended = true;
    if (link->waiting)
        return;
    if (cutter_is_frozen(link) && end->side == CUTTER_TO_CLIENT)
        cutter_leave(link);
    else if (cutter_is_frozen(link))
        return;
    else if (link->cut || other->ended)
        cutter_link_close(link, false);
    else
        net_conn_end(other->conn);
}

static void cutter_failed(void *ctx, const struct err *err)
{
    struct cutter_end *end = ctx;
    (void)err;
    if (cutter_is_frozen(end->link))
        cutter_close(end, true);
    else
        cutter_link_close(end->link, true);
}

static void cutter_ready(void *ctx)
{
    (void)ctx;
}

static const struct net_conn_events cutter_events = {
    .ready = cutter_ready,
    .data = cutter_data,
    .drained = cutter_drained,
    .ended = cutter_ended,
    .failed = cutter_failed,
};

static void cutter_accepted(void *ctx, struct net_conn *conn)
{
    struct cutter *cutter = ctx;
    struct cutter_link *link = mem_new(struct cutter_link);
    *link = (struct cutter_link){.cutter = cutter, .next = cutter->links};
    cutter->links = link;
    cutter->open++;
    for (int side = 0; side < 2; side++)
        link->ends[side] = (struct cutter_end){.link = link, .side = (enum cutter_side)side};
    link->ends[CUTTER_TO_CLIENT].conn = conn;
    net_conn_set_events(conn, &cutter_events, &link->ends[CUTTER_TO_CLIENT]);
    link->ends[CUTTER_TO_SERVER].conn =
        net_conn_open(cutter->loop,
                      &(struct net_conn_target){
                          .host = "127.0.0.1", .port = cutter->target, .deadline = CUTTER_DEADLINE},
                      &cutter_events, &link->ends[CUTTER_TO_SERVER]);
    if (cutter_is_due(cutter)) {
        cutter->done = link->cut = true;
        cutter_cut(link);
    }
}

static const struct net_listener_events cutter_listener_events = {.accepted = cutter_accepted};

void cutter_init(struct cutter *cutter, struct net_loop *loop, uint16_t target)
{
    struct err err;
    *cutter = (struct cutter){.loop = loop, .target = target, .cut.after = UINT64_MAX};
    if (net_listener_new(loop, "127.0.0.1", 0, NULL, &cutter_listener_events, cutter,
                         &cutter->listener, &err)) {
        fprintf(stderr, "cutter: %s\n", err.text);
        abort();
    }
    cutter->port = net_listener_port(cutter->listener);
}

void cutter_release(struct cutter *cutter)
{
    net_listener_free(cutter->listener);
    while (cutter->links)
        cutter_link_close(cutter->links, true);
}
