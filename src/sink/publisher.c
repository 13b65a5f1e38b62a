#include "sink/publisher.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "hpfeeds/client.h"
#include "net/conn.h"
#include "sink/mail.h"

struct publisher {
    const struct publisher_settings *settings;
    const struct publisher_events *events;
    void *ctx;
    struct net_conn *conn;
    struct hpfeeds_client *client;
    bool over;   /* `gone` was told */
    bool busy;   /* in publisher_data(), which looks at us after an event … */
    bool closed; /* … and frees us then */
};

static void publisher_free(struct publisher *publisher)
{
    hpfeeds_client_free(publisher->client);
    free(publisher);
}

static void publisher_gone(struct publisher *publisher, enum publisher_end how,
                           const struct err *err)
{
    if (publisher->over)
        return;
    publisher->over = true;
    publisher->events->gone(publisher->ctx, how, err);
}

static void publisher_connected(void *ctx)
{
    struct publisher *publisher = ctx;
    net_conn_set_deadline(publisher->conn, publisher->settings->info_deadline, "the broker's INFO");
}

static void publisher_flush(struct publisher *publisher)
{
    struct buf *output = hpfeeds_client_output(publisher->client);
    net_conn_write(publisher->conn, output->data, output->len);
    buf_clear(output);
}

static void publisher_handle(struct publisher *publisher, const struct hpfeeds_client_event *event)
{
    struct err err;

    switch (event->type) {
    case HPFEEDS_CLIENT_READY_EVENT:
        net_conn_set_deadline(publisher->conn, 0, NULL);
        publisher_flush(publisher);
        publisher->events->ready(publisher->ctx);
        break;
    case HPFEEDS_CLIENT_MESSAGE:
        if (publisher->events->message)
            publisher->events->message(publisher->ctx, &event->frame);
        break;
    case HPFEEDS_CLIENT_ERROR:
        if (event->later)
            err_set(&err, ERR_RETRY_LATER, "the broker says: %s",
                    hpfeeds_client_words(event, publisher->settings->secret));
        else
            err_set(&err, ERR_GIVE_UP, "the broker refused: %s",
                    hpfeeds_client_words(event, publisher->settings->secret));
        publisher_gone(publisher, event->later ? PUBLISHER_PUT_OFF : PUBLISHER_REFUSED, &err);
        break;
    }
}

static size_t publisher_data(void *ctx, const uint8_t *data, size_t len)
{
    struct publisher *publisher = ctx;
    struct hpfeeds_client_event event;
    struct err err;
    int got = 0;

    if (publisher->over)
        return len;
    publisher->busy = true;
    hpfeeds_client_feed(publisher->client, data, len);
    while (!publisher->over && !publisher->closed &&
           (got = hpfeeds_client_next(publisher->client, &event, &err)) > 0)
        publisher_handle(publisher, &event);
    if (got < 0 && !publisher->closed)
        publisher_gone(publisher, PUBLISHER_BROKEN, &err);
    publisher->busy = false;
    if (publisher->closed)
        publisher_free(publisher);
    return len;
}

static void publisher_ended(void *ctx)
{
    struct err err;
    err_set(&err, ERR_RETRY_LATER, "the broker closed the connection");
    publisher_gone(ctx, PUBLISHER_ENDED, &err);
}

static void publisher_failed(void *ctx, const struct err *err)
{
    publisher_gone(ctx, PUBLISHER_BROKEN, err);
}

static const struct net_conn_events publisher_conn_events = {
    .ready = publisher_connected,
    .data = publisher_data,
    .ended = publisher_ended,
    .failed = publisher_failed,
};

struct publisher *publisher_open(struct net_loop *loop, const struct publisher_settings *settings,
                                 const struct publisher_events *events, void *ctx)
{
    struct publisher *publisher = mem_new(struct publisher);
    publisher->settings = settings;
    publisher->events = events;
    publisher->ctx = ctx;
    publisher->client = hpfeeds_client_new(settings->ident, settings->secret, settings->frame_max);
    publisher->conn = net_conn_open(loop,
                                    &(struct net_conn_target){
                                        .host = settings->host,
                                        .port = settings->port,
                                        .tls = settings->tls,
                                        .deadline = settings->connect_deadline,
                                    },
                                    &publisher_conn_events, publisher);
    return publisher;
}

void publisher_close(struct publisher *publisher)
{
    if (!publisher)
        return;
    net_conn_close(publisher->conn);
    publisher->conn = NULL;
    publisher->closed = true;
    if (!publisher->busy)
        publisher_free(publisher);
}

static void publisher_mail_sent(void *ctx, void *token)
{
    struct publisher *publisher = ctx;
    struct sink_mail *mail = token;
    mail->sent = true;
    publisher->events->sent(publisher->ctx, mail);
}

static void publisher_put_prefix(struct publisher *publisher, const char *channel, size_t len)
{
    const char *ident = publisher->settings->ident;
    struct buf prefix = {0};
    size_t size = hpfeeds_publish_prefix(ident, channel);

    buf_reserve_exact(&prefix, size);
    hpfeeds_put_publish_prefix(prefix.data, ident, channel, len);
    net_conn_write(publisher->conn, prefix.data, size);
    buf_release(&prefix);
}

void publisher_publish(struct publisher *publisher, struct sink_mail *mail)
{
    const struct publisher_settings *settings = publisher->settings;
    struct block *block = mail->block;
    size_t last = settings->channel_count - 1;

    mail->block = NULL;
    mail->written = true;
    for (size_t i = 0; i <= last; i++) {
        /* The first channel's prefix is already there, right in front of the payload. */
        size_t from = settings->headroom;
        if (i == 0)
            from -= hpfeeds_publish_prefix(settings->ident, settings->channels[0]);
        else
            publisher_put_prefix(publisher, settings->channels[i], mail->payload_len);
        net_conn_write_block(publisher->conn, i == last ? block : block_ref(block), from,
                             i == last ? publisher_mail_sent : NULL, mail);
    }
}

void publisher_subscribe(struct publisher *publisher, const char *channel)
{
    struct buf frame = {0};
    hpfeeds_add_subscribe(&frame, publisher->settings->ident, channel);
    net_conn_write(publisher->conn, frame.data, frame.len);
    buf_release(&frame);
}

void publisher_say(struct publisher *publisher, const char *channel, const void *data, size_t len)
{
    struct buf frame = {0};
    hpfeeds_add_publish(&frame, publisher->settings->ident, channel, data, len);
    net_conn_write(publisher->conn, frame.data, frame.len);
    buf_release(&frame);
}

void publisher_end(struct publisher *publisher)
{
    net_conn_end(publisher->conn);
}

size_t publisher_unacknowledged(const struct publisher *publisher)
{
    return net_conn_unacknowledged(publisher->conn);
}

uint64_t publisher_written(const struct publisher *publisher)
{
    return net_conn_kernel_written(publisher->conn);
}

uint64_t publisher_acknowledged(const struct publisher *publisher)
{
    uint64_t written = net_conn_kernel_written(publisher->conn);
    size_t unacked = net_conn_kernel_unacked(publisher->conn);
    return unacked < written ? written - unacked : 0;
}
