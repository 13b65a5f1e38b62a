#include "net/socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

socklen_t net_address_size(const union net_address *address)
{
    return address->any.sa_family == AF_INET6 ? sizeof address->v6 : sizeof address->v4;
}

void net_address_set_port(union net_address *address, uint16_t port)
{
    if (address->any.sa_family == AF_INET6)
        address->v6.sin6_port = htons(port);
    else
        address->v4.sin_port = htons(port);
}

char *net_address_format(char *out, size_t cap, const union net_address *address)
{
    char text[INET6_ADDRSTRLEN] = "";
    char zone[IF_NAMESIZE + 1] = "";
    if (address->any.sa_family == AF_INET) {
        inet_ntop(AF_INET, &address->v4.sin_addr, text, sizeof text);
    } else if (IN6_IS_ADDR_V4MAPPED(&address->v6.sin6_addr)) {
        inet_ntop(AF_INET, &address->v6.sin6_addr.s6_addr[12], text, sizeof text);
    } else {
        inet_ntop(AF_INET6, &address->v6.sin6_addr, text, sizeof text);
        if (address->v6.sin6_scope_id && if_indextoname(address->v6.sin6_scope_id, zone + 1))
            zone[0] = '%';
    }
    snprintf(out, cap, "%s%s", text, zone);
    return out;
}

char *net_address_format_port(char *out, size_t cap, const union net_address *address)
{
    char text[NET_ADDRESS_TEXT];
    in_port_t port =
        address->any.sa_family == AF_INET6 ? address->v6.sin6_port : address->v4.sin_port;
    net_address_format(text, sizeof text, address);
    snprintf(out, cap, strchr(text, ':') ? "[%s]:%u" : "%s:%u", text, (unsigned)ntohs(port));
    return out;
}

char *net_address_network(char *out, size_t cap, const union net_address *address)
{
    if (address->any.sa_family != AF_INET6 || IN6_IS_ADDR_V4MAPPED(&address->v6.sin6_addr))
        return net_address_format(out, cap, address);
    char text[NET_ADDRESS_TEXT];
    union net_address network = *address;
    memset(network.v6.sin6_addr.s6_addr + 8, 0, 8);
    network.v6.sin6_scope_id = 0;
    snprintf(out, cap, "%s/64", net_address_format(text, sizeof text, &network));
    return out;
}

char *net_address_text_network(char *out, size_t cap, const char *text)
{
    char host[NET_ADDRESS_TEXT];
    union net_address address = {.v6.sin6_family = AF_INET6};
    bool bracketed = *text == '[';
    size_t len = bracketed ? strcspn(text + 1, "%]") : strcspn(text, ":");
    snprintf(host, sizeof host, "%.*s", (int)len, text + bracketed);
    if (bracketed && inet_pton(AF_INET6, host, &address.v6.sin6_addr) == 1)
        return net_address_network(out, cap, &address);
    snprintf(out, cap, "%s", host);
    return out;
}

char *net_label(char *out, size_t cap, const char *host, uint16_t port)
{
    char shown[NET_LABEL_TEXT - 10];
    text_escape_utf8(shown, sizeof shown, host, strlen(host));
    snprintf(out, cap, strchr(shown, ':') ? "[%s]:%u" : "%s:%u", shown, (unsigned)port);
    return out;
}

int net_socket_new(int family)
{
    return socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
}

static void net_socket_set(int fd, int level, int option, int value)
{
    /* A kernel without one of these still carries bytes. */
    (void)setsockopt(fd, level, option, &value, sizeof value);
}

void net_socket_tune(int fd)
{
    net_socket_set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    net_socket_set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    /* Silence, then five questions. Connections that were made together (as descriptors in a row)
     * must not ask together: the kernel rounds such timers to some two seconds, and drops what of
     * a burst is over net.core.netdev_max_backlog (1000) on loopback or between containers; if it
     * drops all questions of a connection, the peer is taken for dead. */
    net_socket_set(fd, IPPROTO_TCP, TCP_KEEPIDLE, 30 + fd % 19);
    net_socket_set(fd, IPPROTO_TCP, TCP_KEEPINTVL, 7 + fd % 7);
    net_socket_set(fd, IPPROTO_TCP, TCP_KEEPCNT, 5);
}

void net_socket_limit_output(int fd)
{
    /* With this the kernel ends keepalive by it, too, and not by the count: when the first question
     * after it would be due. */
    net_socket_set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 90 * 1000);
}

void net_socket_set_abrupt(int fd, bool abrupt)
{
    struct linger linger = {.l_onoff = abrupt};
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
}
