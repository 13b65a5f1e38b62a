#include "collect/found.h"

#include <stdlib.h>

#include "base/mem.h"

enum {
    /* One response is bounded by the parser, the number of responses by nothing. */
    FOUND_RANGES_MAX = 4000000
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

static int found_compare(const void *left, const void *right)
{
    const struct imap_range *a = left, *b = right;
    return a->first < b->first ? -1 : a->first > b->first;
}

void found_take(struct found *found, struct imap_uidset *set)
{
    imap_uidset_clear(set);
    if (found->unsorted)
        qsort(found->ranges, found->count, sizeof *found->ranges, found_compare);
    for (size_t i = 0; i < found->count; i++)
        imap_uidset_add(set, found->ranges[i].first, found->ranges[i].last);
    found_release(found);
}
