/* feed/file.h: reading and writing files whole. */
#ifndef FEED_FILE_H
#define FEED_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

/* All of it; -1 and errno. */
int feed_file_write(int fd, const uint8_t *data, size_t len);
/* Appends all there is to read; "-" is standard input. Over `max` bytes it fails. */
int feed_file_load(const char *name, size_t max, struct buf *content, struct err *err);
/* The files of a Maildir (its new and cur), in the order of their names, NULL behind the last; or
 * *ret_files is NULL: it is no Maildir. feed_file_free_list() frees it. */
int feed_file_list_maildir(const char *path, char ***ret_files, struct err *err);
void feed_file_free_list(char **files);

#endif
