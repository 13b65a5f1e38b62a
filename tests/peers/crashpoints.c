/*
 * Preloaded into a program: counts the points between which a crash makes a difference, kills it at
 * a chosen one, and keeps a log of what it did to the disk, from which tests/peers/crash.py makes
 * what a power cut may leave. A point is what others can see:
 *
 *   disk       a change of the files below $CRASH_DIR: to make, write, cut, sync, delete
 *   NAME.send  bytes for a peer, before they are sent
 *   NAME.recv  bytes of a peer, or its end, before the program sees them
 *
 * $CRASH_PEERS gives peers their names by their ports ("imap=143 broker=10000"); others are "net".
 * $CRASH_AT is "KIND:N": SIGKILL before the N-th point of its kind, from 1 on. "KIND:N:half": half
 * of the bytes are written or sent first. All other threads stand still at their next point.
 * $CRASH_LOG: the file for the log, see log_write().
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    KINDS_MAX = 16,
    KIND_LEN = 32,
    PIECES_MAX = 64,
};

/* Of fortified callers. */
ssize_t __read_chk(int fd, void *data, size_t len, size_t size);
ssize_t __recv_chk(int fd, void *data, size_t len, size_t size, int flags);
int __open_2(const char *path, int flags);
int __openat_2(int folder, const char *path, int flags);

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool armed;
static char directory[PATH_MAX];
static int log_fd = -1;
static char target[KIND_LEN];
static unsigned long target_number;
static bool target_half;

static struct {
    char kind[KIND_LEN];
    unsigned long number;
} counts[KINDS_MAX];

__attribute__((constructor)) static void arm(void)
{
    const char *path = getenv("CRASH_DIR");
    const char *at = getenv("CRASH_AT");
    const char *log = getenv("CRASH_LOG");

    if (path == NULL || realpath(path, directory) == NULL)
        return;
    if (at != NULL) {
        char half[8] = "";
        (void)sscanf(at, "%31[^:]:%lu:%7s", target, &target_number, half);
        target_half = strcmp(half, "half") == 0;
    }
    if (log != NULL) {
        int fd = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC,
                              0600);
        /* Out of the way: the program's own numbers are as ever. */
        log_fd = fcntl(fd, F_DUPFD_CLOEXEC, 500);
        syscall(SYS_close, fd);
    }
    armed = true;
}

static void die(void)
{
    tgkill(getpid(), gettid(), SIGKILL); /* kill() is beyond the fences */
    for (;;)
        pause();
}

/* Counts a point; true when the program has to die at it. Called with the lock held. */
static bool count(const char *kind)
{
    for (size_t i = 0; i < KINDS_MAX; i++) {
        if (counts[i].number == 0)
            snprintf(counts[i].kind, sizeof counts[i].kind, "%s", kind);
        if (strcmp(counts[i].kind, kind) == 0)
            return ++counts[i].number == target_number && strcmp(kind, target) == 0;
    }
    return false;
}

/* One line, and the bytes that its last number announces:
 *   create INODE PATH, mkdir INODE PATH, unlink PATH,
 *   write INODE OFFSET LENGTH, truncate INODE LENGTH, sync INODE, KIND LENGTH (of a peer, no bytes)
 */
__attribute__((format(printf, 3, 4))) static void log_write(const struct iovec *data, size_t len,
                                                            const char *format, ...)
{
    char line[2 * PATH_MAX + 64];
    struct iovec pieces[1 + PIECES_MAX];
    int pieces_count = 1;
    va_list args;

    if (log_fd < 0)
        return;
    va_start(args, format);
    int line_len = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    pieces[0] = (struct iovec){line, (size_t)line_len};
    for (; len > 0; data++) {
        size_t part = data->iov_len < len ? data->iov_len : len;
        pieces[pieces_count++] = (struct iovec){data->iov_base, part};
        len -= part;
    }
    syscall(SYS_writev, log_fd, pieces, pieces_count);
}

/* Is what is open below the directory, and no shared memory, which is nothing on a disk? */
static bool is_watched(int fd, uint64_t *ret_inode)
{
    static char path[PATH_MAX]; /* the lock is held */
    char link[40];
    struct stat status;
    size_t len = strlen(directory);

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t got = readlink(link, path, sizeof path - 1);
    if (got < 0)
        return false;
    path[got] = '\0';
    if (strncmp(path, directory, len) != 0 || (path[len] != '/' && path[len] != '\0') ||
        fstat(fd, &status) != 0 || strstr(path + len, "-shm") != NULL)
        return false;
    *ret_inode = status.st_ino;
    return true;
}

