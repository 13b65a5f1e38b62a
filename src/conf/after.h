/* conf/after.h: what happens to a delivered mail. Internal. */
#ifndef CONF_AFTER_H
#define CONF_AFTER_H

#include "conf/conf.h"
#include "conf/value.h"

/* seen, none, delete, {move: NAME}, {keyword: NAME}; the latter also as "move: NAME". False:
 * reported. *ret_name is NULL where there is none. */
bool conf_after_read(struct conf_file *file, const struct conf_entry *entry,
                     enum conf_after *ret_after, char **ret_name);

#endif
