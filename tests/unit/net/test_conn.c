/* Connections, plain and with TLS: bytes, ends, order, and closing at any moment. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/block.h"
#include "net/conn_impl.h"
#include "net/socket.h"
#include "net/tls.h"
#include "peer.h"
#include "pki.h"

static struct pki *pki;
static struct net_tls *server_tls, *client_tls;

/* `on`: with TLS. */
static void begin(struct stage *stage, bool on)
{
    stage_init(stage, on ? server_tls : NULL);
    stage_connect(stage, "localhost", on ? client_tls : NULL);
}

static bool all_arrived(struct stage *stage)
{
    return stage->server.got.len >= stage->client.out.len &&
           stage->client.got.len >= stage->server.out.len;
}

static void check_arrived(const struct peer *from, const struct peer *to)
{
    assert_int_equal(to->got.len, from->out.len);
    assert_memory_equal(to->got.data, from->out.data, from->out.len);
}

static void check_both_ways(bool tls, bool picky, size_t up, size_t down)
{
    struct stage stage;
    begin(&stage, tls);
    stage_fill(&stage.client.out, up, 1);
    stage_fill(&stage.server.out, down, 2);
    stage.client.picky = stage.server.picky = picky;
    stage_run(&stage, all_arrived);
    check_arrived(&stage.client, &stage.server);
    check_arrived(&stage.server, &stage.client);
    assert_false(peer_saw(&stage.client, 'F'));
    stage_release(&stage);
}

static void test_megabytes_both_ways(void **state)
{
    (void)state;
    for (int tls = 0; tls < 2; tls++) {
        check_both_ways(tls, false, 5000000, 4000000);
        check_both_ways(tls, true, 1500000, 1000000);
        check_both_ways(tls, false, 1, 1);
        check_both_ways(tls, false, 0, 3000000);
    }
}

static uint64_t rests_of(unsigned usec, size_t bytes)
{
    struct stage stage;
    begin(&stage, true);
    net_loop_set_rest(stage.loop, usec);
    stage_fill(&stage.client.out, bytes, 1);
    stage_run(&stage, all_arrived);
    stage_turns(&stage);
    check_arrived(&stage.client, &stage.server);
    uint64_t rests = stage.loop->rests;
    stage_release(&stage);
    return rests;
}

/* A loop that was asked to rests after a turn that brought a little of much, not after an answer.
 */
static void test_rests(void **state)
{
    (void)state;
    assert_int_equal(rests_of(0, 8000), 0);
    assert_int_equal(rests_of(100, 1000), 0);
    assert_in_range(rests_of(100, 8000), 1, 8);
}

static bool both_ended(struct stage *stage)
{
    return peer_saw(&stage->client, 'E') && peer_saw(&stage->server, 'E');
}

/* The answer is written after the other side's end has been seen. */
static void answer_at_end(struct peer *peer, enum peer_event event)
{
    if (event != PEER_ENDED)
        return;
    net_conn_write(peer->conn, peer->out.data, peer->out.len);
    net_conn_end(peer->conn);
}

static void test_half_close(void **state)
{
    (void)state;
    for (int tls = 0; tls < 2; tls++)
        for (int picky = 0; picky < 2; picky++) {
            struct stage stage;
            begin(&stage, tls);
            stage_fill(&stage.client.out, 700000, 1);
            stage.client.end_after_out = true;
            stage.server.picky = stage.client.picky = picky;
            buf_add_str(&stage.server.out, "answer");
            stage.server.out_at = stage.server.out.len; /* not before it is asked */
            stage.server.hook = answer_at_end;
            stage_run(&stage, both_ended);
            check_arrived(&stage.client, &stage.server);
            check_arrived(&stage.server, &stage.client);
            assert_false(peer_saw(&stage.client, 'F') || peer_saw(&stage.server, 'F'));
            stage_release(&stage);
        }
}

static bool client_closed_server_told(struct stage *stage)
{
    return !stage->client.conn && (peer_saw(&stage->server, 'E') || peer_saw(&stage->server, 'F'));
}

