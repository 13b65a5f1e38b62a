/* Accounts from an SQLite file, asked each time: on the worker, for another program may be writing
 * to it. */
#include <fcntl.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "broker/source.h"

enum {
    SQLITE_BUSY_MS = 5000, /* as the usual broker waits */
};

struct sqlite_source {
    struct broker_source source;
    char *path;
    enum broker_sqlite_schema schema;
    struct stat status; /* of the file that is open */
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

static void sqlite_close(struct sqlite_source *sqlite)
{
    sqlite3_finalize(sqlite->query);
    sqlite3_close(sqlite->db);
    sqlite->query = NULL;
    sqlite->db = NULL;
}

/* Made here, for it will hold secrets: SQLite would let everyone read it. */
static void sqlite_make(const char *path)
{
    int made = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (made >= 0)
        close(made);
}

/* `make`: the tables, too. Where it may not write, they are there or the query says that they are
 * not. */
static int sqlite_open(struct sqlite_source *sqlite, bool make, struct err *err)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_FULLMUTEX;
    if (sqlite3_open_v2(sqlite->path, &sqlite->db, flags, NULL))
        return sqlite_fail(sqlite, err);
    stat(sqlite->path, &sqlite->status);
    sqlite3_busy_timeout(sqlite->db, SQLITE_BUSY_MS);
    if (make)
        sqlite3_exec(sqlite->db, sqlite_tables, NULL, NULL, NULL);
    if (sqlite3_prepare_v3(sqlite->db, sqlite_queries[sqlite->schema], -1,
                           SQLITE_PREPARE_PERSISTENT, &sqlite->query, NULL))
        return sqlite_fail(sqlite, err);
    return 0;
}

/* Another file may have been put in its place. One that is not there is being replaced. */
static int sqlite_follow(struct sqlite_source *sqlite, struct err *err)
{
    struct stat now;
    bool same = stat(sqlite->path, &now) ||
                (now.st_ino == sqlite->status.st_ino && now.st_dev == sqlite->status.st_dev);
    if (same && sqlite->query)
        return 0;
    sqlite_close(sqlite);
    return sqlite_open(sqlite, false, err);
}

static struct broker_account *sqlite_find(struct broker_source *source, const char *ident,
                                          size_t len, struct err *err)
{
    struct sqlite_source *sqlite = (struct sqlite_source *)source;
    struct broker_account *account = NULL;
    if (sqlite_follow(sqlite, err))
        return NULL;
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
    sqlite_close(sqlite);
    free(sqlite->path);
    free(sqlite);
}

static const struct broker_source_kind sqlite_kind = {
    .find = sqlite_find,
    .free = sqlite_free,
    .blocks = true,
};

int broker_source_sqlite_new(const char *path, enum broker_sqlite_schema schema,
                             struct broker_source **ret_source, struct err *err)
{
    struct sqlite_source *sqlite = mem_new(struct sqlite_source);
    sqlite->source.kind = &sqlite_kind;
    sqlite->path = mem_strdup(path);
    sqlite->schema = schema;
    bool ours = schema == BROKER_SQLITE_AUTHKEYS;
    if (ours)
        sqlite_make(path);
    if (sqlite_open(sqlite, ours, err)) {
        sqlite_free(&sqlite->source);
        return -1;
    }
    *ret_source = &sqlite->source;
    return 0;
}
