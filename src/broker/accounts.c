#include "broker/accounts.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/text.h"

enum {
    ACCOUNTS_NAME_MAX = 255, /* what the wire's length byte can say */
};

struct accounts_entry {
    struct broker_account account;
    bool any_case; /* from the environment, where idents are written in capitals */
};

struct broker_accounts {
    struct accounts_entry *entries;
    size_t count;
};

struct broker_accounts *broker_accounts_new(void)
{
    return mem_new(struct broker_accounts);
}

static void accounts_free_list(char **list)
{
    for (char **at = list; at && *at; at++)
        free(*at);
    free(list);
}

static void accounts_release_entry(struct accounts_entry *entry)
{
    free(entry->account.ident);
    free(entry->account.owner);
    mem_free_secret(entry->account.secret);
    accounts_free_list(entry->account.pubchans);
    accounts_free_list(entry->account.subchans);
}

/* Forgets the accounts from number `count` on. */
static void accounts_cut(struct broker_accounts *accounts, size_t count)
{
    while (accounts->count > count)
        accounts_release_entry(&accounts->entries[--accounts->count]);
}

void broker_accounts_free(struct broker_accounts *accounts)
{
    if (!accounts)
        return;
    accounts_cut(accounts, 0);
    free(accounts->entries);
    free(accounts);
}

/* A new entry, all zero, to be filled at once. */
static struct accounts_entry *accounts_append(struct broker_accounts *accounts)
{
    accounts->entries =
        mem_realloc_array(accounts->entries, accounts->count + 1, sizeof *accounts->entries);
    struct accounts_entry *entry = &accounts->entries[accounts->count++];
    *entry = (struct accounts_entry){0};
    return entry;
}

static bool accounts_equal(const char *known, const char *name, size_t len)
{
    return strlen(known) == len && !memcmp(known, name, len);
}

static bool accounts_entry_is(const struct accounts_entry *entry, const char *ident, size_t len)
{
    const char *known = entry->account.ident;
    if (!entry->any_case)
        return accounts_equal(known, ident, len);
    /* strncasecmp() would stop at a NUL that both have: a known ident has none. */
    return strlen(known) == len && !memchr(ident, '\0', len) && !strncasecmp(known, ident, len);
}

const struct broker_account *broker_accounts_find(const struct broker_accounts *accounts,
                                                  const char *ident, size_t len)
{
    for (size_t i = 0; i < accounts->count; i++)
        if (accounts_entry_is(&accounts->entries[i], ident, len))
            return &accounts->entries[i].account;
    return NULL;
}

size_t broker_accounts_count(const struct broker_accounts *accounts)
{
    return accounts->count;
}

static bool accounts_list_has(char *const *list, const char *name, size_t len)
{
    for (; *list; list++)
        if (accounts_equal(*list, name, len))
            return true;
    return false;
}

bool broker_account_may_publish(const struct broker_account *account, const char *channel,
                                size_t len)
{
    return accounts_list_has(account->pubchans, channel, len);
}

bool broker_account_may_subscribe(const struct broker_account *account, const char *channel,
                                  size_t len)
{
    return accounts_list_has(account->subchans, channel, len);
}

static int accounts_check_name(const char *what, const char *name, struct err *err)
{
    if (!*name)
        return err_set(err, ERR_GIVE_UP, "%s is empty", what);
    if (strlen(name) > ACCOUNTS_NAME_MAX)
        return err_set(err, ERR_GIVE_UP, "%s is longer than %d bytes", what, ACCOUNTS_NAME_MAX);
    if (!text_is_utf8(name, strlen(name)))
        return err_set(err, ERR_GIVE_UP, "%s is not UTF-8", what);
    return 0;
}

/* "a,b" as a list; NULL gives an empty one. Empty names, as between two commas, are dropped. */
static char **accounts_split(const char *text)
{
    size_t count = 0;
    char **list = mem_realloc_array(NULL, 1, sizeof *list);
    for (const char *at = text; at && *at;) {
        size_t len = strcspn(at, ",");
        const char *first = at, *last = at + len;
        while (first < last && isblank((unsigned char)*first))
            first++;
        while (last > first && isblank((unsigned char)last[-1]))
            last--;
        if (last > first) {
            list = mem_realloc_array(list, count + 2, sizeof *list);
            list[count++] = mem_strndup(first, (size_t)(last - first));
        }
        at += len + (at[len] == ',');
    }
    list[count] = NULL;
    return list;
}

/* The value of HPFEEDS_<ident>_<field>, or NULL. */
static const char *accounts_env(char *const *environ_list, const char *ident, const char *field)
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
static char *accounts_env_ident(const char *variable)
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

static char *accounts_lower(const char *text)
{
    char *lower = mem_strdup(text);
    for (char *at = lower; *at; at++)
        *at = (char)tolower((unsigned char)*at);
    return lower;
}

