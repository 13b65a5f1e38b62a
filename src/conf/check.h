/* conf/check.h: values with a form of their own: hosts, folders, keywords, fingerprints. Internal.
 *
 * As in conf/value.h: false, and the problem is reported. */
#ifndef CONF_CHECK_H
#define CONF_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/value.h"

/* A host name or an IP address; the brackets of "[::1]" are taken off. */
bool conf_check_host(struct conf_file *file, const struct conf_entry *entry, char **ret_host);
/* A folder's name, or a special use (RFC 6154, RFC 8457) in its usual spelling; INBOX in capitals.
 * Equal folders are equal pointers. */
bool conf_check_folder(struct conf_file *file, const struct conf_entry *entry, char **ret_name);
/* An IMAP keyword: an atom (RFC 3501, flag-keyword). */
bool conf_check_keyword(struct conf_file *file, const struct conf_entry *entry, char **ret_name);
/* SHA-256 in hexadecimal, with or without colons and "sha256:". */
bool conf_check_fingerprint(struct conf_file *file, const struct conf_entry *entry,
                            uint8_t ret_fingerprint[32]);
/* An identity or channel of hpfeeds: at most 127 bytes. */
bool conf_check_feed_name(struct conf_file *file, const struct conf_entry *entry, char **ret_name);

#endif
