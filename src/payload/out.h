/* payload/out.h: output that is counted to its end, but kept only up to a limit. Internal. */
#ifndef PAYLOAD_OUT_H
#define PAYLOAD_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"

struct payload_out {
    struct buf kept;
    uint64_t size; /* of all that was added, kept or not */
    size_t limit;  /* more than this is not kept; memory never exceeds it either */
    bool dropped;  /* it got too large, or was given up */
};

/* Empty and kept again, with room for `expected` bytes or the limit, if that is less. */
void payload_out_reset(struct payload_out *out, size_t limit, uint64_t expected);
/* Frees what is kept; from now on it only counts. */
void payload_out_drop(struct payload_out *out);
/* Room for exactly `len` more bytes. */
void payload_out_reserve(struct payload_out *out, size_t len);
/* payload_out_add() when there is no room: makes some, or drops. */
void payload_out_add_slow(struct payload_out *out, const void *data, size_t len);

static inline void payload_out_add(struct payload_out *out, const void *data, size_t len)
{
    if (len > out->kept.cap - out->kept.len || !len) {
        payload_out_add_slow(out, data, len);
        return;
    }
    memcpy(out->kept.data + out->kept.len, data, len);
    out->kept.len += len;
    out->size += len;
}

/* To write in place: how much may be written at the end, and that `len` bytes of it were. */
static inline size_t payload_out_room(const struct payload_out *out)
{
    return out->kept.cap - out->kept.len;
}

static inline uint8_t *payload_out_end(struct payload_out *out)
{
    return out->kept.data + out->kept.len;
}

static inline void payload_out_advance(struct payload_out *out, size_t len)
{
    out->kept.len += len;
    out->size += len;
}

#endif
