/* Logins with SCRAM, with a nonce that is known (../sasl/nonce.c); the server's side was computed
 * apart from this code. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "peer.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* In base64: client-first, server-first, client-final and server-final messages. */
#define CLIENT_FIRST "biwsbj10cmFwQGV4YW1wbGUub3JnLHI9ZnlrbytkMmxiYkZnT05Sdjlxa3hkYXdM"
#define SERVER_FIRST                                                                               \
    "cj1meWtvK2QybGJiRmdPTlJ2OXFreGRhd0xtb3JlLHM9VzIyWmFKMFNOWTdzb0VzVUVqYj"                       \
    "ZnUT09LGk9NDA5Ng=="
#define CLIENT_FINAL                                                                               \
    "Yz1iaXdzLHI9ZnlrbytkMmxiYkZnT05Sdjlxa3hkYXdMbW9yZSxwPWZ4WG4zS3Q3YzRMR0"                       \
    "5lZGJjL1FUZTRuVjg0YXhmYW5QU2ZYa2YvQkdtN289"
#define SERVER_FINAL "dj1mRVpvWW5Ua2I3M2kzRExicWpzWnhwaFc3bW1IT3haYWpkaUtsczZpNVpzPQ=="
/* With channel binding. */
#define BOUND_FIRST                                                                                \
    "cD10bHMtdW5pcXVlLCxuPXRyYXBAZXhhbXBsZS5vcmcscj1meWtvK2QybGJiRmdPTlJ2OX"                       \
    "FreGRhd0w="
#define BOUND_FINAL                                                                                \
    "Yz1jRDEwYkhNdGRXNXBjWFZsTEN3QUFRSURCQVVHQndnSkNncz0scj1meWtvK2QybGJiRm"                       \
    "dPTlJ2OXFreGRhd0xtb3JlLHA9Uy8xb000WUJyL2ZIS1NMNy9QRFUzVmZGNkwxcEdHVDNv"                       \
    "bGR1aTA4Mkw2WT0="
#define BOUND_PROOF "dj1hbzRoYVVvVDREdDNoYlh0UDFFK1NsbDVMNnFEMHIrVDdiRVcyK05WQVBRPQ=="
/* SHA-1. */
#define SERVER_FIRST_1                                                                             \
    "cj1meWtvK2QybGJiRmdPTlJ2OXFreGRhd0xtb3JlLHM9UVNYQ1IrUTZzZWs4YmY5MixpPT"                       \
    "QwOTY="
#define CLIENT_FINAL_1                                                                             \
    "Yz1iaXdzLHI9ZnlrbytkMmxiYkZnT05Sdjlxa3hkYXdMbW9yZSxwPVlZREdrVnJhTjhSQ0"                       \
    "xDWGNnMlNZYzltUDROOD0="
#define SERVER_FINAL_1 "dj05Rm45K1ltM1pNNHYzMXc2MVFadnJBNTZSWE09"
/* Hostile ones: too many iterations, a nonce that is not ours, a wrong proof, errors. */
#define BOMB                                                                                       \
    "cj1meWtvK2QybGJiRmdPTlJ2OXFreGRhd0x4LHM9VzIyWmFKMFNOWTdzb0VzVUVqYjZnUT"                       \
    "09LGk9MjE0NzQ4MzY0OA=="
#define OTHER_NONCE "cj1BQUFBLHM9VzIyWmFKMFNOWTdzb0VzVUVqYjZnUT09LGk9NDA5Ng=="
#define WRONG_PROOF "dj1lSGg0ZUhoNGVIaDRlSGg0ZUhoNGVIaDRlSGg0ZUhoNGVIaDRlSGg0ZUhnPQ=="
#define INVALID_PROOF "ZT1pbnZhbGlkLXByb29m"
#define NO_RESOURCES "ZT1uby1yZXNvdXJjZXM="
#define WRONG_BINDING "ZT1jaGFubmVsLWJpbmRpbmdzLWRvbnQtbWF0Y2g="
#define PLAIN64 "AHRyYXBAZXhhbXBsZS5vcmcAcORzcw=="

