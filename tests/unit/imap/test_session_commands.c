#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "peer.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* Logged in with the given capabilities; no tag is used up. */
#define READY(caps) "S:* PREAUTH [CAPABILITY IMAP4rev1 " caps "] hi\r\n", "E:READY"
#define FALSE_ANSWER "E:FAIL later the server answers a command that was not sent*"

static const struct peer_script test_verbs[] = {
    {.name = "each command's bytes",
     .steps = {READY("UIDPLUS"),
               "D:select INBOX", "C:$1 SELECT \"INBOX\"\r\n",
               "D:examine a b", "C:$2 EXAMINE \"a b\"\r\n",
               "D:search UID 1:9 UNSEEN", "C:$3 UID SEARCH UID 1:9 UNSEEN\r\n",
               "D:fetch (UID FLAGS)", "C:$4 UID FETCH 1:3,7 (UID FLAGS)\r\n",
               "D:store +FLAGS.SILENT (\\Seen)", "C:$5 UID STORE 1:3,7 +FLAGS.SILENT (\\Seen)\r\n",
               "D:copy Trash", "C:$6 UID COPY 1:3,7 \"Trash\"\r\n",
               "D:move Trash", "C:$7 UID MOVE 1:3,7 \"Trash\"\r\n",
               "D:uid-expunge 4:5", "C:$8 UID EXPUNGE 4:5\r\n",
               "D:expunge", "C:$9 EXPUNGE\r\n", "N:9"}},
    {.name = "the rest of them",
     .steps = {READY("IDLE"),
               "D:status Entw&APw-rfe",
               "C:$1 STATUS \"Entw&APw-rfe\" (MESSAGES UNSEEN UIDNEXT UIDVALIDITY)\r\n",
               "D:create &-", "C:$2 CREATE \"&-\"\r\n",
               "D:noop", "C:$3 NOOP\r\n", "D:logout", "C:$4 LOGOUT\r\n", "N:4",
               "W:the answer to STATUS"}},
    {.name = "ESEARCH", .steps = {READY("ESEARCH"), "D:search UNSEEN",
                                  "C:$1 UID SEARCH RETURN (ALL) UNSEEN\r\n"}},
    {.name = "LIST of special uses",
     .steps = {READY("LIST-EXTENDED SPECIAL-USE XLIST"), "D:list",
               "C:$1 LIST \"\" \"*\" RETURN (SPECIAL-USE)\r\n", "D:list plain",
               "C:$2 LIST \"\" \"*\"\r\n"}},
    {.name = "LIST that says special uses unasked",
     .steps = {READY("SPECIAL-USE XLIST"), "D:list", "C:$1 LIST \"\" \"*\"\r\n"}},
    {.name = "XLIST", .steps = {READY("XLIST"), "D:list", "C:$1 XLIST \"\" \"*\"\r\n",
                                "D:list plain", "C:$2 LIST \"\" \"*\"\r\n"}},
    {.name = "plain LIST", .steps = {READY("IDLE"), "D:list", "C:$1 LIST \"\" \"*\"\r\n"}},
};

