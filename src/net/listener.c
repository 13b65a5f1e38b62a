/* Accepting connections. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/conn_impl.h"

enum {
    NET_LISTENER_SHARE = 64,  /* accepted in one turn */
    NET_LISTENER_REST = 1000, /* ms, when descriptors ran out */
    NET_LISTENER_SPARE = 64,  /* descriptors that are not for who connects, where there are many */
};

/* A connection that has not shaken hands yet. */
struct net_newcomer {
    struct net_newcomer *prev, *next;
    struct net_listener *listener;
    struct net_conn *conn;
};

struct net_listener {
    struct net_loop *loop;
    struct net_tls *tls;
    const struct net_listener_events *events;
    void *ctx;
    uv_poll_t poll;
    struct net_alarm rest;
    int fd;     /* -1: freed */
    int fd_end; /* descriptors from here on are not for who connects */
    uint16_t port;
    msec_t handshake;              /* 0: what net_conn_accept() gives it */
    struct net_newcomer newcomers; /* head of a circular list */
};

static void net_newcomer_free(struct net_newcomer *newcomer)
{
    newcomer->prev->next = newcomer->next;
    newcomer->next->prev = newcomer->prev;
    free(newcomer);
}

static void net_newcomer_ready(void *ctx)
{
    struct net_newcomer *newcomer = ctx;
    struct net_listener *listener = newcomer->listener;
    struct net_conn *conn = newcomer->conn;
    net_newcomer_free(newcomer);
    listener->events->accepted(listener->ctx, conn);
}

static void net_listener_tell_dropped(const struct net_listener *listener,
                                      const struct net_conn *conn)
{
    char network[NET_ADDRESS_TEXT];
    if (listener->events->dropped)
        listener->events->dropped(listener->ctx,
                                  net_conn_peer_network(conn, network, sizeof network));
}

/* Who cannot shake hands was never here. */
static void net_newcomer_failed(void *ctx, const struct err *err)
{
    (void)err;
    struct net_newcomer *newcomer = ctx;
    net_listener_tell_dropped(newcomer->listener, newcomer->conn);
    net_conn_close(newcomer->conn);
    net_newcomer_free(newcomer);
}

static const struct net_conn_events net_newcomer_events = {
    .ready = net_newcomer_ready,
    .failed = net_newcomer_failed,
};

static bool net_listener_admits(const struct net_listener *listener, const union net_address *peer)
{
    char network[NET_ADDRESS_TEXT];
    return !listener->events->admit ||
           listener->events->admit(listener->ctx,
                                   net_address_network(network, sizeof network, peer));
}

static void net_listener_welcome(struct net_listener *listener, int fd,
                                 const union net_address *peer)
{
    if (!net_listener_admits(listener, peer)) {
        close(fd);
        return;
    }
    net_socket_tune(fd);
    if (!listener->tls) {
        struct net_conn *conn = net_conn_accept(listener->loop, fd, peer, NULL, NULL, NULL);
        listener->events->accepted(listener->ctx, conn);
        return;
    }
    struct net_newcomer *newcomer = mem_new(struct net_newcomer);
    newcomer->listener = listener;
    newcomer->next = &listener->newcomers;
    newcomer->prev = listener->newcomers.prev;
    newcomer->prev->next = newcomer->next->prev = newcomer;
    newcomer->conn =
        net_conn_accept(listener->loop, fd, peer, listener->tls, &net_newcomer_events, newcomer);
    if (listener->handshake)
        net_conn_set_deadline(newcomer->conn, listener->handshake, "the TLS handshake");
}

static void net_listener_polled(uv_poll_t *poll, int status, int events);

static void net_listener_rested(void *owner)
{
    struct net_listener *listener = owner;
    uv_poll_start(&listener->poll, UV_READABLE, net_listener_polled);
}

