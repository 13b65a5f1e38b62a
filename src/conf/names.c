#include "conf/names.h"

#include <stdint.h>
#include <string.h>

#include "base/text.h"
#include "conf/file.h"
#include "conf/pool.h"
#include "conf/table.h"
#include "conf/yaml.h"

enum {
    NAMES_SHOWN = 120
};

/* Two spellings of one name may have been given: the checked one is shown. */
static bool conf_names_is_new(struct conf_file *file, const struct conf_entry *entry,
                              struct conf_table *seen, const char *name)
{
    char shown[NAMES_SHOWN];
    size_t len = strlen(name);
    bool known = conf_table_get(seen, name, len);
    conf_table_put(seen, name, len, seen);
    if (known)
        conf_file_error(file, entry->value, "\"%s\" names \"%s\" twice", entry->name,
                        text_escape_utf8(shown, sizeof shown, name, len));
    return !known;
}

static bool conf_names_read_list(struct conf_file *file, const struct conf_entry *entry,
                                 conf_names_check *check, char **names)
{
    struct conf_table seen = {0};
    bool good = true;
    size_t count = 0;
    for (const struct conf_yaml_item *item = entry->value->items; item; item = item->next) {
        struct conf_entry one = {.name = entry->name, .key = entry->key, .value = item->value};
        char *name;
        if (check(file, &one, &name) && conf_names_is_new(file, &one, &seen, name))
            names[count++] = name;
        else
            good = false;
    }
    conf_table_release(&seen);
    return good;
}

bool conf_names_read(struct conf_file *file, const struct conf_entry *entry,
                     conf_names_check *check, char ***ret_names, size_t *ret_count)
{
    const struct conf_yaml *value = entry->value;
    bool list = value->kind == CONF_YAML_LIST;
    if (value->kind == CONF_YAML_MAP || conf_yaml_is_null(value) || (list && !value->len)) {
        conf_file_error(file, value, "\"%s\" is %s, expected a list of names", entry->name,
                        list ? "empty" : conf_yaml_kind_name(value));
        return false;
    }
    size_t count = list ? value->len : 1;
    char **names = conf_pool_alloc(file->pool, count * sizeof *names);
    bool good =
        list ? conf_names_read_list(file, entry, check, names) : check(file, entry, &names[0]);
    if (good) {
        *ret_names = names;
        *ret_count = count;
    }
    return good;
}
