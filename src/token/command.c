/* Tokens of a command. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "conf/command.h"
#include "oauth/oauth.h"
#include "token/source.h"
#include "token/workers.h"

struct command_job;

struct token_command {
    struct token_workers *workers;
    struct token_keeper *keeper; /* who asked last */
    struct command_job *job;     /* NULL: nothing runs */
    char *words;
    size_t words_len;
    char *directory;
};

struct command_job {
    struct token_job job;
    struct token_command *owner; /* only looked at on the loop; see job.cancelled */
    struct conf_command command;
    char *words, *directory; /* of its own: the owner may be gone before it ends */
};

static void command_work(struct token_job *job)
{
    struct command_job *run = (struct command_job *)job;
    conf_command_run(&run->command, 1, CONF_COMMAND_TIME_LIMIT, &job->cancelled);
}

/* Its first line, in place. False: it is no token. */
static bool command_first_line(struct buf *out)
{
    char *line = buf_cstr(out); /* has room for the NUL: see conf_command_trim() */
    line[strcspn(line, "\r\n")] = '\0';
    return oauth_token_valid(line);
}

/* It may ask a server that is away; what cannot be started needs a person, but for what the machine
 * lacks at the moment. */
static enum err_action command_action(int start_error)
{
    switch (start_error) {
    case 0:
    case EMFILE:
    case ENFILE:
    case EAGAIN:
    case ENOMEM:
        return ERR_RETRY_LATER;
    default:
        return ERR_GIVE_UP;
    }
}

static void command_answer(struct token_command *source, struct command_job *run)
{
    struct err err;
    char *trouble = conf_command_trouble(&run->command);
    if (trouble) {
        err_set(&err, command_action(run->command.start_error), "token_command %s", trouble);
        token_keeper_failed(source->keeper, &err);
    } else if (!command_first_line(&run->command.out)) {
        err_set(&err, ERR_GIVE_UP, "the first line of token_command is no access token");
        token_keeper_failed(source->keeper, &err);
    } else {
        token_keeper_got(source->keeper, buf_cstr(&run->command.out), NULL);
    }
    free(trouble);
}

static void command_done(struct token_job *job)
{
    struct command_job *run = (struct command_job *)job;
    struct token_command *source = run->owner;
    if (!atomic_load(&job->cancelled)) {
        source->job = NULL;
        command_answer(source, run);
    }
    conf_command_release(&run->command);
    mem_wipe(run->words, run->command.words_len); /* may hold secrets */
    free(run->words);
    free(run->directory);
    free(run);
}

static void command_fetch(void *ctx, struct token_keeper *keeper)
{
    struct token_command *source = ctx;
    struct command_job *run = mem_new(struct command_job);
    source->keeper = keeper;
    source->job = run;
    run->owner = source;
    run->words = mem_strndup(source->words, source->words_len);
    run->directory = mem_strdup(source->directory);
    run->command = (struct conf_command){
        .words = run->words, .words_len = source->words_len, .directory = run->directory};
    run->job.work = command_work;
    run->job.done = command_done;
    token_workers_submit(source->workers, &run->job);
}

static void command_free(void *ctx)
{
    struct token_command *source = ctx;
    if (source->job)
        atomic_store(&source->job->job.cancelled, true);
    mem_wipe(source->words, source->words_len);
    free(source->words);
    free(source->directory);
    free(source);
}

static const struct token_source_ops command_ops = {.fetch = command_fetch, .free = command_free};

struct token_keeper *token_command_new(struct token_workers *workers, struct net_loop *loop,
                                       const char *words, size_t words_len, const char *directory)
{
    struct token_command *source = mem_new(struct token_command);
    source->workers = workers;
    source->words = mem_strndup(words, words_len);
    source->words_len = words_len;
    source->directory = mem_strdup(directory);
    return token_keeper_new(loop, &command_ops, source);
}
