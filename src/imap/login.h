/* imap/login.h: from the greeting to a session that is logged in. No I/O.
 *
 *   GREETING → CAPABILITY → STARTTLS → TLS → CAPABILITY → AUTH → CAPABILITY_AGAIN → READY
 *
 * CAPABILITY is left out where the greeting said it, CAPABILITY_AGAIN where the answer to AUTH
 * did; STARTTLS and TLS are for IMAP_SECURITY_STARTTLS alone; PREAUTH skips AUTH. Invariants:
 *   GREETING, CAPABILITY, STARTTLS: no byte of user or password has left.
 *   TLS: nothing is in flight, nothing is read.
 *   AUTH and behind it: the bytes go through TLS, or `security` is NONE. `deriving`: it is our
 * turn, and the server is not waited for. CAPABILITY_AGAIN, READY: a server that has to prove
 * itself has done so. READY: nothing is left of what was sent. */
#ifndef IMAP_LOGIN_H
#define IMAP_LOGIN_H

#include <stdbool.h>

#include "base/err.h"
#include "imap/command.h"
#include "imap/response.h"
#include "imap/session.h"
#include "imap/way.h"
#include "sasl/sasl.h"

enum imap_login_state {
    IMAP_LOGIN_GREETING,
    IMAP_LOGIN_CAPABILITY,
    IMAP_LOGIN_STARTTLS,
    IMAP_LOGIN_TLS,
    IMAP_LOGIN_AUTH,
    IMAP_LOGIN_CAPABILITY_AGAIN,
    IMAP_LOGIN_READY,
};

struct imap_login {
    enum imap_login_state state;
    enum imap_security security;
    enum imap_auth auth;
    enum imap_proof before;
    bool verified;                /* see struct imap_session_settings */
    bool secured;                 /* the bytes pass through TLS */
    bool cancelled;               /* AUTHENTICATE was ended by us, with "*" … */
    struct err *why;              /* … because of this */
    bool deriving;                /* the key for the next answer is being derived */
    bool entered;                 /* AUTHENTICATE or LOGIN was sent */
    struct sasl_binding *binding; /* NULL: none, or not needed any more */
    bool token_refused;           /* an access token, by the answer to AUTHENTICATE */
    const struct sasl_credentials *credentials;
    const struct imap_way *way; /* that was taken; NULL: the LOGIN command */
    struct sasl_client *sasl;   /* while AUTHENTICATE is in flight */
    unsigned caps;              /* enum imap_cap */
    bool caps_known;            /* `caps` were said in this state of the connection */
    unsigned untagged;          /* responses before READY */
};

/* What the session has to do next; negative for a failure. */
enum imap_login_step {
    IMAP_LOGIN_MORE, /* nothing: wait for more */
    IMAP_LOGIN_STEP_TLS,
    IMAP_LOGIN_STEP_DERIVE,
    IMAP_LOGIN_STEP_READY,
};

/* `credentials` stay the caller's, and must outlive it. */
void imap_login_init(struct imap_login *login, const struct imap_session_settings *settings,
                     const struct sasl_credentials *credentials);
void imap_login_release(struct imap_login *login);
/* Keeps capabilities, wherever they were said, and what comes with them. */
void imap_login_learn(struct imap_login *login, unsigned caps);

/* An untagged response before READY. */
int imap_login_untagged(struct imap_login *login, struct imap_commands *commands,
                        const struct imap_response *response, struct err *err);
/* The tagged answer to one of the session's own commands. */
int imap_login_answered(struct imap_login *login, struct imap_commands *commands,
                        enum imap_command_kind kind, const struct imap_response *response,
                        struct err *err);
/* "+" for AUTHENTICATE. */
int imap_login_challenged(struct imap_login *login, struct imap_commands *commands,
                          struct imap_command *command, const struct imap_response *response,
                          struct err *err);
/* The key that IMAP_LOGIN_STEP_DERIVE asked for; no effect when it is of no use any more. */
void imap_login_derived(struct imap_login *login, struct imap_commands *commands,
                        const uint8_t *key);
/* What the TLS connection can be told apart by; copied. */
void imap_login_bind(struct imap_login *login, const struct sasl_binding *binding);
/* TLS stands. */
void imap_login_secured(struct imap_login *login, struct imap_commands *commands);
/* May words of the server be shown? Not while anybody could have put them there. */
bool imap_login_trusted(const struct imap_login *login);

#endif