#define GREETING(caps) "S:* OK [CAPABILITY IMAP4rev1 SASL-IR " caps "] hi\r\n"
#define ALL_CAPS                                                                                   \
    "AUTH=PLAIN AUTH=SCRAM-SHA-1-PLUS AUTH=SCRAM-SHA-256-PLUS AUTH=SCRAM-SHA-1 AUTH=SCRAM-SHA-256"
#define BEGIN                                                                                      \
    GREETING("AUTH=PLAIN AUTH=SCRAM-SHA-1 AUTH=SCRAM-SHA-256"),                                    \
        "C:$1 AUTHENTICATE SCRAM-SHA-256 " CLIENT_FIRST "\r\n"
#define ANSWER                                                                                     \
    BEGIN, "S:+ " SERVER_FIRST "\r\n", "E:DERIVE 4096", "W:-", "K:", "C:" CLIENT_FINAL "\r\n",     \
        "W:the answer to AUTHENTICATE"
#define CANCELLED(words) "C:*\r\n", "S:$1 BAD cancelled\r\n", "E:FAIL giveup " words

static const struct peer_script test_ways[] = {
    {.name = "SCRAM-SHA-256 before the others",
     .steps = {ANSWER, "S:+ " SERVER_FINAL "\r\n", "C:\r\n",
               "S:$1 OK [CAPABILITY IMAP4rev1] in\r\n", "E:READY", "M:SCRAM-SHA-256 scram"}},
    {.name = "without SASL-IR",
     .steps = {"S:* OK [CAPABILITY IMAP4rev1 AUTH=SCRAM-SHA-256] hi\r\n",
               "C:$1 AUTHENTICATE SCRAM-SHA-256\r\n", "S:+ \r\n", "C:" CLIENT_FIRST "\r\n",
               "S:+ " SERVER_FIRST "\r\n", "E:DERIVE 4096", "K:", "C:" CLIENT_FINAL "\r\n",
               "S:+ " SERVER_FINAL "\r\n", "C:\r\n", "S:$1 OK [CAPABILITY IMAP4rev1] in\r\n",
               "E:READY"}},
    {.name = "SHA-1 where there is nothing better",
     .steps = {GREETING("AUTH=PLAIN AUTH=SCRAM-SHA-1"),
               "C:$1 AUTHENTICATE SCRAM-SHA-1 " CLIENT_FIRST "\r\n", "S:+ " SERVER_FIRST_1 "\r\n",
               "E:DERIVE 4096", "K:", "C:" CLIENT_FINAL_1 "\r\n", "S:+ " SERVER_FINAL_1 "\r\n",
               "C:\r\n", "S:$1 OK [CAPABILITY IMAP4rev1] in\r\n", "E:READY",
               "M:SCRAM-SHA-1 scram"}},
    {.name = "channel binding before everything",
     .bound = true,
     .steps = {GREETING(ALL_CAPS), "C:$1 AUTHENTICATE SCRAM-SHA-256-PLUS " BOUND_FIRST "\r\n",
               "S:+ " SERVER_FIRST "\r\n", "E:DERIVE 4096", "K:", "C:" BOUND_FINAL "\r\n",
               "S:+ " BOUND_PROOF "\r\n", "C:\r\n", "S:$1 OK [CAPABILITY IMAP4rev1] in\r\n",
               "E:READY", "M:SCRAM-SHA-256-PLUS bound"}},
    {.name = "channel binding before the better hash",
     .bound = true,
     .steps = {GREETING("AUTH=SCRAM-SHA-1-PLUS AUTH=SCRAM-SHA-256"),
               "C:$1 AUTHENTICATE SCRAM-SHA-1-PLUS " BOUND_FIRST "\r\n"}},
    {.name = "no channel binding where there is none to have",
     .steps = {GREETING(ALL_CAPS), "C:$1 AUTHENTICATE SCRAM-SHA-256 " CLIENT_FIRST "\r\n"}},
    {.name = "what is written out, and nothing else",
     .bound = true,
     .auth = IMAP_AUTH_SCRAM_SHA_1,
     .steps = {GREETING(ALL_CAPS), "C:$1 AUTHENTICATE SCRAM-SHA-1 " CLIENT_FIRST "\r\n"}},
    {.name = "what is written out, and not offered",
     .auth = IMAP_AUTH_SCRAM_SHA_256,
     .steps = {GREETING("AUTH=PLAIN AUTH=SCRAM-SHA-1"),
               "E:FAIL giveup the server does not offer AUTH=SCRAM-SHA-256, which is asked for"}},
    {.name = "in the clear, the password stays",
     .security = IMAP_SECURITY_NONE,
     .steps = {GREETING("AUTH=PLAIN AUTH=SCRAM-SHA-1"),
               "C:$1 AUTHENTICATE SCRAM-SHA-1 " CLIENT_FIRST "\r\n"}},
    {.name = "a password that SCRAM has no form for",
     .password = "p\xE4ss",
     .steps = {GREETING("AUTH=PLAIN AUTH=SCRAM-SHA-256"), "C:$1 AUTHENTICATE PLAIN " PLAIN64 "\r\n",
               "S:$1 OK [CAPABILITY IMAP4rev1] in\r\n", "E:READY", "M:PLAIN none"}},
    {.name = "and SCRAM is written out",
     .password = "p\xE4ss",
     .auth = IMAP_AUTH_SCRAM_SHA_256,
     .steps = {GREETING("AUTH=PLAIN AUTH=SCRAM-SHA-256"),
               "E:FAIL giveup SCRAM-SHA-256 cannot carry this password: it is not UTF-8, or has "
               "characters that are not allowed"}},
    {.name = "and there is nothing else",
     .password = "p\xE4ss",
     .steps = {GREETING("AUTH=SCRAM-SHA-256 LOGINDISABLED"),
               "E:FAIL giveup SCRAM-SHA-256 cannot carry this password*"}},
    {.name = "and there is the LOGIN command",
     .password = "p\xE4ss",
     .steps = {GREETING("AUTH=SCRAM-SHA-256"), "C:$1 LOGIN \"trap@example.org\" {4}\r\n"}},
};

