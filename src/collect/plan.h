/* collect/plan.h: what is to be done in a folder, from what was found and what is known.
 * Internal. */
#ifndef COLLECT_PLAN_H
#define COLLECT_PLAN_H

#include "imap/uidset.h"

struct folder;

/* Of the folder's selected mails, those that are not on record go to the worklist; those that are,
 * but not marked as the account wants it, go to the marks. So do those that were delivered by a run
 * that died before it marked them, whether selected or not. Returns how many are not on record, and
 * how many of these have a UID below `below`. */
uint64_t plan_work(struct folder *folder, uint64_t below, uint64_t *ret_below);
/* Known mails that are not among those present are not marked any more, and forgotten: the state
 * grows with what is in the mailbox, not with what ever was. */
void plan_forget_absent(struct folder *folder, const struct imap_uidset *present);

#endif
