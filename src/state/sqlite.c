#include "state/sqlite.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sqlite3.h>

#include "base/buf.h"
#include "base/mem.h"
#include "state/db.h"
#include "state/folder.h"
#include "state/place.h"
#include "state/table.h"

enum state_sql {
    SQL_BEGIN,
    SQL_COMMIT,
    SQL_ROLLBACK,
    SQL_FIND_FOLDER,
    SQL_ADD_FOLDER,
    SQL_GET_MAILS,
    SQL_GET_OLD,
    SQL_PUT_MAIL,
    SQL_SET_NOTE,
    SQL_FORGET,
    SQL_PUT_OLD,
    SQL_USE_OLD,
    SQL_TURN_MAILS,
    SQL_TURN_DELETE,
    SQL_TURN_FOLDER,
    SQL_PRUNE,
    SQL_PUT_PROOF,
    SQL_GET_PROOFS,
    SQL_COUNT,
};

static const char *const state_sqlite_sql[SQL_COUNT] = {
    [SQL_BEGIN] = "BEGIN IMMEDIATE",
    [SQL_COMMIT] = "COMMIT",
    [SQL_ROLLBACK] = "ROLLBACK",
    [SQL_FIND_FOLDER] = "SELECT id, uidvalidity, generation FROM folder"
                        " WHERE account = ?1 AND name = ?2",
    [SQL_ADD_FOLDER] = "INSERT INTO folder (account, name, uidvalidity, generation)"
                       " VALUES (?1, ?2, ?3, ?4)",
    [SQL_GET_MAILS] = "SELECT uid, kind, sha256, note, hold_limit FROM mail"
                      " WHERE folder = ?1 AND uid >= ?2 ORDER BY uid",
    [SQL_GET_OLD] = "SELECT sha256 FROM old WHERE folder = ?1 ORDER BY sha256",
    [SQL_PUT_MAIL] = "INSERT OR REPLACE INTO mail (folder, uid, kind, sha256, note, hold_limit)"
                     " VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    [SQL_SET_NOTE] = "UPDATE mail SET note = ?3 WHERE folder = ?1 AND uid = ?2",
    [SQL_FORGET] = "DELETE FROM mail WHERE folder = ?1 AND uid = ?2",
    [SQL_PUT_OLD] = "INSERT OR REPLACE INTO old (folder, sha256, seq) VALUES (?1, ?2, ?3)",
    [SQL_USE_OLD] = "DELETE FROM old WHERE folder = ?1 AND sha256 = ?2 AND seq ="
                    " (SELECT min(seq) FROM old WHERE folder = ?1 AND sha256 = ?2)",
    /* In the order of the index it goes into, so that each of its pages is written once. */
    [SQL_TURN_MAILS] = "INSERT OR REPLACE INTO old (folder, sha256, seq)"
                       " SELECT folder, sha256, (?2 << 32) | uid FROM mail"
                       " WHERE folder = ?1 AND kind = ?3 ORDER BY sha256, uid",
    [SQL_TURN_DELETE] = "DELETE FROM mail WHERE folder = ?1",
    [SQL_TURN_FOLDER] = "UPDATE folder SET uidvalidity = ?2, generation = ?3 WHERE id = ?1",
    [SQL_PRUNE] = "DELETE FROM old WHERE folder = ?1 AND seq >> 32 < ?3 AND seq <="
                  " (SELECT seq FROM old WHERE folder = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2)",
    [SQL_PUT_PROOF] = "INSERT OR REPLACE INTO proof (account, proof) VALUES (?1, ?2)",
    [SQL_GET_PROOFS] = "SELECT account, proof FROM proof ORDER BY account",
};

/* A folder that was loaded. Its row is written with its first change, so that a first look at ten
 * thousand mailboxes costs no write. */
struct state_sqlite_folder {
    struct state_entry entry;
    int64_t row; /* folder.id; 0: there is none yet */
    int64_t generation;
    uint64_t added_in; /* the transaction that wrote the row */
};

struct state_sqlite {
    struct state state;
    sqlite3 *db;
    sqlite3_stmt *stmts[SQL_COUNT];
    struct state_table folders;
    uint64_t transaction; /* their count */
    int lock;
    bool lost; /* see state_sqlite_lost() */
};