static const struct peer_script test_pipeline[] = {
    {.name = "answers in the order of the server",
     .steps = {READY("IDLE"), "W:-", "N:0", "D:select INBOX", "D:search UNSEEN", "D:noop",
               "C:$1 SELECT \"INBOX\"\r\n$2 UID SEARCH UNSEEN\r\n$3 NOOP\r\n", "N:3",
               "W:the answer to SELECT", "S:* 3 EXISTS\r\n$1 OK [READ-WRITE] selected\r\n",
               "E:DATA EXISTS 3", "E:DONE 1 OK [READ-WRITE] selected", "N:2",
               "W:the answer to UID SEARCH", "S:$3 OK noop\r\n$2 NO nothing\r\n",
               "E:DONE 3 OK noop", "E:DONE 2 NO nothing", "N:0", "W:-"}},
    {.name = "BAD is the caller's",
     .steps = {READY("IDLE"), "D:select INBOX", "C:$1 SELECT \"INBOX\"\r\n",
               "S:$1 BAD User is authenticated but not connected.\r\n",
               "E:DONE 1 BAD User is authenticated but not connected."}},
    {.name = "words are escaped, and the pause is kept until something succeeds",
     .steps = {READY("IDLE"), "D:noop", "D:noop", "D:noop", "C:$1 NOOP\r\n$2 NOOP\r\n$3 NOOP\r\n",
               "S:* BAD [THROTTLED] Suggested Backoff Time: 1500 milliseconds\r\n",
               "E:DATA BAD [THROTTLED] Suggested Backoff Time: 1500 milliseconds",
               "S:$1 NO \x07\xFF\r\n", "E:DONE 1 NO \\x07\\xff", "P:1500", "S:$2 OK fine\r\n",
               "E:DONE 2 OK fine", "P:0"}},
    {.name = "untagged status and alerts are data",
     .steps = {READY("IDLE"), "S:* OK Still here\r\n* NO [ALERT] disk full\r\n* BAD what\r\n",
               "E:DATA OK Still here", "E:DATA NO [ALERT] disk full", "E:DATA BAD what"}},
    {.name = "a tag is good for one answer",
     .steps = {READY("IDLE"), "D:noop", "C:$1 NOOP\r\n", "S:$1 OK fine\r\n", "E:DONE 1 OK fine",
               "S:$1 OK fine\r\n", FALSE_ANSWER}},
    {.name = "capabilities that change",
     .steps = {READY("IDLE"), "S:* CAPABILITY IMAP4rev1 ESEARCH\r\n", "E:DATA CAPABILITY",
               "D:search UNSEEN", "C:$1 UID SEARCH RETURN (ALL) UNSEEN\r\n",
               "S:$1 OK [CAPABILITY IMAP4rev1] done\r\n", "E:DONE 1 OK [CAPABILITY] done",
               "D:search UNSEEN", "C:$2 UID SEARCH UNSEEN\r\n"}},
    {.name = "PREAUTH in mid-session",
     .steps = {READY("IDLE"), "S:* PREAUTH hi\r\n", "E:FAIL later the server says PREAUTH*"}},
    {.name = "+ for nothing",
     .steps = {READY("IDLE"), "D:noop", "C:$1 NOOP\r\n", "S:+ \r\n",
               "E:FAIL later the server says \"+\" where nothing waits for it"}},
};

static const struct peer_script test_literals[] = {
    {.name = "commands behind a literal wait",
     .steps = {READY("IDLE"), "D:noop", "D:select b\xC3\xB6x", "D:search UNSEEN",
               "C:$1 NOOP\r\n$2 SELECT {4}\r\n", "W:the answer to NOOP", "N:3",
               "S:$1 OK fine\r\n", "E:DONE 1 OK fine", "W:the answer to SELECT",
               "S:* 5 EXISTS\r\n+ go\r\n", "E:DATA EXISTS 5",
               "C:b\xC3\xB6x\r\n$3 UID SEARCH UNSEEN\r\n",
               "S:$2 OK in\r\n", "E:DONE 2 OK in"}},
    {.name = "two literals, one after the other",
     .steps = {READY("IDLE"), "D:create a\x80", "D:create b\x80", "C:$1 CREATE {2}\r\n",
               "S:+ \r\n", "C:a\x80\r\n$2 CREATE {2}\r\n", "S:+ \r\n", "C:b\x80\r\n"}},
    {.name = "a refused literal is not sent, what is behind it is",
     .steps = {READY("IDLE"), "D:create a\x80", "D:noop", "C:$1 CREATE {2}\r\n",
               "S:$1 NO [CANNOT] no 8-bit here\r\n", "E:DONE 1 NO [CANNOT] no 8-bit here",
               "C:$2 NOOP\r\n", "S:$2 OK\r\n", "E:DONE 2 OK *"}},
    {.name = "a literal answered BAD",
     .steps = {READY("IDLE"), "D:status a\x80", "C:$1 STATUS {2}\r\n", "S:$1 BAD no\r\n",
               "E:DONE 1 BAD no", "W:-"}},
    {.name = "OK before the literal was sent is a lie",
     .steps = {READY("IDLE"), "D:create a\x80", "C:$1 CREATE {2}\r\n", "S:$1 OK done\r\n",
               FALSE_ANSWER}},
    {.name = "an answer to a command that waits behind it is a lie",
     .steps = {READY("IDLE"), "D:noop", "C:$1 NOOP\r\n", "D:create a\x80", "D:noop",
               "C:$2 CREATE {2}\r\n", "S:zzzzz9 OK done\r\n", FALSE_ANSWER}},
    {.name = "CR and LF in a folder's name stay inside",
     .steps = {READY("IDLE"), "D:select x\r\nA DELETE INBOX", "C:$1 SELECT {17}\r\n", "S:+ \r\n",
               "C:x\r\nA DELETE INBOX\r\n"}},
    {.name = "what looks like a literal is quoted",
     .steps = {READY("IDLE"), "D:select a {5}", "C:$1 SELECT \"a {5}\"\r\n"}},
    {.name = "LITERAL+",
     .steps = {READY("LITERAL+"), "D:copy b\xC3\xB6x", "D:move \r\n", "D:status a\x80",
               "C:$1 UID COPY 1:3,7 {4+}\r\nb\xC3\xB6x\r\n$2 UID MOVE 1:3,7 {2+}\r\n\r\n\r\n"
               "$3 STATUS {2+}\r\na\x80 (MESSAGES UNSEEN UIDNEXT UIDVALIDITY)\r\n"}},
};

