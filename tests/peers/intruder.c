/*
 * Preloaded into a program that is to be taken over: at SIGUSR2 it tries, from inside, what its
 * fences are there against, and writes on standard error how each went, as an errno:
 *
 *     intruder: read 13
 *
 * $INTRUDER is a file that is nobody's business but its owner's, in a directory that can be
 * written.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *outside;

static void tell(const char *what, long result)
{
    dprintf(STDERR_FILENO, "intruder: %s %d\n", what, result < 0 ? errno : 0);
}

static void try_files(void)
{
    char beside[4096];

    snprintf(beside, sizeof(beside), "%s.made", outside);
    tell("read", open(outside, O_RDONLY | O_CLOEXEC));
    tell("write", open(outside, O_WRONLY | O_CLOEXEC));
    tell("make", open(beside, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    tell("empty", truncate(outside, 0));
    tell("remove", unlink(outside));
    tell("shadow", open("/etc/shadow", O_RDONLY | O_CLOEXEC));
}

static void try_sockets(void)
{
    const struct sockaddr_in any = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    tell("bind", bind(fd, (const struct sockaddr *)&any, sizeof(any)));
    tell("listen", listen(fd, 1));
    tell("service", socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    tell("netlink", socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0));
}

static void intrude(int number)
{
    char *const words[] = {(char *)"/bin/true", NULL};

    (void)number;
    try_files();
    try_sockets();
    tell("signal", kill(getppid(), 0));
    tell("trace", ptrace(PTRACE_SEIZE, getppid(), NULL, NULL));
    tell("run", execv(words[0], words));
    dprintf(STDERR_FILENO, "intruder: over\n");
}

__attribute__((constructor)) static void load(void)
{
    outside = getenv("INTRUDER");
    if (outside != NULL) {
        signal(SIGUSR2, intrude);
    }
}
