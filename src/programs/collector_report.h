/* programs/collector_report.h: what imap-collector shows: progress, the table at the end, the
 * table of --check. */
#ifndef PROGRAMS_COLLECTOR_REPORT_H
#define PROGRAMS_COLLECTOR_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/num.h"
#include "collect/collector.h"

/* The line shown while it works: "12 of 20 mailboxes, 4,211 of 10,000 mails, …". Returns `out`. */
char *report_progress(char *out, size_t cap, const struct collector *collector, msec_t elapsed);
/* A row a mailbox, and their sum. */
void report_table(FILE *out, const struct collector *collector);
/* What --check found. `broker` describes the sink; `broker_err` NULL: it is fine. */
void report_check(FILE *out, const struct collector *collector, const char *broker,
                  const struct err *broker_err);

#endif