static bool server_closed_client_told(struct stage *stage)
{
    return !stage->server.conn && (peer_saw(&stage->client, 'E') || peer_saw(&stage->client, 'F'));
}

static bool client_closed(struct stage *stage)
{
    return !stage->client.conn;
}

static bool server_closed(struct stage *stage)
{
    return peer_saw(&stage->server, 'E') && !stage->server.conn;
}

static char last_letter(const struct peer *peer)
{
    return peer->log[strlen(peer->log) - 1];
}

/* The block makes the side that is to be told `sent` tell it. */
static void write_told_block(struct peer *peer, enum peer_event event)
{
    if (event == PEER_READY)
        net_conn_write_block(peer->conn, block_new("b", 1), 0, peer_sent, peer);
}

static void end_when_ready(struct peer *peer, enum peer_event event)
{
    if (event == PEER_READY)
        net_conn_end(peer->conn);
}

static void test_closing_in_each_event(void **state)
{
    static const struct {
        enum peer_event event;
        char letter;
    } cases[] = {{PEER_READY, 'R'},
                 {PEER_DATA, 'd'},
                 {PEER_DRAINED, 'D'},
                 {PEER_SENT, 's'},
                 {PEER_ENDED, 'E'}};
    (void)state;
    for (int tls = 0; tls < 2; tls++)
        for (int side = 0; side < 2; side++)
            for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
                struct stage stage;
                begin(&stage, tls);
                struct peer *closer = side ? &stage.server : &stage.client;
                struct peer *other = side ? &stage.client : &stage.server;
                bool ended = cases[i].event == PEER_ENDED;
                closer->close_at = cases[i].event;
                closer->picky = true; /* what is not taken when it closes is dropped */
                closer->hook = write_told_block;
                other->hook = ended ? end_when_ready : NULL;
                if (!ended) {
                    stage_fill(&stage.client.out, 200000, 1);
                    stage_fill(&stage.server.out, 200000, 2);
                }
                if (ended)
                    stage_run(&stage, side ? server_closed : client_closed);
                else
                    stage_run(&stage, side ? server_closed_client_told : client_closed_server_told);
                assert_null(closer->conn);
                assert_int_equal(last_letter(closer), cases[i].letter);
                stage_release(&stage);
            }
}

static void test_closed_before_ready(void **state)
{
    (void)state;
    struct stage stage;
    begin(&stage, true);
    net_conn_write(stage.client.conn, "x", 1);
    peer_close(&stage.client);
    net_listener_free(stage.listener);
    stage.listener = NULL;
    stage_run(&stage, NULL);
    assert_string_equal(stage.client.log, "");
    stage_release(&stage);
}

enum {
    TOLD = 40
};

static bool all_told(struct stage *stage)
{
    return stage->client.sent == TOLD;
}

/* More than is written early, so that some is with the kernel before the turn ends. */
static void write_numbered_blocks(struct peer *peer, enum peer_event event)
{
    static const uint8_t zeros[20000];
    if (event != PEER_READY)
        return;
    for (size_t i = 0; i < TOLD; i++) {
        size_t len = stage_random(peer->stage, sizeof zeros);
        net_conn_write(peer->conn, zeros, stage_random(peer->stage, 100));
        net_conn_write_block(peer->conn, block_new(zeros, len), i % 5 ? 0 : len, peer_sent,
                             (void *)(uintptr_t)i);
    }
    assert_int_equal(peer->sent, 0);
}

static void test_sent_in_order_and_never_inside(void **state)
{
    (void)state;
    for (int tls = 0; tls < 2; tls++) {
        struct stage stage;
        begin(&stage, tls);
        stage.client.hook = write_numbered_blocks;
        stage_run(&stage, all_told);
        for (size_t i = 0; i < TOLD; i++)
            assert_int_equal(stage.client.sent_tokens[i], i);
        stage_release(&stage);
    }
}

static bool blocks_gone(struct stage *stage)
{
    return peer_saw(&stage->client, 'D');
}

static struct block *big_block;

