/* net/tls.h: what a connection trusts, and what it shows. TLS 1.2 and 1.3 only. */
#ifndef NET_TLS_H
#define NET_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum {
    NET_TLS_FINGERPRINT = 32
};

/* What a file held when it was read; `text` NULL: it has to be read. */
struct net_tls_pem {
    const char *text;
    size_t len;
};

/* Settings of a client; NULL strings are "not set". Strings are copied. */
struct net_tls_settings {
    const char *ca_file; /* PEM, instead of the system's CAs */
    bool no_verify;      /* accept any certificate: for tests and last resorts */
    /* The SHA-256 of the server's certificate (DER). When set it alone decides: neither CA nor
     * host name nor date is looked at. */
    bool has_fingerprint;
    uint8_t fingerprint[NET_TLS_FINGERPRINT];
    const char *cert_file; /* PEM chain shown to a server that asks */
    const char *key_file;  /* its key; NULL: in cert_file */
    struct net_tls_pem ca; /* of the three files */
    struct net_tls_pem cert;
    struct net_tls_pem key;
};

struct net_tls;

/* A client's context. Equal settings should share one: it holds the CAs. Fails (ERR_GIVE_UP) when
 * a file cannot be read, is empty, or the key does not fit, naming the file. */
int net_tls_client_new(const struct net_tls_settings *settings, struct net_tls **ret_tls,
                       struct err *err);
/* A server's context, from PEM files; key_file NULL: the key is in cert_file. */
int net_tls_server_new(const char *cert_file, const char *key_file, struct net_tls **ret_tls,
                       struct err *err);
/* Of a client's: does it look at whom it is connected to, by certificate or fingerprint? */
bool net_tls_verifies(const struct net_tls *tls);
struct net_tls *net_tls_ref(struct net_tls *tls);
/* NULL does nothing. */
void net_tls_unref(struct net_tls *tls);

/* Where the system's authorities are: a file, and a directory of files that are opened as they are
 * needed. Either may not be there. Reads OpenSSL's configuration. */
const char *net_tls_system_file(void);
const char *net_tls_system_directory(void);

/* What tells one TLS connection apart from every other (RFC 5056): "tls-unique" (RFC 5929). */
struct net_tls_binding {
    size_t len;
    uint8_t data[64];
};

/* What was agreed with a peer, for people: --check and logs. */
struct net_tls_info {
    char version[16];                         /* "TLSv1.3" */
    char cipher[64];                          /* "TLS_AES_256_GCM_SHA384" */
    char subject[256];                        /* the certificate's subject, escaped */
    char issuer[256];                         /* its issuer, escaped */
    char not_after[32];                       /* "2027-01-31" */
    uint8_t fingerprint[NET_TLS_FINGERPRINT]; /* SHA-256 of the certificate (DER) */
};

#endif
