/* Until a connection is ready: resolve, connect, shake hands; and TLS started later. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"
#include "net/conn_impl.h"

enum {
    NET_ACCEPT_DEADLINE = 30 * 1000,
    NET_TLS_HANDSHAKE = 22, /* RFC 8446 section 5.1: ContentType */
    NET_TLS_ALERT = 21,
};

/* `label` names the peer in messages. */
static struct net_conn_setup *net_conn_new_setup(struct net_conn *conn, const char *host,
                                                 const char *label, struct net_tls *tls)
{
    size_t size = strlen(host) + 1;
    struct net_conn_setup *setup = mem_zalloc(sizeof *setup + size);
    memcpy(setup->host, host, size);
    snprintf(setup->label, sizeof setup->label, "%s", label);
    setup->tls = tls ? net_tls_ref(tls) : NULL;
    conn->setup = setup;
    return setup;
}

void net_conn_drop_setup(struct net_conn *conn)
{
    struct net_conn_setup *setup = conn->setup;
    if (!setup)
        return;
    conn->setup = NULL;
    net_lookup_cancel(&setup->lookup);
    net_connect_cancel(setup->connect);
    net_tls_check_release(&setup->check);
    net_tls_unref(setup->tls);
    free(setup);
}

/* Whoever writes in `ready` writes behind what was queued before it. */
static void net_conn_stand(struct net_conn *conn)
{
    net_conn_drop_setup(conn);
    net_conn_set_deadline(conn, 0, NULL);
    conn->state = NET_CONN_OPEN;
    net_conn_schedule_output(conn);
    net_conn_schedule_input(conn); /* OpenSSL may hold the peer's first words */
    net_conn_watch(conn);
    conn->events->ready(conn->ctx);
}

/* The context of the callbacks is the connection itself: it outlives its setup. */
static void net_conn_connected(void *ctx, int fd, const union net_address *address,
                               const struct err *err)
{
    struct net_conn *conn = ctx;
    conn->setup->connect = NULL;
    if (fd < 0) {
        net_conn_fail(conn, err);
        return;
    }
    net_conn_attach(conn, fd, address);
    if (conn->setup->tls)
        net_conn_begin_shaking(conn);
    else
        net_conn_stand(conn);
}

static void net_conn_resolved(void *ctx, const struct net_addresses *found, const struct err *err)
{
    struct net_conn *conn = ctx;
    struct net_conn_setup *setup = conn->setup;
    if (!found) {
        net_conn_fail(conn, err);
        return;
    }
    conn->deadline_what = "connecting";
    setup->connect =
        net_connect_start(conn->loop, found, setup->host, setup->port, net_conn_connected, conn);
}

struct net_conn *net_conn_open(struct net_loop *loop, const struct net_conn_target *target,
                               const struct net_conn_events *events, void *ctx)
{
    struct net_conn *conn = net_conn_new(loop, events, ctx);
    char label[NET_LABEL_TEXT];
    net_label(label, sizeof label, target->host, target->port);
    struct net_conn_setup *setup = net_conn_new_setup(conn, target->host, label, target->tls);
    setup->port = target->port;
    net_conn_set_deadline(conn, target->deadline, "looking up the host name");
    net_lookup_start(&setup->lookup, loop->resolver, setup->host, net_conn_resolved, conn);
    return conn;
}

struct net_conn *net_conn_accept(struct net_loop *loop, int fd, const union net_address *peer,
                                 struct net_tls *tls, const struct net_conn_events *events,
                                 void *ctx)
{
    struct net_conn *conn = net_conn_new(loop, events, ctx);
    net_conn_attach(conn, fd, peer);
    if (tls) {
        net_conn_new_setup(conn, "", conn->peer, tls);
        net_conn_set_deadline(conn, NET_ACCEPT_DEADLINE, "the TLS handshake");
        net_conn_begin_shaking(conn);
    } else {
        conn->state = NET_CONN_OPEN;
        net_conn_watch(conn);
    }
    return conn;
}

/* Nothing that the peer says goes to OpenSSL before we have looked at it: it may come while our own
 * first bytes are on their way out, and OpenSSL reads on by itself behind them. */