static void write_big_block(struct peer *peer, enum peer_event event)
{
    if (event != PEER_READY)
        return;
    net_conn_write_block(peer->conn, block_ref(big_block), 0, peer_sent, NULL);
    /* It is over the limit: what the kernel took is written, and nobody told yet. */
    assert_true(net_conn_queued(peer->conn) < big_block->len);
    assert_int_equal(peer->sent, 0);
    assert_true(net_conn_kernel_written(peer->conn) > 0);
}

static void test_much_is_written_early(void **state)
{
    (void)state;
    for (int tls = 0; tls < 2; tls++) {
        struct stage stage;
        struct buf bytes = {0};
        stage_fill(&bytes, 600000, 3);
        big_block = block_from_buf(&bytes);
        begin(&stage, tls);
        stage.client.hook = write_big_block;
        stage_run(&stage, blocks_gone);
        assert_int_equal(stage.client.sent, 1);
        assert_int_equal(big_block->refs, 1);
        block_unref(big_block);
        stage_release(&stage);
    }
}

static void ask_again(void *ctx)
{
    struct stage *stage = ctx;
    if (net_conn_unacknowledged(stage->client.conn))
        net_deferred_schedule(stage->resume);
    else
        net_loop_stop(stage->loop);
}

static void test_unacknowledged_comes_to_nothing(void **state)
{
    (void)state;
    for (int tls = 0; tls < 2; tls++) {
        struct stage stage;
        begin(&stage, tls);
        stage_run(&stage, stage_both_ready);
        stage_fill(&stage.client.out, 1000000, 1);
        stage.client.out_at = stage.client.out.len;
        uint64_t before = net_conn_kernel_written(stage.client.conn);
        net_conn_write(stage.client.conn, stage.client.out.data, stage.client.out.len);
        assert_true(net_conn_unacknowledged(stage.client.conn) > 0);
        net_deferred_free(stage.resume);
        stage.resume = net_deferred_new(stage.loop, ask_again, &stage);
        net_deferred_schedule(stage.resume);
        stage_run(&stage, NULL);
        assert_int_equal(net_conn_queued(stage.client.conn), 0);
        assert_int_equal(net_conn_kernel_unacked(stage.client.conn), 0);
        uint64_t written = net_conn_kernel_written(stage.client.conn) - before;
        assert_true(tls ? written > stage.client.out.len : written == stage.client.out.len);
        stage_release(&stage);
    }
}

static bool server_got_abc(struct stage *stage)
{
    return stage->server.got.len == 3;
}

static void write_c(struct peer *peer, enum peer_event event)
{
    if (event == PEER_READY)
        net_conn_write(peer->conn, "c", 1);
}

static void test_written_before_ready(void **state)
{
    (void)state;
    for (int tls = 0; tls < 2; tls++) {
        struct stage stage;
        begin(&stage, tls);
        net_conn_write(stage.client.conn, "a", 1);
        net_conn_write_block(stage.client.conn, block_new("xb", 2), 1, peer_sent, &stage.client);
        assert_int_equal(net_conn_queued(stage.client.conn), 2);
        stage.client.hook = write_c;
        stage_run(&stage, server_got_abc);
        assert_memory_equal(stage.server.got.data, "abc", 3);
        stage_release(&stage);
    }
}

static bool server_drained(struct stage *stage)
{
    return peer_saw(&stage->client, 'R') && peer_saw(&stage->server, 'D');
}

static bool client_got_all(struct stage *stage)
{
    return stage->client.got.len == stage->server.out.len;
}

static void pause_when_ready(struct peer *peer, enum peer_event event)
{
    if (event == PEER_READY)
        net_conn_pause(peer->conn);
}

static void test_paused_gets_nothing(void **state)
{
    (void)state;
    for (int tls = 0; tls < 2; tls++) {
        struct stage stage;
        begin(&stage, tls);
        buf_add_str(&stage.server.out, "hello");
        stage.client.hook = pause_when_ready;
        stage_run(&stage, server_drained);
        assert_int_equal(stage.client.got.len, 0);
        net_conn_resume(stage.client.conn);
        assert_int_equal(stage.client.got.len, 0); /* from the loop, not from inside the call */
        stage_run(&stage, client_got_all);
        stage_release(&stage);
    }
}