/* Steps a statement that gives no rows. */
static int state_sqlite_run(struct state_sqlite *sqlite, enum state_sql which, struct err *err)
{
    sqlite3_stmt *stmt = sqlite->stmts[which];
    int result = 0;
    if (sqlite3_step(stmt) != SQLITE_DONE)
        result = state_db_error(sqlite->db, err);
    sqlite3_reset(stmt);
    return result;
}

static int state_sqlite_begin(struct state_sqlite *sqlite, struct err *err)
{
    sqlite->transaction++;
    if (state_db_check_place(sqlite->db, err) < 0)
        return -1;
    return state_sqlite_run(sqlite, SQL_BEGIN, err);
}

/* Commits when `result` is 0 and it can be done; else rolls back. */
static int state_sqlite_end(struct state_sqlite *sqlite, int result, struct err *err)
{
    if (result == 0)
        result = state_sqlite_run(sqlite, SQL_COMMIT, err);
    /* SQLite has rolled back by itself after some failures. */
    if (result < 0 && !sqlite3_get_autocommit(sqlite->db))
        (void)state_sqlite_run(sqlite, SQL_ROLLBACK, NULL);
    return result;
}

/* Binds a text whose "" is NULL in the database, a byte less in each row. */
static void state_sqlite_bind_text(sqlite3_stmt *stmt, int index, const char *text)
{
    if (text && *text)
        sqlite3_bind_text(stmt, index, text, -1, SQLITE_STATIC);
    else
        sqlite3_bind_null(stmt, index);
}

static int state_sqlite_bad_row(struct state_sqlite *sqlite, struct err *err)
{
    return state_db_damaged(err, sqlite3_db_filename(sqlite->db, "main"),
                            "a row that no collector writes");
}

/* The folder as it was loaded or as the database has it; a new one when neither. */
static int state_sqlite_find(struct state_sqlite *sqlite, const char *account, const char *name,
                             uint32_t uidvalidity, struct state_sqlite_folder **ret_folder,
                             struct err *err)
{
    struct state_entry *entry = state_table_find(&sqlite->folders, account, name);
    if (entry) {
        *ret_folder = (struct state_sqlite_folder *)entry;
        return 0;
    }

    sqlite3_stmt *stmt = sqlite->stmts[SQL_FIND_FOLDER];
    sqlite3_bind_text(stmt, 1, account, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 2, name, -1, SQLITE_STATIC);
    int rc = sqlite3_step(stmt);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE) {
        state_db_error(sqlite->db, err);
        sqlite3_reset(stmt);
        return -1;
    }
    int64_t row = sqlite3_column_int64(stmt, 0);
    int64_t known = rc == SQLITE_ROW ? sqlite3_column_int64(stmt, 1) : uidvalidity;
    int64_t generation = sqlite3_column_int64(stmt, 2);
    sqlite3_reset(stmt);
    if (row < 0 || known < 0 || known > UINT32_MAX || generation < 0 || generation > INT32_MAX)
        return state_sqlite_bad_row(sqlite, err);
    struct state_sqlite_folder *folder = (struct state_sqlite_folder *)state_table_add(
        &sqlite->folders, account, name, sizeof *folder);
    folder->row = row;
    folder->entry.uidvalidity = (uint32_t)known;
    folder->generation = generation;
    *ret_folder = folder;
    return 0;
}

static int state_sqlite_turn_rows(struct state_sqlite *sqlite,
                                  const struct state_sqlite_folder *folder, uint32_t uidvalidity,
                                  struct err *err)
{
    sqlite3_stmt *mails = sqlite->stmts[SQL_TURN_MAILS];
    sqlite3_bind_int64(mails, 1, folder->row);
    sqlite3_bind_int64(mails, 2, folder->generation);
    sqlite3_bind_int(mails, 3, STATE_DELIVERED);
    sqlite3_bind_int64(sqlite->stmts[SQL_TURN_DELETE], 1, folder->row);
    sqlite3_stmt *update = sqlite->stmts[SQL_TURN_FOLDER];
    sqlite3_bind_int64(update, 1, folder->row);
    sqlite3_bind_int64(update, 2, uidvalidity);
    sqlite3_bind_int64(update, 3, folder->generation + 1);

