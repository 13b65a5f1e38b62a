/* sasl/sasl.h: SASL mechanisms (RFC 4422) as a client: challenges in, answers out. No I/O.
 *
 * Bytes here are what the mechanism says, not base64; the protocol room wraps them. */
#ifndef SASL_SASL_H
#define SASL_SASL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum sasl_mechanism {
    SASL_PLAIN,       /* RFC 4616 */
    SASL_LOGIN,       /* draft-murchison-sasl-login: user, then password, whatever is asked */
    SASL_XOAUTH2,     /* developers.google.com/workspace/gmail/imap/xoauth2-protocol */
    SASL_OAUTHBEARER, /* RFC 7628 */
};

/* Who logs in, and with what: a password, or an access token (RFC 6750). */
struct sasl_credentials {
    const char *user;
    const char *password;     /* NULL: none */
    const char *access_token; /* NULL: none */
    const char *host;         /* the server that is meant, for mechanisms that name it; or NULL */
    uint16_t port;
};

struct sasl_client;

/* "PLAIN"; static. */
const char *sasl_mechanism_name(enum sasl_mechanism mechanism);
/* Fails (ERR_GIVE_UP) when the mechanism cannot carry the credentials: what it needs is empty, or
 * has characters that would end it. Strings are copied. */
int sasl_client_new(enum sasl_mechanism mechanism, const struct sasl_credentials *credentials,
                    struct sasl_client **ret_client, struct err *err);
/* Wipes what it holds. NULL does nothing. */
void sasl_client_free(struct sasl_client *client);
/* Does the client speak first, so that its first answer may go out with the command (SASL-IR)? */
bool sasl_client_first(const struct sasl_client *client);
/* The answer to a challenge (the first one is empty where the client speaks first), appended to
 * `out`. Fails when the mechanism has said all it has to say. */
int sasl_client_step(struct sasl_client *client, const uint8_t *challenge, size_t len,
                     struct buf *out, struct err *err);
/* Why the server refuses, where the mechanism has a place for it: "invalid_token", or all that it
 * said; unescaped. "" when it did not say. Valid as long as the client. */
const char *sasl_client_refusal(const struct sasl_client *client);

#endif
