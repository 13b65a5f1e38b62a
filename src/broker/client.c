#include "broker/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/block.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/text.h"
#include "broker/accounts.h"
#include "hpfeeds/server.h"
#include "net/conn.h"
#include "net/loop.h"

enum {
    /* As the usual broker's: there are clients that take a nonce of any other length for noise. */
    CLIENT_NONCE = 4,
    CLIENT_AUTH_MS = 30000,   /* for a stranger to authenticate */
    CLIENT_LINGER_MS = 60000, /* for what is queued to be read once one side has ended */
    CLIENT_SMALL = 2048,
};

static const char client_private_prefix[] = "confirm.";

/* OPEN -> ENDING: the client ended its side, was refused, or the broker goes. It is deaf and in no
 *         channel; what is queued is sent, then our side ends.
 * OPEN -> FINISHED: it was cut off. Nothing more is queued for it; frames of its own are still
 *         routed, so that its connection never ends cleanly with frames thrown away.
 * ENDING -> FINISHED: both sides have ended.
 * Only the reaper closes what is finished: somebody may be walking over a channel's members. */
enum client_state {
    CLIENT_OPEN,
    CLIENT_ENDING,
    CLIENT_FINISHED,
};

struct broker_client {
    struct broker_hub *hub;
    struct broker_client *next, *previous;
    struct net_conn *conn;
    struct hpfeeds_server *session;
    const struct broker_account *account; /* NULL before AUTH */
    enum client_state state;
    bool deaf;       /* nothing it sends is looked at any more */
    bool published;  /* it has sent a PUBLISH */
    bool peer_ended; /* it has ended its side */

    const uint8_t *input; /* what was read, during its callback */
    size_t input_len;

    struct broker_channel **joined;
    size_t joined_count;

    /* Frames for one channel that lie behind one another in what was read, not forwarded yet.
     * Empty between callbacks. */
    const uint8_t *run;
    size_t run_len;
    struct broker_channel *run_channel;
};

/* "writer at 127.0.0.1:4711", for logs. */
static const char *client_name(const struct broker_client *client, char *out, size_t cap)
{
    const char *ident = hpfeeds_server_ident(client->session);
    char safe[160] = "somebody";
    if (ident)
        text_escape_utf8(safe, sizeof safe, ident, strlen(ident));
    snprintf(out, cap, "%s at %s", safe, net_conn_peer(client->conn));
    return out;
}

static void client_send_output(struct broker_client *client)
{
    struct buf *output = hpfeeds_server_output(client->session);
    if (output->len)
        net_conn_write(client->conn, output->data, output->len);
    buf_clear(output);
}

static void client_leave_all(struct broker_client *client)
{
    for (size_t i = 0; i < client->joined_count; i++)
        broker_channels_leave(&client->hub->channels, client->joined[i], client);
    client->joined_count = 0;
}

static void client_finish(struct broker_client *client)
{
    client->state = CLIENT_FINISHED;
    net_deferred_schedule(client->hub->reaper);
}

/* Nobody waits for one who does not read: its queue is bounded, and when it is full it goes. */
static void client_send_block(struct broker_client *client, struct block *block)
{
    if (client->state != CLIENT_OPEN)
        return;
    size_t queued = net_conn_queued(client->conn);
    if (!queued || queued + block->len <= client->hub->settings.queue_max) {
        /* What is small is copied together: a block and its place in the queue would take many
         * times its size. */
        if (block->len < CLIENT_SMALL)
            net_conn_write(client->conn, block->data, block->len);
        else
            net_conn_write_block(client->conn, block_ref(block), 0, NULL, NULL);
        return;
    }
    char name[240], size[24];
    log_warning(NULL, "%s: cut off: it does not read, %s are queued",
                client_name(client, name, sizeof name),
                num_format_bytes(size, sizeof size, queued));
    client_finish(client);
}

/* Hands the frames of this read to the channel's subscribers, as one block for all of them. */
static void client_forward(struct broker_client *client)
{
    if (!client->run_len)
        return;
    struct broker_channel *channel = client->run_channel;
    struct block *block = block_new(client->run, client->run_len);
    for (size_t i = 0; i < channel->count; i++)
        client_send_block(channel->members[i], block);
    block_unref(block);
    client->run = NULL;
    client->run_len = 0;
    client->run_channel = NULL;
}

/* Sends what is queued, then ends our side; lets the client read it and end its own. Closing at
 * once would have the kernel reset the connection, and with it what the client did not read. */
static void client_end(struct broker_client *client)
{
    client_leave_all(client);
    client->state = CLIENT_ENDING;
    client->deaf = true;
    client_send_output(client);
    net_conn_end(client->conn);
    net_conn_set_deadline(client->conn, CLIENT_LINGER_MS, "the end of the connection");
}

