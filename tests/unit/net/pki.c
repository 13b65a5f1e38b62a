#include "pki.h"

#include <assert.h>
#include <dirent.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

struct pki {
    char dir[32];
    EVP_PKEY *key; /* one for all: nobody looks */
    X509 *ca;
};

static void pki_must(bool ok)
{
    if (!ok)
        abort();
}

const char *pki_path(const struct pki *pki, const char *file)
{
    static char paths[4][128];
    static unsigned turn;
    char *path = paths[turn++ % 4];
    int len = snprintf(path, sizeof paths[0], "%s/%s", pki->dir, file);
    pki_must(len > 0 && (size_t)len < sizeof paths[0]);
    return path;
}

static void pki_add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    pki_must(extension && X509_add_ext(cert, extension, -1));
    X509_EXTENSION_free(extension);
}

static X509 *pki_sign(struct pki *pki, const struct pki_spec *spec, bool ca)
{
    static long serial = 1;
    X509 *cert = X509_new();
    X509 *issuer = ca || spec->self_signed ? cert : pki->ca;
    int cn_len = spec->cn_len ? (int)spec->cn_len : (int)strlen(spec->cn);
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), serial++);
    X509_gmtime_adj(X509_getm_notBefore(cert), spec->from_day * 86400L);
    X509_gmtime_adj(X509_getm_notAfter(cert), spec->to_day * 86400L);
    X509_NAME_add_entry_by_NID(X509_get_subject_name(cert), NID_commonName, MBSTRING_UTF8,
                               (const unsigned char *)spec->cn, cn_len, -1, 0);
    X509_set_issuer_name(cert, X509_get_subject_name(issuer));
    X509_set_pubkey(cert, pki->key);
    pki_add_extension(cert, issuer, NID_basic_constraints, ca ? "critical,CA:TRUE" : "CA:FALSE");
    if (spec->san)
        pki_add_extension(cert, issuer, NID_subject_alt_name, spec->san);
    pki_must(X509_sign(cert, pki->key, EVP_sha256()) > 0);
    return cert;
}

static void pki_save(const struct pki *pki, const char *file, X509 *cert, EVP_PKEY *key)
{
    FILE *out = fopen(pki_path(pki, file), "w");
    pki_must(out && PEM_write_X509(out, cert) &&
             PEM_write_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL));
    fclose(out);
}

struct pki *pki_new(void)
{
    static const struct pki_spec spec = {.cn = "Test CA", .from_day = -10, .to_day = 10};
    struct pki *pki = mem_new(struct pki);
    snprintf(pki->dir, sizeof pki->dir, "/tmp/net-pki-XXXXXX");
    pki_must(mkdtemp(pki->dir));
    pki->key = EVP_EC_gen("P-256");
    pki->ca = pki_sign(pki, &spec, true);
    pki_save(pki, "ca.pem", pki->ca, pki->key);
    return pki;
}

void pki_make(struct pki *pki, const struct pki_spec *spec)
{
    X509 *cert = pki_sign(pki, spec, false);
    EVP_PKEY *other = spec->rsa ? EVP_RSA_gen(2048) : spec->wrong_key ? EVP_EC_gen("P-256") : NULL;
    if (spec->rsa) {
        X509_set_pubkey(cert, other);
        pki_must(X509_sign(cert, pki->key, EVP_sha256()) > 0);
    }
    pki_save(pki, spec->file, cert, other ? other : pki->key);
    EVP_PKEY_free(other);
    X509_free(cert);
}

void pki_fingerprint(const struct pki *pki, const char *file, uint8_t out[32])
{
    unsigned len = 32;
    FILE *in = fopen(pki_path(pki, file), "r");
    pki_must(in);
    X509 *cert = PEM_read_X509(in, NULL, NULL, NULL);
    pki_must(cert && X509_digest(cert, EVP_sha256(), out, &len));
    X509_free(cert);
    fclose(in);
}

void pki_free(struct pki *pki)
{
    DIR *dir = opendir(pki->dir);
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        unlink(pki_path(pki, entry->d_name));
    closedir(dir);
    rmdir(pki->dir);
    X509_free(pki->ca);
    EVP_PKEY_free(pki->key);
    free(pki);
}
