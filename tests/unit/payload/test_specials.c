#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "payload/specials.h"

static bool is_special(uint8_t byte)
{
    return byte < 0x20 || byte >= 0x80 || byte == '"' || byte == '\\';
}

/* All ways to find them agree with the description. */
static void expect(const uint8_t *block)
{
    /* A copy of its own size: reading beyond it is then seen. */
    uint8_t *copy = malloc(PAYLOAD_BLOCK);
    assert_non_null(copy);
    memcpy(copy, block, PAYLOAD_BLOCK);
    uint64_t bits = 0;
    for (size_t i = 0; i < PAYLOAD_BLOCK; i++)
        bits |= (uint64_t)is_special(block[i]) << i;
    assert_int_equal(payload_specials_portable(copy), bits);
#ifdef __SSE2__
    assert_int_equal(payload_specials_sse2(copy), bits);
#endif
    assert_int_equal(payload_specials(copy), bits);
    free(copy);
}

static void test_every_byte_in_every_place(void **state)
{
    (void)state;
    static const uint8_t around[] = {'x', 0x00, 0x1F, 0x20, 0x7F, 0x80, 0xFF};
    uint8_t block[PAYLOAD_BLOCK];
    for (size_t i = 0; i < sizeof around; i++)
        for (size_t at = 0; at < PAYLOAD_BLOCK; at++)
            for (unsigned byte = 0; byte < 256; byte++) {
                memset(block, around[i], sizeof block);
                block[at] = (uint8_t)byte;
                expect(block);
            }
}

/* A carry from one byte would be seen at its neighbour. */
static void test_every_pair(void **state)
{
    (void)state;
    uint8_t block[PAYLOAD_BLOCK];
    for (unsigned first = 0; first < 256; first++)
        for (unsigned second = 0; second < 256; second++) {
            for (size_t i = 0; i < PAYLOAD_BLOCK; i += 2) {
                block[i] = (uint8_t)first;
                block[i + 1] = (uint8_t)second;
            }
            expect(block);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_byte_in_every_place),
        cmocka_unit_test(test_every_pair),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
