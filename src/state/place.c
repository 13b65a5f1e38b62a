#include "state/place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/num.h"

#define STATE_PLACE_USED "used\n" /* second line of the lock file */

static int state_place_error(struct err *err, const char *path, int error)
{
    switch (error) {
    case EACCES:
    case EPERM:
        return err_set(err, ERR_GIVE_UP,
                       "state %s: no permission: run as the user it belongs to, or choose another "
                       "place for the state",
                       path);
    case EROFS:
        return err_set(err, ERR_GIVE_UP,
                       "state %s: the file system is read-only: choose another place for the state",
                       path);
    case ENOSPC:
    case EDQUOT:
        return err_set(err, ERR_RETRY_LATER, "state %s: no space left: make room there", path);
    case EMFILE:
    case ENFILE:
        return err_set(err, ERR_RETRY_LATER, "state %s: %s", path, err_errno_text(error));
    case ENOTDIR:
        return err_set(err, ERR_GIVE_UP, "state %s: a part of this path is not a directory", path);
    case EISDIR:
        return err_set(err, ERR_GIVE_UP, "state %s: is a directory: name a file in it", path);
    default:
        return err_set(err, ERR_GIVE_UP, "state %s: %s", path, strerror(error));
    }
}

/* The directory of `path`, which may be relative; the caller frees it. */
static char *state_place_directory(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return mem_strdup(".");
    return mem_strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

/* Brings a directory's names, or a file's content, to the disk. A failure is not told: where they
 * cannot be synced there is nothing better to do. */
static void state_place_sync(const char *path)
{
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return;
    (void)fsync(fd);
    close(fd);
}

static void state_place_sync_directory(const char *path)
{
    char *directory = state_place_directory(path);
    state_place_sync(directory);
    free(directory);
}

static int state_place_make_directory(const char *directory, bool sync, struct err *err)
{
    struct stat status;
    if (stat(directory, &status) < 0 && mkdir(directory, 0700) < 0 && errno != EEXIST)
        return state_place_error(err, directory, errno);
    if (sync)
        state_place_sync_directory(directory);
    return 0;
}

/* While there is no state the directories' names are synced, also of those that are there: who made
 * them may have been killed before that. */
static int state_place_make_directories(const char *path, struct err *err)
{
    bool sync = access(path, F_OK) < 0;
    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        if (slash == path)
            continue;
        char *directory = mem_strndup(path, (size_t)(slash - path));
        int result = state_place_make_directory(directory, sync, err);
        free(directory);
        if (result < 0)
            return result;
    }
    return 0;
}

int state_place_resolve(const char *path, char **ret_path, struct err *err)
{
    if (state_place_make_directories(path, err) < 0)
        return -1;

    char *real = realpath(path, NULL);
    if (!real && errno != ENOENT)
        return state_place_error(err, path, errno);
    if (!real) {
        char *directory = state_place_directory(path);
        char *real_directory = realpath(directory, NULL);
        int error = errno;
        free(directory);
        if (!real_directory)
            return state_place_error(err, path, error);
        const char *slash = strrchr(path, '/');
        real = mem_printf("%s/%s", real_directory, slash ? slash + 1 : path);
        free(real_directory);
    }

    struct stat status;
    if (stat(real, &status) == 0 && !S_ISREG(status.st_mode)) {
        free(real);
        if (S_ISDIR(status.st_mode))
            return state_place_error(err, path, EISDIR);
        return err_set(err, ERR_GIVE_UP, "state %s: is not a plain file", path);
    }
    *ret_path = real;
    return 0;
}

static int state_place_refuse(int fd, const char *path, struct err *err)
{
    char text[24];
    ssize_t len = pread(fd, text, sizeof text, 0);
    const char *newline = len > 0 ? memchr(text, '\n', (size_t)len) : NULL;
    uint32_t pid;
    /* Empty for the moment between another's taking the lock and writing its number. */
    if (!newline || !num_parse_u32(text, (size_t)(newline - text), &pid))
        return err_set(err, ERR_GIVE_UP,
                       "state %s: another collector is using it: stop that one, or give this one a "
                       "state of its own",
                       path);
    return err_set(err, ERR_GIVE_UP,
                   "state %s: another collector, process %u, is using it: stop that one, or give "
                   "this one a state of its own",
                   path, (unsigned)pid);
}

static bool state_place_is_used(int fd)
{
    char text[24 + sizeof STATE_PLACE_USED] = "";
    return pread(fd, text, sizeof text - 1, 0) > 0 && strstr(text, "\n" STATE_PLACE_USED);
}

/* On a full disk it goes without. The file is never removed: between two who lock, one could hold a
 * file without a name. */
void state_place_sign(int fd, bool used)
{
    char text[24 + sizeof STATE_PLACE_USED];
    int len = snprintf(text, sizeof text, "%ld\n%s", (long)getpid(), used ? STATE_PLACE_USED : "");
    if (ftruncate(fd, 0) == 0)
        (void)!pwrite(fd, text, (size_t)len, 0);
}

/* flock() has failed. */
static int state_place_not_locked(int fd, const char *path, int error, struct err *err)
{
    switch (error) {
    case EWOULDBLOCK:
        return state_place_refuse(fd, path, err);
    case ENOLCK:
    case ENOSYS:
    case EOPNOTSUPP:
        return err_set(err, ERR_GIVE_UP,
                       "state %s: its file system cannot lock files (%s), as some of networks "
                       "cannot: choose a place on a local disk for the state",
                       path, strerror(error));
    default:
        return state_place_error(err, path, error);
    }
}

int state_place_lock(const char *path, int *ret_fd, bool *ret_used, struct err *err)
{
    char *lock_path = mem_printf("%s.lock", path);
    int result = 0;
    int fd = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        result = state_place_error(err, lock_path, errno);
    else if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        result = state_place_not_locked(fd, path, errno, err);
    free(lock_path);
    if (result < 0) {
        if (fd >= 0)
            close(fd);
        return result;
    }

    bool used = state_place_is_used(fd);
    state_place_sign(fd, used);
    *ret_used = used;
    *ret_fd = fd;
    return 0;
}

void state_place_settle(const char *path)
{
    static const char *const suffixes[] = {"", "-wal", "-journal"};
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        char *file = mem_printf("%s%s", path, suffixes[i]);
        state_place_sync(file);
        free(file);
    }
    state_place_sync_directory(path);
}

int state_place_create(const char *path, bool *ret_empty, struct err *err)
{
    char *wal_path = mem_printf("%s-wal", path);
    struct stat status = {0}, wal = {0};
    bool empty = stat(path, &status) < 0 || status.st_size == 0;
    (void)stat(wal_path, &wal);
    free(wal_path);
    if (empty && wal.st_size > 0)
        return err_set(err, ERR_GIVE_UP,
                       "state %s: is missing or empty, but its -wal is there, with what was "
                       "recorded last: put the file back beside it, or move the -wal away to begin "
                       "a new state",
                       path);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return state_place_error(err, path, errno);
    close(fd);
    *ret_empty = empty;
    return 0;
}
