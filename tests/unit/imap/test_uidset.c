#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "imap/uidset.h"

/* The whole set as text, from a copy. */
static void uidset_text(const struct imap_uidset *set, struct buf *out)
{
    struct imap_uidset copy = {0};
    for (size_t i = 0; i < set->count; i++)
        imap_uidset_add(&copy, set->ranges[i].first, set->ranges[i].last);
    imap_uidset_take_text(&copy, out, SIZE_MAX);
    imap_uidset_release(&copy);
}

static void assert_set(const struct imap_uidset *set, const char *expected)
{
    struct buf out = {0};
    uidset_text(set, &out);
    assert_string_equal(buf_cstr(&out), expected);
    buf_release(&out);
}

static void test_parse(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out; /* NULL: refused */
        uint64_t size;
    } rows[] = {
        {"1", "1", 1},
        {"4294967295", "4294967295", 1},
        {"1:3", "1:3", 3},
        {"3:1", "1:3", 3},
        {"5:5", "5", 1},
        {"1,2,3", "1:3", 3},
        {"9,1,5:7,6:8,3", "1,3,5:9", 7},
        {"1:99999999", "1:99999999", 99999999},
        {"1:4294967295", "1:4294967295", 4294967295},
        {"4294967295,4294967294", "4294967294:4294967295", 2},
        {"2,2,2:2", "2", 1},
        {"", NULL, 0},
        {"0", NULL, 0},
        {"0:3", NULL, 0},
        {"3:0", NULL, 0},
        {"*", NULL, 0},
        {"1:*", NULL, 0},
        {"1,", NULL, 0},
        {",1", NULL, 0},
        {"1,,2", NULL, 0},
        {"1:", NULL, 0},
        {":1", NULL, 0},
        {"1:2:3", NULL, 0},
        {"1 ,2", NULL, 0},
        {"-1", NULL, 0},
        {"4294967296", NULL, 0},
        {"1:4294967296", NULL, 0},
        {"1,2,3,4,5,6,7,8,9", NULL, 0}, /* over max_ranges */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct imap_uidset set = {0};
        imap_uidset_add(&set, 77, 78);
        bool good = imap_uidset_parse(&set, rows[i].in, strlen(rows[i].in), 8);
        assert_int_equal(good, rows[i].out != NULL);
        assert_set(&set, good ? rows[i].out : "77:78");
        if (good)
            assert_int_equal(imap_uidset_size(&set), rows[i].size);
        imap_uidset_release(&set);
    }
}

