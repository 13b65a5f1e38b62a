/* Whether memory is freed, and freed once, is for AddressSanitizer to say. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/block.h"
#include "base/buf.h"

static void test_from_buf_moves(void **state)
{
    (void)state;
    struct buf buf = {0};
    buf_add(&buf, "fra\0me", 6);
    const uint8_t *data = buf.data;
    struct block *block = block_from_buf(&buf);
    assert_ptr_equal(block->data, data);
    assert_int_equal(block->len, 6);
    assert_null(buf.data);
    assert_int_equal(buf.len, 0);
    assert_int_equal(buf.cap, 0);
    buf_add_str(&buf, "the next");
    assert_memory_equal(block->data, "fra\0me", 6);
    buf_release(&buf);
    block_unref(block);
}

static void test_new_copies(void **state)
{
    (void)state;
    uint8_t bytes[] = {1, 0, 255};
    struct block *block = block_new(bytes, sizeof bytes);
    bytes[0] = 9;
    assert_int_equal(block->len, 3);
    assert_memory_equal(block->data, "\x01\x00\xFF", 3);
    block_unref(block);
}

static void test_empty(void **state)
{
    (void)state;
    struct block *block = block_new(NULL, 0);
    assert_int_equal(block->len, 0);
    block_unref(block);
    struct buf buf = {0};
    block = block_from_buf(&buf);
    assert_int_equal(block->len, 0);
    block_unref(block);
    block_unref(NULL);
}

static void test_references(void **state)
{
    (void)state;
    struct block *block = block_new("shared", 6);
    for (unsigned i = 0; i < 1000; i++)
        assert_ptr_equal(block_ref(block), block);
    for (unsigned i = 0; i < 1000; i++) {
        block_unref(block);
        assert_memory_equal(block->data, "shared", 6);
    }
    assert_int_equal(block->refs, 1);
    block_unref(block);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_from_buf_moves),
        cmocka_unit_test(test_new_copies),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_references),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
