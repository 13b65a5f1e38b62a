/* token/store.h: a refresh token in a file of its own. Blocks; for a worker.
 *
 * A provider that rotates refresh tokens makes the old one void when it gives the new one, so that
 * a token that is half written, or lost by a crash, takes the account with it: it is written beside
 * the old one, synced, then put in its place. */
#ifndef TOKEN_STORE_H
#define TOKEN_STORE_H

#include "base/err.h"

/* Reads the first line. Fails (ERR_GIVE_UP) when there is none that could be a token. *ret_token is
 * NULL when the file is not there. The caller frees it, wiped. */
int token_store_read(const char *path, char **ret_token, struct err *err);
/* Replaces it, mode 0600; makes directories that are missing, for the owner alone. */
int token_store_write(const char *path, const char *token, struct err *err);

#endif
