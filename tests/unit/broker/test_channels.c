/* Who is subscribed to what. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "broker/channels.h"

/* The table only keeps the pointers. */
static char member_bytes[64];

static struct broker_client *member(size_t i)
{
    return (struct broker_client *)(void *)(member_bytes + i);
}

static bool has(const struct broker_channel *channel, size_t i)
{
    for (size_t at = 0; at < channel->count; at++)
        if (channel->members[at] == member(i))
            return true;
    return false;
}

static void test_join_and_leave(void **state)
{
    (void)state;
    struct broker_channels channels = {0};
    assert_null(broker_channels_find(&channels, "a", 1));

    struct broker_channel *channel = broker_channels_join(&channels, "a", 1, member(0));
    for (size_t i = 1; i < 20; i++)
        assert_ptr_equal(broker_channels_join(&channels, "a", 1, member(i)), channel);
    assert_ptr_equal(broker_channels_find(&channels, "a", 1), channel);
    assert_int_equal(channel->count, 20);

    broker_channels_leave(&channels, channel, member(5));
    broker_channels_leave(&channels, channel, member(40)); /* is none: nothing happens */
    assert_int_equal(channel->count, 19);
    for (size_t i = 0; i < 20; i++)
        assert_int_equal(has(channel, i), i != 5);
    for (size_t i = 0; i < 20; i++)
        if (i != 5)
            broker_channels_leave(&channels, channel, member(i));
    assert_null(broker_channels_find(&channels, "a", 1));
    assert_int_equal(channels.map.count, 0);
    broker_channels_release(&channels);
}

/* Many channels, joined and left out of order, are all found and none is taken for another. */
static void test_many(void **state)
{
    (void)state;
    enum {
        MANY = 500
    };
    struct broker_channels channels = {0};
    char name[32];
    for (unsigned i = 0; i < MANY; i++) {
        int len = snprintf(name, sizeof name, "channel.%u", i * 7919 % MANY);
        broker_channels_join(&channels, name, (size_t)len, member(i % 64));
    }
    assert_int_equal(channels.map.count, MANY);
    for (unsigned i = 0; i < MANY; i += 2) {
        int len = snprintf(name, sizeof name, "channel.%u", i);
        struct broker_channel *channel = broker_channels_find(&channels, name, (size_t)len);
        broker_channels_leave(&channels, channel, channel->members[0]);
    }
    for (unsigned i = 0; i < MANY; i++) {
        int len = snprintf(name, sizeof name, "channel.%u", i);
        struct broker_channel *channel = broker_channels_find(&channels, name, (size_t)len);
        assert_int_equal(channel != NULL, i % 2);
        if (channel) {
            assert_memory_equal(channel->name, name, (size_t)len);
            broker_channels_leave(&channels, channel, channel->members[0]);
        }
    }
    broker_channels_release(&channels);
}

/* Names are bytes: a NUL in one is a byte like another. */
static void test_names(void **state)
{
    (void)state;
    struct broker_channels channels = {0};
    struct broker_channel *with = broker_channels_join(&channels, "a\0b", 3, member(0));
    struct broker_channel *without = broker_channels_join(&channels, "a", 1, member(1));
    assert_ptr_not_equal(with, without);
    assert_ptr_equal(broker_channels_find(&channels, "a\0b", 3), with);
    assert_null(broker_channels_find(&channels, "a\0c", 3));
    assert_null(broker_channels_find(&channels, "", 0));
    broker_channels_leave(&channels, with, member(0));
    broker_channels_leave(&channels, without, member(1));
    broker_channels_release(&channels);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_join_and_leave),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
