#include "state/db.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    DB_APPLICATION_ID = 0x49436F6C, /* "ICol" */
};

/* Entry N leads from schema N to N + 1; PRAGMA user_version tells where a file is. */
static const char *const state_db_migrations[] = {
    "CREATE TABLE folder ("
    "  id INTEGER PRIMARY KEY,"
    "  account TEXT NOT NULL,"
    "  name TEXT NOT NULL,"
    "  uidvalidity INTEGER NOT NULL,"
    "  generation INTEGER NOT NULL," /* how often uidvalidity has changed */
    "  UNIQUE (account, name)"
    ") STRICT;"
    "CREATE TABLE mail ("
    "  folder INTEGER NOT NULL,"
    "  uid INTEGER NOT NULL,"
    "  kind INTEGER NOT NULL," /* enum state_kind */
    "  sha256 BLOB NOT NULL,"
    "  note TEXT," /* NULL: "" */
    "  hold_limit TEXT,"
    "  PRIMARY KEY (folder, uid)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE TABLE old ("
    "  folder INTEGER NOT NULL,"
    "  sha256 BLOB NOT NULL,"
    "  seq INTEGER NOT NULL," /* generation << 32 | uid: higher is newer */
    "  PRIMARY KEY (folder, sha256, seq)"
    ") STRICT, WITHOUT ROWID;",
    "CREATE TABLE proof ("
    "  account TEXT PRIMARY KEY NOT NULL,"
    "  proof INTEGER NOT NULL" /* enum imap_proof */
    ") STRICT, WITHOUT ROWID;",
};

enum {
    DB_SCHEMA = sizeof state_db_migrations / sizeof *state_db_migrations
};

static int state_db_full(struct err *err, const char *path)
{
    return err_set(err, ERR_RETRY_LATER,
                   "state %s: no space left: nothing of this was recorded, make room there", path);
}

int state_db_damaged(struct err *err, const char *path, const char *why)
{
    return err_set(
        err, ERR_GIVE_UP,
        "state %s: damaged (%s): save what can be read of it as imap-collector(1) tells, "
        "put back a copy, or move it away with its -wal and begin a new one, which "
        "delivers again what is still in the mailboxes",
        path, why);
}

/* The system's refusal of a single read, write or sync. */
static int state_db_io_error(struct err *err, const char *path, const char *why, int error)
{
    switch (error) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return state_db_full(err, path);
    case EROFS:
        return err_set(err, ERR_RETRY_LATER,
                       "state %s: the file system is read-only: nothing of this was recorded, make "
                       "it writable again (the kernel's log tells why it is not)",
                       path);
    case EIO:
        return err_set(err, ERR_RETRY_LATER,
                       "state %s: the disk fails (%s): nothing of this was recorded, look at the "
                       "kernel's log",
                       path, why);
    default:
        return err_set(err, ERR_RETRY_LATER, "state %s: %s (%s)", path, why, strerror(error));
    }
}

int state_db_error(sqlite3 *db, struct err *err)
{
    /* sqlite3_system_errno() says nothing of what failed in sqlite3_step(); errno is still that. */
    int error = errno;
    const char *path = sqlite3_db_filename(db, "main");
    const char *why = sqlite3_errmsg(db);
    switch (sqlite3_errcode(db) & 0xFF) {
    case SQLITE_NOMEM:
        fputs("out of memory\n", stderr);
        abort();
    case SQLITE_FULL:
        return state_db_full(err, path);
    case SQLITE_IOERR:
        return state_db_io_error(err, path, why, error);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return err_set(err, ERR_RETRY_LATER,
                       "state %s: another program keeps it locked: end that one", path);
    case SQLITE_ERROR: /* the SQL is constant: a table or column of the schema is missing */
    case SQLITE_CORRUPT:
        return state_db_damaged(err, path, why);
    case SQLITE_NOTADB:
        return err_set(err, ERR_GIVE_UP,
                       "state %s: not a database: a file of another kind (name another file for "
                       "the state), or a state whose beginning is damaged (put back a copy)",
                       path);
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_CANTOPEN:
        if (error == ENOSPC || error == EDQUOT)
            return state_db_full(err, path);
        if (error == EMFILE || error == ENFILE)
            return err_set(err, ERR_RETRY_LATER, "state %s: %s", path, err_errno_text(error));
        return err_set(
            err, ERR_GIVE_UP,
            "state %s: cannot be opened or written (%s): look at its owner and mode, and "
            "at its directory's",
            path, why);
    default:
        return err_set(err, ERR_GIVE_UP, "state %s: %s", path, why);
    }
}

