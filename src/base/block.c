#include "base/block.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"

struct block *block_from_buf(struct buf *moved)
{
    struct block *block = mem_alloc(sizeof *block);
    *block = (struct block){.data = moved->data, .len = moved->len, .refs = 1};
    *moved = (struct buf){0};
    return block;
}

struct block *block_new(const void *data, size_t len)
{
    struct buf copy = {0};
    buf_reserve_exact(&copy, len);
    buf_add(&copy, data, len);
    return block_from_buf(&copy);
}

struct block *block_ref(struct block *block)
{
    block->refs++;
    return block;
}

void block_unref(struct block *block)
{
    if (!block || --block->refs)
        return;
    free((void *)(uintptr_t)block->data);
    free(block);
}
