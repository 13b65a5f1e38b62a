/* What servers really do: the mails arrive all the same, once, and nobody is stormed. */
#include "stage.h"

#include <stdio.h>
#include <string.h>

enum {
    SOON = SECOND / 2,
};

/* --- refusals: for how long is a server left alone? --------------------------------------------
 */

struct refusal_case {
    const char *name;
    struct trap_fault fault;        /* until it is mended */
    msec_t lasts;                   /* the fault */
    unsigned least, most;           /* connections while it lasts … */
    msec_t pause_least, pause_most; /* … and between two of them; 0: there are no two */
    msec_t within;                  /* after it is mended the mail is taken */
    unsigned told;                  /* how often its end is; 0: it is no trouble */
};

static char dated_words[120];

/* The same at each time, but for the numbers in it. */
static void date_words(struct trap_conn *conn)
{
    snprintf(dated_words, sizeof dated_words,
             "$ NO [UNAVAILABLE] Temporary failure. [mx%u:2026-11-27 08:%02u:00]\r\n",
             conn->number % 3 * 9, conn->number % 60);
}

static const struct refusal_case refusal_cases[] = {
    {.name = "too many connections",
     .fault = {.on = "LOGIN",
               .act = TRAP_ANSWER,
               .text = "$ NO [ALERT] Too many simultaneous connections. (Failure)\r\n"},
     .lasts = 2 * HOUR,
     .least = 8,
     .most = 25,
     .within = 16 * MINUTE,
     .pause_least = MINUTE,
     .pause_most = 16 * MINUTE,
     .told = 1},
    {.name = "throttled, for a time that it names",
     .fault = {.on = "LOGIN",
               .act = TRAP_ANSWER,
               .text =
                   "$ BAD Request is throttled. Suggested Backoff Time: 299961 milliseconds\r\n",
               .times = 1},
     .lasts = 299 * SECOND,
     .least = 1,
     .most = 1,
     .within = 6 * MINUTE,
     .told = 1},
    {.name = "throttled, for a time out of all reason",
     .fault = {.on = "LOGIN",
               .act = TRAP_ANSWER,
               .text = "$ NO Suggested Backoff Time: 99999999999 milliseconds\r\n",
               .times = 1},
     .lasts = 59 * MINUTE,
     .least = 1,
     .most = 1,
     .within = 65 * MINUTE,
     .told = 1},
    {.name = "UNAVAILABLE",
     .fault = {.on = "LOGIN", .act = TRAP_ANSWER, .text = "$ NO [UNAVAILABLE] try later\r\n"},
     .lasts = 2 * HOUR,
     .least = 8,
     .most = 25,
     .within = 16 * MINUTE,
     .pause_least = MINUTE,
     .pause_most = 16 * MINUTE,
     .told = 1},
    {.name = "UNAVAILABLE, with the time of day",
     .fault = {.on = "LOGIN", .act = TRAP_ANSWER, .text = dated_words, .call = date_words},
     .lasts = 24 * HOUR,
     .least = 96,
     .most = 200,
     .within = 16 * MINUTE,
     .pause_least = MINUTE,
     .pause_most = 16 * MINUTE,
     .told = 1},
    {.name = "THROTTLED",
     .fault = {.on = "LOGIN", .act = TRAP_ANSWER, .text = "$ NO [THROTTLED] slow down\r\n"},
     .lasts = 2 * HOUR,
     .least = 8,
     .most = 25,
     .within = 16 * MINUTE,
     .pause_least = MINUTE,
     .pause_most = 16 * MINUTE,
     .told = 1},
    {.name = "LIMIT, at SELECT",
     .fault = {.on = "SELECT", .act = TRAP_ANSWER, .text = "$ NO [LIMIT] enough for today\r\n"},
     .lasts = 2 * HOUR,
     .least = 8,
     .most = 25,
     .within = 16 * MINUTE,
     .pause_least = MINUTE,
     .pause_most = 16 * MINUTE,
     .told = 1},
    {.name = "a wrong password",
     .fault = {.on = "LOGIN", .act = TRAP_ANSWER, .text = "$ NO [AUTHENTICATIONFAILED] no\r\n"},
     .lasts = 24 * HOUR,
     .least = 10,
     .most = 50,
     .within = HOUR + MINUTE,
     .pause_least = 30 * MINUTE,
     .pause_most = 61 * MINUTE,
     .told = 1},
    {.name = "logged in, and yet not",
     .fault = {.on = "SELECT",
               .act = TRAP_ANSWER,
               .text = "$ BAD User is authenticated but not connected.\r\n"},
     .lasts = 2 * HOUR,
     .least = 8,
     .most = 25,
     .within = 16 * MINUTE,
     .pause_least = SECOND / 2,
     .pause_most = 15 * MINUTE,
     .told = 1},
    {.name = "goodbye to all who come",
     .fault = {.on = "greeting", .act = TRAP_ANSWER, .text = "* BYE too busy\r\n"},
     .lasts = 2 * HOUR,
     .least = 8,
     .most = 25,
     .within = 16 * MINUTE,
     .pause_least = SECOND / 2,
     .pause_most = 15 * MINUTE,
     .told = 1},
    {.name = "goodbye right after the login",
     .fault = {.on = "LOGIN", .act = TRAP_AFTER, .text = "* BYE internal error\r\n"},
     .lasts = 2 * HOUR,
     .least = 8,
     .most = 25,
     .within = 16 * MINUTE,
     .pause_least = SECOND / 2,
     .pause_most = 15 * MINUTE,
     .told = 1},
    {.name = "goodbye right after IDLE",
     .fault = {.on = "IDLE", .act = TRAP_AFTER, .text = "* BYE no\r\n"},
     .lasts = 2 * HOUR,
     .least = 8,
     .most = 200,
     .within = 16 * MINUTE,
     .pause_least = SECOND / 2,
     .pause_most = MINUTE,
     .told = 2 /* each of its connections has done all there was to do */},
    {.name = "IDLE ended as soon as it is begun",
     .fault = {.on = "IDLE", .act = TRAP_ANSWER, .text = "+ idling\r\n$ OK enough\r\n"},
     .lasts = 2 * HOUR,
     .least = 1,
     .most = 2,
     .within = 65 * SECOND},
    {.name = "closed at once",
     .fault = {.on = "greeting", .act = TRAP_CLOSE},
     .lasts = 2 * HOUR,
     .least = 8,
     .most = 25,
     .within = 16 * MINUTE,
     .pause_least = SECOND / 2,
     .pause_most = 15 * MINUTE,
     .told = 1},
    {.name = "not a mail server",
     .fault = {.on = "greeting", .act = TRAP_ANSWER, .text = "220 ftp ready\r\n"},
     .lasts = 2 * HOUR,
     .least = 2,
     .most = 25,
     .within = HOUR + MINUTE,
     .pause_least = SECOND / 2,
     .pause_most = 61 * MINUTE,
     .told = 1},
};

