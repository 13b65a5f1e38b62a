/* oauth/reply.h: what all replies have in common: JSON, or a refusal in words. Internal. */
#ifndef OAUTH_REPLY_H
#define OAUTH_REPLY_H

#include <jansson.h>

#include "oauth/oauth.h"

/* What must not be shown. */
struct oauth_secrets {
    const struct oauth_client *client;
    const char *used; /* NULL: none */
};

/* The object of a reply that succeeded, the caller's; or NULL, and what it means instead. */
json_t *oauth_reply_object(const struct oauth_reply *reply, const struct oauth_secrets *secrets,
                           enum oauth_refusal *ret_refusal, struct err *err);
/* A copy of a member that is text without control characters; NULL: it is not there, or is
 * something else, or longer than `most`. */
char *oauth_reply_text(const json_t *object, const char *name, size_t most);
/* A member that is a number of seconds, also one in quotes; false: it is not there, or no such
 * number. At most a year, whatever it says. */
bool oauth_reply_seconds(const json_t *object, const char *name, msec_t *ret_span);

#endif