static const struct peer_script test_idle[] = {
    {.name = "idle",
     .steps = {READY("IDLE"), "D:idle", "C:$1 IDLE\r\n", "W:the server's + for IDLE", "N:1",
               "S:+ idling\r\n", "E:IDLING 1", "W:-", "S:* 4 EXISTS\r\n", "E:DATA EXISTS 4",
               "W:-", "D:idle-end", "C:DONE\r\n", "W:the end of IDLE", "D:idle-end",
               "S:$1 OK done\r\n", "E:DONE 1 OK done", "W:-", "N:0"}},
    {.name = "EXISTS before the +",
     .steps = {READY("IDLE"), "D:idle", "C:$1 IDLE\r\n", "S:* 4 EXISTS\r\n", "E:DATA EXISTS 4",
               "W:the server's + for IDLE", "S:+ \r\n", "E:IDLING 1"}},
    {.name = "the end is asked for before the +",
     .steps = {READY("IDLE"), "D:idle", "D:idle-end", "D:noop", "C:$1 IDLE\r\n", "S:+ idling\r\n",
               "C:DONE\r\n$2 NOOP\r\n", "W:the end of IDLE", "S:$1 OK done\r\n$2 OK noop\r\n",
               "E:DONE 1 OK done", "E:DONE 2 OK noop"}},
    {.name = "+ said again and again",
     .steps = {READY("IDLE"), "D:idle", "C:$1 IDLE\r\n", "S:+ idling\r\n", "E:IDLING 1",
               "S:+ still\r\n+ still\r\n", "D:idle-end", "C:DONE\r\n"}},
    {.name = "+ after DONE",
     .steps = {READY("IDLE"), "D:idle", "C:$1 IDLE\r\n", "S:+ idling\r\n", "E:IDLING 1",
               "D:idle-end", "C:DONE\r\n", "S:+ again\r\n", "E:FAIL later the server says \"+\"*"}},
    {.name = "refused",
     .steps = {READY("IDLE"), "D:idle", "C:$1 IDLE\r\n", "S:$1 NO not here\r\n",
               "E:DONE 1 NO not here", "D:idle-end", "D:noop", "C:$2 NOOP\r\n"}},
    {.name = "refused after its end was asked for: no DONE",
     .steps = {READY("IDLE"), "D:idle", "D:idle-end", "C:$1 IDLE\r\n", "S:$1 BAD what\r\n",
               "E:DONE 1 BAD what"}},
    {.name = "ended by the server",
     .steps = {READY("IDLE"), "D:idle", "C:$1 IDLE\r\n", "S:+ idling\r\n", "E:IDLING 1",
               "S:$1 OK enough\r\n", "E:DONE 1 OK enough", "D:idle-end", "D:idle",
               "C:$2 IDLE\r\n"}},
    {.name = "a command in spite of IDLE waits for its end",
     .steps = {READY("IDLE"), "D:idle", "C:$1 IDLE\r\n", "S:+ idling\r\n", "E:IDLING 1", "D:noop",
               "D:idle-end", "C:DONE\r\n$2 NOOP\r\n"}},
};