/* The same of a name, whether or not it is there; its path below the directory. */
static bool is_watched_name(int folder, const char *name, char out[PATH_MAX])
{
    char joined[PATH_MAX];
    char parent[PATH_MAX];
    size_t len = strlen(directory);

    if (name[0] == '/' || folder == AT_FDCWD) {
        snprintf(joined, sizeof joined, "%s", name);
    } else {
        char link[40];
        snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
        ssize_t got = readlink(link, parent, sizeof parent - 1);
        if (got < 0)
            return false;
        parent[got] = '\0';
        if (snprintf(joined, sizeof joined, "%s/%s", parent, name) >= (int)sizeof joined)
            return false;
    }
    char *slash = strrchr(joined, '/');
    if (slash == NULL || slash == joined)
        return false;
    *slash = '\0';
    if (realpath(joined, parent) == NULL || strncmp(parent, directory, len) != 0 ||
        (parent[len] != '/' && parent[len] != '\0') || strstr(slash + 1, "-shm") != NULL)
        return false;
    int put = snprintf(out, PATH_MAX, "%s%s%s", parent[len] == '/' ? parent + len + 1 : "",
                       parent[len] == '/' ? "/" : "", slash + 1);
    return put < PATH_MAX;
}

/* "NAME.direction" of who is at the other end; false: nobody. */
static bool name_peer(int fd, const char *direction, char out[KIND_LEN])
{
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_storage room;
    } address;
    socklen_t len = sizeof address;
    const char *names = getenv("CRASH_PEERS");
    char name[16] = "net";
    char found[16];
    unsigned port;
    int used;

    if (getpeername(fd, &address.any, &len) != 0 || address.any.sa_family != AF_INET)
        return false;
    for (; names && sscanf(names, " %15[^=]=%u%n", found, &port, &used) == 2; names += used)
        if (port == ntohs(address.in.sin_port))
            memcpy(name, found, sizeof name);
    snprintf(out, KIND_LEN, "%s.%s", name, direction);
    return true;
}

/* How bytes leave: to a socket, to a place of a file, or to where a file's position is. */
struct way {
    int fd;
    bool is_socket;
    int flags;    /* of a socket */
    off_t offset; /* of a file; -1: its position */
};

static ssize_t way_put(const struct way *way, const struct iovec *pieces, size_t pieces_count)
{
    if (way->is_socket) {
        struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)pieces,
                                 .msg_iovlen = pieces_count};
        return syscall(SYS_sendmsg, way->fd, &message, way->flags);
    }
    if (way->offset >= 0)
        return syscall(SYS_pwritev, way->fd, pieces, pieces_count, way->offset, 0);
    return syscall(SYS_writev, way->fd, pieces, pieces_count);
}

static void log_written(const struct way *way, uint64_t inode, const struct iovec *pieces,
                        ssize_t len)
{
    off_t offset = way->offset >= 0 ? way->offset : lseek(way->fd, 0, SEEK_CUR) - len;
    if (len > 0)
        log_write(pieces, (size_t)len, "write %llu %lld %zd\n", (unsigned long long)inode,
                  (long long)offset, len);
}

/* Of this point's bytes the first half goes out, if that was wished. */
static void die_writing(struct way *way, const uint64_t *inode, const struct iovec *pieces,
                        size_t pieces_count)
{
    size_t left = 0;
    for (size_t i = 0; i < pieces_count; i++)
        left += pieces[i].iov_len;
    for (left = target_half ? left / 2 : 0; left > 0; pieces++) {
        struct iovec piece = {pieces->iov_base, pieces->iov_len < left ? pieces->iov_len : left};
        ssize_t done = way_put(way, &piece, 1);
        if (done < 0)
            break;
        if (inode != NULL)
            log_written(way, *inode, &piece, done);
        if (way->offset >= 0)
            way->offset += done;
        left -= piece.iov_len;
    }
    die();
}

