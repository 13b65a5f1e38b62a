/* What a client publishes: judged, counted, gathered, kept on disk, forwarded. */
#include <stdio.h>
#include <string.h>

#include "broker/client_impl.h"

enum {
    /* Whoever publishes more than the disk takes is read no further for a while. */
    PUBLISH_PENDING_MAX = 16 << 20,
};

static bool client_is(const struct broker_client *client, const struct hpfeeds_frame *frame)
{
    const char *ident = hpfeeds_server_ident(client->session);
    return strlen(ident) == frame->ident_len && !memcmp(ident, frame->ident, frame->ident_len);
}

static bool client_has_echo(const struct broker_client *client,
                            const struct broker_channel *channel)
{
    const char *ident = hpfeeds_server_ident(client->session);
    for (size_t i = 0; i < channel->count; i++)
        if (!strcmp(hpfeeds_server_ident(channel->members[i]->session), ident))
            return true;
    return false;
}

/* False: the client may not publish there. */
static bool client_find_route(struct broker_client *client, const char *name, size_t len)
{
    struct client_route *route = &client->route;
    struct broker_hub *hub = client->hub;
    bool same = route->len == len && !memcmp(route->name, name, len);
    if (same && route->version == hub->channels.version)
        return true;
    if (!same) {
        if (!broker_account_may_publish(client->account, name, len) &&
            !client_owns(client, name, len))
            return false;
        memcpy(route->name, name, len);
        route->len = len;
        route->counts = broker_metrics_channel(&hub->metrics, client->counts->ident, name, len);
    }
    route->version = hub->channels.version;
    route->channel = broker_channels_find(&hub->channels, name, len);
    route->echoed = route->channel && client_has_echo(client, route->channel);
    return true;
}

static bool client_has_room(const struct broker_channel *channel, size_t len)
{
    bool room = true;
    for (size_t i = 0; i < channel->queue_count; i++)
        room = broker_queue_has_room(channel->queues[i], len) && room;
    return room;
}

static void client_store(struct broker_client *client, const struct broker_channel *channel,
                         const struct broker_run *run)
{
    if (!channel->queue_count)
        return;
    for (size_t i = 0; i < channel->queue_count; i++)
        broker_queue_append(channel->queues[i], run->block, run->count);
    client->ticket = broker_store_ticket(client->hub->settings.store);
}

static void client_deliver(const struct broker_channel *channel, struct broker_run *run)
{
    for (size_t i = 0; i < channel->count; i++)
        client_send_run(channel->members[i], run);
}

static void client_refuse_full(struct broker_client *client, const struct broker_channel *channel)
{
    char text[400];
    snprintf(text, sizeof text, "A durable subscription is full, " HPFEEDS_TRY_LATER ". chan=%.*s",
             (int)channel->len, channel->name);
    client_refuse(client, "durable-full", client->counts->ident, strlen(client->counts->ident),
                  text);
}

/* Takes the run: a refusal on the way finds none. */
static struct broker_run *client_take_run(struct broker_client *client)
{
    struct broker_run *run = broker_run_new(client->run, client->run_len, client->run_count,
                                            client->run_payload, &client->hub->held);
    client->run = NULL;
    client->run_len = client->run_payload = client->run_count = 0;
    client->run_channel = NULL;
    return run;
}

void client_forward(struct broker_client *client)
{
    if (!client->run_len)
        return;
    struct broker_channel *channel = client->run_channel;
    struct broker_run *run = client_take_run(client);
    if (channel->queue_count && !client_has_room(channel, run->block->len)) {
        client_refuse_full(client, channel);
    } else {
        client_store(client, channel, run);
        client_deliver(channel, run);
    }
    broker_run_unref(run);
    client_enforce_memory(client->hub);
}

/* Puts a frame behind the run if it lies there, else begins another. */
static void client_gather(struct broker_client *client, struct broker_channel *channel,
                          const struct hpfeeds_frame *frame)
{
    if (channel != client->run_channel || frame->whole != client->run + client->run_len) {
        client_forward(client);
        if (client->deaf) /* it was refused, and so is what stands behind it */
            return;
        client->run = frame->whole;
        client->run_channel = channel;
    }
    client->run_len += frame->whole_len;
    client->run_payload += frame->payload_len;
    client->run_count++;
    /* A frame that came in pieces is the decoder's, and there for now only. What was read stays
     * where it is until all of it is worked off. */
    uintptr_t input = (uintptr_t)client->input, whole = (uintptr_t)frame->whole;
    if (whole < input || whole >= input + client->input_len)
        client_forward(client);
}

bool client_is_durable(const struct broker_client *client)
{
    const struct broker_store *store = client->hub->settings.store;
    return !store || client->ticket <= broker_store_durable(store);
}

