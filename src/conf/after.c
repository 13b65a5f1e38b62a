#include "conf/after.h"

#include <string.h>
#include <strings.h>

#include "conf/check.h"
#include "conf/file.h"
#include "conf/keys.h"
#include "conf/yaml.h"

static const char after_expected[] = "seen, none, delete, {move: FOLDER} or {keyword: NAME}";

static const struct conf_key after_keys[] = {
    {.name = "move", .slot = CONF_AFTER_MOVE},
    {.name = "keyword", .slot = CONF_AFTER_KEYWORD},
    {0},
};

static bool conf_after_name(struct conf_file *file, const struct conf_entry *entry,
                            enum conf_after after, char **ret_name)
{
    return after == CONF_AFTER_MOVE ? conf_check_folder(file, entry, ret_name)
                                    : conf_check_keyword(file, entry, ret_name);
}

static bool conf_after_read_map(struct conf_file *file, const struct conf_entry *entry,
                                enum conf_after *ret_after, char **ret_name)
{
    struct conf_keys keys;
    conf_keys_read(file, entry->value, after_keys, &keys);
    const struct conf_entry *move = &keys.slots[CONF_AFTER_MOVE];
    const struct conf_entry *keyword = &keys.slots[CONF_AFTER_KEYWORD];
    if (!move->name == !keyword->name) {
        conf_file_error(file, entry->value, "\"%s\" has %s, expected %s", entry->name,
                        move->name ? "two things to do" : "nothing to do", after_expected);
        return false;
    }
    enum conf_after after = move->name ? CONF_AFTER_MOVE : CONF_AFTER_KEYWORD;
    if (!conf_after_name(file, move->name ? move : keyword, after, ret_name))
        return false;
    *ret_after = after;
    return true;
}

/* "move: Trash" in quotes, or move:Trash: the name is taken as if it stood alone. */
static bool conf_after_read_text(struct conf_file *file, const struct conf_entry *entry,
                                 enum conf_after after, size_t skip, char **ret_name)
{
    struct conf_yaml name = *entry->value;
    name.text += skip;
    name.len -= (uint32_t)skip;
    while (name.len && *name.text == ' ') {
        name.text++;
        name.len--;
    }
    /* The column stays where the value begins: a copy is not to be seen by anyone else. */
    struct conf_entry alone = {.name = entry->name, .key = entry->key, .value = &name};
    return conf_after_name(file, &alone, after, ret_name);
}

bool conf_after_read(struct conf_file *file, const struct conf_entry *entry,
                     enum conf_after *ret_after, char **ret_name)
{
    static const char *const words[] = {"seen", "none", "delete", "move:", "keyword:"};
    const struct conf_yaml *value = entry->value;
    if (value->kind == CONF_YAML_MAP)
        return conf_after_read_map(file, entry, ret_after, ret_name);
    if (!conf_value_scalar(file, entry, after_expected))
        return false;
    for (unsigned i = 0; i < sizeof words / sizeof *words; i++) {
        size_t len = strlen(words[i]);
        bool named = i >= CONF_AFTER_MOVE;
        if (value->len < len || (!named && value->len != len) ||
            strncasecmp(value->text, words[i], len))
            continue;
        char *name = NULL;
        if (named && !conf_after_read_text(file, entry, (enum conf_after)i, len, &name))
            return false;
        *ret_after = (enum conf_after)i;
        *ret_name = name;
        return true;
    }
    conf_file_error(file, value, "\"%s\" is none of its values, expected %s", entry->name,
                    after_expected);
    return false;
}