static bool client_has_some(struct stage *stage)
{
    return stage->client.got.len;
}

/* What is read for who cannot take it is kept: little, while that is asked for. */
static void test_little_is_kept(void **state)
{
    (void)state;
    for (int tls = 0; tls < 2; tls++) {
        struct stage stage;
        begin(&stage, tls);
        net_loop_read_little(stage.loop, true);
        stage_fill(&stage.server.out, 300000, 2);
        stage.client.take = 1;
        stage_run(&stage, client_has_some);
        assert_in_range(stage.client.conn->kept.cap, 1, 4096);
        net_loop_read_little(stage.loop, false);
        stage.client.take = 0;
        net_conn_resume(stage.client.conn);
        stage_run(&stage, all_arrived);
        check_arrived(&stage.server, &stage.client);
        stage_release(&stage);
    }
}

/* Others read a lot in each turn. */
struct crowd {
    struct net_loop *loop;
    struct net_deferred *turn;
    size_t cost;
    size_t least; /* share that there was */
};

static void crowd_reads(void *ctx)
{
    struct crowd *crowd = ctx;
    crowd->loop->read_cost += crowd->cost;
    if (crowd->loop->read_share < crowd->least)
        crowd->least = crowd->loop->read_share;
    net_deferred_schedule(crowd->turn);
}

/* The more all read in a turn, the less does each, so that turns stay short; and what is sent comes
 * all the same. */
static void test_little_is_read_beside_many(void **state)
{
    (void)state;
    for (int many = 0; many < 2; many++)
        for (int tls = 0; tls < 2; tls++) {
            struct stage stage;
            begin(&stage, tls);
            struct crowd crowd = {
                .loop = stage.loop, .cost = many ? 4 << 20 : 0, .least = NET_READ_SHARE};
            crowd.turn = net_deferred_new(stage.loop, crowd_reads, &crowd);
            net_deferred_schedule(crowd.turn);
            stage_fill(&stage.server.out, 4 << 20, 2);
            stage_run(&stage, all_arrived);
            check_arrived(&stage.server, &stage.client);
            assert_int_equal(crowd.least, many ? NET_READ_SHARE_LEAST : NET_READ_SHARE);
            net_deferred_free(crowd.turn);
            stage_release(&stage);
        }
}

/* A listener's peer that is no net_conn: does to the socket what one never would. */
static int bare_listener(uint16_t *ret_port)
{
    union net_address address = {.v4 = {.sin_family = AF_INET}};
    socklen_t size = sizeof address;
    address.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, &address.any, net_address_size(&address)), 0);
    assert_int_equal(listen(fd, 5), 0);
    assert_int_equal(getsockname(fd, &address.any, &size), 0);
    *ret_port = ntohs(address.v4.sin_port);
    return fd;
}

/* Opens the stage's client to a bare listener. */
static void connect_bare(struct stage *stage, uint16_t port, struct net_tls *tls, msec_t deadline)
{
    struct net_conn_target target = {
        .host = "127.0.0.1", .port = port, .tls = tls, .deadline = deadline};
    stage_connect_to(stage, &target);
}

static bool client_ready(struct stage *stage)
{
    return peer_saw(&stage->client, 'R');
}

static void check_failed(const struct stage *stage, enum err_action action, const char *text)
{
    assert_true(peer_saw(&stage->client, 'F'));
    if (!strstr(stage->client.err.text, text))
        fail_msg("\"%s\" does not say \"%s\"", stage->client.err.text, text);
    assert_int_equal(stage->client.err.action, action);
}

static void test_deadline_of_the_handshake(void **state)
{
    (void)state;
    uint16_t port;
    int silent = bare_listener(&port);
    struct stage stage;
    stage_init(&stage, NULL);
    connect_bare(&stage, port, client_tls, 100);
    stage_run(&stage, stage_client_failed);
    check_failed(&stage, ERR_RETRY_LATER, ": no answer for 0.1 s: the TLS handshake");
    stage_release(&stage);
    close(silent);
}

