/* net/tls_impl.h: TLS as the connections of this room use it. */
#ifndef NET_TLS_IMPL_H
#define NET_TLS_IMPL_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "net/tls.h"

enum {
    /* Up to here one system call may bring several records. */
    NET_TLS_READ_AHEAD = 65536,
};

struct net_tls {
    unsigned refs;
    SSL_CTX *ctx;
    bool server;
    bool has_fingerprint;
    uint8_t fingerprint[NET_TLS_FINGERPRINT];
};

/* What one handshake asks of the peer's certificate, and what was found wrong with it. Lives as
 * long as the handshake. */
struct net_tls_check {
    const struct net_tls *tls;
    char *name; /* host name or address, without a trailing dot or a zone */
    bool refused;
    struct err err;
};

/* How reading, writing or shaking hands went on. */
enum net_io {
    NET_IO_MORE,       /* go on */
    NET_IO_WANT_READ,  /* wait until the socket is readable */
    NET_IO_WANT_WRITE, /* wait until it is writable */
    NET_IO_END,        /* the peer ended its side cleanly */
    NET_IO_BROKEN,     /* `err` says how */
};

/* Sees to it that a peer's messages beside its data come to an end: some hundreds in a row break
 * the connection; and that it chooses no group that takes a second. For every context, as OpenSSL
 * itself would take both, in one call. */
void net_tls_bound(SSL_CTX *ctx);
/* An SSL on `fd` that is about to shake hands. `check` must live until the handshake is over. A
 * server's `host` is NULL. */
SSL *net_tls_start(struct net_tls *tls, int fd, const char *host, struct net_tls_check *check);
void net_tls_check_release(struct net_tls_check *check);

/* NET_IO_MORE: hands are shaken. */
enum net_io net_tls_shake(SSL *ssl, const struct net_tls_check *check, struct err *err);
/* Whether OpenSSL takes as much as there is off the socket, beyond the record at hand. */
void net_tls_read_ahead(SSL *ssl, bool ahead);
/* Fills `data` with as much as there is. NET_IO_MORE: there may be more; whatever the outcome,
 * *ret_len bytes came before it, which took as long as *ret_cost bytes of full records, `cap` at
 * most or a little more. */
enum net_io net_tls_read(SSL *ssl, uint8_t *data, size_t cap, size_t *ret_len, size_t *ret_cost,
                         struct err *err);
/* Writes some of it. NET_IO_MORE: *ret_len bytes are with the kernel. Else the next call must
 * begin with the same bytes. */
enum net_io net_tls_write(SSL *ssl, const void *data, size_t len, size_t *ret_len, struct err *err);
/* Sends close_notify. NET_IO_MORE: it is with the kernel. */
enum net_io net_tls_end(SSL *ssl);
/* Bytes handed to the kernel, handshake and record headers included. */
uint64_t net_tls_written(SSL *ssl);
void net_tls_describe(SSL *ssl, struct net_tls_info *ret_info);
/* As net_conn_tls_binding(). */
bool net_tls_bind(SSL *ssl, struct net_tls_binding *ret_binding);

/* The certificate check of a client's context (verify.c). */
int net_verify_chain(X509_STORE_CTX *store, void *unused);
/* "2027-01-31", or "" for what is no date. */
char *net_verify_date(char *out, size_t cap, const ASN1_TIME *time);

#endif
