/* The power fails at any moment. The system's sync calls are replaced by ones that also keep a
 * copy of the file as it was then: the copies are what a disk is sure to hold. Each commit must be
 * in them when it returns. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/mem.h"
#include "scratch.h"
#include "state/sqlite.h"

static struct {
    struct scratch scratch;
    char disk[80];  /* a directory: the copies */
    unsigned syncs; /* of the database's files */
    bool keep_copies;
} power;

static void power_note_sync(int fd)
{
    char link[40], name[200];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, name, sizeof name - 1);
    if (len < 0)
        return;
    name[len] = '\0';
    struct stat status;
    size_t dir_len = strlen(power.scratch.dir);
    if (!power.scratch.dir[0] || strncmp(name, power.scratch.dir, dir_len) != 0 ||
        stat(name, &status) < 0 || !S_ISREG(status.st_mode))
        return;
    power.syncs++;
    if (!power.keep_copies)
        return;
    char *copy = mem_printf("%s%s", power.disk, name + dir_len);
    scratch_copy(name, copy);
    free(copy);
}

/* SQLite's library finds these before the C library's. */
int fdatasync(int fd)
{
    power_note_sync(fd);
    return (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd)
{
    power_note_sync(fd);
    return (int)syscall(SYS_fsync, fd);
}

static int power_setup(void **unused)
{
    (void)unused;
    scratch_make(&power.scratch);
    snprintf(power.disk, sizeof power.disk, "%s/disk", power.scratch.dir);
    power.keep_copies = false;
    power.syncs = 0;
    return mkdir(power.disk, 0700);
}

static int power_teardown(void **unused)
{
    (void)unused;
    scratch_remove(&power.scratch);
    memset(&power, 0, sizeof power);
    return 0;
}

static void power_load(struct state *state, uint32_t uidvalidity, struct state_folder *ret_folder)
{
    struct err err = {0};
    if (state_load(state, "trap", "INBOX", uidvalidity, 1, ret_folder, &err) < 0)
        fail_msg("%s", err.text);
}

static struct state *power_open(const char *path)
{
    struct state *state = NULL;
    struct err err = {0};
    if (state_sqlite_open(path, &state, &err) < 0)
        fail_msg("%s", err.text);
    return state;
}

/* What a start after the power failed would find. */
static void power_fail_and_load(uint32_t uidvalidity, struct state_folder *ret_folder)
{
    power.keep_copies = false;
    char *after = mem_printf("%s/after", power.scratch.dir);
    assert_int_equal(mkdir(after, 0700), 0);
    struct scratch removed = {0};
    snprintf(removed.dir, sizeof removed.dir, "%s", after);
    static const char *const suffixes[] = {"", "-wal"};
    for (size_t i = 0; i < 2; i++) {
        char *from = mem_printf("%s/state.db%s", power.disk, suffixes[i]);
        char *to = mem_printf("%s/state.db%s", after, suffixes[i]);
        if (scratch_size(from, "") >= 0)
            scratch_copy(from, to);
        free(from);
        free(to);
    }
    char *path = mem_printf("%s/state.db", after);
    struct state *state = power_open(path);
    power_load(state, uidvalidity, ret_folder);
    state_free(state);
    scratch_remove(&removed);
    free(path);
    free(after);
    power.keep_copies = true;
}

static void power_expect(uint32_t uidvalidity, size_t mails, size_t old)
{
    struct state_folder folder;
    power_fail_and_load(uidvalidity, &folder);
    assert_int_equal(folder.count, mails);
    assert_int_equal(folder.old_count, old);
    state_folder_release(&folder);
}

static struct state_change power_change(int64_t folder, uint32_t uid)
{
    struct state_change change = {.folder = folder, .uid = uid};
    memcpy(change.sha256, &uid, sizeof uid);
    return change;
}

static void test_each_commit_is_on_disk(void **unused)
{
    (void)unused;
    enum {
        COMMITS = 60
    };
    power.keep_copies = true;
    struct state *state = power_open(power.scratch.path);
    struct state_folder folder;
    power_load(state, 1, &folder);
    for (uint32_t uid = 1; uid <= COMMITS; uid++) {
        struct state_change change = power_change(folder.id, uid);
        assert_int_equal(state_commit(state, &change, 1, NULL), 0);
        power_expect(1, uid, 0);
    }
    state_folder_release(&folder);
    power_load(state, 2, &folder);
    power_expect(2, 0, COMMITS);
    struct state_change change = power_change(folder.id, 1);
    change.type = STATE_ADD_RECOGNISED;
    assert_int_equal(state_commit(state, &change, 1, NULL), 0);
    power_expect(2, 1, COMMITS - 1);
    const uint32_t last = 2 + STATE_GENERATIONS;
    for (uint32_t uidvalidity = 3; uidvalidity <= last; uidvalidity++) {
        state_folder_release(&folder);
        power_load(state, uidvalidity, &folder);
    }
    assert_int_equal(state_prune_old(state, folder.id, 7, NULL), 0);
    power_expect(last, 0, 7);
    state_folder_release(&folder);
    state_free(state);
    power_expect(last, 0, 7);
}

/* Enough to be written back from the WAL to the database several times on the way. */
static void test_checkpoints_are_on_disk(void **unused)
{
    (void)unused;
    enum {
        COMMITS = 40,
        BATCH = 3000
    };
    power.keep_copies = true;
    struct state *state = power_open(power.scratch.path);
    struct state_folder folder;
    power_load(state, 1, &folder);
    struct state_change *changes = mem_realloc_array(NULL, BATCH, sizeof *changes);
    for (uint32_t commit = 0; commit < COMMITS; commit++) {
        for (uint32_t i = 0; i < BATCH; i++) /* all over the folder, so that many pages change */
            changes[i] = power_change(folder.id, i * COMMITS + commit + 1);
        assert_int_equal(state_commit(state, changes, BATCH, NULL), 0);
        if (commit % 4 == 3)
            power_expect(1, (commit + 1) * (size_t)BATCH, 0);
        assert_true(scratch_size(power.scratch.path, "-wal") < 16 << 20);
    }
    free(changes);
    state_folder_release(&folder);
    state_free(state);
    power_expect(1, (size_t)COMMITS * BATCH, 0);
    assert_int_equal(scratch_size(power.scratch.path, "-wal"), -1);
}

/* What changes nothing costs no sync, and a look at new folders no write. */
static void test_idle_calls_write_nothing(void **unused)
{
    (void)unused;
    struct state *state = power_open(power.scratch.path);
    long wal = scratch_size(power.scratch.path, "-wal");
    power.syncs = 0;
    struct state_folder folder;
    for (unsigned i = 0; i < 100; i++) {
        char account[32];
        snprintf(account, sizeof account, "trap%u", i);
        assert_int_equal(state_load(state, account, "INBOX", i, 1, &folder, NULL), 0);
        assert_int_equal(state_prune_old(state, folder.id, 0, NULL), 0);
        assert_int_equal(state_load(state, account, "INBOX", i + 1, 1, &folder, NULL), 0);
        state_folder_release(&folder);
    }
    assert_int_equal(power.syncs, 0);
    assert_int_equal(scratch_size(power.scratch.path, "-wal"), wal);

    power_load(state, 1, &folder);
    struct state_change change = power_change(folder.id, 1);
    assert_int_equal(state_commit(state, &change, 1, NULL), 0);
    assert_int_equal(power.syncs, 1);
    assert_int_equal(state_prune_old(state, folder.id, 5, NULL), 0);
    assert_int_equal(state_commit(state, NULL, 0, NULL), 0);
    state_folder_release(&folder);
    power_load(state, 1, &folder);
    assert_int_equal(power.syncs, 1);
    state_folder_release(&folder);
    state_free(state);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_each_commit_is_on_disk, power_setup, power_teardown),
        cmocka_unit_test_setup_teardown(test_checkpoints_are_on_disk, power_setup, power_teardown),
        cmocka_unit_test_setup_teardown(test_idle_calls_write_nothing, power_setup, power_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
