/* Durable subscriptions as a client reads them: from disk, in order, until its kernel has
 * acknowledged them; what it had not is sent again to the next.
 *
 * What a kernel acknowledges may still be unread when the process behind it dies. Then the
 * connection ends in a reset. So what was acknowledged lately is settled only when it ends in good
 * order, or when enough time or bytes have gone by. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "broker/client_impl.h"
#include "net/loop.h"

enum {
    READING_WINDOW = 256 << 10, /* what the connection has queued before more is read */
    READING_CHECK_MS = 100,     /* how often the kernel is asked */
};

/* Frames on their way to the client. */
struct reading_piece {
    struct reading_piece *next;
    struct broker_place behind;
    size_t len;
    uint64_t written;    /* position in the connection, once the kernel has it; 0: not yet */
    msec_t acknowledged; /* when it was seen to be; 0: not yet */
};

struct broker_reading {
    struct broker_reading *next, **at;  /* of the hub */
    struct broker_reading *client_next; /* of the client */
    struct broker_client *client;
    struct broker_queue *queue;
    struct broker_channel_counts *counts;
    struct reading_piece *first, **last;  /* in order: acknowledged, with the kernel, queued */
    struct reading_piece *unacknowledged; /* the first that is not */
    size_t fresh;                         /* bytes of those that are acknowledged */
    bool stopped;                         /* unsubscribed: ends when nothing is under way */
};

static void reading_shift(struct broker_reading *reading)
{
    struct reading_piece *piece = reading->first;
    reading->first = piece->next;
    if (!reading->first)
        reading->last = &reading->first;
    free(piece);
}

/* The oldest piece is there for good. */
static void reading_settle_first(struct broker_reading *reading)
{
    struct reading_piece *piece = reading->first;
    reading->fresh -= piece->len;
    broker_queue_settle(reading->queue, piece->behind);
    reading_shift(reading);
}

/* Settles what is old enough; with `all`, whatever was acknowledged. */
static void reading_settle(struct broker_reading *reading, bool all)
{
    const struct broker_settings *settings = &reading->client->hub->settings;
    msec_t now = net_loop_now(reading->client->hub->loop);
    while (reading->first && reading->first->acknowledged &&
           (all || reading->fresh - reading->first->len >= settings->settle_bytes ||
            now - reading->first->acknowledged >= settings->settle_after))
        reading_settle_first(reading);
}

static void reading_acknowledge(struct broker_reading *reading)
{
    struct net_conn *conn = reading->client->conn;
    uint64_t written = net_conn_kernel_written(conn);
    uint64_t acknowledged = written - net_conn_kernel_unacked(conn);
    msec_t now = net_loop_now(reading->client->hub->loop);
    struct reading_piece *piece;
    while ((piece = reading->unacknowledged) && piece->written && piece->written <= acknowledged) {
        piece->acknowledged = now ? now : 1;
        reading->fresh += piece->len;
        reading->unacknowledged = piece->next;
    }
}

static void reading_on_sent(void *ctx, void *token)
{
    struct broker_client *client = ctx;
    struct reading_piece *piece = token;
    piece->written = net_conn_kernel_written(client->conn);
    net_timer_start(client->hub->acknowledged, READING_CHECK_MS);
}

/* Whoever is not open any more is given nothing: it is read again by the next. */
static void reading_ask(struct broker_reading *reading)
{
    bool open = !reading->stopped && reading->client->state == CLIENT_OPEN;
    broker_queue_want(reading->queue,
                      open && net_conn_queued(reading->client->conn) < READING_WINDOW);
}

static void reading_on_frames(void *ctx, struct block *block, struct broker_place behind)
{
    struct broker_reading *reading = ctx;
    struct broker_client *client = reading->client;
    struct reading_piece *piece = mem_new(struct reading_piece);
    *piece = (struct reading_piece){.behind = behind, .len = block->len};
    *reading->last = piece;
    reading->last = &piece->next;
    if (!reading->unacknowledged)
        reading->unacknowledged = piece;
    client->counts->filled += block->len;
    net_conn_write_block(client->conn, block, 0, reading_on_sent, piece);
    reading_ask(reading);
}

static struct broker_queue *client_find_queue(const struct broker_client *client,
                                              const char *channel, size_t len)
{
    const struct broker_store *store = client->hub->settings.store;
    return store ? broker_store_find(store, client->account->ident, channel, len) : NULL;
}

static struct broker_reading *client_find_reading(const struct broker_client *client,
                                                  const struct broker_queue *queue)
{
    struct broker_reading *reading = client->readings;
    while (reading && reading->queue != queue)
        reading = reading->client_next;
    return reading;
}

