/* Contexts: what is trusted, and how OpenSSL is told to spare memory. */
#include "net/tls.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509err.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "net/tls_impl.h"

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
    net_tls_bound(tls->ctx);
    return tls;
}

/* NULL: the file cannot be opened, and OpenSSL has the error. */
static BIO *net_tls_open(const char *file, const struct net_tls_pem *pem)
{
    if (pem->text && pem->len <= INT_MAX)
        return BIO_new_mem_buf(pem->text, (int)pem->len);
    return BIO_new_file(file, "r");
}

/* A key with a passphrase is not for a service; without this OpenSSL would ask the terminal. */
static int net_tls_no_passphrase(char *buf, int size, int writing, void *ctx)
{
    (void)buf;
    (void)size;
    (void)writing;
    (void)ctx;
    return -1;
}

/* The first certificate is ours, the others lead to an authority. */
static bool net_tls_use_chain(SSL_CTX *ctx, BIO *bio)
{
    X509 *cert = PEM_read_bio_X509_AUX(bio, NULL, net_tls_no_passphrase, NULL);
    bool good = cert && SSL_CTX_use_certificate(ctx, cert) == 1;
    X509_free(cert);
    while (good && (cert = PEM_read_bio_X509(bio, NULL, net_tls_no_passphrase, NULL))) {
        good = SSL_CTX_add0_chain_cert(ctx, cert) == 1;
        if (!good)
            X509_free(cert);
    }
    /* The end looks like an error. */
    if (good && ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE)
        ERR_clear_error();
    return good && !ERR_peek_error();
}

static bool net_tls_use_private_key(SSL_CTX *ctx, BIO *bio)
{
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, net_tls_no_passphrase, NULL);
    bool good = key && SSL_CTX_use_PrivateKey(ctx, key) == 1 && SSL_CTX_check_private_key(ctx) == 1;
    EVP_PKEY_free(key);
    return good;
}

static int net_tls_use_key(struct net_tls *tls, const struct net_tls_settings *settings,
                           struct err *err)
{
    const char *file = settings->key_file ? settings->key_file : settings->cert_file;
    ERR_clear_error();
    BIO *cert = net_tls_open(settings->cert_file, &settings->cert);
    bool good = cert && net_tls_use_chain(tls->ctx, cert);
    BIO_free(cert);
    if (!good)
        return net_tls_file_error(err, "certificate file", settings->cert_file);
    BIO *key = net_tls_open(file, settings->key_file ? &settings->key : &settings->cert);
    good = key && net_tls_use_private_key(tls->ctx, key);
    BIO_free(key);
    return good ? 0 : net_tls_file_error(err, "key file", file);
}

/* Certificates, and lists of those that were revoked. */
static bool net_tls_load_authorities(SSL_CTX *ctx, BIO *bio)
{
    X509_STORE *store = SSL_CTX_get_cert_store(ctx);
    STACK_OF(X509_INFO) *infos = PEM_X509_INFO_read_bio(bio, NULL, net_tls_no_passphrase, NULL);
    bool good = infos;
    int found = 0;
    for (int i = 0; good && i < sk_X509_INFO_num(infos); i++) {
        const X509_INFO *info = sk_X509_INFO_value(infos, i);
        if (info->x509)
            good = X509_STORE_add_cert(store, info->x509) == 1;
        if (info->crl)
            good = good && X509_STORE_add_crl(store, info->crl) == 1;
        found += (info->x509 ? 1 : 0) + (info->crl ? 1 : 0);
    }
    if (good && !found)
        ERR_raise(ERR_LIB_X509, X509_R_NO_CERTIFICATE_OR_CRL_FOUND);
    sk_X509_INFO_pop_free(infos, X509_INFO_free);
    return good && found;
}

static int net_tls_use_authorities(struct net_tls *tls, const struct net_tls_settings *settings,
                                   struct err *err)
{
    BIO *bio = net_tls_open(settings->ca_file, &settings->ca);
    bool good = bio && net_tls_load_authorities(tls->ctx, bio);
    BIO_free(bio);
    return good ? 0 : net_tls_file_error(err, "CA file", settings->ca_file);
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
    } else if (net_tls_use_authorities(tls, settings, err)) {
        return -1;
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
        (settings->cert_file && net_tls_use_key(tls, settings, err))) {
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
    const struct net_tls_settings settings = {.cert_file = cert_file, .key_file = key_file};
    if (net_tls_use_key(tls, &settings, err)) {
        net_tls_unref(tls);
        return -1;
    }
    *ret_tls = tls;
    return 0;
}

bool net_tls_verifies(const struct net_tls *tls)
{
    return SSL_CTX_get_verify_mode(tls->ctx) & SSL_VERIFY_PEER;
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

static const char *net_tls_system(const char *variable, const char *otherwise)
{
    const char *said = secure_getenv(variable);
    OPENSSL_init_ssl(0, NULL);
    return said && *said ? said : otherwise;
}

const char *net_tls_system_file(void)
{
    return net_tls_system(X509_get_default_cert_file_env(), X509_get_default_cert_file());
}

const char *net_tls_system_directory(void)
{
    return net_tls_system(X509_get_default_cert_dir_env(), X509_get_default_cert_dir());
}
