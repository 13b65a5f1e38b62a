/* token/source.h: where access tokens come from: a token endpoint, or a command. */
#ifndef TOKEN_SOURCE_H
#define TOKEN_SOURCE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "token/deed.h"
#include "token/keeper.h"

struct net_http;
struct net_loop;
struct token_workers;

/* Strings are copied. */
struct token_endpoint_settings {
    const char *label; /* of a mailbox, for what a person is told to run */
    const char *token_url;
    const char *ca; /* in PEM; NULL: the system's */
    const char *client_id;
    const char *client_secret; /* NULL: none */
    const char *scope;         /* NULL: not said */
    const char *refresh_token; /* NULL: in the file, if anywhere */
    bool can_authorize;        /* --authorize can get a refresh token */
    const uint8_t *key;        /* of the file where it is kept when it changes, and looked for
                                  first (token/deed.h); NULL: nowhere */
};

/* By refresh token. The file is read anew each time, so that what another process, or a person, put
 * there counts at once. A rotated token is stored before the access token that came with it is
 * given out; where that fails it is remembered, `troubled` says so, and it is tried again with the
 * next one. */
struct token_keeper *token_endpoint_new(struct net_loop *loop, struct net_http *http,
                                        struct token_workers *workers,
                                        const struct token_endpoint_settings *settings,
                                        void (*troubled)(const char *label, const struct err *err));

/* By the command of this key: its first line is the token; how long it is good is not known. */
struct token_keeper *token_command_new(struct token_workers *workers, struct net_loop *loop,
                                       const uint8_t key[TOKEN_KEY]);

/* Some threads for what blocks: files and commands of many accounts, which `doer` reads, writes and
 * runs. They start when there is something to do. */
struct token_workers *token_workers_new(struct net_loop *loop, const struct token_doer *doer);
/* After all sources; commands that still run are ended. NULL does nothing. */
void token_workers_free(struct token_workers *workers);

#endif
