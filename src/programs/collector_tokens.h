/* programs/collector_tokens.h: what gives access tokens, by what it was made of: mailboxes with
 * equal settings share one, also across a reload of the configuration. */
#ifndef PROGRAMS_COLLECTOR_TOKENS_H
#define PROGRAMS_COLLECTOR_TOKENS_H

#include "conf/conf.h"
#include "token/deed.h"
#include "token/keeper.h"

struct net_loop;
struct tokens;

/* `directory`: where refresh tokens are kept that have no file of their own; copied; NULL: nowhere.
 * `doer` knows the means of an account by tokens_key(), and outlives it. */
struct tokens *tokens_new(struct net_loop *loop, const char *directory,
                          const struct token_doer *doer);
/* After all that was got from it was given back. NULL does nothing. */
void tokens_free(struct tokens *tokens);
/* A reference of the caller's own; NULL: a password logs in. An old failure of it is forgotten. */
struct token_keeper *tokens_get(struct tokens *tokens, const struct conf_mailbox *mailbox);
/* What was not got since the last call is not wanted any more; what is busy goes with a later
 * call. */
void tokens_sweep(struct tokens *tokens);
/* Is any being got in a way that must not be broken off: see token_keeper_spends()? */
bool tokens_busy(struct tokens *tokens);

/* What tells the settings of this mailbox's `oauth2` from any others, secrets among them, and
 * returns tokens_file() with it; NULL where a command gives the token. */
char *tokens_key(const struct conf_mailbox *mailbox, const char *directory,
                 uint8_t ret_key[TOKEN_KEY]);
/* Where the refresh token of this mailbox is kept; NULL: nowhere. The caller frees it. A token that
 * is written in the configuration has a place of its own there, so that another one counts at
 * once. */
char *tokens_file(const struct conf_mailbox *mailbox, const char *directory);

#endif