/* The waiting connection keeps the socket readable: without the rest this would spin. */
static void net_listener_rest(struct net_listener *listener)
{
    uv_poll_stop(&listener->poll);
    net_alarm_set(listener->loop, &listener->rest, NET_LISTENER_REST);
}

static void net_listener_polled(uv_poll_t *poll, int status, int events)
{
    (void)events;
    struct net_listener *listener = poll->data;
    listener->loop->stirred = true;
    if (status < 0) {
        net_listener_rest(listener);
        return;
    }
    for (int i = 0; i < NET_LISTENER_SHARE && listener->fd >= 0; i++) {
        union net_address peer = {0};
        socklen_t size = sizeof peer;
        int fd = accept4(listener->fd, &peer.any, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= listener->fd_end) {
            close(fd);
            net_listener_rest(listener);
            return;
        } else if (fd >= 0) {
            net_listener_welcome(listener, fd, &peer);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            net_listener_rest(listener);
            return;
        } else if (errno != ECONNABORTED && errno != EINTR) {
            return;
        }
    }
}

/* A socket bound to `address` and listening, or -1 and errno. */
static int net_listener_bind(const union net_address *address, const char *device)
{
    int on = 1, off = 0;
    int fd = net_socket_new(address->any.sa_family);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (address->any.sa_family == AF_INET6) /* "::" is all addresses, those of IPv4 too */
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if ((device &&
         setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, (socklen_t)strlen(device) + 1)) ||
        bind(fd, &address->any, net_address_size(address)) || listen(fd, SOMAXCONN)) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

/* All addresses: "::" takes in IPv4, and where there is no IPv6 its own "0.0.0.0" does. */
static int net_listener_bind_all(uint16_t port, const char *device)
{
    union net_address any = {.v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)}};
    int fd = net_listener_bind(&any, device);
    if (fd >= 0 || (errno != EAFNOSUPPORT && errno != EADDRNOTAVAIL))
        return fd;
    any = (union net_address){.v4 = {.sin_family = AF_INET, .sin_port = htons(port)}};
    return net_listener_bind(&any, device);
}

/* The first address of the family that can be bound to, or -1 and errno. */
static int net_listener_bind_one(const struct addrinfo *found, int family, uint16_t port,
                                 const char *device)
{
    int fd = -1;
    errno = EADDRNOTAVAIL;
    for (const struct addrinfo *info = found; info && fd < 0; info = info->ai_next) {
        union net_address address = {0};
        if (info->ai_family != family)
            continue;
        memcpy(&address, info->ai_addr, info->ai_addrlen);
        net_address_set_port(&address, port);
        fd = net_listener_bind(&address, device);
    }
    return fd;
}

/* A name such as localhost may have addresses of both families: those who know of one only, know
 * of IPv4. */
static int net_listener_bind_name(const char *host, uint16_t port, const char *device,
                                  struct err *err)
{
    struct addrinfo hints = {.ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found;
    char label[NET_LABEL_TEXT];
    net_label(label, sizeof label, host, port);
    int failed = getaddrinfo(host, NULL, &hints, &found);
    if (failed)
        return err_set(err, ERR_GIVE_UP, "cannot listen on %s: %s", label, gai_strerror(failed));
    int fd = net_listener_bind_one(found, AF_INET, port, device);
    if (fd < 0 && (errno == EADDRNOTAVAIL || errno == EAFNOSUPPORT))
        fd = net_listener_bind_one(found, AF_INET6, port, device);
    if (fd < 0)
        err_set(err, ERR_GIVE_UP, "cannot listen on %s: %s", label, err_errno_text(errno));
    freeaddrinfo(found);
    return fd;
}

static union net_address net_listener_own(int fd)
{
    union net_address own = {0};
    socklen_t size = sizeof own;
    getsockname(fd, &own.any, &size);
    return own;
}

uint16_t net_listen_port(int fd)
{
    union net_address own = net_listener_own(fd);
    return ntohs(own.any.sa_family == AF_INET6 ? own.v6.sin6_port : own.v4.sin_port);
}

/* A socket from elsewhere has to be what it is taken for. */
static int net_listener_adopt(int fd, struct err *err)
{
    int listens = 0;
    socklen_t size = sizeof listens;
    union net_address own = net_listener_own(fd);
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) || !listens ||
        (own.any.sa_family != AF_INET && own.any.sa_family != AF_INET6))
        return err_set(err, ERR_GIVE_UP, "descriptor %d is no TCP socket that listens", fd);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    return fd;
}

