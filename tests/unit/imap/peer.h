/* A scripted server and caller for tests of imap/session.h.
 *
 * A script is a list of steps, each a letter, a colon and an argument:
 *   S:bytes   the server sends them; $1 to $9 stand for tags met before
 *   C:bytes   these and no other bytes have left since the last C; a $n not met before takes the
 *             tag that stands in its place
 *   E:event   the next event, as peer_describe() puts it ("READY", "DONE 1 OK words", "FAIL later
 *             words"); with a "*" at its end only what is before it counts
 *   O:event   the next event, or none: where it depends on how the bytes are cut
 *   W:words   what is being waited for; "-" for nothing
 *   D:verb    the caller issues a command ("select INBOX", "idle", …)
 *   T:        TLS stands
 *   P:number  suggested pause
 *   N:number  commands that are pending
 *   K:        the key that was asked for is derived, from the password "open sesame"
 *   M:name    how it was logged in ("SCRAM-SHA-256 scram")
 *   A:number  1: the access token was refused
 * Every script is run with the server's bytes whole, byte by byte, and cut in two at every place.
 * In each run nothing that is secret may leave before TLS stands, unless the script's security
 * allows it. */
#ifndef TEST_IMAP_PEER_H
#define TEST_IMAP_PEER_H

#include "imap/session.h"

enum {
    PEER_STEPS = 40
};

struct peer_script {
    const char *name;
    enum imap_security security;
    enum imap_auth auth;
    const char *user;     /* NULL: "trap@example.org" */
    const char *password; /* NULL: "open sesame" */
    const char *access_token;
    bool bound; /* the connection has a channel binding, of tls-unique: 0, 1, … 11 */
    enum imap_proof before;
    bool verified;
    const char *steps[PEER_STEPS];
};

/* Runs it in all ways; fails the test when something is not as written. */
void peer_run(const struct peer_script *script);
/* Runs all. */
void peer_run_all(const struct peer_script *scripts, size_t count);

#endif
