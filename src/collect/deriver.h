/* collect/deriver.h: the keys of SCRAM, derived on threads of their own: a server may ask for half
 * a second of a processor, and ten thousand mailboxes log in at the same time. Internal. */
#ifndef COLLECT_DERIVER_H
#define COLLECT_DERIVER_H

#include <stdint.h>

#include "sasl/sasl.h"

struct net_loop;
struct deriver;
struct derive_job;

/* A key that was derived, kept for the next login. */
struct derived_key {
    struct sasl_derivation of;
    uint8_t key[SASL_KEY_MAX];
};

/* *kept, NULL or an earlier one, becomes a copy of `key` (NULL: nothing), the earlier one is wiped.
 */
void derived_key_keep(struct derived_key **kept, const struct derived_key *key);

struct deriver *deriver_new(struct net_loop *loop);
/* Waits for what is being derived; what waits for its turn is dropped, and nobody hears of it. NULL
 * does nothing. */
void deriver_free(struct deriver *deriver);

/* Derives; `done` gets the key, from the loop, valid during the call. Each host gets as much of the
 * time as any other that has something to be derived; its own turns are in order. The result names
 * the job until then. */
struct derive_job *deriver_submit(struct deriver *deriver, const char *host,
                                  const struct sasl_derivation *derivation, const char *password,
                                  void (*done)(void *ctx, const struct derived_key *key),
                                  void *ctx);
/* Nobody waits for it any more: `done` does not come. NULL does nothing. */
void derive_job_cancel(struct derive_job *job);

#endif
