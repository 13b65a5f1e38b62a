/* One TLS session on a socket: handshake, records, end, and OpenSSL's outcomes in our terms. */
#include <errno.h>
#include <openssl/dherr.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "net/socket.h"
#include "net/tls_impl.h"

enum {
    NET_TLS_TALK = 500,        /* records and messages of a peer in a row that bring no data */
    NET_TLS_RECORD_COST = 256, /* a record, however small, takes as long as so many bytes */
    NET_TLS_GROUP = 4096,      /* bits of a group that the peer chooses */
};

/* Certificates hold neither the dot of an absolute name nor the zone of an address. */
static char *net_tls_name(const char *host)
{
    size_t len = strlen(host);
    if (len > 1 && host[len - 1] == '.')
        len--;
    return mem_strndup(host, strchr(host, ':') ? strcspn(host, "%") : len);
}

static void net_tls_expect(SSL *ssl, const char *name)
{
    /* RFC 6066 section 3: SNI carries names only. */
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    if (X509_VERIFY_PARAM_set1_ip_asc(param, name))
        return;
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    /* An empty name would mean "any". */
    if (!*name || !X509_VERIFY_PARAM_set1_host(param, name, 0))
        abort();
    /* A name that is too long for SNI is none that the certificate could have, either. */
    /* The macro for this call, SSL_set_tlsext_host_name(), casts `const` away. */
    if (!SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                  (void *)(uintptr_t)name))
        ERR_clear_error();
}

/* OpenSSL goes on by itself behind each message that is no data (a new key, a ticket), for as long
 * as there are any: a peer that sends nothing else, as fast as it can, would have the loop to
 * itself. How many came in a row is kept in the place of the callback's argument. */
static void net_tls_came(int written, int version, int type, const void *data, size_t len, SSL *ssl,
                         void *arg)
{
    const uint8_t *bytes = data;
    uintptr_t talk = (uintptr_t)arg;
    (void)version;
    /* What is in a record its header says before TLS 1.3, and its last byte since then. */
    bool record = type == SSL3_RT_INNER_CONTENT_TYPE ||
                  (type == SSL3_RT_HEADER && SSL_version(ssl) < TLS1_3_VERSION);
    if (written || !len || (!record && type != SSL3_RT_HANDSHAKE))
        return;
    talk = record && *bytes == SSL3_RT_APPLICATION_DATA ? 0 : talk + 1;
    SSL_set_msg_callback_arg(ssl, (void *)talk);
    if (talk <= NET_TLS_TALK)
        return;
    SSL_set_shutdown(ssl, SSL_get_shutdown(ssl) | SSL_RECEIVED_SHUTDOWN); /* it reads no more … */
    ERR_raise(ERR_LIB_SSL, SSL_R_TOO_MANY_KEY_UPDATES); /* … which is no end in good order */
}

/* OpenSSL's own, the same for all contexts. */
static int (*net_tls_usual)(const SSL *ssl, const SSL_CTX *ctx, int op, int bits, int nid,
                            void *other, void *ex);

/* RFC 5246 section 7.4.3: the server chooses the group, OpenSSL takes up to 10,000 bits, and a
 * handshake in such a one takes a second of the loop's time. */
static int net_tls_admits(const SSL *ssl, const SSL_CTX *ctx, int op, int bits, int nid,
                          void *other, void *ex)
{
    bool peer = op == SSL_SECOP_TMP_DH && ssl && !SSL_is_server(ssl);
    if (peer && other && EVP_PKEY_get_bits(other) > NET_TLS_GROUP) {
        ERR_raise(ERR_LIB_DH, DH_R_MODULUS_TOO_LARGE);
        return 0;
    }
    return net_tls_usual(ssl, ctx, op, bits, nid, other, ex);
}

void net_tls_bound(SSL_CTX *ctx)
{
    SSL_CTX_set_msg_callback(ctx, net_tls_came);
    if (!net_tls_usual)
        net_tls_usual = SSL_CTX_get_security_callback(ctx);
    SSL_CTX_set_security_callback(ctx, net_tls_admits);
}

