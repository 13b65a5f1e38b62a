/* The worklist: what is asked for, in which sets, and what becomes of what is not answered. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "collect/worklist.h"

static bool unasked; /* of the last set for bodies */

static void assert_set(struct buf *set, const char *expected)
{
    assert_string_equal(buf_cstr(set), expected);
    buf_clear(set);
}

static void size_all(struct worklist *list, uint32_t size)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i].state == WORK_SIZING) {
            list->items[i].state = WORK_SIZED;
            list->items[i].size = size;
        }
}

static void test_sizes_then_bodies_bounded_by_bytes(void **state)
{
    (void)state;
    struct worklist list = {0};
    struct buf set = {0};
    imap_uidset_add(&list.pending, 3, 8);
    assert_true(worklist_next_sizes(&list, &set));
    assert_set(&set, "3:8");
    worklist_issued(&list, 1);
    assert_false(worklist_next_sizes(&list, &set));
    assert_false(worklist_next_bodies(&list, 1000, &set, &unasked));

    size_all(&list, 400);
    assert_true(worklist_next_bodies(&list, 1000, &set, &unasked));
    assert_set(&set, "3:4");
    worklist_issued(&list, 2);
    list.items[2].size = 5000; /* more than fits: it goes by itself, but it goes */
    assert_true(worklist_next_bodies(&list, 1000, &set, &unasked));
    assert_set(&set, "5");
    worklist_issued(&list, 3);
    assert_true(worklist_next_bodies(&list, 1000, &set, &unasked));
    assert_set(&set, "6:7");
    worklist_issued(&list, 4);
    assert_int_equal(worklist_unanswered(&list, 3)->uid, 5);
    worklist_remove(&list, worklist_find(&list, 5));
    assert_null(worklist_unanswered(&list, 3));
    assert_null(worklist_find(&list, 5));
    assert_int_equal(worklist_find(&list, 6)->uid, 6);
    worklist_release(&list);
    buf_release(&set);
}

static void test_a_few_go_without_sizes(void **state)
{
    (void)state;
    struct worklist list = {0};
    struct buf set = {0};
    imap_uidset_add(&list.pending, 3, 9);
    imap_uidset_add(&list.pending, 20, 20);
    worklist_skip_sizes(&list);
    assert_false(worklist_next_sizes(&list, &set));
    assert_true(worklist_next_bodies(&list, 1000, &set, &unasked));
    assert_true(unasked);
    assert_set(&set, "3:9,20");
    worklist_issued(&list, 1);
    worklist_add(&list, 30); /* there are items: it takes the usual way */
    worklist_skip_sizes(&list);
    assert_true(worklist_next_sizes(&list, &set));
    assert_set(&set, "30");
    worklist_issued(&list, 2);
    size_all(&list, 5);
    assert_true(worklist_next_bodies(&list, 1000, &set, &unasked));
    assert_false(unasked);
    assert_set(&set, "30");

    worklist_clear(&list);
    imap_uidset_add(&list.pending, 1, 9); /* more than a few */
    worklist_skip_sizes(&list);
    assert_true(worklist_next_sizes(&list, &set));
    assert_set(&set, "1:9");
    worklist_release(&list);
    buf_release(&set);
}

static void test_a_failed_mail_goes_alone(void **state)
{
    (void)state;
    struct worklist list = {0};
    struct buf set = {0};
    imap_uidset_add(&list.pending, 1, 4);
    worklist_next_sizes(&list, &set);
    buf_clear(&set);
    size_all(&list, 10);
    worklist_find(&list, 2)->alone = true;
    assert_true(worklist_next_bodies(&list, 1000, &set, &unasked));
    assert_set(&set, "1");
    assert_true(worklist_next_bodies(&list, 1000, &set, &unasked));
    assert_set(&set, "2");
    assert_true(worklist_next_bodies(&list, 1000, &set, &unasked));
    assert_set(&set, "3:4");
    assert_false(worklist_next_bodies(&list, 1000, &set, &unasked));
    worklist_release(&list);
    buf_release(&set);
}

/* A large folder, every second UID: each is asked for once, ascending, in short commands, with
 * a small window in memory. */
