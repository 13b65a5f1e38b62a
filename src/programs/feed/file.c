#include "programs/feed/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"

enum {
    FILE_READ = 65536,
};

int feed_file_write(int fd, const uint8_t *data, size_t len)
{
    while (len) {
        ssize_t put = write(fd, data, len);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return -1;
        data += put;
        len -= (size_t)put;
    }
    return 0;
}

static int file_read(int fd, size_t max, struct buf *content, struct err *err)
{
    for (;;) {
        buf_reserve(content, FILE_READ);
        ssize_t got = read(fd, content->data + content->len, content->cap - content->len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_set(err, ERR_GIVE_UP, "%s", strerror(errno));
        if (!got)
            return 0;
        content->len += (size_t)got;
        if (content->len > max)
            return err_set(err, ERR_GIVE_UP, "larger than --max-frame allows");
    }
}

int feed_file_load(const char *name, size_t max, struct buf *content, struct err *err)
{
    int fd = strcmp(name, "-") ? open(name, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
    int result = fd < 0 ? err_set(err, ERR_GIVE_UP, "%s", strerror(errno))
                        : file_read(fd, max, content, err);
    if (fd > STDIN_FILENO)
        close(fd);
    char safe[200];
    return result ? err_prefix(err, "%s", text_escape_utf8(safe, sizeof safe, name, strlen(name)))
                  : 0;
}

static int file_compare(const void *a, const void *b)
{
    return strcmp(strrchr(*(char *const *)a, '/'), strrchr(*(char *const *)b, '/'));
}

static int file_add_folder(const char *path, const char *name, char ***files, size_t *count,
                           struct err *err)
{
    char *folder = mem_printf("%s/%s", path, name);
    DIR *directory = opendir(folder);
    if (!directory) {
        err_set(err, ERR_GIVE_UP, "%s: %s", folder, strerror(errno));
        free(folder);
        return -1;
    }
    struct dirent *entry;
    while ((entry = readdir(directory))) {
        if (*entry->d_name == '.')
            continue;
        *files = mem_realloc_array(*files, *count + 2, sizeof(char *));
        (*files)[(*count)++] = mem_printf("%s/%s", folder, entry->d_name);
        (*files)[*count] = NULL;
    }
    closedir(directory);
    free(folder);
    return 0;
}

void feed_file_free_list(char **files)
{
    for (char **at = files; at && *at; at++)
        free(*at);
    free(files);
}

int feed_file_list_maildir(const char *path, char ***ret_files, struct err *err)
{
    struct stat status;
    char **files = mem_zalloc(sizeof(char *));
    size_t count = 0;
    *ret_files = NULL;
    if (stat(path, &status) || !S_ISDIR(status.st_mode)) {
        free(files);
        return 0;
    }
    if (file_add_folder(path, "new", &files, &count, err) ||
        file_add_folder(path, "cur", &files, &count, err)) {
        feed_file_free_list(files);
        return err_prefix(err, "no Maildir");
    }
    qsort(files, count, sizeof(char *), file_compare);
    *ret_files = files;
    return 0;
}
