/* conf/limits.h: the section `limits` of the mailboxes' file. Internal. */
#ifndef CONF_LIMITS_H
#define CONF_LIMITS_H

#include "conf/conf.h"

struct conf_file;
struct conf_yaml;

/* Fills *limits from the section's map; NULL: nothing is written, the built-in limits hold. Of
 * the feed only the largest frame matters: the memory must hold some of them. */
void conf_limits_read(struct conf_file *file, const struct conf_yaml *map,
                      const struct conf_feed *feed, struct conf_limits *limits);

#endif
