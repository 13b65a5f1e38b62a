/* Opening a state's file: what it makes, who may have it, and what it refuses and leaves alone. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sqlite3.h>

#include "base/mem.h"
#include "scratch.h"
#include "state/sqlite.h"

static int open_fixture(void **state)
{
    struct scratch *scratch = mem_new(struct scratch);
    scratch_make(scratch);
    *state = scratch;
    return 0;
}

static int open_fixture_end(void **state)
{
    scratch_remove(*state);
    free(*state);
    return 0;
}

static struct state *open_state(const char *path)
{
    struct state *opened = NULL;
    struct err err = {0};
    if (state_sqlite_open(path, &opened, &err) < 0)
        fail_msg("%s", err.text);
    return opened;
}

static void open_is_refused(const char *path, enum err_action action, const char *with_words)
{
    struct state *opened = (void *)0x1;
    struct err err = {.action = ERR_RETRY_NOW};
    if (state_sqlite_open(path, &opened, &err) == 0)
        fail_msg("%s was opened, not refused with \"%s\"", path, with_words);
    assert_ptr_equal(opened, (void *)0x1);
    if (!strstr(err.text, with_words))
        fail_msg("\"%s\" does not say \"%s\"", err.text, with_words);
    assert_int_equal(err.action, action);
    assert_true(strlen(err.text) < sizeof err.text - 1);
}

static void open_fill(const char *path, uint32_t count)
{
    struct state *opened = open_state(path);
    struct state_folder folder;
    assert_int_equal(state_load(opened, "trap", "INBOX", 1, 1, &folder, NULL), 0);
    for (uint32_t uid = 1; uid <= count; uid++) {
        struct state_change change = {.folder = folder.id, .uid = uid, .sha256 = {(uint8_t)uid}};
        assert_int_equal(state_commit(opened, &change, 1, NULL), 0);
    }
    state_folder_release(&folder);
    state_free(opened);
}

static size_t open_count(const char *path)
{
    struct state *opened = open_state(path);
    struct state_folder folder;
    assert_int_equal(state_load(opened, "trap", "INBOX", 1, 1, &folder, NULL), 0);
    size_t count = folder.count;
    state_folder_release(&folder);
    state_free(opened);
    return count;
}

static void open_sql(const char *path, const char *sql)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static unsigned open_mode(const char *path)
{
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    return status.st_mode & 07777;
}

static void test_makes_directories_and_modes(void **state)
{
    const struct scratch *scratch = *state;
    char *a = mem_printf("%s/a", scratch->dir);
    char *b = mem_printf("%s/a/b", scratch->dir);
    char *path = mem_printf("%s/a//b/./state.db", scratch->dir);
    assert_int_equal(chmod(scratch->dir, 0755), 0);
    mode_t mask = umask(0);
    open_fill(path, 1);
    umask(mask);
    assert_int_equal(open_mode(scratch->dir), 0755);
    assert_int_equal(open_mode(a), 0700);
    assert_int_equal(open_mode(b), 0700);
    assert_int_equal(open_mode(path), 0600);
    assert_int_equal(scratch_size(path, "-wal"), -1);
    assert_int_equal(scratch_size(path, "-shm"), -1);
    assert_int_equal(open_count(path), 1);
    free(path);
    free(b);
    free(a);
}

static void test_wal_is_private_too(void **state)
{
    const struct scratch *scratch = *state;
    mode_t mask = umask(0);
    struct state *opened = open_state(scratch->path);
    umask(mask);
    char *wal = mem_printf("%s-wal", scratch->path);
    char *lock = mem_printf("%s.lock", scratch->path);
    assert_int_equal(open_mode(wal), 0600);
    assert_int_equal(open_mode(lock), 0600);
    free(lock);
    free(wal);
    state_free(opened);
}

/* A name in the working directory, and one that SQLite would take for a database in memory. */
static void test_relative_names(void **state)
{
    const struct scratch *scratch = *state;
    static const char *const paths[] = {"state.db", "./state.db", "x/../state.db",
                                        ":memory:", "file:x?mode=memory"};
    int before = open(".", O_RDONLY | O_DIRECTORY);
    assert_int_equal(chdir(scratch->dir), 0);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        open_fill(paths[i], 3);
        assert_int_equal(open_count(paths[i]), 3);
        assert_int_equal(open_mode(paths[i]), 0600);
    }
    assert_int_equal(fchdir(before), 0);
    close(before);
}

