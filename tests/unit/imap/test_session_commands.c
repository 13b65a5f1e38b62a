#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "heap.h"
#include "peer.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* Logged in with the given capabilities; no tag is used up. */
#define READY(caps) "S:* PREAUTH [CAPABILITY IMAP4rev1 " caps "] hi\r\n", "E:READY"
#define FALSE_ANSWER "E:FAIL later the server answers a command that was not sent*"

static const struct peer_script test_verbs[] = {
    {.name = "each command's bytes",
     .steps = {READY("UIDPLUS"),
               "D:select INBOX",
               "C:$1 SELECT \"INBOX\"\r\n",
               "D:examine a b",
               "C:$2 EXAMINE \"a b\"\r\n",
               "D:search UID 1:9 UNSEEN",
               "C:$3 UID SEARCH UID 1:9 UNSEEN\r\n",
               "D:fetch (UID FLAGS)",
               "C:$4 UID FETCH 1:3,7 (UID FLAGS)\r\n",
               "D:store +FLAGS.SILENT (\\Seen)",
               "C:$5 UID STORE 1:3,7 +FLAGS.SILENT (\\Seen)\r\n",
               "D:copy Trash",
               "C:$6 UID COPY 1:3,7 \"Trash\"\r\n",
               "D:move Trash",
               "C:$7 UID MOVE 1:3,7 \"Trash\"\r\n",
               "D:uid-expunge 4:5",
               "C:$8 UID EXPUNGE 4:5\r\n",
               "D:expunge",
               "C:$9 EXPUNGE\r\n",
               "N:9"}},
    {.name = "the rest of them",
     .steps = {READY("IDLE"), "D:status Entw&APw-rfe",
               "C:$1 STATUS \"Entw&APw-rfe\" (MESSAGES UNSEEN UIDNEXT UIDVALIDITY)\r\n",
               "D:create &-", "C:$2 CREATE \"&-\"\r\n", "D:noop", "C:$3 NOOP\r\n", "D:logout",
               "C:$4 LOGOUT\r\n", "N:4", "W:the answer to STATUS"}},
    {.name = "ESEARCH",
     .steps = {READY("ESEARCH"), "D:search UNSEEN", "C:$1 UID SEARCH RETURN (ALL) UNSEEN\r\n"}},
    {.name = "LIST of special uses",
     .steps = {READY("LIST-EXTENDED SPECIAL-USE XLIST"), "D:list",
               "C:$1 LIST \"\" \"*\" RETURN (SPECIAL-USE)\r\n", "D:list plain",
               "C:$2 LIST \"\" \"*\"\r\n"}},
    {.name = "LIST that says special uses unasked",
     .steps = {READY("SPECIAL-USE XLIST"), "D:list", "C:$1 LIST \"\" \"*\"\r\n"}},
    {.name = "XLIST",
     .steps = {READY("XLIST"), "D:list", "C:$1 XLIST \"\" \"*\"\r\n", "D:list plain",
               "C:$2 LIST \"\" \"*\"\r\n"}},
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
               "C:$1 NOOP\r\n$2 SELECT {4}\r\n", "W:the answer to NOOP", "N:3", "S:$1 OK fine\r\n",
               "E:DONE 1 OK fine", "W:the answer to SELECT", "S:* 5 EXISTS\r\n+ go\r\n",
               "E:DATA EXISTS 5", "C:b\xC3\xB6x\r\n$3 UID SEARCH UNSEEN\r\n", "S:$2 OK in\r\n",
               "E:DONE 2 OK in"}},
    {.name = "two literals, one after the other",
     .steps = {READY("IDLE"), "D:create a\x80", "D:create b\x80", "C:$1 CREATE {2}\r\n", "S:+ \r\n",
               "C:a\x80\r\n$2 CREATE {2}\r\n", "S:+ \r\n", "C:b\x80\r\n"}},
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
               "S:+ idling\r\n", "E:IDLING 1", "W:-", "S:* 4 EXISTS\r\n", "E:DATA EXISTS 4", "W:-",
               "D:idle-end", "C:DONE\r\n", "W:the end of IDLE", "D:idle-end", "S:$1 OK done\r\n",
               "E:DONE 1 OK done", "W:-", "N:0"}},
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
    {.name = "+ that crosses DONE",
     .steps = {READY("IDLE"), "D:idle", "C:$1 IDLE\r\n", "S:+ idling\r\n", "E:IDLING 1",
               "D:idle-end", "C:DONE\r\n", "S:+ still\r\n$1 OK done\r\n", "E:DONE 1 OK done",
               "S:+ again\r\n", "E:FAIL later the server says \"+\"*"}},
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