static void set_deadlines(struct peer *peer, enum peer_event event)
{
    if (event != PEER_READY)
        return;
    net_conn_set_deadline(peer->conn, 20, "never");
    net_conn_set_deadline(peer->conn, 200, "later"); /* put off */
    net_conn_set_deadline(peer->conn, 100, "the answer to LOGIN");
}

static void set_and_clear_deadline(struct peer *peer, enum peer_event event)
{
    if (event != PEER_READY)
        return;
    net_conn_set_deadline(peer->conn, 20, "never");
    net_conn_set_deadline(peer->conn, 0, NULL);
    net_conn_pause(peer->conn); /* nothing is left that could happen */
}

static void test_deadline_of_an_answer(void **state)
{
    (void)state;
    uint16_t port;
    int silent = bare_listener(&port);
    for (int cleared = 0; cleared < 2; cleared++) {
        struct stage stage;
        stage_init(&stage, NULL);
        net_listener_free(stage.listener);
        stage.listener = NULL;
        connect_bare(&stage, port, NULL, 20000);
        stage.client.hook = cleared ? set_and_clear_deadline : set_deadlines;
        stage_run(&stage, cleared ? client_ready : stage_client_failed);
        if (!cleared)
            check_failed(&stage, ERR_RETRY_LATER, "no answer for 0.1 s: the answer to LOGIN");
        stage_release(&stage);
    }
    close(silent);
}

static void set_long_deadline(struct peer *peer, enum peer_event event)
{
    if (event != PEER_READY)
        return;
    net_conn_set_deadline(peer->conn, 60 * 1000, "never");
    net_conn_set_deadline(peer->conn, 5 * 60 * 1000, "the next EXISTS");
}

static void test_deadlines_go_by_the_loops_clock(void **state)
{
    (void)state;
    struct stage stage;
    begin(&stage, false);
    stage.client.hook = set_long_deadline;
    stage_run(&stage, stage_both_ready);
    net_loop_skip(stage.loop, 5 * 60 * 1000 - 20 * 1000);
    stage_turns(&stage);
    assert_false(peer_saw(&stage.client, 'F'));
    net_loop_skip(stage.loop, 20 * 1000);
    stage_run(&stage, stage_client_failed);
    check_failed(&stage, ERR_RETRY_LATER, "no answer for 300 s: the next EXISTS");
    stage_release(&stage);
}

static void test_refused(void **state)
{
    (void)state;
    uint16_t port;
    close(bare_listener(&port));
    struct stage stage;
    stage_init(&stage, NULL);
    connect_bare(&stage, port, NULL, 20000);
    stage.client.close_at = PEER_FAILED;
    net_conn_write_block(stage.client.conn, block_new("x", 1), 0, peer_sent, &stage.client);
    stage_run(&stage, stage_client_failed);
    check_failed(&stage, ERR_RETRY_LATER, "Connection refused");
    assert_string_equal(stage.client.log, "F"); /* and no `sent` */
    stage_release(&stage);
}

static bool client_over(struct stage *stage)
{
    return peer_saw(&stage->client, 'F') || peer_saw(&stage->client, 'E');
}

/* Last words, then a reset: the words come first, then the failure. */
static void test_reset_after_last_words(void **state)
{
    (void)state;
    uint16_t port;
    struct stage stage;
    struct linger now = {.l_onoff = 1};
    int listener = bare_listener(&port);
    stage_init(&stage, NULL);
    connect_bare(&stage, port, NULL, 20000);
    stage_run(&stage, client_ready);
    stage_turns(&stage); /* the write below is to fail before anything is read */
    int fd = accept(listener, NULL, NULL);
    assert_int_equal(send(fd, "BYE", 3, 0), 3);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(fd);
    net_conn_write(stage.client.conn, "LOGIN", 5);
    stage_run(&stage, client_over);
    assert_string_equal(stage.client.log, "RdF");
    assert_memory_equal(stage.client.got.data, "BYE", 3);
    check_failed(&stage, ERR_RETRY_LATER, "the connection broke: ");
    /* What is done to a failed connection is harmless. */
    net_conn_write(stage.client.conn, "x", 1);
    net_conn_write_block(stage.client.conn, block_new("x", 1), 0, peer_sent, &stage.client);
    net_conn_end(stage.client.conn);
    net_conn_pause(stage.client.conn);
    net_conn_resume(stage.client.conn);
    net_conn_set_deadline(stage.client.conn, 1, "nothing");
    assert_int_equal(net_conn_queued(stage.client.conn), 0);
    net_listener_free(stage.listener);
    stage.listener = NULL;
    stage_run(&stage, NULL);
    assert_string_equal(stage.client.log, "RdF");
    stage_release(&stage);
    close(listener);
}

