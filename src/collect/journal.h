/* collect/journal.h: the state, worked on a thread of its own, so that no disk ever stops the
 * loop. What comes while a commit is on its way, and for a moment longer, goes together into the
 * next. */
#ifndef COLLECT_JOURNAL_H
#define COLLECT_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/num.h"
#include "state/state.h"

struct net_loop;
struct journal;

struct journal_events {
    /* One change of `owner` is durable. */
    void (*committed)(void *owner, const struct state_change *change);
    /* The state cannot be written: nothing of this or any later change is on record, no further
     * event comes. Called once. */
    void (*failed)(void *ctx, const struct err *err);
    /* It cannot be written for now: tried again every second. Called when that begins, changes, for
     * each hour that it lasts, and when it can be written again (NULL). Only of a patient journal.
     */
    void (*troubled)(void *ctx, const struct err *err);
};

/* The state belongs to the caller and is used by no one else while the journal lives. `patient`: a
 * commit that fails for a cause that may pass (a full disk) is tried for as long as it takes; else
 * some times only. */
struct journal *journal_new(struct net_loop *loop, struct state *state, bool patient,
                            const struct journal_events *events, void *ctx);
/* Commits what was added, waits for it, then frees; owners hear nothing more. Returns how many
 * mails were delivered, but could not be put on record: they will be delivered again. NULL does
 * nothing. */
size_t journal_free(struct journal *journal);
/* Tests: at least so long from the beginning of a commit to that of the next, unless there is much
 * to commit or a load waits behind it. */
void journal_set_interval(struct journal *journal, msec_t interval);

/* Loads a folder's knowledge of mails from `first_uid` on, after all changes added before. `loaded`
 * gets the folder (its
 * content belongs to the callee, who releases it) or NULL and why. */
void journal_load(struct journal *journal, const char *account, const char *folder,
                  uint32_t uidvalidity, uint32_t first_uid,
                  void (*loaded)(void *owner, struct state_folder *moved, const struct err *err),
                  void *owner);
/* Adds a change; its texts are copied. `owner` hears of it through `committed`, and must live
 * until then; NULL: nobody does. */
void journal_add(struct journal *journal, void *owner, const struct state_change *change);
/* Forgets old hashes over `keep`, see state_prune_old(). Nobody hears of it. */
void journal_prune_old(struct journal *journal, int64_t folder, size_t keep);

#endif