static void test_large_and_sparse(void **state)
{
    (void)state;
    struct worklist list = {0};
    struct buf set = {0};
    uint32_t total = 20000, next = 1, seen = 0;
    for (uint32_t i = 0; i < total; i++)
        worklist_add(&list, 1 + 2 * i);
    while (!worklist_empty(&list)) {
        while (worklist_next_sizes(&list, &set)) {
            assert_true(set.len <= 900);
            buf_clear(&set);
        }
        assert_true(list.count <= 1500);
        size_all(&list, 100);
        assert_true(worklist_next_bodies(&list, 1 << 20, &set, &unasked));
        assert_true(set.len <= 900);
        buf_clear(&set);
        worklist_issued(&list, 7);
        struct work_item *item;
        while ((item = worklist_unanswered(&list, 7))) {
            assert_int_equal(item->uid, next);
            next += 2;
            seen++;
            worklist_remove(&list, item);
        }
    }
    assert_int_equal(seen, total);
    worklist_release(&list);
    buf_release(&set);
}

/* What a hostile server may find: not one UID beside another. What does not fit into a command
 * stays where it is; moving millions for each of twenty thousand commands would not end. */
static void test_two_million_sparse(void **state)
{
    (void)state;
    struct worklist list = {0};
    struct buf set = {0};
    const uint32_t total = 2000000;
    uint32_t next = 1000000001;
    for (uint32_t i = 0; i < total; i++)
        imap_uidset_add(&list.pending, next + 2 * i, next + 2 * i);
    while (!worklist_empty(&list)) {
        assert_true(worklist_next_sizes(&list, &set));
        assert_true(set.len <= 900);
        buf_clear(&set);
        for (size_t i = 0; i < list.count; i++, next += 2)
            if (list.items[i].uid != next)
                fail_msg("%u instead of %u", list.items[i].uid, next);
        list.count = 0; /* all of them answered */
    }
    assert_int_equal(next, 1000000001 + 2 * total);
    worklist_release(&list);
    buf_release(&set);
}

/* One at a time, whatever their sizes are said to be. */
static void test_one_body_at_a_time(void **state)
{
    (void)state;
    struct worklist list = {0};
    struct buf set = {0};
    uint32_t uids[] = {3, 5, 8};
    for (size_t i = 0; i < 3; i++) {
        worklist_add(&list, uids[i]);
        assert_true(worklist_next_sizes(&list, &set));
        worklist_find(&list, uids[i])->state = WORK_SIZED;
    }
    assert_null(worklist_only_asked(&list));
    buf_clear(&set);
    assert_true(worklist_next_bodies(&list, 0, &set, &unasked));
    assert_string_equal(buf_cstr(&set), "3");
    assert_int_equal(worklist_only_asked(&list)->uid, 3);
    buf_clear(&set);
    assert_true(worklist_next_bodies(&list, 0, &set, &unasked));
    assert_string_equal(buf_cstr(&set), "5");
    assert_null(worklist_only_asked(&list));
    worklist_release(&list);
    buf_release(&set);
}

/* Each of the mails has its turn, one in a run, and none is forgotten. */
static void test_last_by_lot(void **state)
{
    (void)state;
    struct worklist list = {0};
    unsigned seen = 0;
    assert_true(worklist_empty(&list));
    for (int run = 0; run < 10000 && seen != 7; run++) {
        for (uint32_t uid = 0; uid < 3; uid++)
            worklist_add_last(&list, 10 + uid);
        assert_false(worklist_empty(&list));
        assert_int_equal(list.pending.count, 0);
        worklist_take_last(&list);
        seen |= 1u << (imap_uidset_take_first(&list.pending) - 10);
        assert_true(worklist_empty(&list));
    }
    assert_int_equal(seen, 7);
    worklist_add_last(&list, 4);
    worklist_clear(&list);
    assert_true(worklist_empty(&list));
    worklist_release(&list);
}

static void test_given_back(void **state)
{
    (void)state;
    struct worklist list = {0};
    struct buf set = {0};
    worklist_add(&list, 9);
    worklist_next_sizes(&list, &set);
    buf_clear(&set);
    worklist_remove(&list, worklist_find(&list, 9));
    assert_true(worklist_empty(&list));
    worklist_add(&list, 9);
    assert_false(worklist_empty(&list));
    assert_true(worklist_next_sizes(&list, &set));
    assert_set(&set, "9");
    worklist_release(&list);
    buf_release(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes_then_bodies_bounded_by_bytes),
        cmocka_unit_test(test_a_few_go_without_sizes),
        cmocka_unit_test(test_a_failed_mail_goes_alone),
        cmocka_unit_test(test_large_and_sparse),
        cmocka_unit_test(test_two_million_sparse),
        cmocka_unit_test(test_one_body_at_a_time),
        cmocka_unit_test(test_last_by_lot),
        cmocka_unit_test(test_given_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
