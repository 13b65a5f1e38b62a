#include "conf/place.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/mem.h"

enum {
    PLACE_SIZE = 1 << 30, /* a million mailboxes take half of it */
    PLACE_STEP = 1 << 18,
};

int conf_place_reserve(struct conf_place *place)
{
    void *base =
        mmap(NULL, PLACE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return -1;
    (void)madvise(base, PLACE_SIZE, MADV_DONTDUMP);
    *place = (struct conf_place){.base = base, .size = PLACE_SIZE};
    return 0;
}

static void conf_place_open(struct conf_place *place, size_t end)
{
    size_t open = (end + PLACE_STEP - 1) / PLACE_STEP * PLACE_STEP;
    if (end > place->size ||
        mprotect(place->base + place->open, open - place->open, PROT_READ | PROT_WRITE)) {
        fputs("out of memory for the configuration\n", stderr);
        abort();
    }
    (void)mlock(place->base + place->open, open - place->open);
    place->open = open;
}

void *conf_place_cut(struct conf_place *place, size_t size, size_t align)
{
    size_t at = (place->used + align - 1) / align * align;
    size_t end = size > place->size - at ? place->size + 1 : at + size;
    if (end > place->open)
        conf_place_open(place, end);
    place->used = end;
    return place->base + at;
}

void conf_place_clear(struct conf_place *place)
{
    mem_wipe(place->base, place->used);
    if (place->open) {
        (void)munlock(place->base, place->open);
        (void)madvise(place->base, place->open, MADV_DONTNEED);
        (void)mprotect(place->base, place->open, PROT_NONE);
    }
    place->open = place->used = 0;
}

void conf_place_release(struct conf_place *place)
{
    if (!place->base)
        return;
    conf_place_clear(place);
    munmap(place->base, place->size);
    *place = (struct conf_place){0};
}
