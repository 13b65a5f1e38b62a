/* token/workers.h: deeds, on threads beside the loop. Internal; struct token_workers is made with
 * token/source.h. */
#ifndef TOKEN_WORKERS_H
#define TOKEN_WORKERS_H

#include "base/err.h"
#include "token/deed.h"

struct token_workers;
struct token_job;

/* On the loop. `token` as in struct token_doer, valid during the call; NULL with an error, too. */
typedef void token_job_done_fn(void *ctx, int result, const char *token, const struct err *err);

/* Has it done. `key` and `token` are copied. The job is good until it is done or cancelled. */
struct token_job *token_workers_submit(struct token_workers *workers, enum token_deed_kind kind,
                                       const uint8_t key[TOKEN_KEY], const char *token,
                                       token_job_done_fn *done, void *ctx);
/* Nobody cares any more: `done` is not called. A command is ended; a token is stored all the same.
 * NULL does nothing. */
void token_job_cancel(struct token_job *job);

#endif