static int state_db_exec(sqlite3 *db, const char *sql, struct err *err)
{
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        return state_db_error(db, err);
    return 0;
}

static int state_db_query(sqlite3 *db, const char *sql, int64_t *ret_value, struct err *err)
{
    sqlite3_stmt *stmt = NULL;
    int result = 0;
    if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK ||
        sqlite3_step(stmt) != SQLITE_ROW)
        result = state_db_error(db, err);
    else
        *ret_value = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    return result;
}

/* SQLite counts a page that is there in part as a whole one, and takes a file of one byte for an
 * empty one. Beside a WAL a page may be in part: the rest of it comes from there. */
static int state_db_check_length(sqlite3 *db, off_t wal_size, struct err *err)
{
    int64_t page_size = 0;
    if (state_db_query(db, "PRAGMA page_size", &page_size, err) < 0)
        return -1;
    const char *path = sqlite3_db_filename(db, "main");
    struct stat file;
    if (stat(path, &file) < 0)
        return err_set(err, ERR_GIVE_UP, "state %s: %s", path, strerror(errno));
    if (wal_size == 0 && file.st_size % page_size != 0)
        return state_db_damaged(err, path, "its end is missing");
    return 0;
}

/* What a kill left in the WAL is the last word on the pages that it has. That of another database,
 * or of a newer state than the copy that was put back beside it, makes a jumble of the two. */
static int state_db_check_pages(sqlite3 *db, struct err *err)
{
    sqlite3_stmt *stmt = NULL;
    int result = 0;
    bool found = sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &stmt, NULL) == SQLITE_OK &&
                 sqlite3_step(stmt) == SQLITE_ROW;
    if (!found && sqlite3_errcode(db) != SQLITE_CORRUPT)
        result = state_db_error(db, err);
    else if (!found || strcmp((const char *)sqlite3_column_text(stmt, 0), "ok") != 0)
        result = state_db_damaged(err, sqlite3_db_filename(db, "main"),
                                  "it and its -wal do not fit together");
    sqlite3_finalize(stmt);
    return result;
}

/* Is it ours, or empty? Only reads: a file of another program's stays as it is. */
static int state_db_identify(sqlite3 *db, off_t wal_size, int64_t *ret_schema, struct err *err)
{
    int64_t application = 0, schema = 0, objects = 0;
    if (state_db_query(db, "PRAGMA application_id", &application, err) < 0 ||
        state_db_query(db, "PRAGMA user_version", &schema, err) < 0 ||
        state_db_query(db, "SELECT count(*) FROM sqlite_schema", &objects, err) < 0)
        return -1;

    if (state_db_check_length(db, wal_size, err) < 0)
        return -1;
    const char *path = sqlite3_db_filename(db, "main");
    bool empty = !application && !schema && !objects;
    if (application != DB_APPLICATION_ID && !empty)
        return err_set(err, ERR_GIVE_UP,
                       "state %s: is another program's database: name another file for the state",
                       path);
    if (schema > DB_SCHEMA)
        return err_set(err, ERR_GIVE_UP,
                       "state %s: written by a newer imap-collector (schema %lld, this one knows "
                       "%d): run the newer one, or name another file for the state",
                       path, (long long)schema, DB_SCHEMA);
    if (schema < 0 || (!empty && !schema))
        return state_db_damaged(err, path, "impossible schema version");
    *ret_schema = schema;
    return 0;
}

