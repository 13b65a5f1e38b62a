/* collect/account.h: what the collector has to know of one mailbox account, and what it reports
 * of it. Constant while the collector runs; owned by whoever made the collector. */
#ifndef COLLECT_ACCOUNT_H
#define COLLECT_ACCOUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "imap/session.h"
#include "net/tls.h"

/* What is done to a mail in its mailbox when its delivery is on record. */
enum collect_after {
    COLLECT_AFTER_SEEN,    /* \Seen */
    COLLECT_AFTER_NONE,    /* nothing: the folder is opened read-only */
    COLLECT_AFTER_DELETE,  /* \Deleted, and expunged: this mail alone */
    COLLECT_AFTER_MOVE,    /* to `after_name` */
    COLLECT_AFTER_KEYWORD, /* gets the keyword `after_name` */
};

struct collect_account {
    const char *label; /* names it in state and logs; unique */
    const char *host;
    uint16_t port;
    struct net_tls *tls; /* NULL only with IMAP_SECURITY_NONE */
    enum imap_security security;
    enum imap_auth auth;
    const char *user;
    const char *password;
    const char *const *folders; /* UTF-8 names or special uses ("\Junk") */
    size_t folder_count;
    enum collect_after after;
    const char *after_name; /* MOVE: UTF-8 name or special use; KEYWORD: an atom; else NULL */
};

enum collect_phase {
    COLLECT_WAITING, /* for its turn */
    COLLECT_CONNECTING,
    COLLECT_LOGGING_IN,
    COLLECT_COLLECTING,
    COLLECT_RETRYING, /* between two attempts */
    COLLECT_DONE,
    COLLECT_FAILED,
};

/* What --check wants to know. */
struct collect_check {
    bool has_tls;
    struct net_tls_info tls;
    unsigned caps; /* enum imap_cap */
    uint32_t messages;
    uint32_t unseen;
};

struct collect_report {
    enum collect_phase phase;
    uint64_t found;      /* mails selected that were not known to be delivered */
    uint64_t delivered;  /* known to be taken, and on record */
    uint64_t held;       /* left untouched, on record with the reason */
    uint64_t recognised; /* delivered earlier under another UIDVALIDITY: only marked */
    uint64_t bytes;      /* of the delivered mails */
    struct err err;      /* FAILED: why; else its text is empty, or the last trouble's */
    struct collect_check check;
};

#endif
