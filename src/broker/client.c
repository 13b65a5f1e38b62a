#include "broker/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/text.h"
#include "broker/client_impl.h"
#include "net/loop.h"

enum {
    /* As the usual broker's: there are clients that take a nonce of any other length for noise. */
    CLIENT_NONCE = 4,
    CLIENT_LINGER_MS = 60000, /* for what is queued to be read once one side has ended */
    CLIENT_NETWORK = 64,
};

static const char client_private_prefix[] = "confirm.";

const char *client_name(const struct broker_client *client, char *out, size_t cap)
{
    const char *ident = hpfeeds_server_claimed(client->session);
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
    buf_release(output);
}

void client_finish(struct broker_client *client)
{
    client->state = CLIENT_FINISHED;
    client_pump_durable(client);
    net_deferred_schedule(client->hub->reaper);
}

/* Our side ends behind what is queued. That waits where it is counted, as it did before: who does
 * not read to the end can still be cut off for it. */
static void client_go_under(struct broker_client *client)
{
    if (client->state != CLIENT_ENDING || client->backlog.bytes)
        return;
    client_send_output(client);
    net_conn_end(client->conn);
}

/* Counts the memory of a frame that is not whole. */
static void client_measure_held(struct broker_client *client)
{
    size_t held = hpfeeds_server_held(client->session);
    client->hub->held += held - client->held;
    client->held = held;
}

/* Closing at once would have the kernel reset the connection, and with it what the client did not
 * read. */
void client_end(struct broker_client *client)
{
    client_leave_all(client);
    client->state = CLIENT_ENDING;
    client->deaf = true;
    hpfeeds_server_forget(client->session);
    client_measure_held(client);
    client_pump_durable(client);
    client_pump(client);
    client_go_under(client);
    net_conn_resume(client->conn); /* to see its end */
    net_conn_set_deadline(client->conn, CLIENT_LINGER_MS, "the end of the connection");
}

void client_refuse(struct broker_client *client, const char *category, const char *ident,
                   size_t ident_len, const char *text)
{
    char name[240], safe[400];
    broker_metrics_count_error(&client->hub->metrics, ident, ident_len, category);
    if (broker_hub_may_talk(client->hub))
        log_warning(NULL, "%s: refused: %s: %s", client_name(client, name, sizeof name), category,
                    text_escape_utf8(safe, sizeof safe, text, strlen(text)));
    client_forward(client);
    client->deaf = true;
    if (client->state != CLIENT_OPEN)
        return;
    hpfeeds_add_error(hpfeeds_server_output(client->session), text);
    client_end(client);
}

static void client_refuse_auth(struct broker_client *client, const char *category)
{
    char text[300];
    const char *ident = hpfeeds_server_claimed(client->session);
    snprintf(text, sizeof text, "Authentication failed for %s", ident);
    client_refuse(client, category, ident, strlen(ident), text);
}

static void client_leave_address(struct broker_client *client, bool stranger, bool gone)
{
    char network[CLIENT_NETWORK];
    net_conn_peer_network(client->conn, network, sizeof network);
    broker_hub_leave(client->hub, network, stranger, gone);
}

static void client_welcome(struct broker_client *client, struct broker_account *account)
{
    char name[240];
    client->account = broker_account_ref(account);
    client->counts =
        broker_metrics_ident(&client->hub->metrics, hpfeeds_server_ident(client->session));
    client->counts->ready++;
    client_leave_address(client, true, false);
    net_conn_set_deadline(client->conn, 0, NULL);
    if (log_enabled(LOG_LEVEL_DEBUG))
        log_debug(NULL, "%s: authenticated", client_name(client, name, sizeof name));
}

static void client_on_account(void *ctx, struct broker_account *account, const struct err *err)
{
    struct broker_client *client = ctx;
    client->lookup = NULL;
    if (client->state != CLIENT_OPEN)
        return;
    if (err && broker_hub_may_talk(client->hub))
        log_error(NULL, "accounts: %s", err->text);
    if (hpfeeds_server_check(client->session, account ? account->secret : NULL))
        client_welcome(client, account);
    else if (err)
        client_refuse_auth(client, "error-checking-ident");
    else
        client_refuse_auth(client, account ? "invalid-secret" : "invalid-ident");
    client_go_on(client);
}

static void client_handle_auth(struct broker_client *client, const struct hpfeeds_frame *frame)
{
    client->lookup = broker_accounts_lookup(client->hub->settings.accounts, frame->ident,
                                            frame->ident_len, client_on_account, client);
}

bool client_owns(const struct broker_client *client, const char *channel, size_t len)
{
    if (!client->hub->settings.private_channels)
        return false;
    const char *ident = hpfeeds_server_ident(client->session);
    size_t prefix = sizeof client_private_prefix - 1, ident_len = strlen(ident);
    return len == prefix + ident_len && !memcmp(channel, client_private_prefix, prefix) &&
           !memcmp(channel + prefix, ident, ident_len);
}