static const struct peer_script test_byes[] = {
    {.name = "logout",
     .steps = {READY("IDLE"), "D:logout", "C:$1 LOGOUT\r\n", "W:the answer to LOGOUT",
               "S:* BYE see you\r\n$1 OK done\r\n", "E:BYE BYE see you", "E:DONE 1 OK done",
               "W:-"}},
    {.name = "goodbye unasked, and said twice",
     .steps = {READY("IDLE"), "S:* BYE [UNAVAILABLE] restart\r\n* BYE again\r\n",
               "E:BYE BYE [UNAVAILABLE] restart"}},
    {.name = "twice after LOGOUT",
     .steps = {READY("IDLE"), "D:logout", "C:$1 LOGOUT\r\n", "S:* BYE a\r\n* BYE b\r\n$1 OK c\r\n",
               "E:BYE BYE a", "E:DONE 1 OK c"}},
    {.name = "in mid-command: nothing comes after it",
     .steps = {READY("IDLE"), "D:noop", "C:$1 NOOP\r\n",
               "S:* BYE Suggested Backoff Time: 60 seconds\r\n* 3 EXISTS\r\n$1 OK\r\nzz1 OK\r\n+ \r\n",
               "E:BYE BYE Suggested Backoff Time: 60 seconds", "P:60000"}},
    {.name = "right after IDLE",
     .steps = {READY("IDLE"), "D:idle", "C:$1 IDLE\r\n", "S:+ idling\r\n* BYE bye\r\n",
               "E:IDLING 1", "E:BYE BYE bye"}},
    {.name = "in place of a literal's +",
     .steps = {READY("IDLE"), "D:create a\x80", "C:$1 CREATE {2}\r\n", "S:* BYE bye\r\n+ \r\n",
               "E:BYE BYE bye"}},
};

static void test_all_verbs(void **state)
{
    (void)state;
    peer_run_all(test_verbs, COUNT(test_verbs));
}

static void test_all_pipeline(void **state)
{
    (void)state;
    peer_run_all(test_pipeline, COUNT(test_pipeline));
}

static void test_all_literals(void **state)
{
    (void)state;
    peer_run_all(test_literals, COUNT(test_literals));
}

static void test_all_idle(void **state)
{
    (void)state;
    peer_run_all(test_idle, COUNT(test_idle));
}

static void test_all_byes(void **state)
{
    (void)state;
    peer_run_all(test_byes, COUNT(test_byes));
}

/* Every response code on every command, tagged and untagged: none does harm. */
static void test_codes_everywhere(void **state)
{
    (void)state;
    static const char *const codes[] = {
        "ALERT", "BADCHARSET (utf-8)", "CAPABILITY IMAP4rev1 STARTTLS", "PARSE",
        "PERMANENTFLAGS (\\*)", "READ-ONLY", "READ-WRITE", "TRYCREATE", "UIDNEXT 7",
        "UIDVALIDITY 0", "UNSEEN 1", "UIDNOTSTICKY", "HIGHESTMODSEQ 9", "NOMODSEQ",
        "AUTHENTICATIONFAILED", "AUTHORIZATIONFAILED", "EXPIRED", "PRIVACYREQUIRED",
        "CONTACTADMIN", "UNAVAILABLE", "INUSE", "LIMIT", "THROTTLED", "OVERQUOTA", "NOPERM",
        "NONEXISTENT", "ALREADYEXISTS", "CANNOT", "CLOSED", "SERVERBUG", "CLIENTBUG",
        "EXPUNGEISSUED", "APPENDUID 1 2", "COPYUID 1 1:99999999 1:99999999", "MESSAGELIMIT 3",
        "REFERRAL imap://x/", "X-UNHEARD-OF"};
    static const char *const verbs[] = {
        "D:select a", "D:examine a", "D:search ALL",  "D:fetch (UID)", "D:store +FLAGS (x)",
        "D:copy a",   "D:move a",    "D:uid-expunge 1", "D:expunge",     "D:list",
        "D:status a", "D:create a",  "D:noop",        "D:logout",      "D:idle"};
    for (size_t i = 0; i < COUNT(codes) * COUNT(verbs); i++) {
        char *untagged = mem_printf("S:* OK [%s] x\r\n", codes[i % COUNT(codes)]);
        char *tagged = mem_printf("S:%s OK [%s] x\r\n", i % 2 ? "$1" : "$1", codes[i % COUNT(codes)]);
        /* What is sent is not at stake here: the tag is taken from a NOOP before it. */
        struct peer_script script = {
            .name = codes[i % COUNT(codes)],
            .steps = {READY("IDLE"), "D:noop", "C:$1 NOOP\r\n", untagged, "E:DATA OK *", tagged,
                      "E:DONE 1 OK *"}};
        peer_run(&script);
        free(untagged);
        free(tagged);
        (void)verbs;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_verbs),    cmocka_unit_test(test_all_pipeline),
        cmocka_unit_test(test_all_literals), cmocka_unit_test(test_all_idle),
        cmocka_unit_test(test_all_byes),     cmocka_unit_test(test_codes_everywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
