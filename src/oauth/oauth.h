/* oauth/oauth.h: OAuth 2.0 as a client (RFC 6749, RFC 8628): what is posted to a provider's
 * endpoints, and what its replies say. No I/O, no clock.
 *
 * A provider is as hostile as any peer: its replies are checked, its words escaped before they get
 * into an error, and secrets that it repeats are struck from them. */
#ifndef OAUTH_OAUTH_H
#define OAUTH_OAUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/num.h"

enum {
    OAUTH_REPLY_MOST = 64 << 10, /* bytes of a reply; whoever fetches it ends there */
    OAUTH_TOKEN_MOST = 16 << 10, /* of a token */
};

/* For the whole process, before any of the rest: memory of the JSON parser is wiped when it is
 * freed, as tokens pass through it. */
void oauth_setup(void);

/* Who asks. Strings are the caller's. */
struct oauth_client {
    const char *id;
    const char *secret; /* NULL: a public client */
    const char *scope;  /* NULL: not said */
};

/* The bodies of requests, application/x-www-form-urlencoded, appended to `out`. They hold secrets:
 * the caller wipes them. The client's secret goes in the body, as all large providers take it. */

/* RFC 6749 section 6. */
void oauth_ask_refresh(struct buf *out, const struct oauth_client *client,
                       const char *refresh_token);
/* RFC 8628 section 3.1. */
void oauth_ask_device(struct buf *out, const struct oauth_client *client);
/* RFC 8628 section 3.4. */
void oauth_ask_device_token(struct buf *out, const struct oauth_client *client,
                            const char *device_code);

/* A reply, as it came. */
struct oauth_reply {
    unsigned status;          /* of HTTP */
    const char *content_type; /* NULL: none; only ever shown: the body decides */
    const uint8_t *body;
    size_t len;
};

/* What a reply that gives nothing means to its caller. */
enum oauth_refusal {
    OAUTH_FAILED,      /* what `err` says is all there is */
    OAUTH_NO_GRANT,    /* invalid_grant and the like: a person has to authorize anew */
    OAUTH_PENDING,     /* RFC 8628 section 3.5: the person has not decided yet */
    OAUTH_SLOW_DOWN,   /* likewise, and the interval grows */
    OAUTH_DENIED,      /* the person said no */
    OAUTH_CODE_EXPIRED /* the person took too long */
};

struct oauth_token {
    char *access;  /* NULL: none that can be used */
    char *refresh; /* NULL: none was given; the old one stays good */
    bool has_lifetime;
    msec_t lifetime; /* of the access token */
};

/* Reads the reply of a token endpoint. `client` and `used` (the refresh token or device code that
 * was sent) are struck from what it says. Returns 0 and the token; or -1 and what it means; or, as
 * the refresh token that was sent may be void, 1 and a token without access, and what that means.
 */
int oauth_token_read(const struct oauth_reply *reply, const struct oauth_client *client,
                     const char *used, struct oauth_token *ret_token,
                     enum oauth_refusal *ret_refusal, struct err *err);
/* Wiped. All zero is valid and empty. */
void oauth_token_release(struct oauth_token *token);
/* Is it printable ASCII without blanks, and of 1 to OAUTH_TOKEN_MOST bytes? Only such a token is
 * taken from anywhere. */
bool oauth_token_valid(const char *token);

/* RFC 8628 section 3.2: what the person is shown, and how the endpoint is to be asked. */
struct oauth_device {
    char *code; /* secret */
    /* For the person; escaped. */
    char *user_code;
    char *address;
    char *address_complete; /* NULL: none */
    msec_t interval;        /* between two questions */
    msec_t lifetime;        /* what is left of it */
};

int oauth_device_read(const struct oauth_reply *reply, const struct oauth_client *client,
                      struct oauth_device *ret_device, struct err *err);
/* The endpoint is to be asked (again), after this pause. `slower`: it said slow_down, or could not
 * be reached. False: the code has expired by then. */
bool oauth_device_pause(struct oauth_device *device, bool slower, msec_t *ret_pause);
void oauth_device_release(struct oauth_device *device);

#endif
