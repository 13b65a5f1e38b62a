/* conf/mailbox.h: one entry of the mailboxes' file. Internal. */
#ifndef CONF_MAILBOX_H
#define CONF_MAILBOX_H

#include <stdbool.h>

#include "conf/conf.h"

struct conf_file;
struct conf_secret;
struct conf_yaml;

/* A mailbox while its keys come together: the program's defaults, then the file's, then its own. */
struct conf_mailbox_draft {
    struct conf_mailbox mailbox;
    struct conf_oauth2 oauth2;        /* while they come together */
    bool oauth2_given;                /* in place of a password */
    const struct conf_secret *secret; /* NULL: the password stands in the file */
    const struct conf_yaml *after_at; /* NULL: not written */
    const struct conf_yaml *auth_at;  /* the same */
    bool port_given;                  /* "given" is also what was wrong and is reported */
    bool tls_given;
    bool username_given;
    bool password_given;
    bool host_given;
};

/* What holds where nothing is written. */
void conf_mailbox_init(struct conf_mailbox_draft *draft, struct conf_file *file);
/* Takes the keys of `map` over what is there; `defaults`: it is the file's `defaults`, not an
 * entry. */
void conf_mailbox_apply(struct conf_mailbox_draft *draft, struct conf_file *file,
                        const struct conf_yaml *map, bool defaults);
/* Fills in what follows from the rest, and reports what is missing from the entry at `map`.
 * *ret_whole: the account is known, and can be compared with others. */
void conf_mailbox_finish(struct conf_mailbox_draft *draft, struct conf_file *file,
                         const struct conf_yaml *map, bool *ret_whole);

#endif
