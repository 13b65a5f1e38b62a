#include "broker/broker.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "broker/account.h"
#include "broker/client.h"
#include "broker/store.h"
#include "net/conn.h"
#include "net/loop.h"
#include "net/tls.h"

struct broker {
    struct net_loop *loop;
    struct broker_hub hub;
    char *name;
    struct net_listener **listeners;
    size_t listener_count;

    struct net_timer *grace; /* runs while the broker ends */
    void (*ended)(void *ctx);
    void *ended_ctx;
};

void broker_settings_init(struct broker_settings *settings)
{
    *settings = (struct broker_settings){
        .name = "hpfeeds",
        .max_frame = 10 << 20,
        .queue_max = 64 << 20,
        .memory_max = (size_t)1 << 30,
        .auth_deadline = 30000,
        .strangers_max = 500,
        .private_channels = true,
        .settle_after = 300000,
        .settle_bytes = 8 << 20,
    };
}

/* Tells whoever asked for the end, once. */
static void broker_tell_ended(struct broker *broker)
{
    void (*ended)(void *ctx) = broker->ended;
    broker->ended = NULL;
    if (ended)
        ended(broker->ended_ctx);
}

static void broker_on_reap(void *ctx)
{
    struct broker *broker = ctx;
    broker_client_reap(&broker->hub);
    if (!broker->hub.clients)
        broker_tell_ended(broker);
}

static void broker_on_grace(void *ctx)
{
    broker_tell_ended(ctx);
}

static void broker_on_acknowledged(void *ctx)
{
    struct broker *broker = ctx;
    broker_reading_check(&broker->hub);
}

static void broker_on_durable(void *ctx)
{
    struct broker *broker = ctx;
    broker_client_store_durable(&broker->hub);
}

static void broker_on_store_failed(void *ctx, uint64_t from, const struct err *err)
{
    struct broker *broker = ctx;
    broker_client_store_failed(&broker->hub, from, err);
}

/* Every queue hangs on its channel, whoever comes and goes. */
static void broker_use_store(struct broker *broker, struct broker_store *store)
{
    static const struct broker_store_events events = {
        .durable = broker_on_durable,
        .failed = broker_on_store_failed,
    };
    broker_store_set_events(store, &events, broker);
    for (size_t i = 0; i < broker_store_count(store); i++) {
        struct broker_queue *queue = broker_store_queue(store, i);
        const char *channel = broker_queue_channel(queue);
        broker_channels_add_queue(&broker->hub.channels, channel, strlen(channel), queue);
    }
}

struct broker *broker_new(struct net_loop *loop, const struct broker_settings *settings)
{
    struct broker *broker = mem_new(struct broker);
    broker->loop = loop;
    broker->name = mem_strdup(settings->name);
    broker->hub.loop = loop;
    broker->hub.settings = *settings;
    broker->hub.settings.name = broker->name;
    broker->hub.reaper = net_deferred_new(loop, broker_on_reap, broker);
    broker->hub.acknowledged = net_timer_new(loop, broker_on_acknowledged, broker);
    broker->grace = net_timer_new(loop, broker_on_grace, broker);
    if (settings->store)
        broker_use_store(broker, settings->store);
    return broker;
}

static bool broker_on_admit(void *ctx, const char *network)
{
    struct broker *broker = ctx;
    return broker_hub_admit(&broker->hub, network);
}

static void broker_on_dropped(void *ctx, const char *network)
{
    struct broker *broker = ctx;
    broker_hub_leave(&broker->hub, network, true, true);
}

static void broker_on_accepted(void *ctx, struct net_conn *conn)
{
    struct broker *broker = ctx;
    broker_client_new(&broker->hub, conn);
}

int broker_listen(struct broker *broker, const struct net_listen_target *target,
                  struct net_tls *tls, struct net_listener **ret_listener, struct err *err)
{
    static const struct net_listener_events events = {
        .accepted = broker_on_accepted,
        .admit = broker_on_admit,
        .dropped = broker_on_dropped,
    };
    struct net_listener *listener;
    struct net_listen_target patient = *target;
    patient.handshake = broker->hub.settings.auth_deadline;
    if (net_listener_open(broker->loop, &patient, tls, &events, broker, &listener, err))
        return -1;
    broker->listeners = mem_realloc_array(broker->listeners, broker->listener_count + 1,
                                          sizeof(struct net_listener *));
    broker->listeners[broker->listener_count++] = listener;
    if (ret_listener)
        *ret_listener = listener;
    return 0;
}

