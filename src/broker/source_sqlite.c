/* Accounts from an SQLite file, asked each time: on the worker, for another program may be writing
 * to it. */
#include <fcntl.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "broker/source.h"

enum {
    SQLITE_BUSY_MS = 5000, /* as the usual broker waits */
};

struct sqlite_source {
    struct broker_source source;
    char *path;
    sqlite3 *db;
    sqlite3_stmt *query;
};

/* The usual broker's own, all three: it makes them anew when one is missing. */
static const char sqlite_tables[] =
    "create table if not exists logs (id integer primary key autoincrement, data TEXT);"
    "create table if not exists stats (id integer primary key autoincrement, ak TEXT, uid TEXT, "
    "data TEXT);"
    "create table if not exists authkeys (id integer primary key autoincrement, owner TEXT, ident "
    "TEXT,"
    " secret TEXT, pubchans TEXT, subchans TEXT);";

static const char *const sqlite_queries[] = {
    [BROKER_SQLITE_AUTHKEYS] = "select owner, ident, secret, pubchans, subchans from authkeys"
                               " where ident = ?1 limit 1",
    [BROKER_SQLITE_AUTH_KEYS] = "select identifier, identifier, secret, publish, subscribe"
                                " from auth_keys where identifier = ?1 limit 1",
};

static int sqlite_fail(const struct sqlite_source *sqlite, struct err *err)
{
    return err_set(err, ERR_RETRY_LATER, "%s: %s", sqlite->path,
                   sqlite->db ? sqlite3_errmsg(sqlite->db) : "out of memory");
}

/* NULL is the empty text. */
static const char *sqlite_text(sqlite3_stmt *query, int column)
{
    const unsigned char *text = sqlite3_column_text(query, column);
    return text ? (const char *)text : "";
}

static int sqlite_take_list(const struct sqlite_source *sqlite, int column, const char *what,
                            char ***list, struct err *err)
{
    const char *text = sqlite_text(sqlite->query, column);
    json_t *value = json_loads(*text ? text : "[]", JSON_DECODE_ANY, NULL);
    int result = value ? broker_account_take_list(value, what, list, err)
                       : err_set(err, ERR_GIVE_UP, "\"%s\" is not JSON", what);
    json_decref(value);
    return result ? err_prefix(err, "%s", sqlite->path) : 0;
}

static struct broker_account *sqlite_take_account(const struct sqlite_source *sqlite,
                                                  struct err *err)
{
    sqlite3_stmt *query = sqlite->query;
    const char *secret = sqlite_text(query, 2);
    if (!*secret) {
        err_set(err, ERR_GIVE_UP, "%s: the secret is empty", sqlite->path);
        return NULL;
    }
    struct broker_account *account =
        broker_account_new(sqlite_text(query, 1), sqlite_text(query, 0), secret);
    if (sqlite_take_list(sqlite, 3, "pubchans", &account->pubchans, err) ||
        sqlite_take_list(sqlite, 4, "subchans", &account->subchans, err)) {
        broker_account_unref(account);
        return NULL;
    }
    return account;
}

static struct broker_account *sqlite_find(struct broker_source *source, const char *ident,
                                          size_t len, struct err *err)
{
    struct sqlite_source *sqlite = (struct sqlite_source *)source;
    struct broker_account *account = NULL;
    sqlite3_bind_text(sqlite->query, 1, ident, (int)len, SQLITE_TRANSIENT);
    int step = sqlite3_step(sqlite->query);
    if (step == SQLITE_ROW)
        account = sqlite_take_account(sqlite, err);
    else if (step != SQLITE_DONE)
        sqlite_fail(sqlite, err);
    sqlite3_reset(sqlite->query);
    sqlite3_clear_bindings(sqlite->query);
    return account;
}

static void sqlite_free(struct broker_source *source)
{
    struct sqlite_source *sqlite = (struct sqlite_source *)source;
    sqlite3_finalize(sqlite->query);
    sqlite3_close(sqlite->db);
    free(sqlite->path);
    free(sqlite);
}

static const struct broker_source_kind sqlite_kind = {
    .find = sqlite_find,
    .free = sqlite_free,
    .blocks = true,
};

static int sqlite_open(struct sqlite_source *sqlite, enum broker_sqlite_schema schema,
                       struct err *err)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_FULLMUTEX;
    /* Made here, for it will hold secrets: SQLite would let everyone read it. */
    int made = schema == BROKER_SQLITE_AUTHKEYS
                   ? open(sqlite->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)
                   : -1;
    if (made >= 0)
        close(made);
    if (sqlite3_open_v2(sqlite->path, &sqlite->db, flags, NULL))
        return sqlite_fail(sqlite, err);
    sqlite3_busy_timeout(sqlite->db, SQLITE_BUSY_MS);
    /* Where it may not write, the tables are there or the query says that they are not. */
    if (schema == BROKER_SQLITE_AUTHKEYS)
        sqlite3_exec(sqlite->db, sqlite_tables, NULL, NULL, NULL);
    if (sqlite3_prepare_v3(sqlite->db, sqlite_queries[schema], -1, SQLITE_PREPARE_PERSISTENT,
                           &sqlite->query, NULL))
        return sqlite_fail(sqlite, err);
    return 0;
}

int broker_source_sqlite_new(const char *path, enum broker_sqlite_schema schema,
                             struct broker_source **ret_source, struct err *err)
{
    struct sqlite_source *sqlite = mem_new(struct sqlite_source);
    sqlite->source.kind = &sqlite_kind;
    sqlite->path = mem_strdup(path);
    if (sqlite_open(sqlite, schema, err)) {
        sqlite_free(&sqlite->source);
        return -1;
    }
    *ret_source = &sqlite->source;
    return 0;
}