static void assert_pauses(struct stage *stage, const struct trap *trap,
                          const struct refusal_case *c)
{
    for (unsigned i = 1; i < trap->connections; i++) {
        msec_t pause = trap->came[i] - trap->came[i - 1];
        if (pause >= c->pause_least && pause <= c->pause_most)
            continue;
        print_message("connection %u came after %llu ms\n", i + 1, (unsigned long long)pause);
        stage_fail(stage, "too soon, or too late");
    }
}

static void run_refusal_case(const struct refusal_case *c)
{
    static const char *const bodies[] = {"first", "second"};
    struct stage stage;
    stage_init(&stage);
    struct trap *trap = stage_add_trap(&stage, c->name);
    struct trap *other = stage_add_trap(&stage, "another");
    trap_fault(trap, c->fault);
    trap_deliver(trap, "INBOX", "first");
    stage.settings.continuous = true;
    stage_start(&stage);
    stage_pass(&stage, c->lasts);
    if (trap->connections < c->least || trap->connections > c->most) {
        print_message("%u connections\n", trap->connections);
        stage_fail(&stage, "not the number of connections there should be");
    }
    assert_pauses(&stage, trap, c);
    unsigned lines = stage_logged(&stage, "warning");
    if (lines > 2 + c->lasts / HOUR || lines < (c->told ? 1 + c->lasts / HOUR / 2 : 0))
        stage_fail(&stage, "it is told too often, or too seldom");
    trap_mend(trap);
    stage_await_taken(&stage, c->within, 1);
    stage_pass(&stage, MINUTE);
    if (stage_logged(&stage, "collecting again, after") != c->told)
        stage_fail(&stage, "its end is told too often, or not");
    /* All the while it was nobody else's trouble. */
    assert_int_equal(other->connections, 1);
    trap_deliver(other, "INBOX", "second");
    stage_await_taken(&stage, SOON, 2);
    stage_assert_taken(&stage, bodies, COUNT(bodies));
    stage_release(&stage);
}

