/* The broker over real loopback connections: who gets what, in which order, and who is refused. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/block.h"
#include "base/log.h"
#include "base/mem.h"
#include "broker/accounts.h"
#include "broker/broker.h"
#include "hpfeeds/client.h"
#include "net/conn.h"
#include "net/loop.h"

enum {
    TEST_HANG_S = 60, /* nothing waits for it: a hanging test is killed */
    TEST_PEERS = 4,
};

/* A client that authenticates and collects what it is sent. */
struct peer {
    struct net_loop *loop;
    struct net_conn *conn;
    struct hpfeeds_client *session;
    struct buf frames; /* the PUBLISH frames that came, whole */
    size_t frame_count;
    char error[300];
    bool ready, drained, ended, failed;
};

struct world {
    struct net_loop *loop;
    struct broker_accounts *accounts;
    struct broker *broker;
    uint16_t port;
    struct peer *peers[TEST_PEERS];
    bool broker_ended;
};

static void peer_on_ready(void *ctx)
{
    (void)ctx;
}

static size_t peer_on_data(void *ctx, const uint8_t *data, size_t len)
{
    struct peer *peer = ctx;
    struct hpfeeds_client_event event;
    struct err err;
    int got;
    hpfeeds_client_feed(peer->session, data, len);
    while ((got = hpfeeds_client_next(peer->session, &event, &err)) > 0) {
        if (event.type == HPFEEDS_CLIENT_MESSAGE) {
            buf_add(&peer->frames, event.frame.whole, event.frame.whole_len);
            peer->frame_count++;
        } else if (event.type == HPFEEDS_CLIENT_ERROR) {
            memcpy(peer->error, event.text, sizeof peer->error);
        } else {
            peer->ready = true;
        }
    }
    assert_int_equal(got, 0);
    net_loop_stop(peer->loop);
    return len;
}

static void peer_on_drained(void *ctx)
{
    struct peer *peer = ctx;
    peer->drained = true;
    net_loop_stop(peer->loop);
}

static void peer_on_ended(void *ctx)
{
    struct peer *peer = ctx;
    peer->ended = true;
    net_loop_stop(peer->loop);
}

static void peer_on_failed(void *ctx, const struct err *err)
{
    (void)err;
    struct peer *peer = ctx;
    peer->failed = true;
    net_loop_stop(peer->loop);
}

static const struct net_conn_events peer_events = {
    .ready = peer_on_ready,
    .data = peer_on_data,
    .drained = peer_on_drained,
    .ended = peer_on_ended,
    .failed = peer_on_failed,
};

static void run_until(struct world *world, const bool *condition)
{
    while (!*condition)
        net_loop_run(world->loop);
}

static void run_until_frames(struct world *world, const struct peer *peer, size_t count)
{
    while (peer->frame_count < count)
        net_loop_run(world->loop);
}

static struct peer *peer_new(struct world *world, const char *ident, const char *secret)
{
    struct peer *peer = mem_new(struct peer);
    struct net_conn_target target = {.host = "127.0.0.1", .port = world->port, .deadline = 10000};
    peer->loop = world->loop;
    peer->session = hpfeeds_client_new(ident, secret, 1 << 24);
    peer->conn = net_conn_open(world->loop, &target, &peer_events, peer);
    for (size_t i = 0; i < TEST_PEERS; i++)
        if (!world->peers[i]) {
            world->peers[i] = peer;
            break;
        }
    run_until(world, &peer->ready);
    struct buf *auth = hpfeeds_client_output(peer->session);
    net_conn_write(peer->conn, auth->data, auth->len);
    return peer;
}

static void peer_send(struct peer *peer, struct buf *frames)
{
    peer->drained = false;
    net_conn_write(peer->conn, frames->data, frames->len);
    buf_release(frames);
}

static void peer_publish(struct peer *peer, const char *ident, const char *channel,
                         const char *payload)
{
    struct buf frame = {0};
    hpfeeds_add_publish(&frame, ident, channel, payload, strlen(payload));
    peer_send(peer, &frame);
}

static void peer_subscribe(struct peer *peer, const char *ident, const char *channel)
{
    struct buf frame = {0};
    hpfeeds_add_subscribe(&frame, ident, channel);
    peer_send(peer, &frame);
}

/* Waits until the broker has handled all that the peer sent: its private channel says so. */
static void peer_settle(struct world *world, struct peer *peer, const char *ident)
{
    char *channel = mem_printf("confirm.%s", ident);
    size_t len = peer->frames.len, count = peer->frame_count;
    struct buf frames = {0};
    hpfeeds_add_subscribe(&frames, ident, channel);
    hpfeeds_add_publish(&frames, ident, channel, "settled", 7);
    hpfeeds_add_unsubscribe(&frames, ident, channel);
    peer_send(peer, &frames);
    run_until_frames(world, peer, count + 1);
    peer->frames.len = len;
    peer->frame_count = count;
    free(channel);
}