static void test_empty_file_is_new(void **state)
{
    const struct scratch *scratch = *state;
    scratch_write(scratch->path, "", 0);
    open_fill(scratch->path, 2);
    assert_int_equal(open_count(scratch->path), 2);
}

static bool open_was_lost(const char *path)
{
    struct state *opened = open_state(path);
    bool lost = state_sqlite_lost(opened);
    state_free(opened);
    return lost;
}

/* Where a state has been, one that is gone is not begun anew without a word. */
static void test_gone(void **state)
{
    const struct scratch *scratch = *state;
    assert_false(open_was_lost(scratch->path)); /* the first of all */
    assert_false(open_was_lost(scratch->path));
    assert_int_equal(unlink(scratch->path), 0);
    assert_true(open_was_lost(scratch->path));
    assert_false(open_was_lost(scratch->path));
    scratch_write(scratch->path, "", 0);
    assert_true(open_was_lost(scratch->path));

    /* Also after one that was refused. */
    scratch_write(scratch->path, "x", 1);
    open_is_refused(scratch->path, ERR_GIVE_UP, "damaged");
    assert_int_equal(unlink(scratch->path), 0);
    assert_true(open_was_lost(scratch->path));
}

/* An attempt that made nothing leaves nothing to be missed. */
static void test_first_attempt_failed(void **state)
{
    const struct scratch *scratch = *state;
    scratch_write(scratch->path, "x", 1);
    open_is_refused(scratch->path, ERR_GIVE_UP, "damaged");
    assert_int_equal(unlink(scratch->path), 0);
    assert_false(open_was_lost(scratch->path));
}

/* As a kill leaves it: `kept` and `kept`-wal hold a database with a mail, and one more in the WAL.
 */
static void open_keep_killed(const char *path, const char *kept)
{
    char *wal = mem_printf("%s-wal", path), *kept_wal = mem_printf("%s-wal", kept);
    open_fill(path, 1);
    struct state *opened = open_state(path);
    struct state_folder folder;
    assert_int_equal(state_load(opened, "trap", "INBOX", 1, 1, &folder, NULL), 0);
    struct state_change change = {.folder = folder.id, .uid = 2};
    state_folder_release(&folder);
    assert_int_equal(state_commit(opened, &change, 1, NULL), 0);
    scratch_copy(path, kept);
    scratch_copy(wal, kept_wal);
    state_free(opened);
    free(kept_wal);
    free(wal);
}

/* A WAL holds what was recorded last: it is not thrown away for a file that is not there. */
static void test_wal_alone(void **state)
{
    const struct scratch *scratch = *state;
    char *kept = mem_printf("%s/kept", scratch->dir), *kept_wal = mem_printf("%s-wal", kept);
    char *wal = mem_printf("%s-wal", scratch->path);
    open_keep_killed(scratch->path, kept);
    for (unsigned empty = 0; empty < 2; empty++) {
        (void)unlink(scratch->path);
        if (empty)
            scratch_write(scratch->path, "", 0);
        scratch_copy(kept_wal, wal);
        long size = scratch_size(wal, "");
        open_is_refused(scratch->path, ERR_GIVE_UP, "missing or empty, but its -wal is there");
        assert_int_equal(scratch_size(wal, ""), size);
    }
    scratch_copy(kept, scratch->path);
    assert_int_equal(open_count(scratch->path), 2);
    free(wal);
    free(kept_wal);
    free(kept);
}

/* A file's WAL is missing: what was recorded last is unknown, the rest is as it was. */
static void test_wal_missing(void **state)
{
    const struct scratch *scratch = *state;
    char *kept = mem_printf("%s/kept", scratch->dir);
    open_keep_killed(scratch->path, kept);
    scratch_copy(kept, scratch->path);
    assert_int_equal(open_count(scratch->path), 1);
    free(kept);
}

