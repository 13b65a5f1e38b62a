/* A mailbox's bad days: what may not be written for now, what others take away or number anew in
 * the midst of the work, and answers that are not what they say. Each ends with a verdict: which
 * mails were taken, with their bytes and how often, and what is marked. */
#include "stage.h"

#include <string.h>

enum {
    FIRST = 1,
    SECOND_MAIL = 2,
    THIRD = 4,
    ALL = 7,
};

static const char *const bodies[] = {"first", "second", "third"};

struct day {
    const char *name;
    const char *caps; /* NULL: "IDLE UIDPLUS ESEARCH MOVE" */
    enum collect_after after;
    bool read_only;
    struct trap_fault fault;
    unsigned taken;   /* while it lasts: of the mails */
    unsigned marked;  /* then, and gone counts as it where it is deleted or moved */
    unsigned missing; /* were taken away by others: need not be there in the end */
};

/* --- what others do ---------------------------------------------------------------------------
 */

static void expunge_second(struct trap_conn *conn)
{
    if (box_find(trap_box(conn->trap, "INBOX"), 2))
        trap_expunge(conn->trap, "INBOX", 2);
}

/* The same mails in another order, under UIDs that were others' before. */
static void renumber_inbox(const struct trap *of)
{
    struct box *inbox = trap_box(of, "INBOX");
    uint32_t first = inbox->letters[0].uid;
    box_remove(inbox, first);
    box_renumber(inbox, inbox->uidvalidity + 100000);
    box_add(inbox, bodies[0], "");
}

static void renumber(struct trap_conn *conn)
{
    renumber_inbox(conn->trap);
}

#define REFUSED(words)                                                                             \
    {                                                                                              \
        .on = "STORE", .act = TRAP_ANSWER, .text = "$ NO " words "\r\n"                            \
    }
#define EXPUNGED(command)                                                                          \
    {                                                                                              \
        .on = command, .act = TRAP_CALL, .times = 1, .call = expunge_second                        \
    }
#define RENUMBERED(command)                                                                        \
    {                                                                                              \
        .on = command, .act = TRAP_CLOSE, .times = 1, .call = renumber                             \
    }