/* The gauges are what is there now. */
static void broker_measure(struct broker *broker)
{
    struct broker_map *idents = &broker->hub.metrics.idents;
    for (size_t i = 0; i < idents->count; i++) {
        struct broker_ident_counts *counts = idents->entries[i].value;
        counts->queued = counts->held = counts->connected = 0;
    }
    for (struct broker_client *at = broker->hub.clients; at; at = broker_client_next(at))
        broker_client_measure(at);
}

/* How many connections there are of an identity and its owner. */
static void broker_render_owners(struct broker *broker, struct buf *out)
{
    static const char name[] = "client_authenticated_connections";
    struct broker_map owners = {0};
    broker_metrics_head(out, name, "gauge", "Authenticated connections");
    for (struct broker_client *at = broker->hub.clients; at; at = broker_client_next(at)) {
        const char *ident;
        const struct broker_account *account = broker_client_account(at, &ident);
        if (!account)
            continue;
        struct buf key = {0};
        buf_add(&key, ident, strlen(ident) + 1);
        buf_add_str(&key, account->owner);
        uint64_t *count = broker_map_get(&owners, (const char *)key.data, key.len);
        if (!count) {
            count = mem_new(uint64_t);
            broker_map_add(&owners, (const char *)key.data, key.len, count);
        }
        ++*count;
        buf_release(&key);
    }
    for (size_t i = 0; i < owners.count; i++) {
        const char *ident = owners.entries[i].key, *owner = ident + strlen(ident) + 1;
        broker_metrics_value(
            out, name, (struct broker_label){.name = "ident", .value = ident, .len = strlen(ident)},
            (struct broker_label){.name = "owner", .value = owner, .len = strlen(owner)},
            *(uint64_t *)owners.entries[i].value);
        free(owners.entries[i].value);
    }
    broker_map_release(&owners);
}

static void broker_render_durable(const struct broker_store *store, struct buf *out)
{
    static const struct {
        const char *name, *type, *help;
        uint64_t (*get)(const struct broker_queue *queue);
    } families[] = {
        {"broker_durable_messages", "gauge", "Number of messages kept for a durable subscription",
         broker_queue_frames},
        {"broker_durable_bytes", "gauge", "Number of bytes kept for a durable subscription",
         broker_queue_bytes},
        {"broker_durable_dropped_total", "counter",
         "Number of messages of a durable subscription dropped to make room", broker_queue_dropped},
    };
    for (size_t f = 0; f < sizeof families / sizeof *families; f++) {
        broker_metrics_head(out, families[f].name, families[f].type, families[f].help);
        for (size_t i = 0; i < broker_store_count(store); i++) {
            struct broker_queue *queue = broker_store_queue(store, i);
            const char *channel = broker_queue_channel(queue), *ident = broker_queue_ident(queue);
            broker_metrics_value(
                out, families[f].name,
                (struct broker_label){.name = "chan", .value = channel, .len = strlen(channel)},
                (struct broker_label){.name = "ident", .value = ident, .len = strlen(ident)},
                families[f].get(queue));
        }
    }
}

void broker_render_metrics(struct broker *broker, struct buf *out)
{
    static const struct broker_label none = {0};
    broker_measure(broker);
    broker_metrics_render(&broker->hub.metrics, out);
    broker_render_owners(broker, out);
    broker_metrics_head(out, "broker_queued_bytes", "gauge",
                        "Number of bytes of messages that are queued, each counted once");
    broker_metrics_value(out, "broker_queued_bytes", none, none, broker->hub.held);
    if (broker->hub.settings.store)
        broker_render_durable(broker->hub.settings.store, out);
}

static void broker_stop_listening(struct broker *broker)
{
    for (size_t i = 0; i < broker->listener_count; i++)
        net_listener_free(broker->listeners[i]);
    broker->listener_count = 0;
}

void broker_end(struct broker *broker, msec_t grace, void (*ended)(void *ctx), void *ctx)
{
    broker->ended = ended;
    broker->ended_ctx = ctx;
    broker_stop_listening(broker);
    for (struct broker_client *at = broker->hub.clients; at; at = broker_client_next(at))
        broker_client_dismiss(at);
    net_timer_start(broker->grace, grace);
    net_deferred_schedule(broker->hub.reaper);
}

void broker_free(struct broker *broker)
{
    if (!broker)
        return;
    broker_stop_listening(broker);
    free(broker->listeners);
    while (broker->hub.clients)
        broker_client_free(broker->hub.clients);
    if (broker->hub.settings.store)
        broker_store_set_events(broker->hub.settings.store, NULL, NULL);
    broker_hub_release(&broker->hub);
    net_timer_free(broker->grace);
    net_timer_free(broker->hub.acknowledged);
    net_deferred_free(broker->hub.reaper);
    free(broker->name);
    free(broker);
}
