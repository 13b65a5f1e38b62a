/* drain: what the sockets give when nothing is done with it. Fetches every body of the INBOX of
 * many users at the same time, a thread each, and throws the bytes away: the floor under any
 * collector.  drain PORT CA USER:PASSWORD...  Prints the bytes that were read. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/ssl.h>

#include "base/num.h"

enum {
    DRAIN_USERS = 1000,
    DRAIN_TAIL = 2048, /* longer than any tagged answer */
};

struct drain {
    pthread_t thread;
    const char *user;     /* up to the colon */
    const char *password; /* behind it */
    unsigned long long bytes;
};

static SSL_CTX *drain_tls;
static in_port_t drain_port;

static void drain_fail(const char *what)
{
    fprintf(stderr, "drain: %s failed\n", what);
    exit(1);
}

static SSL *drain_connect(void)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = drain_port, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address))
        drain_fail("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    SSL *ssl = SSL_new(drain_tls);
    if (!ssl || !SSL_set_fd(ssl, fd) || !SSL_set1_host(ssl, "localhost") || SSL_connect(ssl) != 1)
        drain_fail("TLS");
    return ssl;
}

/* Reads until a line that begins with `tag`. The end of each read is looked at together with the
 * end of the one before, which is enough to find a line at the end of the stream. */
static void drain_until(struct drain *drain, SSL *ssl, const char *tag)
{
    char buffer[65536 + DRAIN_TAIL + 1];
    size_t kept = 0;
    for (;;) {
        int got = SSL_read(ssl, buffer + kept, 65536);
        if (got <= 0)
            drain_fail("read");
        drain->bytes += (unsigned)got;
        size_t len = kept + (size_t)got;
        buffer[len] = '\0';
        size_t look = len > DRAIN_TAIL ? len - DRAIN_TAIL : 0;
        const char *found = memmem(buffer + look, len - look, tag, strlen(tag));
        if (found && buffer[len - 1] == '\n')
            return;
        kept = len < DRAIN_TAIL ? len : DRAIN_TAIL;
        memmove(buffer, buffer + len - kept, kept);
    }
}

static void drain_say(SSL *ssl, const char *line)
{
    int len = (int)strlen(line);
    if (SSL_write(ssl, line, len) != len)
        drain_fail("write");
}

static void *drain_run(void *ctx)
{
    struct drain *drain = ctx;
    SSL *ssl = drain_connect();
    drain_until(drain, ssl, "* OK");
    char login[512];
    snprintf(login, sizeof login, "a LOGIN \"%.*s\" \"%s\"\r\n", (int)strcspn(drain->user, ":"),
             drain->user, drain->password);
    drain_say(ssl, login);
    drain_until(drain, ssl, "a OK");
    drain_say(ssl, "b EXAMINE INBOX\r\n");
    drain_until(drain, ssl, "b OK");
    drain_say(ssl, "c UID FETCH 1:* (BODY.PEEK[])\r\n");
    drain_until(drain, ssl, "\r\nc OK");
    close(SSL_get_fd(ssl));
    SSL_free(ssl);
    return NULL;
}

int main(int argc, char **argv)
{
    static struct drain drains[DRAIN_USERS];
    uint32_t port;
    int count = argc - 3;
    if (count < 1 || count > DRAIN_USERS || !num_parse_u32(argv[1], strlen(argv[1]), &port)) {
        fputs("usage: drain PORT CA USER:PASSWORD...\n", stderr);
        return 64;
    }
    drain_port = htons((uint16_t)port);
    drain_tls = SSL_CTX_new(TLS_client_method());
    if (!drain_tls || SSL_CTX_load_verify_locations(drain_tls, argv[2], NULL) != 1)
        drain_fail("loading the CA");
    SSL_CTX_set_verify(drain_tls, SSL_VERIFY_PEER, NULL);
    unsigned long long bytes = 0;
    for (int i = 0; i < count; i++) {
        drains[i].user = argv[3 + i];
        drains[i].password = strchr(argv[3 + i], ':') ? strchr(argv[3 + i], ':') + 1 : "";
        if (pthread_create(&drains[i].thread, NULL, drain_run, &drains[i]))
            drain_fail("starting a thread");
    }
    for (int i = 0; i < count; i++) {
        pthread_join(drains[i].thread, NULL);
        bytes += drains[i].bytes;
    }
    printf("%llu\n", bytes);
    SSL_CTX_free(drain_tls);
    return 0;
}