static const struct day days[] = {
    /* Delivered and on record: not sent again, and marked when it can be. */
    {.name = "STORE: over quota", .fault = REFUSED("[OVERQUOTA] full"), .taken = ALL},
    {.name = "STORE: the disk is full", .fault = REFUSED("[SERVERBUG] no space"), .taken = ALL},
    {.name = "STORE: a limit", .fault = REFUSED("[LIMIT] not now"), .taken = ALL},
    {.name = "STORE: unavailable", .fault = REFUSED("[UNAVAILABLE] not now"), .taken = ALL},
    {.name = "STORE: refused without a reason", .fault = REFUSED("no"), .taken = ALL},
    {.name = "STORE: BAD",
     .fault = {.on = "STORE", .act = TRAP_ANSWER, .text = "$ BAD what?\r\n"},
     .taken = ALL},
    {.name = "deletion: the disk is full",
     .after = COLLECT_AFTER_DELETE,
     .fault = REFUSED("[SERVERBUG] no space"),
     .taken = ALL},
    {.name = "UID EXPUNGE is refused",
     .after = COLLECT_AFTER_DELETE,
     .fault = {.on = "EXPUNGE", .act = TRAP_ANSWER, .text = "$ NO [SERVERBUG] no space\r\n"},
     .taken = ALL},
    {.name = "UID EXPUNGE is answered OK, and not done",
     .after = COLLECT_AFTER_DELETE,
     .fault = {.on = "UID EXPUNGE", .act = TRAP_ANSWER, .text = "$ OK done\r\n"},
     .taken = ALL},
    {.name = "STORE is answered OK, and not done",
     .after = COLLECT_AFTER_DELETE,
     .fault = {.on = "STORE", .act = TRAP_ANSWER, .text = "$ OK done\r\n"},
     .taken = ALL},
    {.name = "EXPUNGE is answered OK, and not done",
     .caps = "IDLE",
     .after = COLLECT_AFTER_DELETE,
     .fault = {.on = "EXPUNGE", .act = TRAP_ANSWER, .text = "$ OK done\r\n"},
     .taken = ALL},
    {.name = "copied, and UID EXPUNGE is answered OK, and not done",
     .caps = "IDLE UIDPLUS",
     .after = COLLECT_AFTER_MOVE,
     .fault = {.on = "UID EXPUNGE", .act = TRAP_ANSWER, .text = "$ OK done\r\n"},
     .taken = ALL},
    {.name = "MOVE: over quota",
     .after = COLLECT_AFTER_MOVE,
     .fault = {.on = "MOVE", .act = TRAP_ANSWER, .text = "$ NO [OVERQUOTA] full\r\n"},
     .taken = ALL},
    {.name = "COPY: over quota",
     .caps = "IDLE UIDPLUS",
     .after = COLLECT_AFTER_MOVE,
     .fault = {.on = "COPY", .act = TRAP_ANSWER, .text = "$ NO [OVERQUOTA] full\r\n"},
     .taken = ALL},
    {.name = "copied, and STORE: the disk is full",
     .caps = "IDLE UIDPLUS",
     .after = COLLECT_AFTER_MOVE,
     .fault = REFUSED("[SERVERBUG] no space"),
     .taken = ALL},
    {.name = "read-only", .read_only = true, .fault = {.on = NULL}, .taken = ALL},

    /* What is gone before it was read is not there to be collected; else it was. */
    {.name = "expunged behind SEARCH",
     .fault = {.on = "SEARCH", .act = TRAP_CALL, .times = 1, .late = true, .call = expunge_second},
     .taken = FIRST | THIRD,
     .marked = FIRST | THIRD,
     .missing = SECOND_MAIL},
    {.name = "expunged before its size",
     .fault = EXPUNGED("RFC822.SIZE"),
     .taken = FIRST | THIRD,
     .marked = FIRST | THIRD,
     .missing = SECOND_MAIL},
    {.name = "expunged before its body",
     .fault = EXPUNGED("BODY.PEEK"),
     .taken = FIRST | THIRD,
     .marked = FIRST | THIRD,
     .missing = SECOND_MAIL},
    {.name = "expunged before its mark", .fault = EXPUNGED("STORE"), .taken = ALL, .marked = ALL},
    {.name = "expunged before its deletion",
     .after = COLLECT_AFTER_DELETE,
     .fault = EXPUNGED("STORE"),
     .taken = ALL,
     .marked = ALL},
    {.name = "expunged before its move",
     .after = COLLECT_AFTER_MOVE,
     .fault = EXPUNGED("MOVE"),
     .taken = ALL,
     .marked = ALL},
    {.name = "expunged before its copy",
     .caps = "IDLE UIDPLUS",
     .after = COLLECT_AFTER_MOVE,
     .fault = EXPUNGED("COPY"),
     .taken = ALL,
     .marked = ALL},

    /* Known by their bytes, and no mark reaches another mail. */
    {.name = "renumbered at SELECT", .fault = RENUMBERED("SELECT"), .taken = ALL, .marked = ALL},
    {.name = "renumbered at SEARCH", .fault = RENUMBERED("SEARCH"), .taken = ALL, .marked = ALL},
    {.name = "renumbered at sizes",
     .fault = RENUMBERED("RFC822.SIZE"),
     .taken = ALL,
     .marked = ALL},
    {.name = "renumbered at bodies", .fault = RENUMBERED("BODY.PEEK"), .taken = ALL, .marked = ALL},
    {.name = "renumbered at IDLE", .fault = RENUMBERED("IDLE"), .taken = ALL, .marked = ALL},
    {.name = "renumbered at STORE", .fault = RENUMBERED("STORE"), .taken = ALL, .marked = ALL},
    {.name = "renumbered at the move",
     .after = COLLECT_AFTER_MOVE,
     .fault = RENUMBERED("MOVE"),
     .taken = ALL,
     .marked = ALL},
    {.name = "renumbered at the deletion",
     .after = COLLECT_AFTER_DELETE,
     .fault = RENUMBERED("STORE"),
     .taken = ALL,
     .marked = ALL},

    /* What is not whole is not taken; the others are. */
    {.name = "fewer bytes than announced",
     .fault = {.on = "FETCH 1:3 (UID BODY.PEEK",
               .act = TRAP_ANSWER,
               .text = "* 1 FETCH (UID 1 BODY[] {9}\r\nfirst)\r\n$ OK done\r\n"},
     .taken = SECOND_MAIL | THIRD,
     .marked = SECOND_MAIL | THIRD},
    {.name = "more bytes than announced",
     .fault = {.on = "FETCH 1:3 (UID BODY.PEEK",
               .act = TRAP_ANSWER,
               .text = "* 1 FETCH (UID 1 BODY[] {3}\r\nfirst)\r\n$ OK done\r\n"},
     .taken = SECOND_MAIL | THIRD,
     .marked = SECOND_MAIL | THIRD},
    {.name = "a mail twice in an answer",
     .fault = {.on = "BODY.PEEK",
               .act = TRAP_BEFORE,
               .text = "* 1 FETCH (UID 1 BODY[] {5}\r\nfirst)\r\n",
               .times = 1},
     .taken = ALL,
     .marked = ALL},
    {.name = "all under a UID that nobody asked for",
     .fault = {.on = "BODY.PEEK",
               .act = TRAP_ANSWER,
               .text = "* 1 FETCH (UID 7 BODY[] {5}\r\nfirst)\r\n$ OK done\r\n",
               .times = 1},
     .taken = ALL,
     .marked = ALL},
};

