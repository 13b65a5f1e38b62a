/* state/sqlite.h: the state in an SQLite database (WAL, synchronous=FULL, versioned schema). */
#ifndef STATE_SQLITE_H
#define STATE_SQLITE_H

#include "state/state.h"

/* Opens or creates `path` (its directory too, mode 0700; the file 0600) and migrates an older
 * schema. Takes a lock that a second collector on the same file is refused by, at once, naming
 * the process that has it. Fails (ERR_GIVE_UP, with what to do) on a newer schema, another
 * program's database, a corrupt file, no permission, and never starts such a file over. The whole
 * file is checked when a WAL was left beside it. */
int state_sqlite_open(const char *path, struct state **ret_state, struct err *err);
/* What state_load_proofs() gives, of a file that may be in use, and of which nothing is changed;
 * none when it is not there, or older than proofs are. Release it with state_proofs_release(). */
int state_sqlite_read_proofs(const char *path, struct state_proofs *ret_proofs, struct err *err);
/* Was there a state at this place before, of which nothing was left when this one was opened (no
 * file, or an empty one)? The caller should say so: all that it knew is unknown now. */
bool state_sqlite_lost(const struct state *state);

#endif
