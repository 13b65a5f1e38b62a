/* base/buf.h: a growing byte buffer, embedded in its owner.
 *
 * It never fails (see base/mem.h); whoever fills it from a peer checks a limit of its own first.
 * All zero is a valid empty buffer. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
    uint8_t *data;
    size_t len;
    size_t cap;
};

/* Frees the memory; the buffer is empty and may be used again. */
void buf_release(struct buf *buf);
/* Makes it empty, keeps the memory. */
void buf_clear(struct buf *buf);
/* Room for `extra` more bytes at data + len. Grows by doubling. */
void buf_reserve(struct buf *buf, size_t extra);
/* Room for exactly `extra` more bytes, when the final size is known. */
void buf_reserve_exact(struct buf *buf, size_t extra);
void buf_add(struct buf *buf, const void *data, size_t len);
void buf_add_byte(struct buf *buf, uint8_t byte);
void buf_add_str(struct buf *buf, const char *text);
void buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_vprintf(struct buf *buf, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));
/* Removes the first `len` bytes (len <= buf->len) by moving the rest. */
void buf_drop_front(struct buf *buf, size_t len);
/* The content as a C string: a NUL is put behind it and not counted. Valid until the next call. */
char *buf_cstr(struct buf *buf);

#endif
