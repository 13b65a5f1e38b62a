#include "payload/out.h"

void payload_out_reset(struct payload_out *out, size_t limit, uint64_t expected)
{
    buf_release(&out->kept);
    *out = (struct payload_out){.limit = limit};
    payload_out_reserve(out, expected < limit ? (size_t)expected : limit);
}

void payload_out_drop(struct payload_out *out)
{
    buf_release(&out->kept);
    out->dropped = true;
}

void payload_out_reserve(struct payload_out *out, size_t len)
{
    size_t room = out->limit - out->kept.len;
    if (!out->dropped)
        buf_reserve_exact(&out->kept, len < room ? len : room);
}

void payload_out_add_slow(struct payload_out *out, const void *data, size_t len)
{
    struct buf *kept = &out->kept;
    out->size += len;
    if (out->dropped || !len)
        return;
    if (len > out->limit - kept->len) {
        payload_out_drop(out);
        return;
    }
    if (len > kept->cap - kept->len) {
        size_t doubled = kept->cap < out->limit / 2 ? kept->cap * 2 : out->limit;
        size_t needed = kept->len + len;
        buf_reserve_exact(kept, (doubled > needed ? doubled : needed) - kept->len);
    }
    memcpy(kept->data + kept->len, data, len);
    kept->len += len;
}
