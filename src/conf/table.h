/* conf/table.h: a hash table from texts to pointers. Internal.
 *
 * So that nothing is quadratic in what a file holds: names of anchors, accounts, shared strings. */
#ifndef CONF_TABLE_H
#define CONF_TABLE_H

#include <stddef.h>

struct conf_table_slot;

/* All zero is a valid empty table. */
struct conf_table {
    struct conf_table_slot *slots;
    size_t cap; /* a power of two, or 0 */
    size_t count;
};

void conf_table_release(struct conf_table *table);
/* NULL: not there. */
void *conf_table_get(const struct conf_table *table, const char *key, size_t len);
/* Adds or replaces. `key` is not copied and must outlive the table; `value` is not NULL. */
void conf_table_put(struct conf_table *table, const char *key, size_t len, void *value);

#endif