/* --- the verdict ------------------------------------------------------------------------------ */

static struct stage stage;
static struct trap *trap;

static bool is_marked(const struct day *day, const char *body)
{
    const struct box *inbox = trap_box(trap, "INBOX");
    for (size_t i = 0; i < inbox->count; i++)
        if (strcmp(inbox->letters[i].body, body) == 0)
            return day->after == COLLECT_AFTER_SEEN && letter_has(&inbox->letters[i], "\\Seen");
    return true;
}

static void check(const struct day *day, unsigned taken, unsigned marked)
{
    size_t count = 0;
    for (size_t i = 0; i < COUNT(bodies); i++) {
        bool wanted = taken >> i & 1;
        count += wanted;
        if (fake_sink_taken(&stage.sink, bodies[i]) != wanted)
            stage_fail(&stage, wanted ? "lost, or doubled" : "taken, and should not be");
        if (!(day->missing >> i & 1) && is_marked(day, bodies[i]) != (marked >> i & 1))
            stage_fail(&stage, "marked, and should not be; or not marked");
    }
    /* Nothing else, which were other bytes; nothing was sent again either. */
    if (stage.sink.taken_count != count || stage.sink.offered != count)
        stage_fail(&stage, "altered, or sent again");
}

/* Nothing is marked, or moved, before it was taken. */
static bool marks_are_true(void)
{
    for (const struct box *box = trap->boxes; box; box = box->next)
        for (size_t i = 0; i < box->count; i++)
            if ((*box->letters[i].flags || strcmp(box->name, "INBOX") != 0) &&
                !fake_sink_taken(&stage.sink, box->letters[i].body))
                return false;
    return true;
}

static void begin(const struct day *day)
{
    stage_init(&stage);
    stage.settings.continuous = true;
    trap = stage_add_trap(&stage, day->name);
    trap->caps = day->caps ? day->caps : "IDLE UIDPLUS ESEARCH MOVE";
    trap->account.after = day->after;
    if (day->after == COLLECT_AFTER_MOVE) {
        trap->account.after_name = "done";
        trap_add_box(trap, "done", "");
    }
    trap_box(trap, "INBOX")->read_only = day->read_only;
    for (size_t i = 0; i < COUNT(bodies); i++)
        trap_deliver(trap, "INBOX", bodies[i]);
    trap_fault(trap, day->fault);
}

