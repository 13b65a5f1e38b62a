/* net/http.h: one question to an HTTPS endpoint: libcurl's multi interface on the loop.
 *
 * Made for secrets: each call has a connection of its own; the server is verified, with TLS 1.2 at
 * least; redirects are not followed; no proxy of the environment, no .netrc, no cookies; what
 * libcurl frees is wiped. Plain http:// works too: whoever makes up the address decides that. */
#ifndef NET_HTTP_H
#define NET_HTTP_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/num.h"

struct net_loop;
struct net_http;
struct net_http_call;

struct net_http_request {
    const char *url;  /* copied */
    const char *ca;   /* who signs the server's certificate, in PEM; NULL: the system's CAs */
    const void *form; /* application/x-www-form-urlencoded; copied, and wiped afterwards */
    size_t len;
    size_t reply_most; /* bytes of the reply's body; more is a failure */
    msec_t deadline;   /* for all of it */
};

/* Valid during the call only. */
struct net_http_reply {
    unsigned status;
    const char *content_type; /* NULL: none */
    const uint8_t *body;
    size_t len;
};

/* `reply` NULL: there was none, see `err`: what may pass is ERR_RETRY_LATER, a certificate that is
 * not trusted ERR_GIVE_UP. The call is over and freed by then; new ones may be made,
 * net_http_free() may not be called. */
typedef void net_http_done_fn(void *ctx, const struct net_http_reply *reply, const struct err *err);

struct net_http *net_http_new(struct net_loop *loop);
/* With no call under way. NULL does nothing. */
void net_http_free(struct net_http *http);
/* `done` is called once, from the loop. */
struct net_http_call *net_http_post(struct net_http *http, const struct net_http_request *request,
                                    net_http_done_fn *done, void *ctx);
/* Ends it; nothing is called. NULL does nothing. */
void net_http_cancel(struct net_http_call *call);

#endif
