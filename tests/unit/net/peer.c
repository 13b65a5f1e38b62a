#include "peer.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/block.h"

uint32_t stage_random(struct stage *stage, uint32_t below)
{
    stage->random = stage->random * 1664525u + 1013904223u;
    return (stage->random >> 8) % below;
}

void stage_fill(struct buf *buf, size_t len, uint32_t seed)
{
    buf_reserve_exact(buf, len);
    for (size_t i = 0; i < len; i++) {
        seed = seed * 1664525u + 1013904223u;
        buf_add_byte(buf, (uint8_t)(seed >> 24));
    }
}

bool peer_saw(const struct peer *peer, char letter)
{
    return strchr(peer->log, letter);
}

void peer_close(struct peer *peer)
{
    struct net_conn *conn = peer->conn;
    peer->conn = NULL;
    net_conn_close(conn);
}

static void peer_note(struct peer *peer, enum peer_event event)
{
    static const char letters[] = "?RdDEFs";
    size_t used = strlen(peer->log);
    bool again = used && peer->log[used - 1] == letters[event] &&
                 (event == PEER_DATA || event == PEER_DRAINED || event == PEER_SENT);
    if (!again && used + 1 < sizeof peer->log)
        peer->log[used] = letters[event];
    if (peer->hook)
        peer->hook(peer, event);
    if (peer->close_at == event && peer->conn)
        peer_close(peer);
    if (peer->stage->over && peer->stage->over(peer->stage))
        net_loop_stop(peer->stage->loop);
}

void peer_sent(void *ctx, void *token)
{
    struct peer *peer = ctx;
    if (peer->sent < 64)
        peer->sent_tokens[peer->sent] = (size_t)(uintptr_t)token;
    peer->sent++;
    peer_note(peer, PEER_SENT);
}

/* Some more of `out`, in bits of all sizes, as copies and as blocks. */
static void peer_write_some(struct peer *peer)
{
    struct stage *stage = peer->stage;
    size_t most = 300000;
    while (peer->conn && peer->out_at < peer->out.len && most > 0) {
        size_t rest = peer->out.len - peer->out_at;
        size_t len = 1 + stage_random(stage, stage_random(stage, 4) ? 600 : 60000);
        len = len < rest ? len : rest;
        len = len < most ? len : most;
        const uint8_t *data = peer->out.data + peer->out_at;
        if (stage_random(stage, 2))
            net_conn_write(peer->conn, data, len);
        else
            net_conn_write_block(peer->conn, block_new(data, len), 0, NULL, NULL);
        peer->out_at += len;
        most -= len;
    }
    if (peer->conn && peer->end_after_out && peer->out_at == peer->out.len)
        net_conn_end(peer->conn);
}

static void peer_ready(void *ctx)
{
    struct peer *peer = ctx;
    peer_write_some(peer);
    peer_note(peer, PEER_READY);
}

static size_t peer_data(void *ctx, const uint8_t *data, size_t len)
{
    struct peer *peer = ctx;
    size_t taken = len;
    if (peer->picky) {
        taken = stage_random(peer->stage, (uint32_t)len + 1);
        if (taken < len || !stage_random(peer->stage, 3)) {
            net_conn_pause(peer->conn);
            net_deferred_schedule(peer->stage->resume);
        }
    }
    if (peer->take && taken > peer->take)
        taken = peer->take;
    buf_add(&peer->got, data, taken);
    peer_note(peer, PEER_DATA);
    return taken;
}

static void peer_drained(void *ctx)
{
    struct peer *peer = ctx;
    peer_write_some(peer);
    peer_note(peer, PEER_DRAINED);
}

static void peer_ended(void *ctx)
{
    peer_note(ctx, PEER_ENDED);
}

static void peer_failed(void *ctx, const struct err *err)
{
    struct peer *peer = ctx;
    peer->err = *err;
    peer_note(peer, PEER_FAILED);
}

static const struct net_conn_events peer_event_table = {
    .ready = peer_ready,
    .data = peer_data,
    .drained = peer_drained,
    .ended = peer_ended,
    .failed = peer_failed,
};

const struct net_conn_events *peer_events(void)
{
    return &peer_event_table;
}

static void stage_accepted(void *ctx, struct net_conn *conn)
{
    struct stage *stage = ctx;
    assert_null(stage->server.conn);
    stage->server.conn = conn;
    net_conn_set_events(conn, &peer_event_table, &stage->server);
    peer_ready(&stage->server);
}

static const struct net_listener_events stage_listener_events = {.accepted = stage_accepted};

static void stage_resume(void *ctx)
{
    struct stage *stage = ctx;
    if (stage->client.conn)
        net_conn_resume(stage->client.conn);
    if (stage->server.conn)
        net_conn_resume(stage->server.conn);
}

static void stage_bark(void *ctx)
{
    struct stage *stage = ctx;
    stage->timed_out = true;
    net_loop_stop(stage->loop);
}

void stage_init(struct stage *stage, struct net_tls *tls)
{
    struct err err = {.text = ""};
    *stage = (struct stage){.random = 7};
    stage->client.stage = stage->server.stage = stage;
    stage->loop = net_loop_new();
    stage->watchdog = net_timer_new(stage->loop, stage_bark, stage);
    stage->resume = net_deferred_new(stage->loop, stage_resume, stage);
    if (net_listener_new(stage->loop, "127.0.0.1", 0, tls, &stage_listener_events, stage,
                         &stage->listener, &err))
        fail_msg("%s", err.text);
}

void stage_connect_to(struct stage *stage, const struct net_conn_target *target)
{
    stage->client.conn = net_conn_open(stage->loop, target, &peer_event_table, &stage->client);
}

void stage_connect(struct stage *stage, const char *host, struct net_tls *tls)
{
    struct net_conn_target target = {
        .host = host,
        .port = net_listener_port(stage->listener),
        .tls = tls,
        .deadline = 20000,
    };
    stage_connect_to(stage, &target);
}

void stage_run(struct stage *stage, bool (*over)(struct stage *stage))
{
    stage->over = over;
    if (over && over(stage))
        return;
    if (over)
        net_timer_start(stage->watchdog, 20000);
    net_loop_run(stage->loop);
    net_timer_stop(stage->watchdog);
    if (stage->timed_out)
        fail_msg("nothing came of it: client %s (%s), server %s (%s)", stage->client.log,
                 stage->client.err.text, stage->server.log, stage->server.err.text);
}

static void stage_end_turn(void *ctx)
{
    struct stage *stage = ctx;
    net_loop_stop(stage->loop);
}

void stage_turns(struct stage *stage)
{
    struct net_deferred *end = net_deferred_new(stage->loop, stage_end_turn, stage);
    stage->over = NULL;
    for (int turn = 0; turn < 3; turn++) {
        net_deferred_schedule(end);
        net_loop_run(stage->loop);
    }
    net_deferred_free(end);
}

void stage_release(struct stage *stage)
{
    peer_close(&stage->client);
    peer_close(&stage->server);
    net_listener_free(stage->listener);
    net_timer_free(stage->watchdog);
    net_deferred_free(stage->resume);
    net_loop_free(stage->loop);
    buf_release(&stage->client.got);
    buf_release(&stage->client.out);
    buf_release(&stage->server.got);
    buf_release(&stage->server.out);
}

bool stage_both_ready(struct stage *stage)
{
    return peer_saw(&stage->client, 'R') && peer_saw(&stage->server, 'R');
}

bool stage_client_failed(struct stage *stage)
{
    return peer_saw(&stage->client, 'F');
}