    if (state_sqlite_begin(sqlite, err) < 0)
        return -1;
    int result = state_sqlite_run(sqlite, SQL_TURN_MAILS, err);
    if (result == 0)
        result = state_sqlite_run(sqlite, SQL_TURN_DELETE, err);
    if (result == 0)
        result = state_sqlite_run(sqlite, SQL_TURN_FOLDER, err);
    return state_sqlite_end(sqlite, result, err);
}

/* The folder has got another uidvalidity. */
static int state_sqlite_turn(struct state_sqlite *sqlite, struct state_sqlite_folder *folder,
                             uint32_t uidvalidity, struct err *err)
{
    if (folder->row && state_sqlite_turn_rows(sqlite, folder, uidvalidity, err) < 0)
        return -1;
    folder->entry.uidvalidity = uidvalidity;
    folder->generation++;
    return 0;
}

static int state_sqlite_get_mails(struct state_sqlite *sqlite, int64_t row, uint32_t first_uid,
                                  struct state_folder_builder *builder, struct err *err)
{
    sqlite3_stmt *stmt = sqlite->stmts[SQL_GET_MAILS];
    sqlite3_bind_int64(stmt, 1, row);
    sqlite3_bind_int64(stmt, 2, first_uid);
    int64_t last = (int64_t)first_uid - 1;
    int rc, result = 0;
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        int64_t uid = sqlite3_column_int64(stmt, 0);
        struct state_mail mail = {
            .uid = (uint32_t)uid,
            .kind = (enum state_kind)sqlite3_column_int(stmt, 1),
            .note = (const char *)sqlite3_column_text(stmt, 3),
            .limit = (const char *)sqlite3_column_text(stmt, 4),
        };
        const void *sha256 = sqlite3_column_blob(stmt, 2);
        if (uid <= last || uid > UINT32_MAX || mail.kind > STATE_HELD ||
            sqlite3_column_bytes(stmt, 2) != STATE_SHA256)
            break;
        last = uid;
        memcpy(mail.sha256, sha256, STATE_SHA256);
        state_folder_add_mail(builder, &mail);
    }
    if (rc != SQLITE_DONE)
        result =
            rc == SQLITE_ROW ? state_sqlite_bad_row(sqlite, err) : state_db_error(sqlite->db, err);
    sqlite3_reset(stmt);
    return result;
}

static int state_sqlite_get_old(struct state_sqlite *sqlite, int64_t row,
                                struct state_folder_builder *builder, struct err *err)
{
    sqlite3_stmt *stmt = sqlite->stmts[SQL_GET_OLD];
    sqlite3_bind_int64(stmt, 1, row);
    int rc, result = 0;
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        const void *sha256 = sqlite3_column_blob(stmt, 0);
        const struct state_folder *folder = &builder->folder;
        if (sqlite3_column_bytes(stmt, 0) != STATE_SHA256 ||
            (folder->old_count &&
             memcmp(folder->old_hashes[folder->old_count - 1], sha256, STATE_SHA256) > 0))
            break; /* out of order too, which searches rely upon */
        state_folder_add_old(builder, sha256);
    }
    if (rc != SQLITE_DONE)
        result =
            rc == SQLITE_ROW ? state_sqlite_bad_row(sqlite, err) : state_db_error(sqlite->db, err);
    sqlite3_reset(stmt);
    return result;
}

static int state_sqlite_load(struct state *state, const char *account, const char *name,
                             uint32_t uidvalidity, uint32_t first_uid,
                             struct state_folder *ret_folder, struct err *err)
{
    struct state_sqlite *sqlite = (struct state_sqlite *)state;
    struct state_sqlite_folder *folder = NULL;
    if (state_sqlite_find(sqlite, account, name, uidvalidity, &folder, err) < 0)
        return -1;
    if (folder->entry.uidvalidity != uidvalidity &&
        state_sqlite_turn(sqlite, folder, uidvalidity, err) < 0)
        return -1;

    struct state_folder_builder builder = {.folder.id = state_entry_id(&folder->entry)};
    if (folder->row && (state_sqlite_get_mails(sqlite, folder->row, first_uid, &builder, err) < 0 ||
                        state_sqlite_get_old(sqlite, folder->row, &builder, err) < 0)) {
        state_folder_release(&builder.folder);
        return -1;
    }
    *ret_folder = state_folder_finish(&builder);
    return 0;
}

