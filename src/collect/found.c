#include "collect/found.h"

#include <stdlib.h>

#include "base/mem.h"

enum {
    /* One response is bounded by the parser, the number of responses by nothing. */
    FOUND_RANGES_MAX = 4000000,
    FOUND_BYTE = 256,
};

void found_release(struct found *found)
{
    free(found->ranges);
    *found = (struct found){0};
}

static bool found_append(struct found *found, uint32_t first, uint32_t last)
{
    struct imap_range *tail = found->count ? &found->ranges[found->count - 1] : NULL;
    if (found->count == FOUND_RANGES_MAX)
        return false;
    if (tail && first > tail->first && first - 1 == tail->last) {
        tail->last = last;
        return true;
    }
    if (tail && first <= tail->last)
        found->unsorted = true;
    if (found->count == found->cap) {
        found->cap = found->cap ? 2 * found->cap : 16;
        found->ranges = mem_realloc_array(found->ranges, found->cap, sizeof *found->ranges);
    }
    found->ranges[found->count++] = (struct imap_range){first, last};
    return true;
}

bool found_add(struct found *found, const struct imap_response *response)
{
    bool room = true;
    if (response->type == IMAP_RESPONSE_SEARCH)
        for (size_t i = 0; i < response->count && room; i++)
            room = found_append(found, response->numbers[i], response->numbers[i]);
    else if (response->type == IMAP_RESPONSE_ESEARCH)
        for (size_t i = 0; i < response->count && room; i++)
            room = found_append(found, response->ranges[i].first, response->ranges[i].last);
    return room;
}

/* One pass of a radix sort: by one byte of `first`, and else as they are in `from`. */
static void found_sort_by_byte(const struct imap_range *from, struct imap_range *to, size_t count,
                               unsigned shift)
{
    size_t places[FOUND_BYTE] = {0}, next = 0;
    for (size_t i = 0; i < count; i++)
        places[from[i].first >> shift & (FOUND_BYTE - 1)]++;
    for (size_t i = 0; i < FOUND_BYTE; i++) {
        size_t here = places[i];
        places[i] = next;
        next += here;
    }
    for (size_t i = 0; i < count; i++)
        to[places[from[i].first >> shift & (FOUND_BYTE - 1)]++] = from[i];
}

/* Of millions without an order, comparing each with twenty others would take the loop most of a
 * second. */
static void found_sort(struct found *found)
{
    struct imap_range *other = mem_realloc_array(NULL, found->count, sizeof *other);
    for (unsigned shift = 0; shift < 32; shift += 16) {
        found_sort_by_byte(found->ranges, other, found->count, shift);
        found_sort_by_byte(other, found->ranges, found->count, shift + 8);
    }
    free(other);
}

void found_take(struct found *found, struct imap_uidset *set)
{
    imap_uidset_clear(set);
    if (found->unsorted)
        found_sort(found);
    for (size_t i = 0; i < found->count; i++)
        imap_uidset_add(set, found->ranges[i].first, found->ranges[i].last);
    found_release(found);
}
