#include "programs/broker/certs.h"

#include "base/log.h"
#include "net/conn.h"
#include "net/tls.h"

static void cert_note(struct daemon_cert *cert)
{
    if (stat(cert->cert, &cert->cert_status))
        cert->cert_status = (struct stat){0};
    if (stat(cert->key, &cert->key_status))
        cert->key_status = (struct stat){0};
}

int daemon_cert_load(struct daemon_cert *cert, struct net_tls **ret_tls, struct err *err)
{
    cert_note(cert);
    return net_tls_server_new(cert->cert, cert->key, ret_tls, err);
}

/* A file that is not there is one that is being replaced. */
static bool cert_has_changed(const char *path, const struct stat *then)
{
    struct stat now;
    return !stat(path, &now) &&
           (now.st_ino != then->st_ino || now.st_dev != then->st_dev ||
            now.st_size != then->st_size || now.st_mtim.tv_sec != then->st_mtim.tv_sec ||
            now.st_mtim.tv_nsec != then->st_mtim.tv_nsec);
}

void daemon_cert_check(struct daemon_cert *cert, bool anyway)
{
    struct net_tls *tls;
    struct err err;
    if (!anyway && !cert_has_changed(cert->cert, &cert->cert_status) &&
        !cert_has_changed(cert->key, &cert->key_status))
        return;
    if (daemon_cert_load(cert, &tls, &err)) {
        log_error(NULL, "%s; the certificate stays as it was", err.text);
        return;
    }
    net_listener_set_tls(cert->listener, tls);
    net_tls_unref(tls);
    log_info(NULL, "%s: loaded again", cert->cert);
}