static void run_day(const struct day *day)
{
    begin(day);
    stage_start(&stage);
    for (int i = 0; i < 60; i++) {
        stage_pass(&stage, 30 * SECOND);
        if (!marks_are_true())
            stage_fail(&stage, "marked and not taken");
    }
    check(day, day->taken, day->marked);
    if (trap->connections > 12)
        stage_fail(&stage, "the server is stormed");
    trap_mend(trap);
    trap_box(trap, "INBOX")->read_only = false;
    stage_pass(&stage, 2 * HOUR);
    stage_start(&stage);
    stage_pass(&stage, HOUR);
    check(day, ALL & ~day->missing, ALL & ~day->missing);
    if (day->after == COLLECT_AFTER_MOVE && trap_box(trap, "done")->count > COUNT(bodies))
        stage_fail(&stage, "copied twice");
    stage_release(&stage);
}

static void test_days(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(days); i++)
        run_day(&days[i]);
}

/* All of it is unseen again, under other UIDs. */
static void test_renumbered_while_stopped(void **state)
{
    (void)state;
    static const struct day stopped = {.name = "renumbered while stopped"};
    for (int all = 0; all < 2; all++) {
        begin(&stopped);
        stage.settings.fetch_all = all;
        trap->account.after = all ? COLLECT_AFTER_NONE : COLLECT_AFTER_SEEN;
        stage_start(&stage);
        stage_pass(&stage, MINUTE);
        check(&stopped, ALL, all ? 0 : ALL);
        renumber_inbox(trap);
        for (size_t i = 0; i < COUNT(bodies); i++)
            letter_store(&trap_box(trap, "INBOX")->letters[i], '-', "\\Seen");
        stage_start(&stage);
        stage_pass(&stage, HOUR);
        check(&stopped, ALL, all ? 0 : ALL);
        stage_release(&stage);
    }
}

/* What somebody else has flagged \Deleted is not expunged, be it delivered now or recognised. */
static void test_renumbered_and_flagged(void **state)
{
    (void)state;
    static const struct day flagged = {.name = "flagged by another", .after = COLLECT_AFTER_DELETE};
    begin(&flagged);
    stage.sink.holds = true; /* nothing is deleted before it is all renumbered */
    stage_start(&stage);
    stage_await_offered(&stage, HOUR, COUNT(bodies));
    trap_leave(trap);
    trap_cut_off(trap, true);
    fake_sink_let_go(&stage.sink);
    stage_await_taken(&stage, HOUR, COUNT(bodies));
    stage_pass(&stage, MINUTE);
    renumber_inbox(trap);
    letter_store(&trap_box(trap, "INBOX")->letters[1], '+', "\\Deleted");
    trap_return(trap);
    stage_pass(&stage, HOUR);
    assert_int_equal(stage.sink.offered, COUNT(bodies));
    assert_int_equal(trap_box(trap, "INBOX")->count, 1);
    assert_string_equal(trap_box(trap, "INBOX")->letters[0].flags, "\\Deleted");
    stage_release(&stage);
}

/* The same mail in two folders of two accounts each: every one of them is a sighting. */
static void test_sightings(void **state)
{
    (void)state;
    static const char *const folders[] = {"INBOX", "more", NULL};
    stage_init(&stage);
    for (int i = 0; i < 2; i++) {
        struct trap *at = stage_add_folders(&stage, "IDLE UIDPLUS ESEARCH", folders);
        at->account.label = i ? "one" : "another";
        trap_add_box(at, "more", "");
        trap_deliver(at, "INBOX", "the same");
        trap_deliver(at, "more", "the same");
    }
    stage_start(&stage);
    stage_pass(&stage, HOUR);
    assert_int_equal(fake_sink_taken(&stage.sink, "the same"), 4);
    assert_int_equal(stage.sink.offered, 4);
    /* Another client's move is another one. */
    struct trap *at = stage.traps[0];
    trap_expunge(at, "INBOX", 1);
    trap_deliver(at, "more", "the same");
    stage_pass(&stage, HOUR);
    assert_int_equal(fake_sink_taken(&stage.sink, "the same"), 5);
    for (size_t i = 0; i < stage.trap_count; i++)
        for (const struct box *box = stage.traps[i]->boxes; box; box = box->next)
            assert_int_equal(box_unseen(box), 0);
    stage_release(&stage);
}