static ssize_t put(struct way way, const struct iovec *pieces, size_t pieces_count)
{
    uint64_t inode;
    char peer[KIND_LEN];

    if (!armed)
        return way_put(&way, pieces, pieces_count);
    pthread_mutex_lock(&lock);
    bool on_disk = !way.is_socket && is_watched(way.fd, &inode);
    bool to_peer = way.is_socket && name_peer(way.fd, "send", peer);
    if ((on_disk && count("disk")) || (to_peer && count(peer)))
        die_writing(&way, on_disk ? &inode : NULL, pieces, pieces_count);
    ssize_t done = way_put(&way, pieces, pieces_count);
    int error = errno;
    if (on_disk)
        log_written(&way, inode, pieces, done);
    if (to_peer)
        log_write(NULL, 0, "%s %zd\n", peer, done);
    pthread_mutex_unlock(&lock);
    errno = error;
    return done;
}

static mode_t type_of(int fd)
{
    struct stat status;
    return fstat(fd, &status) == 0 ? status.st_mode & S_IFMT : 0;
}

static bool is_socket(int fd)
{
    return type_of(fd) == S_IFSOCK;
}

ssize_t writev(int fd, const struct iovec *pieces, int pieces_count)
{
    struct way way = {.fd = fd, .is_socket = is_socket(fd), .offset = -1};
    /* A pipe may be written by a signal's handler, and who it interrupts may hold the lock. */
    if (!way.is_socket && type_of(fd) != S_IFREG)
        return way_put(&way, pieces, (size_t)pieces_count);
    return put(way, pieces, (size_t)pieces_count);
}

ssize_t write(int fd, const void *data, size_t len)
{
    struct iovec piece = {(void *)(uintptr_t)data, len};
    return writev(fd, &piece, 1);
}

ssize_t pwritev64(int fd, const struct iovec *pieces, int pieces_count, off64_t offset)
{
    return put((struct way){.fd = fd, .offset = offset}, pieces, (size_t)pieces_count);
}

