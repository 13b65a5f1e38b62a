/*
 * Preloaded into a program whose host is to have a bad day: writes and syncs of the files whose
 * path begins with $HOST_FAULTS_PATH fail or take long, they cannot be locked, and the wall clock
 * is set. What is done stands in the file $HOST_FAULTS, which the test writes while the program
 * runs:
 *
 *     error=28 slow=200 lock=37 clock=-3600
 *
 * is an errno, milliseconds for each sync, an errno of flock(), and seconds that the wall clock is
 * off.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

enum {
    CONTROL_SIZE = 256
};

static const char *control;

__attribute__((constructor)) static void load(void)
{
    const char *path = getenv("HOST_FAULTS");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *mapped = fd < 0 ? MAP_FAILED : mmap(NULL, CONTROL_SIZE, PROT_READ, MAP_SHARED, fd, 0);

    if (mapped != MAP_FAILED) {
        control = mapped;
    }
    if (fd >= 0) {
        close(fd);
    }
}

/* The number behind `name` ("error="), or 0. */
static long setting(const char *name)
{
    char text[CONTROL_SIZE + 1] = "";

    if (control != NULL) {
        memcpy(text, control, CONTROL_SIZE);
    }
    const char *found = strstr(text, name);
    return found == NULL ? 0 : strtol(found + strlen(name), NULL, 10);
}

static int is_affected(int fd)
{
    const char *wanted = getenv("HOST_FAULTS_PATH");
    char link[40];
    char path[PATH_MAX];

    if (wanted == NULL) {
        return 0;
    }
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof(path));
    return len >= (ssize_t)strlen(wanted) && strncmp(path, wanted, strlen(wanted)) == 0;
}

/* Returns the errno that a call on `fd` is to fail with, or 0. */
static int fault(int fd, const char *name)
{
    long error = setting(name);

    return error != 0 && is_affected(fd) ? (int)error : 0;
}

/* Until it took long enough, or the disk is well again. */
static void linger(int fd)
{
    enum {
        STEP = 20
    };

    if (setting("slow=") == 0 || !is_affected(fd)) {
        return;
    }
    for (long waited = 0; waited < setting("slow="); waited += STEP) {
        nanosleep(&(struct timespec){.tv_nsec = STEP * 1000000}, NULL);
    }
}

#define FAIL_OR(fd, name, call)                                                                    \
    do {                                                                                           \
        int error = fault(fd, name);                                                               \
        if (error != 0) {                                                                          \
            errno = error;                                                                         \
            return -1;                                                                             \
        }                                                                                          \
        return call;                                                                               \
    } while (0)

ssize_t write(int fd, const void *data, size_t len)
{
    FAIL_OR(fd, "error=", NEXT(write)(fd, data, len));
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t at)
{
    FAIL_OR(fd, "error=", NEXT(pwrite)(fd, data, len, at));
}

ssize_t pwrite64(int fd, const void *data, size_t len, off64_t at)
{
    FAIL_OR(fd, "error=", NEXT(pwrite64)(fd, data, len, at));
}

int fsync(int fd)
{
    linger(fd);
    FAIL_OR(fd, "error=", NEXT(fsync)(fd));
}

int fdatasync(int fd)
{
    linger(fd);
    FAIL_OR(fd, "error=", NEXT(fdatasync)(fd));
}

int flock(int fd, int operation)
{
    FAIL_OR(fd, "lock=", NEXT(flock)(fd, operation));
}

int clock_gettime(clockid_t clock, struct timespec *ret_time)
{
    int result = NEXT(clock_gettime)(clock, ret_time);

    if (clock == CLOCK_REALTIME) {
        ret_time->tv_sec += setting("clock=");
    }
    return result;
}

time_t time(time_t *ret_time)
{
    time_t now = NEXT(time)(NULL) + setting("clock=");

    if (ret_time != NULL) {
        *ret_time = now;
    }
    return now;
}

int gettimeofday(struct timeval *ret_time, void *zone)
{
    int result = NEXT(gettimeofday)(ret_time, zone);

    ret_time->tv_sec += setting("clock=");
    return result;
}
