/* idle: what a mailbox costs that nothing is done with. Opens many TLS connections as OpenSSL does
 * it at its thriftiest, logs in, opens INBOX, and idles: the floor under any collector.
 * idle PORT CA COUNT   as box1, box2 … of imapsim. Prints the bytes of resident memory that a
 * connection took, and holds them until its standard input ends. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/ssl.h>

#include "base/num.h"

enum {
    IDLE_COUNT_MOST = 100000,
    IDLE_LINE = 4096,
};

static SSL_CTX *idle_tls;
static in_port_t idle_port;

static void idle_fail(const char *what)
{
    fprintf(stderr, "idle: %s failed\n", what);
    exit(1);
}

static SSL *idle_connect(void)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = idle_port, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address))
        idle_fail("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    SSL *ssl = SSL_new(idle_tls);
    if (!ssl || !SSL_set_fd(ssl, fd) || !SSL_set1_host(ssl, "localhost") || SSL_connect(ssl) != 1)
        idle_fail("TLS");
    return ssl;
}

/* Says a line, unless it is NULL, and reads until `answer` has been said at a line's begin. */
static void idle_ask(SSL *ssl, const char *line, const char *answer)
{
    char got[IDLE_LINE + 1] = "\n";
    size_t len = 1;
    if (line && SSL_write(ssl, line, (int)strlen(line)) <= 0)
        idle_fail("write");
    while (!strstr(got, answer) || got[len - 1] != '\n') {
        int more = SSL_read(ssl, got + len, (int)(IDLE_LINE - len));
        if (more <= 0)
            idle_fail("read");
        len += (size_t)more;
        got[len] = '\0';
    }
}

static void idle_open(unsigned number)
{
    char login[100];
    SSL *ssl = idle_connect();
    snprintf(login, sizeof login, "a LOGIN box%u secret-box%u\r\n", number, number);
    idle_ask(ssl, NULL, "\n* OK");
    idle_ask(ssl, login, "\na OK");
    idle_ask(ssl, "b SELECT INBOX\r\n", "\nb OK");
    idle_ask(ssl, "c IDLE\r\n", "\n+ ");
}

static unsigned long long idle_memory(void)
{
    unsigned long long size, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%llu %llu", &size, &resident) != 2)
        idle_fail("/proc/self/statm");
    fclose(file);
    return resident * (unsigned long long)sysconf(_SC_PAGESIZE);
}

int main(int argc, char **argv)
{
    uint32_t port, count;
    struct rlimit limit;
    if (argc != 4 || !num_parse_u32(argv[1], strlen(argv[1]), &port) ||
        !num_parse_u32(argv[3], strlen(argv[3]), &count) || !count || count > IDLE_COUNT_MOST) {
        fputs("usage: idle PORT CA COUNT\n", stderr);
        return 64;
    }
    if (!getrlimit(RLIMIT_NOFILE, &limit)) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    idle_port = htons((uint16_t)port);
    idle_tls = SSL_CTX_new(TLS_client_method());
    if (!idle_tls || SSL_CTX_load_verify_locations(idle_tls, argv[2], NULL) != 1)
        idle_fail("loading the CA");
    SSL_CTX_set_verify(idle_tls, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_mode(idle_tls, SSL_MODE_RELEASE_BUFFERS);
    idle_open(1); /* what is paid once */
    unsigned long long before = idle_memory();
    for (uint32_t i = 2; i <= count + 1; i++)
        idle_open(i);
    printf("%llu\n", (idle_memory() - before) / count);
    fflush(stdout);
    while (getchar() != EOF)
        ;
    return 0;
}
