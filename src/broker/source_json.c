/* Accounts from a file of JSON, read again when it has changed. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "broker/map.h"
#include "broker/source.h"

enum {
    /* A file that was written so short a time ago may be written again without its times
     * changing: their grain is that of the kernel's ticks, or on some file systems a second. */
    JSON_FRESH_S = 3,
};

struct json_source {
    struct broker_source source;
    char *path;
    struct broker_map accounts;
    struct stat status; /* of what was read last, good or not */
    bool fresh;         /* it may have changed since without showing it */
};

static void json_free_accounts(struct broker_map *accounts)
{
    for (size_t i = 0; i < accounts->count; i++)
        broker_account_unref(accounts->entries[i].value);
    broker_map_release(accounts);
}

static int json_take_string(const json_t *object, const char *key, const char **ret_text,
                            struct err *err)
{
    const json_t *value = json_object_get(object, key);
    if (!value)
        return err_set(err, ERR_GIVE_UP, "\"%s\" is missing", key);
    if (!json_is_string(value))
        return err_set(err, ERR_GIVE_UP, "\"%s\" is not a string", key);
    *ret_text = json_string_value(value);
    return 0;
}

/* That it is nobody's may be said by null. */
static int json_take_owner(const json_t *object, const char **ret_owner, struct err *err)
{
    if (!json_is_null(json_object_get(object, "owner")))
        return json_take_string(object, "owner", ret_owner, err);
    *ret_owner = "";
    return 0;
}

static int json_take_list(const json_t *object, const char *key, char ***list, struct err *err)
{
    const json_t *value = json_object_get(object, key);
    if (!value)
        return err_set(err, ERR_GIVE_UP, "\"%s\" is missing", key);
    return broker_account_take_list(value, key, list, err);
}

static int json_add(struct broker_map *accounts, const char *ident, const json_t *object,
                    struct err *err)
{
    const char *owner = NULL, *secret = NULL;
    if (broker_account_check_name("the ident", ident, err))
        return -1;
    if (!json_is_object(object))
        return err_set(err, ERR_GIVE_UP, "not an object");
    if (json_take_owner(object, &owner, err) || json_take_string(object, "secret", &secret, err))
        return -1;
    if (!*secret)
        return err_set(err, ERR_GIVE_UP, "\"secret\" is empty");

    struct broker_account *account = broker_account_new(ident, owner, secret);
    if (json_take_list(object, "pubchans", &account->pubchans, err) ||
        json_take_list(object, "subchans", &account->subchans, err)) {
        broker_account_unref(account);
        return -1;
    }
    broker_map_add(accounts, ident, strlen(ident), account);
    return 0;
}

static json_t *json_load(const char *path, struct err *err)
{
    json_error_t where;
    json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, &where);
    if (json_is_object(root)) /* and not NULL */
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

/* All or nothing of the file. */
static int json_read(const char *path, struct broker_map *ret_accounts, struct err *err)
{
    json_t *root = json_load(path, err);
    if (!root)
        return -1;
    struct broker_map accounts = {0};
    const char *ident;
    json_t *object;
    int result = 0;
    json_object_foreach(root, ident, object)
    {
        char name[120];
        result = json_add(&accounts, ident, object, err);
        if (result) {
            err_prefix(err, "%s: account \"%s\"", path,
                       text_escape_utf8(name, sizeof name, ident, strlen(ident)));
            json_free_accounts(&accounts);
            break;
        }
    }
    if (!result)
        *ret_accounts = accounts;
    json_decref(root);
    return result;
}

static bool json_is_same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool json_has_changed(const struct json_source *json, const struct stat *now)
{
    const struct stat *then = &json->status;
    return json->fresh || now->st_ino != then->st_ino || now->st_dev != then->st_dev ||
           now->st_size != then->st_size || !json_is_same_time(now->st_mtim, then->st_mtim) ||
           !json_is_same_time(now->st_ctim, then->st_ctim);
}

/* A time that is still to come was set by hand, or the clock was: no change of now has it. */
static bool json_is_fresh(time_t now, struct timespec then)
{
    return now - then.tv_sec < JSON_FRESH_S && then.tv_sec - now < JSON_FRESH_S;
}

/* Before the file is read: what is written meanwhile is seen next time. */
static void json_note(struct json_source *json, const struct stat *status)
{
    time_t now = time(NULL);
    json->status = *status;
    json->fresh = json_is_fresh(now, status->st_mtim) || json_is_fresh(now, status->st_ctim);
}

static bool json_lists_equal(char *const *a, char *const *b)
{
    while (*a && *b && !strcmp(*a, *b)) {
        a++;
        b++;
    }
    return !*a && !*b;
}

static bool json_maps_equal(const struct broker_map *a, const struct broker_map *b)
{
    bool equal = a->count == b->count;
    for (size_t i = 0; i < a->count && equal; i++) {
        const struct broker_account *one = a->entries[i].value, *other = b->entries[i].value;
        equal = !strcmp(one->ident, other->ident) && !strcmp(one->owner, other->owner) &&
                !strcmp(one->secret, other->secret) &&
                json_lists_equal(one->pubchans, other->pubchans) &&
                json_lists_equal(one->subchans, other->subchans);
    }
    return equal;
}

static void json_refresh(struct broker_source *source)
{
    struct json_source *json = (struct json_source *)source;
    struct stat status;
    struct broker_map accounts;
    struct err err;
    /* A file that is not there is one that is being replaced. */
    if (stat(json->path, &status) || !json_has_changed(json, &status))
        return;
    bool again = json->fresh;
    json_note(json, &status);
    if (json_read(json->path, &accounts, &err)) {
        if (!again || !json->fresh)
            log_error(NULL, "%s; the accounts stay as they were", err.text);
        return;
    }
    if (json_maps_equal(&json->accounts, &accounts)) {
        json_free_accounts(&accounts);
        return;
    }
    json_free_accounts(&json->accounts);
    json->accounts = accounts;
    log_info(NULL, "%s: read again, %zu account%s", json->path, accounts.count,
             accounts.count == 1 ? "" : "s");
}

static struct broker_account *json_find(struct broker_source *source, const char *ident, size_t len,
                                        struct err *err)
{
    struct json_source *json = (struct json_source *)source;
    (void)err;
    struct broker_account *account = broker_map_get(&json->accounts, ident, len);
    return account ? broker_account_ref(account) : NULL;
}

static size_t json_count(const struct broker_source *source)
{
    return ((const struct json_source *)source)->accounts.count;
}

static void json_free(struct broker_source *source)
{
    struct json_source *json = (struct json_source *)source;
    json_free_accounts(&json->accounts);
    free(json->path);
    free(json);
}

static const struct broker_source_kind json_kind = {
    .find = json_find,
    .refresh = json_refresh,
    .count = json_count,
    .free = json_free,
};

int broker_source_json_new(const char *path, struct broker_source **ret_source, struct err *err)
{
    struct broker_map accounts;
    struct stat status = {0};
    int missing = stat(path, &status);
    if (json_read(path, &accounts, err))
        return -1;
    struct json_source *json = mem_new(struct json_source);
    json->source.kind = &json_kind;
    json->path = mem_strdup(path);
    json->accounts = accounts;
    if (!missing)
        json_note(json, &status);
    *ret_source = &json->source;
    return 0;
}
