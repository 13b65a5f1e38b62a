/* conf/feed.h: the broker's file. Internal. */
#ifndef CONF_FEED_H
#define CONF_FEED_H

#include "conf/conf.h"

struct conf_file;
struct conf_secret;
struct conf_yaml;

/* Fills *feed from the file's root (NULL: empty). Where the secret comes from elsewhere,
 * *ret_secret is it, and feed->secret is filled in later; else NULL. */
void conf_feed_read(struct conf_file *file, const struct conf_yaml *root, struct conf_feed *feed,
                    const struct conf_secret **ret_secret);

#endif