/* The WAL of another state: its pages would pass for the newer ones of this file's. */
static void test_wal_of_another(void **state)
{
    const struct scratch *scratch = *state;
    char *other = mem_printf("%s/other", scratch->dir), *kept = mem_printf("%s/kept", scratch->dir);
    char *kept_wal = mem_printf("%s-wal", kept), *wal = mem_printf("%s-wal", scratch->path);
    open_keep_killed(other, kept);
    open_fill(scratch->path, 500);
    size_t before_len, after_len;
    uint8_t *before = scratch_read(scratch->path, &before_len);
    scratch_copy(kept_wal, wal);
    open_is_refused(scratch->path, ERR_GIVE_UP, "damaged");
    uint8_t *after = scratch_read(scratch->path, &after_len);
    assert_int_equal(before_len, after_len);
    assert_memory_equal(before, after, after_len);
    assert_int_equal(unlink(wal), 0);
    assert_int_equal(open_count(scratch->path), 500);
    free(after);
    free(before);
    free(wal);
    free(kept_wal);
    free(kept);
    free(other);
}

/* What is written to a file without a name is lost when it is closed: nothing more is recorded. */
static void test_removed_while_in_use(void **state)
{
    const struct scratch *scratch = *state;
    char *moved = mem_printf("%s/moved", scratch->dir);
    for (unsigned replaced = 0; replaced < 2; replaced++) {
        struct state *opened = open_state(scratch->path);
        struct state_folder folder;
        struct err err = {0};
        assert_int_equal(state_load(opened, "trap", "INBOX", 1, 1, &folder, NULL), 0);
        struct state_change change = {.folder = folder.id, .uid = 1};
        state_folder_release(&folder);
        assert_int_equal(state_commit(opened, &change, 1, NULL), 0);
        assert_int_equal(rename(scratch->path, moved), 0);
        if (replaced)
            scratch_copy(moved, scratch->path);
        change.uid = 2;
        assert_int_equal(state_commit(opened, &change, 1, &err), -1);
        assert_int_equal(err.action, ERR_GIVE_UP);
        assert_non_null(strstr(err.text, "removed, moved or replaced while it was in use"));
        state_free(opened);
        assert_int_equal(rename(moved, scratch->path), 0);
        assert_int_equal(open_count(scratch->path), 1);
    }
    free(moved);
}

