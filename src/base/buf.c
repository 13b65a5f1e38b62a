#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

void buf_release(struct buf *buf)
{
    free(buf->data);
    *buf = (struct buf){0};
}

void buf_clear(struct buf *buf)
{
    buf->len = 0;
}

void buf_reserve(struct buf *buf, size_t extra)
{
    if (buf->cap - buf->len >= extra)
        return;
    size_t doubled = buf->cap < 32 ? 32 : buf->cap - buf->len + buf->cap;
    buf_reserve_exact(buf, extra > doubled ? extra : doubled);
}

void buf_reserve_exact(struct buf *buf, size_t extra)
{
    if (buf->cap - buf->len >= extra)
        return;
    /* On overflow the sum wraps to less than either part: ask for what cannot be had. */
    size_t cap = buf->len + extra < extra ? SIZE_MAX : buf->len + extra;
    buf->data = mem_realloc_array(buf->data, cap, 1);
    buf->cap = cap;
}

void buf_add(struct buf *buf, const void *data, size_t len)
{
    if (!len)
        return;
    buf_reserve(buf, len);
    memcpy(buf->data + buf->len, data, len);
    buf->len += len;
}

void buf_add_byte(struct buf *buf, uint8_t byte)
{
    buf_reserve(buf, 1);
    buf->data[buf->len++] = byte;
}

void buf_add_str(struct buf *buf, const char *text)
{
    buf_add(buf, text, strlen(text));
}

void buf_vprintf(struct buf *buf, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    buf_reserve(buf, 64);
    size_t room = buf->cap - buf->len;
    int len = vsnprintf((char *)buf->data + buf->len, room, format, args);
    if (len > 0 && (size_t)len >= room) {
        buf_reserve(buf, (size_t)len + 1);
        vsnprintf((char *)buf->data + buf->len, (size_t)len + 1, format, again);
    }
    if (len > 0)
        buf->len += (size_t)len;
    va_end(again);
}

void buf_printf(struct buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    buf_vprintf(buf, format, args);
    va_end(args);
}

void buf_drop_front(struct buf *buf, size_t len)
{
    buf->len -= len;
    if (buf->len)
        memmove(buf->data, buf->data + len, buf->len);
}

char *buf_cstr(struct buf *buf)
{
    buf_reserve(buf, 1);
    buf->data[buf->len] = '\0';
    return (char *)buf->data;
}
