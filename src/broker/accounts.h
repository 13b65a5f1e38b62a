/* broker/accounts.h: who may publish and subscribe to what, in the usual broker's formats. */
#ifndef BROKER_ACCOUNTS_H
#define BROKER_ACCOUNTS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct broker_account {
    char *ident;
    char *owner;
    char *secret;
    char **pubchans; /* NULL ends them */
    char **subchans;
};

struct broker_accounts;

struct broker_accounts *broker_accounts_new(void);
/* Wipes the secrets. NULL does nothing. */
void broker_accounts_free(struct broker_accounts *accounts);
/* HPFEEDS_<IDENT>_SECRET, _PUBCHANS, _SUBCHANS, _OWNER of `environ_list` (as `environ`): lists are
 * comma-separated, blanks around a name are dropped; the ident matches whatever its case. An
 * ident without a secret is no account. */
int broker_accounts_add_env(struct broker_accounts *accounts, char *const *environ_list,
                            struct err *err);
/* {"ident": {"owner": "", "secret": "", "pubchans": [], "subchans": []}, …}: all four keys are
 * needed, others are ignored. The error names the file and, for bad JSON, line and column. On
 * failure none of the file's accounts is added. */
int broker_accounts_add_json(struct broker_accounts *accounts, const char *path, struct err *err);
/* The account of an ident as a client sent it (any bytes), or NULL. The first source that knows
 * it wins. */
const struct broker_account *broker_accounts_find(const struct broker_accounts *accounts,
                                                  const char *ident, size_t len);
size_t broker_accounts_count(const struct broker_accounts *accounts);
/* By the account's lists alone; the channel is any bytes. */
bool broker_account_may_publish(const struct broker_account *account, const char *channel,
                                size_t len);
bool broker_account_may_subscribe(const struct broker_account *account, const char *channel,
                                  size_t len);

#endif
