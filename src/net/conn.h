/* net/conn.h: one TCP connection, with or without TLS, as a client or accepted by a listener.
 *
 * Bytes in and out, deadlines, nothing of any protocol. Sockets are watched with uv_poll and
 * OpenSSL works on the descriptor itself; the read buffer belongs to the loop, so that an idle
 * connection holds none. */
#ifndef NET_CONN_H
#define NET_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/block.h"
#include "base/err.h"
#include "base/num.h"
#include "net/tls.h"

struct net_loop;
struct net_conn;
struct net_listener;

/* What happens to a connection. No callback comes from inside a call of this header, none after
 * net_conn_close(). Every callback may call net_conn_close(). */
struct net_conn_events {
    /* Connected, and with TLS also shaken hands: may write, will read. Also called when the TLS
     * asked for with net_conn_start_tls() stands. */
    void (*ready)(void *ctx);
    /* `len` > 0 bytes came. Returns how many were taken (<= len). Whoever takes fewer pauses the
     * connection: it keeps the rest, reads nothing, and gives the rest again after a later
     * net_conn_resume() (one during the call does not count). The bytes are valid during the call
     * only. */
    size_t (*data)(void *ctx, const uint8_t *data, size_t len);
    /* All that was queued is now with the kernel. May be NULL. */
    void (*drained)(void *ctx);
    /* The peer ended its side cleanly (FIN; with TLS a close_notify before it). Writing may go
     * on. NULL: reported through `failed` as an end by the peer. */
    void (*ended)(void *ctx);
    /* It is broken and all that is left to do is net_conn_close(): refused, reset, timed out,
     * certificate not trusted, ended by the peer without TLS's close_notify … `err` says what to
     * do; peers' words in it are escaped. Called at most once, and nothing after it. */
    void (*failed)(void *ctx, const struct err *err);
};

struct net_conn_target {
    const char *host; /* name or address; copied. Also the SNI and the name in the certificate */
    uint16_t port;
    struct net_tls *tls; /* a reference is taken; NULL: plain until net_conn_start_tls() */
    msec_t deadline;     /* for resolving, connecting and the handshake together */
};

/* Begins to connect: resolves, tries all addresses as RFC 8305 says (a next one after 250 ms or at
 * the first failure, families interleaved), the first to answer wins. TCP_NODELAY and keepalive
 * are on: a peer that is gone without a word fails it within 113 s. Never fails at once: trouble
 * comes through `failed`. */
struct net_conn *net_conn_open(struct net_loop *loop, const struct net_conn_target *target,
                               const struct net_conn_events *events, void *ctx);

/* Changes who gets the events, as when an accepted connection finds its owner. */
void net_conn_set_events(struct net_conn *conn, const struct net_conn_events *events, void *ctx);

/* Starts TLS on a plain connection. Refused with a failure (through `failed`) when bytes of the
 * peer are already there, read or unread by us: they came in the clear and could pass for its
 * word under TLS (RFC 9051 section 11.1). A handshake has `deadline` ms. */
void net_conn_start_tls(struct net_conn *conn, struct net_tls *tls, const char *host,
                        msec_t deadline);

/* Queues bytes. They are written at the end of this turn of the loop at the latest, many small
 * pieces in few system calls. Before `ready` they wait. After net_conn_end(), and on a failed
 * connection, they are dropped. */
void net_conn_write(struct net_conn *conn, const void *data, size_t len);
/* Queues block->data[from..] without copying it. Takes over the caller's reference and drops it
 * as soon as the kernel has the bytes. `sent` (may be NULL) is then called with `token`; it is
 * not called for what is still queued when the connection fails or is closed. */
void net_conn_write_block(struct net_conn *conn, struct block *moved, size_t from,
                          void (*sent)(void *ctx, void *token), void *token);
/* Bytes queued that the kernel does not have yet. */
size_t net_conn_queued(const struct net_conn *conn);
/* Bytes that the kernel has, or we have queued, and that the peer's kernel has not acknowledged
 * (SIOCOUTQ; with TLS of the records). 0: the peer's kernel has it all. */
size_t net_conn_unacknowledged(const struct net_conn *conn);
/* The bytes handed to the kernel so far, TLS's records included. With net_conn_kernel_unacked()
 * a position in the stream is known to have been acknowledged. */
uint64_t net_conn_kernel_written(const struct net_conn *conn);
size_t net_conn_kernel_unacked(const struct net_conn *conn);

/* Stops and continues reading. A paused connection notices its peer's end only when it writes or
 * is resumed. Deadlines go on. */
