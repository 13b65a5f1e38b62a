#include "broker/broker.h"

#include <stdlib.h>

#include "base/mem.h"
#include "broker/channels.h"
#include "broker/client.h"
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

struct broker *broker_new(struct net_loop *loop, const struct broker_settings *settings)
{
    struct broker *broker = mem_new(struct broker);
    broker->loop = loop;
    broker->name = mem_strdup(settings->name);
    broker->hub.settings = *settings;
    broker->hub.settings.name = broker->name;
    broker->hub.reaper = net_deferred_new(loop, broker_on_reap, broker);
    broker->grace = net_timer_new(loop, broker_on_grace, broker);
    return broker;
}

static void broker_on_accepted(void *ctx, struct net_conn *conn)
{
    struct broker *broker = ctx;
    broker_client_new(&broker->hub, conn);
}

int broker_listen(struct broker *broker, const char *host, uint16_t port, struct net_tls *tls,
                  uint16_t *ret_port, struct err *err)
{
    static const struct net_listener_events events = {.accepted = broker_on_accepted};
    struct net_listener *listener;
    if (net_listener_new(broker->loop, host, port, tls, &events, broker, &listener, err))
        return -1;
    broker->listeners = mem_realloc_array(broker->listeners, broker->listener_count + 1,
                                          sizeof(struct net_listener *));
    broker->listeners[broker->listener_count++] = listener;
    if (ret_port)
        *ret_port = net_listener_port(listener);
    return 0;
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
    broker_channels_release(&broker->hub.channels);
    net_timer_free(broker->grace);
    net_deferred_free(broker->hub.reaper);
    free(broker->name);
    free(broker);
}
