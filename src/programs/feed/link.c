#include "programs/feed/link.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/block.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "hpfeeds/client.h"
#include "net/conn.h"
#include "net/loop.h"

enum {
    LINK_CONNECT_MS = 30000,
    LINK_INFO_MS = 30000,
};

struct feed_link {
    struct net_conn *conn;
    struct hpfeeds_client *session;
    const struct feed_target *target;
    const struct feed_link_events *events;
    void *ctx;
    struct net_deferred *go_on; /* after a rest */
    bool over;                  /* told, or its owner wants no more messages */
    bool resting;
    bool guarded;
    bool left; /* something that came was not worked off */
};

static void link_send_output(struct feed_link *link)
{
    struct buf *output = hpfeeds_client_output(link->session);
    if (output->len)
        net_conn_write(link->conn, output->data, output->len);
    buf_clear(output);
}

static void link_tell_over(struct feed_link *link, enum feed_end end, const char *text)
{
    if (link->over)
        return;
    link->over = true;
    link->events->over(link->ctx, end, text);
}

/* One that is about the broker's own state is no refusal. */
static void link_handle_error(struct feed_link *link, const struct hpfeeds_client_event *event)
{
    char text[sizeof event->text + sizeof "the broker says: "];
    const char *words = hpfeeds_client_words(event, link->target->secret);
    if (!event->later) {
        link_tell_over(link, FEED_END_ERROR, words);
        return;
    }
    snprintf(text, sizeof text, "the broker says: %s", words);
    link_tell_over(link, FEED_END_FAILED, text);
}

static void link_handle(struct feed_link *link, const struct hpfeeds_client_event *event)
{
    switch (event->type) {
    case HPFEEDS_CLIENT_READY_EVENT:
        log_info(NULL, "connected to %s at %s", event->text, net_conn_peer(link->conn));
        net_conn_set_deadline(link->conn, 0, NULL);
        link_send_output(link);
        link->events->ready(link->ctx);
        break;
    case HPFEEDS_CLIENT_MESSAGE:
        if (link->events->message && !link->events->message(link->ctx, &event->frame))
            link->over = true;
        break;
    case HPFEEDS_CLIENT_ERROR:
        link_handle_error(link, event);
        break;
    }
}

static void link_on_ready(void *ctx)
{
    struct feed_link *link = ctx;
    net_conn_set_deadline(link->conn, LINK_INFO_MS, "the broker's INFO");
}

static size_t link_on_data(void *ctx, const uint8_t *data, size_t len)
{
    struct feed_link *link = ctx;
    link->left = link->left || link->over;
    if (link->over)
        return len;

    struct hpfeeds_client_event event;
    struct err err;
    int got = 0;
    link->resting = false;
    hpfeeds_client_feed(link->session, data, len);
    while (!link->over && !link->resting &&
           (got = hpfeeds_client_next(link->session, &event, &err)) > 0) {
        /* ERROR is the last: its `over` may free the link. */
        bool last = event.type == HPFEEDS_CLIENT_ERROR;
        link_handle(link, &event);
        if (last)
            return len;
    }
    if (link->events->caught_up)
        link->events->caught_up(link->ctx);
    size_t back = hpfeeds_client_take_back(link->session);
    link->left = back;
    if (link->resting && !link->over && back) {
        net_deferred_schedule(link->go_on);
        return len - back;
    }
    if (got < 0)
        link_tell_over(link, FEED_END_FAILED, err.text);
    return len;
}

static void link_on_go_on(void *ctx)
{
    struct feed_link *link = ctx;
    net_conn_resume(link->conn);
}

static void link_on_drained(void *ctx)
{
    struct feed_link *link = ctx;
    if (!link->over && hpfeeds_client_state(link->session) == HPFEEDS_CLIENT_READY)
        link->events->drained(link->ctx);
}

static void link_on_ended(void *ctx)
{
    link_tell_over(ctx, FEED_END_CLEAN, "the broker ended the connection");
}

static void link_on_failed(void *ctx, const struct err *err)
{
    link_tell_over(ctx, err->action == ERR_GIVE_UP ? FEED_END_TRUST : FEED_END_FAILED, err->text);
}

static const struct net_conn_events link_events = {
    .ready = link_on_ready,
    .data = link_on_data,
    .drained = link_on_drained,
    .ended = link_on_ended,
    .failed = link_on_failed,
};

struct feed_link *feed_link_open(struct net_loop *loop, const struct feed_target *target,
                                 const struct feed_link_events *events, void *ctx)
{
    struct feed_link *link = mem_new(struct feed_link);
    link->target = target;
    link->events = events;
    link->ctx = ctx;
    link->go_on = net_deferred_new(loop, link_on_go_on, link);
    link->session = hpfeeds_client_new(target->ident, target->secret, target->frame_max);
    struct net_conn_target where = {
        .host = target->host,
        .port = target->port,
        .tls = target->tls,
        .deadline = LINK_CONNECT_MS,
    };
    link->conn = net_conn_open(loop, &where, &link_events, link);
    return link;
}

void feed_link_send(struct feed_link *link, struct buf *moved)
{
    net_conn_write_block(link->conn, block_from_buf(moved), 0, NULL, NULL);
}

void feed_link_send_block(struct feed_link *link, struct block *moved)
{
    net_conn_write_block(link->conn, moved, 0, NULL, NULL);
}

void feed_link_end(struct feed_link *link)
{
    net_conn_end(link->conn);
}

void feed_link_guard(struct feed_link *link)
{
    link->guarded = true;
    net_conn_guard(link->conn);
}

void feed_link_rest(struct feed_link *link)
{
    link->resting = true;
}

size_t feed_link_pending(const struct feed_link *link)
{
    return net_conn_unacknowledged(link->conn);
}

void feed_link_close(struct feed_link *link)
{
    if (!link)
        return;
    if (link->guarded && !link->left)
        net_conn_end(link->conn);
    net_conn_close(link->conn);
    net_deferred_free(link->go_on);
    hpfeeds_client_free(link->session);
    free(link);
}

void feed_link_break(struct feed_link *link)
{
    if (link)
        link->left = true;
    feed_link_close(link);
}