static void test_refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(refusal_cases); i++)
        run_refusal_case(&refusal_cases[i]);
}

/* --- slips: nothing comes of them ------------------------------------------------------------- */

struct slip_case {
    const char *name;
    const char *caps;
    struct trap_fault faults[3];
    const char *told; /* the server was told this before SELECT; NULL: nothing of note */
    unsigned held;    /* mails that are not taken: the first ones */
};

static void mend(struct trap_conn *conn)
{
    trap_mend(conn->trap);
}

static void change_caps(struct trap_conn *conn)
{
    conn->trap->caps = "IDLE";
}

static const struct slip_case slip_cases[] = {
    {.name = "nothing"},
    {.name = "ID wanted before SELECT",
     .caps = "IDLE ID",
     .told = "ID (\"name\" \"imap-collector\""},
    {.name = "RFC822.SIZE is wrong",
     .faults = {{.on = "RFC822.SIZE",
                 .act = TRAP_ANSWER,
                 .text = "* 1 FETCH (UID 1 FLAGS () RFC822.SIZE 1)\r\n"
                         "* 2 FETCH (UID 2 FLAGS () RFC822.SIZE 99999)\r\n$ OK done\r\n",
                 .times = 1}}},
    {.name = "sequence numbers out of range",
     .faults = {{.on = "BODY.PEEK",
                 .act = TRAP_BEFORE,
                 .text = "* 0 FETCH (FLAGS ())\r\n* 4711 FETCH (FLAGS (\\Seen))\r\n* 0 EXPUNGE\r\n",
                 .times = 1}}},
    {.name = "mails that were not asked for",
     .faults = {{.on = "BODY.PEEK",
                 .act = TRAP_BEFORE,
                 .text = "* 9 FETCH (UID 900 BODY[] {5}\r\nalien)\r\n",
                 .times = 1}}},
    {.name = "codes without OK, strange numbers and dates",
     .faults = {{.on = "SELECT",
                 .act = TRAP_BEFORE,
                 .text =
                     "* [UNSEEN 1] first\r\n* OK [HIGHESTMODSEQ -1] x\r\n* OK [UIDNEXT 9.3e+06] "
                     "x\r\n\r\n* LIST (\\x) NIL ()\r\n"},
                {.on = "RFC822.SIZE",
                 .act = TRAP_BEFORE,
                 .text = "* 1 FETCH (INTERNALDATE \"00-Jan-0000 00:00:00 +0000\")\r\n"}}},
    {.name = "no UIDNEXT, no PERMANENTFLAGS",
     .faults = {{.on = "SELECT",
                 .act = TRAP_ANSWER,
                 .text = "* 2 EXISTS\r\n* OK [UIDVALIDITY 7] ok\r\n$ OK in\r\n",
                 .times = 1,
                 .call = NULL}}},
    {.name = "capabilities that change after the login",
     .caps = "IDLE MOVE ESEARCH",
     .faults = {{.on = "LOGIN", .act = TRAP_CALL, .call = change_caps}}},
    {.name = "one mail is answered NO",
     .faults =
         {{.on = "UID FETCH 1:2 (UID BODY.PEEK",
           .act = TRAP_ANSWER,
           .text = "* 2 FETCH (UID 2 BODY[] {6}\r\nsecond)\r\n$ NO [SERVERBUG] one is broken\r\n"},
          {.on = "UID FETCH 1 (UID BODY.PEEK",
           .act = TRAP_ANSWER,
           .text = "$ NO [SERVERBUG] one is broken\r\n"}},
     .held = 1},
    {.name = "one mail has no body",
     .faults = {{.on = "UID FETCH 1:2 (UID BODY.PEEK",
                 .act = TRAP_ANSWER,
                 .text =
                     "* 1 FETCH (UID 1 BODY[] NIL)\r\n* 2 FETCH (UID 2 BODY[] {6}\r\nsecond)\r\n"
                     "$ OK done\r\n"},
                {.on = "UID FETCH 1 (UID BODY.PEEK",
                 .act = TRAP_ANSWER,
                 .text = "* 1 FETCH (UID 1 BODY[] NIL)\r\n$ OK done\r\n"}},
     .held = 1},
    {.name = "goodbye said twice, without an answer",
     .faults = {{.on = "BODY.PEEK",
                 .act = TRAP_ANSWER,
                 .text = "* BYE a\r\n* BYE b\r\n",
                 .times = 1,
                 .call = mend}}},
    {.name = "fewer than asked for, and MESSAGELIMIT",
     .faults = {{.on = "UID FETCH 1:2 (UID BODY.PEEK",
                 .act = TRAP_ANSWER,
                 .text = "* 2 FETCH (UID 2 BODY[] {6}\r\nsecond)\r\n"
                         "$ OK [MESSAGELIMIT 1 2] that is all\r\n"}}},
};

