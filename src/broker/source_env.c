/* Accounts from the environment. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "broker/source.h"

struct env_source {
    struct broker_source source;
    struct broker_account **accounts;
    size_t count;
};

static bool env_is(const struct broker_account *account, const char *ident, size_t len)
{
    /* strncasecmp() would stop at a NUL that both have: a known ident has none. */
    return strlen(account->ident) == len && !memchr(ident, '\0', len) &&
           !strncasecmp(account->ident, ident, len);
}

static struct broker_account *env_find(struct broker_source *source, const char *ident, size_t len,
                                       struct err *err)
{
    const struct env_source *env = (const struct env_source *)source;
    (void)err;
    for (size_t i = 0; i < env->count; i++)
        if (env_is(env->accounts[i], ident, len))
            return broker_account_ref(env->accounts[i]);
    return NULL;
}

static size_t env_count(const struct broker_source *source)
{
    return ((const struct env_source *)source)->count;
}

static void env_free(struct broker_source *source)
{
    struct env_source *env = (struct env_source *)source;
    for (size_t i = 0; i < env->count; i++)
        broker_account_unref(env->accounts[i]);
    free(env->accounts);
    free(env);
}

static const struct broker_source_kind env_kind = {
    .find = env_find,
    .count = env_count,
    .free = env_free,
};

/* The value of HPFEEDS_<ident>_<field>, or NULL. */
static const char *env_value(char *const *environ_list, const char *ident, const char *field)
{
    char *key = mem_printf("HPFEEDS_%s_%s=", ident, field);
    size_t len = strlen(key);
    const char *value = NULL;
    for (; *environ_list && !value; environ_list++)
        if (!strncmp(*environ_list, key, len))
            value = *environ_list + len;
    free(key);
    return value;
}

/* The ident in a variable HPFEEDS_<IDENT>_SECRET=…, or NULL: it is none, or has no value. */
static char *env_ident(const char *variable)
{
    static const char prefix[] = "HPFEEDS_", suffix[] = "_SECRET";
    size_t len = strcspn(variable, "="), before = sizeof prefix - 1, after = sizeof suffix - 1;
    if (variable[len] != '=' || !variable[len + 1])
        return NULL;
    if (len <= before + after || strncmp(variable, prefix, before) != 0 ||
        strncmp(variable + len - after, suffix, after) != 0)
        return NULL;
    return mem_strndup(variable + before, len - before - after);
}

static char *env_lower(const char *text)
{
    char *lower = mem_strdup(text);
    for (char *at = lower; *at; at++)
        *at = (char)tolower((unsigned char)*at);
    return lower;
}

/* `name` is the ident as the variables have it. */
static int env_add(struct env_source *env, char *const *environ_list, const char *name,
                   struct err *err)
{
    char *ident = env_lower(name);
    const char *owner = env_value(environ_list, name, "OWNER");
    int result = broker_account_check_name("environment: the ident", ident, err);
    if (!result) {
        struct broker_account *account = broker_account_new(
            ident, owner ? owner : ident, env_value(environ_list, name, "SECRET"));
        broker_account_split(env_value(environ_list, name, "PUBCHANS"), &account->pubchans);
        broker_account_split(env_value(environ_list, name, "SUBCHANS"), &account->subchans);
        env->accounts = mem_realloc_array(env->accounts, env->count + 1, sizeof *env->accounts);
        env->accounts[env->count++] = account;
    }
    free(ident);
    return result;
}

int broker_source_env_new(char *const *environ_list, struct broker_source **ret_source,
                          struct err *err)
{
    struct env_source *env = mem_new(struct env_source);
    env->source.kind = &env_kind;
    for (char *const *at = environ_list; *at; at++) {
        char *name = env_ident(*at);
        int result = name ? env_add(env, environ_list, name, err) : 0;
        free(name);
        if (result) {
            env_free(&env->source);
            return -1;
        }
    }
    *ret_source = &env->source;
    return 0;
}