static void test_too_many_open_files(void **state)
{
    const struct scratch *scratch = *state;
    struct rlimit limit, low;
    open_fill(scratch->path, 1);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    int next = dup(0);
    close(next);
    struct state *opened = NULL;
    unsigned refused = 0;
    for (low = limit, low.rlim_cur = (rlim_t)next; !opened; low.rlim_cur++) {
        struct err err = {0};
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
        if (state_sqlite_open(scratch->path, &opened, &err) == 0)
            break;
        refused++;
        if (!strstr(err.text, "too many open files"))
            fail_msg("\"%s\" does not say \"too many open files\"", err.text);
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_true(refused > 2); /* the lock, the file, its WAL */
    state_free(opened);
    assert_int_equal(open_count(scratch->path), 1);
}

static void test_not_plain_files(void **state)
{
    const struct scratch *scratch = *state;
    char *in_directory = mem_printf("%s/", scratch->dir);
    char *in_file = mem_printf("%s/file/state.db", scratch->dir);
    char *file = mem_printf("%s/file", scratch->dir);
    char *fifo = mem_printf("%s/fifo", scratch->dir);
    scratch_write(file, "x", 1);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    open_is_refused(scratch->dir, ERR_GIVE_UP, "is a directory");
    open_is_refused(in_directory, ERR_GIVE_UP, "is a directory");
    open_is_refused(in_file, ERR_GIVE_UP, "not a directory");
    open_is_refused(fifo, ERR_GIVE_UP, "not a plain file");
    open_is_refused("/dev/null", ERR_GIVE_UP, "not a plain file");
    open_is_refused("", ERR_GIVE_UP, "");
    assert_int_equal(scratch_size("/dev/null", ".lock"), -1);
    free(fifo);
    free(file);
    free(in_file);
    free(in_directory);
}

/* Refused, and every byte is as it was. */
static void open_is_left_alone(const char *path, const char *with_words)
{
    size_t before_len, after_len;
    uint8_t *before = scratch_read(path, &before_len);
    open_is_refused(path, ERR_GIVE_UP, with_words);
    uint8_t *after = scratch_read(path, &after_len);
    assert_int_equal(before_len, after_len);
    assert_memory_equal(before, after, after_len);
    assert_int_equal(scratch_size(path, "-wal"), -1);
    free(before);
    free(after);
}

static void test_strange_databases(void **state)
{
    static const struct {
        const char *sql;
        const char *words;
    } databases[] = {
        {"CREATE TABLE bookmarks (x)", "another program"},
        {"PRAGMA application_id = 7", "another program"},
        {"PRAGMA user_version = 1", "another program"},
        {"PRAGMA application_id = 1229156204; PRAGMA user_version = 3", "newer"},
        {"PRAGMA application_id = 1229156204; PRAGMA user_version = 1000000", "newer"},
        {"PRAGMA application_id = 1229156204; PRAGMA user_version = -1", "damaged"},
        {"PRAGMA application_id = 1229156204; CREATE TABLE x (x)", "damaged"},
    };
    const struct scratch *scratch = *state;
    for (size_t i = 0; i < sizeof databases / sizeof *databases; i++) {
        open_sql(scratch->path, databases[i].sql);
        open_is_left_alone(scratch->path, databases[i].words);
        assert_int_equal(unlink(scratch->path), 0);
    }
}

static void test_newer_schema_in_the_wal(void **state)
{
    const struct scratch *scratch = *state;
    open_fill(scratch->path, 1);
    open_sql(scratch->path, "PRAGMA user_version = 3");
    open_is_left_alone(scratch->path, "newer");
    open_sql(scratch->path, "PRAGMA user_version = 2");
    assert_int_equal(open_count(scratch->path), 1);
}

/* A state of the first release's schema: nothing in it is lost, and it has what is new. */
static void test_older_schema(void **state)
{
    const struct scratch *scratch = *state;
    open_fill(scratch->path, 3);
    open_sql(scratch->path, "DROP TABLE proof; PRAGMA user_version = 1");
    assert_int_equal(open_count(scratch->path), 3);
    struct state *opened = open_state(scratch->path);
    struct state_change change = {.type = STATE_SET_PROOF, .account = "trap", .proof = 1};
    assert_int_equal(state_commit(opened, &change, 1, NULL), 0);
    state_free(opened);
    struct state_proofs proofs;
    opened = open_state(scratch->path);
    assert_int_equal(state_load_proofs(opened, &proofs, NULL), 0);
    assert_int_equal(state_proofs_get(&proofs, "trap"), 1);
    state_proofs_release(&proofs);
    state_free(opened);
}

/* What --check asks for, without a lock, and without a trace. */
static void test_read_proofs(void **state)
{
    const struct scratch *scratch = *state;
    struct state_proofs proofs = {0};
    struct err err;
    assert_int_equal(state_sqlite_read_proofs(scratch->path, &proofs, &err), 0);
    assert_int_equal(proofs.count, 0); /* there is no file, and none is made */
    assert_int_equal(access(scratch->path, F_OK), -1);

    char *wal = mem_printf("%s-wal", scratch->path);
    struct state *opened = open_state(scratch->path);
    struct state_change change = {.type = STATE_SET_PROOF, .account = "trap", .proof = 2};
    assert_int_equal(state_commit(opened, &change, 1, NULL), 0);
    for (int closed = 0; closed < 2; closed++) { /* while it is in use, and when it is not */
        assert_int_equal(state_sqlite_read_proofs(scratch->path, &proofs, &err), 0);
        assert_int_equal(proofs.count, 1);
        assert_int_equal(state_proofs_get(&proofs, "trap"), 2);
        state_proofs_release(&proofs);
        state_free(opened);
        opened = NULL;
        assert_int_equal(access(wal, F_OK), -1);
    }
    free(wal);

    open_sql(scratch->path, "DROP TABLE proof; PRAGMA user_version = 1");
    assert_int_equal(state_sqlite_read_proofs(scratch->path, &proofs, &err), 0);
    assert_int_equal(proofs.count, 0);

    FILE *file = fopen(scratch->path, "w");
    fputs("this is no database, as anybody can see; it is long enough to be one, though: "
          "a header has a hundred bytes",
          file);
    fclose(file);
    assert_int_equal(state_sqlite_read_proofs(scratch->path, &proofs, &err), -1);
    assert_non_null(strstr(err.text, "not a database"));
}

static void test_lost_tables(void **state)
{
    static const char *const tables[] = {"DROP TABLE folder", "DROP TABLE mail", "DROP TABLE old",
                                         "DROP TABLE proof", "ALTER TABLE mail DROP COLUMN note"};
    const struct scratch *scratch = *state;
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        open_fill(scratch->path, 1);
        open_sql(scratch->path, tables[i]);
        open_is_refused(scratch->path, ERR_GIVE_UP, "damaged (no such ");
        assert_int_equal(unlink(scratch->path), 0);
    }
}

