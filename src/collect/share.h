/* collect/share.h: what all hosts want, and one that is slow or means harm must not have alone.
 *
 * A host may have so many times what is left free (the dynamic threshold of switches' buffers,
 * Choudhury and Hahne 1998): alone it gets four fifths, and the more are greedy, the less each has;
 * who has nothing yet gets its part at once. */
#ifndef COLLECT_SHARE_H
#define COLLECT_SHARE_H

#include <stdbool.h>
#include <stddef.h>

enum {
    SHARE_OF_FREE = 4,
};

/* May a host have `own`, when then `all` of `max` are taken by all of them, itself included? */
static inline bool share_allows(size_t own, size_t all, size_t max)
{
    return all <= max && own / SHARE_OF_FREE <= max - all;
}

#endif
