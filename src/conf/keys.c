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

static const char *conf_keys_guess(const char *name, const struct conf_key *known)
{
    const char *names[2 * CONF_KEYS_MOST + 1];
    size_t count = 0;
    for (const struct conf_key *key = known; key->name && count < 2 * CONF_KEYS_MOST; key++)
        if (!key->instead && !key->unsupported)
            names[count++] = key->name;
    names[count] = NULL;
    return text_nearest(name, names);
}

static void conf_keys_unknown(struct conf_file *file, const struct conf_yaml_item *item,
                              const struct conf_key *known)
{
    char name[64];
    bool shown = conf_keys_showable(item, name);
    const char *guess = shown ? conf_keys_guess(name, known) : NULL;
    if (guess) {
        conf_file_error(file, item->key, "unknown key \"%s\": did you mean \"%s\"?", name, guess);
        return;
    }
    struct buf all = {0};
    for (const struct conf_key *key = known; key->name; key++)
        if (!key->instead && !key->unsupported)
            buf_printf(&all, "%s%s", all.len ? ", " : "", key->name);
    if (shown)
        conf_file_error(file, item->key, "unknown key \"%s\", expected one of %s", name,
                        buf_cstr(&all));
    else
        conf_file_error(file, item->key, "unknown key, expected one of %s", buf_cstr(&all));
    buf_release(&all);
}

static const struct conf_key *conf_keys_find(const struct conf_yaml *name,
                                             const struct conf_key *known)
{
    for (; known->name; known++)
        if (conf_yaml_is(name, known->name))
            return known;
    return NULL;
}

static void conf_keys_set(struct conf_file *file, const struct conf_yaml_item *item,
                          const struct conf_key *key, struct conf_keys *keys)
{
    struct conf_entry *slot = &keys->slots[key->slot];
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

static void conf_keys_take(struct conf_file *file, const struct conf_yaml_item *item,
                           const struct conf_key *known, struct conf_keys *keys)
{
    const struct conf_key *key = conf_keys_find(item->key, known);
    if (!key)
        conf_keys_unknown(file, item, known);
    else if (key->instead)
        conf_file_error(file, item->key, "unknown key \"%s\": did you mean \"%s\"?", key->name,
                        key->instead);
    else if (key->unsupported)
        conf_file_error(file, item->key, "\"%s\" %s", key->name, key->unsupported);
    if (key && !key->instead)
        conf_keys_set(file, item, key, keys);
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

static bool conf_keys_is_merge(const struct conf_yaml_item *item)
{
    return item->key->plain && conf_yaml_is(item->key, "<<");
}

void conf_keys_read(struct conf_file *file, const struct conf_yaml *map,
                    const struct conf_key *known, struct conf_keys *ret_keys)
{
    *ret_keys = (struct conf_keys){0};
    for (const struct conf_yaml_item *item = map->items; item; item = item->next)
        if (!conf_keys_is_merge(item))
            conf_keys_take(file, item, known, ret_keys);
    /* The map's own keys win over merged ones, wherever the "<<" stands. */
    for (const struct conf_yaml_item *item = map->items; item; item = item->next)
        if (conf_keys_is_merge(item))
            conf_keys_merge(file, item->value, known, ret_keys);
}
