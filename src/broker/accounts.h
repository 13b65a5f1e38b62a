/* broker/accounts.h: the sources of accounts, in the usual broker's formats, asked in their order.
 *
 * Changes are seen without a restart: a file of JSON is read again when it has changed, a database
 * is asked each time. */
#ifndef BROKER_ACCOUNTS_H
#define BROKER_ACCOUNTS_H

#include <stddef.h>

#include "base/err.h"
#include "broker/account.h"

struct broker_accounts;
struct broker_lookup;
struct net_loop;

/* The loop is that of the answers. */
struct broker_accounts *broker_accounts_new(struct net_loop *loop);
/* Lookups that are under way are answered first. NULL does nothing. */
void broker_accounts_free(struct broker_accounts *accounts);
/* HPFEEDS_<IDENT>_SECRET, _PUBCHANS, _SUBCHANS, _OWNER of `environ_list` (as `environ`): lists are
 * comma-separated, blanks around a name are dropped; the ident matches whatever its case. An
 * ident without a secret is no account. */
int broker_accounts_add_env(struct broker_accounts *accounts, char *const *environ_list,
                            struct err *err);
/* {"ident": {"owner": "", "secret": "", "pubchans": [], "subchans": []}, …}: all four keys are
 * needed, others are ignored. The error names the file and, for bad JSON, line and column. When
 * the file is broken later, what it said before counts on, and the log says so. */
int broker_accounts_add_json(struct broker_accounts *accounts, const char *path, struct err *err);
/* Table authkeys(id, owner, ident, secret, pubchans, subchans), the lists as JSON text. A file that
 * is not there is made, with the usual broker's tables. */
int broker_accounts_add_sqlite(struct broker_accounts *accounts, const char *path, struct err *err);
/* The same with the table auth_keys(id, identifier, secret, publish, subscribe) of the usual
 * broker's "database+sqlite:///path". The file has to be there. */
int broker_accounts_add_database(struct broker_accounts *accounts, const char *path,
                                 struct err *err);
/* How many accounts the environment and files hold; databases are not counted. */
size_t broker_accounts_count(const struct broker_accounts *accounts);
/* Reads again what has changed; broker_accounts_lookup() does it, too. */
void broker_accounts_refresh(struct broker_accounts *accounts);

/* Asks for the account of an ident as a client sent it (any bytes). The first source that knows it
 * counts. `done` is called once: with an account, valid during the call unless it takes a
 * reference; with none when nobody knows it; with none and `err` when a source could not be asked.
 * Returns NULL when it was called before the return, else what broker_lookup_cancel() takes. */
struct broker_lookup *broker_accounts_lookup(
    struct broker_accounts *accounts, const char *ident, size_t len,
    void (*done)(void *ctx, struct broker_account *account, const struct err *err), void *ctx);
/* `done` will not be called. NULL does nothing. */
void broker_lookup_cancel(struct broker_lookup *lookup);

#endif
