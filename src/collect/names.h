/* collect/names.h: from the folders of a configuration to those of a server. Internal.
 *
 * A configured folder is a name in UTF-8 or a special use (RFC 6154: "\Junk"). Names are encoded
 * by themselves; special uses need the server's LIST. */
#ifndef COLLECT_NAMES_H
#define COLLECT_NAMES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "imap/response.h"

enum {
    FOLDER_NAMES_MOST = 8, /* that a special use may have, one after the other */
};

/* One configured folder. */
struct folder_name {
    unsigned special; /* enum imap_attr, 0: a plain name */
    char *name;       /* UTF-8; NULL while a special use is not resolved */
    char *mailbox;    /* as the server writes it; NULL likewise */
    char **had;       /* the names that a special use was resolved to, in UTF-8 */
    unsigned had_count;
    bool exhausted; /* there were more */
};

/* `configured` outlives the call only. */
void folder_name_init(struct folder_name *name, const char *configured);
void folder_name_release(struct folder_name *name);
/* Takes a LIST response: if it is the special use that is looked for, the name is resolved. The
 * first one wins; none of more than 1,000 bytes does. */
void folder_name_offer(struct folder_name *name, const struct imap_response *list);
bool folder_name_resolved(const struct folder_name *name);
/* Takes what LIST said of a special use, if it did, from a name of its own. But once it has had
 * FOLDER_NAMES_MOST different names only these are taken, as each is another folder to the state,
 * which remembers it: true when that happens for the first time. */
bool folder_name_take(struct folder_name *name, struct folder_name *listed);
/* Forgets what LIST said: a new connection asks anew. */
void folder_name_reset(struct folder_name *name);

#endif