static void reading_link(struct broker_reading *reading)
{
    struct broker_client *client = reading->client;
    struct broker_hub *hub = client->hub;
    reading->client_next = client->readings;
    client->readings = reading;
    reading->next = hub->readings;
    reading->at = &hub->readings;
    if (reading->next)
        reading->next->at = &reading->next;
    hub->readings = reading;
}

/* False: somebody else reads it. */
static bool reading_begin(struct broker_client *client, struct broker_queue *queue)
{
    static const struct broker_reader_events events = {.frames = reading_on_frames};
    const char *channel = broker_queue_channel(queue);
    struct broker_reading *reading = mem_new(struct broker_reading);
    if (!broker_queue_attach(queue, &events, reading)) {
        free(reading);
        return false;
    }
    reading->client = client;
    reading->queue = queue;
    reading->last = &reading->first;
    reading->counts = broker_metrics_channel(&client->hub->metrics, client->counts->ident, channel,
                                             strlen(channel));
    reading->counts->has_subscribed = true;
    reading->counts->subscriptions++;
    reading_link(reading);
    reading_ask(reading);
    return true;
}

bool client_read_durable(struct broker_client *client, const char *channel, size_t len)
{
    struct broker_queue *queue = client_find_queue(client, channel, len);
    struct broker_reading *reading = queue ? client_find_reading(client, queue) : NULL;
    if (!reading)
        return queue && reading_begin(client, queue);
    if (reading->stopped) {
        reading->stopped = false;
        reading->counts->subscriptions++;
        reading_ask(reading);
    }
    return true;
}

static void reading_unlink(struct broker_reading *reading)
{
    struct broker_reading **at = &reading->client->readings;
    while (*at != reading)
        at = &(*at)->client_next;
    *at = reading->client_next;
    *reading->at = reading->next;
    if (reading->next)
        reading->next->at = reading->at;
}

/* Another client of the identity, who got the frames from memory so far, reads on. */
static void reading_hand_over(struct broker_hub *hub, struct broker_queue *queue)
{
    const char *channel = broker_queue_channel(queue);
    for (struct broker_client *at = hub->clients; at; at = broker_client_next(at))
        if (at->state == CLIENT_OPEN && at->account &&
            !strcmp(at->account->ident, broker_queue_ident(queue)) &&
            client_leave_channel(at, channel, strlen(channel))) {
            reading_begin(at, queue);
            return;
        }
}

/* Nothing of it is with the connection any more, or the connection goes. */
static void reading_end(struct broker_reading *reading)
{
    struct broker_hub *hub = reading->client->hub;
    struct broker_queue *queue = reading->queue;
    if (!reading->stopped)
        reading->counts->subscriptions--;
    broker_queue_detach(queue);
    reading_unlink(reading);
    while (reading->first)
        reading_shift(reading);
    free(reading);
    reading_hand_over(hub, queue);
}

static void reading_check_stopped(struct broker_reading *reading)
{
    if (!reading->stopped || reading->unacknowledged)
        return;
    reading_settle(reading, true);
    reading_end(reading);
}

bool client_stop_durable(struct broker_client *client, const char *channel, size_t len)
{
    struct broker_queue *queue = client_find_queue(client, channel, len);
    struct broker_reading *reading = queue ? client_find_reading(client, queue) : NULL;
    if (!reading || reading->stopped)
        return false;
    reading->stopped = true;
    reading->counts->subscriptions--;
    reading_ask(reading);
    reading_check_stopped(reading);
    return true;
}

void client_pump_durable(struct broker_client *client)
{
    for (struct broker_reading *reading = client->readings; reading; reading = reading->client_next)
        reading_ask(reading);
}

bool client_has_acknowledged(const struct broker_client *client)
{
    const struct broker_reading *reading = client->readings;
    while (reading && !reading->unacknowledged)
        reading = reading->client_next;
    return !reading;
}

void client_leave_durable(struct broker_client *client, bool clean)
{
    while (client->readings) {
        struct broker_reading *reading = client->readings;
        /* Of a connection that broke the kernel's word is not to be had any more. */
        if (clean)
            reading_acknowledge(reading);
        reading_settle(reading, clean);
        reading_end(reading);
    }
}

void broker_reading_check(struct broker_hub *hub)
{
    bool more = false;
    for (struct broker_reading *reading = hub->readings, *next; reading; reading = next) {
        struct broker_client *client = reading->client;
        next = reading->next;
        reading_acknowledge(reading);
        reading_settle(reading, false);
        more = more || reading->first;
        reading_check_stopped(reading);
        client_check_over(client);
    }
    if (more)
        net_timer_start(hub->acknowledged, READING_CHECK_MS);
}