/* --- moved by another client ------------------------------------------------------------------ */

static const char *const watched[] = {"INBOX", "more", NULL};

/* The second mail of a folder goes to the other one, in the middle of the work. */
static const struct shift {
    const char *name;
    const char *on;
    bool late;
    const char *from; /* of `watched` */
    const char *to;
    enum collect_after after;
    size_t sightings; /* of what was moved */
} shifts[] = {
    /* Before it was read: seen where it is now. */
    {"behind the search", "SEARCH", true, "INBOX", "more", COLLECT_AFTER_SEEN, 1},
    {"behind the search of the later folder", "SEARCH", true, "more", "INBOX", COLLECT_AFTER_SEEN,
     1},
    {"before its size", "RFC822.SIZE", false, "INBOX", "more", COLLECT_AFTER_SEEN, 1},
    {"before its size, back", "RFC822.SIZE", false, "more", "INBOX", COLLECT_AFTER_SEEN, 1},
    {"before its body", "BODY.PEEK", false, "INBOX", "more", COLLECT_AFTER_SEEN, 1},
    {"before its body, back", "BODY.PEEK", false, "more", "INBOX", COLLECT_AFTER_SEEN, 1},
    /* After that: each is a sighting. */
    {"behind its body", "BODY.PEEK", true, "INBOX", "more", COLLECT_AFTER_SEEN, 2},
    {"behind its body, back", "BODY.PEEK", true, "more", "INBOX", COLLECT_AFTER_SEEN, 2},
    {"before its mark", "STORE", false, "INBOX", "more", COLLECT_AFTER_SEEN, 2},
    {"before its mark, back", "STORE", false, "more", "INBOX", COLLECT_AFTER_SEEN, 2},
    {"before its deletion", "STORE", false, "INBOX", "more", COLLECT_AFTER_DELETE, 2},
    {"before its move", "MOVE", false, "INBOX", "more", COLLECT_AFTER_MOVE, 2},
    {"before its move, back", "MOVE", false, "more", "INBOX", COLLECT_AFTER_MOVE, 2},
};

static const struct shift *shift;
static unsigned shifted;

static void shift_mail(struct trap_conn *conn)
{
    struct box *from = trap_box(conn->trap, shift->from);
    if (conn->box != from || shifted || from->count < 2)
        return;
    shifted++;
    char body[20];
    snprintf(body, sizeof body, "%s", from->letters[1].body);
    trap_expunge(conn->trap, shift->from, from->letters[1].uid);
    trap_deliver(conn->trap, shift->to, body);
}

static void begin_shift(bool continuous)
{
    shifted = 0;
    stage_init(&stage);
    trap = stage_add_folders(&stage, "IDLE UIDPLUS ESEARCH MOVE", watched);
    stage.settings.continuous = continuous;
    trap_add_box(trap, "more", "");
    trap->account.after = shift->after;
    if (shift->after == COLLECT_AFTER_MOVE) {
        trap->account.after_name = "done";
        trap_add_box(trap, "done", "");
    }
    for (size_t i = 0; i < 2; i++)
        for (const char *c = "123"; *c; c++)
            trap_deliver(trap, watched[i], (char[]){watched[i][0], *c, '\0'});
    trap_fault(trap,
               (struct trap_fault){
                   .on = shift->on, .act = TRAP_CALL, .late = shift->late, .call = shift_mail});
}