static long net_conn_hold_read(BIO *bio, int operation, const char *data, size_t len, int argi,
                               long argl, int ret, size_t *processed)
{
    (void)data, (void)len, (void)argi, (void)argl, (void)processed;
    if (operation != BIO_CB_READ)
        return ret;
    BIO_set_retry_read(bio);
    return -1;
}

void net_conn_begin_shaking(struct net_conn *conn)
{
    struct net_conn_setup *setup = conn->setup;
    conn->state = NET_CONN_SHAKING;
    conn->deadline_what = "the TLS handshake";
    conn->ssl = net_tls_start(setup->tls, conn->fd, setup->host, &setup->check);
    if (!setup->tls->server)
        BIO_set_callback_ex(SSL_get_rbio(conn->ssl), net_conn_hold_read);
    /* A client has the first word. */
    conn->shake_wants = setup->tls->server ? NET_IO_WANT_READ : NET_IO_WANT_WRITE;
    net_conn_watch(conn);
}

/* A server that speaks in the clear where TLS was expected is best shown by its own words. */
static bool net_conn_speaks_tls(struct net_conn *conn)
{
    uint8_t words[80];
    char shown[100];
    struct err err;
    ssize_t len = recv(conn->fd, words, sizeof words, MSG_PEEK | MSG_DONTWAIT);
    if (len < 0 && (errno == EAGAIN || errno == EINTR))
        return true; /* nothing yet */
    conn->setup->spoken = true;
    BIO_set_callback_ex(SSL_get_rbio(conn->ssl), NULL);
    /* What is wrong with the socket OpenSSL will find. */
    if (len <= 0 || words[0] == NET_TLS_HANDSHAKE || words[0] == NET_TLS_ALERT)
        return true;
    size_t shown_len = (size_t)len;
    while (shown_len && (words[shown_len - 1] == '\n' || words[shown_len - 1] == '\r'))
        shown_len--;
    text_escape(shown, sizeof shown, words, shown_len);
    err_set(&err, ERR_GIVE_UP, "%s: no TLS spoken there: it says \"%s\"; look at port and tls",
            conn->setup->label, shown);
    net_conn_fail(conn, &err);
    return false;
}

void net_conn_shake(struct net_conn *conn)
{
    struct net_conn_setup *setup = conn->setup;
    struct err err;
    if (!setup->spoken && !setup->tls->server && !net_conn_speaks_tls(conn))
        return;
    enum net_io io = net_tls_shake(conn->ssl, &setup->check, &err);
    if (io == NET_IO_MORE) {
        net_conn_stand(conn);
    } else if (io == NET_IO_WANT_READ || io == NET_IO_WANT_WRITE) {
        conn->shake_wants = io;
    } else {
        if (io == NET_IO_END)
            err_set(&err, ERR_RETRY_LATER, "the TLS handshake failed: the peer ended it");
        err_prefix(&err, "%s", setup->label);
        net_conn_fail(conn, &err);
    }
}

/* Whether the peer said more than it should have before TLS. What the owner was just given and
 * does not take is looked at when it returns (input.c). */
static bool net_conn_is_injected(const struct net_conn *conn)
{
    uint8_t byte;
    return conn->kept.len != conn->kept_from ||
           recv(conn->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

void net_conn_fail_injected(struct net_conn *conn)
{
    struct err err;
    err_set(&err, ERR_GIVE_UP,
            "%s: bytes came before TLS began: somebody may be injecting into the connection",
            conn->setup->label);
    net_conn_fail(conn, &err);
}

void net_conn_start_tls(struct net_conn *conn, struct net_tls *tls, const char *host,
                        msec_t deadline)
{
    if (conn->state != NET_CONN_OPEN)
        return;
    assert(!conn->ssl);
    net_conn_new_setup(conn, host ? host : "", conn->peer, tls);
    if (net_conn_is_injected(conn)) {
        net_conn_fail_injected(conn);
        return;
    }
    net_conn_set_deadline(conn, deadline, "the TLS handshake");
    conn->setup->plain_left = conn->out.bytes;
    conn->state = NET_CONN_TURNING;
    net_conn_schedule_output(conn);
}
