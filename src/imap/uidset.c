#include "imap/uidset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/num.h"

void imap_uidset_release(struct imap_uidset *set)
{
    free(set->memory);
    *set = (struct imap_uidset){0};
}

void imap_uidset_clear(struct imap_uidset *set)
{
    set->ranges = set->memory;
    set->count = 0;
}

/* Room for one more range behind the last. */
static void imap_uidset_reserve(struct imap_uidset *set)
{
    size_t front = (size_t)(set->ranges - set->memory);
    if (front + set->count < set->cap)
        return;

    /* Space that taken ranges left at the front is used again only once it is at least half, so
     * that a set which is taken from and added to in turn moves each range O(1) times. */
    if (front && front >= set->cap / 2) {
        memmove(set->memory, set->ranges, set->count * sizeof *set->ranges);
        set->ranges = set->memory;
        return;
    }
    set->cap = set->cap ? set->cap * 2 : 4;
    set->memory = mem_realloc_array(set->memory, set->cap, sizeof *set->memory);
    set->ranges = set->memory + front;
}

static void imap_uidset_drop_leading(struct imap_uidset *set, size_t count)
{
    set->ranges += count;
    set->count -= count;
    if (!set->count) /* ten thousand idle mailboxes keep no memory for work that is done */
        imap_uidset_release(set);
}

