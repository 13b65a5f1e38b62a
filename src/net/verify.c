/* Whether a server is who it should be, and what to tell the operator when it is not. */
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/text.h"
#include "net/tls_impl.h"

enum {
    NET_VERIFY_NAME = 128,  /* of a name shown */
    NET_VERIFY_NAMES = 240, /* of all names shown */
};

char *net_verify_date(char *out, size_t cap, const ASN1_TIME *time)
{
    struct tm tm;
    out[0] = '\0';
    if (time && ASN1_TIME_to_tm(time, &tm))
        strftime(out, cap, "%Y-%m-%d", &tm);
    return out;
}

static bool net_verify_digest(X509 *cert, uint8_t out[NET_TLS_FINGERPRINT])
{
    unsigned len = NET_TLS_FINGERPRINT;
    return cert && X509_digest(cert, EVP_sha256(), out, &len) == 1;
}

static char *net_verify_hex(char out[2 * NET_TLS_FINGERPRINT + 1], X509 *cert)
{
    uint8_t digest[NET_TLS_FINGERPRINT] = {0};
    net_verify_digest(cert, digest);
    for (size_t i = 0; i < NET_TLS_FINGERPRINT; i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
    return out;
}

static void net_verify_add_name(char *names, const void *data, int len)
{
    char name[NET_VERIFY_NAME];
    size_t used = strlen(names);
    text_escape(name, sizeof name, data, len > 0 ? (size_t)len : 0);
    if (used + strlen(name) + 3 < NET_VERIFY_NAMES)
        snprintf(names + used, NET_VERIFY_NAMES - used, "%s%s", used ? ", " : "", name);
}

static void net_verify_add_address(char *names, const ASN1_OCTET_STRING *ip)
{
    char *text = NULL;
    BIO *out = BIO_new(BIO_s_mem());
    GENERAL_NAME name = {.type = GEN_IPADD};
    name.d.iPAddress = (ASN1_OCTET_STRING *)(uintptr_t)ip;
    if (out && GENERAL_NAME_print(out, &name) > 0) {
        /* It prints "IP Address:127.0.0.1". */
        int len = (int)BIO_get_mem_data(out, &text);
        const char *colon = memchr(text, ':', (size_t)len);
        int skip = colon ? (int)(colon + 1 - text) : 0;
        net_verify_add_name(names, text + skip, len - skip);
    }
    BIO_free(out);
}

/* The names a certificate is for; its CN only when it has no other, as the check itself does. */
static void net_verify_names(char names[NET_VERIFY_NAMES], X509 *cert)
{
    GENERAL_NAMES *list = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    names[0] = '\0';
    for (int i = 0; i < sk_GENERAL_NAME_num(list); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(list, i);
        if (name->type == GEN_DNS)
            net_verify_add_name(names, ASN1_STRING_get0_data(name->d.dNSName),
                                ASN1_STRING_length(name->d.dNSName));
        else if (name->type == GEN_IPADD)
            net_verify_add_address(names, name->d.iPAddress);
    }
    GENERAL_NAMES_free(list);
    const X509_NAME *subject = X509_get_subject_name(cert);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    if (!names[0] && at >= 0) {
        const ASN1_STRING *cn = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
        net_verify_add_name(names, ASN1_STRING_get0_data(cn), ASN1_STRING_length(cn));
    }
    if (!names[0])
        snprintf(names, NET_VERIFY_NAMES, "no host at all");
}

static void net_verify_explain_date(struct err *err, const char *host, X509_STORE_CTX *store,
                                    bool expired)
{
    char date[32];
    X509 *cert = X509_STORE_CTX_get_current_cert(store);
    const char *whose =
        X509_STORE_CTX_get_error_depth(store) ? "a CA certificate behind that" : "the certificate";
    if (expired)
        err_set(err, ERR_GIVE_UP, "%s of %s expired on %s", whose, host,
                net_verify_date(date, sizeof date, X509_get0_notAfter(cert)));
    else
        err_set(err, ERR_GIVE_UP, "%s of %s is valid from %s only: is this machine's clock right?",
                whose, host, net_verify_date(date, sizeof date, X509_get0_notBefore(cert)));
}

static void net_verify_explain(struct net_tls_check *check, X509_STORE_CTX *store)
{
    X509 *leaf = X509_STORE_CTX_get0_cert(store);
    int error = X509_STORE_CTX_get_error(store);
    char host[NET_VERIFY_NAME], names[NET_VERIFY_NAMES], hex[2 * NET_TLS_FINGERPRINT + 1];
    text_escape_utf8(host, sizeof host, check->name, strlen(check->name));
    switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
        net_verify_explain_date(&check->err, host, store, error == X509_V_ERR_CERT_HAS_EXPIRED);
        break;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        net_verify_names(names, leaf);
        err_set(&check->err, ERR_GIVE_UP, "the certificate is for %s, not for %s", names, host);
        break;
    default:
        err_set(&check->err, ERR_GIVE_UP,
                "the certificate of %s is not trusted: %s; give its CA with tls_ca, or pin it with "
                "tls_fingerprint: %s",
                host, X509_verify_cert_error_string(error), net_verify_hex(hex, leaf));
    }
}

static bool net_verify_pinned(struct net_tls_check *check, X509 *leaf)
{
    uint8_t digest[NET_TLS_FINGERPRINT];
    char host[NET_VERIFY_NAME], hex[2 * NET_TLS_FINGERPRINT + 1];
    if (net_verify_digest(leaf, digest) &&
        !memcmp(digest, check->tls->fingerprint, NET_TLS_FINGERPRINT))
        return true;
    text_escape_utf8(host, sizeof host, check->name, strlen(check->name));
    err_set(&check->err, ERR_GIVE_UP,
            "the certificate of %s is not the pinned one: its tls_fingerprint is %s", host,
            net_verify_hex(hex, leaf));
    return false;
}

int net_verify_chain(X509_STORE_CTX *store, void *unused)
{
    (void)unused;
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct net_tls_check *check = SSL_get_app_data(ssl);
    bool good;
    if (check->tls->has_fingerprint) {
        good = net_verify_pinned(check, X509_STORE_CTX_get0_cert(store));
        X509_STORE_CTX_set_error(store, good ? X509_V_OK : X509_V_ERR_APPLICATION_VERIFICATION);
    } else {
        good = X509_verify_cert(store) > 0;
        if (!good)
            net_verify_explain(check, store);
    }
    check->refused = !good;
    return good;
}
