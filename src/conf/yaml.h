/* conf/yaml.h: a YAML file as a tree that knows where each value stood. Internal.
 *
 * Made from libfyaml's events. Scalars stay as they were written; what they mean (a number, a
 * switch, plain text) is decided by the key they belong to (conf/value.h), so that a password of
 * digits stays a password. Aliases are edges to the same node: nothing is expanded. */
#ifndef CONF_YAML_H
#define CONF_YAML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct conf_file;
struct conf_pool;

enum conf_yaml_kind {
    CONF_YAML_SCALAR,
    CONF_YAML_LIST,
    CONF_YAML_MAP,
};

struct conf_yaml {
    union {
        const char *text; /* of a scalar: not NUL-terminated */
        struct conf_yaml_item *items;
    };
    uint32_t len; /* of the text, or how many items */
    uint32_t line;
    uint32_t column;
    uint32_t weight; /* of all that hangs on it, aliases followed */
    uint8_t kind;    /* enum conf_yaml_kind */
    uint8_t depth;   /* likewise */
    bool plain;      /* a scalar without quotes */
    bool open;       /* while it is built */
};

struct conf_yaml_item {
    struct conf_yaml_item *next;
    const struct conf_yaml *key; /* of a map; NULL in a list */
    const struct conf_yaml *value;
};

/* Parses the file's content. The nodes live in `nodes` and point into the content. Returns 0 and
 * the root, NULL for a file without a value in it; -1 when something is reported. */
int conf_yaml_load(struct conf_file *file, struct conf_pool *nodes,
                   const struct conf_yaml **ret_root);
/* Nothing at all, `~` or `null`. */
bool conf_yaml_is_null(const struct conf_yaml *node);
/* "a list", "a map", "text". */
const char *conf_yaml_kind_name(const struct conf_yaml *node);
/* Is it the scalar `text`? */
bool conf_yaml_is(const struct conf_yaml *node, const char *text);

#endif
