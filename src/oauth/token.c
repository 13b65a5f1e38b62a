#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "oauth/reply.h"

void oauth_setup(void)
{
    json_set_alloc_funcs(malloc, mem_free_wiped);
}

bool oauth_token_valid(const char *token)
{
    size_t len = strlen(token);
    if (!len || len > OAUTH_TOKEN_MOST)
        return false;
    for (size_t i = 0; i < len; i++)
        if (token[i] <= ' ' || token[i] > '~')
            return false;
    return true;
}

void oauth_token_release(struct oauth_token *token)
{
    mem_free_secret(token->access);
    mem_free_secret(token->refresh);
    *token = (struct oauth_token){0};
}

static char *token_take(const json_t *object, const char *name)
{
    char *token = oauth_reply_text(object, name, OAUTH_TOKEN_MOST);
    if (token && oauth_token_valid(token))
        return token;
    mem_free_secret(token);
    return NULL;
}

/* Other types are used in other ways (RFC 6749 section 7.1); many providers do not say. */
static bool token_is_bearer(const json_t *object)
{
    const json_t *type = json_object_get(object, "token_type");
    return !type || (json_is_string(type) && !strcasecmp(json_string_value(type), "bearer"));
}

static int token_check(const json_t *object, const struct oauth_token *token, struct err *err)
{
    if (!token_is_bearer(object))
        return err_set(err, ERR_GIVE_UP, "its token is not of the type \"Bearer\"");
    if (!token->access)
        return err_set(err, ERR_RETRY_LATER, "its reply has no access_token that could be used");
    /* The old one may be void from now on, so this must not pass unnoticed. */
    if (!token->refresh && json_string_length(json_object_get(object, "refresh_token")))
        return err_set(err, ERR_RETRY_LATER, "its reply has a refresh_token that cannot be used");
    return 0;
}

int oauth_token_read(const struct oauth_reply *reply, const struct oauth_client *client,
                     const char *used, struct oauth_token *ret_token,
                     enum oauth_refusal *ret_refusal, struct err *err)
{
    const struct oauth_secrets secrets = {client, used};
    json_t *object = oauth_reply_object(reply, &secrets, ret_refusal, err);
    if (!object)
        return -1;
    struct oauth_token token = {
        .access = token_take(object, "access_token"),
        .refresh = token_take(object, "refresh_token"),
    };
    token.has_lifetime = oauth_reply_seconds(object, "expires_in", &token.lifetime);
    int result = token_check(object, &token, err);
    if (result < 0) {
        mem_free_secret(token.access);
        token = (struct oauth_token){.refresh = token.refresh};
        result = token.refresh ? 1 : -1;
    }
    if (result >= 0)
        *ret_token = token;
    json_decref(object);
    return result;
}
