/* What a client subscribes to, and what it is sent from memory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "broker/client_impl.h"

enum {
    /* What the connection has queued; the rest waits here, where it can still be dropped. */
    SUBSCRIBE_WINDOW = 256 << 10,
};

static size_t client_find_joined(const struct broker_client *client, const char *name, size_t len)
{
    size_t i = 0;
    while (i < client->joined_count &&
           (client->joined[i]->len != len || memcmp(client->joined[i]->name, name, len) != 0))
        i++;
    return i;
}

static struct broker_channel_counts *client_channel_counts(struct broker_client *client,
                                                           const char *name, size_t len)
{
    struct broker_channel_counts *counts =
        broker_metrics_channel(&client->hub->metrics, client->counts->ident, name, len);
    counts->has_subscribed = true;
    return counts;
}

/* The frame's ident is not compared, as the usual broker does not. */
void client_handle_subscribe(struct broker_client *client, const struct hpfeeds_frame *frame)
{
    const char *name = frame->channel;
    size_t len = frame->channel_len;
    if (!broker_account_may_subscribe(client->account, name, len) &&
        !client_owns(client, name, len)) {
        char text[600];
        snprintf(text, sizeof text, "Authkey not allowed to sub here. ident=%s, chan=%.*s",
                 hpfeeds_server_ident(client->session), (int)len, name);
        client_refuse(client, "no-sub-permission", frame->ident, frame->ident_len, text);
        return;
    }
    if (client_find_joined(client, name, len) < client->joined_count)
        return;
    if (client_read_durable(client, name, len))
        return;
    client->joined = mem_realloc_array(client->joined, client->joined_count + 1,
                                       sizeof(struct broker_channel *));
    client->joined[client->joined_count++] =
        broker_channels_join(&client->hub->channels, name, len, client);
    client_channel_counts(client, name, len)->subscriptions++;
}

static void client_leave(struct broker_client *client, size_t i)
{
    struct broker_channel *channel = client->joined[i];
    client_channel_counts(client, channel->name, channel->len)->subscriptions--;
    client->joined[i] = client->joined[--client->joined_count];
    broker_channels_leave(&client->hub->channels, channel, client);
}

bool client_leave_channel(struct broker_client *client, const char *name, size_t len)
{
    size_t i = client_find_joined(client, name, len);
    if (i == client->joined_count)
        return false;
    client_leave(client, i);
    return true;
}

void client_handle_unsubscribe(struct broker_client *client, const struct hpfeeds_frame *frame)
{
    if (!client_leave_channel(client, frame->channel, frame->channel_len))
        client_stop_durable(client, frame->channel, frame->channel_len);
}

void client_leave_all(struct broker_client *client)
{
    while (client->joined_count)
        client_leave(client, client->joined_count - 1);
}

static void client_write(struct broker_client *client, struct block *moved)
{
    /* What is small is copied together there, too. */
    if (moved->len < BROKER_BACKLOG_SMALL) {
        net_conn_write(client->conn, moved->data, moved->len);
        block_unref(moved);
    } else {
        net_conn_write_block(client->conn, moved, 0, NULL, NULL);
    }
}

void client_pump(struct broker_client *client)
{
    struct block *block;
    unsigned count;
    while (client->backlog.bytes && net_conn_queued(client->conn) < SUBSCRIBE_WINDOW &&
           (block = broker_backlog_take(&client->backlog, &count)))
        client_write(client, block);
    if (!client->backlog.bytes)
        client->dropping = false;
}

static size_t client_queued(const struct broker_client *client)
{
    return client->backlog.bytes + net_conn_queued(client->conn);
}

static void client_cut_off(struct broker_client *client, const char *why)
{
    char name[240], size[24];
    client->counts->cut_off++;
    log_warning(NULL, "%s: cut off: %s, %s are queued", client_name(client, name, sizeof name), why,
                num_format_bytes(size, sizeof size, client_queued(client)));
    client_finish(client);
}

/* Drops the oldest until `wanted` bytes more are within `most`; what the connection has queued
 * stays, a frame of it may be half sent. */
static void client_drop_oldest(struct broker_client *client, size_t wanted, size_t most)
{
    char name[240];
    struct block *block;
    unsigned count;
    if (!client->dropping)
        log_warning(NULL, "%s: does not read: the oldest messages for it are dropped",
                    client_name(client, name, sizeof name));
    client->dropping = true;
    while (client_queued(client) + wanted > most &&
           (block = broker_backlog_take(&client->backlog, &count))) {
        client->counts->dropped += count;
        block_unref(block);
    }
}

void client_send_run(struct broker_client *client, struct broker_run *run)
{
    size_t len = run->block->len, most = client->hub->settings.queue_max;
    if (client->state != CLIENT_OPEN)
        return;
    size_t queued = client_queued(client);
    if (queued && queued + len > most) {
        if (!client->hub->settings.drop_oldest) {
            client_cut_off(client, "it does not read");
            return;
        }
        client_drop_oldest(client, len, most);
    }
    client->counts->filled += run->payload_len;
    if (!client->backlog.bytes && net_conn_queued(client->conn) < SUBSCRIBE_WINDOW)
        client_write(client, block_ref(run->block));
    else
        broker_backlog_add(&client->backlog, run);
}

static struct broker_client *client_find_largest(const struct broker_hub *hub)
{
    struct broker_client *largest = NULL;
    size_t most = 0;
    for (struct broker_client *at = hub->clients; at; at = broker_client_next(at)) {
        size_t held = at->backlog.bytes + at->held;
        if (at->state != CLIENT_FINISHED && held > most) {
            most = held;
            largest = at;
        }
    }
    return largest;
}

static void client_give_way(struct broker_client *client)
{
    if (client->backlog.bytes < client->held)
        client_refuse(client, "out-of-memory", client->counts->ident, strlen(client->counts->ident),
                      "The broker has no memory for so large a frame now");
    else if (client->hub->settings.drop_oldest)
        client_drop_oldest(client, 0, client_queued(client) - (client->backlog.bytes + 1) / 2);
    else
        client_cut_off(client, "it reads less than others, and memory is short");
    if (client->state == CLIENT_FINISHED)
        broker_backlog_release(&client->backlog);
}

void client_enforce_memory(struct broker_hub *hub)
{
    while (hub->held > hub->settings.memory_max) {
        struct broker_client *largest = client_find_largest(hub);
        if (!largest)
            return;
        client_give_way(largest);
    }
}

void client_count_drained(struct broker_client *client)
{
    uint64_t written = net_conn_kernel_written(client->conn);
    if (client->counts)
        client->counts->drained += written - client->drained;
    client->drained = written;
}