void client_wait(struct broker_client *client)
{
    struct broker_hub *hub = client->hub;
    if (client->wait_at)
        return;
    client->wait_next = hub->waiting;
    client->wait_at = &hub->waiting;
    if (hub->waiting)
        hub->waiting->wait_at = &client->wait_next;
    hub->waiting = client;
}

void client_stop_waiting(struct broker_client *client)
{
    if (!client->wait_at)
        return;
    *client->wait_at = client->wait_next;
    if (client->wait_next)
        client->wait_next->wait_at = client->wait_at;
    client->wait_next = NULL;
    client->wait_at = NULL;
}

/* The identity itself reads this channel: what comes back there confirms all before it, itself
 * included. It comes back when that is on disk, and nothing overtakes it. */
static void client_hold_back(struct broker_client *client, struct broker_channel *channel,
                             const struct hpfeeds_frame *frame)
{
    if (channel->queue_count) {
        if (!client_has_room(channel, frame->whole_len)) {
            client_refuse_full(client, channel);
            return;
        }
        struct broker_run *run = broker_run_new(frame->whole, frame->whole_len, 1,
                                                frame->payload_len, &client->hub->held);
        client_store(client, channel, run);
        broker_run_unref(run);
    }
    buf_add(&client->waiting, frame->whole, frame->whole_len);
    client->waiting_payload = frame->payload_len;
    client_wait(client);
}

static void client_publish_durably(struct broker_client *client, struct broker_channel *channel,
                                   const struct hpfeeds_frame *frame)
{
    if (client->route.echoed) {
        client_forward(client); /* what stands before it gets its ticket */
        if (client->deaf)
            return;
    }
    if (client->route.echoed && (channel->queue_count || !client_is_durable(client)))
        client_hold_back(client, channel, frame);
    else
        client_gather(client, channel, frame);
    if (broker_store_pending(client->hub->settings.store) > PUBLISH_PENDING_MAX &&
        !client_is_durable(client))
        client_wait(client);
}

void client_handle_publish(struct broker_client *client, const struct hpfeeds_frame *frame)
{
    char text[600];
    client->published = true;
    if (!client_is(client, frame)) {
        snprintf(text, sizeof text, "Invalid authkey in message, ident=%.*s", (int)frame->ident_len,
                 frame->ident);
        client_refuse(client, "ident-mismatch-pub", frame->ident, frame->ident_len, text);
        return;
    }
    if (!client_find_route(client, frame->channel, frame->channel_len)) {
        snprintf(text, sizeof text, "Authkey not allowed to pub here. ident=%.*s, chan=%.*s",
                 (int)frame->ident_len, frame->ident, (int)frame->channel_len, frame->channel);
        client_refuse(client, "no-pub-permission", frame->ident, frame->ident_len, text);
        return;
    }
    struct broker_channel *channel = client->route.channel;
    broker_metrics_count_publish(client->route.counts, frame->payload_len);
    if (!channel)
        return;
    if (client->hub->settings.store)
        client_publish_durably(client, channel, frame);
    else
        client_gather(client, channel, frame);
}

/* The channel may have changed, or gone, since the frame came. */
static void client_forward_waiting(struct broker_client *client)
{
    struct buf frame = client->waiting;
    client->waiting = (struct buf){0};
    if (!frame.len)
        return;
    struct broker_channel *channel =
        broker_channels_find(&client->hub->channels, client->route.name, client->route.len);
    if (channel) {
        struct broker_run *run =
            broker_run_new(frame.data, frame.len, 1, client->waiting_payload, &client->hub->held);
        client_deliver(channel, run);
        broker_run_unref(run);
    }
    buf_release(&frame);
}

void broker_client_store_durable(struct broker_hub *hub)
{
    for (struct broker_client *client = hub->waiting, *next; client; client = next) {
        next = client->wait_next;
        if (!client_is_durable(client))
            continue;
        client_stop_waiting(client);
        client_forward_waiting(client);
        if (client->end_waits)
            client_end(client);
        else
            client_go_on(client);
    }
    client_enforce_memory(hub);
}

void broker_client_store_failed(struct broker_hub *hub, uint64_t from, const struct err *err)
{
    (void)err; /* its text is for the operator, who has it in the log */
    for (struct broker_client *client = hub->clients, *next; client; client = next) {
        next = broker_client_next(client);
        if (client->ticket < from || client->state != CLIENT_OPEN)
            continue;
        client_stop_waiting(client);
        buf_release(&client->waiting);
        client_refuse(client, "durable-failed", client->counts->ident,
                      strlen(client->counts->ident),
                      "A message could not be stored, " HPFEEDS_TRY_LATER);
    }
}
