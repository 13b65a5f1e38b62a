/* collect/found.h: the result of a search as it streams in, in any order. Internal.
 *
 * Servers send search results ascending; a hostile one may not, and must not be able to make us
 * insert each number into the middle of a set. So what comes is appended, and sorted once. */
#ifndef COLLECT_FOUND_H
#define COLLECT_FOUND_H

#include <stdbool.h>
#include <stddef.h>

#include "imap/response.h"
#include "imap/uidset.h"

struct found {
    struct imap_range *ranges;
    size_t count;
    size_t cap;
    bool unsorted;
};

void found_release(struct found *found);
/* Adds a part of a SEARCH or ESEARCH; any other response is ignored. False: there is more than any
 * mailbox holds, and nothing more is kept. */
bool found_add(struct found *found, const struct imap_response *response);
/* Replaces the content of `set` by all that was found; empties *found. */
void found_take(struct found *found, struct imap_uidset *set);

#endif
