/* base/block.h: immutable bytes with a reference count.
 *
 * A frame is built once in a buffer, becomes a block, and is then handed on without copying: to
 * the output queue of one connection or of a thousand. Not thread-safe: one loop, one thread. */
#ifndef BASE_BLOCK_H
#define BASE_BLOCK_H

#include <stddef.h>
#include <stdint.h>

struct buf;

struct block {
    const uint8_t *data;
    size_t len;
    unsigned refs;
};

/* Takes the buffer's memory (the buffer is empty afterwards). The caller owns one reference. */
struct block *block_from_buf(struct buf *moved);
/* Copies. */
struct block *block_new(const void *data, size_t len);
struct block *block_ref(struct block *block);
/* NULL does nothing. */
void block_unref(struct block *block);

#endif
