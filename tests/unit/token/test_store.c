/* A rotated refresh token, and the file it is kept in: killed, or failing, at every step. The
 * linker puts the functions below in the place of the kernel's. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "oauth/oauth.h"
#include "token/store.h"

#define OLD "old-refresh-token"
#define NEW "new-refresh-token"

enum what {
    WHAT_NOTHING,
    WHAT_DIES,      /* killed before the step */
    WHAT_DIES_HALF, /* killed when half of a write is done */
    WHAT_FAILS,     /* the step fails */
    WHAT_SHORT,     /* half of a write is done, as the disk is full */
};

static struct {
    bool on;
    char steps[32]; /* w f c r: one letter a call */
    size_t count;
    size_t at; /* the step that it happens at */
    enum what what;
} fault;

static bool fault_strikes(char step)
{
    if (!fault.on)
        return false;
    bool strikes = fault.what != WHAT_NOTHING && fault.count == fault.at;
    assert_true(fault.count + 1 < sizeof fault.steps);
    fault.steps[fault.count++] = step;
    if (strikes && fault.what == WHAT_DIES)
        _exit(9);
    errno = ENOSPC;
    return strikes;
}

ssize_t __real_write(int fd, const void *data, size_t len);
ssize_t __wrap_write(int fd, const void *data, size_t len);
int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_close(int fd);
int __wrap_close(int fd);
int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);

ssize_t __wrap_write(int fd, const void *data, size_t len)
{
    if (!fault_strikes('w'))
        return __real_write(fd, data, len);
    if (fault.what == WHAT_FAILS)
        return -1;
    ssize_t half = __real_write(fd, data, len / 2);
    if (fault.what == WHAT_DIES_HALF)
        _exit(9);
    return half;
}

int __wrap_fsync(int fd)
{
    return fault_strikes('f') ? -1 : __real_fsync(fd);
}

/* As the kernel does it: closed, whatever it says. */
int __wrap_close(int fd)
{
    bool fails = fault_strikes('c');
    __real_close(fd);
    errno = ENOSPC;
    return fails ? -1 : 0;
}

int __wrap_rename(const char *from, const char *to)
{
    return fault_strikes('r') ? -1 : __real_rename(from, to);
}

/* A directory for each test, and the file in it. */
struct scratch {
    char directory[64], path[128];
};

static void scratch_init(struct scratch *scratch)
{
    fault.on = false;
    strcpy(scratch->directory, "/tmp/test-token-XXXXXX");
    assert_non_null(mkdtemp(scratch->directory));
    snprintf(scratch->path, sizeof scratch->path, "%s/token", scratch->directory);
}

/* How many files there are; removes them with `away`. */
static unsigned scratch_files(const struct scratch *scratch, bool away)
{
    DIR *directory = opendir(scratch->directory);
    unsigned count = 0;
    struct dirent *entry;
    assert_non_null(directory);
    while ((entry = readdir(directory))) {
        if (entry->d_name[0] == '.')
            continue;
        count++;
        if (away)
            assert_int_equal(unlinkat(dirfd(directory), entry->d_name, 0), 0);
    }
    closedir(directory);
    return count;
}

static void scratch_release(const struct scratch *scratch)
{
    fault.on = false;
    scratch_files(scratch, true);
    assert_int_equal(rmdir(scratch->directory), 0);
}