static const struct peer_script test_step_down[] = {
    {.name = "SCRAM before, PLAIN now",
     .before = IMAP_PROOF_SCRAM,
     .steps = {GREETING("AUTH=PLAIN"),
               "E:FAIL giveup the server took SCRAM before and does not offer it any more: "
               "somebody may be in between who wants the password; if its operator has changed "
               "that, write `auth: plain` for this mailbox"}},
    {.name = "SCRAM before, the LOGIN command now",
     .before = IMAP_PROOF_SCRAM,
     .steps = {GREETING("ID"), "E:FAIL giveup the server took SCRAM before *"}},
    {.name = "SCRAM before, and in the clear",
     .security = IMAP_SECURITY_NONE,
     .before = IMAP_PROOF_SCRAM,
     .steps = {GREETING("AUTH=LOGIN"), "E:FAIL giveup the server took SCRAM before *"}},
    {.name = "SCRAM before, another hash now",
     .before = IMAP_PROOF_SCRAM,
     .steps = {GREETING("AUTH=PLAIN AUTH=SCRAM-SHA-1"),
               "C:$1 AUTHENTICATE SCRAM-SHA-1 " CLIENT_FIRST "\r\n"}},
    {.name = "SCRAM before, and PLAIN is written out",
     .before = IMAP_PROOF_BOUND,
     .auth = IMAP_AUTH_PLAIN,
     .password = "p\xE4ss",
     .steps = {GREETING("AUTH=PLAIN"), "C:$1 AUTHENTICATE PLAIN " PLAIN64 "\r\n"}},
    {.name = "SCRAM before, and LOGIN is written out",
     .before = IMAP_PROOF_SCRAM,
     .auth = IMAP_AUTH_LOGIN,
     .steps = {GREETING("ID"), "C:$1 LOGIN \"trap@example.org\" \"open sesame\"\r\n"}},
    {.name = "SCRAM before, and a password that it has no form for",
     .before = IMAP_PROOF_SCRAM,
     .password = "p\xE4ss",
     .steps = {GREETING("AUTH=PLAIN AUTH=SCRAM-SHA-256"),
               "E:FAIL giveup SCRAM-SHA-256 cannot carry this password*"}},
    {.name = "channel binding before, SCRAM now",
     .bound = true,
     .before = IMAP_PROOF_BOUND,
     .steps =
         {GREETING("AUTH=PLAIN AUTH=SCRAM-SHA-256 AUTH=SCRAM-SHA-1"),
          "E:FAIL giveup the server took SCRAM with channel binding before and does not offer it "
          "any more: somebody may be in between who wants the password; if its operator has "
          "changed that, write `auth: scram-sha-256` for this mailbox"}},
    {.name = "channel binding before, and a verified connection that has none",
     .before = IMAP_PROOF_BOUND,
     .verified = true,
     .steps = {GREETING(ALL_CAPS), "C:$1 AUTHENTICATE SCRAM-SHA-256 " CLIENT_FIRST "\r\n"}},
    {.name = "channel binding before, and not even SCRAM now",
     .before = IMAP_PROOF_BOUND,
     .verified = true,
     .steps = {GREETING("AUTH=PLAIN AUTH=SCRAM-SHA-256-PLUS"),
               "E:FAIL giveup the server took SCRAM before and does not offer it any more: *"}},
    {.name = "channel binding before, verified, and stripped",
     .bound = true,
     .before = IMAP_PROOF_BOUND,
     .verified = true,
     .steps = {GREETING("AUTH=PLAIN AUTH=SCRAM-SHA-256"),
               "E:FAIL giveup the server took SCRAM with channel binding before *"}},
    {.name = "channel binding before, and anybody's connection that has none",
     .before = IMAP_PROOF_BOUND,
     .steps = {GREETING(ALL_CAPS),
               "E:FAIL giveup logins were bound to the connection before, this one cannot be bound "
               "to (as with TLS 1.3), and nothing verifies whom it leads to: somebody may be in "
               "between; give tls_ca or tls_fingerprint, or write `auth: scram-sha-256` for this "
               "mailbox"}},
    {.name = "channel binding before, and now",
     .bound = true,
     .before = IMAP_PROOF_BOUND,
     .steps = {GREETING(ALL_CAPS), "C:$1 AUTHENTICATE SCRAM-SHA-256-PLUS " BOUND_FIRST "\r\n"}},
    {.name = "tokens are something else",
     .before = IMAP_PROOF_BOUND,
     .access_token = "token",
     .steps = {GREETING("AUTH=PLAIN"),
               "E:FAIL giveup the server offers no known way to log in: *"}},
};