static int state_sqlite_add_row(struct state_sqlite *sqlite, struct state_sqlite_folder *folder,
                                struct err *err)
{
    if (folder->row)
        return 0;
    sqlite3_stmt *stmt = sqlite->stmts[SQL_ADD_FOLDER];
    sqlite3_bind_text(stmt, 1, folder->entry.account, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 2, folder->entry.folder, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 3, folder->entry.uidvalidity);
    sqlite3_bind_int64(stmt, 4, folder->generation);
    if (state_sqlite_run(sqlite, SQL_ADD_FOLDER, err) < 0)
        return -1;
    folder->row = sqlite3_last_insert_rowid(sqlite->db);
    folder->added_in = sqlite->transaction;
    return 0;
}

static int state_sqlite_put_mail(struct state_sqlite *sqlite, int64_t row, enum state_kind kind,
                                 const struct state_change *change, struct err *err)
{
    sqlite3_stmt *stmt = sqlite->stmts[SQL_PUT_MAIL];
    sqlite3_bind_int64(stmt, 1, row);
    sqlite3_bind_int64(stmt, 2, change->uid);
    sqlite3_bind_int(stmt, 3, kind);
    sqlite3_bind_blob(stmt, 4, change->sha256, STATE_SHA256, SQLITE_STATIC);
    state_sqlite_bind_text(stmt, 5, change->note);
    state_sqlite_bind_text(stmt, 6, change->limit);
    return state_sqlite_run(sqlite, SQL_PUT_MAIL, err);
}

/* Delivered under a uidvalidity that is over: the newest but for what comes from the present. */
static int state_sqlite_put_old(struct state_sqlite *sqlite,
                                const struct state_sqlite_folder *folder,
                                const struct state_change *change, struct err *err)
{
    sqlite3_stmt *stmt = sqlite->stmts[SQL_PUT_OLD];
    sqlite3_bind_int64(stmt, 1, folder->row);
    sqlite3_bind_blob(stmt, 2, change->sha256, STATE_SHA256, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 3, (folder->generation - 1) << 32 | change->uid);
    return state_sqlite_run(sqlite, SQL_PUT_OLD, err);
}

static int state_sqlite_use_old(struct state_sqlite *sqlite, int64_t row,
                                const struct state_change *change, struct err *err)
{
    sqlite3_stmt *stmt = sqlite->stmts[SQL_USE_OLD];
    sqlite3_bind_int64(stmt, 1, row);
    sqlite3_bind_blob(stmt, 2, change->sha256, STATE_SHA256, SQLITE_STATIC);
    return state_sqlite_run(sqlite, SQL_USE_OLD, err);
}

static int state_sqlite_add_delivered(struct state_sqlite *sqlite,
                                      struct state_sqlite_folder *folder, bool current,
                                      const struct state_change *change, struct err *err)
{
    if (state_sqlite_add_row(sqlite, folder, err) < 0)
        return -1;
    if (change->type == STATE_ADD_RECOGNISED &&
        state_sqlite_use_old(sqlite, folder->row, change, err) < 0)
        return -1;
    return current ? state_sqlite_put_mail(sqlite, folder->row, STATE_DELIVERED, change, err)
                   : state_sqlite_put_old(sqlite, folder, change, err);
}

static int state_sqlite_put_proof(struct state_sqlite *sqlite, const struct state_change *change,
                                  struct err *err)
{
    sqlite3_stmt *stmt = sqlite->stmts[SQL_PUT_PROOF];
    sqlite3_bind_text(stmt, 1, change->account, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 2, change->proof);
    return state_sqlite_run(sqlite, SQL_PUT_PROOF, err);
}

