#include "collect/worklist.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/random.h"

enum {
    WORK_WINDOW = 1500,    /* items at a time */
    WORK_SIZES = 500,      /* mails in one command for sizes */
    WORK_FEW = 8,          /* mails that are fetched without asking for sizes */
    WORK_SET_OCTETS = 900, /* a set's text: commands stay below 1,000 octets (RFC 7162, 4) */
};

void worklist_release(struct worklist *list)
{
    imap_uidset_release(&list->pending);
    free(list->items);
    *list = (struct worklist){0};
}

void worklist_clear(struct worklist *list)
{
    imap_uidset_clear(&list->pending);
    list->count = 0;
    list->last = list->last_lot = 0;
}

bool worklist_empty(const struct worklist *list)
{
    return !list->count && !list->pending.count && !list->last;
}

void worklist_add(struct worklist *list, uint32_t uid)
{
    imap_uidset_add(&list->pending, uid, uid);
}

void worklist_add_last(struct worklist *list, uint32_t uid)
{
    uint32_t lot;
    random_bytes(&lot, sizeof lot);
    if (lot % ++list->last_lot == 0)
        list->last = uid;
}

void worklist_take_last(struct worklist *list)
{
    worklist_add(list, list->last);
    list->last = list->last_lot = 0;
}

/* Where the uid is, or belongs. */
static size_t worklist_position(const struct worklist *list, uint32_t uid)
{
    size_t low = 0, high = list->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (list->items[middle].uid < uid)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct work_item *worklist_find(struct worklist *list, uint32_t uid)
{
    size_t at = worklist_position(list, uid);
    return at < list->count && list->items[at].uid == uid ? &list->items[at] : NULL;
}

void worklist_remove(struct worklist *list, struct work_item *item)
{
    size_t behind = list->count - (size_t)(item - list->items) - 1;
    memmove(item, item + 1, behind * sizeof *item);
    list->count--;
}

static void worklist_insert(struct worklist *list, uint32_t uid)
{
    if (list->count == list->cap) {
        list->cap = list->cap ? 2 * list->cap : 64;
        list->items = mem_realloc_array(list->items, list->cap, sizeof *list->items);
    }
    size_t at = worklist_position(list, uid);
    memmove(&list->items[at + 1], &list->items[at], (list->count - at) * sizeof *list->items);
    list->items[at] = (struct work_item){.uid = uid, .state = WORK_SIZING};
    list->count++;
}

size_t worklist_count(const struct worklist *list, enum work_state state)
{
    size_t count = 0;
    for (size_t i = 0; i < list->count; i++)
        count += list->items[i].state == state;
    return count;
}

bool worklist_next_sizes(struct worklist *list, struct buf *set)
{
    if (!list->pending.count || list->count + WORK_SIZES > WORK_WINDOW)
        return false;

    struct imap_uidset chosen = {0};
    uint32_t room = WORK_SIZES;
    for (size_t i = 0; i < list->pending.count && room; i++) {
        struct imap_range range = list->pending.ranges[i];
        if (range.last - range.first >= room)
            range.last = range.first + room - 1;
        room -= range.last - range.first + 1;
        imap_uidset_add(&chosen, range.first, range.last);
    }
    /* What did not fit into the command stays where it is: nothing is ever put back. */
    for (uint64_t n = imap_uidset_take_text(&chosen, set, WORK_SET_OCTETS); n; n--) {
        uint32_t uid = imap_uidset_take_first(&list->pending);
        if (!worklist_find(list, uid))
            worklist_insert(list, uid);
    }
    imap_uidset_release(&chosen);
    return true;
}

void worklist_skip_sizes(struct worklist *list)
{
    if (list->count || imap_uidset_size(&list->pending) > WORK_FEW)
        return;
    uint32_t uid;
    while ((uid = imap_uidset_take_first(&list->pending))) {
        worklist_insert(list, uid);
        struct work_item *item = worklist_find(list, uid);
        item->state = WORK_SIZED;
        item->unasked = true;
    }
}

bool worklist_next_bodies(struct worklist *list, uint64_t bytes_max, struct buf *set,
                          bool *ret_unasked)
{
    struct imap_uidset chosen = {0};
    uint64_t bytes = 0;
    bool alone = false, unasked = false;
    for (size_t i = 0; i < list->count && !alone; i++) {
        const struct work_item *item = &list->items[i];
        if (item->state != WORK_SIZED)
            continue;
        if (chosen.count && (item->alone || !bytes_max || bytes + item->size > bytes_max))
            break;
        imap_uidset_add(&chosen, item->uid, item->uid);
        bytes += item->size;
        alone = item->alone;
    }
    if (!chosen.count)
        return false;

    uint32_t first = chosen.ranges[0].first, last = chosen.ranges[chosen.count - 1].last;
    imap_uidset_take_text(&chosen, set, WORK_SET_OCTETS);
    if (chosen.count)
        last = chosen.ranges[0].first - 1;
    for (size_t i = worklist_position(list, first); i < list->count && list->items[i].uid <= last;
         i++)
        if (list->items[i].state == WORK_SIZED) {
            list->items[i].state = WORK_ASKED;
            list->items[i].command = 0;
            list->items[i].answered = false;
            unasked = unasked || list->items[i].unasked;
        }
    imap_uidset_release(&chosen);
    *ret_unasked = unasked;
    return true;
}

struct work_item *worklist_only_asked(struct worklist *list)
{
    struct work_item *only = NULL;
    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i].state == WORK_ASKED && only)
            return NULL;
        if (list->items[i].state == WORK_ASKED)
            only = &list->items[i];
    }
    return only;
}

void worklist_issued(struct worklist *list, uint32_t command)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i].state != WORK_SIZED && !list->items[i].command)
            list->items[i].command = command;
}

struct work_item *worklist_unanswered(struct worklist *list, uint32_t command)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i].state != WORK_SIZED && list->items[i].command == command)
            return &list->items[i];
    return NULL;
}
