/* collect/connection.h: one connection to an account's server, from the TCP connect to LOGOUT: its
 * login, its deadlines, its pauses. What is said on it in between is its owner's affair. Internal;
 * embedded in its owner. */
#ifndef COLLECT_CONNECTION_H
#define COLLECT_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/log.h"
#include "base/num.h"
#include "imap/session.h"
#include "sasl/sasl.h"
#include "token/keeper.h"

struct collect_account;
struct collect_env;
struct derive_job;
struct derived_key;
struct net_conn;

/* Why it is over. */
struct connection_end {
    const struct err *err; /* NULL: it ended as it should, after connection_leave() */
    msec_t hint;           /* the pause the server asked for; 0: none */
    bool limited;          /* its last refusal spoke of a limit, or of being unavailable */
    bool broke_in_fetch;   /* the protocol, that is … */
    uint32_t broke_over;   /* … over the mail of this UID; 0: it had not said */
};

struct connection_events {
    /* TCP (and implicit TLS) stand; the login begins. */
    void (*connected)(void *ctx);
    /* Logged in: commands may be issued. */
    void (*ready)(void *ctx);
    /* A command has been answered. */
    void (*done)(void *ctx, const struct imap_event *event);
    /* Untagged data. False: there is no memory for it: nothing is read until
     * connection_resume(). */
    bool (*data)(void *ctx, const struct imap_response *response);
    /* The "+" to IDLE came. */
    void (*idling)(void *ctx);
    /* What came was worked through: a time to issue what is next. */
    void (*pumped)(void *ctx);
    /* It is over, and closed already. */
    void (*ended)(void *ctx, const struct connection_end *end);
};

struct connection {
    struct collect_env *env;
    const struct collect_account *account;
    const struct log_scope *scope;
    const struct connection_events *events;
    void *ctx;
    struct net_conn *conn;               /* NULL without a connection, as is … */
    struct imap_session *session;        /* … this */
    struct sasl_credentials credentials; /* of this login; the account's */
    struct derived_key **kept;   /* the owner's: SCRAM's key of the last login; *NULL: none */
    struct derive_job *deriving; /* it is being derived */
    struct token_wait wait;      /* before there is a connection: for a token */
    struct token *token;         /* of this login; NULL: a password logs in */
    bool token_fresh;            /* … got for it */
    bool stalled;                /* nothing is read, for want of memory */
    bool securing;               /* STARTTLS was answered, TLS does not stand yet */
    bool ready;                  /* logged in */
    bool leaving;                /* after LOGOUT; how a server ends then is its own affair */
    bool progressed;             /* since the deadline was set: it is to be set anew */
    size_t pieced;               /* bytes that came since the last piece was whole … */
    unsigned pieces;             /* … of which so many came since the last answer or body … */
    unsigned talk;               /* … and so many untagged responses that set it anew */
    unsigned alerts;             /* told so far */
};

void connection_init(struct connection *connection, struct collect_env *env,
                     const struct collect_account *account, const struct log_scope *scope,
                     struct derived_key **kept, const struct connection_events *events, void *ctx);
/* Begins to connect, with an access token in hand where the account has such. Only while there is
 * no connection. */
void connection_open(struct connection *connection);
/* Closes at once; no event comes after it. No effect without a connection. */
void connection_close(struct connection *connection);
/* LOGOUT, and the server's end within some seconds. */
void connection_leave(struct connection *connection);
/* Ends it for a reason of the owner's: as if it had failed with `err`. */
void connection_fail(struct connection *connection, const struct err *err);
/* Memory is there: goes on reading. */
void connection_resume(struct connection *connection);
/* Hands what was issued outside of the events to the connection. */
void connection_flush(struct connection *connection);

#endif
