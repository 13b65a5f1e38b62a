/* conf/report.h: collects the problems of both files. Internal. */
#ifndef CONF_REPORT_H
#define CONF_REPORT_H

#include <stdbool.h>
#include <stddef.h>

#include "conf/conf.h"
#include "conf/table.h"

struct conf_report_item;

/* All zero is a valid empty report. */
struct conf_report {
    struct conf_report_item *items;
    size_t count;
    size_t cap;
    size_t errors;   /* also those that are left out */
    size_t left_out; /* beyond what anybody reads */
    struct conf_table seen;
};

/* Where it is; files come one after the other, `line` 0 is a file as a whole and comes first. */
struct conf_report_place {
    unsigned file;
    unsigned line;
    unsigned column;
};

/* Takes `text`. The same text again is dropped: a value that several mailboxes share by an alias
 * is one problem. */
void conf_report_add(struct conf_report *report, struct conf_report_place place, bool warning,
                     char *text);
/* Moves the problems, in the order of the files, to *ret_problems; the report is empty then. */
void conf_report_finish(struct conf_report *report, struct conf_problems *ret_problems);

#endif
