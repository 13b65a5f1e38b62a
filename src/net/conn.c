/* The life of a connection: made, watched, failed, closed. */
#include "net/conn.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/conn_impl.h"

static void net_conn_late(void *owner);

struct net_conn *net_conn_new(struct net_loop *loop, const struct net_conn_events *events,
                              void *ctx)
{
    struct net_conn *conn = mem_new(struct net_conn);
    conn->loop = loop;
    conn->events = events;
    conn->ctx = ctx;
    conn->fd = -1;
    net_alarm_init(&conn->deadline, net_conn_late, conn);
    net_task_init(&conn->in_task, net_conn_run_input, conn);
    net_task_init(&conn->out_task, net_conn_run_output, conn);
    return conn;
}

void net_conn_attach(struct net_conn *conn, int fd, const union net_address *peer)
{
    char text[NET_ADDRESS_TEXT];
    conn->fd = fd;
    conn->peer = mem_strdup(net_address_format_port(text, sizeof text, peer));
    if (uv_poll_init(&conn->loop->uv, &conn->poll, fd))
        abort();
    conn->poll.data = conn;
}

void net_conn_set_events(struct net_conn *conn, const struct net_conn_events *events, void *ctx)
{
    conn->events = events;
    conn->ctx = ctx;
}

void net_conn_schedule_input(struct net_conn *conn)
{
    net_task_schedule(conn->loop, NET_PHASE_INPUT, &conn->in_task);
}

void net_conn_schedule_output(struct net_conn *conn)
{
    net_task_schedule(conn->loop, NET_PHASE_OUTPUT, &conn->out_task);
}

static void net_conn_polled(uv_poll_t *poll, int status, int events)
{
    struct net_conn *conn = poll->data;
    conn->loop->stirred = true;
    if (status < 0) {
        /* libuv stopped the poll over a POLLERR: reading or writing will say what it was. */
        conn->watched = 0;
        events = UV_READABLE | UV_WRITABLE;
    }
    if (conn->state == NET_CONN_SHAKING) {
        net_conn_shake(conn);
    } else {
        if (events & UV_WRITABLE || conn->write_wants_read) {
            conn->blocked = false;
            net_conn_run_output(conn);
        }
        if (events & UV_READABLE || conn->read_wants_write)
            net_conn_read(conn);
    }
    net_conn_watch(conn);
}

static int net_conn_wanted(const struct net_conn *conn)
{
    int wanted = 0;
    if (conn->state == NET_CONN_SHAKING)
        return conn->shake_wants == NET_IO_WANT_WRITE ? UV_WRITABLE : UV_READABLE;
    if (conn->state != NET_CONN_OPEN && conn->state != NET_CONN_TURNING)
        return 0;
    if ((net_conn_may_read(conn) && !conn->read_wants_write) || conn->write_wants_read)
        wanted |= UV_READABLE;
    if ((conn->blocked && !conn->write_wants_read) || conn->read_wants_write)
        wanted |= UV_WRITABLE;
    return wanted;
}

void net_conn_watch(struct net_conn *conn)
{
    int wanted = net_conn_wanted(conn);
    if (conn->fd < 0 || conn->state == NET_CONN_CLOSED || wanted == conn->watched)
        return;
    conn->watched = wanted;
    if (wanted)
        uv_poll_start(&conn->poll, wanted, net_conn_polled);
    else
        uv_poll_stop(&conn->poll);
}

void net_conn_note(struct net_conn *conn, const struct err *err)
{
    if (conn->failure)
        return;
    conn->failure = mem_new(struct err);
    *conn->failure = *err;
}

void net_conn_fail_noted(struct net_conn *conn)
{
    if (conn->state == NET_CONN_FAILED || conn->state == NET_CONN_CLOSED)
        return;
    net_conn_drop_setup(conn);
    conn->state = NET_CONN_FAILED;
    net_queue_drop(&conn->out);
    net_conn_watch(conn);
    net_alarm_clear(conn->loop, &conn->deadline);
    net_conn_schedule_output(conn);
}

void net_conn_fail(struct net_conn *conn, const struct err *err)
{
    net_conn_note(conn, err);
    net_conn_fail_noted(conn);
}

