/* imap/session.h: a client's session with an IMAP server. No I/O.
 *
 * The session does by itself what security hangs on: greeting, STARTTLS, capabilities,
 * authentication and ID, in that order, and it lets no credentials out but over TLS (or where
 * `tls: none` was written out). After IMAP_EVENT_READY the caller issues commands, several at a
 * time; each is answered by one IMAP_EVENT_DONE with its number, whatever happens to it but the
 * connection's end.
 *
 *   feed → next (until 0) → output: write it, clear it → wait for bytes → feed …
 *
 *   GREETING → [CAPABILITY → STARTTLS → (TLS)] → CAPABILITY → AUTH → [CAPABILITY] → [ID] → READY
 */
#ifndef IMAP_SESSION_H
#define IMAP_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "imap/response.h"
#include "imap/uidset.h"
#include "sasl/sasl.h"

enum imap_security {
    IMAP_SECURITY_IMPLICIT, /* the bytes come through TLS from the start */
    IMAP_SECURITY_STARTTLS,
    IMAP_SECURITY_NONE, /* in the clear, as the configuration says in so many words */
};

enum imap_auth {
    IMAP_AUTH_AUTO, /* the best of what follows that the server offers */
    IMAP_AUTH_PLAIN,
    IMAP_AUTH_LOGIN, /* AUTHENTICATE LOGIN where offered, else the LOGIN command */
    IMAP_AUTH_SCRAM_SHA_256,
    IMAP_AUTH_SCRAM_SHA_1,
    IMAP_AUTH_XOAUTH2,
    IMAP_AUTH_OAUTHBEARER,
};

/* How a password is proven, the weakest first. */
enum imap_proof {
    IMAP_PROOF_NONE,  /* it is sent; or there was none */
    IMAP_PROOF_SCRAM, /* it is not, and the server proves that it knows it, too */
    IMAP_PROOF_BOUND, /* the same, and nobody can be in between (channel binding) */
};

struct imap_session_settings {
    enum imap_security security;
    enum imap_auth auth;
    /* With an access token it is what logs in, and the password is not used. What it points to must
     * outlive the session: a server that echoes a secret later is not quoted. */
    struct sasl_credentials credentials;
    /* How the password was proven to this server before: with AUTO it is not proven in a weaker
     * way, whatever the server offers now. But for one step: where the connection itself cannot be
     * bound to (imap_session_bind() was not called) and is `verified`, SCRAM does. */
    enum imap_proof before;
    bool verified; /* TLS makes sure whom it connects to */
    struct imap_limits limits;
};

enum imap_event_type {
    /* Start TLS on the connection now, then call imap_session_secured(). Whatever of the last
     * input is unread is an attack, and the session has made sure there is none. */
    IMAP_EVENT_STARTTLS,
    /* A slow calculation is due before the login goes on: `derivation`, for sasl_derive(), with the
     * password, wherever it stops nobody; then call imap_session_derived(). Nothing is waited for
     * meanwhile. Before READY. */
    IMAP_EVENT_DERIVE,
    /* Logged in: commands may be issued. */
    IMAP_EVENT_READY,
    /* A command has been answered: command, status (OK, NO, BAD), code, text. */
    IMAP_EVENT_DONE,
    /* Something untagged that is data: `response`. Of IMAP_RESPONSE_STATUS only OK, NO and BAD.
     * Before READY there is only OK, NO and BAD with the code ALERT, which a person should see. */
    IMAP_EVENT_DATA,
    /* The server said goodbye after READY: code and text say why, and after LOGOUT it is as it
     * should be. Without LOGOUT nothing comes any more, not even DONE: close the connection. */
    IMAP_EVENT_BYE,
    /* "+" for IDLE, whose end was not asked for yet: the server is watching. */
    IMAP_EVENT_IDLING,
};

struct imap_event {
    enum imap_event_type type;
    uint32_t command; /* DONE, IDLING: what imap_session_x() returned */
    enum imap_status status;
    enum imap_code code;
    uint64_t code_number;                     /* the code's argument, if it has a number */
    uint32_t code_uid;                        /* its second one, where that is a UID; else 0 */
    char text[256];                           /* DONE, BYE: the server's words, escaped */
    enum err_action action;                   /* of NO, BAD and BYE: will waiting help? */
    const struct imap_response *response;     /* DATA; valid until the next call */
    const struct sasl_derivation *derivation; /* DERIVE; the same */
};

struct imap_session;

struct imap_session *imap_session_new(const struct imap_session_settings *settings);
/* NULL does nothing. */
void imap_session_free(struct imap_session *session);

/* Input, valid until imap_session_next() returned 0; imap_session_rest() bytes of it are not
 * taken yet when the caller stops asking before that. */
void imap_session_feed(struct imap_session *session, const uint8_t *data, size_t len);
size_t imap_session_rest(const struct imap_session *session);
/* 1 and an event; 0: all input taken; -1: the session is over: refused (a wrong password is
 * ERR_GIVE_UP, a throttled or unavailable server ERR_RETRY_LATER), attacked, or the protocol
 * broken. `err` is fit for a log and says what to do. */
int imap_session_next(struct imap_session *session, struct imap_event *ret_event, struct err *err);
/* What must be sent; the caller sends it and removes what it has sent (a command counts as sent
 * only then, and may not be answered before). Look after each round of _next() and after issuing
 * commands. It holds secrets at times: never log it, mem_wipe() it after use. The session wipes
 * and frees its memory with the next input when it is empty. */
