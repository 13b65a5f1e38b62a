/* The world of a collector in one process, with a clock that the test drives: traps (trap.h), a
 * sink (fake_sink.h), the state in memory, and the collector among them.
 *
 * The clock stands still until nothing more can happen, then it jumps to what is due next
 * (driven.h). So an hour of IDLE takes a moment, however busy the machine is, and what should
 * happen "within two minutes" happens within two minutes of that clock, or never. */
#ifndef TEST_COLLECT_STAGE_H
#define TEST_COLLECT_STAGE_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>

#include "collect/collector.h"
#include "fake_sink.h"
#include "net/loop.h"
#include "trap.h"

enum {
    SECOND = 1000,
    MINUTE = 60 * SECOND,
    HOUR = 60 * MINUTE,
    STAGE_TRAPS = 64,
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

struct stage {
    struct net_loop *loop;
    struct fake_sink sink;
    struct sink *(*new_sink)(void *ctx); /* another one for each collector; NULL: `sink` */
    void *new_sink_ctx;
    struct state *state;
    struct collector *collector;        /* NULL before stage_start() */
    struct collector_settings settings; /* a test may change them before stage_start() */
    struct trap *traps[STAGE_TRAPS];
    size_t trap_count;
    size_t mailed; /* by stage_mail() and stage_expect_mail() */
    bool finished;
    enum collector_outcome outcome;
    char *log; /* what the collector told */
    size_t log_len;
    FILE *log_file;
};

void stage_init(struct stage *stage);
/* Ends the collector, if it still runs, at once. */
void stage_release(struct stage *stage);
struct trap *stage_add_trap(struct stage *stage, const char *label);
/* One that is stayed at, for these folders of its account; `folders` ends with NULL. */
struct trap *stage_add_folders(struct stage *stage, const char *caps, const char *const *folders);
/* Starts the collector for all traps; ends one that runs, as a kill would, and keeps the state. */
void stage_start(struct stage *stage);
/* Gives a collector that runs the traps that there are now, as their accounts are now. */
void stage_reload(struct stage *stage);

/* `count` mails arrive in the INBOX, each with a body of its own, of at least `size` bytes. */
void stage_mail(struct stage *stage, struct trap *trap, size_t count, size_t size);
/* One mail arrives in this folder, and is taken within this time. */
void stage_expect_mail(struct stage *stage, struct trap *trap, const char *box, msec_t within);
/* Each mail of stage_mail() and stage_expect_mail() was taken once, nothing else was, and those in
 * the INBOXes are all \Seen. */
void stage_assert_mailed(struct stage *stage);

/* Lets it run until `holds` (looked at after each turn of the loop), for `within` ms of its clock
 * at most; else the test fails, with what was said by all. */
void stage_await(struct stage *stage, msec_t within, bool (*holds)(struct stage *stage));
/* Lets `by` ms pass, with all that happens in them. */
void stage_pass(struct stage *stage, msec_t by);
/* What can happen now does; the clock does not jump. */
void stage_settle(struct stage *stage);

/* The sink is offered `count` mails in all within this time. */
void stage_await_offered(struct stage *stage, msec_t within, size_t count);
/* It takes `count` mails in all within this time. */
void stage_await_taken(struct stage *stage, msec_t within, size_t count);
/* All traps have this many connections in IDLE. */
void stage_await_idling(struct stage *stage, msec_t within, unsigned each);
void stage_await_finished(struct stage *stage, msec_t within);

/* The sink took each of these once, and nothing else. */
void stage_assert_taken(const struct stage *stage, const char *const *bodies, size_t count);
/* How many lines of the collector's log have this in them. */
unsigned stage_logged(struct stage *stage, const char *part);
/* Fails the test, with what was said by all. */
void stage_fail(struct stage *stage, const char *why);

#endif
