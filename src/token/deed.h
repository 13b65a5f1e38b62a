/* token/deed.h: what it takes to get a token, or to keep one: a command is run, a file read or
 * written.
 *
 * Who wants it done and who does it are apart: a process behind fences (fence/fence.h) may do none
 * of it, and names the means by a key to one that may. */
#ifndef TOKEN_DEED_H
#define TOKEN_DEED_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum {
    TOKEN_KEY = 32,         /* bytes that tell the means of one account from another's */
    TOKEN_DEEDS_AT_ONCE = 4 /* each of a slot of its own */
};

enum token_deed_kind {
    TOKEN_RUN,   /* the command: its first line is an access token */
    TOKEN_READ,  /* the refresh token in the file */
    TOKEN_WRITE, /* one into the file */
};

struct token_deed {
    enum token_deed_kind kind;
    const uint8_t *key;           /* of TOKEN_KEY bytes */
    const char *token;            /* TOKEN_WRITE: which; else NULL */
    const atomic_bool *cancelled; /* once it is true a command is ended, files go their way;
                                     NULL: it never is */
    unsigned slot;                /* < TOKEN_DEEDS_AT_ONCE; two that go on have not the same */
};

/* Somebody who does deeds, on any thread and several at a time. Blocks. *ret_token is what was got,
 * for the caller to free, wiped; NULL: the file is not there, or a token was written. */
struct token_doer {
    int (*act)(void *ctx, const struct token_deed *deed, char **ret_token, struct err *err);
    void *ctx;
};

/* What the configuration has for an account. */
struct token_means {
    const char *command; /* its words, a NUL behind each; NULL: none */
    size_t command_len;
    const char *directory; /* where it runs; "": here */
    const char *file;      /* of the refresh token; NULL: none */
};

/* Does it, as a token_doer does, with these means; key and slot do not matter. Fails
 * (ERR_GIVE_UP) when they have no command, or no file, for it. */
int token_deed_do(const struct token_means *means, const struct token_deed *deed, char **ret_token,
                  struct err *err);

#endif
