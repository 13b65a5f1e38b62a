/* broker/certs.h: the certificate of an endpoint, loaded again when its files change. */
#ifndef DAEMON_CERTS_H
#define DAEMON_CERTS_H

#include <stdbool.h>
#include <sys/stat.h>

#include "base/err.h"

struct net_listener;
struct net_tls;

/* Paths and listener are the caller's. */
struct daemon_cert {
    const char *cert;
    const char *key;
    struct net_listener *listener;
    struct stat cert_status, key_status; /* of what was tried last */
};

/* Loads it for the first time. */
int daemon_cert_load(struct daemon_cert *cert, struct net_tls **ret_tls, struct err *err);
/* Whoever connects from now on is shown the new one, when it has changed (or always, with
 * `anyway`) and is sound; else the old one stays, and the log says why. */
void daemon_cert_check(struct daemon_cert *cert, bool anyway);

#endif