struct buf *imap_session_output(struct imap_session *session);
/* What the server is being waited for, for deadlines and logs ("the greeting", "the TLS
 * handshake", "the answer to LOGIN"); a static string. NULL when nothing is: no command is in
 * flight, or IDLE is and watches. */
const char *imap_session_waiting_for(const struct imap_session *session);
/* TLS stands: goes on after IMAP_EVENT_STARTTLS, with all that was learnt before forgotten. */
void imap_session_secured(struct imap_session *session);
/* What the TLS connection can be told apart by, for mechanisms with channel binding. Copied; to be
 * said when TLS stands, before anything that came through it is fed, and before
 * imap_session_secured(). */
void imap_session_bind(struct imap_session *session, const struct sasl_binding *binding);
/* The key that IMAP_EVENT_DERIVE asked for. No effect when the session is over by now. */
void imap_session_derived(struct imap_session *session, const uint8_t *key);
/* After READY: the name of the mechanism that was used ("SCRAM-SHA-256"), static; "LOGIN" for the
 * command, too; "" when nothing was sent, as after PREAUTH. *ret_proof: how a password was proven.
 */
const char *imap_session_mechanism(const struct imap_session *session, enum imap_proof *ret_proof);
/* enum imap_cap bits; after READY those that hold when logged in. */
unsigned imap_session_caps(const struct imap_session *session);
/* Is it over because the server broke the protocol in the midst of a FETCH? *ret_uid is what that
 * had named by then; 0: no mail. */
bool imap_session_broke_in_fetch(const struct imap_session *session, uint32_t *ret_uid);
/* How many of the caller's commands are not answered yet. */
unsigned imap_session_pending(const struct imap_session *session);
/* The pause in ms that the server asked for with the last NO, BAD or BYE that named one
 * ("Suggested Backoff Time: 299961 milliseconds", capped at an hour); 0 if none did, or a command
 * succeeded since. */
uint64_t imap_session_suggested_pause(const struct imap_session *session);
/* Did a NO, BAD or BYE speak of a limit, or of being unavailable for now, since a command last
 * succeeded? */
bool imap_session_limited(const struct imap_session *session);
/* Did the login end because the server does not take the access token? A new one may help, at once;
 * what imap_session_next() failed with is for when that was new already. */
bool imap_session_token_refused(const struct imap_session *session);

/* Commands, for after READY. Each returns its number (> 0), to be met again in IMAP_EVENT_DONE.
 * Mailbox names are as servers send them (modified UTF-7, see imap/encode.h) and may hold any byte
 * but NUL. Sets are the text of imap_uidset_take_text(); sets, criteria, items and changes go out
 * as they are, so nothing in them may come from a peer. */
uint32_t imap_session_select(struct imap_session *session, const char *mailbox, bool read_only);
/* `criteria` as in RFC 9051 ("UNSEEN", "UID 1:9 DELETED"). With ESEARCH asks for RETURN (ALL). */
uint32_t imap_session_uid_search(struct imap_session *session, const char *criteria);
/* `items` such as "(UID FLAGS RFC822.SIZE)". */
uint32_t imap_session_uid_fetch(struct imap_session *session, const char *set, const char *items);
/* `change` such as "+FLAGS.SILENT (\\Seen)". */
uint32_t imap_session_uid_store(struct imap_session *session, const char *set, const char *change);
uint32_t imap_session_uid_copy(struct imap_session *session, const char *set, const char *mailbox);
uint32_t imap_session_uid_move(struct imap_session *session, const char *set, const char *mailbox);
/* UID EXPUNGE; needs UIDPLUS. */
uint32_t imap_session_uid_expunge(struct imap_session *session, const char *set);
uint32_t imap_session_expunge(struct imap_session *session);
/* LIST "" "*" with RETURN (SPECIAL-USE) where there is LIST-EXTENDED and SPECIAL-USE, XLIST where
 * only that is known; `plain` asks for the plain form, for when the other was answered BAD. */
uint32_t imap_session_list(struct imap_session *session, bool plain);
/* STATUS mailbox (MESSAGES UNSEEN UIDNEXT UIDVALIDITY). */
uint32_t imap_session_status(struct imap_session *session, const char *mailbox);
/* NOTIFY SET (RFC 5465): from now on, and as long as the connection lives, the server tells by
 * itself of new and expunged mails: of the selected mailbox as ever, of the `count` mailboxes named
 * by STATUS, which comes as data at any time, in IDLE too. It may leave UIDVALIDITY out. For a name
 * that does not exist the server may tell later, when it does. The code NOTIFICATIONOVERFLOW on an
 * untagged OK is its end. Needs IMAP_CAP_NOTIFY. */
uint32_t imap_session_notify(struct imap_session *session, const char *const *mailboxes,
                             size_t count);
uint32_t imap_session_create(struct imap_session *session, const char *mailbox);
uint32_t imap_session_noop(struct imap_session *session);
uint32_t imap_session_logout(struct imap_session *session);
/* IDLE, and its end. It may stand behind other commands that are not answered yet. No other command
 * may be issued between the two; _idle_end() may be called before "+" came, DONE is then sent when
 * it does. What is issued after _idle_end() goes out in one piece with DONE: the next IDLE, too. */
uint32_t imap_session_idle(struct imap_session *session);
void imap_session_idle_end(struct imap_session *session);

#endif
