/* broker/endpoint.h: where a broker listens, in the usual broker's two ways of writing it. */
#ifndef BROKER_ENDPOINT_H
#define BROKER_ENDPOINT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct broker_endpoint {
    bool tls;
    char *host; /* "" for all addresses */
    uint16_t port;
    char *device; /* NULL: any */
    char *cert;   /* PEM files; of tls only */
    char *key;
};

/* tcp:interface=127.0.0.1:port=10000:device=eth0 or tls:…:cert=FILE:key=FILE, the parts in any
 * order. A colon inside a value is written "\:". Without an interface it is 0.0.0.0, without files
 * they are cert.pem and key.pem. The port is needed; 0 is any free one. Parts of other names mean
 * nothing, as for the usual broker; the log says so. */
int broker_endpoint_parse(const char *text, struct broker_endpoint *ret_endpoint, struct err *err);
/* host:port, [::1]:port or :port; plain TCP. */
int broker_endpoint_parse_bind(const char *text, struct broker_endpoint *ret_endpoint,
                               struct err *err);
/* Frees its strings. */
void broker_endpoint_release(struct broker_endpoint *endpoint);

#endif
