#include "token/keeper.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/random.h"
#include "net/loop.h"

enum {
    KEEPER_UNKNOWN = 5 * 60 * 1000,     /* kept so long when its lifetime is not known */
    KEEPER_MARGIN_MOST = 5 * 60 * 1000, /* before it expires; of a short life its eighth */
    KEEPER_HOLD_FIRST = 500,            /* less than whoever failed waits before he tries again */
    KEEPER_HOLD_MOST = 5 * 60 * 1000,
    KEEPER_HOLD_PERSON = 10 * 60 * 1000,
    KEEPER_HURRY = 60 * 1000,
};

struct token_keeper {
    unsigned refs;
    struct net_loop *loop;
    const struct token_source_ops *ops;
    void *source;
    struct net_deferred *answer;
    struct token *token; /* NULL: none, or expired */
    msec_t got_at, good_until;
    struct token_wait *waiting; /* in no order */
    bool fetching;
    bool fresh; /* the answer that is due was got for those who wait */
    /* The last failure, while it holds. */
    struct err *err;
    msec_t failed_at, held_until;
    unsigned failures; /* in a row */
    unsigned refusals; /* by servers, each soon after the token was got, in a row */
};

struct token *token_ref(struct token *token)
{
    token->refs++;
    return token;
}

void token_unref(struct token *token)
{
    if (token && --token->refs == 0)
        mem_free_wiped(token);
}

static void keeper_drop(struct token_keeper *keeper)
{
    token_unref(keeper->token);
    keeper->token = NULL;
}

static void keeper_leave(struct token_wait *wait)
{
    struct token_keeper *keeper = wait->keeper;
    if (wait->previous)
        wait->previous->next = wait->next;
    else
        keeper->waiting = wait->next;
    if (wait->next)
        wait->next->previous = wait->previous;
    wait->keeper = NULL;
    wait->previous = wait->next = NULL;
}

/* One after the other: an owner may cancel others, or ask again, when it is told. */
static void keeper_tell(struct token_keeper *keeper, struct token *token, const struct err *err)
{
    bool fresh = keeper->fresh;
    struct token_wait *told = keeper->waiting, *wait;
    keeper->waiting = NULL;
    /* Those who ask meanwhile come to a list of their own, and are told in the next turn. */
    struct token_keeper only = {.waiting = told};
    for (wait = told; wait; wait = wait->next)
        wait->keeper = &only;
    while ((wait = only.waiting)) {
        keeper_leave(wait);
        wait->had(wait, token ? token_ref(token) : NULL, fresh, err);
    }
}

static void keeper_answer(void *ctx)
{
    struct token_keeper *keeper = ctx;
    msec_t now = net_loop_now(keeper->loop);
    if (keeper->fetching)
        return;
    keeper->fresh = keeper->fresh && keeper->waiting;
    if (!keeper->waiting)
        return;
    if (keeper->token && !keeper->fresh && now >= keeper->good_until)
        keeper_drop(keeper);
    if (!keeper->token && !(keeper->err && now < keeper->held_until)) {
        keeper->fetching = true;
        keeper->ops->fetch(keeper->source, keeper);
        return;
    }
    struct token *token = keeper->token ? token_ref(keeper->token) : NULL;
    struct err err = keeper->err ? *keeper->err : (struct err){.action = ERR_RETRY_LATER};
    token_keeper_ref(keeper);
    keeper_tell(keeper, token, token ? NULL : &err);
    keeper->fresh = false;
    token_unref(token);
    token_keeper_unref(keeper);
}

struct token_keeper *token_keeper_new(struct net_loop *loop, const struct token_source_ops *ops,
                                      void *moved_source)
{
    struct token_keeper *keeper = mem_new(struct token_keeper);
    keeper->refs = 1;
    keeper->loop = loop;
    keeper->ops = ops;
    keeper->source = moved_source;
    keeper->answer = net_deferred_new(loop, keeper_answer, keeper);
    return keeper;
}

struct token_keeper *token_keeper_ref(struct token_keeper *keeper)
{
    keeper->refs++;
    return keeper;
}

void token_keeper_unref(struct token_keeper *keeper)
{
    if (!keeper || --keeper->refs)
        return;
    assert(!keeper->waiting);
    keeper->ops->free(keeper->source);
    keeper_drop(keeper);
    net_deferred_free(keeper->answer);
    free(keeper->err);
    free(keeper);
}

void token_keeper_ask(struct token_keeper *keeper, struct token_wait *wait)
{
    assert(!wait->keeper);
    wait->keeper = keeper;
    wait->next = keeper->waiting;
    if (wait->next)
        wait->next->previous = wait;
    keeper->waiting = wait;
    net_deferred_schedule(keeper->answer);
}

void token_wait_cancel(struct token_wait *wait)
{
    if (wait->keeper)
        keeper_leave(wait);
}

static void keeper_hold(struct token_keeper *keeper, const struct err *err, msec_t span)
{
    err_keep(&keeper->err, err);
    keeper->failed_at = net_loop_now(keeper->loop);
    keeper->held_until = keeper->failed_at + span;
}

/* Who refuses what was just got has no more use for the next one: a server must not have the source
 * asked as often as it likes. */
void token_keeper_refused(struct token_keeper *keeper, const struct token *token)
{
    struct err err;
    if (keeper->token != token)
        return;
    keeper_drop(keeper);
    if (net_loop_now(keeper->loop) - keeper->got_at >= KEEPER_HOLD_MOST)
        keeper->refusals = 0;
    if (keeper->refusals) {
        err_set(&err, ERR_RETRY_LATER,
                "the server refuses each new access token: the next one is asked for later");
        keeper_hold(keeper, &err,
                    random_backoff(keeper->refusals - 1, KEEPER_HOLD_FIRST, KEEPER_HOLD_MOST));
    }
    keeper->refusals++;
}

bool token_keeper_spends(const struct token_keeper *keeper)
{
    return keeper->fetching && keeper->ops->spends;
}

void token_keeper_hurry(struct token_keeper *keeper)
{
    if (net_loop_now(keeper->loop) - keeper->failed_at >= KEEPER_HURRY)
        keeper->held_until = 0;
}

static msec_t keeper_span(const msec_t *lifetime)
{
    if (!lifetime)
        return KEEPER_UNKNOWN;
    msec_t margin = *lifetime / 8;
    return *lifetime - (margin < KEEPER_MARGIN_MOST ? margin : KEEPER_MARGIN_MOST);
}

static void keeper_fetched(struct token_keeper *keeper)
{
    keeper->fetching = false;
    keeper->fresh = true;
    net_deferred_schedule(keeper->answer);
}

void token_keeper_got(struct token_keeper *keeper, const char *text, const msec_t *lifetime)
{
    size_t size = strlen(text) + 1;
    keeper_drop(keeper);
    keeper->token = mem_alloc(sizeof *keeper->token + size);
    keeper->token->refs = 1;
    memcpy(keeper->token->text, text, size);
    keeper->got_at = net_loop_now(keeper->loop);
    keeper->good_until = keeper->got_at + keeper_span(lifetime);
    err_keep(&keeper->err, NULL);
    keeper->failures = 0;
    keeper_fetched(keeper);
}

void token_keeper_failed(struct token_keeper *keeper, const struct err *err)
{
    keeper_drop(keeper);
    msec_t hold = err->action == ERR_GIVE_UP
                      ? KEEPER_HOLD_PERSON
                      : random_backoff(keeper->failures, KEEPER_HOLD_FIRST, KEEPER_HOLD_MOST);
    keeper->failures++;
    keeper_hold(keeper, err, hold);
    keeper_fetched(keeper);
}
