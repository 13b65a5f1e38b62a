/* No space left: the commit fails, says so, has done nothing, and works once there is room. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "scratch.h"
#include "state/sqlite.h"

enum {
    BATCH = 30000 /* more than SQLite's cache holds: part of it is written before the commit */
};

struct space {
    struct state *state;
    struct state_change *changes;
};

static struct state_folder space_load(struct state *state, uint32_t uidvalidity)
{
    struct state_folder folder;
    struct err err = {0};
    if (state_load(state, "trap", "INBOX", uidvalidity, 1, &folder, &err) < 0)
        fail_msg("%s", err.text);
    return folder;
}

static void space_expect(struct state *state, size_t mails)
{
    struct state_folder folder = space_load(state, 1);
    assert_int_equal(folder.count, mails);
    for (size_t i = 0; i < mails; i++)
        assert_int_equal(folder.mails[i].uid, i + 1);
    state_folder_release(&folder);
}

/* Ten mails are on record; a batch of others is at hand. */
static void space_begin(struct space *space, const char *path)
{
    struct err err = {0};
    if (state_sqlite_open(path, &space->state, &err) < 0)
        fail_msg("%s", err.text);
    struct state_folder folder = space_load(space->state, 1);
    space->changes = mem_realloc_array(NULL, BATCH, sizeof *space->changes);
    for (uint32_t i = 0; i < BATCH; i++) {
        space->changes[i] = (struct state_change){.folder = folder.id, .uid = i + 1};
        memcpy(space->changes[i].sha256, &i, sizeof i);
    }
    state_folder_release(&folder);
    assert_int_equal(state_commit(space->state, space->changes, 10, NULL), 0);
}

static void space_end(struct space *space)
{
    free(space->changes);
    state_free(space->state);
}

/* No file may become longer than this; 0: any length. */
static void space_limit(rlim_t bytes)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes ? bytes : limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void space_is_short(const struct err *err)
{
    assert_int_equal(err->action, ERR_RETRY_LATER);
    if (!strstr(err->text, "no space left"))
        fail_msg("\"%s\" does not say \"no space left\"", err->text);
}

/* Room runs out at once, later, and in the middle of what is written before the commit. */
static void test_commit_at_every_length(void **unused)
{
    (void)unused;
    unsigned failures = 0;
    bool succeeded = false;
    for (long more = 1; !succeeded; more += 2 * more) {
        struct scratch scratch;
        struct space space;
        struct err err = {0};
        scratch_make(&scratch);
        space_begin(&space, scratch.path);
        space_limit((rlim_t)(scratch_size(scratch.path, "-wal") + more));
        int result = state_commit(space.state, space.changes, BATCH, &err);
        space_limit(0);
        succeeded = result == 0;
        if (!succeeded) {
            failures++;
            space_is_short(&err);
            space_expect(space.state, 10);
            assert_int_equal(state_commit(space.state, space.changes, BATCH, NULL), 0);
        }
        space_expect(space.state, BATCH);
        space_end(&space);
        assert_int_equal(state_sqlite_open(scratch.path, &space.state, NULL), 0);
        space_expect(space.state, BATCH);
        state_free(space.state);
        scratch_remove(&scratch);
    }
    assert_true(failures > 8);
}

/* The first commit of a folder: its row is undone too, and written with the next. */
static void test_first_commit_of_a_folder(void **unused)
{
    (void)unused;
    struct scratch scratch;
    struct space space;
    struct err err = {0};
    struct state_folder folder;
    scratch_make(&scratch);
    space_begin(&space, scratch.path);
    assert_int_equal(state_load(space.state, "other", "INBOX", 5, 1, &folder, NULL), 0);
    struct state_change change = {.folder = folder.id, .uid = 77};
    state_folder_release(&folder);
    for (unsigned i = 0; i < 3; i++) {
        space_limit((rlim_t)scratch_size(scratch.path, "-wal"));
        assert_int_equal(state_commit(space.state, &change, 1, &err), -1);
        space_limit(0);
        space_is_short(&err);
    }
    assert_int_equal(state_commit(space.state, &change, 1, NULL), 0);
    space_end(&space);
    assert_int_equal(state_sqlite_open(scratch.path, &space.state, NULL), 0);
    assert_int_equal(state_load(space.state, "other", "INBOX", 5, 1, &folder, NULL), 0);
    assert_int_equal(folder.count, 1);
    assert_int_equal(folder.mails[0].uid, 77);
    state_folder_release(&folder);
    state_free(space.state);
    scratch_remove(&scratch);
}