/* A damaged schema is found out at last; what a WAL beside it holds is not written into it. */
static void test_damaged_schema_beside_a_wal(void **state)
{
    const struct scratch *scratch = *state;
    char *kept = mem_printf("%s/kept", scratch->dir), *kept_wal = mem_printf("%s-wal", kept);
    char *wal = mem_printf("%s-wal", scratch->path);
    open_keep_killed(scratch->path, kept);
    size_t before_len, after_len;
    uint8_t *before = scratch_read(kept, &before_len);
    uint8_t *column = memmem(before, before_len, "uidvalidity", 11);
    assert_non_null(column);
    column[2] = 's';
    scratch_write(scratch->path, before, before_len);
    scratch_copy(kept_wal, wal);
    open_is_refused(scratch->path, ERR_GIVE_UP, "damaged (no such column");
    uint8_t *after = scratch_read(scratch->path, &after_len);
    assert_int_equal(before_len, after_len);
    assert_memory_equal(before, after, after_len);
    assert_int_equal(scratch_size(wal, ""), scratch_size(kept_wal, ""));
    column[2] = 'd';
    scratch_write(scratch->path, before, before_len);
    assert_int_equal(open_count(scratch->path), 2);
    free(after);
    free(before);
    free(wal);
    free(kept_wal);
    free(kept);
}

static void test_garbage(void **state)
{
    const struct scratch *scratch = *state;
    uint8_t garbage[20000];
    for (size_t i = 0; i < sizeof garbage; i++)
        garbage[i] = (uint8_t)(i * 2654435761u >> 13);
    static const size_t lengths[] = {1, 15, 99, 100, 511, 512, 4096, 20000};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        scratch_write(scratch->path, garbage, lengths[i]);
        open_is_left_alone(scratch->path, "damaged");
    }
    scratch_write(scratch->path, "---\nbroker: 127.0.0.1\n", 22);
    open_is_left_alone(scratch->path, "damaged");
}

static void test_truncated(void **state)
{
    const struct scratch *scratch = *state;
    open_fill(scratch->path, 500);
    size_t whole;
    uint8_t *data = scratch_read(scratch->path, &whole);
    assert_true(whole > 20000);
    for (size_t len = 1; len < whole; len += len < 5000 ? 499 : 4096) {
        scratch_write(scratch->path, data, len);
        open_is_left_alone(scratch->path, "damaged");
    }
    scratch_write(scratch->path, data, whole);
    assert_int_equal(open_count(scratch->path), 500);
    free(data);
}

/* Opens and loads it; says whether something was found wrong, which then has to be said well. */
static bool open_is_found_damaged(const char *path)
{
    struct state *opened = NULL;
    struct state_folder folder;
    struct err err = {.action = ERR_RETRY_NOW};
    bool failed = state_sqlite_open(path, &opened, &err) < 0;
    if (!failed && state_load(opened, "trap", "INBOX", 1, 1, &folder, &err) < 0)
        failed = true;
    else if (!failed)
        state_folder_release(&folder);
    state_free(opened);
    if (failed) {
        assert_int_equal(err.action, ERR_GIVE_UP);
        if (!strstr(err.text, "damaged"))
            fail_msg("\"%s\" does not say \"damaged\"", err.text);
    }
    return failed;
}

