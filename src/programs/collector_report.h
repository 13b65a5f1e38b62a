/* programs/collector_report.h: what imap-collector shows: progress, summaries, the tables at the
 * end. All of it goes over every mailbox. */
#ifndef PROGRAMS_COLLECTOR_REPORT_H
#define PROGRAMS_COLLECTOR_REPORT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/num.h"
#include "collect/collector.h"

/* All mailboxes together. */
struct report_sum {
    size_t count;
    size_t ok;      /* a pass is through with them, or all they had is collected */
    size_t failed;  /* given up */
    size_t watched; /* connected, and nothing is wrong */
    size_t failing; /* given up, or tried again and again */
    uint64_t found, delivered, held, bytes;
};

/* The mails of mailboxes that a reload took away count as well. */
struct report_sum report_add_up(const struct collector *collector);

/* The line shown during a pass: "12 of 20 mailboxes, 4211 of 10000 mails, …". Returns `out`. */
char *report_progress(char *out, size_t cap, const struct collector *collector, msec_t elapsed);
/* Likewise of continuous collecting: "19 of 20 mailboxes watched, 1 failing, 4211 mails, …". */
char *report_live(char *out, size_t cap, const struct collector *collector);
/* Appends a summary of the last `span`; `before` is what the sum was when it began. */
void report_summary(struct buf *out, const struct collector *collector,
                    const struct report_sum *before, msec_t span);

/* A row a mailbox, and their sum. */
void report_table(FILE *out, const struct collector *collector);
/* What --check found. `broker` describes the sink; `broker_err` NULL: it is fine. */
void report_check(FILE *out, const struct collector *collector, const char *broker,
                  const struct err *broker_err);

#endif