void net_conn_run_output(void *owner)
{
    struct net_conn *conn = owner;
    if (conn->state == NET_CONN_OPEN || conn->state == NET_CONN_TURNING)
        net_conn_flush(conn);
    net_conn_tell_output(conn);
    if (conn->state == NET_CONN_TURNING && !conn->setup->plain_left)
        net_conn_begin_shaking(conn);
    if (conn->state == NET_CONN_FAILED && conn->failure) {
        struct err *failure = conn->failure;
        conn->failure = NULL;
        conn->events->failed(conn->ctx, failure);
        free(failure);
    }
    net_conn_watch(conn);
}

static void net_conn_late(void *owner)
{
    struct net_conn *conn = owner;
    struct err err;
    if (conn->deadline_span % 1000)
        err_set(&err, ERR_RETRY_LATER, "no answer for %.1f s: %s",
                (double)conn->deadline_span / 1000, conn->deadline_what);
    else
        err_set(&err, ERR_RETRY_LATER, "no answer for %u s: %s",
                (unsigned)(conn->deadline_span / 1000), conn->deadline_what);
    if (conn->setup)
        err_prefix(&err, "%s", conn->setup->label);
    net_conn_fail(conn, &err);
}

void net_conn_set_deadline(struct net_conn *conn, msec_t after, const char *what)
{
    if (conn->state == NET_CONN_FAILED || conn->state == NET_CONN_CLOSED)
        return;
    conn->deadline_span = after;
    conn->deadline_what = what;
    if (after)
        net_alarm_set(conn->loop, &conn->deadline, after);
    else
        net_alarm_clear(conn->loop, &conn->deadline);
}

const char *net_conn_peer(const struct net_conn *conn)
{
    return conn->peer ? conn->peer : "";
}

char *net_conn_peer_network(const struct net_conn *conn, char *out, size_t cap)
{
    /* The kernel forgets the peer of a connection that was reset. */
    return net_address_text_network(out, cap, net_conn_peer(conn));
}

bool net_conn_tls_info(const struct net_conn *conn, struct net_tls_info *ret_info)
{
    if (!conn->ssl || !SSL_is_init_finished(conn->ssl))
        return false;
    net_tls_describe(conn->ssl, ret_info);
    return true;
}

bool net_conn_tls_binding(const struct net_conn *conn, struct net_tls_binding *ret_binding)
{
    return conn->ssl && SSL_is_init_finished(conn->ssl) && net_tls_bind(conn->ssl, ret_binding);
}

static void net_conn_free(struct net_conn *conn)
{
    buf_release(&conn->kept);
    free(conn->failure);
    free(conn->peer);
    free(conn);
}

static void net_conn_closed(uv_handle_t *handle)
{
    net_conn_free(handle->data);
}

/* RFC 8446 section 6.1: close_notify before the end; but not when that would make dropped output
 * look like all there was. */
static void net_conn_say_goodbye(struct net_conn *conn)
{
    if (conn->end_wanted && conn->state == NET_CONN_OPEN)
        net_conn_flush(conn); /* an end that was to come at the end of this turn */
    if (conn->guarded)
        return;
    if (conn->ssl && conn->state == NET_CONN_OPEN && !conn->end_sent && !conn->output_broken &&
        !conn->out.bytes)
        net_tls_end(conn->ssl);
}

void net_conn_close(struct net_conn *conn)
{
    if (!conn || conn->state == NET_CONN_CLOSED)
        return;
    net_conn_say_goodbye(conn);
    net_conn_drop_setup(conn);
    conn->state = NET_CONN_CLOSED;
    net_task_cancel(&conn->in_task);
    net_task_cancel(&conn->out_task);
    net_queue_release(&conn->out);
    SSL_free(conn->ssl);
    conn->ssl = NULL;
    net_alarm_clear(conn->loop, &conn->deadline);
    if (conn->fd >= 0) {
        uv_close((uv_handle_t *)&conn->poll, net_conn_closed);
        close(conn->fd);
        conn->fd = -1;
    } else {
        uv_idle_init(&conn->loop->uv, &conn->last);
        conn->last.data = conn;
        uv_close((uv_handle_t *)&conn->last, net_conn_closed);
    }
}

void net_conn_abort(struct net_conn *conn)
{
    if (conn && conn->fd >= 0) {
        conn->output_broken = true;
        net_socket_set_abrupt(conn->fd, true);
    }
    net_conn_close(conn);
}