/* Whoever does not know the password is not let in, and learns nothing that is worth anything. */
static const struct peer_script test_attacks[] = {
    {.name = "OK without a proof",
     .steps = {ANSWER, "S:$1 OK [CAPABILITY IMAP4rev1] in\r\n",
               "E:FAIL giveup the server lets us in without a proof that it knows the password*"}},
    {.name = "OK at once",
     .steps = {BEGIN, "S:$1 OK in\r\n", "E:FAIL giveup the server lets us in without a proof*"}},
    {.name = "OK while we calculate",
     .steps = {BEGIN, "S:+ " SERVER_FIRST "\r\n", "E:DERIVE 4096", "S:$1 OK in\r\n",
               "E:FAIL giveup the server lets us in without a proof*", "K:"}},
    {.name = "OK after an error",
     .steps = {ANSWER, "S:+ " INVALID_PROOF "\r\n", "C:\r\n", "S:$1 OK in\r\n",
               "E:FAIL giveup the server lets us in without a proof*"}},
    {.name = "a wrong proof",
     .steps = {ANSWER, "S:+ " WRONG_PROOF "\r\n",
               CANCELLED("the server cannot prove that it knows the password*")}},
    {.name = "OK after a wrong proof",
     .steps = {ANSWER, "S:+ " WRONG_PROOF "\r\n", "C:*\r\n", "S:$1 OK in\r\n",
               "E:FAIL giveup the server cannot prove that it knows the password*"}},
    {.name = "no proof, but more questions",
     .steps = {ANSWER, "S:+ \r\n",
               CANCELLED("the server cannot prove that it knows the password*")}},
    {.name = "more questions after the proof",
     .steps = {ANSWER, "S:+ " SERVER_FINAL "\r\n", "C:\r\n", "S:+ \r\n",
               CANCELLED("the server asks for more than SCRAM has to say")}},
    {.name = "an iteration bomb",
     .steps = {BEGIN, "S:+ " BOMB "\r\n",
               CANCELLED("the server asks for more than 2000000 iterations*")}},
    {.name = "somebody else's nonce",
     .steps = {BEGIN, "S:+ " OTHER_NONCE "\r\n",
               CANCELLED("the server does not go on from our nonce*")}},
    {.name = "no message at all",
     .steps = {BEGIN, "S:+ \r\n", CANCELLED("the server's first message is not SCRAM's")}},
    {.name = "no base64",
     .steps = {BEGIN, "S:+ go ahead\r\n", CANCELLED("the server's first message is not SCRAM's")}},
    {.name = "a question while we calculate",
     .steps = {BEGIN, "S:+ " SERVER_FIRST "\r\n", "E:DERIVE 4096", "S:+ " SERVER_FIRST "\r\n",
               "E:FAIL later the server asks on before it was answered", "K:"}},
    {.name = "a goodbye while we calculate",
     .steps = {BEGIN, "S:+ " SERVER_FIRST "\r\n", "E:DERIVE 4096", "S:* BYE slow\r\n",
               "E:FAIL later the server ends the connection before the login is done: slow", "K:"}},
    {.name = "not while we calculate",
     .steps = {BEGIN, "S:+ " SERVER_FIRST "\r\n", "E:DERIVE 4096", "S:$1 NO no\r\n",
               "E:FAIL giveup the server refused the login of trap@example.org: no; *", "K:"}},
    /* Not the weaker way that is also offered: it would have the password. */
    {.name = "BAD to SCRAM",
     .steps =
         {BEGIN, "S:$1 BAD what\r\n",
          "E:FAIL giveup the server does not understand AUTHENTICATE: what; another `auth` may "
          "help"}},
    {.name = "a wrong password",
     .steps = {ANSWER, "S:$1 NO [AUTHENTICATIONFAILED] no\r\n",
               "E:FAIL giveup the server refused the login of trap@example.org: no; check username "
               "and password"}},
    {.name = "a wrong password in SCRAM's own words",
     .steps = {ANSWER, "S:+ " INVALID_PROOF "\r\n", "C:\r\n", "S:$1 NO no\r\n",
               "E:FAIL giveup the server refused the login of trap@example.org: no; its status is "
               "invalid-proof; check username and password"}},
    {.name = "busy in SCRAM's own words",
     .steps = {ANSWER, "S:+ " NO_RESOURCES "\r\n", "C:\r\n", "S:$1 NO no\r\n",
               "E:FAIL later the server does not log us in now: no"}},
    {.name = "busy",
     .steps = {ANSWER, "S:$1 NO [UNAVAILABLE] no\r\n",
               "E:FAIL later the server does not log us in now: no"}},
    {.name = "a proxy that ends TLS, or somebody who does the same",
     .bound = true,
     .steps = {GREETING(ALL_CAPS), "C:$1 AUTHENTICATE SCRAM-SHA-256-PLUS " BOUND_FIRST "\r\n",
               "S:+ " SERVER_FIRST "\r\n", "E:DERIVE 4096", "K:", "C:" BOUND_FINAL "\r\n",
               "S:+ " WRONG_BINDING "\r\n", "C:\r\n", "S:$1 NO no\r\n",
               "E:FAIL giveup the server refused the channel binding: no; its status is "
               "channel-bindings-dont-match; *"}},
};

static void test_all_ways(void **state)
{
    (void)state;
    peer_run_all(test_ways, COUNT(test_ways));
}

static void test_all_step_down(void **state)
{
    (void)state;
    peer_run_all(test_step_down, COUNT(test_step_down));
}

static void test_all_attacks(void **state)
{
    (void)state;
    peer_run_all(test_attacks, COUNT(test_attacks));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_ways),
        cmocka_unit_test(test_all_step_down),
        cmocka_unit_test(test_all_attacks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
