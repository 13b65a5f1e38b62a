#include "net/connect.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/loop_impl.h"

enum {
    NET_CONNECT_STAGGER = 250, /* RFC 8305 section 5: "Connection Attempt Delay" */
};

struct net_attempt {
    uv_poll_t poll;
    struct net_connect *connect;
    int fd; /* -1: not begun, or over */
    union net_address address;
};

struct net_connect {
    struct net_loop *loop;
    struct net_alarm stagger;
    struct net_task task;
    unsigned holds; /* while it is at work, and by each handle not yet closed */
    size_t begun, running, count;
    void (*done)(void *ctx, int fd, const union net_address *address, const struct err *err);
    void *ctx;
    char label[NET_LABEL_TEXT];
    char reasons[300]; /* "Connection refused (127.0.0.1), …" */
    struct net_attempt attempts[];
};

static void net_connect_next(struct net_connect *connect);

static void net_connect_let_go(struct net_connect *connect)
{
    if (!--connect->holds)
        free(connect);
}

static void net_connect_closed(uv_handle_t *handle)
{
    net_connect_let_go(handle->data);
}

static void net_attempt_stop(struct net_attempt *attempt)
{
    uv_close((uv_handle_t *)&attempt->poll, net_connect_closed);
    attempt->fd = -1;
    attempt->connect->running--;
}

void net_connect_cancel(struct net_connect *connect)
{
    if (!connect)
        return;
    for (size_t i = 0; i < connect->begun; i++) {
        int fd = connect->attempts[i].fd;
        if (fd < 0)
            continue;
        net_attempt_stop(&connect->attempts[i]);
        close(fd);
    }
    net_task_cancel(&connect->task);
    net_alarm_clear(connect->loop, &connect->stagger);
    net_connect_let_go(connect);
}

static void net_connect_note(struct net_connect *connect, const union net_address *address,
                             int error)
{
    char text[NET_ADDRESS_TEXT];
    size_t used = strlen(connect->reasons);
    snprintf(connect->reasons + used, sizeof connect->reasons - used, "%s%s (%s)", used ? ", " : "",
             err_errno_text(error), net_address_format(text, sizeof text, address));
}

static void net_connect_fail(struct net_connect *connect)
{
    struct err err;
    void (*done)(void *, int, const union net_address *, const struct err *) = connect->done;
    void *ctx = connect->ctx;
    err_set(&err, ERR_RETRY_LATER, "cannot connect to %s: %s", connect->label, connect->reasons);
    net_connect_cancel(connect);
    done(ctx, -1, NULL, &err);
}

/* The attempts that lost are closed before the winner is handed over. That of the winner keeps the
 * memory until then. */
static void net_connect_win(struct net_connect *connect, struct net_attempt *attempt)
{
    int fd = attempt->fd;
    net_attempt_stop(attempt);
    net_connect_cancel(connect);
    connect->done(connect->ctx, fd, &attempt->address, NULL);
}

static void net_attempt_fail(struct net_attempt *attempt, int error)
{
    struct net_connect *connect = attempt->connect;
    int fd = attempt->fd;
    net_connect_note(connect, &attempt->address, error);
    net_attempt_stop(attempt);
    close(fd);
    net_connect_next(connect);
}

/* The status says nothing: libuv makes EBADF of every POLLERR. The socket knows better. */
static void net_attempt_polled(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    struct net_attempt *attempt = (struct net_attempt *)poll;
    attempt->connect->loop->stirred = true;
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(attempt->fd, SOL_SOCKET, SO_ERROR, &error, &size))
        error = errno;
    if (error)
        net_attempt_fail(attempt, error);
    else
        net_connect_win(attempt->connect, attempt);
}

/* 0, or the errno of why it could not even begin. */
static int net_attempt_begin(struct net_attempt *attempt)
{
    struct net_connect *owner = attempt->connect;
    const union net_address *address = &attempt->address;
    int fd = net_socket_new(address->any.sa_family);
    if (fd < 0)
        return errno;
    net_socket_tune(fd);
    net_socket_limit_output(fd);
    if (connect(fd, &address->any, net_address_size(address)) && errno != EINPROGRESS) {
        int error = errno;
        close(fd);
        return error;
    }
    int failed = uv_poll_init(&owner->loop->uv, &attempt->poll, fd);
    if (failed) {
        close(fd);
        return -failed;
    }
    attempt->fd = fd;
    attempt->poll.data = owner;
    owner->holds++;
    owner->running++;
    uv_poll_start(&attempt->poll, UV_WRITABLE, net_attempt_polled);
    return 0;
}

/* Begins the next attempt; may end the whole when there is none and none is running. */
static void net_connect_next(struct net_connect *connect)
{
    while (connect->begun < connect->count) {
        struct net_attempt *attempt = &connect->attempts[connect->begun++];
        int error = net_attempt_begin(attempt);
        if (!error) {
            net_alarm_set(connect->loop, &connect->stagger, NET_CONNECT_STAGGER);
            return;
        }
        net_connect_note(connect, &attempt->address, error);
        if (error == EMFILE || error == ENFILE)
            connect->begun = connect->count; /* the others would fare no better */
    }
    if (!connect->running)
        net_connect_fail(connect);
}

static void net_connect_due(void *owner)
{
    net_connect_next(owner);
}

struct net_connect *net_connect_start(
    struct net_loop *loop, const struct net_addresses *addresses, const char *host, uint16_t port,
    void (*done)(void *ctx, int fd, const union net_address *address, const struct err *err),
    void *ctx)
{
    struct net_connect *connect =
        mem_zalloc(sizeof *connect + addresses->count * sizeof *connect->attempts);
    connect->loop = loop;
    connect->count = addresses->count;
    connect->done = done;
    connect->ctx = ctx;
    net_label(connect->label, sizeof connect->label, host, port);
    for (size_t i = 0; i < addresses->count; i++) {
        struct net_attempt *attempt = &connect->attempts[i];
        *attempt = (struct net_attempt){.connect = connect, .fd = -1};
        attempt->address = addresses->list[i];
        net_address_set_port(&attempt->address, port);
    }
    connect->holds = 1;
    net_alarm_init(&connect->stagger, net_connect_due, connect);
    net_task_init(&connect->task, net_connect_due, connect);
    net_task_schedule(loop, NET_PHASE_INPUT, &connect->task);
    return connect;
}