static void assert_frames(const struct peer *peer, const struct buf *expected)
{
    assert_int_equal(peer->frames.len, expected->len);
    assert_memory_equal(peer->frames.data, expected->data, expected->len);
}

static int setup_with(void **state, size_t queue_max, bool private_channels)
{
    char *vars[] = {
        (char[]){"HPFEEDS_WRITER_SECRET=w"},
        (char[]){"HPFEEDS_WRITER_PUBCHANS=mails,other"},
        (char[]){"HPFEEDS_WRITER_SUBCHANS=mails"},
        (char[]){"HPFEEDS_READER_SECRET=r"},
        (char[]){"HPFEEDS_READER_SUBCHANS=mails,other"},
        NULL,
    };
    struct world *world = mem_new(struct world);
    struct err err;
    alarm(TEST_HANG_S);
    log_setup(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, stderr);
    world->loop = net_loop_new();
    world->accounts = broker_accounts_new(world->loop);
    assert_int_equal(broker_accounts_add_env(world->accounts, vars, &err), 0);
    struct broker_settings settings;
    broker_settings_init(&settings);
    settings.name = "test";
    settings.max_frame = 1 << 20;
    settings.queue_max = queue_max;
    settings.private_channels = private_channels;
    settings.accounts = world->accounts;
    world->broker = broker_new(world->loop, &settings);
    struct net_listen_target target = {.host = "127.0.0.1"};
    struct net_listener *listener;
    assert_int_equal(broker_listen(world->broker, &target, NULL, &listener, &err), 0);
    world->port = net_listener_port(listener);
    assert_int_not_equal(world->port, 0);
    *state = world;
    return 0;
}

static int setup(void **state)
{
    return setup_with(state, 64 << 20, true);
}

static int setup_small_queue(void **state)
{
    return setup_with(state, 1 << 20, true);
}

static int setup_no_private(void **state)
{
    return setup_with(state, 64 << 20, false);
}

static int teardown(void **state)
{
    struct world *world = *state;
    for (size_t i = 0; i < TEST_PEERS; i++) {
        struct peer *peer = world->peers[i];
        if (!peer)
            continue;
        net_conn_close(peer->conn);
        hpfeeds_client_free(peer->session);
        buf_release(&peer->frames);
        free(peer);
    }
    broker_free(world->broker);
    broker_accounts_free(world->accounts);
    net_loop_free(world->loop);
    free(world);
    return 0;
}

/* Every subscriber gets each frame as it was sent, in order, and only of its channels; the
 * publisher gets its own if it asked for them; asking twice gives nothing twice. */
static void test_routing(void **state)
{
    struct world *world = *state;
    struct peer *both = peer_new(world, "reader", "r");
    struct peer *one = peer_new(world, "READER", "r");
    struct peer *writer = peer_new(world, "writer", "w");
    peer_subscribe(both, "reader", "mails");
    peer_subscribe(both, "reader", "mails");
    peer_subscribe(both, "reader", "other");
    peer_subscribe(one, "READER", "mails");
    peer_subscribe(writer, "writer", "mails");
    peer_settle(world, both, "reader");
    peer_settle(world, one, "READER");

    struct buf all = {0}, mails = {0};
    for (unsigned i = 0; i < 300; i++) {
        char payload[3000];
        size_t len = i * 37 % sizeof payload;
        memset(payload, (int)i, len);
        const char *channel = i % 3 ? "mails" : "other";
        hpfeeds_add_publish(&all, "writer", channel, payload, len);
        if (i % 3)
            hpfeeds_add_publish(&mails, "writer", channel, payload, len);
    }
    net_conn_write(writer->conn, all.data, all.len);
    run_until_frames(world, both, 300);
    run_until_frames(world, one, 200);
    run_until_frames(world, writer, 200);
    assert_frames(both, &all);
    assert_frames(one, &mails);
    assert_frames(writer, &mails);
    buf_release(&all);
    buf_release(&mails);
}

/* The same bytes one by one, each in a turn of its own. */
static void test_byte_by_byte(void **state)
{
    struct world *world = *state;
    struct peer *reader = peer_new(world, "reader", "r");
    struct peer *writer = peer_new(world, "writer", "w");
    struct buf frames = {0};
    peer_subscribe(reader, "reader", "mails");
    peer_settle(world, reader, "reader");
    hpfeeds_add_publish(&frames, "writer", "mails", "first", 5);
    hpfeeds_add_publish(&frames, "writer", "mails", "", 0);
    hpfeeds_add_publish(&frames, "writer", "mails", "third", 5);
    for (size_t i = 0; i < frames.len; i++) {
        writer->drained = false;
        net_conn_write(writer->conn, frames.data + i, 1);
        run_until(world, &writer->drained);
    }
    run_until_frames(world, reader, 3);
    assert_frames(reader, &frames);
    buf_release(&frames);
}

