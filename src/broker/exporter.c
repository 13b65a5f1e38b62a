#include "broker/exporter.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/conn.h"
#include "net/loop.h"

enum {
    EXPORTER_CONNECTIONS = 32,
    EXPORTER_ADDRESS_CONNECTIONS = 16,
    EXPORTER_IDLE_S = 30,
    EXPORTER_MEMORY = 16 << 10, /* bytes of a request */
};

struct broker_exporter {
    struct net_loop *loop;
    struct MHD_Daemon *daemon;
    struct net_watch *watch;
    struct net_timer *timer;
    uint16_t port;
    void (*render)(void *ctx, struct buf *out);
    void *ctx;
};

static enum MHD_Result exporter_answer(struct MHD_Connection *connection, unsigned status,
                                       const char *type, struct buf *moved)
{
    /* The library frees it with free(). */
    struct MHD_Response *response = MHD_create_response_from_buffer(
        moved->len, moved->data ? moved->data : mem_alloc(1), MHD_RESPMEM_MUST_FREE);
    if (!response)
        return MHD_NO;
    MHD_add_response_header(response, "Content-Type", type);
    enum MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result exporter_on_request(void *ctx, struct MHD_Connection *connection,
                                           const char *url, const char *method, const char *version,
                                           const char *upload, size_t *upload_size, void **state)
{
    static const char text[] = "text/plain; charset=utf-8";
    struct broker_exporter *exporter = ctx;
    struct buf body = {0};
    (void)version;
    (void)upload;
    if (!*state) { /* the first call is for the headers alone */
        *state = exporter;
        return MHD_YES;
    }
    if (*upload_size) { /* a body that nobody asked for */
        *upload_size = 0;
        return MHD_YES;
    }
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
        buf_add_str(&body, "405: Method Not Allowed");
        return exporter_answer(connection, MHD_HTTP_METHOD_NOT_ALLOWED, text, &body);
    }
    if (!strcmp(url, "/metrics")) {
        exporter->render(exporter->ctx, &body);
        return exporter_answer(connection, MHD_HTTP_OK, text, &body);
    }
    if (!strcmp(url, "/healthz")) {
        buf_add_str(&body, "{}");
        return exporter_answer(connection, MHD_HTTP_OK, "application/json; charset=utf-8", &body);
    }
    buf_add_str(&body, "404: Not Found");
    return exporter_answer(connection, MHD_HTTP_NOT_FOUND, text, &body);
}

static void exporter_run(void *ctx)
{
    struct broker_exporter *exporter = ctx;
    MHD_UNSIGNED_LONG_LONG wait;
    MHD_run(exporter->daemon);
    if (MHD_get_timeout(exporter->daemon, &wait) == MHD_YES)
        net_timer_start(exporter->timer, wait);
    else
        net_timer_stop(exporter->timer);
}

int broker_exporter_new(struct net_loop *loop, const char *host, uint16_t port,
                        void (*render)(void *ctx, struct buf *out), void *ctx,
                        struct broker_exporter **ret_exporter, struct err *err)
{
    struct net_listen_target target = {.host = host, .port = port};
    int fd = net_listen(&target, err);
    if (fd < 0)
        return -1;
    struct broker_exporter *exporter = mem_new(struct broker_exporter);
    exporter->loop = loop;
    exporter->render = render;
    exporter->ctx = ctx;
    exporter->port = net_listen_port(fd);
    exporter->daemon = MHD_start_daemon(
        MHD_USE_EPOLL, 0, NULL, NULL, exporter_on_request, exporter, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)EXPORTER_CONNECTIONS,
        MHD_OPTION_PER_IP_CONNECTION_LIMIT, (unsigned)EXPORTER_ADDRESS_CONNECTIONS,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)EXPORTER_IDLE_S,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)EXPORTER_MEMORY, MHD_OPTION_END);
    const union MHD_DaemonInfo *info =
        exporter->daemon ? MHD_get_daemon_info(exporter->daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
    if (!info) {
        if (exporter->daemon)
            MHD_stop_daemon(exporter->daemon);
        else
            close(fd);
        free(exporter);
        return err_set(err, ERR_GIVE_UP, "the exporter cannot be started");
    }
    exporter->timer = net_timer_new(loop, exporter_run, exporter);
    exporter->watch = net_watch_new(loop, info->epoll_fd, exporter_run, exporter);
    *ret_exporter = exporter;
    return 0;
}

uint16_t broker_exporter_port(const struct broker_exporter *exporter)
{
    return exporter->port;
}

void broker_exporter_free(struct broker_exporter *exporter)
{
    if (!exporter)
        return;
    net_watch_free(exporter->watch);
    net_timer_free(exporter->timer);
    MHD_stop_daemon(exporter->daemon);
    free(exporter);
}
