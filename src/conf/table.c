#include "conf/table.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum {
    TABLE_CAP_FIRST = 16
};

struct conf_table_slot {
    const char *key;
    void *value; /* NULL: free */
    size_t len;
    uint64_t hash;
};

void conf_table_release(struct conf_table *table)
{
    free(table->slots);
    *table = (struct conf_table){0};
}

/* FNV-1a: the keys are the operator's own words, not an attacker's. */
static uint64_t conf_table_hash(const char *key, size_t len)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (uint8_t)key[i]) * 0x100000001b3u;
    return hash ^ hash >> 32;
}

/* Where the key stands, or the free slot it would get. */
static struct conf_table_slot *conf_table_find(const struct conf_table *table, const char *key,
                                               size_t len, uint64_t hash)
{
    size_t at = (size_t)hash & (table->cap - 1);
    for (;; at = (at + 1) & (table->cap - 1)) {
        struct conf_table_slot *slot = &table->slots[at];
        if (!slot->value)
            return slot;
        if (slot->hash == hash && slot->len == len && !memcmp(slot->key, key, len))
            return slot;
    }
}

static void conf_table_grow(struct conf_table *table)
{
    struct conf_table grown = {.cap = table->cap ? table->cap * 2 : TABLE_CAP_FIRST,
                               .count = table->count};
    grown.slots = mem_realloc_array(NULL, grown.cap, sizeof *grown.slots);
    memset(grown.slots, 0, grown.cap * sizeof *grown.slots);
    for (size_t i = 0; i < table->cap; i++) {
        const struct conf_table_slot *slot = &table->slots[i];
        if (slot->value)
            *conf_table_find(&grown, slot->key, slot->len, slot->hash) = *slot;
    }
    free(table->slots);
    *table = grown;
}

void *conf_table_get(const struct conf_table *table, const char *key, size_t len)
{
    if (!table->cap)
        return NULL;
    return conf_table_find(table, key, len, conf_table_hash(key, len))->value;
}

void conf_table_put(struct conf_table *table, const char *key, size_t len, void *value)
{
    if (table->count >= table->cap / 2)
        conf_table_grow(table);
    uint64_t hash = conf_table_hash(key, len);
    struct conf_table_slot *slot = conf_table_find(table, key, len, hash);
    if (!slot->value)
        table->count++;
    *slot = (struct conf_table_slot){.key = key, .value = value, .len = len, .hash = hash};
}
