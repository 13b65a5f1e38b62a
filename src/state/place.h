/* state/place.h: the state's file as a thing in the file system: its directory, its lock, its mode.
 * Internal to the room. */
#ifndef STATE_PLACE_H
#define STATE_PLACE_H

#include <stdbool.h>

#include "base/err.h"

/* Makes the directories that are missing (0700) and gives the absolute path, links resolved, that
 * every process finds for this file; refuses what is not a plain file. The caller frees it. */
int state_place_resolve(const char *path, char **ret_path, struct err *err);

/* Takes the lock beside the file, `path`.lock. It is the kernel's and ends with the process,
 * however it dies, or with close(*ret_fd). Refused at once when another has it, naming it.
 * *ret_used: there was a state here before, for somebody has signed so. */
int state_place_lock(const char *path, int *ret_fd, bool *ret_used, struct err *err);
/* Writes into the lock who has it, for the refusal of a second one, and that there is a state. */
void state_place_sign(int fd, bool used);

/* Syncs what is there: a process that was killed may have written it and not synced it. Who reads
 * it acts on it, and a power cut must not take it back then. Not while the database is open. */
void state_place_settle(const char *path);

/* Creates the file, empty and 0600, if it is not there; fails when it cannot be written, or when
 * only the WAL of one is there. *ret_empty: nothing was in it. */
int state_place_create(const char *path, bool *ret_empty, struct err *err);

#endif
