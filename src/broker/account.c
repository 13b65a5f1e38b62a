#include "broker/account.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"

enum {
    ACCOUNT_NAME_MAX = 255, /* what the wire's length byte can say */
};

static char **account_empty_list(void)
{
    return mem_zalloc(sizeof(char *));
}

static void account_free_list(char **list)
{
    for (char **at = list; at && *at; at++)
        free(*at);
    free(list);
}

struct broker_account *broker_account_new(const char *ident, const char *owner, const char *secret)
{
    struct broker_account *account = mem_new(struct broker_account);
    account->refs = 1;
    account->ident = mem_strdup(ident);
    account->owner = mem_strdup(owner);
    account->secret = mem_strdup(secret);
    account->pubchans = account_empty_list();
    account->subchans = account_empty_list();
    return account;
}

struct broker_account *broker_account_ref(struct broker_account *account)
{
    account->refs++;
    return account;
}

void broker_account_unref(struct broker_account *account)
{
    if (!account || --account->refs)
        return;
    free(account->ident);
    free(account->owner);
    mem_free_secret(account->secret);
    account_free_list(account->pubchans);
    account_free_list(account->subchans);
    free(account);
}

int broker_account_check_name(const char *what, const char *name, struct err *err)
{
    if (!*name)
        return err_set(err, ERR_GIVE_UP, "%s is empty", what);
    if (strlen(name) > ACCOUNT_NAME_MAX)
        return err_set(err, ERR_GIVE_UP, "%s is longer than %d bytes", what, ACCOUNT_NAME_MAX);
    if (!text_is_utf8(name, strlen(name)))
        return err_set(err, ERR_GIVE_UP, "%s is not UTF-8", what);
    return 0;
}

void broker_account_split(const char *text, char ***list)
{
    size_t count = 0;
    account_free_list(*list);
    *list = account_empty_list();
    for (const char *at = text; at && *at;) {
        size_t len = strcspn(at, ",");
        const char *first = at, *last = at + len;
        while (first < last && isblank((unsigned char)*first))
            first++;
        while (last > first && isblank((unsigned char)last[-1]))
            last--;
        if (last > first) {
            *list = mem_realloc_array(*list, count + 2, sizeof **list);
            (*list)[count++] = mem_strndup(first, (size_t)(last - first));
            (*list)[count] = NULL;
        }
        at += len + (at[len] == ',');
    }
}

int broker_account_take_list(const json_t *value, const char *what, char ***list, struct err *err)
{
    if (!json_is_array(value))
        return err_set(err, ERR_GIVE_UP, "\"%s\" is not a list", what);

    size_t count = json_array_size(value);
    char **names = mem_zalloc((count + 1) * sizeof *names);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        const char *name = json_string_value(json_array_get(value, i));
        if (!name) {
            err_set(err, ERR_GIVE_UP, "\"%s\": entry %zu is not a string", what, i + 1);
            goto failed;
        }
        if (!*name) /* what is left of "" that was split: no channel has that name */
            continue;
        if (broker_account_check_name("a channel", name, err)) {
            err_prefix(err, "\"%s\"", what);
            goto failed;
        }
        names[kept++] = mem_strdup(name);
    }
    account_free_list(*list);
    *list = names;
    return 0;

failed:
    account_free_list(names);
    return -1;
}

static bool account_list_has(char *const *list, const char *name, size_t len)
{
    for (; *list; list++)
        if (strlen(*list) == len && !memcmp(*list, name, len))
            return true;
    return false;
}

bool broker_account_may_publish(const struct broker_account *account, const char *channel,
                                size_t len)
{
    return account_list_has(account->pubchans, channel, len);
}

bool broker_account_may_subscribe(const struct broker_account *account, const char *channel,
                                  size_t len)
{
    return account_list_has(account->subchans, channel, len);
}
