/* conf/secret.h: secrets that stand outside the configuration files. Internal.
 *
 * A file or a command gives one secret, its first line. The same one is read or run once, however
 * many mailboxes name it. Commands run last, when all else is known to be right. */
#ifndef CONF_SECRET_H
#define CONF_SECRET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "conf/table.h"
#include "conf/value.h"

struct conf_file;

struct conf_secret {
    char *value;  /* NULL: not had, or (a command) not yet */
    char *source; /* path or words, behind what tells them apart; `len` bytes */
    size_t len;
    struct conf_file *file; /* where it was named first: problems are reported there */
    struct conf_entry entry;
    bool command;
};

/* All that stands outside. All zero is valid and empty. */
struct conf_secrets {
    struct conf_table known;
    struct conf_table pems; /* of conf_value_pem(), by path */
    struct conf_secret **items;
    size_t count;
    size_t cap;
};

void conf_secrets_release(struct conf_secrets *secrets);
/* The secret of a `…_file` key, read at once. Problems are reported; NULL when the entry itself is
 * wrong. The result is owned by file->secrets, its value by file->pool. */
const struct conf_secret *conf_secret_from_file(struct conf_file *file,
                                                const struct conf_entry *entry);
/* The secret of a `…_command` key: a list of arguments, or a line to be split into words. */
const struct conf_secret *conf_secret_from_command(struct conf_file *file,
                                                   const struct conf_entry *entry);
/* The words of such a key, a NUL behind each, appended to `words`; false: reported. */
bool conf_secret_words(struct conf_file *file, const struct conf_entry *entry, struct buf *words);
/* Runs the commands, as conf_command_run() does. The files of all entries and their nodes must
 * still be there. */
void conf_secrets_run(struct conf_secrets *secrets, msec_t time_limit,
                      const atomic_bool *cancelled);

#endif