static bool server_gone(struct stage *stage)
{
    return peer_saw(&stage->server, 'E') || peer_saw(&stage->server, 'F');
}

/* What was said before may be lost: no close_notify, no FIN, that would let it pass for whole. */
static bool server_over(struct stage *stage)
{
    return peer_saw(&stage->server, 'E') || peer_saw(&stage->server, 'F');
}

static void test_abort(void **state)
{
    (void)state;
    for (int tls = 0; tls < 2; tls++) {
        struct stage stage;
        begin(&stage, tls);
        stage_run(&stage, stage_both_ready);
        net_conn_abort(stage.client.conn);
        stage.client.conn = NULL;
        stage_run(&stage, server_gone);
        assert_int_equal(last_letter(&stage.server), 'F');
        assert_non_null(strstr(stage.server.err.text, "reset"));
        stage_release(&stage);
    }
    net_conn_abort(NULL);
}

/* A guarded connection ends in good order only when that was asked for, also in the turn in which
 * it is closed; what was read from it makes no difference. */
static void test_guarded(void **state)
{
    (void)state;
    for (int ended = 0; ended < 2; ended++) {
        for (int tls = 0; tls < 2; tls++) {
            struct stage stage;
            begin(&stage, tls);
            stage_run(&stage, stage_both_ready);
            net_conn_guard(stage.client.conn);
            if (ended)
                net_conn_end(stage.client.conn);
            net_conn_close(stage.client.conn);
            stage.client.conn = NULL;
            stage_run(&stage, server_over);
            assert_int_equal(last_letter(&stage.server), ended ? 'E' : 'F');
            stage_release(&stage);
        }
    }
}

static struct err deaf_err;

static void deaf_failed(void *ctx, const struct err *err)
{
    struct peer *peer = ctx;
    deaf_err = *err;
    net_loop_stop(peer->stage->loop);
}

static bool deaf_told(struct stage *stage)
{
    (void)stage;
    return deaf_err.text[0];
}

static void turn_deaf(struct peer *peer, enum peer_event event)
{
    static struct net_conn_events events;
    if (event != PEER_READY)
        return;
    events = *peer_events();
    events.ended = NULL;
    events.failed = deaf_failed;
    net_conn_set_events(peer->conn, &events, peer);
}

static void test_end_is_a_failure_to_whom_it_says_nothing(void **state)
{
    (void)state;
    struct stage stage;
    begin(&stage, true);
    deaf_err.text[0] = '\0';
    stage.client.hook = turn_deaf;
    stage.server.hook = end_when_ready;
    stage_run(&stage, deaf_told);
    assert_string_equal(deaf_err.text, "the peer ended the connection");
    stage_release(&stage);
}

static int option(const struct peer *peer, int level, int name)
{
    int value = -1;
    socklen_t size = sizeof value;
    assert_int_equal(getsockopt(peer->conn->fd, level, name, &value, &size), 0);
    return value;
}

/* Within two minutes a peer that is gone without a word is known to be. */
static void test_silent_death_is_noticed(void **state)
{
    (void)state;
    struct stage stage;
    begin(&stage, false);
    stage_run(&stage, stage_both_ready);
    const struct peer *peers[] = {&stage.client, &stage.server};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(option(peers[i], SOL_SOCKET, SO_KEEPALIVE), 1);
        int silence = option(peers[i], IPPROTO_TCP, TCP_KEEPIDLE);
        int interval = option(peers[i], IPPROTO_TCP, TCP_KEEPINTVL);
        int count = option(peers[i], IPPROTO_TCP, TCP_KEEPCNT);
        assert_in_range(silence + interval * count, 60, 120);
        assert_in_range((90 - silence) / interval, 3, count + 4); /* questions before we give up */
        assert_int_equal(option(peers[i], IPPROTO_TCP, TCP_NODELAY), 1);
    }
    assert_int_equal(option(&stage.client, IPPROTO_TCP, TCP_USER_TIMEOUT), 90 * 1000);
    assert_int_equal(option(&stage.server, IPPROTO_TCP, TCP_USER_TIMEOUT), 0);
    stage_release(&stage);
}

