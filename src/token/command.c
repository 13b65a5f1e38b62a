/* Tokens of a command. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "token/source.h"
#include "token/workers.h"

struct token_command {
    struct token_workers *workers;
    struct token_keeper *keeper; /* who asked last */
    struct token_job *job;       /* NULL: nothing runs */
    uint8_t key[TOKEN_KEY];
};

static void command_done(void *ctx, int result, const char *token, const struct err *err)
{
    struct token_command *source = ctx;
    source->job = NULL;
    if (result < 0)
        token_keeper_failed(source->keeper, err);
    else
        token_keeper_got(source->keeper, token, NULL);
}

static void command_fetch(void *ctx, struct token_keeper *keeper)
{
    struct token_command *source = ctx;
    source->keeper = keeper;
    source->job =
        token_workers_submit(source->workers, TOKEN_RUN, source->key, NULL, command_done, source);
}

static void command_free(void *ctx)
{
    struct token_command *source = ctx;
    token_job_cancel(source->job);
    free(source);
}

static const struct token_source_ops command_ops = {.fetch = command_fetch, .free = command_free};

struct token_keeper *token_command_new(struct token_workers *workers, struct net_loop *loop,
                                       const uint8_t key[TOKEN_KEY])
{
    struct token_command *source = mem_new(struct token_command);
    source->workers = workers;
    memcpy(source->key, key, TOKEN_KEY);
    return token_keeper_new(loop, &command_ops, source);
}
