/* Killed at any moment: what a commit has reported is there afterwards, and each commit is there
 * whole or not at all. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/random.h"
#include "scratch.h"
#include "state/sqlite.h"

enum {
    ROUNDS = 40,
    BATCH = 10,    /* mails in a commit */
    REPORTS = 25,  /* at most awaited in a round */
    TURNED = 2000, /* mails in the folder whose uidvalidity changes */
};

static uint32_t crash_dice(uint32_t sides)
{
    uint32_t dice;
    random_bytes(&dice, sizeof dice);
    return dice % sides;
}

/* A stretch of time without a clock, so that the kill falls anywhere in the victim's work. */
static void crash_linger(void)
{
    volatile uint32_t left = crash_dice(400000);
    while (left)
        left = left - 1;
}

/* Commit N: adds the mails N * BATCH + 1 … + BATCH and marks those of commit N - 1. */
static int crash_commit(struct state *state, int64_t folder, uint32_t number)
{
    struct state_change changes[2 * BATCH] = {{0}};
    size_t count = 0;
    for (uint32_t i = 1; i <= BATCH; i++) {
        uint32_t uid = number * BATCH + i;
        changes[count] = (struct state_change){.folder = folder, .uid = uid};
        memcpy(changes[count++].sha256, &uid, sizeof uid);
        if (number)
            changes[count++] = (struct state_change){
                .type = STATE_SET_NOTE, .folder = folder, .uid = uid - BATCH, .note = "seen"};
    }
    return state_commit(state, changes, count, NULL);
}

/* The victims report each commit after it returned, and end only by being killed. */
static void crash_victim_commits(const char *path, int report)
{
    struct state *state;
    struct state_folder folder;
    if (state_sqlite_open(path, &state, NULL) < 0 ||
        state_load(state, "trap", "INBOX", 1, 1, &folder, NULL) < 0)
        _exit(1);
    for (uint32_t number = (uint32_t)folder.count / BATCH;; number++)
        if (crash_commit(state, folder.id, number) < 0 ||
            write(report, &number, sizeof number) != sizeof number)
            _exit(1);
}

static void crash_victim_turns(const char *path, int report)
{
    struct state *state;
    struct state_folder folder;
    if (state_sqlite_open(path, &state, NULL) < 0)
        _exit(1);
    for (uint32_t uidvalidity = 1;; uidvalidity++) {
        if (state_load(state, "trap", "INBOX", uidvalidity, 1, &folder, NULL) < 0 ||
            write(report, &uidvalidity, sizeof uidvalidity) != sizeof uidvalidity)
            _exit(1);
        /* Turned over again and again: all that is old is met again. */
        for (size_t i = 0; i < folder.old_count; i++) {
            struct state_change change = {
                .type = STATE_ADD_RECOGNISED, .folder = folder.id, .uid = (uint32_t)i + 1};
            memcpy(change.sha256, folder.old_hashes[i], STATE_SHA256);
            if (i % 100 == 0 && state_commit(state, &change, 1, NULL) < 0)
                _exit(1);
        }
        state_folder_release(&folder);
    }
}

/* Lets a victim work for a while, kills it, and gives its last report (`none` without one). */
static uint32_t crash_round(const char *path, void (*victim)(const char *path, int report),
                            uint32_t none)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(ends[0]);
        victim(path, ends[1]);
    }
    close(ends[1]);
    uint32_t last = none, number;
    for (uint32_t left = crash_dice(REPORTS); left; left--) {
        assert_int_equal(read(ends[0], &number, sizeof number), sizeof number);
        last = number;
    }
    crash_linger();
    assert_int_equal(kill(child, SIGKILL), 0);
    while (read(ends[0], &number, sizeof number) == sizeof number)
        last = number;
    close(ends[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    return last;
}

static void crash_load(const char *path, uint32_t uidvalidity, struct state_folder *ret_folder)
{
    struct state *state;
    struct err err = {0};
    if (state_sqlite_open(path, &state, &err) < 0 ||
        state_load(state, "trap", "INBOX", uidvalidity, 1, ret_folder, &err) < 0)
        fail_msg("%s", err.text);
    state_free(state);
}

static void test_killed_while_committing(void **unused)
{
    (void)unused;
    struct scratch scratch;
    scratch_make(&scratch);
    uint32_t before = 0; /* commits that are there */
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint32_t last = crash_round(scratch.path, crash_victim_commits, UINT32_MAX);
        uint32_t reported = last == UINT32_MAX ? before : last + 1;

        struct state_folder folder;
        crash_load(scratch.path, 1, &folder);
        assert_int_equal(folder.count % BATCH, 0);
        uint32_t there = (uint32_t)folder.count / BATCH;
        assert_in_range(there, reported, reported + 1);
        for (uint32_t i = 0; i < folder.count; i++) {
            const struct state_mail *mail = &folder.mails[i];
            assert_int_equal(mail->uid, i + 1);
            assert_memory_equal(mail->sha256, &mail->uid, sizeof mail->uid);
            assert_string_equal(mail->note, i / BATCH + 1 < there ? "seen" : "");
        }
        before = there;
        state_folder_release(&folder);
    }
    assert_true(before > ROUNDS);
    scratch_remove(&scratch);
}

static void crash_fill(const char *path)
{
    struct state *state;
    struct state_folder folder;
    assert_int_equal(state_sqlite_open(path, &state, NULL), 0);
    assert_int_equal(state_load(state, "trap", "INBOX", 0, 1, &folder, NULL), 0);
    for (uint32_t number = 0; number < TURNED / BATCH; number++)
        assert_int_equal(crash_commit(state, folder.id, number), 0);
    state_folder_release(&folder);
    state_free(state);
}

/* Every mail is there once, in the folder or among the old, wherever the change was cut. */
static void test_killed_while_uidvalidity_changes(void **unused)
{
    (void)unused;
    struct scratch scratch;
    scratch_make(&scratch);
    crash_fill(scratch.path);
    for (unsigned round = 0; round < ROUNDS / 2; round++) {
        (void)crash_round(scratch.path, crash_victim_turns, 0);
        struct state_folder folder;
        /* One that none had, should the victim have died before its first turn. */
        crash_load(scratch.path, UINT32_MAX, &folder);
        assert_int_equal(folder.count, 0);
        assert_int_equal(folder.old_count, TURNED);
        for (size_t i = 1; i < folder.old_count; i++)
            assert_true(memcmp(folder.old_hashes[i - 1], folder.old_hashes[i], STATE_SHA256) < 0);
        state_folder_release(&folder);
    }
    scratch_remove(&scratch);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_killed_while_committing),
        cmocka_unit_test(test_killed_while_uidvalidity_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