/* Nothing is marked, moved or gone that was not taken; `all`: and nothing is left to be. */
static void check_shift(bool all)
{
    for (const struct box *box = trap->boxes; box; box = box->next)
        for (size_t i = 0; i < box->count; i++) {
            const struct letter *letter = &box->letters[i];
            bool marked = *letter->flags || strcmp(box->name, "done") == 0;
            if (marked && !fake_sink_taken(&stage.sink, letter->body))
                stage_fail(&stage, "marked and not taken");
            if (!marked && all)
                stage_fail(&stage, "not marked");
        }
}

static void run_shift(bool continuous)
{
    begin_shift(continuous);
    stage_start(&stage);
    for (int i = 0; i < 60; i++) {
        stage_pass(&stage, MINUTE);
        check_shift(false);
    }
    if (shifted != 1)
        stage_fail(&stage, "nothing was moved");
    stage_start(&stage);
    stage_pass(&stage, HOUR);
    check_shift(true);
    for (size_t i = 0; i < 2; i++)
        for (const char *c = "123"; *c; c++) {
            char body[] = {watched[i][0], *c, '\0'};
            bool moved = *c == '2' && strcmp(watched[i], shift->from) == 0;
            if (fake_sink_taken(&stage.sink, body) != (moved ? shift->sightings : 1))
                stage_fail(&stage, "not each sighting once");
        }
    stage_release(&stage);
}

/* Each is a sighting in the folder in which it was read, and none is lost between the two: in one
 * pass with the next one, and for who stays. */
static void test_shifts(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(shifts); i++) {
        shift = &shifts[i];
        print_message("  %s\n", shift->name);
        run_shift(false);
        run_shift(true);
    }
}

/* Made again twice, as by a restore that was begun anew, and filled by and by: what was delivered
 * is known all the same. */
static void test_filled_by_and_by(void **state)
{
    (void)state;
    static const char *const letters[] = {"one", "two", "three", "four"};
    stage_init(&stage);
    stage.settings.continuous = stage.settings.fetch_all = true;
    trap = stage_add_trap(&stage, "trap");
    for (size_t i = 0; i < 4; i++)
        trap_deliver(trap, "INBOX", letters[i]);
    stage_start(&stage);
    stage_await_taken(&stage, MINUTE, 4);
    for (unsigned made = 0; made < 2; made++) {
        trap_remove_box(trap, "INBOX");
        trap_add_box(trap, "INBOX", "");
        for (size_t i = 0; i < 1 + 3 * made; i++) {
            trap_deliver(trap, "INBOX", letters[i]);
            stage_pass(&stage, 20 * MINUTE);
        }
    }
    stage_assert_taken(&stage, letters, 4);
    stage_release(&stage);
}

/* MOVE is answered OK, and what is to be moved stays: it is not sent again, in no run, and not
 * moved again either, as there may be copies. */
static void test_moves_that_are_none(void **state)
{
    (void)state;
    static const struct day none = {
        .name = "MOVE is answered OK, and not done",
        .after = COLLECT_AFTER_MOVE,
        .fault = {.on = "UID MOVE", .act = TRAP_ANSWER, .text = "$ OK done\r\n"}};
    for (int continuous = 0; continuous < 2; continuous++) {
        begin(&none);
        stage.settings.continuous = continuous;
        for (int run = 0; run < 3; run++) {
            stage_start(&stage);
            stage_pass(&stage, 2 * HOUR);
            check(&none, ALL, 0);
        }
        assert_int_equal(trap_count(trap, "UID MOVE"), 1);
        stage_release(&stage);
    }
}

static const char kept_words[] = "is still there, though the server answered OK";

/* What a server says it deleted or moved, and keeps, is told of once; where it did it, never, be it
 * interrupted or silent about it. */
