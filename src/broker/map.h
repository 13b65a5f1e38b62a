/* broker/map.h: an ordered map from byte strings to pointers: channels, identities, addresses. */
#ifndef BROKER_MAP_H
#define BROKER_MAP_H

#include <stddef.h>

struct broker_map_entry {
    char *key; /* `len` bytes, any, and a NUL */
    size_t len;
    void *value;
};

/* All zero is a valid empty map. */
struct broker_map {
    struct broker_map_entry *entries; /* by length, then bytes */
    size_t count;
    size_t cap;
};

/* Frees the keys, not the values. */
void broker_map_release(struct broker_map *map);
/* NULL: not there. */
void *broker_map_get(const struct broker_map *map, const char *key, size_t len);
/* Adds a key that is not there; a copy of it is kept and returned, valid until it is removed. */
const char *broker_map_add(struct broker_map *map, const char *key, size_t len, void *value);
/* Takes out a key that is there. */
void broker_map_remove(struct broker_map *map, const char *key, size_t len);

#endif
