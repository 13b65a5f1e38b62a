#include "fence/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Of linux/landlock.h, which of Debian 12 does not know the later ones: what a version of Landlock
 * brought, from bit to bit. */
enum {
    FILES_EXECUTE = 1 << 0,
    FILES_WRITE_FILE = 1 << 1,
    FILES_READ_FILE = 1 << 2,
    FILES_READ_DIR = 1 << 3,
    FILES_REMOVE_FILE = 1 << 5,
    FILES_MAKE_DIR = 1 << 7,
    FILES_MAKE_REG = 1 << 8,
    FILES_TRUNCATE = 1 << 14,
    FILES_ALL_1 = (1 << 13) - 1, /* Linux 5.13 */
    FILES_ALL_2 = (1 << 14) - 1, /* 5.19: linking and renaming between directories */
    FILES_ALL_3 = (1 << 15) - 1, /* 6.2: truncating */
    FILES_ALL_5 = (1 << 16) - 1, /* 6.10: ioctl() of devices; 6.7, in between: TCP */
    FILES_BIND_TCP = 1 << 0,
    FILES_SCOPE_ABSTRACT = 1 << 0, /* 6.12 */
    FILES_SCOPE_SIGNAL = 1 << 1,   /* likewise */
    FILES_QUESTION_VERSION = 1 << 0,
    FILES_RULE_PATH = 1,
    FILES_READ = FILES_READ_FILE | FILES_READ_DIR,
    FILES_WRITE = FILES_READ | FILES_WRITE_FILE | FILES_REMOVE_FILE | FILES_MAKE_DIR |
                  FILES_MAKE_REG | FILES_TRUNCATE,
    /* What can be allowed for a file that is no directory. */
    FILES_OF_FILE = FILES_EXECUTE | FILES_WRITE_FILE | FILES_READ_FILE | FILES_TRUNCATE,
};

struct files_ruleset {
    uint64_t files;
    uint64_t net;
    uint64_t scoped;
};

struct files_rule {
    uint64_t allowed;
    int32_t parent;
} __attribute__((packed));

static uint64_t files_known(int version)
{
    return version >= 5   ? FILES_ALL_5
           : version >= 3 ? FILES_ALL_3
           : version >= 2 ? FILES_ALL_2
                          : FILES_ALL_1;
}

static uint64_t files_scoped(int version, const struct fence_settings *settings)
{
    if (version < 6)
        return 0;
    return settings->abstract ? FILES_SCOPE_SIGNAL : FILES_SCOPE_SIGNAL | FILES_SCOPE_ABSTRACT;
}

/* What is not there needs no rule. */
static int files_allow(int ruleset, const char *path, uint64_t access, uint64_t known)
{
    struct stat info;
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR || errno == EACCES ? 0 : -1;
    struct files_rule rule = {.allowed = access & known, .parent = fd};
    int result = fstat(fd, &info);
    if (result == 0 && !S_ISDIR(info.st_mode))
        rule.allowed &= FILES_OF_FILE;
    if (result == 0)
        result = (int)syscall(SYS_landlock_add_rule, ruleset, FILES_RULE_PATH, &rule, 0);
    close(fd);
    return result;
}

static int files_allow_all(int ruleset, const struct fence_settings *settings, uint64_t known)
{
#ifdef SANITIZED /* their reports */
    if (files_allow(ruleset, "/proc", FILES_READ, known))
        return -1;
#endif
    for (size_t i = 0; i < settings->readable_count; i++)
        if (files_allow(ruleset, settings->readable[i], FILES_READ, known))
            return -1;
    for (size_t i = 0; i < settings->writable_count; i++)
        if (files_allow(ruleset, settings->writable[i], FILES_WRITE, known))
            return -1;
    return 0;
}

int fence_files(const struct fence_settings *settings, int *ret_version)
{
    int version =
        (int)syscall(SYS_landlock_create_ruleset, NULL, (size_t)0, FILES_QUESTION_VERSION);
    if (version < 1)
        return -1;
    uint64_t known = files_known(version);
    const struct files_ruleset attributes = {
        .files = known,
        .net = version >= 4 && !settings->serves ? FILES_BIND_TCP : 0,
        .scoped = files_scoped(version, settings),
    };
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0);
    if (ruleset < 0)
        return -1;
    int result = files_allow_all(ruleset, settings, known);
    if (result == 0)
        result = (int)syscall(SYS_landlock_restrict_self, ruleset, 0);
    close(ruleset);
    *ret_version = version;
    return result ? -1 : 0;
}