static void scratch_put(const struct scratch *scratch, const char *text)
{
    FILE *file = fopen(scratch->path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void check_holds(const struct scratch *scratch, const char *expected)
{
    struct err err = {0};
    char *token = NULL;
    fault.on = false;
    assert_int_equal(token_store_read(scratch->path, &token, &err), 0);
    assert_non_null(token);
    assert_string_equal(token, expected);
    mem_free_secret(token);
}

static int fault_write(const struct scratch *scratch, enum what what, size_t at, struct err *err)
{
    memset(&fault, 0, sizeof fault);
    fault.on = true;
    fault.what = what;
    fault.at = at;
    int result = token_store_write(scratch->path, NEW, err);
    fault.on = false;
    return result;
}

/* Written beside, synced, put in its place, and the place synced: in this order power may go at any
 * moment, too. */
static void test_replaced(void **state)
{
    (void)state;
    struct scratch scratch;
    struct err err = {0};
    struct stat info;
    scratch_init(&scratch);
    scratch_put(&scratch, OLD "\n");
    assert_int_equal(chmod(scratch.path, 0644), 0);
    assert_int_equal(fault_write(&scratch, WHAT_NOTHING, 0, &err), 0);
    assert_string_equal(fault.steps, "wfcrfc");
    check_holds(&scratch, NEW);
    assert_int_equal(stat(scratch.path, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0600);
    assert_int_equal(scratch_files(&scratch, false), 1);
    scratch_release(&scratch);
}

static void test_directories_are_made(void **state)
{
    (void)state;
    struct scratch scratch;
    struct err err = {0};
    struct stat info;
    scratch_init(&scratch);
    char *outer = mem_printf("%s/a", scratch.directory), *inner = mem_printf("%s/b", outer);
    char *path = mem_printf("%s/token", inner), *token = NULL;
    assert_int_equal(token_store_write(path, NEW, &err), 0);
    assert_int_equal(token_store_read(path, &token, &err), 0);
    assert_string_equal(token, NEW);
    assert_int_equal(stat(outer, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0700);
    assert_int_equal(unlink(path) + rmdir(inner) + rmdir(outer), 0);
    mem_free_secret(token);
    free(path);
    free(inner);
    free(outer);
    scratch_release(&scratch);
}

/* The process that writes is killed: the file is old up to the renaming, and new from there on. */
static void test_killed_at_every_step(void **state)
{
    (void)state;
    static const enum what ways[] = {WHAT_DIES, WHAT_DIES_HALF};
    static const char steps[] = "wfcrfc";
    for (size_t i = 0; i < 2 * strlen(steps); i++) {
        enum what what = ways[i % 2];
        size_t at = i / 2;
        if (what == WHAT_DIES_HALF && steps[at] != 'w')
            continue;
        struct scratch scratch;
        scratch_init(&scratch);
        scratch_put(&scratch, OLD "\n");
        pid_t child = fork();
        assert_true(child >= 0);
        if (!child) {
            fault_write(&scratch, what, at, NULL);
            _exit(0);
        }
        int status = 0;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 9);
        check_holds(&scratch, strchr(steps, 'r') - steps < (ptrdiff_t)at ? NEW : OLD);
        /* The next one is not troubled by what is left of it. */
        struct err err = {0};
        assert_int_equal(token_store_write(scratch.path, NEW, &err), 0);
        check_holds(&scratch, NEW);
        scratch_release(&scratch);
    }
}

/* A disk that is full at any step: told with the file's name and why; the file stays old until it
 * is new, and nothing with a secret is left beside it. */
static void test_failing_at_every_step(void **state)
{
    (void)state;
    static const char steps[] = "wfcrf";
    for (size_t at = 0; at < strlen(steps); at++) {
        for (int half = 0; half < 2; half++) {
            if (half && steps[at] != 'w')
                continue;
            struct scratch scratch;
            struct err err = {0};
            char words[256];
            scratch_init(&scratch);
            scratch_put(&scratch, OLD "\n");
            assert_int_equal(fault_write(&scratch, half ? WHAT_SHORT : WHAT_FAILS, at, &err), -1);
            snprintf(words, sizeof words, "%s: cannot be written: No space left on device",
                     scratch.path);
            assert_string_equal(err.text, words);
            assert_int_equal(scratch_files(&scratch, false), 1);
            check_holds(&scratch, strchr(steps, 'r') - steps < (ptrdiff_t)at ? NEW : OLD);
            scratch_release(&scratch);
        }
    }
}

/* What is to be its directory is a file. */
static void test_no_directory(void **state)
{
    (void)state;
    struct scratch scratch;
    struct err err = {0};
    scratch_init(&scratch);
    scratch_put(&scratch, OLD "\n");
    char *path = mem_printf("%s/token", scratch.path), *deeper = mem_printf("%s/token", path);
    assert_int_equal(token_store_write(path, NEW, &err), -1);
    assert_non_null(strstr(err.text, "cannot be written: Not a directory"));
    assert_int_equal(token_store_write(deeper, NEW, &err), -1);
    assert_non_null(strstr(err.text, "its directory cannot be made: Not a directory"));
    free(deeper);
    free(path);
    scratch_release(&scratch);
}

static void test_read(void **state)
{
    (void)state;
    static const struct {
        const char *text, *token, *words;
    } cases[] = {
        {OLD, OLD, NULL},
        {OLD "\n", OLD, NULL},
        {OLD "\r\nand more\n", OLD, NULL},
        {"", NULL, "its first line is no refresh token"},
        {"\n" OLD "\n", NULL, "its first line is no refresh token"},
        {"two words\n", NULL, "its first line is no refresh token"},
    };
    struct scratch scratch;
    scratch_init(&scratch);
    struct err err = {0};
    char *token = (char *)"untouched";
    assert_int_equal(token_store_read(scratch.path, &token, &err), 0);
    assert_null(token); /* not there */
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        scratch_put(&scratch, cases[i].text);
        if (cases[i].token) {
            check_holds(&scratch, cases[i].token);
            continue;
        }
        assert_int_equal(token_store_read(scratch.path, &token, &err), -1);
        assert_null(token);
        assert_int_equal(err.action, ERR_GIVE_UP);
        assert_non_null(strstr(err.text, scratch.path));
        assert_non_null(strstr(err.text, cases[i].words));
    }
    scratch_release(&scratch);
}

/* The longest token there may be; one that is longer; a FIFO, that nobody writes to. */
static void test_read_odd_files(void **state)
{
    (void)state;
    struct scratch scratch;
    struct err err = {0};
    char *token = NULL, *text = mem_alloc(OAUTH_TOKEN_MOST + 3);
    scratch_init(&scratch);
    memset(text, 'x', OAUTH_TOKEN_MOST + 1);
    text[OAUTH_TOKEN_MOST] = '\0';
    scratch_put(&scratch, text);
    check_holds(&scratch, text);
    text[OAUTH_TOKEN_MOST] = 'x';
    text[OAUTH_TOKEN_MOST + 1] = '\0';
    scratch_put(&scratch, text);
    assert_int_equal(token_store_read(scratch.path, &token, &err), -1);
    scratch_files(&scratch, true);
    assert_int_equal(mkfifo(scratch.path, 0600), 0);
    assert_int_equal(token_store_read(scratch.path, &token, &err), -1);
    assert_null(token);
    free(text);
    scratch_release(&scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replaced),
        cmocka_unit_test(test_directories_are_made),
        cmocka_unit_test(test_killed_at_every_step),
        cmocka_unit_test(test_failing_at_every_step),
        cmocka_unit_test(test_no_directory),
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_read_odd_files),
    };
    return cmocka_run_group_tests_name("token / store", tests, NULL, NULL);
}