static void client_refuse(struct broker_client *client, const char *category, const char *text)
{
    char name[240], safe[400];
    log_warning(NULL, "%s: refused: %s: %s", client_name(client, name, sizeof name), category,
                text_escape_utf8(safe, sizeof safe, text, strlen(text)));
    client_forward(client);
    client->deaf = true;
    if (client->state != CLIENT_OPEN)
        return;
    hpfeeds_add_error(hpfeeds_server_output(client->session), text);
    client_end(client);
}

static void client_handle_auth(struct broker_client *client, const struct hpfeeds_frame *frame)
{
    const struct broker_account *account =
        broker_accounts_find(client->hub->settings.accounts, frame->ident, frame->ident_len);
    if (!hpfeeds_server_check(client->session, frame, account ? account->secret : NULL)) {
        char text[300];
        snprintf(text, sizeof text, "Authentication failed for %.*s", (int)frame->ident_len,
                 frame->ident);
        client_refuse(client, account ? "invalid-secret" : "invalid-ident", text);
        return;
    }
    client->account = account;
    net_conn_set_deadline(client->conn, 0, NULL);
    char name[240];
    log_debug(NULL, "%s: authenticated", client_name(client, name, sizeof name));
}

/* Is it confirm.<identity>, the client's own? */
static bool client_owns(const struct broker_client *client, const char *channel, size_t len)
{
    if (!client->hub->settings.private_channels)
        return false;
    const char *ident = hpfeeds_server_ident(client->session);
    size_t prefix = sizeof client_private_prefix - 1, ident_len = strlen(ident);
    return len == prefix + ident_len && !memcmp(channel, client_private_prefix, prefix) &&
           !memcmp(channel + prefix, ident, ident_len);
}

static bool client_is(const struct broker_client *client, const struct hpfeeds_frame *frame)
{
    const char *ident = hpfeeds_server_ident(client->session);
    return strlen(ident) == frame->ident_len && !memcmp(ident, frame->ident, frame->ident_len);
}

/* Puts a frame behind the run if it lies there, else begins another. */
static void client_route(struct broker_client *client, struct broker_channel *channel,
                         const struct hpfeeds_frame *frame)
{
    if (channel != client->run_channel || frame->whole != client->run + client->run_len) {
        client_forward(client);
        client->run = frame->whole;
        client->run_channel = channel;
    }
    client->run_len += frame->whole_len;
    /* A frame that came in pieces is the decoder's, and there for now only. What was read stays
     * where it is until all of it is worked off. */
    uintptr_t input = (uintptr_t)client->input, whole = (uintptr_t)frame->whole;
    if (whole < input || whole >= input + client->input_len)
        client_forward(client);
}

static void client_handle_publish(struct broker_client *client, const struct hpfeeds_frame *frame)
{
    char text[600];
    client->published = true;
    if (!client_is(client, frame)) {
        snprintf(text, sizeof text, "Invalid authkey in message, ident=%.*s", (int)frame->ident_len,
                 frame->ident);
        client_refuse(client, "ident-mismatch-pub", text);
        return;
    }
    if (!broker_account_may_publish(client->account, frame->channel, frame->channel_len) &&
        !client_owns(client, frame->channel, frame->channel_len)) {
        snprintf(text, sizeof text, "Authkey not allowed to pub here. ident=%.*s, chan=%.*s",
                 (int)frame->ident_len, frame->ident, (int)frame->channel_len, frame->channel);
        client_refuse(client, "no-pub-permission", text);
        return;
    }
    struct broker_channel *channel =
        broker_channels_find(&client->hub->channels, frame->channel, frame->channel_len);
    if (channel)
        client_route(client, channel, frame);
}

static size_t client_find_joined(const struct broker_client *client, const char *name, size_t len)
{
    size_t i = 0;
    while (i < client->joined_count &&
           (client->joined[i]->len != len || memcmp(client->joined[i]->name, name, len) != 0))
        i++;
    return i;
}

/* The frame's ident is not compared, as the usual broker does not. */
static void client_handle_subscribe(struct broker_client *client, const struct hpfeeds_frame *frame)
{
    if (!broker_account_may_subscribe(client->account, frame->channel, frame->channel_len) &&
        !client_owns(client, frame->channel, frame->channel_len)) {
        char text[600];
        snprintf(text, sizeof text, "Authkey not allowed to sub here. ident=%s, chan=%.*s",
                 hpfeeds_server_ident(client->session), (int)frame->channel_len, frame->channel);
        client_refuse(client, "no-sub-permission", text);
        return;
    }
    if (client_find_joined(client, frame->channel, frame->channel_len) < client->joined_count)
        return;
    client->joined = mem_realloc_array(client->joined, client->joined_count + 1,
                                       sizeof(struct broker_channel *));
    client->joined[client->joined_count++] =
        broker_channels_join(&client->hub->channels, frame->channel, frame->channel_len, client);
}

