/* Accounts: a copy stands by itself, and a difference in any one thing is one. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "collect/account.h"

static const char *const folders[] = {"INBOX", "\\Junk"};
static const char *const others[] = {"INBOX", "\\Trash"};

static const struct collect_account model = {
    .label = "trap",
    .host = "mx.example",
    .port = 993,
    .security = IMAP_SECURITY_IMPLICIT,
    .auth = IMAP_AUTH_AUTO,
    .user = "u",
    .password = "p",
    .folders = folders,
    .folder_count = 2,
    .after = COLLECT_AFTER_MOVE,
    .after_name = "Done",
    .idle = true,
    .poll_interval = 60000,
    .idle_refresh = 300000,
    .max_connections = 2,
};

static void test_copy(void **state)
{
    (void)state;
    struct collect_account *copy = collect_account_copy(&model);
    struct collect_account *second = collect_account_copy(copy);
    assert_true(collect_account_equal(copy, &model));
    assert_ptr_not_equal(copy->password, model.password);
    assert_ptr_not_equal(copy->folders[1], folders[1]);
    collect_account_free(copy);
    assert_true(collect_account_equal(second, &model));
    assert_string_equal(second->after_name, "Done");
    collect_account_free(second);
    collect_account_free(NULL);
}

static void test_each_difference(void **state)
{
    (void)state;
    struct collect_account changed[18];
    size_t count = 0;
#define CHANGE(member, value)                                                                      \
    do {                                                                                           \
        changed[count] = model;                                                                    \
        changed[count++].member = (value);                                                         \
    } while (0)
    CHANGE(label, "other");
    CHANGE(host, "mx2.example");
    CHANGE(port, 143);
    CHANGE(tls, (struct net_tls *)(void *)changed);
    CHANGE(security, IMAP_SECURITY_STARTTLS);
    CHANGE(auth, IMAP_AUTH_PLAIN);
    CHANGE(user, "v");
    CHANGE(password, "q");
    CHANGE(folders, others);
    CHANGE(folder_count, 1);
    CHANGE(after, COLLECT_AFTER_SEEN);
    CHANGE(after_name, "Elsewhere");
    CHANGE(after_name, NULL);
    CHANGE(idle, false);
    CHANGE(poll_interval, 1);
    CHANGE(idle_refresh, 1);
    CHANGE(max_connections, 1);
    for (size_t i = 0; i < count; i++)
        assert_false(collect_account_equal(&changed[i], &model));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copy),
        cmocka_unit_test(test_each_difference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
