/* Writing: what is queued goes out at the end of a turn, many pieces at once. */
#include <errno.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "net/conn_impl.h"

enum {
    NET_WRITE_PARTS = 64,
    /* More than this is not left to wait for the end of the turn. */
    NET_WRITE_EARLY = 128 * 1024,
};

static enum net_io net_conn_write_plain(struct net_conn *conn, size_t limit, size_t *ret_len,
                                        struct err *err)
{
    struct iovec parts[NET_WRITE_PARTS];
    struct msghdr message = {.msg_iov = parts};
    message.msg_iovlen = (size_t)net_queue_parts(&conn->out, parts, NET_WRITE_PARTS, limit);
    ssize_t len = sendmsg(conn->fd, &message, MSG_NOSIGNAL);
    if (len >= 0) {
        *ret_len = (size_t)len;
        conn->plain_written += (size_t)len;
        return NET_IO_MORE;
    }
    if (errno == EAGAIN || errno == EINTR || errno == ENOBUFS)
        return NET_IO_WANT_WRITE;
    err_set(err, ERR_RETRY_LATER, "the connection broke: %s", err_errno_text(errno));
    return NET_IO_BROKEN;
}

static enum net_io net_conn_write_record(struct net_conn *conn, size_t *ret_len, struct err *err)
{
    size_t len;
    const void *data = net_queue_join(&conn->out, conn->loop->record, NET_RECORD, &len);
    enum net_io io = net_tls_write(conn->ssl, data, len, ret_len, err);
    if (data == conn->loop->record)
        mem_wipe(conn->loop->record, len);
    return io;
}

/* The peer's last words may be there still: they are read before the failure is told. */
static void net_conn_break_output(struct net_conn *conn, const struct err *err)
{
    net_conn_note(conn, err);
    conn->output_broken = true;
    net_queue_drop(&conn->out);
    if (net_conn_may_read(conn))
        net_conn_schedule_input(conn);
    else
        net_conn_fail_noted(conn);
}

static void net_conn_send_end(struct net_conn *conn)
{
    enum net_io io = conn->ssl ? net_tls_end(conn->ssl) : NET_IO_MORE;
    if (io == NET_IO_WANT_WRITE) {
        conn->blocked = true;
        return;
    }
    conn->end_sent = true;
    if (conn->guarded)
        net_socket_set_abrupt(conn->fd, false);
    shutdown(conn->fd, SHUT_WR);
}

/* Writes up to `limit` bytes; false when it has to stop before that. */
static bool net_conn_write_out(struct net_conn *conn, size_t limit)
{
    while (limit) {
        struct err err;
        size_t len = 0;
        enum net_io io = conn->ssl ? net_conn_write_record(conn, &len, &err)
                                   : net_conn_write_plain(conn, limit, &len, &err);
        if (io == NET_IO_WANT_READ || io == NET_IO_WANT_WRITE) {
            conn->blocked = true;
            conn->write_wants_read = io == NET_IO_WANT_READ;
            return false;
        }
        if (io != NET_IO_MORE) {
            if (io == NET_IO_END)
                err_set(&err, ERR_RETRY_LATER, "the peer ended the connection");
            net_conn_break_output(conn, &err);
            return false;
        }
        net_queue_consume(&conn->out, len);
        if (conn->state == NET_CONN_TURNING)
            conn->setup->plain_left -= len;
        limit -= len;
    }
    return true;
}

void net_conn_flush(struct net_conn *conn)
{
    if (conn->blocked || conn->output_broken || conn->end_sent)
        return;
    conn->write_wants_read = false;
    size_t limit = conn->state == NET_CONN_TURNING ? conn->setup->plain_left : conn->out.bytes;
    if (!limit)
        net_queue_consume(&conn->out, 0); /* empty blocks are done, too */
    if (net_conn_write_out(conn, limit) && conn->end_wanted && conn->state == NET_CONN_OPEN)
        net_conn_send_end(conn);
}

void net_conn_tell_output(struct net_conn *conn)
{
    void (*sent)(void *ctx, void *token);
    void *token;
    while (net_queue_take_sent(&conn->out, &sent, &token))
        sent(conn->ctx, token);
    if (conn->state != NET_CONN_OPEN || !conn->undrained || conn->out.bytes)
        return;
    conn->undrained = false;
    if (conn->events->drained && !conn->output_broken)
        conn->events->drained(conn->ctx);
}

static bool net_conn_takes_output(const struct net_conn *conn)
{
    return conn->state != NET_CONN_FAILED && conn->state != NET_CONN_CLOSED &&
           !conn->output_broken && !conn->end_wanted;
}

static void net_conn_queued_more(struct net_conn *conn)
{
    conn->undrained = true;
    if (conn->state == NET_CONN_OPEN && conn->out.bytes > NET_WRITE_EARLY)
        net_conn_flush(conn);
    net_conn_schedule_output(conn);
}

void net_conn_write(struct net_conn *conn, const void *data, size_t len)
{
    if (!net_conn_takes_output(conn) || !len)
        return;
    net_queue_add(&conn->out, data, len);
    net_conn_queued_more(conn);
}

void net_conn_write_block(struct net_conn *conn, struct block *moved, size_t from,
                          void (*sent)(void *ctx, void *token), void *token)
{
    if (!net_conn_takes_output(conn)) {
        block_unref(moved);
        return;
    }
    net_queue_add_block(&conn->out, moved, from, sent, token);
    net_conn_queued_more(conn);
}

void net_conn_end(struct net_conn *conn)
{
    if (!net_conn_takes_output(conn))
        return;
    conn->end_wanted = true;
    net_conn_schedule_output(conn);
}

void net_conn_guard(struct net_conn *conn)
{
    if (conn->fd < 0 || conn->end_sent)
        return;
    conn->guarded = true;
    net_socket_set_abrupt(conn->fd, true);
}

size_t net_conn_queued(const struct net_conn *conn)
{
    return conn->out.bytes;
}

uint64_t net_conn_kernel_written(const struct net_conn *conn)
{
    return conn->plain_written + (conn->ssl ? net_tls_written(conn->ssl) : 0);
}

size_t net_conn_kernel_unacked(const struct net_conn *conn)
{
    int unacked = 0;
    if (conn->fd < 0)
        return 0;
    /* Where the kernel does not say, nothing is known to have been acknowledged. */
    if (ioctl(conn->fd, SIOCOUTQ, &unacked) || unacked < 0)
        return (size_t)net_conn_kernel_written(conn);
    return (size_t)unacked;
}

size_t net_conn_unacknowledged(const struct net_conn *conn)
{
    return conn->out.bytes + net_conn_kernel_unacked(conn);
}