/* Each page in turn: nothing but an error, and never a file that was started over. */
static void test_overwritten_pages(void **state)
{
    const struct scratch *scratch = *state;
    open_fill(scratch->path, 500);
    size_t whole;
    uint8_t *data = scratch_read(scratch->path, &whole);
    unsigned found = 0;
    for (size_t page = 0; page < whole; page += 4096) {
        uint8_t *damaged = mem_alloc(whole);
        memcpy(damaged, data, whole);
        memset(damaged + page, 0xA5, 4096);
        scratch_write(scratch->path, damaged, whole);
        found += open_is_found_damaged(scratch->path);
        assert_true(scratch_size(scratch->path, "") >= (long)whole);
        free(damaged);
    }
    free(data);
    /* All pages but those of the index of folders and of the empty tables. */
    assert_true(found >= whole / 4096 - 4);
}

static void test_strange_rows(void **state)
{
    static const char *const rows[] = {
        "UPDATE mail SET sha256 = x'00'",
        "UPDATE mail SET kind = 2",
        "UPDATE mail SET kind = -1",
        "INSERT INTO old VALUES (1, x'00', 0)",
        "UPDATE mail SET uid = 5000000000",
        "UPDATE folder SET uidvalidity = -1",
        "UPDATE folder SET uidvalidity = 5000000000",
        "UPDATE folder SET generation = -1",
        "UPDATE folder SET generation = 9223372036854775807",
    };
    const struct scratch *scratch = *state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        open_fill(scratch->path, 1);
        open_sql(scratch->path, rows[i]);
        assert_true(open_is_found_damaged(scratch->path));
        assert_int_equal(unlink(scratch->path), 0);
    }
}

/* Runs `body` in a process without root's power over permissions; its result is the exit code. */
static void open_unprivileged(const char *path, void (*body)(const char *path))
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (geteuid() == 0 && (setgid(65534) < 0 || setuid(65534) < 0))
            _exit(2);
        body(path);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void open_no_permission(const char *path)
{
    struct state *opened;
    struct err err = {0};
    if (state_sqlite_open(path, &opened, &err) == 0 || err.action != ERR_GIVE_UP ||
        !strstr(err.text, "no permission") || !strstr(err.text, path))
        _exit(3);
}

static void test_no_permission(void **state)
{
    const struct scratch *scratch = *state;
    open_fill(scratch->path, 1);
    char *in_new = mem_printf("%s/new/state.db", scratch->dir);
    char *new_path = mem_printf("%s/other.db", scratch->dir);
    char *new_directory = mem_printf("%s/new", scratch->dir);
    char *lock = mem_printf("%s.lock", scratch->path);
    assert_int_equal(chmod(scratch->path, 0444), 0);
    assert_int_equal(chmod(lock, 0666), 0);
    assert_int_equal(chmod(scratch->dir, 0555), 0);
    open_unprivileged(scratch->path, open_no_permission); /* the file */
    open_unprivileged(new_path, open_no_permission);      /* the directory */
    open_unprivileged(new_directory, open_no_permission);
    assert_int_equal(chmod(scratch->dir, 0700), 0);
    free(lock);
    free(new_directory);
    free(new_path);
    free(in_new);
}

