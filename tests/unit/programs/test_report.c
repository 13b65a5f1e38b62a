/* What people are shown, word for word. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake_collector.h"
#include "programs/collector_changes.h"
#include "programs/collector_report.h"

static struct err report_refused = {.text = "login refused: [AUTHENTICATIONFAILED] wrong password"};
static struct err report_long;

static struct collector report_fleet(void)
{
    struct collector fleet = {.count = 6, .sink_up = true};
    /* The last one is still busy with what was there. */
    static const char *const labels[] = {"a@h", "b@h", "c\x1b@h", "d@h", "e@h", "f@h"};
    memset(report_long.text, 'x', 200);
    for (size_t i = 0; i < fleet.count; i++) {
        fleet.accounts[i].label = labels[i];
        fleet.reports[i] = (struct collect_report){
            .phase = COLLECT_WATCHING, .found = 10, .delivered = 9, .held = 1, .bytes = 1000000};
    }
    fleet.reports[5].phase = COLLECT_COLLECTING;
    return fleet;
}

/* Four of the six fail, each in its way. */
static struct collector report_ill_fleet(void)
{
    struct collector fleet = report_fleet();
    fleet.sink_up = false;
    fleet.reports[1].phase = COLLECT_RETRYING;
    fleet.reports[1].failing_since = 5;
    fleet.reports[1].err = &report_refused;
    fleet.reports[2].phase = COLLECT_CONNECTING; /* again, and not yet well */
    fleet.reports[2].failing_since = 5;
    fleet.reports[2].err = &report_long;
    fleet.reports[3].phase = COLLECT_FAILED;
    fleet.reports[4].failing_since = 7;
    return fleet;
}

static void test_live(void **state)
{
    (void)state;
    struct collector fleet = report_fleet();
    char line[300];
    assert_string_equal(report_live(line, sizeof line, &fleet),
                        "6 of 6 mailboxes watched, 54 mails, 6.0 MB, 6 held");
    fleet.gone = (struct collect_counts){.delivered = 100, .bytes = 94000000, .held = 2};
    assert_string_equal(report_live(line, sizeof line, &fleet),
                        "6 of 6 mailboxes watched, 154 mails, 100.0 MB, 8 held");
    fleet = report_ill_fleet();
    assert_string_equal(report_live(line, sizeof line, &fleet),
                        "the broker is away, 2 of 6 mailboxes watched, 4 failing, 54 mails, "
                        "6.0 MB, 6 held, trouble with b@h");
    fleet.state_bad = true;
    assert_string_equal(report_live(line, 80, &fleet),
                        "the state cannot be written, the broker is away, 2 of 6 mailboxes "
                        "watched, 4 fa");
    fleet.state_bad = false;
    fleet.count = 0;
    fleet.sink_up = true;
    assert_string_equal(report_live(line, sizeof line, &fleet),
                        "0 of 0 mailboxes watched, 0 mails, 0 B");
    /* Whatever does not fit is cut. */
    fleet.count = 6;
    assert_string_equal(report_live(line, 10, &fleet), "2 of 6 ma");
}

static void test_summary(void **state)
{
    (void)state;
    struct collector fleet = report_fleet();
    struct report_sum before = {.delivered = 50, .bytes = 5000000, .held = 6};
    struct buf line = {0};
    report_summary(&line, &fleet, &before, 3600000);
    assert_string_equal(buf_cstr(&line),
                        "in the last 60 min 4 mails (1.0 MB) delivered and 0 held, in all 54 "
                        "(6.0 MB) and 6; hpfeeds h:10000, confirmed by sent is up; 6 of 6 "
                        "mailboxes watched, 0 failing");
    buf_clear(&line);
    fleet.state_bad = true;
    report_summary(&line, &fleet, &before, 3600000);
    assert_non_null(strstr(buf_cstr(&line), " is up; the state cannot be written; 6 of 6 "));
    fleet = report_ill_fleet();
    buf_clear(&line);
    fleet.gone = (struct collect_counts){.delivered = 50, .bytes = 5000000, .held = 6};
    report_summary(&line, &fleet, &before, 3599999);
    char *expected = NULL;
    assert_true(asprintf(&expected,
                         "in the last 59 min 54 mails (6.0 MB) delivered and 6 held, in all 104 "
                         "(11.0 MB) and 12; hpfeeds h:10000, confirmed by sent is away; 2 of 6 "
                         "mailboxes watched, 4 failing: b@h (login refused: "
                         "[AUTHENTICATIONFAILED] wrong password), c\\x1b@h (%.100s), d@h (not "
                         "reached) and 1 more",
                         report_long.text) > 0);
    assert_string_equal(buf_cstr(&line), expected);
    free(expected);
    buf_release(&line);
}

static void test_table(void **state)
{
    (void)state;
    struct collector fleet = report_ill_fleet();
    char *text = NULL;
    size_t size;
    fleet.count = 3;
    fleet.gone = (struct collect_counts){.found = 5, .delivered = 5, .bytes = 5};
    fleet.reports[2].err = NULL;
    FILE *out = open_memstream(&text, &size);
    report_table(out, &fleet);
    fclose(out);
    assert_string_equal(text,
                        "mailbox        new  delivered   held     bytes  result\n"
                        "a@h             10          9      1    1.0 MB  ok\n"
                        "b@h             10          9      1    1.0 MB  login refused: "
                        "[AUTHENTICATIONFAILED] wrong password\n"
                        "c\\x1b@h         10          9      1    1.0 MB  not reached\n"
                        "total           35         32      3    3.0 MB  1 of 3 mailboxes ok\n");
    free(text);
}

/* It was watched, and in the end what it had delivered could not be put on record. */
static void test_end_in_trouble(void **state)
{
    (void)state;
    struct collector fleet = report_fleet();
    struct err full = {.text = "state: no space left"};
    char *text = NULL;
    size_t size;
    fleet.count = 1;
    fleet.reports[0].err = &full;
    FILE *out = open_memstream(&text, &size);
    report_table(out, &fleet);
    fclose(out);
    assert_non_null(strstr(text, "1.0 MB  state: no space left\n"));
    assert_non_null(strstr(text, " 0 of 1 mailboxes ok\n"));
    free(text);
}

static void test_changes(void **state)
{
    (void)state;
    struct collector fleet = report_fleet();
    struct collect_account accounts[5];
    struct changes changes;
    for (size_t i = 0; i < fleet.count; i++) {
        fleet.accounts[i].host = "h";
        fleet.accounts[i].user = "u";
        fleet.accounts[i].password = "p";
    }
    accounts[0] = fleet.accounts[4];
    accounts[1] = fleet.accounts[0];
    accounts[2] = fleet.accounts[1];
    accounts[2].password = "q";
    accounts[3] = fleet.accounts[2];
    accounts[3].label = "new";
    accounts[4] = fleet.accounts[5];
    changes = changes_count(&fleet, accounts, 5);
    assert_int_equal(changes.added, 1);
    assert_int_equal(changes.removed, 2);
    assert_int_equal(changes.changed, 1);
    assert_int_equal(changes.unchanged, 3);
    fleet.count = 0;
    changes = changes_count(&fleet, accounts, 5);
    assert_int_equal(changes.added, 5);
    fleet.count = 6;
    changes = changes_count(&fleet, accounts, 0);
    assert_int_equal(changes.removed, 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_live),    cmocka_unit_test(test_summary),
        cmocka_unit_test(test_table),   cmocka_unit_test(test_end_in_trouble),
        cmocka_unit_test(test_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