static void client_handle(struct broker_client *client, const struct hpfeeds_server_event *event)
{
    /* What was published before a change of subscriptions is not for whom it brings. */
    if (event->type != HPFEEDS_SERVER_PUBLISH) {
        client_forward(client);
        if (client->deaf)
            return;
    }
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

bool client_is_waiting(const struct broker_client *client)
{
    return client->lookup || client->wait_at;
}

void client_go_on(struct broker_client *client)
{
    if (!client->in_data && !client_is_waiting(client))
        net_conn_resume(client->conn);
}

static void client_refuse_broken(struct broker_client *client, const struct err *err)
{
    const char *ident = client->account ? client->counts->ident : "";
    client_refuse(client, client->account ? "invalid-message" : "invalid-first-message", ident,
                  strlen(ident), err->text);
}

static size_t client_on_data(void *ctx, const uint8_t *data, size_t len)
{
    struct broker_client *client = ctx;
    if (client->deaf)
        return len;

    struct hpfeeds_server_event event;
    struct err err;
    int got = 0;
    client->in_data = true;
    client->input = data;
    client->input_len = len;
    if (client->counts)
        client->counts->received += len;
    hpfeeds_server_feed(client->session, data, len);
    while (!client->deaf && !client_is_waiting(client) &&
           (got = hpfeeds_server_next(client->session, &event, &err)) > 0)
        client_handle(client, &event);

    client_forward(client);
    client->input = NULL;
    client->input_len = 0;
    client->in_data = false;
    client_measure_held(client);
    if (got < 0)
        client_refuse_broken(client, &err);
    client_enforce_memory(client->hub);
    size_t back = hpfeeds_server_take_back(client->session);
    if (client->deaf)
        return len;
    if (client_is_waiting(client))
        net_conn_pause(client->conn);
    if (client->counts)
        client->counts->received -= back;
    return len - back;
}

void client_check_over(struct broker_client *client)
{
    if (client->state == CLIENT_ENDING && client->peer_ended && !client->backlog.bytes &&
        !net_conn_queued(client->conn) && client_has_acknowledged(client))
        client_finish(client);
}

static void client_on_ended(void *ctx)
{
    struct broker_client *client = ctx;
    client->peer_ended = true;
    if (client->state == CLIENT_OPEN && !client_is_durable(client)) {
        client->end_waits = true;
        client_wait(client);
        return;
    }
    if (client->state == CLIENT_OPEN)
        client_end(client);
    client_check_over(client);
}

static void client_on_drained(void *ctx)
{
    struct broker_client *client = ctx;
    client_pump(client);
    client_go_under(client);
    client_pump_durable(client);
    client_check_over(client);
}

static void client_on_failed(void *ctx, const struct err *err)
{
    struct broker_client *client = ctx;
    char name[240];
    if (log_enabled(LOG_LEVEL_DEBUG))
        log_debug(NULL, "%s: %s", client_name(client, name, sizeof name), err->text);
    client->peer_ended = false; /* not in good order */
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
    hub->metrics.connections++;
    hub->metrics.made++;

    net_conn_set_events(conn, &client_events, client);
    net_conn_guard(conn); /* a broker that is killed must not seem to confirm */
    net_conn_set_deadline(conn, hub->settings.auth_deadline, "AUTH");
    client_send_output(client);
}

struct broker_client *broker_client_next(const struct broker_client *client)
{
    return client->next;
}

const struct broker_account *broker_client_account(const struct broker_client *client,
                                                   const char **ret_ident)
{
    *ret_ident = hpfeeds_server_ident(client->session);
    return client->account;
}

void broker_client_measure(struct broker_client *client)
{
    if (!client->counts)
        return;
    client_count_drained(client);
    client->counts->connected++;
    client->counts->queued += client->backlog.bytes + net_conn_queued(client->conn);
    client->counts->held += client->held;
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
    /* One that has ended its side sends nothing more: it waits for the disk, and is answered. */
    if (client->state != CLIENT_OPEN || client->end_waits)
        return;
    /* Frames may be under way. A clean end would say that they were taken: an ERROR before it
     * says that they were not. One who only listens is spared it. */
    if (client->published || (!client->joined_count && !client->readings))
        hpfeeds_add_error(hpfeeds_server_output(client->session),
                          "Broker is shutting down, " HPFEEDS_TRY_LATER);
    client_end(client);
}

static void client_count_lost(struct broker_client *client)
{
    struct broker_metrics *metrics = &client->hub->metrics;
    metrics->connections--;
    if (client->counts)
        client->counts->lost++;
    else
        metrics->lost_strangers++;
    client_count_drained(client);
}

void broker_client_free(struct broker_client *client)
{
    char name[240];
    struct broker_hub *hub = client->hub;
    if (log_enabled(LOG_LEVEL_DEBUG))
        log_debug(NULL, "%s: gone", client_name(client, name, sizeof name));
    if (client->next)
        client->next->previous = client->previous;
    if (client->previous)
        client->previous->next = client->next;
    else
        hub->clients = client->next;
    client_count_lost(client);
    client_stop_waiting(client);
    broker_lookup_cancel(client->lookup);
    client_leave_all(client);
    client_leave_durable(client, client->peer_ended);
    broker_backlog_release(&client->backlog);
    hub->held -= client->held;
    client_leave_address(client, !client->account, true);
    net_deferred_schedule(hub->reaper);

    net_conn_close(client->conn);
    hpfeeds_server_free(client->session);
    broker_account_unref(client->account);
    buf_release(&client->waiting);
    free(client->joined);
    free(client);
}
