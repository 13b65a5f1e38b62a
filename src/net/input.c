/* Reading: from the socket or out of TLS into the loop's one buffer, and out to the owner. */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "net/conn_impl.h"

enum {
    NET_READ_LITTLE = 4096, /* at a time, where the owner may have to keep it */
};

bool net_conn_may_read(const struct net_conn *conn)
{
    return conn->state == NET_CONN_OPEN && !conn->paused && !conn->ended_told;
}

static enum net_io net_conn_read_plain(struct net_conn *conn, uint8_t *data, size_t cap,
                                       size_t *ret_len, struct err *err)
{
    ssize_t len = recv(conn->fd, data, cap, 0);
    *ret_len = len > 0 ? (size_t)len : 0;
    if (len > 0) /* a short read emptied the socket: polling it is as good as trying */
        return *ret_len == cap ? NET_IO_MORE : NET_IO_WANT_READ;
    if (!len)
        return NET_IO_END;
    if (errno == EAGAIN || errno == EINTR)
        return NET_IO_WANT_READ;
    err_set(err, ERR_RETRY_LATER, "the connection broke: %s", err_errno_text(errno));
    return NET_IO_BROKEN;
}

/* Reads once into the loop's buffer. An end is noted, to be told behind the bytes before it: the
 * kernel tells of a reset only once. */
static enum net_io net_conn_fill(struct net_conn *conn, size_t share, size_t *ret_len,
                                 size_t *ret_cost)
{
    struct err err;
    uint8_t *data = conn->loop->read_buffer;
    bool little = conn->loop->reads_little;
    size_t most = little ? NET_READ_LITTLE : NET_READ_BUFFER;
    if (most > share)
        most = share;
    if (conn->ssl)
        net_tls_read_ahead(conn->ssl, !little);
    enum net_io io = conn->ssl ? net_tls_read(conn->ssl, data, most, ret_len, ret_cost, &err)
                               : net_conn_read_plain(conn, data, most, ret_len, &err);
    if (!conn->ssl)
        *ret_cost = *ret_len;
    conn->loop->read_cost += *ret_cost;
    conn->read_wants_write = io == NET_IO_WANT_WRITE;
    conn->loop->came += *ret_len;
    conn->input_over = io == NET_IO_END || io == NET_IO_BROKEN;
    if (io == NET_IO_BROKEN)
        net_conn_note(conn, &err);
    return io;
}

/* Hands out fresh bytes; keeps, in memory of just that size, what is not taken. */
static void net_conn_give(struct net_conn *conn, const uint8_t *data, size_t len)
{
    size_t taken = conn->events->data(conn->ctx, data, len);
    if (taken >= len || conn->state == NET_CONN_CLOSED)
        return;
    conn->paused = true;
    conn->kept_from = 0;
    buf_reserve_exact(&conn->kept, len - taken);
    buf_add(&conn->kept, data + taken, len - taken);
    if (conn->state == NET_CONN_TURNING)
        net_conn_fail_injected(conn);
}

static void net_conn_give_kept(struct net_conn *conn)
{
    size_t len = conn->kept.len - conn->kept_from;
    /* Nothing counts as kept during the call, and the buffer stays where it is, whatever the
     * owner does meanwhile. */
    conn->kept_from = conn->kept.len;
    size_t taken = conn->events->data(conn->ctx, conn->kept.data + conn->kept.len - len, len);
    if (conn->state == NET_CONN_CLOSED)
        return;
    if (taken >= len) {
        buf_release(&conn->kept);
        conn->kept_from = 0;
    } else {
        conn->kept_from -= len - taken;
        conn->paused = true;
        if (conn->state == NET_CONN_TURNING)
            net_conn_fail_injected(conn);
    }
}

/* All that came before the end was handed out. */
static void net_conn_tell_end(struct net_conn *conn)
{
    struct err err;
    if (conn->failure) {
        net_conn_fail_noted(conn);
    } else if (conn->events->ended) {
        conn->ended_told = true;
        conn->events->ended(conn->ctx);
    } else {
        err_set(&err, ERR_RETRY_LATER, "the peer ended the connection");
        net_conn_fail(conn, &err);
    }
}

void net_conn_read(struct net_conn *conn)
{
    size_t share = conn->loop->read_share;
    while (net_conn_may_read(conn)) {
        size_t len = 0, cost = 0;
        if (conn->kept.len) {
            net_conn_give_kept(conn);
            continue;
        }
        if (conn->input_over) {
            net_conn_tell_end(conn);
            return;
        }
        if (!share) {
            net_conn_schedule_input(conn);
            return;
        }
        enum net_io io = net_conn_fill(conn, share, &len, &cost);
        share -= cost < share ? cost : share;
        if (len)
            net_conn_give(conn, conn->loop->read_buffer, len);
        if (io == NET_IO_WANT_READ || io == NET_IO_WANT_WRITE)
            break;
    }
    /* The last words of a peer that takes no more are heard; there is nothing else to wait for. */
    if (conn->output_broken)
        net_conn_fail_noted(conn);
}

void net_conn_run_input(void *owner)
{
    struct net_conn *conn = owner;
    net_conn_read(conn);
    net_conn_watch(conn);
}

void net_conn_pause(struct net_conn *conn)
{
    /* The poll is left as it is: if nothing comes before the resume, nothing was to be done. */
    conn->paused = true;
}

void net_conn_resume(struct net_conn *conn)
{
    conn->paused = false;
    if (conn->state == NET_CONN_OPEN)
        net_conn_schedule_input(conn);
}