static int state_sqlite_apply(struct state_sqlite *sqlite, const struct state_change *change,
                              struct err *err)
{
    if (change->type == STATE_SET_PROOF)
        return state_sqlite_put_proof(sqlite, change, err);
    bool current;
    struct state_sqlite_folder *folder =
        (struct state_sqlite_folder *)state_table_by_id(&sqlite->folders, change->folder, &current);
    if (!folder)
        return err_set(err, ERR_GIVE_UP, "state: change of a folder that was not loaded");
    if (change->type == STATE_ADD_DELIVERED || change->type == STATE_ADD_RECOGNISED)
        return state_sqlite_add_delivered(sqlite, folder, current, change, err);
    if (!current)
        return 0;
    if (change->type == STATE_ADD_HELD)
        return state_sqlite_add_row(sqlite, folder, err) < 0
                   ? -1
                   : state_sqlite_put_mail(sqlite, folder->row, STATE_HELD, change, err);

    enum state_sql which = change->type == STATE_SET_NOTE ? SQL_SET_NOTE : SQL_FORGET;
    sqlite3_stmt *stmt = sqlite->stmts[which];
    sqlite3_bind_int64(stmt, 1, folder->row);
    sqlite3_bind_int64(stmt, 2, change->uid);
    if (which == SQL_SET_NOTE)
        state_sqlite_bind_text(stmt, 3, change->note);
    return state_sqlite_run(sqlite, which, err);
}

/* After a rollback: the rows that this transaction added are not there. */
static void state_sqlite_unadd_rows(struct state_sqlite *sqlite, const struct state_change *changes,
                                    size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bool current;
        struct state_sqlite_folder *folder = (struct state_sqlite_folder *)state_table_by_id(
            &sqlite->folders, changes[i].folder, &current);
        if (folder && folder->added_in == sqlite->transaction)
            folder->row = 0;
    }
}

static int state_sqlite_commit(struct state *state, const struct state_change *changes,
                               size_t count, struct err *err)
{
    struct state_sqlite *sqlite = (struct state_sqlite *)state;
    if (!count)
        return 0;
    if (state_sqlite_begin(sqlite, err) < 0)
        return -1;
    int result = 0;
    for (size_t i = 0; i < count && result == 0; i++)
        result = state_sqlite_apply(sqlite, &changes[i], err);
    result = state_sqlite_end(sqlite, result, err);
    if (result < 0)
        state_sqlite_unadd_rows(sqlite, changes, count);
    return result;
}

/* The rows of SQL_GET_PROOFS. */
static int state_sqlite_take_proofs(sqlite3 *db, sqlite3_stmt *stmt,
                                    struct state_proofs *ret_proofs, struct err *err)
{
    struct state_proofs proofs = {0};
    int rc, result = 0;
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW)
        state_proofs_set(&proofs, (const char *)sqlite3_column_text(stmt, 0),
                         (unsigned)sqlite3_column_int64(stmt, 1));
    if (rc != SQLITE_DONE)
        result = state_db_error(db, err);
    sqlite3_reset(stmt);
    if (result < 0)
        state_proofs_release(&proofs);
    else
        *ret_proofs = proofs;
    return result;
}

static int state_sqlite_load_proofs(struct state *state, struct state_proofs *ret_proofs,
                                    struct err *err)
{
    struct state_sqlite *sqlite = (struct state_sqlite *)state;
    return state_sqlite_take_proofs(sqlite->db, sqlite->stmts[SQL_GET_PROOFS], ret_proofs, err);
}

static int state_sqlite_prune_old(struct state *state, int64_t id, size_t keep, struct err *err)
{
    struct state_sqlite *sqlite = (struct state_sqlite *)state;
    bool current;
    struct state_sqlite_folder *folder =
        (struct state_sqlite_folder *)state_table_by_id(&sqlite->folders, id, &current);
    if (!folder)
        return err_set(err, ERR_GIVE_UP, "state: pruning of a folder that was not loaded");
    if (!current || !folder->row)
        return 0;
    sqlite3_stmt *stmt = sqlite->stmts[SQL_PRUNE];
    sqlite3_bind_int64(stmt, 1, folder->row);
    sqlite3_bind_int64(stmt, 2, keep > INT64_MAX ? INT64_MAX : (int64_t)keep);
    sqlite3_bind_int64(stmt, 3, folder->generation - STATE_GENERATIONS);
    return state_sqlite_run(sqlite, SQL_PRUNE, err);
}

