/* imap/refusal.h: what a server means when it says NO, BAD or BYE. */
#ifndef IMAP_REFUSAL_H
#define IMAP_REFUSAL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/num.h"
#include "imap/response.h"
#include "sasl/sasl.h"

/* ERR_RETRY_LATER when code or words say that it is busy, throttling or out of order; else
 * ERR_GIVE_UP: a person has to look. A code goes before words, which are anybody's guess. */
enum err_action imap_refusal_action(const struct imap_response *response);

/* Does its code say that trying again will not help? */
bool imap_refusal_final(const struct imap_response *response);

/* Does it speak of a limit, or of being out of order for now: code or words? Whoever comes back at
 * once makes it worse. A mere "later" does not say so: an autologout may. */
bool imap_refusal_limited(const struct imap_response *response);

/* The pause asked for with "Suggested Backoff Time: 299961 milliseconds", at most an hour; 0 if
 * none was. */
msec_t imap_refusal_pause(const struct imap_response *response);

/* The response's words, escaped for a log; a server that echoes the password or the access token,
 * in whatever form it was sent, is not quoted: it may know them from an earlier login. Returns
 * `out`. */
char *imap_refusal_words(char *out, size_t cap, const struct imap_response *response,
                         const struct sasl_credentials *credentials);
/* Which of these secrets an error's text repeats, or the beginning of one: "password"; NULL: none.
 * It may quote the server, escaped, cut anywhere, and in capitals. */
const char *imap_refusal_shows(const char *shown, const struct sasl_credentials *credentials);

#endif
