/* conf/names.h: a list of names, or one name alone. Internal. */
#ifndef CONF_NAMES_H
#define CONF_NAMES_H

#include <stddef.h>

#include "conf/value.h"

struct conf_file;

/* Checks one name; equal names are equal pointers. */
typedef bool conf_names_check(struct conf_file *file, const struct conf_entry *entry,
                              char **ret_name);

/* The names of `channels` or `folders`: at least one, none twice. False: reported. */
bool conf_names_read(struct conf_file *file, const struct conf_entry *entry,
                     conf_names_check *check, char ***ret_names, size_t *ret_count);

#endif
