/* conf/place.h: an address range for one configuration that another process makes.
 *
 * Reserved before fork(), it is at the same address in both processes, so that a configuration
 * which a child made there, brought over byte by byte, is valid as it stands: its pointers lead
 * into the range, or to constants of the program. Nothing else in it may. No core dump takes it in,
 * and while it is used it is locked into memory as far as the system lets us. */
#ifndef CONF_PLACE_H
#define CONF_PLACE_H

#include <stddef.h>

struct conf_place {
    char *base; /* aligned for anything */
    size_t size;
    size_t open; /* so many bytes from `base` on are memory */
    size_t used;
};

/* Takes the addresses, not memory. Returns -1 with errno. */
int conf_place_reserve(struct conf_place *place);
/* The next `size` bytes, zero, at a multiple of `align`. Aborts when there is no more room. */
void *conf_place_cut(struct conf_place *place, size_t size, size_t align);
/* Wipes it and gives the memory back; the range stays. */
void conf_place_clear(struct conf_place *place);
/* Clears it and gives back the range, too. */
void conf_place_release(struct conf_place *place);

#endif
