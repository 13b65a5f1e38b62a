/*
 * Preloaded into Courier's programs, whose paths are compiled in: what they do below /etc/courier
 * and /run/courier happens below $COURIER_ROOT, so that a test's Courier, run by any user, has a
 * configuration and sockets of its own; and their user "courier" is whoever runs them.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* Returns the path to use in place of `path`: itself, or one built in `buffer` of PATH_MAX. */
static const char *reroot(const char *path, char *buffer)
{
    const char *root = getenv("COURIER_ROOT");

    if (root == NULL ||
        (strncmp(path, "/etc/courier/", 13) != 0 && strncmp(path, "/run/courier/", 13) != 0) ||
        snprintf(buffer, PATH_MAX, "%s%s", root, path) >= PATH_MAX) {
        return path;
    }
    return buffer;
}

int open(const char *path, int flags, ...)
{
    char buffer[PATH_MAX];
    va_list args;

    /* Read even where it was not given: the callee ignores it then. */
    va_start(args, flags);
    mode_t mode = va_arg(args, mode_t);
    va_end(args);
    return NEXT(open)(reroot(path, buffer), flags, mode);
}

int __open_2(const char *path, int flags)
{
    return open(path, flags, 0);
}

FILE *fopen(const char *path, const char *mode)
{
    char buffer[PATH_MAX];

    return NEXT(fopen)(reroot(path, buffer), mode);
}

int stat(const char *path, struct stat *ret_stat)
{
    char buffer[PATH_MAX];

    return NEXT(stat)(reroot(path, buffer), ret_stat);
}

int chmod(const char *path, mode_t mode)
{
    char buffer[PATH_MAX];

    return NEXT(chmod)(reroot(path, buffer), mode);
}

int unlink(const char *path)
{
    char buffer[PATH_MAX];

    return NEXT(unlink)(reroot(path, buffer));
}

int rename(const char *from, const char *to)
{
    char from_buffer[PATH_MAX];
    char to_buffer[PATH_MAX];

    return NEXT(rename)(reroot(from, from_buffer), reroot(to, to_buffer));
}

/* Returns the address to use in place of `address`, built in `*buffer` where it names a path. */
static const struct sockaddr *reroot_address(const struct sockaddr *address,
                                             struct sockaddr_un *buffer, socklen_t *length)
{
    char path[PATH_MAX];

    if (address->sa_family != AF_UNIX) {
        return address;
    }
    const char *name = reroot(((const struct sockaddr_un *)address)->sun_path, path);
    *buffer = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(name) >= sizeof(buffer->sun_path)) {
        return address;
    }
    memcpy(buffer->sun_path, name, strlen(name));
    *length = sizeof(*buffer);
    return (const struct sockaddr *)buffer;
}

int bind(int fd, const struct sockaddr *address, socklen_t length)
{
    struct sockaddr_un buffer;
    const struct sockaddr *changed = reroot_address(address, &buffer, &length);

    return NEXT(bind)(fd, changed, length);
}

int connect(int fd, const struct sockaddr *address, socklen_t length)
{
    struct sockaddr_un buffer;
    const struct sockaddr *changed = reroot_address(address, &buffer, &length);

    return NEXT(connect)(fd, changed, length);
}

struct passwd *getpwnam(const char *name)
{
    return strcmp(name, "courier") == 0 ? getpwuid(geteuid()) : NEXT(getpwnam)(name);
}

/* Courier asks for file alterations to be told, which starts gamin's daemon, one for each user
 * and there to stay; without, it looks every second. */
int FAMOpen(void *connection)
{
    (void)connection;
    return -1;
}
