#include "programs/collector_tls.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"

struct tls_store_entry {
    char *key;
    struct net_tls *tls;
};

struct tls_store {
    void *tree; /* of entries, by their key: tsearch(3) */
    struct tls_store *previous;
};

static int tls_store_compare(const void *a, const void *b)
{
    return strcmp(((const struct tls_store_entry *)a)->key,
                  ((const struct tls_store_entry *)b)->key);
}

static void tls_store_free_entry(void *node)
{
    struct tls_store_entry *entry = node;
    net_tls_unref(entry->tls);
    free(entry->key);
    free(entry);
}

struct tls_store *tls_store_new(struct tls_store *previous)
{
    struct tls_store *store = mem_new(struct tls_store);
    store->previous = previous;
    return store;
}

void tls_store_settle(struct tls_store *store)
{
    store->previous = NULL;
}

void tls_store_free(struct tls_store *store)
{
    if (!store)
        return;
    tdestroy(store->tree, tls_store_free_entry);
    free(store);
}

/* A path, and what tells whether another file has come to stand there. */
static void tls_store_key_file(const char *path, const struct conf_pem *pem, struct buf *out)
{
    struct stat info;
    if (!path)
        buf_add_str(out, "\n-");
    else if (pem)
        buf_printf(out, "\n%s\n%zu %lld.%09ld", path, pem->len, (long long)pem->seconds,
                   pem->nanoseconds);
    else if (stat(path, &info) < 0)
        buf_printf(out, "\n%s\n?", path);
    else
        buf_printf(out, "\n%s\n%lld %lld.%09ld", path, (long long)info.st_size,
                   (long long)info.st_mtim.tv_sec, info.st_mtim.tv_nsec);
}

void tls_store_key(const struct conf_tls *settings, struct buf *out)
{
    buf_add_str(out, settings->mode == CONF_TLS_NONE ? "plain" : "tls");
    if (settings->mode == CONF_TLS_NONE)
        return;
    buf_add_str(out, settings->verify ? " verified" : " unverified");
    for (size_t i = 0; settings->has_fingerprint && i < sizeof settings->fingerprint; i++)
        buf_printf(out, "%s%02x", i ? "" : " ", settings->fingerprint[i]);
    tls_store_key_file(settings->ca, settings->ca_pem, out);
    tls_store_key_file(settings->cert, settings->cert_pem, out);
    tls_store_key_file(settings->key, settings->key_pem, out);
}

static struct tls_store_entry *tls_store_find(const struct tls_store *store, const char *key)
{
    const struct tls_store_entry wanted = {.key = (char *)(uintptr_t)key};
    struct tls_store_entry *const *found =
        store ? tfind(&wanted, &store->tree, tls_store_compare) : NULL;
    return found ? *found : NULL;
}

/* Takes the reference. */
static struct tls_store_entry *tls_store_add(struct tls_store *store, const char *key,
                                             struct net_tls *tls)
{
    struct tls_store_entry *entry = mem_new(struct tls_store_entry);
    entry->key = mem_strdup(key);
    entry->tls = tls;
    if (!tsearch(entry, &store->tree, tls_store_compare))
        abort();
    return entry;
}

static void tls_store_give(const struct conf_pem *pem, struct net_tls_pem *ret_pem)
{
    if (pem)
        *ret_pem = (struct net_tls_pem){.text = pem->text, .len = pem->len};
}

static int tls_store_make(const struct conf_tls *settings, struct net_tls **ret_tls,
                          struct err *err)
{
    struct net_tls_settings made = {
        .ca_file = settings->ca,
        .no_verify = !settings->verify,
        .has_fingerprint = settings->has_fingerprint,
        .cert_file = settings->cert,
        .key_file = settings->key,
    };
    tls_store_give(settings->ca_pem, &made.ca);
    tls_store_give(settings->cert_pem, &made.cert);
    tls_store_give(settings->key_pem, &made.key);
    memcpy(made.fingerprint, settings->fingerprint, sizeof made.fingerprint);
    return net_tls_client_new(&made, ret_tls, err);
}

int tls_store_get(struct tls_store *store, const struct conf_tls *settings,
                  struct net_tls **ret_tls, struct err *err)
{
    struct buf key = {0};
    struct net_tls *tls = NULL;
    int result = 0;
    if (settings->mode == CONF_TLS_NONE) {
        *ret_tls = NULL;
        return 0;
    }
    tls_store_key(settings, &key);
    struct tls_store_entry *entry = tls_store_find(store, buf_cstr(&key));
    const struct tls_store_entry *before =
        entry ? NULL : tls_store_find(store->previous, buf_cstr(&key));
    if (before)
        entry = tls_store_add(store, before->key, net_tls_ref(before->tls));
    else if (!entry && (result = tls_store_make(settings, &tls, err)) == 0)
        entry = tls_store_add(store, buf_cstr(&key), tls);
    if (entry)
        *ret_tls = net_tls_ref(entry->tls);
    buf_release(&key);
    return result;
}