/* What the others in flight have to do with IDLE. */
static const struct peer_script test_idle_pipeline[] = {
    {.name = "behind SELECT and SEARCH, in one piece",
     .steps = {READY("IDLE"), "D:select INBOX", "D:search UNSEEN", "D:idle",
               "C:$1 SELECT \"INBOX\"\r\n$2 UID SEARCH UNSEEN\r\n$3 IDLE\r\n",
               "W:the answer to SELECT", "S:* 3 EXISTS\r\n$1 OK in\r\n", "E:DATA EXISTS 3",
               "E:DONE 1 OK in", "W:the answer to UID SEARCH", "S:$2 OK found\r\n",
               "E:DONE 2 OK found", "W:the server's + for IDLE", "S:+ idling\r\n", "E:IDLING 3",
               "W:-", "N:1"}},
    {.name = "+ before the others' answers",
     .steps = {READY("IDLE"), "D:search UNSEEN", "D:idle", "C:$1 UID SEARCH UNSEEN\r\n$2 IDLE\r\n",
               "S:+ idling\r\n* 4 EXISTS\r\n", "E:IDLING 2", "E:DATA EXISTS 4",
               "W:the answer to UID SEARCH", "S:$1 OK found\r\n", "E:DONE 1 OK found", "W:-"}},
    {.name = "its end is asked for while others are unanswered",
     .steps = {READY("IDLE"), "D:search UNSEEN", "D:idle", "D:idle-end", "D:fetch (UID)",
               "C:$1 UID SEARCH UNSEEN\r\n$2 IDLE\r\n", "S:$1 OK found\r\n", "E:DONE 1 OK found",
               "C:", "W:the server's + for IDLE", "S:+ idling\r\n",
               "C:DONE\r\n$3 UID FETCH 1:3,7 (UID)\r\n", "S:$2 OK done\r\n", "E:DONE 2 OK done",
               "W:the answer to UID FETCH"}},
    {.name = "refused while others are unanswered",
     .steps = {READY("IDLE"), "D:search UNSEEN", "D:idle", "D:noop",
               "C:$1 UID SEARCH UNSEEN\r\n$2 IDLE\r\n", "S:$2 NO not now\r\n",
               "E:DONE 2 NO not now", "C:$3 NOOP\r\n", "S:$1 OK found\r\n$3 OK fine\r\n",
               "E:DONE 1 OK found", "E:DONE 3 OK fine", "W:-"}},
    {.name = "behind a literal that waits",
     .steps = {READY("IDLE"), "D:status a\x80", "D:idle", "D:idle-end", "C:$1 STATUS {2}\r\n",
               "S:+ \r\n", "C:a\x80 (MESSAGES UNSEEN UIDNEXT UIDVALIDITY)\r\n$2 IDLE\r\n",
               "S:+ \r\n", "C:DONE\r\n"}},
    {.name = "DONE, what is next, and IDLE again, in one piece",
     .steps = {READY("IDLE"), "D:idle", "C:$1 IDLE\r\n", "S:+ idling\r\n", "E:IDLING 1",
               "D:idle-end", "D:search UNSEEN", "D:idle",
               "C:DONE\r\n$2 UID SEARCH UNSEEN\r\n$3 IDLE\r\n", "W:the end of IDLE",
               "S:* 5 EXISTS\r\n$1 OK done\r\n* 6 EXISTS\r\n", "E:DATA EXISTS 5",
               "E:DONE 1 OK done", "E:DATA EXISTS 6", "S:$2 OK found\r\n+ idling\r\n",
               "E:DONE 2 OK found", "E:IDLING 3", "W:-"}},
    {.name = "renewed in one piece, ended again",
     .steps = {READY("IDLE"),
               "D:idle",
               "C:$1 IDLE\r\n",
               "S:+ idling\r\n",
               "E:IDLING 1",
               "D:idle-end",
               "D:idle",
               "C:DONE\r\n$2 IDLE\r\n",
               "W:the end of IDLE",
               "S:+ still\r\n* 4 EXISTS\r\n$1 OK done\r\n",
               "E:DATA EXISTS 4",
               "E:DONE 1 OK done",
               "W:the server's + for IDLE",
               "D:idle-end",
               "C:",
               "S:+ idling\r\n",
               "C:DONE\r\n",
               "S:$2 OK done\r\n",
               "E:DONE 2 OK done",
               "W:-",
               "N:0"}},
    {.name = "renewed in one piece as the server's end crosses DONE",
     .steps = {READY("IDLE"), "D:idle", "C:$1 IDLE\r\n", "S:+ idling\r\n", "E:IDLING 1",
               "D:idle-end", "D:idle", "C:DONE\r\n$2 IDLE\r\n",
               "S:$1 OK enough\r\nDONE BAD unknown command\r\n+ idling\r\n", "E:DONE 1 OK enough",
               "E:IDLING 2", "W:-", "N:1"}},
    {.name = "BAD after DONE",
     .steps = {READY("IDLE"), "D:idle", "C:$1 IDLE\r\n", "S:+ idling\r\n", "E:IDLING 1",
               "D:idle-end", "D:noop", "C:DONE\r\n$2 NOOP\r\n", "S:$1 BAD what\r\n$2 OK fine\r\n",
               "E:DONE 1 BAD what", "E:DONE 2 OK fine"}},
    {.name = "goodbye after DONE",
     .steps = {READY("IDLE"), "D:idle", "C:$1 IDLE\r\n", "S:+ idling\r\n", "E:IDLING 1",
               "D:idle-end", "C:DONE\r\n", "S:* 5 EXISTS\r\n* BYE idled too long\r\n",
               "E:DATA EXISTS 5", "E:BYE BYE idled too long"}},
    {.name = "the server's end and our DONE cross: DONE is a command to it",
     .steps = {READY("IDLE"), "D:idle", "C:$1 IDLE\r\n", "S:+ idling\r\n", "E:IDLING 1",
               "D:idle-end", "D:noop", "C:DONE\r\n$2 NOOP\r\n",
               "S:$1 OK enough\r\nDONE BAD unknown command\r\n$2 OK fine\r\n", "E:DONE 1 OK enough",
               "E:DONE 2 OK fine"}},
    {.name = "no answer to DONE is OK but IDLE's own",
     .steps = {READY("IDLE"), "D:idle", "C:$1 IDLE\r\n", "S:+ idling\r\n", "E:IDLING 1",
               "D:idle-end", "C:DONE\r\n", "S:DONE OK done\r\n", FALSE_ANSWER}},
};

