/* measure: what a command took, to the microsecond: `measure FILE COMMAND [ARGUMENT...]` writes
 * "wall user system peak" to FILE, the times in µs, the peak of resident memory in KB, and ends as
 * the command did. It stands between a benchmark and what that starts because a process begins with
 * the peak memory of the one that it was forked from: this one is small. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void measure_fail(const char *what)
{
    fprintf(stderr, "measure: %s: %s\n", what, strerror(errno));
    exit(127);
}

static long long measure_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

static long long measure_usec(struct timeval time)
{
    return time.tv_sec * 1000000LL + time.tv_usec;
}

int main(int argc, char **argv)
{
    struct rusage usage;
    int status;
    if (argc < 3) {
        fputs("usage: measure FILE COMMAND [ARGUMENT...]\n", stderr);
        return 64;
    }
    long long begin = measure_now();
    pid_t child = fork();
    if (child == 0) {
        execvp(argv[2], argv + 2);
        measure_fail(argv[2]);
    }
    if (child < 0 || wait4(child, &status, 0, &usage) != child)
        measure_fail("running it");
    long long wall = measure_now() - begin;
    FILE *file = fopen(argv[1], "w");
    if (!file ||
        fprintf(file, "%lld %lld %lld %ld\n", wall, measure_usec(usage.ru_utime),
                measure_usec(usage.ru_stime), usage.ru_maxrss) < 0 ||
        fclose(file))
        measure_fail(argv[1]);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
