/* sink/markers.h: the random markers that `confirm: echo` has on their way. */
#ifndef SINK_MARKERS_H
#define SINK_MARKERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    MARKER_BYTES = 16,
    MARKER_TEXT = 2 * MARKER_BYTES, /* in lower-case hexadecimal, as it is published */
};

struct marker;

/* In the order they were published. All zero is empty. */
struct markers {
    struct marker *head;
    struct marker *tail;
};

/* Makes a new one that stands behind `upto` mails. Returns its MARKER_TEXT bytes (and a NUL). */
const char *markers_new(struct markers *markers, uint64_t upto);
/* Is this one of ours? */
bool markers_has(const struct markers *markers, const void *text, size_t len);
/* The same; and then it and all before it are done, and *ret_upto is what it
 * stood for. */
bool markers_take(struct markers *markers, const void *text, size_t len, uint64_t *ret_upto);
void markers_clear(struct markers *markers);

#endif
