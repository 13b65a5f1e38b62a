#include "broker/accounts.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "broker/source.h"
#include "net/worker.h"

struct broker_accounts {
    struct net_loop *loop;
    struct net_worker *worker; /* for sources that block; NULL: there is none */
    struct broker_source **sources;
    size_t count;
};

/* On its way through the sources. */
struct broker_lookup {
    struct net_job job;
    struct broker_accounts *accounts;
    size_t next; /* the source to be asked */
    struct broker_account *account;
    struct err err;
    void (*done)(void *ctx, struct broker_account *account, const struct err *err);
    void *ctx;
    size_t len;
    char ident[];
};

struct broker_accounts *broker_accounts_new(struct net_loop *loop)
{
    struct broker_accounts *accounts = mem_new(struct broker_accounts);
    accounts->loop = loop;
    return accounts;
}

void broker_accounts_free(struct broker_accounts *accounts)
{
    if (!accounts)
        return;
    net_worker_free(accounts->worker);
    for (size_t i = 0; i < accounts->count; i++)
        accounts->sources[i]->kind->free(accounts->sources[i]);
    free(accounts->sources);
    free(accounts);
}

static int accounts_add(struct broker_accounts *accounts, struct broker_source *moved)
{
    accounts->sources =
        mem_realloc_array(accounts->sources, accounts->count + 1, sizeof(struct broker_source *));
    accounts->sources[accounts->count++] = moved;
    if (moved->kind->blocks && !accounts->worker)
        accounts->worker = net_worker_new(accounts->loop);
    return 0;
}

int broker_accounts_add_env(struct broker_accounts *accounts, char *const *environ_list,
                            struct err *err)
{
    struct broker_source *source;
    return broker_source_env_new(environ_list, &source, err) ? -1 : accounts_add(accounts, source);
}

int broker_accounts_add_json(struct broker_accounts *accounts, const char *path, struct err *err)
{
    struct broker_source *source;
    return broker_source_json_new(path, &source, err) ? -1 : accounts_add(accounts, source);
}

int broker_accounts_add_sqlite(struct broker_accounts *accounts, const char *path, struct err *err)
{
    struct broker_source *source;
    return broker_source_sqlite_new(path, BROKER_SQLITE_AUTHKEYS, &source, err)
               ? -1
               : accounts_add(accounts, source);
}

int broker_accounts_add_database(struct broker_accounts *accounts, const char *path,
                                 struct err *err)
{
    struct broker_source *source;
    return broker_source_sqlite_new(path, BROKER_SQLITE_AUTH_KEYS, &source, err)
               ? -1
               : accounts_add(accounts, source);
}

size_t broker_accounts_count(const struct broker_accounts *accounts)
{
    size_t count = 0;
    for (size_t i = 0; i < accounts->count; i++)
        if (accounts->sources[i]->kind->count)
            count += accounts->sources[i]->kind->count(accounts->sources[i]);
    return count;
}

void broker_accounts_refresh(struct broker_accounts *accounts)
{
    for (size_t i = 0; i < accounts->count; i++)
        if (accounts->sources[i]->kind->refresh)
            accounts->sources[i]->kind->refresh(accounts->sources[i]);
}

static void lookup_ask(struct broker_lookup *lookup, struct broker_source *source)
{
    if (source->kind->refresh)
        source->kind->refresh(source);
    lookup->account = source->kind->find(source, lookup->ident, lookup->len, &lookup->err);
}

static void lookup_work(struct net_job *job)
{
    struct broker_lookup *lookup = (struct broker_lookup *)job;
    lookup_ask(lookup, lookup->accounts->sources[lookup->next++]);
}

static bool lookup_over(const struct broker_lookup *lookup)
{
    return lookup->account || *lookup->err.text || lookup->next == lookup->accounts->count;
}

static void lookup_finish(struct broker_lookup *lookup)
{
    if (lookup->done)
        lookup->done(lookup->ctx, lookup->account, *lookup->err.text ? &lookup->err : NULL);
    broker_account_unref(lookup->account);
    free(lookup);
}

static void lookup_worked(struct net_job *job);

/* Asks one source after the other; true when it is over and freed. */
static bool lookup_go_on(struct broker_lookup *lookup)
{
    while (!lookup_over(lookup)) {
        struct broker_source *source = lookup->accounts->sources[lookup->next];
        if (source->kind->blocks) {
            lookup->job = (struct net_job){.work = lookup_work, .done = lookup_worked};
            net_worker_submit(lookup->accounts->worker, &lookup->job);
            return false;
        }
        lookup->next++;
        lookup_ask(lookup, source);
    }
    lookup_finish(lookup);
    return true;
}

static void lookup_worked(struct net_job *job)
{
    lookup_go_on((struct broker_lookup *)job);
}

struct broker_lookup *broker_accounts_lookup(
    struct broker_accounts *accounts, const char *ident, size_t len,
    void (*done)(void *ctx, struct broker_account *account, const struct err *err), void *ctx)
{
    struct broker_lookup *lookup = mem_zalloc(sizeof *lookup + len + 1);
    lookup->accounts = accounts;
    lookup->done = done;
    lookup->ctx = ctx;
    lookup->len = len;
    memcpy(lookup->ident, ident, len);
    return lookup_go_on(lookup) ? NULL : lookup;
}

void broker_lookup_cancel(struct broker_lookup *lookup)
{
    if (lookup)
        lookup->done = NULL;
}