SSL *net_tls_start(struct net_tls *tls, int fd, const char *host, struct net_tls_check *check)
{
    SSL *ssl = SSL_new(tls->ctx);
    if (!ssl || !SSL_set_fd(ssl, fd))
        abort();
    *check = (struct net_tls_check){.tls = tls};
    SSL_set_app_data(ssl, check);
    if (tls->server) {
        SSL_set_accept_state(ssl);
        return ssl;
    }
    check->name = net_tls_name(host);
    net_tls_expect(ssl, check->name);
    SSL_set_connect_state(ssl);
    return ssl;
}

void net_tls_check_release(struct net_tls_check *check)
{
    free(check->name);
    check->name = NULL;
}

/* The peer's alerts that no repetition will change. */
static bool net_tls_refusal(int reason)
{
    return reason == SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE ||
           reason == SSL_R_TLSV1_ALERT_PROTOCOL_VERSION || reason == SSL_R_UNSUPPORTED_PROTOCOL ||
           reason == SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED ||
           reason == SSL_R_TLSV1_ALERT_UNKNOWN_CA || reason == SSL_R_SSLV3_ALERT_BAD_CERTIFICATE;
}

static void net_tls_explain(SSL *ssl, int code, int error, struct err *err)
{
    unsigned long queued = ERR_peek_error();
    int reason = ERR_GET_REASON(queued);
    if (reason == SSL_R_TOO_MANY_KEY_UPDATES) {
        err_set(err, ERR_RETRY_LATER, "TLS: the peer talks on without saying anything");
    } else if (code == SSL_ERROR_SYSCALL && error) {
        err_set(err, ERR_RETRY_LATER, "the connection broke: %s", err_errno_text(error));
    } else if (code != SSL_ERROR_SYSCALL && reason != SSL_R_UNEXPECTED_EOF_WHILE_READING) {
        const char *text = ERR_reason_error_string(queued);
        err_set(err, net_tls_refusal(reason) ? ERR_GIVE_UP : ERR_RETRY_LATER, "TLS: %s",
                text ? text : "unknown error");
    } else if (SSL_get_app_data(ssl)) { /* still shaking hands */
        err_set(err, ERR_RETRY_LATER, "the peer ended the connection");
    } else {
        err_set(err, ERR_RETRY_LATER,
                "the peer ended the connection without ending TLS: something may be missing");
    }
    ERR_clear_error();
}

/* `rc` is what the SSL call gave, errno still its. */
static enum net_io net_tls_outcome(SSL *ssl, int rc, struct err *err)
{
    int error = errno;
    int code = SSL_get_error(ssl, rc);
    switch (code) {
    case SSL_ERROR_NONE:
        return NET_IO_MORE;
    case SSL_ERROR_WANT_READ:
        return NET_IO_WANT_READ;
    case SSL_ERROR_WANT_WRITE:
        return NET_IO_WANT_WRITE;
    case SSL_ERROR_ZERO_RETURN:
        return NET_IO_END;
    default:
        net_tls_explain(ssl, code, error, err);
        return NET_IO_BROKEN;
    }
}

/* The CAs the server sent along have done their part; only its own certificate is shown later.
 * They would be kept, some 5 kB each, as long as the connection. */
static void net_tls_drop_chain(SSL *ssl)
{
    STACK_OF(X509) *chain = SSL_is_server(ssl) ? NULL : SSL_get_peer_cert_chain(ssl);
    while (sk_X509_num(chain) > 0)
        X509_free(sk_X509_pop(chain));
}

enum net_io net_tls_shake(SSL *ssl, const struct net_tls_check *check, struct err *err)
{
    ERR_clear_error();
    errno = 0;
    enum net_io io = net_tls_outcome(ssl, SSL_do_handshake(ssl), err);
    if (io == NET_IO_BROKEN && check->refused)
        *err = check->err;
    else if (io == NET_IO_BROKEN)
        err_prefix(err, "the TLS handshake failed");
    if (io == NET_IO_MORE) {
        SSL_set_app_data(ssl, NULL);
        net_tls_drop_chain(ssl);
    }
    return io;
}

