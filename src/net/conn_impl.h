/* net/conn_impl.h: the inside of a connection, for conn.c (life), setup.c (until it is ready),
 * input.c and output.c. */
#ifndef NET_CONN_IMPL_H
#define NET_CONN_IMPL_H

#include <uv.h>

#include "base/buf.h"
#include "net/conn.h"
#include "net/connect.h"
#include "net/loop_impl.h"
#include "net/queue.h"
#include "net/resolve.h"
#include "net/socket.h"
#include "net/tls_impl.h"

/* CONNECTING → (SHAKING) → OPEN; OPEN → TURNING → SHAKING → OPEN for STARTTLS; any → FAILED;
 * any → CLOSED. */
enum net_conn_state {
    NET_CONN_CONNECTING, /* no socket yet; `setup` is there */
    NET_CONN_TURNING,    /* plain bytes queued before net_conn_start_tls() still go out; `setup` */
    NET_CONN_SHAKING,    /* TLS handshake; `setup` and `ssl` are there */
    NET_CONN_OPEN,       /* bytes flow; no `setup` */
    NET_CONN_FAILED,     /* `failed` is called at the end of this turn, or was */
    NET_CONN_CLOSED,     /* by the owner; waits for libuv to let go of the memory */
};

/* What is needed until the connection is ready, and not afterwards. */
struct net_conn_setup {
    struct net_lookup lookup;
    struct net_connect *connect; /* NULL while resolving */
    struct net_tls *tls;         /* our reference; NULL: plain */
    struct net_tls_check check;
    size_t plain_left; /* TURNING: queued bytes that go out in the clear */
    bool spoken;       /* SHAKING: the peer's first bytes were looked at */
    uint16_t port;
    char label[NET_LABEL_TEXT];
    char host[];
};

struct net_conn {
    struct net_loop *loop;
    const struct net_conn_events *events;
    void *ctx;
    struct net_conn_setup *setup;
    SSL *ssl;
    char *peer;
    struct err *failure; /* why it is broken; told when all input before it was handed out */

    struct net_alarm deadline;
    msec_t deadline_span;
    const char *deadline_what;

    struct buf kept; /* input the owner did not take */
    size_t kept_from;
    struct net_queue out;
    uint64_t plain_written;
    struct net_task in_task, out_task;

    union {
        uv_poll_t poll; /* with a socket */
        uv_idle_t last; /* without one: only closed, so that the memory goes when nobody is in it */
    };
    int fd;      /* -1: none */
    int watched; /* the events the poll is started for */
    enum net_conn_state state;
    enum net_io shake_wants;
    bool paused : 1;
    bool input_over : 1;       /* ended or broken: nothing more will be read */
    bool ended_told : 1;       /* `ended` was called */
    bool output_broken : 1;    /* nothing more can be written; what came is still read */
    bool blocked : 1;          /* the kernel takes no more for now */
    bool read_wants_write : 1; /* TLS needs to answer before it reads on */
    bool write_wants_read : 1;
    bool undrained : 1;  /* something was queued since `drained` was called */
    bool end_wanted : 1; /* net_conn_end() was called */
    bool end_sent : 1;
    bool guarded : 1; /* net_conn_guard() was called */
};

/* conn.c */

/* A connection without a socket. */
struct net_conn *net_conn_new(struct net_loop *loop, const struct net_conn_events *events,
                              void *ctx);
/* Gives it its connected socket. */
void net_conn_attach(struct net_conn *conn, int fd, const union net_address *peer);
/* Starts, changes or stops polling, as the state of things needs it. */
void net_conn_watch(struct net_conn *conn);
/* From any place: `failed` comes at the end of this turn, unless closed before. An earlier
 * failure is kept. */
void net_conn_fail(struct net_conn *conn, const struct err *err);
/* conn->failure is the error it fails with from now on. */
void net_conn_fail_noted(struct net_conn *conn);
void net_conn_note(struct net_conn *conn, const struct err *err);
/* `out_task`: writes, tells what was sent, tells of a failure. */
void net_conn_run_output(void *owner);
void net_conn_schedule_output(struct net_conn *conn);
void net_conn_schedule_input(struct net_conn *conn);

/* setup.c */

/* A connection accepted by a listener: SHAKING with `tls`, else OPEN. `events` get `ready` with
 * TLS only. */
struct net_conn *net_conn_accept(struct net_loop *loop, int fd, const union net_address *peer,
                                 struct net_tls *tls, const struct net_conn_events *events,
                                 void *ctx);
/* Begins the handshake on the socket that is there. */
void net_conn_begin_shaking(struct net_conn *conn);
void net_conn_shake(struct net_conn *conn);
/* TLS was asked for, and bytes of the peer are there already. */
void net_conn_fail_injected(struct net_conn *conn);
/* Frees `setup` and stops what it was doing. */
void net_conn_drop_setup(struct net_conn *conn);

/* input.c */

/* Reads and hands out, for this turn's share. */
void net_conn_read(struct net_conn *conn);
/* `in_task`: hands out what was kept, then reads. */
void net_conn_run_input(void *owner);
bool net_conn_may_read(const struct net_conn *conn);

/* output.c */

/* Writes what the kernel takes. Calls nobody. */
void net_conn_flush(struct net_conn *conn);
/* Calls `sent` and `drained`, for what was written. */
void net_conn_tell_output(struct net_conn *conn);

#endif
