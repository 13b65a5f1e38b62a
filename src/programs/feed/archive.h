/* feed/archive.h: a Maildir of mails, each once. */
#ifndef FEED_ARCHIVE_H
#define FEED_ARCHIVE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct feed_archive;

/* Opens the Maildir, made if it is not there, and looks through what is in it. */
int feed_archive_open(const char *path, struct feed_archive **ret_archive, struct err *err);
/* NULL does nothing. */
void feed_archive_free(struct feed_archive *archive);
/* Delivers a mail whose SHA-256 is `sha256`, lower-case hex: 1, it is on disk; 0, it is there
 * already. */
int feed_archive_add(struct feed_archive *archive, const uint8_t *mail, size_t len,
                     const char *sha256, struct err *err);
/* How many of each there were. */
uint64_t feed_archive_added(const struct feed_archive *archive);
uint64_t feed_archive_doubles(const struct feed_archive *archive);

#endif
