/* programs/collector_tls.h: TLS contexts by what they were made of. A context holds the CAs, which
 * are large: accounts with equal settings share one, also across a reload of the configuration. */
#ifndef PROGRAMS_COLLECTOR_TLS_H
#define PROGRAMS_COLLECTOR_TLS_H

#include "base/buf.h"
#include "base/err.h"
#include "conf/conf.h"
#include "net/tls.h"

struct tls_store;

/* What `previous` (NULL: nothing) has is taken from it, as long as the files behind it are the
 * same; it must live as long. */
struct tls_store *tls_store_new(struct tls_store *previous);
/* What was got from it stays. NULL does nothing. */
void tls_store_free(struct tls_store *store);
/* The store knows no `previous` any more. */
void tls_store_settle(struct tls_store *store);
/* *ret_tls is a reference of the caller's own, or NULL for plain text. */
int tls_store_get(struct tls_store *store, const struct conf_tls *settings,
                  struct net_tls **ret_tls, struct err *err);

/* Appends a text that is equal for equal settings, and for unchanged files behind them. */
void tls_store_key(const struct conf_tls *settings, struct buf *out);

#endif