int broker_accounts_add_env(struct broker_accounts *accounts, char *const *environ_list,
                            struct err *err)
{
    size_t before = accounts->count;
    for (char *const *at = environ_list; *at; at++) {
        char *name = accounts_env_ident(*at);
        if (!name)
            continue;
        struct accounts_entry *entry = accounts_append(accounts);
        const char *owner = accounts_env(environ_list, name, "OWNER");
        entry->any_case = true;
        entry->account.ident = accounts_lower(name);
        entry->account.owner = mem_strdup(owner ? owner : entry->account.ident);
        entry->account.secret = mem_strdup(accounts_env(environ_list, name, "SECRET"));
        entry->account.pubchans = accounts_split(accounts_env(environ_list, name, "PUBCHANS"));
        entry->account.subchans = accounts_split(accounts_env(environ_list, name, "SUBCHANS"));
        free(name);
        if (accounts_check_name("environment: the ident", entry->account.ident, err)) {
            accounts_cut(accounts, before);
            return -1;
        }
    }
    return 0;
}

static int accounts_json_string(const json_t *object, const char *key, char **ret_text,
                                struct err *err)
{
    const json_t *value = json_object_get(object, key);
    if (!value)
        return err_set(err, ERR_GIVE_UP, "\"%s\" is missing", key);
    if (!json_is_string(value))
        return err_set(err, ERR_GIVE_UP, "\"%s\" is not a string", key);
    *ret_text = mem_strdup(json_string_value(value));
    return 0;
}

static int accounts_json_list(const json_t *object, const char *key, char ***ret_list,
                              struct err *err)
{
    const json_t *value = json_object_get(object, key);
    if (!value)
        return err_set(err, ERR_GIVE_UP, "\"%s\" is missing", key);
    if (!json_is_array(value))
        return err_set(err, ERR_GIVE_UP, "\"%s\" is not a list", key);

    size_t count = json_array_size(value);
    char **list = mem_zalloc((count + 1) * sizeof *list);
    for (size_t i = 0; i < count; i++) {
        const char *name = json_string_value(json_array_get(value, i));
        if (!name) {
            err_set(err, ERR_GIVE_UP, "\"%s\": entry %zu is not a string", key, i + 1);
            goto failed;
        }
        if (accounts_check_name("a channel", name, err)) {
            err_prefix(err, "\"%s\"", key);
            goto failed;
        }
        list[i] = mem_strdup(name);
    }
    *ret_list = list;
    return 0;

failed:
    accounts_free_list(list);
    return -1;
}

static int accounts_add_object(struct broker_accounts *accounts, const char *ident,
                               const json_t *object, struct err *err)
{
    if (accounts_check_name("the ident", ident, err))
        return -1;
    if (!json_is_object(object))
        return err_set(err, ERR_GIVE_UP, "not an object");

    struct broker_account *account = &accounts_append(accounts)->account;
    account->ident = mem_strdup(ident);
    if (accounts_json_string(object, "owner", &account->owner, err) ||
        accounts_json_string(object, "secret", &account->secret, err) ||
        accounts_json_list(object, "pubchans", &account->pubchans, err) ||
        accounts_json_list(object, "subchans", &account->subchans, err))
        return -1;
    if (!*account->secret)
        return err_set(err, ERR_GIVE_UP, "\"secret\" is empty");
    return 0;
}

static json_t *accounts_load(const char *path, struct err *err)
{
    json_error_t where;
    json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, &where);
    if (root && json_is_object(root))
        return root;

    char text[200];
    text_escape_utf8(text, sizeof text, where.text, strlen(where.text));
    if (root)
        err_set(err, ERR_GIVE_UP, "%s: not an object of accounts", path);
    else if (json_error_code(&where) == json_error_cannot_open_file)
        err_set(err, ERR_GIVE_UP, "%s: %s", path, strerror(errno));
    else
        err_set(err, ERR_GIVE_UP, "%s:%d:%d: %s", path, where.line, where.column, text);
    json_decref(root);
    return NULL;
}

int broker_accounts_add_json(struct broker_accounts *accounts, const char *path, struct err *err)
{
    json_t *root = accounts_load(path, err);
    if (!root)
        return -1;

    size_t before = accounts->count;
    const char *ident;
    json_t *object;
    int result = 0;
    json_object_foreach(root, ident, object)
    {
        char name[120];
        result = accounts_add_object(accounts, ident, object, err);
        if (result) {
            err_prefix(err, "%s: account \"%s\"", path,
                       text_escape_utf8(name, sizeof name, ident, strlen(ident)));
            accounts_cut(accounts, before);
            break;
        }
    }
    json_decref(root);
    return result;
}