/* The index of the first range whose last number is >= uid; set->count if there is none. */
static size_t imap_uidset_find(const struct imap_uidset *set, uint32_t uid)
{
    size_t low = 0, high = set->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (set->ranges[middle].last < uid)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* What was taken from the front may come back by thousands, to millions: the shorter side moves. */
static void imap_uidset_insert(struct imap_uidset *set, size_t index, struct imap_range range)
{
    if (set->ranges > set->memory && index < set->count / 2) {
        set->ranges--;
        memmove(set->ranges, set->ranges + 1, index * sizeof *set->ranges);
    } else {
        imap_uidset_reserve(set);
        memmove(set->ranges + index + 1, set->ranges + index,
                (set->count - index) * sizeof *set->ranges);
    }
    set->ranges[index] = range;
    set->count++;
}

static void imap_uidset_erase(struct imap_uidset *set, size_t index, size_t count)
{
    size_t behind = set->count - index - count;
    if (index < behind) {
        memmove(set->ranges + count, set->ranges, index * sizeof *set->ranges);
        set->ranges += count;
    } else {
        memmove(set->ranges + index, set->ranges + index + count, behind * sizeof *set->ranges);
    }
    set->count -= count;
}

/* Adds a range that starts no lower than the last one does: every bulk operation ends here. */
static void imap_uidset_append(struct imap_uidset *set, struct imap_range range)
{
    struct imap_range *last = set->count ? &set->ranges[set->count - 1] : NULL;
    if (last && range.first - 1 <= last->last) {
        if (range.last > last->last)
            last->last = range.last;
        return;
    }
    imap_uidset_reserve(set);
    set->ranges[set->count++] = range;
}

/* Puts a range in order and within 1..; false if nothing of it is left. */
static bool imap_range_normalize(struct imap_range *range)
{
    if (range->first > range->last) {
        uint32_t first = range->last;
        range->last = range->first;
        range->first = first;
    }
    if (!range->first)
        range->first = 1;
    return range->last != 0;
}

void imap_uidset_add(struct imap_uidset *set, uint32_t first, uint32_t last)
{
    struct imap_range range = {first, last};
    if (!imap_range_normalize(&range))
        return;
    if (!set->count || range.first >= set->ranges[set->count - 1].first) {
        imap_uidset_append(set, range);
        return;
    }

    /* All from the first range that touches the new one to the last that does become one. */
    size_t from = imap_uidset_find(set, range.first - 1);
    size_t to = from;
    while (to < set->count && set->ranges[to].first - 1 <= range.last)
        to++;
    if (from == to) {
        imap_uidset_insert(set, from, range);
        return;
    }
    struct imap_range *merged = &set->ranges[from];
    if (range.first < merged->first)
        merged->first = range.first;
    merged->last = set->ranges[to - 1].last > range.last ? set->ranges[to - 1].last : range.last;
    imap_uidset_erase(set, from + 1, to - from - 1);
}

static int imap_range_compare(const void *a, const void *b)
{
    const struct imap_range *left = a, *right = b;
    return (left->first > right->first) - (left->first < right->first);
}

static void imap_range_sort(struct imap_range *ranges, size_t count)
{
    for (size_t i = 1; i < count; i++)
        if (ranges[i].first < ranges[i - 1].first) {
            qsort(ranges, count, sizeof *ranges, imap_range_compare);
            return;
        }
}

/* Makes *set the union of itself and of ranges that ascend by their first number. */
static void imap_uidset_merge(struct imap_uidset *set, const struct imap_range *ranges,
                              size_t count)
{
    struct imap_uidset merged = {0};
    size_t i = 0, j = 0;
    /* What comes in ascending order, in parts, needs no second copy. */
    if (!set->count || !count || ranges->first >= set->ranges[set->count - 1].first) {
        while (j < count)
            imap_uidset_append(set, ranges[j++]);
        return;
    }
    while (i < set->count || j < count) {
        bool old = j == count || (i < set->count && set->ranges[i].first <= ranges[j].first);
        imap_uidset_append(&merged, old ? set->ranges[i++] : ranges[j++]);
    }
    imap_uidset_release(set);
    *set = merged;
}

void imap_uidset_add_set(struct imap_uidset *set, const struct imap_uidset *more)
{
    imap_uidset_merge(set, more->ranges, more->count);
}

void imap_uidset_remove(struct imap_uidset *set, uint32_t uid)
{
    if (!imap_uidset_contains(set, uid))
        return;
    size_t index = imap_uidset_find(set, uid);
    struct imap_range *range = &set->ranges[index];
    struct imap_range rest = {uid + 1, range->last};
    if (range->first == uid && range->last == uid) {
        imap_uidset_erase(set, index, 1);
    } else if (range->first == uid) {
        range->first++;
    } else if (range->last == uid) {
        range->last--;
    } else {
        range->last = uid - 1;
        imap_uidset_insert(set, index + 1, rest);
    }
}

bool imap_uidset_contains(const struct imap_uidset *set, uint32_t uid)
{
    size_t index = imap_uidset_find(set, uid);
    return index < set->count && set->ranges[index].first <= uid;
}

uint64_t imap_uidset_size(const struct imap_uidset *set)
{
    uint64_t size = 0;
    for (size_t i = 0; i < set->count; i++)
        size += (uint64_t)set->ranges[i].last - set->ranges[i].first + 1;
    return size;
}

uint32_t imap_uidset_take_first(struct imap_uidset *set)
{
    if (!set->count)
        return 0;
    uint32_t uid = set->ranges->first;
    if (uid == set->ranges->last)
        imap_uidset_drop_leading(set, 1);
    else
        set->ranges->first++;
    return uid;
}

void imap_uidset_cut(struct imap_uidset *set, uint64_t size, struct imap_uidset *rest)
{
    uint64_t kept = 0;
    size_t i = 0;
    while (i < set->count && kept + set->ranges[i].last - set->ranges[i].first < size) {
        kept += (uint64_t)set->ranges[i].last - set->ranges[i].first + 1;
        i++;
    }
    if (i == set->count)
        return;
    if (kept < size) { /* this one in two, of which the first stays */
        uint32_t last = set->ranges[i].first + (uint32_t)(size - kept) - 1;
        imap_uidset_insert(set, i + 1, (struct imap_range){last + 1, set->ranges[i].last});
        set->ranges[i++].last = last;
    }
    imap_uidset_merge(rest, set->ranges + i, set->count - i);
    set->count = i;
}

void imap_uidset_drop_below(struct imap_uidset *set, uint64_t uid)
{
    size_t below = 0;
    while (below < set->count && set->ranges[below].last < uid)
        below++;
    if (below)
        imap_uidset_drop_leading(set, below);
    if (set->count && set->ranges->first < uid)
        set->ranges->first = (uint32_t)uid;
}

uint64_t imap_uidset_take_text(struct imap_uidset *set, struct buf *out, size_t max_octets)
{
    uint64_t taken = 0;
    size_t count = 0, used = 0;
    if (!set->count)
        return 0;
    for (; count < set->count; count++) {
        struct imap_range range = set->ranges[count];
        char text[32];
        int len = range.first == range.last
                      ? snprintf(text, sizeof text, ",%u", range.first)
                      : snprintf(text, sizeof text, ",%u:%u", range.first, range.last);
        size_t skip = count ? 0 : 1; /* no comma before the first */
        size_t octets = (size_t)len - skip;
        if (used + octets > max_octets)
            break;
        buf_add(out, text + skip, octets);
        used += octets;
        taken += (uint64_t)range.last - range.first + 1;
    }
    imap_uidset_drop_leading(set, count);
    return taken;
}

bool imap_range_parse(const char *text, size_t len, struct imap_range *ret_range)
{
    const char *colon = memchr(text, ':', len);
    size_t first_len = colon ? (size_t)(colon - text) : len;
    struct imap_range range;
    if (!num_parse_u32(text, first_len, &range.first) || !range.first)
        return false;
    range.last = range.first;
    if (colon && (!num_parse_u32(colon + 1, len - first_len - 1, &range.last) || !range.last))
        return false;
    *ret_range = range;
    return imap_range_normalize(ret_range);
}

bool imap_uidset_parse(struct imap_uidset *set, const char *text, size_t len, size_t max_ranges)
{
    struct imap_range *ranges = NULL;
    size_t count = 0, cap = 0;
    bool well_formed = false;
    if (!len)
        return false;
    for (const char *end = text + len, *part = text;; part++) {
        const char *comma = memchr(part, ',', (size_t)(end - part));
        size_t part_len = (size_t)((comma ? comma : end) - part);
        if (count == cap) {
            cap = cap ? cap * 2 : 8;
            ranges = mem_realloc_array(ranges, cap, sizeof *ranges);
        }
        if (count >= max_ranges || !imap_range_parse(part, part_len, &ranges[count]))
            goto out;
        count++;
        part += part_len;
        if (part == end)
            break;
    }
    imap_uidset_clear(set);
    imap_range_sort(ranges, count);
    imap_uidset_merge(set, ranges, count);
    well_formed = true;
out:
    free(ranges);
    return well_formed;
}