static int state_db_use_wal(sqlite3 *db, struct err *err)
{
    sqlite3_stmt *stmt = NULL;
    int result = 0;
    if (sqlite3_prepare_v2(db, "PRAGMA journal_mode = WAL", -1, &stmt, NULL) != SQLITE_OK ||
        sqlite3_step(stmt) != SQLITE_ROW)
        result = state_db_error(db, err);
    else if (strcmp((const char *)sqlite3_column_text(stmt, 0), "wal") != 0)
        result = err_set(err, ERR_GIVE_UP,
                         "state %s: this file system cannot share memory between programs, which "
                         "SQLite's WAL needs: put the state on a local disk",
                         sqlite3_db_filename(db, "main"));
    sqlite3_finalize(stmt);
    return result;
}

/* All steps to this program's schema, or none. */
static int state_db_migrate(sqlite3 *db, int64_t schema, struct err *err)
{
    if (schema == DB_SCHEMA)
        return 0;
    if (state_db_exec(db, "BEGIN IMMEDIATE", err) < 0)
        return -1;
    int result = 0;
    for (; schema < DB_SCHEMA && result == 0; schema++)
        result = state_db_exec(db, state_db_migrations[schema], err);
    if (result == 0) {
        char sql[100];
        snprintf(sql, sizeof sql, "PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT",
                 DB_APPLICATION_ID, DB_SCHEMA);
        result = state_db_exec(db, sql, err);
    }
    if (!sqlite3_get_autocommit(db))
        sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    return result;
}

static int state_db_set_up(sqlite3 *db, struct err *err)
{
    /* Sorting in memory: no need of a writable /tmp. */
    static const char before[] = "PRAGMA cache_size = -1024;"
                                 "PRAGMA temp_store = MEMORY;"
                                 "PRAGMA cell_size_check = ON;";
    /* FULL: the WAL is synced before COMMIT returns. The WAL is checkpointed at 1000 pages, and
     * what a long reader made it grow to beyond 4 MiB is cut off then. */
    static const char after[] = "PRAGMA synchronous = FULL;"
                                "PRAGMA wal_autocheckpoint = 1000;"
                                "PRAGMA journal_size_limit = 4194304;";
    int64_t schema = 0;
    struct stat wal = {0};
    (void)stat(sqlite3_filename_wal(sqlite3_db_filename(db, "main")), &wal);
    if (sqlite3_busy_timeout(db, STATE_DB_BUSY) != SQLITE_OK)
        return state_db_error(db, err);
    /* Closing would write the WAL into a file that it may not belong to. */
    sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, wal.st_size > 0, NULL);
    if (state_db_exec(db, before, err) < 0 ||
        state_db_identify(db, wal.st_size, &schema, err) < 0 ||
        (wal.st_size > 0 && state_db_check_pages(db, err) < 0) || state_db_use_wal(db, err) < 0 ||
        state_db_exec(db, after, err) < 0 || state_db_migrate(db, schema, err) < 0)
        return -1;
    return 0;
}

void state_db_accept(sqlite3 *db)
{
    sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
}

int state_db_check_place(sqlite3 *db, struct err *err)
{
    int moved = 0;
    if (sqlite3_file_control(db, "main", SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK && moved)
        return err_set(err, ERR_GIVE_UP,
                       "state %s: was removed, moved or replaced while it was in use: nothing more "
                       "can be recorded; stop the collector before you do so",
                       sqlite3_db_filename(db, "main"));
    return 0;
}

int state_db_open(const char *path, sqlite3 **ret_db, struct err *err)
{
    /* No mutex: one thread at a time uses a state. */
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    sqlite3 *db = NULL;
    int rc = sqlite3_open_v2(path, &db, flags, NULL);
    if (!db)
        return err_set(err, ERR_GIVE_UP, "state %s: %s", path, sqlite3_errstr(rc));
    int result = rc == SQLITE_OK ? state_db_set_up(db, err) : state_db_error(db, err);
    if (result < 0) {
        sqlite3_close(db);
        return result;
    }
    *ret_db = db;
    return 0;
}