static void test_unsubscribe(void **state)
{
    struct world *world = *state;
    struct peer *reader = peer_new(world, "reader", "r");
    struct peer *writer = peer_new(world, "writer", "w");
    struct buf frames = {0}, expected = {0};
    peer_subscribe(reader, "reader", "mails");
    peer_subscribe(reader, "reader", "other");
    hpfeeds_add_unsubscribe(&frames, "reader", "mails");
    hpfeeds_add_unsubscribe(&frames, "reader", "mails");
    peer_send(reader, &frames);
    peer_settle(world, reader, "reader");
    peer_publish(writer, "writer", "mails", "unheard");
    peer_publish(writer, "writer", "other", "heard");
    run_until_frames(world, reader, 1);
    hpfeeds_add_publish(&expected, "writer", "other", "heard", 5);
    assert_frames(reader, &expected);
    buf_release(&expected);
}

/* What was refused is answered with the usual broker's words and the end; what was published
 * before it, in the same piece, is forwarded, what comes behind it is not. */
static void test_refused(void **state)
{
    struct world *world = *state;
    static const struct {
        enum hpfeeds_opcode opcode;
        const char *ident, *channel, *error;
    } cases[] = {
        {HPFEEDS_PUBLISH, "writer", "spam", "not allowed to pub here. ident=writer, chan=spam"},
        {HPFEEDS_PUBLISH, "writer", "confirm.reader", "not allowed to pub here. ident=writer, "},
        {HPFEEDS_PUBLISH, "writer", "confirm.write", "not allowed to pub here. ident=writer, "},
        {HPFEEDS_PUBLISH, "reader", "mails", "Invalid authkey in message, ident=reader"},
        {HPFEEDS_PUBLISH, "Writer", "mails", "Invalid authkey in message, ident=Writer"},
        {HPFEEDS_SUBSCRIBE, "writer", "other", "not allowed to sub here. ident=writer, chan=other"},
        {HPFEEDS_SUBSCRIBE, "x", "other", "not allowed to sub here. ident=writer, chan=other"},
        {HPFEEDS_SUBSCRIBE, "writer", "confirm.reader", "not allowed to sub here. ident=writer, "},
    };
    struct peer *reader = peer_new(world, "reader", "r");
    peer_subscribe(reader, "reader", "mails");
    peer_settle(world, reader, "reader");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct peer *writer = peer_new(world, "writer", "w");
        struct buf frames = {0};
        size_t count = reader->frame_count;
        hpfeeds_add_publish(&frames, "writer", "mails", "before", 6);
        if (cases[i].opcode == HPFEEDS_PUBLISH)
            hpfeeds_add_publish(&frames, cases[i].ident, cases[i].channel, "x", 1);
        else
            hpfeeds_add_subscribe(&frames, cases[i].ident, cases[i].channel);
        hpfeeds_add_publish(&frames, "writer", "mails", "behind", 6);
        peer_send(writer, &frames);
        run_until(world, &writer->ended);
        if (!strstr(writer->error, cases[i].error))
            fail_msg("case %zu: \"%s\"", i, writer->error);
        peer_settle(world, reader, "reader");
        assert_int_equal(reader->frame_count, count + 1);
        net_conn_close(writer->conn);
        hpfeeds_client_free(writer->session);
        free(writer);
        world->peers[1] = NULL;
    }
}

static void test_wrong_secret(void **state)
{
    struct world *world = *state;
    static const struct {
        const char *ident, *secret;
    } cases[] = {{"writer", "x"}, {"writer", ""}, {"nobody", "w"}, {"nobody", ""}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct peer *peer = peer_new(world, cases[i].ident, cases[i].secret);
        char *expected = mem_printf("Authentication failed for %s", cases[i].ident);
        run_until(world, &peer->ended);
        assert_string_equal(peer->error, expected);
        free(expected);
    }
}

/* Each spelling of an ident has the private channel of its spelling. */
static void test_private_channel(void **state)
{
    struct world *world = *state;
    struct peer *peer = peer_new(world, "Writer", "w");
    peer_settle(world, peer, "Writer");
    peer_subscribe(peer, "Writer", "confirm.writer");
    run_until(world, &peer->ended);
    assert_non_null(strstr(peer->error, "not allowed to sub here"));
}

static void test_no_private_channel(void **state)
{
    struct world *world = *state;
    struct peer *peer = peer_new(world, "writer", "w");
    peer_publish(peer, "writer", "confirm.writer", "x");
    run_until(world, &peer->ended);
    assert_non_null(strstr(peer->error, "not allowed to pub here"));
}

