#include "peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "hpfeeds/server.h"
#include "net/conn.h"
#include "net/loop.h"

struct peer_link {
    struct peer_link *next;
    struct peer *peer;
    struct net_conn *conn;
    struct hpfeeds_server *server;
    bool subscribed;
    bool hanging; /* passes over what comes … */
    bool stuck;   /* … and over the end */
    bool drop_next;
    struct net_timer *late;
    bool dead;
};

/* Closing with this option set is answered by a reset. */
static void peer_make_reset(const struct net_conn *conn)
{
    const char *port = strrchr(net_conn_peer(conn), ':');
    struct linger linger = {.l_onoff = 1, .l_linger = 0};

    for (int fd = 3; port && fd < 1024; fd++) {
        struct sockaddr_in other;
        struct sockaddr_in own;
        socklen_t len = sizeof other;
        socklen_t own_len = sizeof own;
        if (getpeername(fd, (struct sockaddr *)&other, &len) ||
            getsockname(fd, (struct sockaddr *)&own, &own_len) || other.sin_family != AF_INET)
            continue;
        if (ntohs(other.sin_port) == strtoul(port + 1, NULL, 10))
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    }
}

static void peer_link_free(struct peer_link *link)
{
    struct peer_link **at = &link->peer->links;
    while (*at != link)
        at = &(*at)->next;
    *at = link->next;
    link->peer->open--;
    net_conn_close(link->conn);
    net_timer_free(link->late);
    hpfeeds_server_free(link->server);
    free(link);
}

static void peer_link_flush(struct peer_link *link)
{
    struct buf *output = hpfeeds_server_output(link->server);
    net_conn_write(link->conn, output->data, output->len);
    buf_clear(output);
}

static void peer_link_say_error(struct peer_link *link, enum peer_answer how)
{
    struct buf frame = {0};
    hpfeeds_add_error(&frame, link->peer->words ? link->peer->words : "not \x1b[31mallowed");
    if (how == PEER_LONG_ERROR_CLOSE)
        buf_add_byte(&frame, 0);
    else if (how == PEER_TORN_ERROR_CLOSE)
        frame.len--;
    else if (how == PEER_BAD_ERROR_CLOSE)
        frame.data[3] = 4;
    net_conn_write(link->conn, frame.data, frame.len);
    buf_release(&frame);
}

static void peer_back(void *ctx)
{
    struct peer *peer = ctx;
    peer_start(peer, peer->loop);
}

/* The link at hand is left to its caller. */
static void peer_crash(struct peer_link *link)
{
    struct peer *peer = link->peer;
    struct peer_link *other = peer->links;

    while (other) {
        struct peer_link *next = other->next;
        peer_make_reset(other->conn);
        if (other != link)
            peer_link_free(other);
        other = next;
    }
    link->dead = true;
    net_listener_free(peer->listener);
    peer->listener = NULL;
    net_timer_start(peer->back, peer->away);
}

static void peer_pause(struct peer *peer)
{
    peer->paused = true;
    for (struct peer_link *link = peer->links; link; link = link->next)
        net_conn_pause(link->conn);
}

static void peer_link_answer(struct peer_link *link, enum peer_answer answer)
{
    switch (answer) {
    case PEER_TAKE:
    case PEER_IGNORE:
        break;
    case PEER_ERROR_OPEN:
        peer_link_say_error(link, answer);
        break;
    case PEER_ERROR_CLOSE:
    case PEER_LONG_ERROR_CLOSE:
    case PEER_TORN_ERROR_CLOSE:
    case PEER_BAD_ERROR_CLOSE:
        peer_link_say_error(link, answer);
        net_conn_end(link->conn);
        link->hanging = true;
        break;
    case PEER_ERROR_DROP_CLOSE:
        peer_link_say_error(link, answer);
        link->drop_next = true;
        break;
    case PEER_CLOSE:
        net_conn_end(link->conn);
        link->hanging = true;
        break;
    case PEER_RESET:
        peer_make_reset(link->conn);
        link->dead = true;
        break;
    case PEER_HANG:
        link->hanging = link->stuck = true;
        break;
    case PEER_STOP_READING:
        link->hanging = true;
        net_conn_pause(link->conn);
        break;
    case PEER_PAUSE:
        peer_pause(link->peer);
        break;
    case PEER_CRASH:
        peer_crash(link);
        break;
    }
}

static void peer_echo(struct peer *peer, const struct peer_link *from,
                      const struct hpfeeds_frame *frame)
{
    struct buf echo = {0};
    char ident[256];
    char channel[256];

    snprintf(ident, sizeof ident, "%.*s", (int)frame->ident_len, frame->ident);
    snprintf(channel, sizeof channel, "%.*s", (int)frame->channel_len, frame->channel);
    hpfeeds_add_publish(&echo, peer->other_ident ? peer->other_ident : ident, channel,
                        frame->payload, frame->payload_len);
    if (peer->wrong_echo)
        echo.data[echo.len - 1] ^= 1;
    for (struct peer_link *link = peer->links; link; link = link->next) {
        bool wanted = link == from ? peer->echo_same : peer->echo_second;
        if (link->subscribed && wanted && !link->hanging)
            net_conn_write(link->conn, echo.data, echo.len);
    }
    buf_release(&echo);
}

