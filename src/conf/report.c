#include "conf/report.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum {
    REPORT_ITEMS_MOST = 1000
};

struct conf_report_item {
    struct conf_report_place place;
    size_t order; /* keeps the sort stable */
    struct conf_problem problem;
};

void conf_report_add(struct conf_report *report, struct conf_report_place place, bool warning,
                     char *text)
{
    size_t len = strlen(text);
    bool known = conf_table_get(&report->seen, text, len);
    if (!known && !warning)
        report->errors++;
    if (known || report->count == REPORT_ITEMS_MOST) {
        report->left_out += !known;
        free(text);
        return;
    }
    if (report->count == report->cap) {
        report->cap = report->cap ? report->cap * 2 : 16;
        report->items = mem_realloc_array(report->items, report->cap, sizeof *report->items);
    }
    report->items[report->count] = (struct conf_report_item){
        .place = place, .order = report->count, .problem = {.warning = warning, .text = text}};
    report->count++;
    conf_table_put(&report->seen, text, len, text);
}

static int conf_report_compare(const void *a_item, const void *b_item)
{
    const struct conf_report_item *a = a_item, *b = b_item;
    if (a->place.file != b->place.file)
        return a->place.file < b->place.file ? -1 : 1;
    if (a->place.line != b->place.line)
        return a->place.line < b->place.line ? -1 : 1;
    if (a->place.column != b->place.column)
        return a->place.column < b->place.column ? -1 : 1;
    return a->order < b->order ? -1 : a->order > b->order;
}

void conf_report_finish(struct conf_report *report, struct conf_problems *ret_problems)
{
    struct conf_problems problems = {.errors = report->errors};
    size_t room = report->count + (report->left_out ? 1 : 0);
    if (room)
        problems.items = mem_realloc_array(NULL, room, sizeof *problems.items);
    if (report->count)
        qsort(report->items, report->count, sizeof *report->items, conf_report_compare);
    for (size_t i = 0; i < report->count; i++)
        problems.items[problems.count++] = report->items[i].problem;
    if (report->left_out)
        problems.items[problems.count++] = (struct conf_problem){
            .text = mem_printf("%zu more problems are not listed", report->left_out),
            .warning = !report->errors,
        };
    free(report->items);
    conf_table_release(&report->seen);
    *report = (struct conf_report){0};
    *ret_problems = problems;
}

void conf_problems_release(struct conf_problems *problems)
{
    for (size_t i = 0; i < problems->count; i++)
        free(problems->items[i].text);
    free(problems->items);
    *problems = (struct conf_problems){0};
}
