/* token/keeper.h: one account's access token: got once, however many ask; kept until shortly before
 * it expires; got anew when a server refuses it.
 *
 * Where it comes from is the source's affair. After a failure the source is left alone for a while,
 * and whoever asks meanwhile gets the failure again: seconds, up to five minutes; ten minutes for
 * what a person has to mend. */
#ifndef TOKEN_KEEPER_H
#define TOKEN_KEEPER_H

#include <stdbool.h>

#include "base/err.h"
#include "base/num.h"

struct net_loop;
struct token_keeper;

/* An access token, shared, wiped with its last reference. One loop, one thread. */
struct token {
    unsigned refs;
    char text[];
};

struct token *token_ref(struct token *token);
/* NULL does nothing. */
void token_unref(struct token *token);

/* Gets tokens. */
struct token_source_ops {
    /* Begins to get a new one. Answers later, from the loop, with token_keeper_got() or
     * token_keeper_failed(); is not called again before it has. */
    void (*fetch)(void *source, struct token_keeper *keeper);
    /* Ends what is under way; no answer any more. */
    void (*free)(void *source);
    bool spends; /* to fetch uses something up, and what takes its place comes with the answer */
};

/* Who waits for a token; embedded in its owner. All zero but for the callback at first. */
struct token_wait {
    /* From the loop, never from inside a call of this header. The token is a reference of the
     * callee's; `fresh`: it was got for this question. NULL: there is none, and why. */
    void (*had)(struct token_wait *wait, struct token *moved_token, bool fresh,
                const struct err *err);
    struct token_keeper *keeper; /* NULL: does not wait */
    struct token_wait *previous, *next;
};

/* `moved_source` is freed with the last reference. */
struct token_keeper *token_keeper_new(struct net_loop *loop, const struct token_source_ops *ops,
                                      void *moved_source);
struct token_keeper *token_keeper_ref(struct token_keeper *keeper);
/* The last one only when nobody waits. NULL does nothing. */
void token_keeper_unref(struct token_keeper *keeper);

/* Asks for a token. The keeper must live until the answer, or token_wait_cancel(). */
void token_keeper_ask(struct token_keeper *keeper, struct token_wait *wait);
/* No effect when it does not wait. */
void token_wait_cancel(struct token_wait *wait);
/* A server does not take this token: if it is the one that is kept, it is not given out again.
 * Where that happens soon after it was got, and again, the source is left alone as after a failure.
 */
void token_keeper_refused(struct token_keeper *keeper, const struct token *token);
/* Is one being got by a source that spends? Who ends it then may lose the account. */
bool token_keeper_spends(const struct token_keeper *keeper);
/* Somebody may have mended what failed: whoever asks next is not answered with an old failure,
 * unless it is of the last minute. */
void token_keeper_hurry(struct token_keeper *keeper);

/* For sources. `lifetime` NULL: not known. */
void token_keeper_got(struct token_keeper *keeper, const char *text, const msec_t *lifetime);
void token_keeper_failed(struct token_keeper *keeper, const struct err *err);

#endif