ssize_t pwritev(int fd, const struct iovec *pieces, int pieces_count, off_t offset)
{
    return pwritev64(fd, pieces, pieces_count, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t len, off64_t offset)
{
    struct iovec piece = {(void *)(uintptr_t)data, len};
    return pwritev64(fd, &piece, 1, offset);
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t offset)
{
    return pwrite64(fd, data, len, offset);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    struct way way = {.fd = fd, .is_socket = true, .flags = flags, .offset = -1};
    /* To a named peer (UDP, the service manager): not a connection of ours. */
    if (message->msg_name != NULL)
        return syscall(SYS_sendmsg, fd, message, flags);
    return put(way, message->msg_iov, message->msg_iovlen);
}

ssize_t send(int fd, const void *data, size_t len, int flags)
{
    struct iovec piece = {(void *)(uintptr_t)data, len};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
    return sendmsg(fd, &message, flags);
}

/* What was received, or the peer's end, is there; the program does not know it yet. */
static ssize_t received(int fd, ssize_t len)
{
    char peer[KIND_LEN];
    int error = errno;

    if (armed && len >= 0) {
        pthread_mutex_lock(&lock);
        if (name_peer(fd, "recv", peer)) {
            log_write(NULL, 0, "%s %zd\n", peer, len);
            if (count(peer))
                die();
        }
        pthread_mutex_unlock(&lock);
    }
    errno = error;
    return len;
}

ssize_t read(int fd, void *data, size_t len)
{
    ssize_t got = syscall(SYS_read, fd, data, len);
    return armed && is_socket(fd) ? received(fd, got) : got;
}

ssize_t __read_chk(int fd, void *data, size_t len, size_t size)
{
    return read(fd, data, len < size ? len : size);
}

ssize_t recv(int fd, void *data, size_t len, int flags)
{
    ssize_t got = syscall(SYS_recvfrom, fd, data, len, flags, NULL, NULL);
    return flags & MSG_PEEK ? got : received(fd, got);
}

ssize_t __recv_chk(int fd, void *data, size_t len, size_t size, int flags)
{
    return recv(fd, data, len < size ? len : size, flags);
}

static void lock_for_change(bool watched)
{
    pthread_mutex_lock(&lock);
    if (watched && count("disk"))
        die();
}

/* The same of an open file; false: nobody watches it. */
static bool lock_for_change_of(int fd, uint64_t *ret_inode)
{
    pthread_mutex_lock(&lock);
    bool watched = armed && is_watched(fd, ret_inode);
    pthread_mutex_unlock(&lock);
    lock_for_change(watched);
    return watched;
}

static int unlock_after_change(long result)
{
    int error = errno;
    pthread_mutex_unlock(&lock);
    errno = error;
    return (int)result;
}

static int open_any(int folder, const char *path, int flags, mode_t mode)
{
    char name[PATH_MAX];
    uint64_t inode;
    struct stat status;

    if (!armed || !(flags & O_CREAT) || !is_watched_name(folder, path, name))
        return (int)syscall(SYS_openat, folder, path, flags, mode);
    bool made = fstatat(folder, path, &status, AT_SYMLINK_NOFOLLOW) != 0;
    bool cut = !made && (flags & O_TRUNC) && status.st_size > 0;
    lock_for_change(made || cut);
    long fd = syscall(SYS_openat, folder, path, flags, mode);
    if (fd >= 0 && is_watched((int)fd, &inode)) {
        if (made)
            log_write(NULL, 0, "create %llu %s\n", (unsigned long long)inode, name);
        if (cut)
            log_write(NULL, 0, "truncate %llu 0\n", (unsigned long long)inode);
    }
    return unlock_after_change(fd);
}

int openat(int folder, const char *path, int flags, ...)
{
    va_list args;

    /* Read even where it was not given: nobody looks at it then. */
    va_start(args, flags);
    mode_t mode = va_arg(args, mode_t);
    va_end(args);
    return open_any(folder, path, flags, mode);
}

int open(const char *path, int flags, ...)
{
    va_list args;

    va_start(args, flags);
    mode_t mode = va_arg(args, mode_t);
    va_end(args);
    return open_any(AT_FDCWD, path, flags, mode);
}

int openat64(int folder, const char *path, int flags, ...) __attribute__((alias("openat")));
int open64(const char *path, int flags, ...) __attribute__((alias("open")));

int mkdirat(int folder, const char *path, mode_t mode)
{
    char name[PATH_MAX];
    struct stat status;
    bool watched = armed && is_watched_name(folder, path, name) &&
                   fstatat(folder, path, &status, AT_SYMLINK_NOFOLLOW) != 0;

    lock_for_change(watched);
    long result = syscall(SYS_mkdirat, folder, path, mode);
    if (watched && result == 0 && fstatat(folder, path, &status, AT_SYMLINK_NOFOLLOW) == 0)
        log_write(NULL, 0, "mkdir %llu %s\n", (unsigned long long)status.st_ino, name);
    return unlock_after_change(result);
}

int mkdir(const char *path, mode_t mode)
{
    return mkdirat(AT_FDCWD, path, mode);
}

int unlinkat(int folder, const char *path, int flags)
{
    char name[PATH_MAX];
    struct stat status;
    bool watched = armed && is_watched_name(folder, path, name) &&
                   fstatat(folder, path, &status, AT_SYMLINK_NOFOLLOW) == 0;

    lock_for_change(watched);
    long result = syscall(SYS_unlinkat, folder, path, flags);
    if (watched && result == 0)
        log_write(NULL, 0, "unlink %s\n", name);
    return unlock_after_change(result);
}

int unlink(const char *path)
{
    return unlinkat(AT_FDCWD, path, 0);
}

int ftruncate64(int fd, off64_t len)
{
    uint64_t inode;

    bool watched = lock_for_change_of(fd, &inode);
    long result = syscall(SYS_ftruncate, fd, len);
    if (watched && result == 0)
        log_write(NULL, 0, "truncate %llu %lld\n", (unsigned long long)inode, (long long)len);
    return unlock_after_change(result);
}

int ftruncate(int fd, off_t len)
{
    return ftruncate64(fd, len);
}

static int sync_any(int fd, long call)
{
    uint64_t inode;

    bool watched = lock_for_change_of(fd, &inode);
    long result = syscall(call, fd);
    if (watched && result == 0)
        log_write(NULL, 0, "sync %llu\n", (unsigned long long)inode);
    return unlock_after_change(result);
}

int fsync(int fd)
{
    return sync_any(fd, SYS_fsync);
}

int fdatasync(int fd)
{
    return sync_any(fd, SYS_fdatasync);
}

int __open_2(const char *path, int flags)
{
    return open_any(AT_FDCWD, path, flags, 0);
}

int __openat_2(int folder, const char *path, int flags)
{
    return open_any(folder, path, flags, 0);
}

int __open64_2(const char *path, int flags) __attribute__((alias("__open_2")));
int __openat64_2(int folder, const char *path, int flags) __attribute__((alias("__openat_2")));
