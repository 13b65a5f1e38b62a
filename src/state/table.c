#include "state/table.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* Where the name is, or where it would have to be put. */
static size_t state_table_position(const struct state_table *table, const char *account,
                                   const char *folder, bool *ret_found)
{
    size_t low = 0, high = table->count;
    *ret_found = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct state_entry *entry = table->by_name[middle];
        int order = strcmp(account, entry->account);
        if (!order)
            order = strcmp(folder, entry->folder);
        if (!order) {
            *ret_found = true;
            return middle;
        }
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

struct state_entry *state_table_find(const struct state_table *table, const char *account,
                                     const char *folder)
{
    bool found;
    size_t position = state_table_position(table, account, folder, &found);
    return found ? table->by_name[position] : NULL;
}

struct state_entry *state_table_add(struct state_table *table, const char *account,
                                    const char *folder, size_t size)
{
    if (table->count == table->cap) {
        table->cap = table->cap ? table->cap * 2 : 16;
        table->by_name = mem_realloc_array(table->by_name, table->cap, sizeof *table->by_name);
        table->by_number =
            mem_realloc_array(table->by_number, table->cap, sizeof *table->by_number);
    }
    bool found;
    size_t position = state_table_position(table, account, folder, &found);
    struct state_entry *entry = mem_zalloc(size);
    memmove(table->by_name + position + 1, table->by_name + position,
            (table->count - position) * sizeof *table->by_name);
    table->by_name[position] = entry;
    table->by_number[table->count++] = entry;
    entry->number = (uint32_t)table->count;
    entry->account = mem_strdup(account);
    entry->folder = mem_strdup(folder);
    return entry;
}

int64_t state_entry_id(const struct state_entry *entry)
{
    return (int64_t)((uint64_t)entry->number << 32 | entry->uidvalidity);
}

struct state_entry *state_table_by_id(const struct state_table *table, int64_t id,
                                      bool *ret_current)
{
    uint64_t number = (uint64_t)id >> 32;
    if (!number || number > table->count)
        return NULL;
    struct state_entry *entry = table->by_number[number - 1];
    *ret_current = entry->uidvalidity == (uint32_t)id;
    return entry;
}

void state_table_release(struct state_table *table, void (*release)(struct state_entry *entry))
{
    for (size_t i = 0; i < table->count; i++) {
        struct state_entry *entry = table->by_number[i];
        if (release)
            release(entry);
        free(entry->account);
        free(entry->folder);
        free(entry);
    }
    free(table->by_name);
    free(table->by_number);
    *table = (struct state_table){0};
}
