/* Accounts as the usual broker's users wrote them down. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "broker/accounts.h"

static const struct broker_account *find(const struct broker_accounts *accounts, const char *ident)
{
    return broker_accounts_find(accounts, ident, strlen(ident));
}

static void assert_list(char *const *list, const char *expected)
{
    char joined[200] = "";
    for (; *list; list++) {
        strncat(joined, *list, sizeof joined - strlen(joined) - 1);
        strncat(joined, "|", sizeof joined - strlen(joined) - 1);
    }
    assert_string_equal(joined, expected);
}

static void test_env(void **state)
{
    (void)state;
    char *vars[] = {
        (char[]){"PATH=/bin"},
        (char[]){"HPFEEDS_WRITER_SECRET=se=cret"},
        (char[]){"HPFEEDS_WRITER_OWNER=Bob"},
        (char[]){"HPFEEDS_WRITER_PUBCHANS=spam.mails,a b, c ,,"},
        (char[]){"HPFEEDS_SECRET=not an account"},
        (char[]){"HPFEEDS_EMPTY_SECRET="},
        (char[]){"HPFEEDS_TWO_WORDS_SECRET=x"},
        (char[]){"HPFEEDS_TWO_WORDS_SUBCHANS=y"},
        (char[]){"HPFEEDS_NOSECRET_PUBCHANS=z"},
        NULL,
    };
    struct broker_accounts *accounts = broker_accounts_new();
    struct err err;
    assert_int_equal(broker_accounts_add_env(accounts, vars, &err), 0);
    assert_int_equal(broker_accounts_count(accounts), 2);

    const struct broker_account *writer = find(accounts, "writer");
    assert_non_null(writer);
    assert_ptr_equal(find(accounts, "WRITER"), writer);
    assert_ptr_equal(find(accounts, "Writer"), writer);
    assert_string_equal(writer->secret, "se=cret");
    assert_string_equal(writer->owner, "Bob");
    assert_list(writer->pubchans, "spam.mails|a b|c|");
    assert_list(writer->subchans, "");

    const struct broker_account *words = find(accounts, "two_words");
    assert_non_null(words);
    assert_string_equal(words->owner, "two_words");
    assert_list(words->subchans, "y|");

    assert_null(find(accounts, "nosecret"));
    assert_null(find(accounts, "empty"));
    assert_null(find(accounts, ""));
    assert_null(find(accounts, "writer2"));
    assert_null(find(accounts, "write"));
    assert_null(broker_accounts_find(accounts, "writer\0x", 8));
    assert_null(broker_accounts_find(accounts, "writer\0", 7));
    broker_accounts_free(accounts);
}

/* Writes `text` to a file whose name is put into `path`, a template. */
static void write_file(char *path, const char *text)
{
    int fd = mkstemps(path, 5);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static int load(struct broker_accounts *accounts, const char *text, struct err *err)
{
    char path[] = "/tmp/test-accounts-XXXXXX.json";
    write_file(path, text);
    int result = broker_accounts_add_json(accounts, path, err);
    if (result)
        assert_non_null(strstr(err->text, path));
    unlink(path);
    return result;
}

static void test_json(void **state)
{
    (void)state;
    struct broker_accounts *accounts = broker_accounts_new();
    struct err err;
    assert_int_equal(load(accounts,
                          "{\"Bob\": {\"owner\": \"o\", \"secret\": \"s\", \"pubchans\": [\"a\", "
                          "\"b,c\"], \"subchans\": [], \"more\": 1},"
                          " \"al\": {\"owner\": \"\", \"secret\": \"t\", \"pubchans\": [], "
                          "\"subchans\": [\"\xC3\xA4\"]}}",
                          &err),
                     0);
    assert_int_equal(broker_accounts_count(accounts), 2);
    const struct broker_account *bob = find(accounts, "Bob");
    assert_non_null(bob);
    assert_null(find(accounts, "bob"));
    assert_string_equal(bob->secret, "s");
    assert_list(bob->pubchans, "a|b,c|");

    assert_true(broker_account_may_publish(bob, "a", 1));
    assert_true(broker_account_may_publish(bob, "b,c", 3));
    assert_false(broker_account_may_publish(bob, "b", 1));
    assert_false(broker_account_may_publish(bob, "", 0));
    assert_false(broker_account_may_publish(bob, "a\0", 2));
    assert_false(broker_account_may_publish(bob, "A", 1));
    assert_false(broker_account_may_subscribe(bob, "a", 1));
    assert_true(broker_account_may_subscribe(find(accounts, "al"), "\xC3\xA4", 2));
    broker_accounts_free(accounts);
}

static void test_json_bad(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *message;
    } cases[] = {
        {"", ":1:0: "},
        {"{\n  \"a\": }", ":2:8: "},
        {"[]", "not an object of accounts"},
        {"{\"a\": 1}", "account \"a\": not an object"},
        {"{\"a\": {\"secret\": \"s\", \"pubchans\": [], \"subchans\": []}}",
         "account \"a\": \"owner\" is missing"},
        {"{\"a\": {\"owner\": \"\", \"pubchans\": [], \"subchans\": []}}",
         "account \"a\": \"secret\" is missing"},
        {"{\"a\": {\"owner\": \"\", \"secret\": 1, \"pubchans\": [], \"subchans\": []}}",
         "account \"a\": \"secret\" is not a string"},
        {"{\"a\": {\"owner\": \"\", \"secret\": \"\", \"pubchans\": [], \"subchans\": []}}",
         "account \"a\": \"secret\" is empty"},
        {"{\"a\": {\"owner\": \"\", \"secret\": \"s\", \"subchans\": []}}",
         "account \"a\": \"pubchans\" is missing"},
        {"{\"a\": {\"owner\": \"\", \"secret\": \"s\", \"pubchans\": \"x\", \"subchans\": []}}",
         "account \"a\": \"pubchans\" is not a list"},
        {"{\"a\": {\"owner\": \"\", \"secret\": \"s\", \"pubchans\": [], \"subchans\": [\"x\", "
         "2]}}",
         "account \"a\": \"subchans\": entry 2 is not a string"},
        {"{\"a\": {\"owner\": \"\", \"secret\": \"s\", \"pubchans\": [], \"subchans\": [\"\"]}}",
         "account \"a\": \"subchans\": a channel is empty"},
        {"{\"\": {\"owner\": \"\", \"secret\": \"s\", \"pubchans\": [], \"subchans\": []}}",
         "account \"\": the ident is empty"},
        {"{\"a\": {}, \"a\": {}}", "duplicate"},
        {"{\"a\\u0000\": {}}", ":1:"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct broker_accounts *accounts = broker_accounts_new();
        struct err err = {0};
        assert_int_equal(load(accounts, cases[i].text, &err), -1);
        if (!strstr(err.text, cases[i].message))
            fail_msg("case %zu: \"%s\" instead of \"%s\"", i, err.text, cases[i].message);
        assert_int_equal(err.action, ERR_GIVE_UP);
        assert_int_equal(broker_accounts_count(accounts), 0);
        broker_accounts_free(accounts);
    }
}

static void test_json_absent(void **state)
{
    (void)state;
    struct broker_accounts *accounts = broker_accounts_new();
    struct err err;
    assert_int_equal(broker_accounts_add_json(accounts, "/nonexistent/users.json", &err), -1);
    assert_non_null(strstr(err.text, "/nonexistent/users.json"));
    assert_non_null(strstr(err.text, "No such file"));
    broker_accounts_free(accounts);
}

/* All or nothing of a file; and of two sources that know an ident the first wins. */
static void test_sources(void **state)
{
    (void)state;
    char *vars[] = {(char[]){"HPFEEDS_BOB_SECRET=env"}, NULL};
    struct broker_accounts *accounts = broker_accounts_new();
    struct err err;
    assert_int_equal(load(accounts,
                          "{\"al\": {\"owner\": \"\", \"secret\": \"s\", \"pubchans\": [], "
                          "\"subchans\": []}, \"cy\": {}}",
                          &err),
                     -1);
    assert_null(find(accounts, "al"));
    assert_int_equal(load(accounts,
                          "{\"bob\": {\"owner\": \"\", \"secret\": \"file\", \"pubchans\": [], "
                          "\"subchans\": []}}",
                          &err),
                     0);
    assert_int_equal(broker_accounts_add_env(accounts, vars, &err), 0);
    assert_string_equal(find(accounts, "bob")->secret, "file");
    assert_string_equal(find(accounts, "BOB")->secret, "env");
    broker_accounts_free(accounts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_env),      cmocka_unit_test(test_json),
        cmocka_unit_test(test_json_bad), cmocka_unit_test(test_json_absent),
        cmocka_unit_test(test_sources),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
