/* state/table.h: the folders a state has been asked for, by name and by id. Internal to the room.
 *
 * An id is an entry's number and the UIDVALIDITY it was loaded under, so that a change that comes
 * after the folder was loaded under another one is told apart. */
#ifndef STATE_TABLE_H
#define STATE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The first member of what an implementation keeps of a folder. */
struct state_entry {
    uint32_t number; /* from 1, in the order of their addition */
    uint32_t uidvalidity;
    char *account;
    char *folder;
};

/* All zero is an empty one. */
struct state_table {
    struct state_entry **by_name; /* sorted by account and folder */
    struct state_entry **by_number;
    size_t count;
    size_t cap;
};

/* NULL when there is none. */
struct state_entry *state_table_find(const struct state_table *table, const char *account,
                                     const char *folder);
/* A new entry of `size` bytes, zero but for number and names; it lives as long as the table. */
struct state_entry *state_table_add(struct state_table *table, const char *account,
                                    const char *folder, size_t size);
int64_t state_entry_id(const struct state_entry *entry);
/* NULL for an id that was never given out. *ret_current: it was loaded under this one last. */
struct state_entry *state_table_by_id(const struct state_table *table, int64_t id,
                                      bool *ret_current);
/* `release` frees what an entry has beyond its own bytes; NULL for nothing. */
void state_table_release(struct state_table *table, void (*release)(struct state_entry *entry));

#endif
