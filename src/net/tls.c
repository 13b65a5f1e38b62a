/* Contexts: what is trusted, and how OpenSSL is told to spare memory. */
#include "net/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "net/tls_impl.h"

enum {
    /* Up to here one system call may bring several records. */
    NET_TLS_READ_AHEAD = 65536,
};

static int net_tls_file_error(struct err *err, const char *what, const char *file)
{
    char shown[200];
    unsigned long code = ERR_peek_last_error(), first = ERR_peek_error();
    /* The first error is the nearest to the cause; a missing file is the system's own word. */
    const char *why =
        ERR_SYSTEM_ERROR(first) ? strerror(ERR_GET_REASON(first)) : ERR_reason_error_string(code);
    text_escape_utf8(shown, sizeof shown, file, strlen(file));
    err_set(err, ERR_GIVE_UP, "%s %s: %s", what, shown, why ? why : "cannot be used");
    ERR_clear_error();
    return -1;
}

static struct net_tls *net_tls_new(const SSL_METHOD *method)
{
    struct net_tls *tls = mem_new(struct net_tls);
    tls->refs = 1;
    tls->ctx = SSL_CTX_new(method);
    if (!tls->ctx)
        abort();
    SSL_CTX_set_min_proto_version(tls->ctx, TLS1_2_VERSION);
    /* SSL_OP_IGNORE_UNEXPECTED_EOF stays off: an end without close_notify may be an attacker's. */
    SSL_CTX_set_options(tls->ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(tls->ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                   SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(tls->ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_read_ahead(tls->ctx, 1);
    SSL_CTX_set_default_read_buffer_len(tls->ctx, NET_TLS_READ_AHEAD);
    return tls;
}

static int net_tls_use_key(struct net_tls *tls, const char *cert_file, const char *key_file,
                           struct err *err)
{
    const char *key = key_file ? key_file : cert_file;
    ERR_clear_error();
    if (SSL_CTX_use_certificate_chain_file(tls->ctx, cert_file) != 1)
        return net_tls_file_error(err, "certificate file", cert_file);
    if (SSL_CTX_use_PrivateKey_file(tls->ctx, key, SSL_FILETYPE_PEM) != 1)
        return net_tls_file_error(err, "key file", key);
    if (SSL_CTX_check_private_key(tls->ctx) != 1)
        return net_tls_file_error(err, "key file", key);
    return 0;
}

static int net_tls_trust(struct net_tls *tls, const struct net_tls_settings *settings,
                         struct err *err)
{
    ERR_clear_error();
    if (settings->has_fingerprint) {
        tls->has_fingerprint = true;
        memcpy(tls->fingerprint, settings->fingerprint, sizeof tls->fingerprint);
    } else if (settings->no_verify) {
        return 0;
    } else if (!settings->ca_file) {
        SSL_CTX_set_default_verify_paths(tls->ctx);
    } else if (SSL_CTX_load_verify_file(tls->ctx, settings->ca_file) != 1) {
        return net_tls_file_error(err, "CA file", settings->ca_file);
    }
    SSL_CTX_set_verify(tls->ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_cert_verify_callback(tls->ctx, net_verify_chain, NULL);
    /* tls_ca may name the server's own certificate, or an intermediate one. */
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(tls->ctx), X509_V_FLAG_PARTIAL_CHAIN);
    return 0;
}

int net_tls_client_new(const struct net_tls_settings *settings, struct net_tls **ret_tls,
                       struct err *err)
{
    struct net_tls *tls = net_tls_new(TLS_client_method());
    SSL_CTX_set_options(tls->ctx, SSL_OP_NO_TICKET);
    if (net_tls_trust(tls, settings, err) ||
        (settings->cert_file &&
         net_tls_use_key(tls, settings->cert_file, settings->key_file, err))) {
        net_tls_unref(tls);
        return -1;
    }
    *ret_tls = tls;
    return 0;
}

int net_tls_server_new(const char *cert_file, const char *key_file, struct net_tls **ret_tls,
                       struct err *err)
{
    struct net_tls *tls = net_tls_new(TLS_server_method());
    tls->server = true;
    /* Connections live long; a resumption that never comes is not worth its tickets. */
    SSL_CTX_set_options(tls->ctx, SSL_OP_NO_TICKET);
    SSL_CTX_set_num_tickets(tls->ctx, 0);
    if (net_tls_use_key(tls, cert_file, key_file, err)) {
        net_tls_unref(tls);
        return -1;
    }
    *ret_tls = tls;
    return 0;
}

struct net_tls *net_tls_ref(struct net_tls *tls)
{
    tls->refs++;
    return tls;
}

void net_tls_unref(struct net_tls *tls)
{
    if (!tls || --tls->refs)
        return;
    SSL_CTX_free(tls->ctx);
    free(tls);
}
