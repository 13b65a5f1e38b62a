/* The output queue: order, parts, records, and who is told what. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "net/queue.h"

static char told[32];
static char tokens[] = "123";

static void note_sent(void *ctx, void *token)
{
    (void)ctx;
    told[strlen(told)] = *(const char *)token;
}

static void tell(struct net_queue *queue)
{
    void (*sent)(void *ctx, void *token);
    void *token;
    while (net_queue_take_sent(queue, &sent, &token))
        sent(NULL, token);
}

static void add_block(struct net_queue *queue, const char *text, size_t from, char *token)
{
    net_queue_add_block(queue, block_new(text, strlen(text)), from, token ? note_sent : NULL,
                        token);
}

static void fill(struct net_queue *queue)
{
    net_queue_add(queue, "ab", 2);
    net_queue_add(queue, "", 0);
    net_queue_add(queue, "c", 1);
    add_block(queue, "xxdef", 2, tokens);
    add_block(queue, "empty", 5, tokens + 1);
    add_block(queue, "gh", 0, NULL);
    net_queue_add(queue, "ij", 2);
    add_block(queue, "k", 0, tokens + 2);
}

static const char whole[] = "abcdefghijk";

/* Takes it out again in steps of `step` bytes, in both ways. */
static void check_steps(size_t step, bool joined)
{
    struct net_queue queue = {0};
    struct buf got = {0};
    memset(told, 0, sizeof told);
    fill(&queue);
    assert_int_equal(queue.bytes, sizeof whole - 1);
    while (queue.bytes) {
        uint8_t room[16];
        size_t len = 0;
        if (joined) {
            const void *data = net_queue_join(&queue, room, step, &len);
            buf_add(&got, data, len);
        } else {
            struct iovec parts[3];
            int count = net_queue_parts(&queue, parts, 3, step);
            for (int i = 0; i < count; i++) {
                buf_add(&got, parts[i].iov_base, parts[i].iov_len);
                len += parts[i].iov_len;
            }
        }
        assert_true(len > 0 && len <= step);
        net_queue_consume(&queue, len);
    }
    assert_string_equal(buf_cstr(&got), whole);
    tell(&queue);
    assert_string_equal(told, "123");
    buf_release(&got);
    net_queue_release(&queue);
}

static void test_order_at_every_step(void **state)
{
    (void)state;
    for (size_t step = 1; step <= sizeof whole; step++) {
        check_steps(step, false);
        check_steps(step, true);
    }
}

static void test_told_when_the_last_byte_went(void **state)
{
    (void)state;
    struct net_queue queue = {0};
    memset(told, 0, sizeof told);
    fill(&queue);
    net_queue_consume(&queue, 5);
    tell(&queue);
    assert_string_equal(told, "");
    net_queue_consume(&queue, 1); /* "f" ends the first block; the empty one goes with it */
    tell(&queue);
    assert_string_equal(told, "12");
    net_queue_release(&queue);
}

static void test_dropped_blocks_are_not_told(void **state)
{
    (void)state;
    struct net_queue queue = {0};
    struct block *block = block_new("abc", 3);
    memset(told, 0, sizeof told);
    net_queue_add_block(&queue, block_ref(block), 0, note_sent, tokens);
    net_queue_add_block(&queue, block_ref(block), 0, note_sent, tokens + 1);
    net_queue_consume(&queue, 4);
    assert_int_equal(block->refs, 2); /* the first is dropped before anybody is told */
    net_queue_drop(&queue);
    assert_int_equal(block->refs, 1);
    assert_int_equal(queue.bytes, 0);
    tell(&queue);
    assert_string_equal(told, "1");
    block_unref(block);
    net_queue_release(&queue);
}

static void test_large_pieces_are_not_copied(void **state)
{
    (void)state;
    struct net_queue queue = {0};
    uint8_t room[8];
    size_t len;
    struct block *block = block_new("0123456789", 10);
    net_queue_add_block(&queue, block_ref(block), 1, NULL, NULL);
    assert_ptr_equal(net_queue_join(&queue, room, sizeof room, &len), block->data + 1);
    assert_int_equal(len, 8);
    net_queue_consume(&queue, 8);
    assert_ptr_equal(net_queue_join(&queue, room, sizeof room, &len), block->data + 9);
    assert_int_equal(len, 1);
    net_queue_add(&queue, "x", 1);
    assert_ptr_equal(net_queue_join(&queue, room, sizeof room, &len), room);
    assert_memory_equal(room, "9x", 2);
    net_queue_release(&queue);
    assert_int_equal(block->refs, 1);
    block_unref(block);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_at_every_step),
        cmocka_unit_test(test_told_when_the_last_byte_went),
        cmocka_unit_test(test_dropped_blocks_are_not_told),
        cmocka_unit_test(test_large_pieces_are_not_copied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