static void peer_record(struct peer *peer, const struct hpfeeds_frame *frame)
{
    peer->records = mem_realloc_array(peer->records, peer->record_count + 1, sizeof *peer->records);
    struct peer_record *record = &peer->records[peer->record_count++];
    *record = (struct peer_record){.channel = mem_strndup(frame->channel, frame->channel_len)};
    buf_add(&record->whole, frame->whole, frame->whole_len);
    record->payload = record->whole.data + (frame->whole_len - frame->payload_len);
    record->payload_len = frame->payload_len;
}

static void peer_link_auth(struct peer_link *link)
{
    struct peer *peer = link->peer;
    if (hpfeeds_server_check(link->server, peer->secret)) {
        peer->logins++;
        peer_link_answer(link, peer->on_good_auth);
        return;
    }
    peer->refused_logins++;
    peer_link_answer(link, peer->on_auth == PEER_TAKE ? PEER_ERROR_CLOSE : peer->on_auth);
    link->hanging = true;
}

static void peer_link_late_error(void *ctx)
{
    peer_link_say_error(ctx, PEER_ERROR_OPEN);
}

static void peer_link_published(struct peer_link *link, const struct hpfeeds_frame *frame)
{
    struct peer *peer = link->peer;
    bool marker = frame->channel_len == strlen(peer->confirm_channel) &&
                  !memcmp(frame->channel, peer->confirm_channel, frame->channel_len);

    if (marker) {
        peer->markers++;
        peer_link_answer(link, peer->on_marker);
        if (peer->on_marker == PEER_TAKE)
            peer_echo(peer, link, frame);
        if (link->late)
            net_timer_start(link->late, peer->late_error);
        return;
    }
    if (peer->late_error) {
        if (!link->late)
            link->late = net_timer_new(peer->loop, peer_link_late_error, link);
        return;
    }
    if (peer->poison && peer->poisoned &&
        memmem(frame->payload, frame->payload_len, peer->poison, strlen(peer->poison))) {
        peer->poisoned--;
        peer_link_answer(link, peer->on_poison);
        return;
    }
    if (peer->on_publish == PEER_TAKE)
        peer_record(peer, frame);
    peer_link_answer(link, peer->on_publish);
}

static bool peer_link_killed(struct peer_link *link)
{
    struct peer *peer = link->peer;
    if (!peer->kills || !peer->kill_after || peer->record_count < peer->kill_after)
        return false;
    peer->kills--;
    peer_link_answer(link, peer->kill);
    return peer->kill != PEER_PAUSE;
}

static void peer_link_handle(struct peer_link *link, const struct hpfeeds_server_event *event)
{
    if (link->drop_next) {
        peer_link_answer(link, PEER_CLOSE);
        return;
    }
    if (event->type != HPFEEDS_SERVER_AUTH && peer_link_killed(link))
        return;
    switch (event->type) {
    case HPFEEDS_SERVER_AUTH:
        peer_link_auth(link);
        break;
    case HPFEEDS_SERVER_PUBLISH:
        peer_link_published(link, &event->frame);
        break;
    case HPFEEDS_SERVER_SUBSCRIBE:
        link->peer->subscribes++;
        link->subscribed = link->peer->on_subscribe == PEER_TAKE;
        peer_link_answer(link, link->peer->on_subscribe);
        break;
    case HPFEEDS_SERVER_UNSUBSCRIBE:
        break;
    }
}

static bool peer_is_cut(struct peer *peer, size_t len)
{
    peer->bytes += len;
    if (!peer->cut_after || peer->bytes < peer->cut_after)
        return false;
    peer->cut_after = 0;
    return true;
}

static size_t peer_link_data(void *ctx, const uint8_t *data, size_t len)
{
    struct peer_link *link = ctx;
    struct hpfeeds_server_event event;
    int got = 0;

    if (link->hanging)
        return len;
    if (peer_is_cut(link->peer, len)) {
        peer_crash(link);
        peer_link_free(link);
        return len;
    }
    hpfeeds_server_feed(link->server, data, len);
    while (!link->dead && !link->hanging &&
           (got = hpfeeds_server_next(link->server, &event, NULL)) > 0)
        peer_link_handle(link, &event);
    if (got < 0 && !link->hanging)
        peer_link_answer(link, link->peer->on_excess);
    if (link->dead)
        peer_link_free(link);
    return len;
}