void net_conn_pause(struct net_conn *conn);
void net_conn_resume(struct net_conn *conn);

/* After all queued bytes: TLS close_notify, then FIN. Reading goes on. */
void net_conn_end(struct net_conn *conn);

/* From now on until net_conn_end() has ended it, its end is a reset, whatever ends it: also the
 * kernel's, when the process is killed. Without this that looks like an end in good order. */
void net_conn_guard(struct net_conn *conn);

/* Fails the connection with "no answer for N s: what" unless set again before. `after` 0 takes it
 * off. `what` is a static string ("the answer to LOGIN"). One deadline per connection; it also
 * replaces that of connecting, so set it only after `ready`. */
void net_conn_set_deadline(struct net_conn *conn, msec_t after, const char *what);

/* What TLS agreed on; false while there is none. */
bool net_conn_tls_info(const struct net_conn *conn, struct net_tls_info *ret_info);
/* What this TLS connection alone has. False while there is no TLS, or one that cannot be bound to:
 * TLS 1.2 without the extended master secret (RFC 7627), where it would not be safe, and TLS 1.3:
 * servers that offer to bind there do not agree what to (Cyrus 3.6 refuses RFC 9266's
 * tls-exporter), and a login that is right would fail. */
bool net_conn_tls_binding(const struct net_conn *conn, struct net_tls_binding *ret_binding);
/* "127.0.0.1:993" or "[::1]:993", of the peer; "" before it is connected. */
const char *net_conn_peer(const struct net_conn *conn);

/* Closes at once (what is queued is dropped) and frees when libuv is done with it. With TLS a
 * close_notify goes ahead, unless something was dropped: that must not look whole to the peer. No
 * event comes after it. NULL does nothing. */
void net_conn_close(struct net_conn *conn);
/* The same without a goodbye: TCP resets the connection, so that the peer knows it is broken. */
void net_conn_abort(struct net_conn *conn);

/* The peer's address without its port, of IPv6 the network (/64) it is in: whoever has one address
 * there has them all. Returns `out`. */
char *net_conn_peer_network(const struct net_conn *conn, char *out, size_t cap);

struct net_listener_events {
    /* A peer connected (and with TLS shook hands: nobody is accepted before). The callee owns
     * `conn` and calls net_conn_set_events() before it returns. */
    void (*accepted)(void *ctx, struct net_conn *conn);
    /* A peer of `network` (as of net_conn_peer_network()) connected: false closes the connection
     * before anything is done for it. May be NULL: all are let in. */
    bool (*admit)(void *ctx, const char *network);
    /* A peer that was let in is gone again, without having been accepted. May be NULL. */
    void (*dropped)(void *ctx, const char *network);
};

struct net_listen_target {
    const char *host;   /* NULL or "": all addresses; of a name's addresses the first that can be
                           bound, those of IPv4 before others */
    uint16_t port;      /* 0: any free one */
    const char *device; /* only what comes in by this network device (SO_BINDTODEVICE); or NULL */
    int fd;             /* > 0: a socket that listens already, as of systemd; taken over. The
                           address counts for nothing then */
    msec_t handshake;   /* how long one of TLS may take; 0: 30 s */
};

/* A socket that listens there, for whoever accepts by other means; or -1. */
int net_listen(const struct net_listen_target *target, struct err *err);
/* The port a listening socket is bound to. */
uint16_t net_listen_port(int fd);

/* When descriptors run out it rests for a second instead of spinning. The last are not for who
 * connects: 64, or of few the last quarter. */
int net_listener_open(struct net_loop *loop, const struct net_listen_target *target,
                      struct net_tls *tls, const struct net_listener_events *events, void *ctx,
                      struct net_listener **ret_listener, struct err *err);
/* The same for a host and a port alone. */
int net_listener_new(struct net_loop *loop, const char *host, uint16_t port, struct net_tls *tls,
                     const struct net_listener_events *events, void *ctx,
                     struct net_listener **ret_listener, struct err *err);
/* For whoever connects from now on; a reference is taken. The listener has been one with TLS. */
void net_listener_set_tls(struct net_listener *listener, struct net_tls *tls);
/* "127.0.0.1:20000", "[::]:20000": where it listens. Returns `out`. */
char *net_listener_address(const struct net_listener *listener, char *out, size_t cap);
uint16_t net_listener_port(const struct net_listener *listener);
/* Accepted connections live on. NULL does nothing. */
void net_listener_free(struct net_listener *listener);

#endif
