/* relay: the loopback's own limit for a broker with one subscriber. One process writes, one passes
 * on what it reads, with nothing done in between, one reads; prints the bytes a second.
 * Usage: relay BYTES */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    RELAY_PIECE = 65536, /* as the broker reads */
};

static char relay_piece[RELAY_PIECE];

static void relay_check(int good)
{
    if (good)
        return;
    perror("relay");
    exit(1);
}

/* Two ends of a TCP connection on loopback. */
static void relay_connect(int ends[2])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int on = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    relay_check(!bind(listener, (struct sockaddr *)&address, size) && !listen(listener, 1) &&
                !getsockname(listener, (struct sockaddr *)&address, &size));
    ends[0] = socket(AF_INET, SOCK_STREAM, 0);
    relay_check(!connect(ends[0], (struct sockaddr *)&address, size));
    ends[1] = accept(listener, NULL, NULL);
    relay_check(ends[1] >= 0);
    for (int i = 0; i < 2; i++)
        setsockopt(ends[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    close(listener);
}

static void relay_write(int fd, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t put = write(fd, relay_piece + done, len - done);
        relay_check(put > 0);
        done += (size_t)put;
    }
}

static void relay_publish(int fd, unsigned long long bytes)
{
    for (unsigned long long sent = 0; sent < bytes; sent += RELAY_PIECE)
        relay_write(fd, RELAY_PIECE);
    _exit(0);
}

static void relay_pass(int in, int out)
{
    ssize_t got;
    while ((got = read(in, relay_piece, RELAY_PIECE)) > 0)
        relay_write(out, (size_t)got);
    _exit(0);
}

int main(int argc, char **argv)
{
    unsigned long long bytes = argc > 1 ? strtoull(argv[1], NULL, 10) : 0, got = 0;
    int first[2], second[2];
    struct timespec began, ended;
    relay_connect(first);
    relay_connect(second);
    pid_t passer = fork();
    relay_check(passer >= 0);
    if (!passer)
        relay_pass(first[1], second[0]);
    clock_gettime(CLOCK_MONOTONIC, &began);
    pid_t publisher = fork();
    relay_check(publisher >= 0);
    if (!publisher)
        relay_publish(first[0], bytes);
    while (got < bytes) {
        ssize_t len = read(second[1], relay_piece, RELAY_PIECE);
        relay_check(len > 0);
        got += (unsigned long long)len;
    }
    clock_gettime(CLOCK_MONOTONIC, &ended);
    kill(passer, SIGTERM);
    kill(publisher, SIGTERM);
    while (wait(NULL) > 0)
        ;
    printf("%.0f\n", (double)got / ((double)(ended.tv_sec - began.tv_sec) +
                                    (double)(ended.tv_nsec - began.tv_nsec) / 1e9));
    return 0;
}