static const struct peer_script test_notify[] = {
    {.name = "the selected one alone",
     .steps = {READY("NOTIFY"), "D:notify",
               "C:$1 NOTIFY SET (selected (MessageNew MessageExpunge))\r\n",
               "W:the answer to NOTIFY", "S:$1 OK done\r\n", "E:DONE 1 OK done"}},
    {.name = "others, by names that want quotes",
     .steps =
         {READY("NOTIFY"), "D:notify Spam|a b|q\"uo\\te|Entw&APw-rfe",
          "C:$1 NOTIFY SET (selected (MessageNew MessageExpunge)) (mailboxes (\"Spam\" \"a b\" "
          "\"q\\\"uo\\\\te\" \"Entw&APw-rfe\") (MessageNew MessageExpunge))\r\n"}},
    {.name = "names that want literals",
     .steps = {READY("NOTIFY"), "D:notify a\x80|b|\r\n", "D:noop",
               "C:$1 NOTIFY SET (selected (MessageNew MessageExpunge)) (mailboxes ({2}\r\n",
               "S:+ \r\n", "C:a\x80 \"b\" {2}\r\n", "S:+ \r\n",
               "C:\r\n) (MessageNew MessageExpunge))\r\n$2 NOOP\r\n"}},
    {.name = "literals without waiting",
     .steps = {READY("NOTIFY LITERAL+"), "D:notify a\x80",
               "C:$1 NOTIFY SET (selected (MessageNew MessageExpunge)) (mailboxes ({2+}\r\na\x80) "
               "(MessageNew MessageExpunge))\r\n"}},
    {.name = "refused",
     .steps = {READY("NOTIFY"), "D:notify a\x80|b",
               "C:$1 NOTIFY SET (selected (MessageNew MessageExpunge)) (mailboxes ({2}\r\n",
               "S:$1 NO [BADEVENT (FlagChange)] no\r\n", "E:DONE 1 NO [another code] no", "W:-"}},
    {.name = "what it tells, in IDLE and out of it",
     .steps = {READY("NOTIFY IDLE"),
               "D:notify Spam",
               "C:$1 NOTIFY SET (selected (MessageNew MessageExpunge)) (mailboxes (\"Spam\") "
               "(MessageNew MessageExpunge))\r\n",
               "S:* STATUS Spam (MESSAGES 1 UIDNEXT 2 UIDVALIDITY 7 UNSEEN 1)\r\n$1 OK done\r\n",
               "E:DATA STATUS Spam messages 1 uidnext 2 uidvalidity 7",
               "E:DONE 1 OK done",
               "D:idle",
               "C:$2 IDLE\r\n",
               "S:* STATUS {4}\r\nSpam (MESSAGES 2 UIDNEXT 3)\r\n+ idling\r\n",
               "E:DATA STATUS Spam messages 2 uidnext 3",
               "E:IDLING 2",
               "S:* STATUS \"a b\" (UIDNEXT 4)\r\n* 9 EXISTS\r\n",
               "E:DATA STATUS a b uidnext 4",
               "E:DATA EXISTS 9",
               "W:-",
               "D:idle-end",
               "C:DONE\r\n",
               "S:* STATUS Spam (UIDNEXT 5)\r\n$2 OK done\r\n",
               "E:DATA STATUS Spam uidnext 5",
               "E:DONE 2 OK done",
               "S:* STATUS Spam ()\r\n",
               "E:DATA STATUS Spam"}},
    {.name = "given up by the server",
     .steps = {READY("NOTIFY IDLE"), "D:idle", "C:$1 IDLE\r\n", "S:+ idling\r\n", "E:IDLING 1",
               "S:* OK [NOTIFICATIONOVERFLOW] too much\r\n",
               "E:DATA OK [NOTIFICATIONOVERFLOW] too much", "W:-"}},
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
     .steps =
         {READY("IDLE"), "D:noop", "C:$1 NOOP\r\n",
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

static void test_all_idle_pipeline(void **state)
{
    (void)state;
    peer_run_all(test_idle_pipeline, COUNT(test_idle_pipeline));
}

static void test_all_notify(void **state)
{
    (void)state;
    peer_run_all(test_notify, COUNT(test_notify));
}

static void test_all_byes(void **state)
{
    (void)state;
    peer_run_all(test_byes, COUNT(test_byes));
}

static struct imap_session *test_session(void)
{
    static const char greeting[] = "* PREAUTH [CAPABILITY IMAP4rev1 IDLE] hi\r\n";
    struct imap_session_settings settings = {.credentials = {.user = "u", .password = "p"},
                                             .limits = imap_limits_default};
    struct imap_session *session = imap_session_new(&settings);
    struct imap_event event;
    struct err err;
    imap_session_feed(session, (const uint8_t *)greeting, sizeof greeting - 1);
    assert_int_equal(imap_session_next(session, &event, &err), 1);
    assert_int_equal(event.type, IMAP_EVENT_READY);
    assert_int_equal(imap_session_next(session, &event, &err), 0);
    return session;
}

static uint32_t test_issue(struct imap_session *session, unsigned verb)
{
    switch (verb) {
    case 0:
        return imap_session_select(session, "a", false);
    case 1:
        return imap_session_uid_search(session, "ALL");
    case 2:
        return imap_session_uid_fetch(session, "1", "(UID)");
    case 3:
        return imap_session_uid_store(session, "1", "+FLAGS (x)");
    case 4:
        return imap_session_uid_copy(session, "1", "a");
    case 5:
        return imap_session_uid_move(session, "1", "a");
    case 6:
        return imap_session_uid_expunge(session, "1");
    case 7:
        return imap_session_expunge(session);
    case 8:
        return imap_session_list(session, false);
    case 9:
        return imap_session_status(session, "a");
    case 10:
        return imap_session_create(session, "a");
    case 11:
        return imap_session_noop(session);
    case 12:
        return imap_session_logout(session);
    case 13:
        return imap_session_notify(session, (const char *const[]){"a", "b"}, 2);
    default:
        return imap_session_idle(session);
    }
}

enum {
    VERB_IDLE = 14,
    TEST_VERBS = 15
};

/* The first word of what is to be sent; what is to be sent is then gone. */
static void test_take_tag(struct imap_session *session, char *tag, size_t cap)
{
    struct buf *output = imap_session_output(session);
    size_t len = strcspn(buf_cstr(output), " ");
    assert_true(len > 0 && len < cap);
    memcpy(tag, output->data, len);
    tag[len] = '\0';
    buf_clear(output);
}

/* Every response code on every command, untagged and tagged, with every status: one DONE and no
 * harm. */
static void test_code_on(unsigned verb, const char *status, const char *code)
{
    struct imap_session *session = test_session();
    char tag[32], line[256];
    uint32_t number = test_issue(session, verb);
    test_take_tag(session, tag, sizeof tag);
    snprintf(line, sizeof line, "* %s [%s] a\r\n%s %s [%s] b\r\n", status, code, tag, status, code);
    imap_session_feed(session, (uint8_t *)line, strlen(line));
    struct imap_event event;
    struct err err;
    unsigned done = 0;
    int got;
    while ((got = imap_session_next(session, &event, &err)) == 1) {
        assert_true(event.type == IMAP_EVENT_DATA || event.type == IMAP_EVENT_DONE);
        done += event.type == IMAP_EVENT_DONE && event.command == number;
    }
    assert_int_equal(got, 0);
    assert_int_equal(done, 1);
    assert_int_equal(imap_session_pending(session), 0);
    imap_session_free(session);
}

static void test_codes_everywhere(void **state)
{
    (void)state;
    static const char *const statuses[] = {"OK", "NO", "BAD"};
    static const char *const codes[] = {"ALERT",
                                        "BADCHARSET (utf-8)",
                                        "CAPABILITY IMAP4rev1 STARTTLS",
                                        "PARSE",
                                        "PERMANENTFLAGS (\\*)",
                                        "READ-ONLY",
                                        "READ-WRITE",
                                        "TRYCREATE",
                                        "UIDNEXT 7",
                                        "UIDVALIDITY 0",
                                        "UNSEEN 1",
                                        "UIDNOTSTICKY",
                                        "HIGHESTMODSEQ 9",
                                        "NOMODSEQ",
                                        "AUTHENTICATIONFAILED",
                                        "AUTHORIZATIONFAILED",
                                        "EXPIRED",
                                        "PRIVACYREQUIRED",
                                        "CONTACTADMIN",
                                        "UNAVAILABLE",
                                        "INUSE",
                                        "LIMIT",
                                        "THROTTLED",
                                        "OVERQUOTA",
                                        "NOPERM",
                                        "NONEXISTENT",
                                        "ALREADYEXISTS",
                                        "CANNOT",
                                        "CLOSED",
                                        "SERVERBUG",
                                        "CLIENTBUG",
                                        "EXPUNGEISSUED",
                                        "APPENDUID 1 2",
                                        "COPYUID 1 1:99999999 1:99999999",
                                        "MESSAGELIMIT 3",
                                        "NOTIFICATIONOVERFLOW",
                                        "BADEVENT (FlagChange)",
                                        "REFERRAL imap://x/",
                                        "X-UNHEARD-OF"};
    for (unsigned verb = 0; verb < TEST_VERBS; verb++)
        for (size_t i = 0; i < COUNT(statuses); i++)
            for (size_t j = 0; j < COUNT(codes); j++)
                test_code_on(verb, statuses[i], codes[j]);
}

static void test_fails(struct imap_session *session, const char *line)
{
    struct imap_event event;
    struct err err = {0};
    imap_session_feed(session, (const uint8_t *)line, strlen(line));
    assert_int_equal(imap_session_next(session, &event, &err), -1);
    assert_int_equal(err.action, ERR_RETRY_LATER);
    assert_non_null(strstr(err.text, "was not sent"));
}

/* Even a right guess is an attack while the command has not left. */
static void test_early_answer(void **state)
{
    (void)state;
    static const char *const answers[] = {"OK", "NO", "BAD"};
    for (size_t i = 0; i < COUNT(answers); i++) {
        for (size_t left = 1; left <= 2; left++) {
            struct imap_session *session = test_session();
            struct buf *output = imap_session_output(session);
            char line[64];
            imap_session_noop(session);
            size_t len = strcspn(buf_cstr(output), " ");
            snprintf(line, sizeof line, "%.*s %s done\r\n", (int)len, (char *)output->data,
                     answers[i]);
            if (left == 2)
                buf_drop_front(output, output->len - 1); /* all but a byte has been sent */
            test_fails(session, line);
            imap_session_free(session);
        }
    }
}

static void test_sent_by_and_by(void **state)
{
    (void)state;
    struct imap_session *session = test_session();
    struct buf *output = imap_session_output(session);
    struct imap_event event;
    struct err err;
    char tag[32], line[64];
    uint32_t first = imap_session_noop(session);
    memcpy(tag, buf_cstr(output), sizeof tag - 1 < output->len ? sizeof tag - 1 : output->len);
    tag[strcspn(tag, " ")] = '\0';
    size_t first_len = output->len;
    imap_session_noop(session);
    buf_drop_front(output, first_len); /* the first is out, the second is not */
    snprintf(line, sizeof line, "%s OK done\r\n", tag);
    imap_session_feed(session, (uint8_t *)line, strlen(line));
    assert_int_equal(imap_session_next(session, &event, &err), 1);
    assert_int_equal(event.type, IMAP_EVENT_DONE);
    assert_int_equal(event.command, first);
    assert_int_equal(imap_session_pending(session), 1);
    imap_session_free(session);
}

/* Two sessions' tags differ, and so do the letters of two tags of one session. */
static void test_tags(void **state)
{
    (void)state;
    char tags[3][32];
    struct imap_session *a = test_session(), *b = test_session();
    imap_session_noop(a);
    test_take_tag(a, tags[0], sizeof tags[0]);
    imap_session_noop(a);
    test_take_tag(a, tags[1], sizeof tags[1]);
    imap_session_noop(b);
    test_take_tag(b, tags[2], sizeof tags[2]);
    assert_memory_not_equal(tags[0], tags[1], 5);
    assert_memory_not_equal(tags[0], tags[2], 5);
    imap_session_free(a);
    imap_session_free(b);
}

/* What has been sent is wiped and given back: an idle session holds no buffer. */
static void test_output_released(void **state)
{
    (void)state;
    struct imap_session *session = test_session();
    struct imap_event event;
    struct err err;
    imap_session_idle(session);
    buf_clear(imap_session_output(session));
    imap_session_feed(session, (const uint8_t *)"+ idling\r\n", 10);
    assert_int_equal(imap_session_next(session, &event, &err), 1);
    assert_int_equal(imap_session_next(session, &event, &err), 0);
    assert_null(imap_session_output(session)->data);
    imap_session_free(session);
}

/* RFC 7888: with LITERAL- up to 4,096 octets go without waiting, more do not. */
static void test_literal_minus(void **state)
{
    (void)state;
    static const struct {
        size_t len;
        const char *caps, *head;
        bool waits;
    } cases[] = {
        {4096, "LITERAL-", "{4096+}\r\n", false},
        {4097, "LITERAL-", "{4097}\r\n", true},
        {4097, "LITERAL+", "{4097+}\r\n", false},
        {1001, "IDLE", "{1001}\r\n", true},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char *name = mem_zalloc(cases[i].len + 1);
        memset(name, 'x', cases[i].len);
        char *verb = mem_printf("D:create %s", name);
        char *greeting = mem_printf("S:* PREAUTH [CAPABILITY IMAP4rev1 %s] hi\r\n", cases[i].caps);
        char *head = mem_printf("C:$1 CREATE %s%s%s", cases[i].head, cases[i].waits ? "" : name,
                                cases[i].waits ? "" : "\r\n");
        char *rest = mem_printf("C:%s\r\n", name);
        struct peer_script script = {
            .name = cases[i].head,
            .steps = {greeting, "E:READY", verb, head, cases[i].waits ? "S:+ \r\n" : NULL, rest}};
        peer_run(&script);
        free(name);
        free(verb);
        free(greeting);
        free(head);
        free(rest);
    }
}

/* A server that never stops talking before the login is done. */
static void test_endless_talk(void **state)
{
    (void)state;
    struct imap_session_settings settings = {.credentials = {.user = "u", .password = "p"},
                                             .limits = imap_limits_default};
    struct imap_session *session = imap_session_new(&settings);
    struct imap_event event;
    struct err err = {0};
    imap_session_feed(session, (const uint8_t *)"* OK hi\r\n", 9);
    assert_int_equal(imap_session_next(session, &event, &err), 0);
    int got = 0;
    size_t lines = 0;
    for (; got == 0 && lines < 100000; lines++) {
        imap_session_feed(session, (const uint8_t *)"* OK wait\r\n", 11);
        got = imap_session_next(session, &event, &err);
    }
    assert_int_equal(got, -1);
    assert_true(lines < 2000);
    imap_session_free(session);
}

/* Logged in, a mailbox selected and searched, a mail fetched, and IDLE watching after a renewal:
 * ten thousand of them wait like that. */
static struct imap_session *test_idling_session(void)
{
    static const char *const answers[] = {
        ("* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)\r\n* 172 EXISTS\r\n"
         "* OK [UIDVALIDITY 3857529045] UIDs valid\r\n* OK [UIDNEXT 4392] Predicted next UID\r\n"),
        "* SEARCH 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28\r\n",
        "* 1 FETCH (UID 1 FLAGS (\\Seen) RFC822.SIZE 10 BODY[] {10}\r\n0123456789)\r\n",
        "+ idling\r\n* 173 EXISTS\r\n",
        "+ idling\r\n",
    };
    struct imap_session *session = test_session();
    for (size_t i = 0; i < COUNT(answers); i++) {
        char line[600], tag[32];
        uint32_t number = test_issue(session, i < 3 ? (unsigned)i : VERB_IDLE);
        test_take_tag(session, tag, sizeof tag);
        snprintf(line, sizeof line, i < 3 ? "%s%s OK done\r\n" : "%s", answers[i], tag);
        imap_session_feed(session, (uint8_t *)line, strlen(line));
        struct imap_event event;
        struct err err;
        while (imap_session_next(session, &event, &err) == 1)
            ;
        if (i == 3) {
            imap_session_idle_end(session);
            buf_clear(imap_session_output(session));
            snprintf(line, sizeof line, "%s OK done\r\n", tag);
            imap_session_feed(session, (uint8_t *)line, strlen(line));
            assert_int_equal(imap_session_next(session, &event, &err), 1);
            assert_int_equal(event.command, number);
            assert_int_equal(imap_session_next(session, &event, &err), 0);
        }
    }
    assert_null(imap_session_waiting_for(session));
    assert_int_equal(imap_session_pending(session), 1);
    return session;
}

static void test_idle_memory(void **state)
{
    (void)state;
    enum {
        SESSIONS = 1000
    };
    static struct imap_session *sessions[SESSIONS];
    size_t before = heap_used();
    for (size_t i = 0; i < SESSIONS; i++)
        sessions[i] = test_idling_session();
    size_t each = (heap_used() - before) / SESSIONS;
    if (each >= 1000)
        fail_msg("an idle session takes %zu bytes", each);
    for (size_t i = 0; i < SESSIONS; i++)
        imap_session_free(sessions[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_verbs),
        cmocka_unit_test(test_all_pipeline),
        cmocka_unit_test(test_all_literals),
        cmocka_unit_test(test_all_idle),
        cmocka_unit_test(test_all_idle_pipeline),
        cmocka_unit_test(test_all_notify),
        cmocka_unit_test(test_all_byes),
        cmocka_unit_test(test_codes_everywhere),
        cmocka_unit_test(test_early_answer),
        cmocka_unit_test(test_sent_by_and_by),
        cmocka_unit_test(test_tags),
        cmocka_unit_test(test_output_released),
        cmocka_unit_test(test_literal_minus),
        cmocka_unit_test(test_endless_talk),
        cmocka_unit_test(test_idle_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