/* A child that has the state and tells so by a byte; it ends when it is killed. */
static pid_t open_in_child(const char *path)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct state *opened;
        if (state_sqlite_open(path, &opened, NULL) < 0 || write(ends[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    char byte;
    close(ends[1]);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    close(ends[0]);
    return child;
}

static void test_one_collector(void **state)
{
    const struct scratch *scratch = *state;
    char *link = mem_printf("%s/link", scratch->dir);
    char *longer = mem_printf("%s/../%s/state.db", scratch->dir, strrchr(scratch->dir, '/') + 1);
    assert_int_equal(symlink(scratch->path, link), 0);
    open_fill(scratch->path, 4);
    pid_t child = open_in_child(scratch->path);
    char *words = mem_printf("process %ld,", (long)child);
    open_is_refused(scratch->path, ERR_GIVE_UP, words);
    open_is_refused(link, ERR_GIVE_UP, words);
    open_is_refused(longer, ERR_GIVE_UP, words);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(open_count(scratch->path), 4);
    assert_int_equal(open_count(link), 4);
    free(words);
    free(longer);
    free(link);
}

static void test_twice_in_one_process(void **state)
{
    const struct scratch *scratch = *state;
    struct state *opened = open_state(scratch->path);
    char *words = mem_printf("process %ld,", (long)getpid());
    open_is_refused(scratch->path, ERR_GIVE_UP, words);
    free(words);
    /* The first has lost nothing by it. */
    struct state_folder folder;
    assert_int_equal(state_load(opened, "trap", "INBOX", 1, 1, &folder, NULL), 0);
    struct state_change change = {.folder = folder.id, .uid = 1};
    state_folder_release(&folder);
    assert_int_equal(state_commit(opened, &change, 1, NULL), 0);
    open_is_refused(scratch->path, ERR_GIVE_UP, "another collector");
    state_free(opened);
    assert_int_equal(open_count(scratch->path), 1);
}

/* What is in the lock file does not matter to who gets it, and is no danger to the message. */
static void test_lock_file_content(void **state)
{
    static const char *const contents[] = {"",
                                           "\n",
                                           "99999999999\n",
                                           "12x\n",
                                           "-1\n",
                                           "1234",
                                           "1234567890123456789012345678901234567890"};
    const struct scratch *scratch = *state;
    char *lock = mem_printf("%s.lock", scratch->path);
    for (size_t i = 0; i < sizeof contents / sizeof *contents; i++) {
        scratch_write(lock, contents[i], strlen(contents[i]));
        struct state *opened = open_state(scratch->path);
        scratch_write(lock, contents[i], strlen(contents[i]));
        open_is_refused(scratch->path, ERR_GIVE_UP, "another collector is using it");
        state_free(opened);
    }
    free(lock);
}

/* A person looks into the file while it is in use. */
static void test_read_by_another(void **state)
{
    const struct scratch *scratch = *state;
    struct state *opened = open_state(scratch->path);
    struct state_folder folder;
    assert_int_equal(state_load(opened, "trap", "INBOX", 1, 1, &folder, NULL), 0);
    struct state_change change = {.folder = folder.id, .uid = 1};
    state_folder_release(&folder);
    assert_int_equal(state_commit(opened, &change, 1, NULL), 0);

    sqlite3 *db;
    assert_int_equal(sqlite3_open_v2(scratch->path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN; SELECT * FROM mail", NULL, NULL, NULL), SQLITE_OK);
    for (change.uid = 2; change.uid < 50; change.uid++)
        assert_int_equal(state_commit(opened, &change, 1, NULL), 0);
    sqlite3_close(db);
    state_free(opened);
    assert_int_equal(open_count(scratch->path), 49);
}

int main(void)
{
    struct CMUnitTest tests[] = {
        cmocka_unit_test(test_makes_directories_and_modes),
        cmocka_unit_test(test_wal_is_private_too),
        cmocka_unit_test(test_relative_names),
        cmocka_unit_test(test_empty_file_is_new),
        cmocka_unit_test(test_gone),
        cmocka_unit_test(test_first_attempt_failed),
        cmocka_unit_test(test_wal_alone),
        cmocka_unit_test(test_wal_missing),
        cmocka_unit_test(test_wal_of_another),
        cmocka_unit_test(test_removed_while_in_use),
        cmocka_unit_test(test_too_many_open_files),
        cmocka_unit_test(test_not_plain_files),
        cmocka_unit_test(test_strange_databases),
        cmocka_unit_test(test_newer_schema_in_the_wal),
        cmocka_unit_test(test_older_schema),
        cmocka_unit_test(test_read_proofs),
        cmocka_unit_test(test_lost_tables),
        cmocka_unit_test(test_damaged_schema_beside_a_wal),
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_overwritten_pages),
        cmocka_unit_test(test_strange_rows),
        cmocka_unit_test(test_no_permission),
        cmocka_unit_test(test_one_collector),
        cmocka_unit_test(test_twice_in_one_process),
        cmocka_unit_test(test_lock_file_content),
        cmocka_unit_test(test_read_by_another),
    };
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
        tests[i].setup_func = open_fixture;
        tests[i].teardown_func = open_fixture_end;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
