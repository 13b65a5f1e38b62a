/* collect/account.h: what the collector has to know of one mailbox account, and what it reports
 * of it. */
#ifndef COLLECT_ACCOUNT_H
#define COLLECT_ACCOUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/num.h"
#include "imap/session.h"
#include "net/tls.h"
#include "token/keeper.h"

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
    const char *password;        /* NULL with … */
    struct token_keeper *tokens; /* … what gives access tokens; NULL: the password logs in */
    const char *const *folders;  /* UTF-8 names or special uses ("\Junk") */
    size_t folder_count;
    enum collect_after after;
    const char *after_name; /* MOVE: UTF-8 name or special use; KEYWORD: an atom; else NULL */
    /* For continuous collecting: */
    bool idle;                /* use IDLE where the server has it */
    msec_t poll_interval;     /* between two looks where IDLE cannot be used or is not trusted */
    msec_t idle_refresh;      /* IDLE is renewed so often */
    unsigned max_connections; /* at a time; 0 counts as 1 */
};

/* A copy of all of it, texts included, with references to its TLS context and tokens. */
struct collect_account *collect_account_copy(const struct collect_account *account);
/* The same in everything? TLS context and tokens have to be the same objects, too.
 */
bool collect_account_equal(const struct collect_account *a, const struct collect_account *b);
/* Of a copy; its secrets are wiped. NULL does nothing. */
void collect_account_free(struct collect_account *copy);

enum collect_phase {
    COLLECT_WAITING, /* for its turn */
    COLLECT_CONNECTING,
    COLLECT_LOGGING_IN,
    COLLECT_COLLECTING,
    COLLECT_WATCHING, /* all that was there is collected, new mail is waited for */
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
    struct err *err;     /* FAILED, RETRYING: why; else the last trouble, or NULL */
    msec_t
        failing_since; /* by the loop's clock: in trouble since then without a break; 0: is not */
    struct collect_check *check; /* NULL without --check */
};

void collect_report_release(struct collect_report *report);

#endif
