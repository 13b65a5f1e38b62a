#include "programs/feed/archive.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "programs/feed/file.h"

enum {
    ARCHIVE_HASH = 64, /* digits */
    ARCHIVE_NAME = 160,
    ARCHIVE_HOST = 64,
};

/* Hashes of what is there: open addressing, at most half full. */
struct archive_seen {
    char (*slots)[ARCHIVE_HASH + 1]; /* empty: "" */
    size_t cap;                      /* a power of two, or 0 */
    size_t count;
};

struct feed_archive {
    int tmp, new;
    char host[ARCHIVE_HOST];
    struct archive_seen seen;
    uint64_t added, doubles;
};

static bool archive_is_hash(const char *text)
{
    return strspn(text, "0123456789abcdef") >= ARCHIVE_HASH;
}

/* The slot of the hash, or the empty one where it would be. A SHA-256 is as good as any hash of
 * it, and who chooses one cannot choose many that collide in what they begin with. */
static char *seen_slot(const struct archive_seen *seen, const char *sha256)
{
    char head[17] = "";
    memcpy(head, sha256, sizeof head - 1);
    size_t i = (size_t)strtoull(head, NULL, 16) & (seen->cap - 1);
    while (*seen->slots[i] && memcmp(seen->slots[i], sha256, ARCHIVE_HASH) != 0)
        i = (i + 1) & (seen->cap - 1);
    return seen->slots[i];
}

static void seen_put(struct archive_seen *seen, const char *sha256)
{
    char *slot = seen_slot(seen, sha256);
    if (!*slot)
        seen->count++;
    memcpy(slot, sha256, ARCHIVE_HASH);
}

static void seen_add(struct archive_seen *seen, const char *sha256)
{
    if (2 * (seen->count + 1) > seen->cap) {
        struct archive_seen grown = {.cap = seen->cap ? seen->cap * 2 : 1024};
        grown.slots = mem_zalloc(grown.cap * sizeof *grown.slots);
        for (size_t i = 0; i < seen->cap; i++)
            if (*seen->slots[i])
                seen_put(&grown, seen->slots[i]);
        free(seen->slots);
        *seen = grown;
    }
    seen_put(seen, sha256);
}

static bool seen_has(const struct archive_seen *seen, const char *sha256)
{
    return seen->cap && *seen_slot(seen, sha256);
}

/* Our names are time.hash.host; others' mail is not looked at. */
static void archive_note(struct feed_archive *archive, const char *name)
{
    const char *dot = strchr(name, '.');
    if (dot && archive_is_hash(dot + 1) && dot[1 + ARCHIVE_HASH] == '.')
        seen_add(&archive->seen, dot + 1);
}

static int archive_scan(struct feed_archive *archive, int folder, const char *name, struct err *err)
{
    int fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    if (!directory) {
        err_set(err, ERR_GIVE_UP, "%s: %s", name, strerror(errno));
        if (fd >= 0)
            close(fd);
        return -1;
    }
    struct dirent *entry;
    while ((entry = readdir(directory)))
        archive_note(archive, entry->d_name);
    closedir(directory);
    return 0;
}

/* tmp, new and cur of a Maildir. */
static int archive_make(const char *path, struct err *err)
{
    static const char *const names[] = {"", "/tmp", "/new", "/cur"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *name = mem_printf("%s%s", path, names[i]);
        int failed = mkdir(name, 0700) && errno != EEXIST;
        if (failed)
            err_set(err, ERR_GIVE_UP, "%s: %s", name, strerror(errno));
        free(name);
        if (failed)
            return -1;
    }
    return 0;
}

/* maildir(5): a name holds no "/" and no ":". */
static void archive_find_host(char host[ARCHIVE_HOST])
{
    if (gethostname(host, ARCHIVE_HOST - 1) || !*host)
        snprintf(host, ARCHIVE_HOST, "localhost");
    host[ARCHIVE_HOST - 1] = '\0';
    for (char *at = host; *at; at++)
        if (*at == '/' || *at == ':')
            *at = '_';
}

int feed_archive_open(const char *path, struct feed_archive **ret_archive, struct err *err)
{
    if (archive_make(path, err))
        return -1;
    struct feed_archive *archive = mem_new(struct feed_archive);
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    archive->tmp = openat(folder, "tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    archive->new = openat(folder, "new", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    archive_find_host(archive->host);
    int result = 0;
    if (folder < 0 || archive->tmp < 0 || archive->new < 0)
        result = err_set(err, ERR_GIVE_UP, "%s", strerror(errno));
    if (!result &&
        (archive_scan(archive, folder, "new", err) || archive_scan(archive, folder, "cur", err)))
        result = -1;
    if (folder >= 0)
        close(folder);
    if (result) {
        feed_archive_free(archive);
        return err_prefix(err, "%s", path);
    }
    *ret_archive = archive;
    return 0;
}

void feed_archive_free(struct feed_archive *archive)
{
    if (!archive)
        return;
    if (archive->tmp >= 0)
        close(archive->tmp);
    if (archive->new >= 0)
        close(archive->new);
    free(archive->seen.slots);
    free(archive);
}

/* Whole in tmp, and on disk, before it is in new. */
static int archive_deliver(struct feed_archive *archive, const uint8_t *mail, size_t len,
                           const char *name)
{
    int fd = openat(archive->tmp, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return -1;
    int result = feed_file_write(fd, mail, len);
    if (!result)
        result = fdatasync(fd);
    int error = errno;
    if (close(fd) && !result) {
        result = -1;
        error = errno;
    }
    if (!result && renameat(archive->tmp, name, archive->new, name)) {
        result = -1;
        error = errno;
    }
    if (!result && fsync(archive->new)) {
        result = -1;
        error = errno;
    } else if (result) {
        unlinkat(archive->tmp, name, 0);
    }
    errno = error;
    return result;
}

int feed_archive_add(struct feed_archive *archive, const uint8_t *mail, size_t len,
                     const char *sha256, struct err *err)
{
    char name[ARCHIVE_NAME];
    if (seen_has(&archive->seen, sha256)) {
        archive->doubles++;
        return 0;
    }
    snprintf(name, sizeof name, "%lld.%s.%s", (long long)time(NULL), sha256, archive->host);
    if (archive_deliver(archive, mail, len, name))
        return err_set(err, ERR_GIVE_UP, "the Maildir cannot be written to: %s", strerror(errno));
    seen_add(&archive->seen, sha256);
    archive->added++;
    return 1;
}

uint64_t feed_archive_added(const struct feed_archive *archive)
{
    return archive->added;
}

uint64_t feed_archive_doubles(const struct feed_archive *archive)
{
    return archive->doubles;
}
