/* broker/source.h: where accounts come from; one file of this room a kind. Internal. */
#ifndef BROKER_SOURCE_H
#define BROKER_SOURCE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "broker/account.h"

struct broker_source;

struct broker_source_kind {
    /* The account, with a reference for the caller; NULL: not known, or `err` (its text is empty
     * otherwise) says why it could not be asked. Of a source that blocks it is called on the
     * worker. */
    struct broker_account *(*find)(struct broker_source *source, const char *ident, size_t len,
                                   struct err *err);
    /* Reads again what has changed. May be NULL. */
    void (*refresh)(struct broker_source *source);
    size_t (*count)(const struct broker_source *source); /* may be NULL */
    void (*free)(struct broker_source *source);
    bool blocks;
};

/* Each kind begins with it. */
struct broker_source {
    const struct broker_source_kind *kind;
};

int broker_source_env_new(char *const *environ_list, struct broker_source **ret_source,
                          struct err *err);
int broker_source_json_new(const char *path, struct broker_source **ret_source, struct err *err);

enum broker_sqlite_schema {
    BROKER_SQLITE_AUTHKEYS,
    BROKER_SQLITE_AUTH_KEYS,
};

int broker_source_sqlite_new(const char *path, enum broker_sqlite_schema schema,
                             struct broker_source **ret_source, struct err *err);

#endif
