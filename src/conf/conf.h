/* conf/conf.h: the two YAML files, made into one validated, constant struct.
 *
 * Every problem of both files is found and reported in one go; a configuration with an error is
 * not given out at all. The keys and their meaning are in docs/configuration.md. */
#ifndef CONF_CONF_H
#define CONF_CONF_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/num.h"

struct conf_place;

enum conf_tls_mode {
    CONF_TLS_IMPLICIT,
    CONF_TLS_STARTTLS,
    CONF_TLS_NONE,
};

/* What a file of certificates or a key held when the configuration was read, and what tells whether
 * it has changed since. */
struct conf_pem {
    char *text;
    size_t len;
    int64_t seconds; /* when it was changed last */
    long nanoseconds;
};

struct conf_tls {
    enum conf_tls_mode mode; /* a feed has IMPLICIT or NONE */
    char *ca;                /* NULL: the system's */
    bool verify;
    bool has_fingerprint;
    uint8_t fingerprint[32];
    char *cert; /* feed only; NULL: none */
    char *key;
    const struct conf_pem *ca_pem; /* of the three files, where they are given */
    const struct conf_pem *cert_pem;
    const struct conf_pem *key_pem;
};

enum conf_confirm {
    CONF_CONFIRM_AUTO,
    CONF_CONFIRM_ECHO,
    CONF_CONFIRM_CLOSE,
    CONF_CONFIRM_SENT,
};

struct conf_feed {
    char *host;
    uint16_t port;
    char *ident;
    char *secret;
    char **channels;
    size_t channel_count;
    struct conf_tls tls;
    bool payload_raw;
    enum conf_confirm confirm;
    char *confirm_channel; /* never NULL: "confirm.<ident>" unless given */
    msec_t confirm_grace;
    uint32_t max_frame;
};

enum conf_auth {
    CONF_AUTH_AUTO,
    CONF_AUTH_PLAIN,
    CONF_AUTH_LOGIN,
    CONF_AUTH_SCRAM_SHA_256,
    CONF_AUTH_SCRAM_SHA_1,
    CONF_AUTH_XOAUTH2,
    CONF_AUTH_OAUTHBEARER,
};

enum conf_after {
    CONF_AFTER_SEEN,
    CONF_AFTER_NONE,
    CONF_AFTER_DELETE,
    CONF_AFTER_MOVE,    /* after_name: a folder in UTF-8, or a special use such as "\Trash" */
    CONF_AFTER_KEYWORD, /* after_name: the keyword */
};

/* Where a mailbox's access tokens come from: a command, or an endpoint. NULL is "not given". */
struct conf_oauth2 {
    char *command; /* its words, a NUL behind each … */
    size_t command_len;
    char *directory; /* … and where it runs; "": here */
    char *token_url;
    char *device_url;
    char *client_id;
    char *client_secret;
    char *scope;
    char *refresh_token;
    char *refresh_token_file; /* resolved; may not be there yet */
    char *ca;                 /* a file, as in conf_tls … */
    const struct conf_pem *ca_pem;
    bool command_given; /* also when it is wrong, and reported */
    bool wrong;         /* is no map at all, and reported */
};

struct conf_mailbox {
    /* `name` if given; else username@host, with ":port" behind it when that is neither 143 nor
     * 993. Unique; it names the account in state, logs and metrics. */
    char *label;
    char *username;
    char *password;             /* NULL with oauth2 */
    struct conf_oauth2 *oauth2; /* NULL: a password logs in */
    char *host;
    uint16_t port;
    struct conf_tls tls;
    enum conf_auth auth;
    char **folders; /* UTF-8 names, or special uses such as "\Junk"; >= 1, none twice */
    size_t folder_count;
    enum conf_after after;
    char *after_name;
    bool idle;
    msec_t poll_interval; /* where IDLE cannot be used */
    msec_t idle_refresh;
    unsigned max_connections; /* of this account, >= 1 */
    unsigned line;            /* of its entry, for messages */
};

/* How gently servers are treated; the numbers hold for each host name by itself. */
struct conf_host_limits {
    const char *host;     /* lower case; ".example.org": it and all below it; NULL: every host */
    unsigned connections; /* at a time; 0: any number */
    double logins_per_second;
};

struct conf_limits {
    size_t memory_budget; /* bytes; >= four frames of the feed's max_frame */
    /* The first that covers a host holds for it; the last covers every host. */
    struct conf_host_limits *hosts;
    size_t host_count;
};

/* One piece of memory: mailboxes share equal strings and lists, so none is freed or changed. */
struct conf {
    char *feed_path;
    char *mailbox_path;
    struct conf_feed feed;
    struct conf_mailbox *mailboxes;
    size_t mailbox_count;
    struct conf_limits limits;
};

/* What is wrong, or worth a warning, in the order of the files. */
struct conf_problem {
    bool warning;
    char *text; /* "mailboxes.yml:12:3: unknown key \"usrname\": did you mean \"username\"?" */
};

struct conf_problems {
    struct conf_problem *items;
    size_t count;
    size_t errors; /* how many of them are not warnings */
};

/* Reads both files and what they point to (password files, password commands). NULL paths mean
 * the defaults of the current directory: feed_config.yml, then .yaml; mailbox_credentials.yml,
 * then .yaml. `delete_after` is -d: every mailbox's `after` becomes delete. Returns 0 and the
 * configuration, perhaps with warnings in *ret_problems; or -1 and at least one error in it.
 * *ret_problems is always set: release it. No problem's text ever holds a secret.
 *
 * Commands run when all else is right, each for 30 s at most, or until *cancelled is true, which
 * is an error (NULL: it never is). Blocks for as long; keeps no state of its own, so that it may be
 * called on any thread. */
int conf_load(const char *feed_path, const char *mailbox_path, bool delete_after,
              const atomic_bool *cancelled, struct conf **ret_conf,
              struct conf_problems *ret_problems);
/* The same, made in a place instead of in memory of its own. It ends with the place: no
 * conf_free().
 */
int conf_load_into(struct conf_place *place, const char *feed_path, const char *mailbox_path,
                   bool delete_after, const atomic_bool *cancelled, struct conf **ret_conf,
                   struct conf_problems *ret_problems);
/* The limits that hold for a host, in any case of its letters. */
const struct conf_host_limits *conf_limits_of_host(const struct conf_limits *limits,
                                                   const char *host);
/* Secrets are wiped. NULL does nothing. */
void conf_free(struct conf *conf);
void conf_problems_release(struct conf_problems *problems);

#endif