/* All that came before the half-close is routed before the broker ends its side. */
static void test_half_close(void **state)
{
    struct world *world = *state;
    struct peer *reader = peer_new(world, "reader", "r");
    struct peer *writer = peer_new(world, "writer", "w");
    struct buf frames = {0};
    peer_subscribe(reader, "reader", "mails");
    peer_settle(world, reader, "reader");
    char *payload = mem_zalloc(100000);
    for (unsigned i = 0; i < 100; i++)
        hpfeeds_add_publish(&frames, "writer", "mails", payload, 100000);
    free(payload);
    struct buf expected = {0};
    buf_add(&expected, frames.data, frames.len);
    peer_send(writer, &frames);
    net_conn_end(writer->conn);
    run_until(world, &writer->ended);
    assert_false(writer->failed);
    assert_string_equal(writer->error, "");
    run_until_frames(world, reader, 100);
    assert_frames(reader, &expected);
    buf_release(&expected);
}

/* A subscriber that does not read is cut off; the others and the publisher do not notice. */
static void test_slow_subscriber(void **state)
{
    struct world *world = *state;
    enum {
        FRAMES = 300
    };
    struct peer *slow = peer_new(world, "reader", "r");
    struct peer *quick = peer_new(world, "Reader", "r");
    struct peer *writer = peer_new(world, "writer", "w");
    peer_subscribe(slow, "reader", "mails");
    peer_subscribe(quick, "Reader", "mails");
    peer_settle(world, slow, "reader");
    peer_settle(world, quick, "Reader");
    net_conn_pause(slow->conn);

    char *payload = mem_zalloc(200000);
    for (size_t i = 1; i <= FRAMES; i++) {
        struct buf frame = {0};
        hpfeeds_add_publish(&frame, "writer", "mails", payload, 200000);
        peer_send(writer, &frame);
        run_until_frames(world, quick, i);
        buf_clear(&quick->frames);
    }
    free(payload);
    peer_settle(world, writer, "writer");
    net_conn_resume(slow->conn);
    while (!slow->failed && !slow->ended)
        net_loop_run(world->loop);
    assert_true(slow->frame_count < FRAMES);
    peer_settle(world, quick, "Reader");
}

static void on_broker_ended(void *ctx)
{
    struct world *world = ctx;
    world->broker_ended = true;
    net_loop_stop(world->loop);
}

/* The end: the subscriber gets what is queued and a clean end; who may have frames under way is
 * told that they are not taken. */
static void test_end(void **state)
{
    struct world *world = *state;
    struct peer *reader = peer_new(world, "reader", "r");
    peer_subscribe(reader, "reader", "mails");
    run_until(world, &reader->drained);
    struct peer *writer = peer_new(world, "writer", "w");
    struct peer *idle = peer_new(world, "writer", "w");
    run_until(world, &idle->drained);
    peer_settle(world, writer, "writer");
    net_conn_pause(reader->conn);
    char *payload = mem_zalloc(1000000);
    for (size_t i = 0; i < 12; i++) {
        struct buf frame = {0};
        hpfeeds_add_publish(&frame, "writer", "mails", payload, 1000000);
        peer_send(writer, &frame);
    }
    free(payload);
    peer_settle(world, writer, "writer");

    broker_end(world->broker, 30000, on_broker_ended, world);
    net_conn_resume(reader->conn);
    run_until(world, &reader->ended);
    run_until(world, &writer->ended);
    run_until(world, &idle->ended);
    assert_int_equal(reader->frame_count, 12);
    assert_string_equal(reader->error, "");
    assert_string_equal(writer->error, "Broker is shutting down, try again later");
    assert_string_equal(idle->error, "Broker is shutting down, try again later");
    net_conn_end(reader->conn);
    net_conn_end(writer->conn);
    net_conn_end(idle->conn);
    run_until(world, &world->broker_ended);
}

/* One that never hangs up does not keep the broker. */
static void test_end_grace(void **state)
{
    struct world *world = *state;
    peer_new(world, "writer", "w");
    broker_end(world->broker, 1, on_broker_ended, world);
    run_until(world, &world->broker_ended);
}

#define broker_test(name, setup_function)                                                          \
    cmocka_unit_test_setup_teardown(name, setup_function, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        broker_test(test_routing, setup),
        broker_test(test_byte_by_byte, setup),
        broker_test(test_unsubscribe, setup),
        broker_test(test_refused, setup),
        broker_test(test_wrong_secret, setup),
        broker_test(test_private_channel, setup),
        broker_test(test_no_private_channel, setup_no_private),
        broker_test(test_half_close, setup),
        broker_test(test_slow_subscriber, setup_small_queue),
        broker_test(test_end, setup),
        broker_test(test_end_grace, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