/* The last close checkpoints and removes the WAL; then the lock ends. */
static void state_sqlite_free(struct state *state)
{
    struct state_sqlite *sqlite = (struct state_sqlite *)state;
    for (size_t i = 0; i < SQL_COUNT; i++)
        sqlite3_finalize(sqlite->stmts[i]);
    sqlite3_close(sqlite->db);
    state_table_release(&sqlite->folders, NULL);
    if (sqlite->lock >= 0)
        close(sqlite->lock);
    free(sqlite);
}

static const struct state_ops state_sqlite_ops = {
    .load = state_sqlite_load,
    .commit = state_sqlite_commit,
    .load_proofs = state_sqlite_load_proofs,
    .prune_old = state_sqlite_prune_old,
    .free = state_sqlite_free,
};

/* Also finds tables that are missing or not as they should be. */
static int state_sqlite_prepare(struct state_sqlite *sqlite, struct err *err)
{
    for (size_t i = 0; i < SQL_COUNT; i++)
        if (sqlite3_prepare_v3(sqlite->db, state_sqlite_sql[i], -1, SQLITE_PREPARE_PERSISTENT,
                               &sqlite->stmts[i], NULL) != SQLITE_OK)
            return state_db_error(sqlite->db, err);
    return 0;
}

int state_sqlite_open(const char *path, struct state **ret_state, struct err *err)
{
    struct state_sqlite *sqlite = mem_new(struct state_sqlite);
    sqlite->state.ops = &state_sqlite_ops;
    sqlite->lock = -1;
    char *real = NULL;
    bool used = false, empty = false;
    int result = state_place_resolve(path, &real, err);
    if (result == 0)
        result = state_place_lock(real, &sqlite->lock, &used, err);
    if (result == 0)
        state_place_settle(real);
    if (result == 0)
        result = state_place_create(real, &empty, err);
    if (result == 0)
        result = state_db_open(real, &sqlite->db, err);
    if (result == 0)
        result = state_sqlite_prepare(sqlite, err);
    if (result == 0)
        state_db_accept(sqlite->db);
    free(real);
    if (result < 0) {
        state_sqlite_free(&sqlite->state);
        return result;
    }
    if (!used)
        state_place_sign(sqlite->lock, true);
    sqlite->lost = used && empty;
    *ret_state = &sqlite->state;
    return 0;
}

/* A URI of it (sqlite.org/uri.html). Where there is no WAL nobody is at it, and it is taken as a
 * file that does not change: else reading alone would leave a WAL there, of whoever reads. */
static char *state_sqlite_uri(const char *path)
{
    struct buf uri = {0};
    char *wal = mem_printf("%s-wal", path), *text;
    buf_add_str(&uri, *path == '/' ? "file://" : "file:");
    for (const char *at = path; *at; at++)
        if (strchr("%?#", *at))
            buf_printf(&uri, "%%%02x", (unsigned char)*at);
        else
            buf_add_byte(&uri, (uint8_t)*at);
    if (access(wal, F_OK) < 0)
        buf_add_str(&uri, "?immutable=1");
    free(wal);
    text = mem_strdup(buf_cstr(&uri));
    buf_release(&uri);
    return text;
}

int state_sqlite_read_proofs(const char *path, struct state_proofs *ret_proofs, struct err *err)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *stmt = NULL;
    struct state_proofs none = {0};
    struct stat info;
    int result = 0;
    if (stat(path, &info) < 0 && (errno == ENOENT || errno == ENOTDIR)) {
        *ret_proofs = none;
        return 0;
    }
    char *uri = state_sqlite_uri(path);
    if (sqlite3_open_v2(uri, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL) != SQLITE_OK ||
        sqlite3_busy_timeout(db, STATE_DB_BUSY) != SQLITE_OK)
        result = state_db_error(db, err);
    else if (sqlite3_prepare_v2(db, state_sqlite_sql[SQL_GET_PROOFS], -1, &stmt, NULL) == SQLITE_OK)
        result = state_sqlite_take_proofs(db, stmt, ret_proofs, err);
    else if (sqlite3_errcode(db) == SQLITE_ERROR) /* no such table: an older schema, or empty */
        *ret_proofs = none;
    else
        result = state_db_error(db, err);
    sqlite3_finalize(stmt);
    sqlite3_close(db);
    free(uri);
    return result;
}

bool state_sqlite_lost(const struct state *state)
{
    return ((const struct state_sqlite *)state)->lost;
}
