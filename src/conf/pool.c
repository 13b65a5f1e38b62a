#include "conf/pool.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "conf/place.h"

enum {
    POOL_CHUNK_FIRST = 4096,
    POOL_CHUNK_MOST = 1 << 20,
};

struct conf_pool_chunk {
    struct conf_pool_chunk *next;
    size_t size;
    size_t used;
    alignas(max_align_t) char data[];
};

void conf_pool_release(struct conf_pool *pool)
{
    while (pool->chunks) {
        struct conf_pool_chunk *chunk = pool->chunks;
        pool->chunks = chunk->next;
        mem_wipe(chunk->data, chunk->used);
        free(chunk);
    }
    conf_pool_seal(pool);
}

void conf_pool_seal(struct conf_pool *pool)
{
    conf_table_release(&pool->strings);
}

static struct conf_pool_chunk *conf_pool_grow(struct conf_pool *pool, size_t least)
{
    size_t size = pool->chunks ? pool->chunks->size * 2 : POOL_CHUNK_FIRST;
    if (size > POOL_CHUNK_MOST)
        size = POOL_CHUNK_MOST;
    if (size < least)
        size = least;
    struct conf_pool_chunk *chunk = mem_alloc(sizeof *chunk + size);
    *chunk = (struct conf_pool_chunk){.next = pool->chunks, .size = size};
    pool->chunks = chunk;
    return chunk;
}

static char *conf_pool_cut(struct conf_pool *pool, size_t size, size_t align)
{
    struct conf_pool_chunk *chunk = pool->chunks;
    if (pool->place)
        return conf_place_cut(pool->place, size, align);
    size_t at = chunk ? (chunk->used + align - 1) / align * align : 0;
    if (!chunk || at > chunk->size || size > chunk->size - at) {
        chunk = conf_pool_grow(pool, size);
        at = 0;
    }
    chunk->used = at + size;
    return chunk->data + at;
}

void *conf_pool_alloc(struct conf_pool *pool, size_t size)
{
    char *piece = conf_pool_cut(pool, size, sizeof(void *));
    memset(piece, 0, size);
    return piece;
}

char *conf_pool_strndup(struct conf_pool *pool, const char *text, size_t len)
{
    char *copy = conf_pool_cut(pool, len + 1, 1);
    if (len)
        memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}

char *conf_pool_intern(struct conf_pool *pool, const char *text, size_t len)
{
    char *known = conf_table_get(&pool->strings, text, len);
    if (known)
        return known;
    char *copy = conf_pool_strndup(pool, text, len);
    conf_table_put(&pool->strings, copy, len, copy);
    return copy;
}
