/* conf/oauth2.h: the `oauth2` map of a mailbox. Internal. */
#ifndef CONF_OAUTH2_H
#define CONF_OAUTH2_H

#include "conf/conf.h"
#include "conf/value.h"

struct conf_file;

/* Takes the keys of the entry's map over what is there: a mailbox's over those of the defaults. */
void conf_oauth2_apply(struct conf_file *file, const struct conf_entry *entry,
                       struct conf_oauth2 *oauth2);
/* All levels are read: reports, at the mailbox's entry, what is missing or does not go together.
 * *ret_oauth2 is a copy in the configuration. */
void conf_oauth2_finish(struct conf_file *file, const struct conf_yaml *map,
                        const struct conf_oauth2 *oauth2, struct conf_oauth2 **ret_oauth2);

#endif
