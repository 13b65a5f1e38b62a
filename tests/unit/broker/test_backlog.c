/* What waits for a subscriber: comes out in order, whole and once, and is counted as long as it
 * is kept. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "broker/backlog.h"

enum {
    SMALL = BROKER_BACKLOG_SMALL - 1, /* the largest that is copied */
    LARGE = BROKER_BACKLOG_SMALL,     /* the smallest that is shared */
};

/* `len` bytes, no two runs alike; the caller owns one reference. */
static struct broker_run *make_run(size_t len, unsigned count, size_t *held, struct buf *ret_all)
{
    static uint8_t next;
    uint8_t *bytes = malloc(len ? len : 1);
    assert_non_null(bytes);
    for (size_t i = 0; i < len; i++)
        bytes[i] = next++;
    next++;
    struct broker_run *run = broker_run_new(bytes, len, count, len / 2, held);
    if (ret_all)
        buf_add(ret_all, bytes, len);
    free(bytes);
    return run;
}

/* Takes all out: the bytes must be `all`, the frames `count`; returns how many blocks they were. */
static size_t assert_takes(struct broker_backlog *backlog, const struct buf *all, unsigned count)
{
    size_t at = 0, blocks = 0;
    unsigned frames, sum = 0;
    struct block *block;
    while ((block = broker_backlog_take(backlog, &frames))) {
        assert_true(frames > 0 && block->len <= all->len - at);
        assert_memory_equal(block->data, all->data + at, block->len);
        at += block->len;
        sum += frames;
        blocks++;
        assert_int_equal(backlog->bytes, all->len - at);
        block_unref(block);
    }
    assert_int_equal(at, all->len);
    assert_int_equal(sum, count);
    assert_null(backlog->first);
    return blocks;
}

static void test_runs_are_counted_while_they_are_kept(void **state)
{
    (void)state;
    size_t held = 0;
    struct broker_run *run = make_run(1000, 3, &held, NULL);
    assert_int_equal(held, 1000);
    assert_int_equal(run->count, 3);
    assert_int_equal(run->payload_len, 500);
    run->refs++;
    broker_run_unref(run);
    assert_int_equal(held, 1000);
    broker_run_unref(run);
    assert_int_equal(held, 0);
}

/* Sizes at the border between copying and sharing, in every order of three. */
static void test_order(void **state)
{
    static const size_t sizes[] = {1, SMALL, LARGE, 100000};
    enum {
        SIZES = sizeof sizes / sizeof *sizes
    };
    (void)state;
    for (size_t i = 0; i < SIZES * SIZES * SIZES; i++) {
        struct broker_backlog backlog = {0};
        struct buf all = {0};
        size_t held = 0;
        for (size_t n = 0, rest = i; n < 3; n++, rest /= SIZES) {
            struct broker_run *run = make_run(sizes[rest % SIZES], (unsigned)n + 1, &held, &all);
            broker_backlog_add(&backlog, run);
            broker_run_unref(run);
            assert_int_equal(backlog.bytes, all.len);
            assert_int_equal(held, all.len);
        }
        assert_takes(&backlog, &all, 6);
        assert_int_equal(held, 0);
        buf_release(&all);
    }
}

/* Small ones gather in few blocks; none grows without an end. */
static void test_small_ones_gather(void **state)
{
    (void)state;
    struct broker_backlog backlog = {0};
    struct buf all = {0};
    size_t held = 0;
    for (unsigned i = 0; i < 2000; i++) {
        struct broker_run *run = make_run(40, 1, &held, &all);
        broker_backlog_add(&backlog, run);
        broker_run_unref(run);
    }
    assert_int_equal(held, 80000);
    size_t blocks = assert_takes(&backlog, &all, 2000);
    assert_in_range(blocks, 2, 8);
    assert_int_equal(held, 0);
    buf_release(&all);
}

/* A large one is shared by all who wait for it, and gone with the last of them. */
static void test_large_ones_are_shared(void **state)
{
    enum {
        MANY = 50
    };
    (void)state;
    struct broker_backlog backlogs[MANY] = {0};
    struct buf all = {0};
    size_t held = 0;
    unsigned count;
    struct broker_run *run = make_run(LARGE, 1, &held, &all);
    const uint8_t *data = run->block->data;
    for (size_t i = 0; i < MANY; i++)
        broker_backlog_add(&backlogs[i], run);
    broker_run_unref(run);
    assert_int_equal(held, LARGE);
    for (size_t i = 0; i < MANY; i++) {
        assert_int_equal(held, LARGE);
        if (i % 2) {
            broker_backlog_release(&backlogs[i]);
            continue;
        }
        struct block *block = broker_backlog_take(&backlogs[i], &count);
        assert_ptr_equal(block->data, data);
        block_unref(block);
    }
    assert_int_equal(held, 0);
    buf_release(&all);
}

/* Whoever has taken a block keeps it, whatever becomes of the backlog. */
static void test_taken_blocks_live_on(void **state)
{
    (void)state;
    struct broker_backlog backlog = {0};
    struct buf all = {0};
    size_t held = 0;
    unsigned count;
    for (int i = 0; i < 2; i++) {
        struct broker_run *run = make_run(i ? LARGE : 10, 1, &held, &all);
        broker_backlog_add(&backlog, run);
        broker_run_unref(run);
    }
    struct block *small = broker_backlog_take(&backlog, &count);
    struct block *large = broker_backlog_take(&backlog, &count);
    assert_null(broker_backlog_take(&backlog, &count));
    broker_backlog_release(&backlog);
    assert_int_equal(backlog.bytes, 0);
    assert_memory_equal(small->data, all.data, 10);
    assert_memory_equal(large->data, all.data + 10, LARGE);
    block_unref(small);
    block_unref(large);
    buf_release(&all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_runs_are_counted_while_they_are_kept),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_small_ones_gather),
        cmocka_unit_test(test_large_ones_are_shared),
        cmocka_unit_test(test_taken_blocks_live_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