static void run_slip_case(const struct slip_case *c)
{
    static const char *const bodies[] = {"first", "second", "third"};
    struct stage stage;
    stage_init(&stage);
    struct trap *trap = stage_add_trap(&stage, c->name);
    if (c->caps)
        trap->caps = c->caps;
    for (size_t i = 0; i < COUNT(c->faults) && c->faults[i].on; i++)
        trap_fault(trap, c->faults[i]);
    trap_deliver(trap, "INBOX", "first");
    trap_deliver(trap, "INBOX", "second");
    stage.settings.continuous = true;
    stage_start(&stage);
    stage_await_taken(&stage, MINUTE, 2 - c->held);
    stage_pass(&stage, 10 * SECOND);
    trap_deliver(trap, "INBOX", "third");
    stage_await_taken(&stage, 65 * SECOND, 3 - c->held);
    stage_pass(&stage, HOUR);
    stage_assert_taken(&stage, bodies + c->held, COUNT(bodies) - c->held);
    if (c->told) {
        const char *log = buf_cstr(&trap->log), *told = strstr(log, c->told);
        if (!told || told > strstr(log, "SELECT"))
            stage_fail(&stage, "the server was not told");
    }
    if (trap->connections > 3)
        stage_fail(&stage, "too many connections");
    for (size_t i = 0; i < trap_box(trap, "INBOX")->count; i++)
        assert_int_equal(letter_has(&trap_box(trap, "INBOX")->letters[i], "\\Seen"), i >= c->held);
    stage_release(&stage);
}

static void test_slips(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(slip_cases); i++)
        run_slip_case(&slip_cases[i]);
}

/* --- a UIDNEXT that is wrong once ------------------------------------------------------------- */

static void raise_uidnext(struct trap_conn *conn)
{
    trap_box(conn->trap, "INBOX")->uidnext = 400000;
}

static void lower_uidnext(struct trap_conn *conn)
{
    trap_box(conn->trap, "INBOX")->uidnext = 2;
}

/* What it hid is found by a whole look, and it is not believed again. */
static void test_wrong_uidnext(void **state)
{
    (void)state;
    struct stage stage;
    stage_init(&stage);
    struct trap *trap = stage_add_trap(&stage, "trap");
    stage.settings.continuous = true;
    stage_start(&stage);
    stage_expect_mail(&stage, trap, "INBOX", MINUTE);
    stage_pass(&stage, 2 * MINUTE);
    trap_fault(trap, (struct trap_fault){
                         .on = "SELECT", .act = TRAP_CALL, .times = 1, .call = raise_uidnext});
    trap_fault(trap, (struct trap_fault){
                         .on = "SEARCH", .act = TRAP_CALL, .times = 1, .call = lower_uidnext});
    trap_cut_off(trap, false);
    stage_pass(&stage, 3 * MINUTE);
    stage_expect_mail(&stage, trap, "INBOX", 16 * MINUTE);
    for (int i = 0; i < 3; i++) {
        stage_pass(&stage, 20 * MINUTE);
        stage_expect_mail(&stage, trap, "INBOX", SOON);
    }
    stage_pass(&stage, MINUTE);
    stage_assert_mailed(&stage);
    assert_int_equal(stage_logged(&stage, "were not found by earlier looks"), 1);
    assert_int_equal(stage_logged(&stage, "warning"), 1);
    assert_int_equal(trap->connections, 2);
    stage_release(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_slips),
        cmocka_unit_test(test_wrong_uidnext),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
