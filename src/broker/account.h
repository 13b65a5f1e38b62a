/* broker/account.h: one identity and what it may do, whatever source it comes from. */
#ifndef BROKER_ACCOUNT_H
#define BROKER_ACCOUNT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

/* Constant once it is made; a connection keeps the account it authenticated with, whatever becomes
 * of the source. */
struct broker_account {
    unsigned refs;
    char *ident;
    char *owner;
    char *secret;
    char **pubchans; /* NULL ends them */
    char **subchans;
};

/* The lists empty, the strings copied. The caller owns one reference. */
struct broker_account *broker_account_new(const char *ident, const char *owner, const char *secret);
struct broker_account *broker_account_ref(struct broker_account *account);
/* The last one wipes the secret. NULL does nothing. */
void broker_account_unref(struct broker_account *account);
/* Is `name` one that can stand on the wire: 1 to 255 bytes of UTF-8? `what` names it. */
int broker_account_check_name(const char *what, const char *name, struct err *err);
/* "a,b" as a list; NULL gives an empty one. Empty names, as between two commas, are dropped. */
void broker_account_split(const char *text, char ***list);
/* A JSON list of channels as a list; `what` names it. */
int broker_account_take_list(const json_t *value, const char *what, char ***list, struct err *err);
/* By the account's lists alone; the channel is any bytes. */
bool broker_account_may_publish(const struct broker_account *account, const char *channel,
                                size_t len);
bool broker_account_may_subscribe(const struct broker_account *account, const char *channel,
                                  size_t len);

#endif
