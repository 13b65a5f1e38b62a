/* Search results as they stream in, ordered or not, and folder names as servers give them. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "collect/found.h"
#include "collect/names.h"

static void add_numbers(struct found *found, const uint32_t *numbers, size_t count)
{
    struct imap_response response = {
        .type = IMAP_RESPONSE_SEARCH, .numbers = numbers, .count = count};
    found_add(found, &response);
}

static void assert_found(struct found *found, const char *expected)
{
    struct imap_uidset set = {0};
    struct buf text = {0};
    found_take(found, &set);
    if (set.count)
        imap_uidset_take_text(&set, &text, 1000);
    assert_string_equal(buf_cstr(&text), expected);
    assert_int_equal(found->count, 0);
    buf_release(&text);
    imap_uidset_release(&set);
}

static void test_orders(void **state)
{
    (void)state;
    static const struct {
        uint32_t numbers[8];
        size_t count;
        const char *expected;
    } rows[] = {
        {{0}, 0, ""},
        {{1, 2, 3, 7}, 4, "1:3,7"},
        {{7, 3, 2, 1}, 4, "1:3,7"},
        {{5, 5, 4, 5, 6}, 5, "4:6"},
        {{4294967295, 1, 4294967294}, 3, "1,4294967294:4294967295"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (size_t split = 0; split <= rows[i].count; split++) {
            struct found found = {0};
            add_numbers(&found, rows[i].numbers, split);
            add_numbers(&found, rows[i].numbers + split, rows[i].count - split);
            assert_found(&found, rows[i].expected);
        }
}

static void test_ranges(void **state)
{
    (void)state;
    static const struct imap_range ranges[] = {{10, 20}, {1, 5}, {6, 6}, {15, 30}};
    struct found found = {0};
    struct imap_response response = {.type = IMAP_RESPONSE_ESEARCH, .ranges = ranges, .count = 4};
    found_add(&found, &response);
    assert_found(&found, "1:6,10:30");
}

/* Descending numbers of a hostile server cost no more than ascending ones. */
static void test_descending_is_cheap(void **state)
{
    (void)state;
    struct found found = {0};
    for (uint32_t uid = 2000000; uid; uid -= 2)
        add_numbers(&found, &uid, 1);
    struct imap_uidset set = {0};
    found_take(&found, &set);
    assert_int_equal(set.count, 1000000);
    assert_int_equal(set.ranges[0].first, 2);
    imap_uidset_release(&set);
}

/* Nor do those that have no order at all; each of their bytes counts. */
static void test_no_order_is_cheap(void **state)
{
    (void)state;
    enum {
        MAILS = 3000000
    };
    struct found found = {0};
    for (uint32_t i = 0, uid = 1; i < MAILS; i++, uid += 2654435769u) /* visits each UID once */
        add_numbers(&found, &uid, 1);
    struct imap_uidset set = {0};
    found_take(&found, &set);
    assert_in_range(imap_uidset_size(&set), MAILS - 1, MAILS); /* 0 is none */
    for (size_t i = 1; i < set.count; i++)
        assert_true(set.ranges[i - 1].last < set.ranges[i].first);
    for (uint32_t i = 0, uid = 1; i < MAILS; i++, uid += 2654435769u)
        assert_true(imap_uidset_contains(&set, uid));
    imap_uidset_release(&set);
}

static struct imap_response list(const char *name, unsigned attrs)
{
    return (struct imap_response){.type = IMAP_RESPONSE_LIST,
                                  .name = name,
                                  .name_len = strlen(name),
                                  .delimiter = '/',
                                  .attrs = attrs};
}

/* A server that finds and finds: nothing more is kept at some point, and it is told. */
static void test_is_bounded(void **state)
{
    (void)state;
    uint32_t numbers[1000];
    struct imap_response response = {
        .type = IMAP_RESPONSE_SEARCH, .numbers = numbers, .count = 1000};
    struct found found = {0};
    uint32_t next = 1;
    unsigned parts = 0;
    do {
        for (size_t i = 0; i < 1000; i++, next += 2)
            numbers[i] = next;
        assert_true(++parts < 10000);
    } while (found_add(&found, &response));
    size_t kept = found.count;
    assert_true(kept >= 1000000);
    assert_false(found_add(&found, &response));
    assert_int_equal(found.count, kept);
    found_release(&found);
}

static void test_names(void **state)
{
    (void)state;
    struct folder_name name;
    folder_name_init(&name, "inbox");
    assert_string_equal(name.name, "INBOX");
    assert_string_equal(name.mailbox, "INBOX");
    folder_name_release(&name);

    folder_name_init(&name, "Entwürfe & mehr");
    assert_string_equal(name.mailbox, "Entw&APw-rfe &- mehr");
    struct imap_response offer = list("Junk", IMAP_ATTR_JUNK);
    folder_name_offer(&name, &offer);
    assert_string_equal(name.mailbox, "Entw&APw-rfe &- mehr");
    folder_name_release(&name);

    folder_name_init(&name, "\\Junk");
    assert_false(folder_name_resolved(&name));
    offer = list("Trash", IMAP_ATTR_TRASH);
    folder_name_offer(&name, &offer);
    offer = list("No", IMAP_ATTR_JUNK | IMAP_ATTR_NOSELECT);
    folder_name_offer(&name, &offer);
    assert_false(folder_name_resolved(&name));
    offer = list("&U,BTFw-", IMAP_ATTR_JUNK);
    folder_name_offer(&name, &offer);
    offer = list("Second", IMAP_ATTR_JUNK);
    folder_name_offer(&name, &offer);
    assert_string_equal(name.mailbox, "&U,BTFw-");
    assert_string_equal(name.name, "台北");
    folder_name_reset(&name);
    assert_false(folder_name_resolved(&name));
    folder_name_release(&name);
}

/* Gives a special use this name; returns whether that is said to be one too many. */
static bool take(struct folder_name *name, const char *mailbox)
{
    struct folder_name listed;
    struct imap_response offer = list(mailbox, IMAP_ATTR_JUNK);
    folder_name_init(&listed, "\\Junk");
    folder_name_offer(&listed, &offer);
    bool many = folder_name_take(name, &listed);
    folder_name_release(&listed);
    return many;
}

static void test_too_many_names(void **state)
{
    (void)state;
    static const char *const mailboxes[FOLDER_NAMES_MOST] = {"a", "b", "c", "d",
                                                             "e", "f", "g", "h"};
    struct folder_name name;
    folder_name_init(&name, "\\Junk");
    for (int round = 0; round < 3; round++)
        for (size_t i = 0; i < FOLDER_NAMES_MOST; i++) {
            assert_false(take(&name, mailboxes[i]));
            assert_string_equal(name.name, mailboxes[i]);
        }
    assert_true(take(&name, "i"));
    assert_false(take(&name, "j"));
    assert_string_equal(name.name, "h");
    folder_name_reset(&name);
    assert_false(take(&name, "i"));
    assert_false(folder_name_resolved(&name));
    assert_false(take(&name, "a"));
    assert_string_equal(name.mailbox, "a");
    folder_name_release(&name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_orders),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_descending_is_cheap),
        cmocka_unit_test(test_no_order_is_cheap),
        cmocka_unit_test(test_is_bounded),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_too_many_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
