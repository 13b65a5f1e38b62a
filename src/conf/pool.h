/* conf/pool.h: memory that is made piece by piece and freed, wiped, as a whole. Internal. */
#ifndef CONF_POOL_H
#define CONF_POOL_H

#include <stddef.h>

#include "conf/table.h"

struct conf_place;
struct conf_pool_chunk;

/* All zero is a valid empty pool. */
struct conf_pool {
    struct conf_pool_chunk *chunks; /* the newest first; pieces are cut from it */
    struct conf_table strings;      /* those of conf_pool_intern() */
    struct conf_place *place;       /* they are cut from this instead; NULL: from chunks */
};

/* Wipes and frees everything that was ever given out, but for what lies in a place. */
void conf_pool_release(struct conf_pool *pool);
/* No more conf_pool_intern(): frees what it needs beside the strings. */
void conf_pool_seal(struct conf_pool *pool);
/* Zeroed, aligned for anything. */
void *conf_pool_alloc(struct conf_pool *pool, size_t size);
/* `len` bytes and a NUL. */
char *conf_pool_strndup(struct conf_pool *pool, const char *text, size_t len);
/* The same, but equal texts share one copy: for what ten thousand mailboxes have in common. */
char *conf_pool_intern(struct conf_pool *pool, const char *text, size_t len);

#endif