void net_tls_read_ahead(SSL *ssl, bool ahead)
{
    SSL_set_read_ahead(ssl, ahead);
    SSL_set_default_read_buffer_len(ssl, ahead ? NET_TLS_READ_AHEAD : 0);
}

enum net_io net_tls_read(SSL *ssl, uint8_t *data, size_t cap, size_t *ret_len, size_t *ret_cost,
                         struct err *err)
{
    size_t len = 0, cost = 0;
    enum net_io io = NET_IO_MORE;
    ERR_clear_error(); /* a read that fails is the last */
    while (cost < cap) {
        errno = 0;
        int rc = SSL_read(ssl, data + len, (int)(cap - len));
        if (rc <= 0) {
            io = net_tls_outcome(ssl, rc, err);
            break;
        }
        len += (size_t)rc;
        cost += rc < NET_TLS_RECORD_COST ? NET_TLS_RECORD_COST : (size_t)rc;
        /* When OpenSSL holds nothing more, polling the socket is as good as trying. */
        if (!SSL_has_pending(ssl)) {
            io = NET_IO_WANT_READ;
            break;
        }
    }
    *ret_len = len;
    *ret_cost = cost;
    return io;
}

enum net_io net_tls_write(SSL *ssl, const void *data, size_t len, size_t *ret_len, struct err *err)
{
    ERR_clear_error();
    errno = 0;
    int rc = SSL_write(ssl, data, (int)len);
    *ret_len = rc > 0 ? (size_t)rc : 0;
    return rc > 0 ? NET_IO_MORE : net_tls_outcome(ssl, rc, err);
}

enum net_io net_tls_end(SSL *ssl)
{
    struct err unused;
    ERR_clear_error();
    errno = 0;
    int rc = SSL_shutdown(ssl);
    /* 0: ours is sent, the peer's has not come. */
    return rc >= 0 ? NET_IO_MORE : net_tls_outcome(ssl, rc, &unused);
}

uint64_t net_tls_written(SSL *ssl)
{
    return BIO_number_written(SSL_get_wbio(ssl));
}

static void net_tls_name_text(char *out, size_t cap, const X509_NAME *name)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;
    if (!bio || X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB) < 0) {
        BIO_free(bio);
        return;
    }
    long len = BIO_get_mem_data(bio, &text);
    text_escape_utf8(out, cap, text, len > 0 ? (size_t)len : 0);
    BIO_free(bio);
}

void net_tls_describe(SSL *ssl, struct net_tls_info *ret_info)
{
    struct net_tls_info info = {0};
    X509 *cert = SSL_get0_peer_certificate(ssl);
    strncpy(info.version, SSL_get_version(ssl), sizeof info.version - 1);
    strncpy(info.cipher, SSL_get_cipher_name(ssl), sizeof info.cipher - 1);
    if (cert) {
        unsigned len = sizeof info.fingerprint;
        X509_digest(cert, EVP_sha256(), info.fingerprint, &len);
        net_tls_name_text(info.subject, sizeof info.subject, X509_get_subject_name(cert));
        net_tls_name_text(info.issuer, sizeof info.issuer, X509_get_issuer_name(cert));
        net_verify_date(info.not_after, sizeof info.not_after, X509_get0_notAfter(cert));
    }
    *ret_info = info;
}

bool net_tls_bind(SSL *ssl, struct net_tls_binding *ret_binding)
{
    struct net_tls_binding binding = {0};
    /* RFC 5929 section 3: the first Finished of the handshake, which is the client's, but the
     * server's when a session was resumed. Sound only since RFC 7627. */
    bool ours = !SSL_is_server(ssl) == !SSL_session_reused(ssl);
    if (SSL_version(ssl) >= TLS1_3_VERSION || SSL_get_extms_support(ssl) != 1)
        return false;
    binding.len = ours ? SSL_get_finished(ssl, binding.data, sizeof binding.data)
                       : SSL_get_peer_finished(ssl, binding.data, sizeof binding.data);
    *ret_binding = binding;
    return binding.len > 0;
}
