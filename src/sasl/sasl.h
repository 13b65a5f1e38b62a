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
    SASL_PLAIN,            /* RFC 4616 */
    SASL_LOGIN,            /* draft-murchison-sasl-login: user, then password, whatever is asked */
    SASL_SCRAM_SHA_1,      /* RFC 5802 */
    SASL_SCRAM_SHA_1_PLUS, /* with channel binding */
    SASL_SCRAM_SHA_256,    /* RFC 7677 */
    SASL_SCRAM_SHA_256_PLUS, /* with channel binding */
    SASL_XOAUTH2,            /* developers.google.com/workspace/gmail/imap/xoauth2-protocol */
    SASL_OAUTHBEARER,        /* RFC 7628 */
};

/* Who logs in, and with what: a password, or an access token (RFC 6750). */
struct sasl_credentials {
    const char *user;
    const char *password;     /* NULL: none */
    const char *access_token; /* NULL: none */
    const char *host;         /* the server that is meant, for mechanisms that name it; or NULL */
    uint16_t port;
};

enum {
    SASL_BINDING_MAX = 64,
    SASL_SALT_MAX = 128, /* bytes; servers use 16 to 32 */
    SASL_KEY_MAX = 32,
};

/* What tells the TLS connection apart from every other one (RFC 5056): "tls-unique" (RFC 5929
 * section 3). */
struct sasl_binding {
    size_t len;
    uint8_t data[SASL_BINDING_MAX];
};

enum sasl_hash {
    SASL_SHA_1,
    SASL_SHA_256,
};

/* The part of SCRAM that is slow, because servers ask for it to be: RFC 5802's SaltedPassword. The
 * key depends on nothing but the password and what is in here, so it can be kept. */
struct sasl_derivation {
    enum sasl_hash hash;
    uint32_t iterations;
    size_t salt_len;
    uint8_t salt[SASL_SALT_MAX];
};

struct sasl_client;

/* "PLAIN"; static. */
const char *sasl_mechanism_name(enum sasl_mechanism mechanism);
/* Fails (ERR_GIVE_UP) when the mechanism cannot carry the credentials: what it needs is empty, or
 * has characters that it has no way to send. Strings are copied. `binding`: for the
 * mechanisms with channel binding; else NULL. */
int sasl_client_new(enum sasl_mechanism mechanism, const struct sasl_credentials *credentials,
                    const struct sasl_binding *binding, struct sasl_client **ret_client,
                    struct err *err);
/* Wipes what it holds. NULL does nothing. */
void sasl_client_free(struct sasl_client *client);
/* Does the client speak first, so that its first answer may go out with the command (SASL-IR)? */
bool sasl_client_first(const struct sasl_client *client);

/* What a step came to; negative: failed. */
enum sasl_step {
    SASL_ANSWERED,
    SASL_DERIVE, /* the answer comes from sasl_client_derived() */
};

/* The answer to a challenge (the first one is empty where the client speaks first), appended to
 * `out`. Fails (ERR_GIVE_UP) when the mechanism has said all it has to say, or the server is not to
 * be trusted: the exchange has to be cancelled. */
int sasl_client_step(struct sasl_client *client, const uint8_t *challenge, size_t len,
                     struct buf *out, struct err *err);
/* After SASL_DERIVE: what sasl_derive() is to be given; and the answer, with the key it gave. */
const struct sasl_derivation *sasl_client_derivation(const struct sasl_client *client);
int sasl_client_derived(struct sasl_client *client, const uint8_t *key, struct buf *out,
                        struct err *err);
/* May the server's word be taken that this login has succeeded? Not when the mechanism has the
 * server prove that it knows the password, too, and it has not. */
bool sasl_client_convinced(const struct sasl_client *client);
/* Why the server refuses, where the mechanism has a place for it: "invalid_token", "invalid-proof",
 * or all that it said; unescaped. "" when it did not say. Valid as long as the client. */
const char *sasl_client_refusal(const struct sasl_client *client);

/* Takes milliseconds to a second of a processor; may run on any thread. The password is one that a
 * client was made with. The key is as good as the password, at this server: wipe it after use. */
void sasl_derive(const struct sasl_derivation *derivation, const char *password,
                 uint8_t ret_key[SASL_KEY_MAX]);
size_t sasl_key_size(enum sasl_hash hash);
bool sasl_derivation_equal(const struct sasl_derivation *a, const struct sasl_derivation *b);

#endif
