/* conf/value.h: what the scalar of a key means, by the type the key has. Internal.
 *
 * Each returns false, with the problem reported, when the value is not of the type. No message
 * repeats a value: a password may have come to stand in a wrong place. */
#ifndef CONF_VALUE_H
#define CONF_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/num.h"

struct conf_file;
struct conf_pem;
struct conf_yaml;

enum {
    CONF_VALUE_TEXT_MOST = 4096 /* bytes */
};

/* A key of a map, as it was written, and its value; or an item of a list under the list's name. */
struct conf_entry {
    const char *name; /* NULL: not there */
    const struct conf_yaml *key;
    const struct conf_yaml *value;
};

/* Any scalar but nothing, quoted or not, as it stands: 1 to CONF_VALUE_TEXT_MOST bytes, no NUL,
 * no line break. Shared (conf_pool_intern()). */
bool conf_value_text(struct conf_file *file, const struct conf_entry *entry, char **ret_text);
/* Likewise, but without any control character: fit for a log. */
bool conf_value_label(struct conf_file *file, const struct conf_entry *entry, char **ret_text);
/* Likewise a secret: remembered as one, and not shared. */
bool conf_value_secret(struct conf_file *file, const struct conf_entry *entry, char **ret_text);
/* yes/no, on/off, true/false as in YAML 1.1; quotes do not matter. */
bool conf_value_switch(struct conf_file *file, const struct conf_entry *entry, bool *ret_on);
/* A YAML 1.1 integer: 10_000, 0x2710, 0b1; quotes do not matter. */
bool conf_value_number(struct conf_file *file, const struct conf_entry *entry, uint64_t least,
                       uint64_t most, uint64_t *ret_number);
/* An integer or "64MiB"; `range` names least and most for people. */
bool conf_value_size(struct conf_file *file, const struct conf_entry *entry, uint64_t least,
                     uint64_t most, const char *range, uint64_t *ret_bytes);
/* So many a second: "20" or "0.5", with three decimals at most. */
bool conf_value_rate(struct conf_file *file, const struct conf_entry *entry, double least,
                     double most, const char *range, double *ret_rate);
/* Seconds or "500 ms". */
bool conf_value_duration(struct conf_file *file, const struct conf_entry *entry, msec_t least,
                         msec_t most, const char *range, msec_t *ret_ms);
/* One word of `names` (NULL ends them), in any case: its index. */
bool conf_value_choice(struct conf_file *file, const struct conf_entry *entry,
                       const char *const *names, unsigned *ret_index);
/* A path to a file that can be read, resolved; `what` says what is in it. */
bool conf_value_path(struct conf_file *file, const struct conf_entry *entry, const char *what,
                     char **ret_path);
/* The same, with what the file holds: each is read once, into file->pool. */
bool conf_value_pem(struct conf_file *file, const struct conf_entry *entry, const char *what,
                    char **ret_path, const struct conf_pem **ret_pem);
/* Is it a scalar with something in it? Else reports that `expected` was expected. */
bool conf_value_scalar(struct conf_file *file, const struct conf_entry *entry,
                       const char *expected);

#endif
