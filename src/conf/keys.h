/* conf/keys.h: which keys a map may have, and which it has. Internal. */
#ifndef CONF_KEYS_H
#define CONF_KEYS_H

#include "conf/value.h"

struct conf_file;
struct conf_yaml;
struct conf_yaml_item;

enum {
    CONF_KEYS_MOST = 32
};

/* Two names with one slot are synonyms. */
struct conf_key {
    const char *name;        /* NULL ends a list of keys */
    unsigned slot;           /* < CONF_KEYS_MOST */
    const char *instead;     /* what the key that people guess is called here, or NULL */
    const char *unsupported; /* why it is not taken, or NULL */
};

/* What stands in the slots; `name` NULL is an empty one. */
struct conf_keys {
    struct conf_entry slots[CONF_KEYS_MOST];
};

/* Reads the keys of a map, `<<` merge keys followed, and reports those that are unknown, given
 * twice, or under two names. Values are not looked at. */
void conf_keys_read(struct conf_file *file, const struct conf_yaml *map,
                    const struct conf_key *known, struct conf_keys *ret_keys);
/* Is it a merge key, not one of the map's own? */
bool conf_keys_is_merge(const struct conf_yaml_item *item);

#endif
