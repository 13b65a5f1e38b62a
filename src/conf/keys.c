#include "conf/keys.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/text.h"
#include "conf/file.h"
#include "conf/yaml.h"

/* A key without a value, or of odd characters, may be a secret that lost its key: not shown. */
static bool conf_keys_showable(const struct conf_yaml_item *item, char out[64])
{
    const struct conf_yaml *key = item->key;
    if (key->kind != CONF_YAML_SCALAR || !key->len || key->len >= 64 ||
        conf_yaml_is_null(item->value))
        return false;
    for (size_t i = 0; i < key->len; i++) {
        char byte = key->text[i];
        bool letter = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
        bool inner = (byte >= '0' && byte <= '9') || byte == '_' || byte == '-';
        if (!letter && !(i && inner))
            return false;
    }
    snprintf(out, 64, "%.*s", (int)key->len, key->text);
    return true;
}

/* Only keys that are taken are worth a hint. */
static bool conf_keys_offered(const struct conf_key *key)
{
    return !key->instead && !key->unsupported;
}

static const struct conf_key *conf_keys_named(const char *name, const struct conf_key *known)
{
    while (known->name && strcmp(known->name, name) != 0)
        known++;
    return known->name ? known : NULL;
}

static const struct conf_key *conf_keys_find(const struct conf_yaml *name,
                                             const struct conf_key *known)
{
    for (; known->name; known++)
        if (conf_yaml_is(name, known->name))
            return known;
    return NULL;
}

/* The key that was likely meant, or NULL. */
static const struct conf_key *conf_keys_guess(const char *name, const struct conf_key *known)
{
    const struct conf_key *same = conf_keys_named(name, known);
    if (same)
        return conf_keys_named(same->instead, known);
    const char *names[CONF_KEYS_MOST + 1];
    size_t count = 0;
    for (const struct conf_key *key = known; key->name && count < CONF_KEYS_MOST; key++)
        if (conf_keys_offered(key))
            names[count++] = key->name;
    names[count] = NULL;
    const char *nearest = text_nearest(name, names);
    return nearest ? conf_keys_named(nearest, known) : NULL;
}

static void conf_keys_list(const struct conf_key *known, struct buf *out)
{
    for (; known->name; known++)
        if (conf_keys_offered(known))
            buf_printf(out, "%s%s", out->len ? ", " : "", known->name);
}

/* Nearest to no key that is known, it may be a part of a secret that was not in quotes: shown when
 * it looks like a key, all the same. */
static bool conf_keys_plain(const char *name)
{
    return name[strspn(name, "abcdefghijklmnopqrstuvwxyz_-")] == '\0';
}

/* A misspelt key fills the slot it was meant for, so that it is not reported as missing too. */
static void conf_keys_take_unknown(struct conf_file *file, const struct conf_yaml_item *item,
                                   const struct conf_key *known, struct conf_keys *keys)
{
    char name[64];
    bool shown = conf_keys_showable(item, name);
    const struct conf_key *guess = shown ? conf_keys_guess(name, known) : NULL;
    if (guess) {
        conf_file_error(file, item->key, "unknown key \"%s\": did you mean \"%s\"?", name,
                        guess->name);
        struct conf_entry *slot = &keys->slots[guess->slot];
        if (!slot->name)
            *slot = (struct conf_entry){guess->name, item->key, item->value};
        return;
    }
    struct buf all = {0};
    shown = shown && conf_keys_plain(name);
    conf_keys_list(known, &all);
    conf_file_error(file, item->key, "unknown key%s%s%s, expected one of %s", shown ? " \"" : "",
                    shown ? name : "", shown ? "\"" : "", buf_cstr(&all));
    buf_release(&all);
}

static void conf_keys_take(struct conf_file *file, const struct conf_yaml_item *item,
                           const struct conf_key *key, struct conf_keys *keys)
{
    struct conf_entry *slot = &keys->slots[key->slot];
    if (key->unsupported)
        conf_file_error(file, item->key, "\"%s\" %s", key->name, key->unsupported);
    if (!slot->name)
        *slot = (struct conf_entry){.name = key->name, .key = item->key, .value = item->value};
    else if (!strcmp(slot->name, key->name))
        conf_file_error(file, item->key, "\"%s\" is given twice, first in line %u", key->name,
                        slot->key->line);
    else
        conf_file_error(file, item->key,
                        "\"%s\" and \"%s\" (line %u) mean the same, expected one of them",
                        key->name, slot->name, slot->key->line);
}

/* Slots that are empty are filled from the merged map (https://yaml.org/type/merge.html). */
static void conf_keys_merge_map(struct conf_file *file, const struct conf_yaml *map,
                                const struct conf_key *known, struct conf_keys *keys)
{
    if (map->kind != CONF_YAML_MAP) {
        conf_file_error(file, map, "\"<<\" merges %s, expected a map or a list of maps",
                        conf_yaml_kind_name(map));
        return;
    }
    struct conf_keys merged;
    conf_keys_read(file, map, known, &merged);
    for (size_t i = 0; i < CONF_KEYS_MOST; i++)
        if (!keys->slots[i].name)
            keys->slots[i] = merged.slots[i];
}

static void conf_keys_merge(struct conf_file *file, const struct conf_yaml *value,
                            const struct conf_key *known, struct conf_keys *keys)
{
    if (value->kind != CONF_YAML_LIST) {
        conf_keys_merge_map(file, value, known, keys);
        return;
    }
    for (const struct conf_yaml_item *item = value->items; item; item = item->next)
        conf_keys_merge_map(file, item->value, known, keys);
}

bool conf_keys_is_merge(const struct conf_yaml_item *item)
{
    return item->key->plain && conf_yaml_is(item->key, "<<");
}

/* A key that this map takes, or NULL. */
static const struct conf_key *conf_keys_known(const struct conf_yaml_item *item,
                                              const struct conf_key *known)
{
    const struct conf_key *key = conf_keys_find(item->key, known);
    return key && !key->instead ? key : NULL;
}

void conf_keys_read(struct conf_file *file, const struct conf_yaml *map,
                    const struct conf_key *known, struct conf_keys *ret_keys)
{
    *ret_keys = (struct conf_keys){0};
    for (const struct conf_yaml_item *item = map->items; item; item = item->next) {
        const struct conf_key *key = conf_keys_known(item, known);
        if (key)
            conf_keys_take(file, item, key, ret_keys);
    }
    for (const struct conf_yaml_item *item = map->items; item; item = item->next)
        if (!conf_keys_is_merge(item) && !conf_keys_known(item, known))
            conf_keys_take_unknown(file, item, known, ret_keys);
    /* The map's own keys win over merged ones, wherever the "<<" stands. */
    for (const struct conf_yaml_item *item = map->items; item; item = item->next)
        if (conf_keys_is_merge(item))
            conf_keys_merge(file, item->value, known, ret_keys);
}
