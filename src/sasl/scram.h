/* sasl/scram.h: SCRAM (RFC 5802, RFC 7677) by libgsasl, with what that leaves to its caller: limits
 * before anything is computed, and the slow part apart from the rest. Internal to the room. */
#ifndef SASL_SCRAM_H
#define SASL_SCRAM_H

#include "sasl/sasl.h"

enum {
    SCRAM_MESSAGE_MAX = 2048, /* bytes of a server's message */
    SCRAM_ITERATIONS_MIN = 4096,
    SCRAM_ITERATIONS_MAX = 2000000,
};

struct scram;

/* Fails (ERR_GIVE_UP) when SASLprep (RFC 4013) does not take user or password. `binding`: NULL for
 * none. `mechanism` is one of SCRAM. */
int scram_new(enum sasl_mechanism mechanism, const struct sasl_credentials *credentials,
              const struct sasl_binding *binding, struct scram **ret_scram, struct err *err);
/* Wipes what it holds. NULL does nothing. */
void scram_free(struct scram *scram);
/* As sasl_client_step(), _derivation(), _derived(). */
int scram_step(struct scram *scram, const uint8_t *message, size_t len, struct buf *out,
               struct err *err);
const struct sasl_derivation *scram_derivation(const struct scram *scram);
int scram_derived(struct scram *scram, const uint8_t *key, struct buf *out, struct err *err);
/* Has the server shown that it knows the password? */
bool scram_proven(const struct scram *scram);
/* What the server said in place of a proof: "invalid-proof"; "" if nothing. */
const char *scram_refusal(const struct scram *scram);

#endif