static void test_kept(void **state)
{
    (void)state;
    static const struct {
        struct day day;
        unsigned told;
    } cases[] = {
        {{.name = "UID EXPUNGE",
          .after = COLLECT_AFTER_DELETE,
          .fault = {.on = "UID EXPUNGE", .act = TRAP_ANSWER, .text = "$ OK done\r\n"}},
         1},
        {{.name = "EXPUNGE",
          .caps = "IDLE",
          .after = COLLECT_AFTER_DELETE,
          .fault = {.on = "EXPUNGE", .act = TRAP_ANSWER, .text = "$ OK done\r\n"}},
         1},
        {{.name = "MOVE",
          .after = COLLECT_AFTER_MOVE,
          .fault = {.on = "UID MOVE", .act = TRAP_ANSWER, .text = "$ OK done\r\n"}},
         1},
        {{.name = "copied, and UID EXPUNGE",
          .caps = "IDLE UIDPLUS",
          .after = COLLECT_AFTER_MOVE,
          .fault = {.on = "UID EXPUNGE", .act = TRAP_ANSWER, .text = "$ OK done\r\n"}},
         1},
        {{.name = "deleted", .after = COLLECT_AFTER_DELETE}, 0},
        {{.name = "deleted without a word",
          .after = COLLECT_AFTER_DELETE,
          .fault = {.on = "UID EXPUNGE",
                    .act = TRAP_ANSWER,
                    .text = "$ OK done\r\n",
                    .call = trap_empty}},
         0},
        {{.name = "numbered anew instead",
          .after = COLLECT_AFTER_DELETE,
          .fault = {.on = "UID EXPUNGE",
                    .act = TRAP_ANSWER,
                    .text = "$ OK done\r\n",
                    .times = 1,
                    .call = renumber}},
         0},
        {{.name = "refused",
          .after = COLLECT_AFTER_DELETE,
          .fault = {.on = "UID EXPUNGE", .act = TRAP_ANSWER, .text = "$ NO never\r\n"}},
         0},
        {{.name = "the connection ends",
          .after = COLLECT_AFTER_DELETE,
          .fault = {.on = "UID EXPUNGE", .act = TRAP_CLOSE, .times = 3}},
         0},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        for (int all = 0; all < 2; all++) {
            begin(&cases[i].day);
            stage.settings.fetch_all = all;
            stage_start(&stage);
            stage_pass(&stage, 5 * HOUR);
            for (size_t body = 0; body < COUNT(bodies); body++)
                if (fake_sink_taken(&stage.sink, bodies[body]) != 1)
                    stage_fail(&stage, "lost, or doubled");
            if (stage_logged(&stage, kept_words) != cases[i].told)
                stage_fail(&stage, "told too often, or not");
            stage_release(&stage);
        }
}

static bool interrupted;

static void interrupt(struct trap_conn *conn)
{
    (void)conn;
    interrupted = true;
}

static bool is_interrupted(struct stage *of)
{
    (void)of;
    return interrupted;
}

/* A run is killed in the midst of a deletion, and the next one finishes it. */
static void test_killed_and_not_kept(void **state)
{
    (void)state;
    static const char *const commands[] = {"STORE", "UID EXPUNGE"};
    for (size_t i = 0; i < COUNT(commands); i++) {
        struct day day = {
            .name = "killed",
            .after = COLLECT_AFTER_DELETE,
            .fault = {.on = commands[i], .act = TRAP_SILENCE, .times = 1, .call = interrupt}};
        interrupted = false;
        begin(&day);
        stage_start(&stage);
        stage_await(&stage, MINUTE, is_interrupted);
        stage_start(&stage);
        stage_pass(&stage, HOUR);
        check(&day, ALL, ALL);
        assert_int_equal(stage_logged(&stage, kept_words), 0);
        stage_release(&stage);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_days),
        cmocka_unit_test(test_renumbered_while_stopped),
        cmocka_unit_test(test_renumbered_and_flagged),
        cmocka_unit_test(test_sightings),
        cmocka_unit_test(test_shifts),
        cmocka_unit_test(test_filled_by_and_by),
        cmocka_unit_test(test_moves_that_are_none),
        cmocka_unit_test(test_kept),
        cmocka_unit_test(test_killed_and_not_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