/* A burst of questions would be dropped, and all that asked taken for dead. */
static void test_many_do_not_ask_together(void **state)
{
    (void)state;
    enum {
        MANY = 200,
        LONGEST = 128
    };
    int fds[MANY];
    int asking[LONGEST] = {0};

    for (int i = 0; i < MANY; i++) {
        socklen_t size = sizeof(int);
        int silence = 0;
        fds[i] = net_socket_new(AF_INET);
        assert_return_code(fds[i], errno);
        net_socket_tune(fds[i]);
        assert_int_equal(getsockopt(fds[i], IPPROTO_TCP, TCP_KEEPIDLE, &silence, &size), 0);
        assert_in_range(silence, 1, LONGEST - 1);
        asking[silence]++;
    }
    for (int i = 1; i < LONGEST; i++)
        assert_in_range(asking[i], 0, MANY / 15);
    for (int i = 0; i < MANY; i++)
        close(fds[i]);
}

static void test_who_the_peer_is(void **state)
{
    (void)state;
    struct stage stage;
    char expected[32];
    begin(&stage, false);
    assert_string_equal(net_conn_peer(stage.client.conn), "");
    stage_run(&stage, stage_both_ready);
    snprintf(expected, sizeof expected, "127.0.0.1:%u", net_listener_port(stage.listener));
    assert_string_equal(net_conn_peer(stage.client.conn), expected);
    assert_memory_equal(net_conn_peer(stage.server.conn), "127.0.0.1:", 10);
    struct net_tls_info info;
    assert_false(net_conn_tls_info(stage.client.conn, &info));
    stage_release(&stage);
}

static int setup(void **state)
{
    static const struct pki_spec spec = {
        .file = "host.pem", .cn = "x", .san = "DNS:localhost,IP:127.0.0.1", .to_day = 5};
    (void)state;
    struct err err;
    pki = pki_new();
    pki_make(pki, &spec);
    struct net_tls_settings settings = {.ca_file = pki_path(pki, "ca.pem")};
    return net_tls_server_new(pki_path(pki, "host.pem"), NULL, &server_tls, &err) ||
           net_tls_client_new(&settings, &client_tls, &err);
}

static int teardown(void **state)
{
    (void)state;
    net_tls_unref(server_tls);
    net_tls_unref(client_tls);
    pki_free(pki);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_megabytes_both_ways),
        cmocka_unit_test(test_rests),
        cmocka_unit_test(test_half_close),
        cmocka_unit_test(test_closing_in_each_event),
        cmocka_unit_test(test_closed_before_ready),
        cmocka_unit_test(test_sent_in_order_and_never_inside),
        cmocka_unit_test(test_much_is_written_early),
        cmocka_unit_test(test_unacknowledged_comes_to_nothing),
        cmocka_unit_test(test_written_before_ready),
        cmocka_unit_test(test_paused_gets_nothing),
        cmocka_unit_test(test_little_is_kept),
        cmocka_unit_test(test_little_is_read_beside_many),
        cmocka_unit_test(test_deadline_of_the_handshake),
        cmocka_unit_test(test_deadline_of_an_answer),
        cmocka_unit_test(test_deadlines_go_by_the_loops_clock),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_reset_after_last_words),
        cmocka_unit_test(test_abort),
        cmocka_unit_test(test_guarded),
        cmocka_unit_test(test_end_is_a_failure_to_whom_it_says_nothing),
        cmocka_unit_test(test_silent_death_is_noticed),
        cmocka_unit_test(test_many_do_not_ask_together),
        cmocka_unit_test(test_who_the_peer_is),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
