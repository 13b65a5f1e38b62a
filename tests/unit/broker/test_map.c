/* The ordered map, against a plain list. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "broker/map.h"

static void *value(size_t i)
{
    static char values[4096];
    return values + i;
}

/* By length, then bytes, no key twice, and a NUL behind each. */
static void assert_ordered(const struct broker_map *map)
{
    for (size_t i = 0; i < map->count; i++) {
        const struct broker_map_entry *entry = &map->entries[i];
        assert_int_equal(entry->key[entry->len], '\0');
        if (!i)
            continue;
        const struct broker_map_entry *before = entry - 1;
        assert_true(before->len < entry->len ||
                    (before->len == entry->len && memcmp(before->key, entry->key, entry->len) < 0));
    }
}

static void test_empty(void **state)
{
    (void)state;
    struct broker_map map = {0};
    assert_null(broker_map_get(&map, "a", 1));
    assert_null(broker_map_get(&map, "", 0));
    broker_map_remove(&map, "a", 1);
    assert_int_equal(map.count, 0);
    broker_map_release(&map);
}

/* Keys are any bytes: empty, with NULs, beginnings of each other. */
static void test_keys(void **state)
{
    static const struct {
        const char *key;
        size_t len;
    } keys[] = {
        {"", 0},     {"a", 1},    {"\0", 1},       {"a\0", 2},          {"a\0b", 3},
        {"ab", 2},   {"b", 1},    {"\xFF", 1},     {"\xFF\xFF\xFF", 3}, {"abc", 3},
        {"\0\0", 2}, {"a\0c", 3}, {"zzzzzzzz", 8}, {"\x80", 1},
    };
    enum {
        KEYS = sizeof keys / sizeof *keys
    };
    (void)state;
    struct broker_map map = {0};
    for (size_t i = 0; i < KEYS; i++) {
        assert_null(broker_map_get(&map, keys[i].key, keys[i].len));
        const char *kept = broker_map_add(&map, keys[i].key, keys[i].len, value(i));
        assert_ptr_not_equal(kept, keys[i].key);
        assert_memory_equal(kept, keys[i].key, keys[i].len);
        assert_ordered(&map);
    }
    assert_int_equal(map.count, KEYS);
    for (size_t i = 0; i < KEYS; i++)
        assert_ptr_equal(broker_map_get(&map, keys[i].key, keys[i].len), value(i));
    for (size_t i = 0; i < KEYS; i++) {
        broker_map_remove(&map, keys[i].key, keys[i].len);
        for (size_t j = 0; j < KEYS; j++)
            assert_ptr_equal(broker_map_get(&map, keys[j].key, keys[j].len),
                             j > i ? value(j) : NULL);
        assert_ordered(&map);
    }
    assert_int_equal(map.count, 0);
    broker_map_release(&map);
}

/* What was returned for a key stays where it is, however many come and go. */
static void test_kept_keys_stay(void **state)
{
    (void)state;
    struct broker_map map = {0};
    const char *kept = broker_map_add(&map, "middle", 6, value(1));
    for (unsigned i = 0; i < 1000; i++)
        broker_map_add(&map, (const char *)&i, sizeof i, value(2));
    for (unsigned i = 0; i < 1000; i += 2)
        broker_map_remove(&map, (const char *)&i, sizeof i);
    assert_string_equal(kept, "middle");
    assert_ptr_equal(broker_map_get(&map, "middle", 6), value(1));
    assert_int_equal(map.count, 501);
    broker_map_release(&map);
    assert_int_equal(map.count, 0);
}

/* At random, against a table that has a place for each key. */
static void test_against_a_table(void **state)
{
    enum {
        KEYS = 512
    };
    (void)state;
    struct broker_map map = {0};
    bool there[KEYS] = {false};
    size_t count = 0;
    unsigned seed = 4711;
    for (unsigned step = 0; step < 20000; step++) {
        uint16_t key = (uint16_t)((unsigned)rand_r(&seed) % KEYS);
        size_t len = key % 2 + 1u; /* half of them by their low byte and its parity alone */
        uint16_t name = len == 1 ? (uint16_t)(key & 0xFF) : key;
        size_t place = len == 1 ? name : key;
        const char *bytes = (const char *)&name;
        assert_ptr_equal(broker_map_get(&map, bytes, len), there[place] ? value(place) : NULL);
        if (there[place])
            broker_map_remove(&map, bytes, len);
        else
            broker_map_add(&map, bytes, len, value(place));
        there[place] = !there[place];
        count = there[place] ? count + 1 : count - 1;
        assert_int_equal(map.count, count);
    }
    assert_ordered(&map);
    broker_map_release(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_kept_keys_stay),
        cmocka_unit_test(test_against_a_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