int net_listen(const struct net_listen_target *target, struct err *err)
{
    if (target->fd > 0)
        return net_listener_adopt(target->fd, err);
    if (target->host && *target->host)
        return net_listener_bind_name(target->host, target->port, target->device, err);
    int fd = net_listener_bind_all(target->port, target->device);
    if (fd < 0)
        err_set(err, ERR_GIVE_UP, "cannot listen on port %u: %s", (unsigned)target->port,
                err_errno_text(errno));
    return fd;
}

/* The kernel gives the lowest that is free. Files are opened, too, also when many connect. */
static int net_listener_fd_end(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur > INT_MAX)
        return INT_MAX;
    int count = (int)limit.rlim_cur;
    return count - (count / 4 < NET_LISTENER_SPARE ? count / 4 : NET_LISTENER_SPARE);
}

int net_listener_open(struct net_loop *loop, const struct net_listen_target *target,
                      struct net_tls *tls, const struct net_listener_events *events, void *ctx,
                      struct net_listener **ret_listener, struct err *err)
{
    int fd = net_listen(target, err);
    if (fd < 0)
        return -1;

    struct net_listener *listener = mem_new(struct net_listener);
    listener->loop = loop;
    listener->tls = tls ? net_tls_ref(tls) : NULL;
    listener->events = events;
    listener->ctx = ctx;
    listener->fd = fd;
    listener->fd_end = net_listener_fd_end();
    listener->handshake = target->handshake;
    listener->port = net_listen_port(fd);
    listener->newcomers.next = listener->newcomers.prev = &listener->newcomers;
    listener->poll.data = listener;
    net_alarm_init(&listener->rest, net_listener_rested, listener);
    if (uv_poll_init(&loop->uv, &listener->poll, fd))
        abort();
    uv_poll_start(&listener->poll, UV_READABLE, net_listener_polled);
    *ret_listener = listener;
    return 0;
}

int net_listener_new(struct net_loop *loop, const char *host, uint16_t port, struct net_tls *tls,
                     const struct net_listener_events *events, void *ctx,
                     struct net_listener **ret_listener, struct err *err)
{
    struct net_listen_target target = {.host = host, .port = port};
    return net_listener_open(loop, &target, tls, events, ctx, ret_listener, err);
}

void net_listener_set_tls(struct net_listener *listener, struct net_tls *tls)
{
    assert(listener->tls);
    net_tls_ref(tls);
    net_tls_unref(listener->tls);
    listener->tls = tls;
}

char *net_listener_address(const struct net_listener *listener, char *out, size_t cap)
{
    union net_address own = net_listener_own(listener->fd);
    return net_address_format_port(out, cap, &own);
}

uint16_t net_listener_port(const struct net_listener *listener)
{
    return listener->port;
}

static void net_listener_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void net_listener_free(struct net_listener *listener)
{
    if (!listener)
        return;
    for (struct net_newcomer *newcomer = listener->newcomers.next, *next;
         newcomer != &listener->newcomers; newcomer = next) {
        next = newcomer->next;
        net_newcomer_failed(newcomer, NULL);
    }
    uv_close((uv_handle_t *)&listener->poll, net_listener_closed);
    net_alarm_clear(listener->loop, &listener->rest);
    close(listener->fd);
    listener->fd = -1;
    net_tls_unref(listener->tls);
}