static void peer_link_ended(void *ctx)
{
    struct peer_link *link = ctx;
    struct peer *peer = link->peer;

    peer->ends++;
    if (link->stuck)
        return;
    if (peer_link_killed(link)) {
        if (link->dead)
            peer_link_free(link);
        return;
    }
    if (peer->on_end == PEER_HANG)
        return;
    if (peer->on_end == PEER_RESET)
        peer_make_reset(link->conn);
    if (peer->on_end == PEER_ERROR_CLOSE)
        peer_link_answer(link, PEER_ERROR_CLOSE);
    else
        peer_link_free(link);
}

static void peer_link_failed(void *ctx, const struct err *err)
{
    (void)err;
    peer_link_free(ctx);
}

static void peer_link_ready(void *ctx)
{
    (void)ctx;
}

static const struct net_conn_events peer_link_events = {
    .ready = peer_link_ready,
    .data = peer_link_data,
    .ended = peer_link_ended,
    .failed = peer_link_failed,
};

static void peer_accepted(void *ctx, struct net_conn *conn)
{
    static const uint8_t nonce[4] = {1, 2, 3, 4};
    struct peer *peer = ctx;
    struct peer_link *link = mem_new(struct peer_link);

    link->peer = peer;
    link->conn = conn;
    link->next = peer->links;
    peer->links = link;
    peer->open++;
    peer->accepted++;
    link->server = hpfeeds_server_new("peer", nonce, sizeof nonce, peer->frame_max);
    net_conn_set_events(conn, &peer_link_events, link);
    if (peer->paused)
        net_conn_pause(conn);
    else if (peer->on_connect == PEER_TAKE)
        peer_link_flush(link);
    peer_link_answer(link, peer->on_connect);
    if (link->dead)
        peer_link_free(link);
}

static const struct net_listener_events peer_listener_events = {.accepted = peer_accepted};

/* A socket bound to a free port and never listening: connecting there is refused, and while the
 * peer is away the kernel gives the port to nobody else, as the source of a connection say. */
static int peer_hold_port(uint16_t *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) ||
        bind(fd, (struct sockaddr *)&address, size) ||
        getsockname(fd, (struct sockaddr *)&address, &size)) {
        perror("peer: no port");
        abort();
    }
    *ret_port = ntohs(address.sin_port);
    return fd;
}

void peer_start(struct peer *peer, struct net_loop *loop)
{
    struct err err;
    peer->loop = loop;
    if (!peer->back) {
        peer->back = net_timer_new(loop, peer_back, peer);
        peer->hold = peer_hold_port(&peer->port);
    }
    if (!peer->frame_max)
        peer->frame_max = 1 << 20;
    if (net_listener_new(loop, "127.0.0.1", peer->port, peer->tls, &peer_listener_events, peer,
                         &peer->listener, &err)) {
        fprintf(stderr, "peer: %s\n", err.text);
        abort();
    }
}

void peer_drop_newest(struct peer *peer, enum peer_answer how)
{
    if (!peer->links)
        return;
    if (how == PEER_RESET)
        peer_make_reset(peer->links->conn);
    peer_link_free(peer->links);
}

void peer_drop_links(struct peer *peer, enum peer_answer how)
{
    while (peer->links)
        peer_drop_newest(peer, how);
}

void peer_go_on(struct peer *peer)
{
    peer->paused = false;
    for (struct peer_link *link = peer->links; link; link = link->next) {
        if (link->hanging)
            continue;
        peer_link_flush(link); /* the INFO of those that came meanwhile */
        net_conn_resume(link->conn);
    }
}

void peer_say(struct peer *peer, const void *data, size_t len)
{
    for (struct peer_link *link = peer->links; link; link = link->next)
        if (!link->hanging)
            net_conn_write(link->conn, data, len);
}

void peer_say_error(struct peer *peer)
{
    for (struct peer_link *link = peer->links; link; link = link->next)
        peer_link_answer(link, PEER_ERROR_CLOSE);
}

void peer_stop(struct peer *peer, enum peer_answer how)
{
    net_listener_free(peer->listener);
    peer->listener = NULL;
    peer_drop_links(peer, how);
}

void peer_release(struct peer *peer)
{
    peer_stop(peer, PEER_CLOSE);
    if (peer->back)
        close(peer->hold);
    net_timer_free(peer->back);
    peer->back = NULL;
    for (size_t i = 0; i < peer->record_count; i++) {
        free(peer->records[i].channel);
        buf_release(&peer->records[i].whole);
    }
    free(peer->records);
    peer->records = NULL;
    peer->record_count = 0;
}

size_t peer_handled(const struct peer *peer, const char *channel, const void *payload, size_t len)
{
    size_t count = 0;
    for (size_t i = 0; i < peer->record_count; i++) {
        const struct peer_record *record = &peer->records[i];
        count += !strcmp(record->channel, channel) && record->payload_len == len &&
                 (!len || !memcmp(record->payload, payload, len));
    }
    return count;
}