static void test_add(void **state)
{
    (void)state;
    static const struct {
        const char *set;
        uint32_t first, last;
        const char *out;
    } rows[] = {
        {"5:7", 1, 1, "1,5:7"},
        {"5:7", 1, 4, "1:7"},
        {"5:7", 4, 4, "4:7"},
        {"5:7", 8, 8, "5:8"},
        {"5:7", 9, 9, "5:7,9"},
        {"5:7", 6, 6, "5:7"},
        {"5:7", 1, 9, "1:9"},
        {"1,3,5,7,9", 2, 8, "1:9"},
        {"1,3,5,7,9", 3, 7, "1,3:7,9"},
        {"1,3,5,7,9", 4, 4, "1,3:5,7,9"},
        {"10,20,30", 15, 15, "10,15,20,30"},
        {"10,20,30", 25, 12, "10,12:25,30"},
        {"10,20", 0, 0, "10,20"},
        {"10,20", 0, 3, "1:3,10,20"},
        {"10,20", 4294967295, 4294967295, "10,20,4294967295"},
        {"10,4294967295", 1, 4294967295, "1:4294967295"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct imap_uidset set = {0};
        assert_true(imap_uidset_parse(&set, rows[i].set, strlen(rows[i].set), 8));
        imap_uidset_add(&set, rows[i].first, rows[i].last);
        assert_set(&set, rows[i].out);
        imap_uidset_release(&set);
    }
}

static void test_take_text(void **state)
{
    (void)state;
    static const struct {
        size_t max;
        const char *text;
        uint64_t taken;
        const char *rest;
    } rows[] = {
        {24, "1:3,7,9:12,100,200:201", 11, "300"},
        {26, "1:3,7,9:12,100,200:201,300", 12, ""},
        {25, "1:3,7,9:12,100,200:201", 11, "300"},
        {1000, "1:3,7,9:12,100,200:201,300", 12, ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        static const char text[] = "1:3,7,9:12,100,200:201,300";
        struct imap_uidset set = {0};
        struct buf out = {0};
        buf_add_str(&out, "UID FETCH ");
        assert_true(imap_uidset_parse(&set, text, strlen(text), 100));
        assert_int_equal(imap_uidset_take_text(&set, &out, rows[i].max), rows[i].taken);
        assert_string_equal(buf_cstr(&out) + 10, rows[i].text);
        assert_set(&set, rows[i].rest);
        imap_uidset_release(&set);
        buf_release(&out);
    }
    struct imap_uidset widest = {0};
    struct buf out = {0};
    imap_uidset_add(&widest, 4294967293, 4294967295);
    assert_int_equal(imap_uidset_take_text(&widest, &out, 24), 3);
    assert_string_equal(buf_cstr(&out), "4294967293:4294967295");
    assert_int_equal(imap_uidset_take_text(&widest, &out, 24), 0);
    assert_string_equal(buf_cstr(&out), "4294967293:4294967295");
    buf_release(&out);
    imap_uidset_release(&widest);
}

/* Taken one by one, a set of a million ranges is empty at once: no step may move the rest. */
static void test_take_first(void **state)
{
    (void)state;
    enum {
        RANGES = 1000000
    };
    struct imap_uidset set = {0};
    assert_int_equal(imap_uidset_take_first(&set), 0);
    for (uint32_t i = 1; i <= RANGES; i++)
        imap_uidset_add(&set, 3 * i, 3 * i + 1);
    assert_int_equal(set.count, RANGES);
    for (uint32_t i = 1; i <= RANGES; i++) {
        assert_int_equal(imap_uidset_take_first(&set), 3 * i);
        assert_int_equal(imap_uidset_take_first(&set), 3 * i + 1);
    }
    assert_int_equal(imap_uidset_take_first(&set), 0);
    assert_null(set.memory);
    imap_uidset_release(&set);
}

static void test_cut(void **state)
{
    (void)state;
    static const struct {
        uint64_t size;
        const char *kept, *rest;
    } cases[] = {
        {0, "", "2:5,7,9:12,20,4294967295"},   {1, "2", "3:5,7,9:12,20,4294967295"},
        {4, "2:5", "7,9:12,20,4294967295"},    {5, "2:5,7", "9:12,20,4294967295"},
        {8, "2:5,7,9:11", "12,20,4294967295"}, {10, "2:5,7,9:12,4294967295", "20"},
        {11, "2:5,7,9:12,4294967295", "20"},   {UINT64_MAX, "2:5,7,9:12,4294967295", "20"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct imap_uidset set = {0}, rest = {0};
        struct buf text = {0};
        assert_true(imap_uidset_parse(&set, "2:5,7,9:12,4294967295", 21, SIZE_MAX));
        imap_uidset_add(&rest, 20, 20);
        imap_uidset_cut(&set, cases[i].size, &rest);
        if (set.count)
            imap_uidset_take_text(&set, &text, 100);
        assert_string_equal(buf_cstr(&text), cases[i].kept);
        buf_release(&text);
        imap_uidset_take_text(&rest, &text, 100);
        assert_string_equal(buf_cstr(&text), cases[i].rest);
        buf_release(&text);
        imap_uidset_release(&set);
        imap_uidset_release(&rest);
    }
}

/* However many numbers a range claims to hold: a server may say 1:4294967295. */
static void test_drop_below(void **state)
{
    (void)state;
    static const struct {
        const char *set;
        uint64_t below;
        const char *rest;
    } rows[] = {
        {"1:4294967295", 4294967290, "4294967290:4294967295"},
        {"1:4294967295", 4294967296, ""},
        {"1:3,7,9:12", 1, "1:3,7,9:12"},
        {"1:3,7,9:12", 2, "2:3,7,9:12"},
        {"1:3,7,9:12", 4, "7,9:12"},
        {"1:3,7,9:12", 8, "9:12"},
        {"1:3,7,9:12", 12, "12"},
        {"1:3,7,9:12", 13, ""},
    };
    for (size_t i = 0; i < 1000 * (sizeof rows / sizeof *rows); i++) {
        const char *text = rows[i % (sizeof rows / sizeof *rows)].set;
        struct imap_uidset set = {0};
        struct buf out = {0};
        assert_true(imap_uidset_parse(&set, text, strlen(text), SIZE_MAX));
        imap_uidset_drop_below(&set, rows[i % (sizeof rows / sizeof *rows)].below);
        imap_uidset_take_text(&set, &out, 1000);
        assert_string_equal(buf_cstr(&out), rows[i % (sizeof rows / sizeof *rows)].rest);
        buf_release(&out);
        imap_uidset_release(&set);
    }
    struct imap_uidset empty = {0};
    imap_uidset_drop_below(&empty, 7);
    assert_int_equal(empty.count, 0);
}

/* As a queue that is added to while it is taken from, its memory stays small. */
static void test_queue_memory(void **state)
{
    (void)state;
    struct imap_uidset set = {0};
    for (uint32_t i = 1; i <= 100000; i++) {
        imap_uidset_add(&set, 2 * i, 2 * i);
        if (i > 10)
            assert_int_equal(imap_uidset_take_first(&set), 2 * (i - 10));
    }
    assert_int_equal(set.count, 10);
    assert_true(set.cap <= 64);
    imap_uidset_release(&set);
}

enum {
    UNIVERSE = 64
};

static void assert_same(const struct imap_uidset *set, const bool *naive)
{
    uint64_t size = 0;
    for (uint32_t uid = 0; uid <= UNIVERSE + 1; uid++) {
        assert_int_equal(imap_uidset_contains(set, uid), naive[uid]);
        size += naive[uid];
    }
    assert_int_equal(imap_uidset_size(set), size);
    for (size_t i = 0; i < set->count; i++) {
        assert_true(set->ranges[i].first >= 1 && set->ranges[i].last >= set->ranges[i].first);
        if (i)
            assert_true(set->ranges[i].first > set->ranges[i - 1].last + 1);
    }
}

static void naive_add(bool *naive, uint32_t a, uint32_t b)
{
    for (uint32_t uid = a < b ? a : b; uid <= (a < b ? b : a); uid++)
        if (uid)
            naive[uid] = true;
}

static uint32_t pick(unsigned *seed)
{
    return (uint32_t)rand_r(seed) % (UNIVERSE + 1);
}

static void random_step(struct imap_uidset *set, bool *naive, unsigned *seed)
{
    uint32_t a = pick(seed), b = pick(seed);
    struct imap_uidset more = {0};
    size_t count = (size_t)rand_r(seed) % 20;
    uint32_t first = 0;
    switch (rand_r(seed) % 5) {
    case 0:
        imap_uidset_add(set, a, b);
        naive_add(naive, a, b);
        break;
    case 1:
        for (size_t i = 0; i < count; i++) {
            uint32_t from = pick(seed), to = from + (uint32_t)rand_r(seed) % 3;
            imap_uidset_add(&more, from, to < UNIVERSE ? to : from);
            naive_add(naive, from, to < UNIVERSE ? to : from);
        }
        imap_uidset_add_set(set, &more);
        imap_uidset_release(&more);
        break;
    case 2:
        for (uint32_t uid = UNIVERSE; uid; uid--)
            first = naive[uid] ? uid : first;
        assert_int_equal(imap_uidset_take_first(set), first);
        naive[first] = false;
        break;
    case 3:
        imap_uidset_clear(set);
        memset(naive, 0, (UNIVERSE + 2) * sizeof *naive);
        break;
    default:
        for (size_t i = 0; i < count; i++) {
            uint32_t uid = pick(seed);
            imap_uidset_remove(set, uid);
            naive[uid] = false;
        }
    }
}

/* What a broker gives back, and what is gone, of a folder with millions of mails that lie apart:
 * takes minutes where all of them are moved for each. */
static void test_put_back(void **state)
{
    (void)state;
    enum {
        RANGES = 4000000,
        BACK = 40000
    };
    struct imap_uidset set = {0};
    for (uint32_t i = 1; i <= RANGES; i++)
        imap_uidset_add(&set, 2 * i, 2 * i);
    for (uint32_t i = 1; i <= BACK; i++)
        assert_int_equal(imap_uidset_take_first(&set), 2 * i);
    for (uint32_t i = 1; i <= BACK; i++)
        imap_uidset_add(&set, 2 * i, 2 * i);
    assert_int_equal(set.count, RANGES);
    for (uint32_t i = 1; i <= BACK; i++)
        imap_uidset_remove(&set, 2 * i);
    for (uint32_t i = BACK; i; i--)
        imap_uidset_add(&set, 2 * i, 2 * i);
    for (uint32_t i = 1; i <= RANGES; i++)
        assert_int_equal(imap_uidset_take_first(&set), 2 * i);
    assert_int_equal(imap_uidset_take_first(&set), 0);
}

static void test_against_bitmap(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 300; round++) {
        unsigned seed = round;
        struct imap_uidset set = {0};
        bool naive[UNIVERSE + 2] = {0};
        for (unsigned step = 0; step < 60; step++) {
            random_step(&set, naive, &seed);
            assert_same(&set, naive);
        }
        imap_uidset_release(&set);
    }
}

/* Text taken in commands of bounded length, put together again, is the set it was. */
static void test_text_round_trip(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 100; round++) {
        unsigned seed = round;
        struct imap_uidset set = {0}, back = {0};
        bool naive[UNIVERSE + 2] = {0};
        for (unsigned step = 0; step < 20; step++) {
            uint32_t uid = pick(&seed);
            imap_uidset_add(&set, uid, uid);
            naive_add(naive, uid, uid);
        }
        uint64_t size = imap_uidset_size(&set), taken = 0;
        while (set.count) {
            struct buf out = {0};
            struct imap_uidset part = {0};
            taken += imap_uidset_take_text(&set, &out, 24);
            assert_true(out.len <= 24);
            assert_true(imap_uidset_parse(&part, buf_cstr(&out), out.len, 100));
            for (size_t i = 0; i < part.count; i++)
                imap_uidset_add(&back, part.ranges[i].first, part.ranges[i].last);
            imap_uidset_release(&part);
            buf_release(&out);
        }
        assert_int_equal(taken, size);
        assert_same(&back, naive);
        imap_uidset_release(&set);
        imap_uidset_release(&back);
    }
}

/* Two sets of half a million ranges each, one between the other's: merged, not inserted one by one.
 */
static void test_add_set(void **state)
{
    (void)state;
    enum {
        RANGES = 500000
    };
    struct imap_uidset set = {0}, more = {0};
    for (uint32_t i = 1; i <= RANGES; i++) {
        imap_uidset_add(&set, 4 * i, 4 * i);
        imap_uidset_add(&more, 4 * i + 2, 4 * i + 2);
    }
    imap_uidset_add_set(&set, &more);
    assert_int_equal(set.count, 2 * RANGES);
    assert_true(imap_uidset_contains(&set, 4) && imap_uidset_contains(&set, 4 * RANGES + 2));
    assert_false(imap_uidset_contains(&set, 5));
    assert_int_equal(more.count, RANGES);
    imap_uidset_clear(&more);
    imap_uidset_add_set(&set, &more);
    assert_int_equal(imap_uidset_size(&set), 2 * RANGES);
    imap_uidset_release(&set);
    imap_uidset_release(&more);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_add),
        cmocka_unit_test(test_take_text),
        cmocka_unit_test(test_take_first),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_drop_below),
        cmocka_unit_test(test_queue_memory),
        cmocka_unit_test(test_put_back),
        cmocka_unit_test(test_against_bitmap),
        cmocka_unit_test(test_text_round_trip),
        cmocka_unit_test(test_add_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
