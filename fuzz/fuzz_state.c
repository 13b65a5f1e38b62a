/* A state's file with bytes changed, cut, or with the WAL of a kill beside it, through all that a
 * collector does with it: nothing but errors that are told, what was loaded keeps its contract, and
 * what is refused at the opening is not written to.
 * Input: what is beside it and where it is cut, then changes of four bytes: file, place, value. */
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "state/sqlite.h"

enum {
    MAILS = 150, /* more than a page of them */
    FILE_MAX = 200000,
    FILES = 2,
    WITH_WAL = 1,
    CUT = 2,
};

struct fuzz_file {
    uint8_t data[FILE_MAX];
    size_t len;
    char path[64];
};

/* What the program made: the database, and the WAL that was there a commit later. */
static struct fuzz_file fuzz_made[FILES];
static char fuzz_dir[40];

static void fuzz_check(bool holds)
{
    if (!holds)
        abort();
}

static void fuzz_read(const char *path, struct fuzz_file *file)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? 0 : read(fd, file->data, FILE_MAX);
    fuzz_check(len >= 0 && len < FILE_MAX);
    file->len = (size_t)len;
    if (fd >= 0)
        close(fd);
}

static void fuzz_write(const char *path, const struct fuzz_file *file)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    fuzz_check(fd >= 0 && write(fd, file->data, file->len) == (ssize_t)file->len);
    close(fd);
}

static void fuzz_remove(void)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", ".lock"};
    char path[80];
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        snprintf(path, sizeof path, "%s%s", fuzz_made[0].path, suffixes[i]);
        (void)unlink(path);
    }
}

static void fuzz_end(void)
{
    fuzz_remove();
    (void)rmdir(fuzz_dir);
}

/* Every kind of row: delivered, marked, held, and old ones. */
static void fuzz_fill(struct state *state)
{
    struct state_folder folder;
    for (uint32_t uidvalidity = 1; uidvalidity <= 2; uidvalidity++) {
        fuzz_check(!state_load(state, "trap", "INBOX", uidvalidity, 1, &folder, NULL));
        for (uint32_t uid = 1; uid <= MAILS; uid++) {
            struct state_change change = {.folder = folder.id, .uid = uid, .note = "seen"};
            change.sha256[0] = (uint8_t)(uid * uidvalidity);
            change.type = uid % 10 ? STATE_ADD_DELIVERED : STATE_ADD_HELD;
            change.limit = uid % 10 ? "" : "json:1048576";
            fuzz_check(!state_commit(state, &change, 1, NULL));
        }
        state_folder_release(&folder);
    }
}

static void fuzz_make(void)
{
    struct state *state;
    struct state_folder folder;
    char template[] = "/dev/shm/fuzz-state-XXXXXX";
    fuzz_check(mkdtemp(template));
    snprintf(fuzz_dir, sizeof fuzz_dir, "%s", template);
    snprintf(fuzz_made[0].path, sizeof fuzz_made[0].path, "%s/s", fuzz_dir);
    snprintf(fuzz_made[1].path, sizeof fuzz_made[1].path, "%s/s-wal", fuzz_dir);
    atexit(fuzz_end);
    fuzz_check(!state_sqlite_open(fuzz_made[0].path, &state, NULL));
    fuzz_fill(state);
    state_free(state);
    fuzz_read(fuzz_made[0].path, &fuzz_made[0]);

    fuzz_check(!state_sqlite_open(fuzz_made[0].path, &state, NULL));
    fuzz_check(!state_load(state, "trap", "INBOX", 2, 1, &folder, NULL));
    struct state_change change = {.folder = folder.id, .uid = 1000};
    fuzz_check(!state_commit(state, &change, 1, NULL));
    fuzz_read(fuzz_made[1].path, &fuzz_made[1]);
    state_folder_release(&folder);
    state_free(state);
}

static void fuzz_change(struct fuzz_file files[FILES], const uint8_t *data, size_t size)
{
    for (; size >= 4; data += 4, size -= 4) {
        struct fuzz_file *file = &files[data[0] % FILES];
        file->data[(data[1] << 8 | data[2]) % file->len] = data[3];
    }
}

/* As its contract says: ascending, of known kinds, old hashes sorted. */
static int64_t fuzz_load(struct state *state, const char *folder, uint32_t uidvalidity)
{
    struct state_folder loaded;
    struct err err = {0};
    if (state_load(state, "trap", folder, uidvalidity, 1, &loaded, &err) < 0) {
        fuzz_check(*err.text);
        return -1;
    }
    for (size_t i = 0; i < loaded.count; i++) {
        fuzz_check(loaded.mails[i].kind <= STATE_HELD && loaded.mails[i].uid > 0);
        fuzz_check(!i || loaded.mails[i - 1].uid < loaded.mails[i].uid);
        fuzz_check(state_folder_find(&loaded, loaded.mails[i].uid) == &loaded.mails[i]);
    }
    for (size_t i = 1; i < loaded.old_count; i++)
        fuzz_check(memcmp(loaded.old_hashes[i - 1], loaded.old_hashes[i], STATE_SHA256) <= 0);
    int64_t id = loaded.id;
    state_folder_release(&loaded);
    return id;
}

static void fuzz_use(struct state *state)
{
    static const char *const folders[] = {"INBOX", "other"};
    for (uint32_t step = 0; step < 4; step++) {
        int64_t id = fuzz_load(state, folders[step % 2], 2 + step / 2);
        if (id < 0)
            continue;
        struct state_change changes[] = {
            {.type = STATE_ADD_DELIVERED, .folder = id, .uid = 2000},
            {.type = STATE_ADD_RECOGNISED, .folder = id, .uid = 7, .sha256 = {7}},
            {.type = STATE_ADD_HELD, .folder = id, .uid = 2001, .note = "too large"},
            {.type = STATE_SET_NOTE, .folder = id, .uid = 3, .note = "delete"},
            {.type = STATE_FORGET, .folder = id, .uid = 4},
        };
        (void)state_commit(state, changes, sizeof changes / sizeof *changes, NULL);
        (void)state_prune_old(state, id, 5, NULL);
        (void)fuzz_load(state, folders[step % 2], 2 + step / 2);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fuzz_file files[FILES], after;
    if (!fuzz_made[0].len)
        fuzz_make();
    if (size < 3)
        return 0;
    memcpy(files, fuzz_made, sizeof files);
    fuzz_change(files, data + 3, size - 3);
    if (data[0] & CUT)
        files[0].len = (data[1] << 8 | data[2]) % files[0].len;
    fuzz_remove();
    fuzz_write(files[0].path, &files[0]);
    if (data[0] & WITH_WAL)
        fuzz_write(files[1].path, &files[1]);

    struct state *state;
    struct err err = {0};
    if (state_sqlite_open(files[0].path, &state, &err) < 0) {
        fuzz_check(*err.text);
        fuzz_read(files[0].path, &after);
        fuzz_check(after.len == files[0].len && !memcmp(after.data, files[0].data, after.len));
        return 0;
    }
    fuzz_use(state);
    state_free(state);
    return 0;
}
