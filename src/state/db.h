/* state/db.h: an SQLite file as this program wants it: identity, schema, settings, and what
 * SQLite's failures mean to a person. Internal to the room. */
#ifndef STATE_DB_H
#define STATE_DB_H

#include <sqlite3.h>

#include "base/err.h"

enum {
    STATE_DB_BUSY = 10000, /* ms that is waited for another program's writing */
};

/* Opens the existing file (an empty one becomes a new database) and brings it to this program's
 * schema. Nothing is written to a file that is not this program's: closing does not write what a
 * WAL was found to hold, until state_db_accept(). */
int state_db_open(const char *path, sqlite3 **ret_db, struct err *err);
/* All of it is as it should be. */
void state_db_accept(sqlite3 *db);

/* Fails when the file that is open has no longer its name: what would be written to it is lost. */
int state_db_check_place(sqlite3 *db, struct err *err);

/* Describes the failure of the call on `db` just before; returns -1. */
int state_db_error(sqlite3 *db, struct err *err);
/* The file at `path` is not as this program leaves it; returns -1. */
int state_db_damaged(struct err *err, const char *path, const char *why);

#endif
