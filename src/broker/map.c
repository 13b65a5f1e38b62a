#include "broker/map.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

void broker_map_release(struct broker_map *map)
{
    for (size_t i = 0; i < map->count; i++)
        free(map->entries[i].key);
    free(map->entries);
    *map = (struct broker_map){0};
}

static int map_compare(const struct broker_map_entry *entry, const char *key, size_t len)
{
    if (entry->len != len)
        return entry->len < len ? -1 : 1;
    return memcmp(entry->key, key, len);
}

/* The index of the key, or of the place where it would stand. */
static size_t map_place(const struct broker_map *map, const char *key, size_t len)
{
    size_t low = 0, high = map->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (map_compare(&map->entries[middle], key, len) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool map_is_at(const struct broker_map *map, size_t place, const char *key, size_t len)
{
    return place < map->count && !map_compare(&map->entries[place], key, len);
}

void *broker_map_get(const struct broker_map *map, const char *key, size_t len)
{
    size_t place = map_place(map, key, len);
    return map_is_at(map, place, key, len) ? map->entries[place].value : NULL;
}

const char *broker_map_add(struct broker_map *map, const char *key, size_t len, void *value)
{
    size_t place = map_place(map, key, len);
    if (map->count == map->cap) {
        map->cap = map->cap ? map->cap * 2 : 8;
        map->entries = mem_realloc_array(map->entries, map->cap, sizeof *map->entries);
    }
    struct broker_map_entry *at = map->entries + place;
    memmove(at + 1, at, (map->count - place) * sizeof *at);
    map->count++;
    *at = (struct broker_map_entry){.key = mem_strndup(key, len), .len = len, .value = value};
    return at->key;
}

void broker_map_remove(struct broker_map *map, const char *key, size_t len)
{
    size_t place = map_place(map, key, len);
    if (!map_is_at(map, place, key, len))
        return;
    struct broker_map_entry *at = map->entries + place;
    free(at->key);
    map->count--;
    memmove(at, at + 1, (map->count - place) * sizeof *at);
}
