/* net/socket.h: TCP sockets and addresses, as far as both ends need the same. */
#ifndef NET_SOCKET_H
#define NET_SOCKET_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/err.h"

enum {
    NET_ADDRESS_TEXT = 64, /* "[fe80::1%interface]:993" */
    NET_LABEL_TEXT = 128,
};

union net_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

socklen_t net_address_size(const union net_address *address);
void net_address_set_port(union net_address *address, uint16_t port);
/* "127.0.0.1", "::1"; an IPv4 address mapped into IPv6 is shown as what it is. */
char *net_address_format(char *out, size_t cap, const union net_address *address);
/* The same with the port: "127.0.0.1:993", "[::1]:993". */
char *net_address_format_port(char *out, size_t cap, const union net_address *address);
/* An address without its port; of IPv6 the /64 network it is in: "2001:db8:1:2::/64". */
char *net_address_network(char *out, size_t cap, const union net_address *address);
/* The same of what net_address_format_port() gave. */
char *net_address_text_network(char *out, size_t cap, const char *text);

/* "mail.example:993" for a person, escaped. */
char *net_label(char *out, size_t cap, const char *host, uint16_t port);

/* A non-blocking TCP socket, or -1 and errno. */
int net_socket_new(int family);
/* TCP_NODELAY and keepalive: a peer that is gone without a word is noticed after 113 s at most,
 * after 65 s at least. */
void net_socket_tune(int fd);
/* Output that is not acknowledged breaks the connection after 90 s, instead of a quarter of an
 * hour; so does a peer that is there but takes nothing for so long. For connections of our own:
 * how long to bear with those who came to us is their host's business. */
void net_socket_limit_output(int fd);

/* Closing it resets the connection, also when the kernel closes it for a process that dies. */
void net_socket_set_abrupt(int fd, bool abrupt);

#endif
