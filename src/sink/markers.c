#include "sink/markers.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/random.h"

struct marker {
    struct marker *next;
    uint64_t upto;
    char text[MARKER_TEXT + 1];
};

const char *markers_new(struct markers *markers, uint64_t upto)
{
    static const char digits[] = "0123456789abcdef";
    struct marker *marker = mem_new(struct marker);
    uint8_t bytes[MARKER_BYTES];

    random_bytes(bytes, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++) {
        marker->text[2 * i] = digits[bytes[i] >> 4];
        marker->text[2 * i + 1] = digits[bytes[i] & 15];
    }
    marker->upto = upto;
    if (markers->tail)
        markers->tail->next = marker;
    else
        markers->head = marker;
    markers->tail = marker;
    return marker->text;
}

static void markers_pop(struct markers *markers)
{
    struct marker *marker = markers->head;
    markers->head = marker->next;
    if (!markers->head)
        markers->tail = NULL;
    free(marker);
}

static struct marker *markers_find(const struct markers *markers, const void *text, size_t len)
{
    struct marker *marker = markers->head;
    if (len != MARKER_TEXT)
        return NULL;
    while (marker && memcmp(marker->text, text, len) != 0)
        marker = marker->next;
    return marker;
}

bool markers_has(const struct markers *markers, const void *text, size_t len)
{
    return markers_find(markers, text, len) != NULL;
}

bool markers_take(struct markers *markers, const void *text, size_t len, uint64_t *ret_upto)
{
    struct marker *found = markers_find(markers, text, len);
    if (!found)
        return false;
    *ret_upto = found->upto;
    while (markers->head != found)
        markers_pop(markers);
    markers_pop(markers);
    return true;
}

void markers_clear(struct markers *markers)
{
    while (markers->head)
        markers_pop(markers);
}
