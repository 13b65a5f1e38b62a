#include "token/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"
#include "oauth/oauth.h"

static int store_fail(struct err *err, const char *path, const char *what)
{
    char shown[200];
    int number = errno;
    text_escape_utf8(shown, sizeof shown, path, strlen(path));
    return err_set(err, ERR_GIVE_UP, "%s: %s: %s", shown, what, strerror(number));
}

/* Whole or to the limit. */
static ssize_t store_read_all(int fd, char *into, size_t size)
{
    size_t len = 0;
    while (len < size) {
        ssize_t got = read(fd, into + len, size - len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        len += (size_t)got;
    }
    return (ssize_t)len;
}

static int store_take(const char *path, char *line, char **ret_token, struct err *err)
{
    char shown[200];
    line[strcspn(line, "\r\n")] = '\0';
    if (!oauth_token_valid(line))
        return err_set(err, ERR_GIVE_UP, "%s: its first line is no refresh token",
                       text_escape_utf8(shown, sizeof shown, path, strlen(path)));
    *ret_token = mem_strdup(line);
    return 0;
}

int token_store_read(const char *path, char **ret_token, struct err *err)
{
    char line[OAUTH_TOKEN_MOST + 3];
    /* O_NONBLOCK: a FIFO would wait for ever. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT) {
        *ret_token = NULL;
        return 0;
    }
    ssize_t len = fd < 0 ? -1 : store_read_all(fd, line, sizeof line - 1);
    int result = 0;
    if (len < 0) {
        result = store_fail(err, path, "cannot be read");
    } else {
        line[len] = '\0';
        result = store_take(path, line, ret_token, err);
    }
    if (fd >= 0)
        close(fd);
    mem_wipe(line, sizeof line);
    return result;
}

static int store_sync_directory(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *directory = slash ? mem_strndup(path, (size_t)(slash - path) + 1) : mem_strdup(".");
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int result = fd < 0 ? -1 : fsync(fd);
    if (fd >= 0)
        close(fd);
    free(directory);
    return result;
}

/* Those that are missing, and no others: behind fences (fence/fence.h) a parent that is there
 * cannot be made, which is told in another way than elsewhere. */
static int store_make_directories(const char *path)
{
    const char *slash = strrchr(path, '/');
    struct stat info;
    if (!slash || slash == path)
        return 0;
    char *directory = mem_strndup(path, (size_t)(slash - path));
    int result = 0;
    if (stat(directory, &info) < 0)
        result =
            errno == ENOENT && store_make_directories(directory) == 0 ? mkdir(directory, 0700) : -1;
    free(directory);
    return result;
}

/* Of a temporary file that is open; closes it. */
static int store_fill(int fd, const char *token)
{
    struct buf line = {0};
    size_t len = strlen(token);
    buf_reserve_exact(&line, len + 1);
    buf_add(&line, token, len);
    buf_add_byte(&line, '\n');
    ssize_t wrote = write(fd, line.data, line.len);
    int result = wrote < 0 ? -1 : 0;
    if (wrote >= 0 && (size_t)wrote < line.len) {
        errno = ENOSPC;
        result = -1;
    }
    if (result == 0)
        result = fsync(fd);
    int number = errno;
    if (close(fd) < 0 && result == 0) {
        number = errno;
        result = -1;
    }
    mem_wipe(line.data, line.cap);
    buf_release(&line);
    errno = number;
    return result;
}

int token_store_write(const char *path, const char *token, struct err *err)
{
    if (store_make_directories(path) < 0)
        return store_fail(err, path, "its directory cannot be made");
    char *beside = mem_printf("%s.XXXXXX", path);
    int fd = mkostemp(beside, O_CLOEXEC); /* mode 0600 */
    bool made = fd >= 0;
    int result = made ? store_fill(fd, token) : -1;
    if (result == 0)
        result = rename(beside, path);
    if (result == 0)
        result = store_sync_directory(path);
    if (result < 0) {
        store_fail(err, path, "cannot be written");
        if (made)
            unlink(beside);
    }
    free(beside);
    return result < 0 ? -1 : 0;
}