static void client_handle_unsubscribe(struct broker_client *client,
                                      const struct hpfeeds_frame *frame)
{
    size_t i = client_find_joined(client, frame->channel, frame->channel_len);
    if (i == client->joined_count)
        return;
    broker_channels_leave(&client->hub->channels, client->joined[i], client);
    client->joined[i] = client->joined[--client->joined_count];
}

static void client_handle(struct broker_client *client, const struct hpfeeds_server_event *event)
{
    /* What was published before a change of subscriptions is not for whom it brings. */
    if (event->type != HPFEEDS_SERVER_PUBLISH)
        client_forward(client);
    switch (event->type) {
    case HPFEEDS_SERVER_AUTH:
        client_handle_auth(client, &event->frame);
        break;
    case HPFEEDS_SERVER_PUBLISH:
        client_handle_publish(client, &event->frame);
        break;
    case HPFEEDS_SERVER_SUBSCRIBE:
        client_handle_subscribe(client, &event->frame);
        break;
    case HPFEEDS_SERVER_UNSUBSCRIBE:
        client_handle_unsubscribe(client, &event->frame);
        break;
    }
}

static size_t client_on_data(void *ctx, const uint8_t *data, size_t len)
{
    struct broker_client *client = ctx;
    if (client->deaf)
        return len;

    struct hpfeeds_server_event event;
    struct err err;
    int got = 0;
    client->input = data;
    client->input_len = len;
    hpfeeds_server_feed(client->session, data, len);
    while (!client->deaf && (got = hpfeeds_server_next(client->session, &event, &err)) > 0)
        client_handle(client, &event);

    client_forward(client);
    client->input = NULL;
    client->input_len = 0;
    if (got < 0)
        client_refuse(client, client->account ? "invalid-message" : "invalid-first-message",
                      err.text);
    return len;
}

static void client_check_over(struct broker_client *client)
{
    if (client->state == CLIENT_ENDING && client->peer_ended && !net_conn_queued(client->conn))
        client_finish(client);
}

static void client_on_ended(void *ctx)
{
    struct broker_client *client = ctx;
    client->peer_ended = true;
    if (client->state == CLIENT_OPEN)
        client_end(client);
    client_check_over(client);
}

static void client_on_drained(void *ctx)
{
    client_check_over(ctx);
}

static void client_on_failed(void *ctx, const struct err *err)
{
    struct broker_client *client = ctx;
    char name[240];
    log_debug(NULL, "%s: %s", client_name(client, name, sizeof name), err->text);
    broker_client_free(client);
}

static void client_on_ready(void *ctx)
{
    (void)ctx; /* an accepted connection is ready before it has an owner */
}

static const struct net_conn_events client_events = {
    .ready = client_on_ready,
    .data = client_on_data,
    .drained = client_on_drained,
    .ended = client_on_ended,
    .failed = client_on_failed,
};

void broker_client_new(struct broker_hub *hub, struct net_conn *conn)
{
    struct broker_client *client = mem_new(struct broker_client);
    uint8_t nonce[CLIENT_NONCE];
    random_bytes(nonce, sizeof nonce);
    client->hub = hub;
    client->conn = conn;
    client->session =
        hpfeeds_server_new(hub->settings.name, nonce, sizeof nonce, hub->settings.max_frame);
    client->next = hub->clients;
    if (client->next)
        client->next->previous = client;
    hub->clients = client;

    net_conn_set_events(conn, &client_events, client);
    net_conn_set_deadline(conn, CLIENT_AUTH_MS, "AUTH");
    client_send_output(client);
}

struct broker_client *broker_client_next(const struct broker_client *client)
{
    return client->next;
}

void broker_client_reap(struct broker_hub *hub)
{
    for (struct broker_client *client = hub->clients, *next; client; client = next) {
        next = client->next;
        if (client->state == CLIENT_FINISHED)
            broker_client_free(client);
    }
}

void broker_client_dismiss(struct broker_client *client)
{
    if (client->state != CLIENT_OPEN)
        return;
    /* Frames may be under way. A clean end would say that they were taken: an ERROR before it
     * says that they were not. One who only listens is spared it. */
    if (client->published || !client->joined_count)
        hpfeeds_add_error(hpfeeds_server_output(client->session), "Broker is shutting down");
    client_end(client);
}

void broker_client_free(struct broker_client *client)
{
    char name[240];
    if (log_enabled(LOG_LEVEL_DEBUG))
        log_debug(NULL, "%s: gone", client_name(client, name, sizeof name));
    client_leave_all(client);
    if (client->next)
        client->next->previous = client->previous;
    if (client->previous)
        client->previous->next = client->next;
    else
        client->hub->clients = client->next;
    net_deferred_schedule(client->hub->reaper);

    net_conn_close(client->conn);
    hpfeeds_server_free(client->session);
    free(client->joined);
    free(client);
}
