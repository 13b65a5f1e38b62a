/* conf/mailboxes.h: the mailboxes' file. Internal. */
#ifndef CONF_MAILBOXES_H
#define CONF_MAILBOXES_H

#include "conf/conf.h"

struct conf_file;
struct conf_secret;
struct conf_yaml;

/* Fills conf->mailboxes and conf->limits from the file's root (NULL: empty); conf->feed was read
 * before. *ret_secrets has an item for each mailbox: where its password comes from when it does
 * not stand in the file, else NULL; the caller frees the array. */
void conf_mailboxes_read(struct conf_file *file, const struct conf_yaml *root, bool delete_after,
                         struct conf *conf, const struct conf_secret ***ret_secrets);

#endif
