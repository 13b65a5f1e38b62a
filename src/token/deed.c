#include "token/deed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "conf/command.h"
#include "oauth/oauth.h"
#include "token/store.h"

/* Its first line. NULL: it is no token. */
static char *deed_first_line(struct buf *out)
{
    char *line = buf_cstr(out); /* has room for the NUL: see conf_command_trim() */
    line[strcspn(line, "\r\n")] = '\0';
    return oauth_token_valid(line) ? mem_strdup(line) : NULL;
}

/* It may ask a server that is away; what cannot be started needs a person, but for what the machine
 * lacks at the moment. */
static enum err_action deed_action(int start_error)
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

static int deed_take(struct conf_command *command, char **ret_token, struct err *err)
{
    char *trouble = conf_command_trouble(command);
    char *token = trouble ? NULL : deed_first_line(&command->out);
    if (trouble)
        err_set(err, deed_action(command->start_error), "token_command %s", trouble);
    else if (!token)
        err_set(err, ERR_GIVE_UP, "the first line of token_command is no access token");
    free(trouble);
    if (!token)
        return -1;
    *ret_token = token;
    return 0;
}

static int deed_run(const struct token_means *means, const atomic_bool *cancelled, char **ret_token,
                    struct err *err)
{
    struct conf_command command = {
        .words = means->command,
        .words_len = means->command_len,
        .directory = means->directory,
    };
    conf_command_run(&command, 1, CONF_COMMAND_TIME_LIMIT, cancelled);
    int result = deed_take(&command, ret_token, err);
    conf_command_release(&command);
    return result;
}

int token_deed_do(const struct token_means *means, const struct token_deed *deed, char **ret_token,
                  struct err *err)
{
    if (deed->kind == TOKEN_RUN && means->command)
        return deed_run(means, deed->cancelled, ret_token, err);
    if (deed->kind == TOKEN_READ && means->file)
        return token_store_read(means->file, ret_token, err);
    if (deed->kind == TOKEN_WRITE && means->file) {
        if (token_store_write(means->file, deed->token, err) < 0)
            return -1;
        *ret_token = NULL;
        return 0;
    }
    return err_set(err, ERR_GIVE_UP, "the account has no %s",
                   deed->kind == TOKEN_RUN ? "token_command" : "place for a refresh token");
}
