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
    SASL_PLAIN, /* RFC 4616 */
    SASL_LOGIN, /* draft-murchison-sasl-login: user, then password, whatever is asked */
};

struct sasl_client;

/* "PLAIN"; static. */
const char *sasl_mechanism_name(enum sasl_mechanism mechanism);
/* Fails (ERR_GIVE_UP) when user or password is empty: PLAIN cannot carry that. Strings are
 * copied. */
int sasl_client_new(enum sasl_mechanism mechanism, const char *user, const char *password,
                    struct sasl_client **ret_client, struct err *err);
/* Wipes what it holds. NULL does nothing. */
void sasl_client_free(struct sasl_client *client);
/* Does the client speak first, so that its first answer may go out with the command (SASL-IR)? */
bool sasl_client_first(const struct sasl_client *client);
/* The answer to a challenge (the first one is empty where the client speaks first), appended to
 * `out`. Fails when the mechanism has said all it has to say. */
int sasl_client_step(struct sasl_client *client, const uint8_t *challenge, size_t len,
                     struct buf *out, struct err *err);

#endif
