/* Certificates made for a test: a CA and what it signed, as PEM files in a temporary folder. */
#ifndef TEST_NET_PKI_H
#define TEST_NET_PKI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pki;

/* A certificate with its key in one file. */
struct pki_spec {
    const char *file; /* "host.pem" */
    const char *cn;
    size_t cn_len;        /* 0: strlen(cn) */
    const char *san;      /* "DNS:localhost,IP:127.0.0.1"; NULL: none */
    int from_day, to_day; /* days from now */
    bool self_signed;     /* else by the CA */
    bool wrong_key;       /* the key beside it is another's */
    bool rsa;             /* the certificate's own key is of RSA */
};

/* Makes ca.pem. */
struct pki *pki_new(void);
/* Removes the files. */
void pki_free(struct pki *pki);
void pki_make(struct pki *pki, const struct pki_spec *spec);
/* The path of a file; valid until the next call but three. */
const char *pki_path(const struct pki *pki, const char *file);
/* The SHA-256 of the certificate in `file`. */
void pki_fingerprint(const struct pki *pki, const char *file, uint8_t out[32]);

#endif