static void test_change_of_uidvalidity(void **unused)
{
    (void)unused;
    struct scratch scratch;
    struct space space;
    struct err err = {0};
    scratch_make(&scratch);
    space_begin(&space, scratch.path);
    struct state_folder folder = {.count = 12345};
    space_limit((rlim_t)scratch_size(scratch.path, "-wal"));
    assert_int_equal(state_load(space.state, "trap", "INBOX", 2, 1, &folder, &err), -1);
    space_limit(0);
    space_is_short(&err);
    assert_int_equal(folder.count, 12345);
    space_expect(space.state, 10);
    folder = space_load(space.state, 2);
    assert_int_equal(folder.count, 0);
    assert_int_equal(folder.old_count, 10);

    for (uint32_t uidvalidity = 3; uidvalidity < 3 + STATE_GENERATIONS; uidvalidity++) {
        state_folder_release(&folder);
        folder = space_load(space.state, uidvalidity);
    }
    space_limit((rlim_t)scratch_size(scratch.path, "-wal"));
    assert_int_equal(state_prune_old(space.state, folder.id, 3, &err), -1);
    space_limit(0);
    space_is_short(&err);
    assert_int_equal(state_prune_old(space.state, folder.id, 3, NULL), 0);
    state_folder_release(&folder);
    folder = space_load(space.state, 2 + STATE_GENERATIONS);
    assert_int_equal(folder.old_count, 3);
    state_folder_release(&folder);
    space_end(&space);
    scratch_remove(&scratch);
}

static void test_opening(void **unused)
{
    (void)unused;
    for (rlim_t bytes = 1; bytes < 20000; bytes += 1999) {
        struct scratch scratch;
        struct state *state;
        struct err err = {0};
        scratch_make(&scratch);
        space_limit(bytes);
        int result = state_sqlite_open(scratch.path, &state, &err);
        space_limit(0);
        assert_int_equal(result, -1);
        space_is_short(&err);
        assert_int_equal(state_sqlite_open(scratch.path, &state, NULL), 0);
        state_free(state);
        scratch_remove(&scratch);
    }
}

/* Leaves `room` bytes on the file system. */
static void space_fill(const char *path, off_t room)
{
    static const uint8_t zeros[4096];
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    off_t filled = 0;
    for (ssize_t wrote; (wrote = write(fd, zeros, sizeof zeros)) > 0;)
        filled += wrote;
    assert_true(filled > room);
    assert_int_equal(ftruncate(fd, filled - room), 0);
    close(fd);
}

/* In a process with a file system of its own that fills up for good. */
static int space_fill_file_system(const char *directory)
{
    if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("tmpfs", directory, "tmpfs", 0, "size=4m") < 0)
        return 77;
    char *path = mem_printf("%s/state.db", directory);
    char *ballast = mem_printf("%s/ballast", directory);
    struct space space;
    struct err err = {0};
    space_begin(&space, path);
    space_fill(ballast, 100000);
    assert_int_equal(state_commit(space.state, space.changes, BATCH, &err), -1);
    space_is_short(&err);
    space_expect(space.state, 10);
    assert_int_equal(state_commit(space.state, space.changes, 11, NULL), 0);
    space_expect(space.state, 11);
    /* No room to write the WAL back at the close, either: it stays, and nothing is lost. */
    space_end(&space);
    assert_int_equal(state_sqlite_open(path, &space.state, NULL), 0);
    space_expect(space.state, 11);
    state_free(space.state);
    free(ballast);
    free(path);
    return 0;
}

static void test_full_file_system(void **unused)
{
    (void)unused;
    struct scratch scratch;
    scratch_make(&scratch);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(space_fill_file_system(scratch.dir));
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    scratch_remove(&scratch);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        skip(); /* mounting needs privileges */
    assert_int_equal(status, 0);
}

int main(void)
{
    /* Else the limit would kill. */
    signal(SIGXFSZ, SIG_IGN);
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commit_at_every_length),
        cmocka_unit_test(test_first_commit_of_a_folder),
        cmocka_unit_test(test_change_of_uidvalidity),
        cmocka_unit_test(test_opening),
        cmocka_unit_test(test_full_file_system),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
