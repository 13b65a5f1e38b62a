/* Accounts as the usual broker's users wrote them down. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "broker/accounts.h"
#include "net/loop.h"

/* Where the answers of a test come; emptied by each setup. */
#define X64 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

static struct net_loop *loop;
static struct broker_account *found;     /* the last answer; NULL: none */
static struct broker_account *kept[100]; /* all of them, until the end of the test */
static size_t kept_count;
static struct err found_err;
static bool answered, running;

static void take_answer(void *ctx, struct broker_account *account, const struct err *err)
{
    (void)ctx;
    found = account;
    if (account)
        kept[kept_count++] = broker_account_ref(account);
    found_err = err ? *err : (struct err){0};
    answered = true;
    if (running) /* not asked of the loop, it would stop its next run */
        net_loop_stop(loop);
}

static const struct broker_account *find_bytes(struct broker_accounts *accounts, const char *ident,
                                               size_t len)
{
    answered = false;
    broker_accounts_lookup(accounts, ident, len, take_answer, NULL);
    running = true;
    while (!answered)
        net_loop_run(loop);
    running = false;
    return found;
}

static const struct broker_account *find(struct broker_accounts *accounts, const char *ident)
{
    return find_bytes(accounts, ident, strlen(ident));
}

static int setup(void **state)
{
    (void)state;
    log_setup(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, fopen("/dev/null", "w"));
    loop = net_loop_new();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    while (kept_count)
        broker_account_unref(kept[--kept_count]);
    net_loop_free(loop);
    return 0;
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
    struct broker_accounts *accounts = broker_accounts_new(loop);
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
    assert_null(find_bytes(accounts, "writer\0x", 8));
    assert_null(find_bytes(accounts, "writer\0", 7));
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
    struct broker_accounts *accounts = broker_accounts_new(loop);
    struct err err;
    assert_int_equal(load(accounts,
                          "{\"Bob\": {\"owner\": \"o\", \"secret\": \"s\", \"pubchans\": [\"a\", "
                          "\"b,c\"], \"subchans\": [], \"more\": 1},"
                          " \"al\": {\"owner\": null, \"secret\": \"t\", \"pubchans\": [\"\"], "
                          "\"subchans\": [\"\", \"\xC3\xA4\"]}}",
                          &err),
                     0);
    assert_int_equal(broker_accounts_count(accounts), 2);
    assert_null(find(accounts, "bob"));
    const struct broker_account *bob = find(accounts, "Bob");
    assert_non_null(bob);
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
    assert_list(found->pubchans, "");
    assert_list(found->subchans, "\xC3\xA4|");
    assert_string_equal(found->owner, "");
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
        {"{\"a\": {\"owner\": 1, \"secret\": \"s\", \"pubchans\": [], \"subchans\": []}}",
         "account \"a\": \"owner\" is not a string"},
        {"{\"\": {\"owner\": \"\", \"secret\": \"s\", \"pubchans\": [], \"subchans\": []}}",
         "account \"\": the ident is empty"},
        {"{\"a\": {\"owner\": \"\", \"secret\": \"s\", \"pubchans\": [\"" X64 X64 X64 X64
         "\"], \"subchans\": []}}",
         "account \"a\": \"pubchans\": a channel is longer than 255 bytes"},
        {"{\"a\": {}, \"a\": {}}", "duplicate"},
        {"{\"a\\u0000\": {}}", ":1:"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct broker_accounts *accounts = broker_accounts_new(loop);
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
    struct broker_accounts *accounts = broker_accounts_new(loop);
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
    struct broker_accounts *accounts = broker_accounts_new(loop);
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

static const char json_one[] =
    "{\"al\": {\"owner\": \"o\", \"secret\": \"%s\", \"pubchans\": [], \"subchans\": []}}";

static void write_json(const char *path, const char *secret)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, json_one, secret);
    fclose(file);
}

/* A changed file counts from the next question on, also when size and time look the same; a broken
 * one, or one that is away, leaves everything as it was. Who has an account keeps it. */
static void test_json_changes(void **state)
{
    (void)state;
    char path[] = "/tmp/test-accounts-XXXXXX.json";
    struct broker_accounts *accounts = broker_accounts_new(loop);
    struct err err;
    write_file(path, "");
    write_json(path, "one");
    assert_int_equal(broker_accounts_add_json(accounts, path, &err), 0);
    const struct broker_account *before = find(accounts, "al");
    assert_string_equal(before->secret, "one");

    write_json(path, "two");
    assert_string_equal(find(accounts, "al")->secret, "two");
    assert_string_equal(before->secret, "one");
    write_json(path, "\"");
    assert_string_equal(find(accounts, "al")->secret, "two");
    unlink(path);
    broker_accounts_refresh(accounts);
    assert_string_equal(find(accounts, "al")->secret, "two");
    write_json(path, "three");
    assert_string_equal(find(accounts, "al")->secret, "three");
    unlink(path);
    broker_accounts_free(accounts);
}

static void run_sql(const char *path, const char *sql)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    char *message = NULL;
    if (sqlite3_exec(db, sql, NULL, NULL, &message))
        fail_msg("%s: %s", sql, message);
    sqlite3_close(db);
}

static void test_sqlite(void **state)
{
    (void)state;
    char folder[] = "/tmp/test-accounts-XXXXXX";
    assert_non_null(mkdtemp(folder));
    char *path = mem_printf("%s/sqlite.db", folder);
    struct broker_accounts *accounts = broker_accounts_new(loop);
    struct err err;
    assert_int_equal(broker_accounts_add_sqlite(accounts, path, &err), 0);
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    assert_null(find(accounts, "al"));
    assert_string_equal(found_err.text, "");

    /* As the usual broker's manual has it. */
    run_sql(path, "INSERT INTO authkeys (owner, ident, secret, pubchans, subchans)"
                  " VALUES ('me', 'al', 's', '[\"a\", \"b\"]', '[]')");
    const struct broker_account *al = find(accounts, "al");
    assert_non_null(al);
    assert_string_equal(al->owner, "me");
    assert_string_equal(al->secret, "s");
    assert_list(al->pubchans, "a|b|");
    assert_list(al->subchans, "");
    assert_null(find(accounts, "Al"));
    assert_null(find(accounts, "al' or 'a'='a"));

    run_sql(path, "UPDATE authkeys SET secret = 't', pubchans = NULL, owner = NULL");
    assert_string_equal(find(accounts, "al")->secret, "t");
    assert_list(found->pubchans, "");
    assert_string_equal(found->owner, "");

    static const char *const bad[][2] = {
        {"pubchans = 'a'", "not JSON"},
        {"pubchans = '{}'", "not a list"},
        {"pubchans = '[1]'", "not a string"},
        {"pubchans = '[]', secret = ''", "secret is empty"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char *sql = mem_printf("UPDATE authkeys SET %s", bad[i][0]);
        run_sql(path, sql);
        free(sql);
        assert_null(find(accounts, "al"));
        assert_non_null(strstr(found_err.text, bad[i][1]));
    }
    /* Another file in its place is the one that counts, whole or not. */
    char *other = mem_printf("%s/other.db", folder);
    run_sql(other, "CREATE TABLE other (id int)");
    assert_int_equal(rename(other, path), 0);
    assert_null(find(accounts, "al"));
    assert_non_null(strstr(found_err.text, "no such table"));
    run_sql(other,
            "CREATE TABLE authkeys (id int, owner TEXT, ident TEXT, secret TEXT,"
            " pubchans TEXT, subchans TEXT);"
            "INSERT INTO authkeys VALUES (1, 'me', 'al', 'other', '[\"\"]', '[\"a\", \"\"]')");
    assert_int_equal(rename(other, path), 0);
    assert_string_equal(find(accounts, "al")->secret, "other");
    assert_list(found->pubchans, "");
    assert_list(found->subchans, "a|");
    free(other);

    run_sql(path, "DELETE FROM authkeys");
    assert_null(find(accounts, "al"));
    assert_string_equal(found_err.text, "");
    broker_accounts_free(accounts);

    run_sql(path, "CREATE TABLE auth_keys (id int, identifier varchar(36), secret varchar(36),"
                  " publish json, subscribe json);"
                  "INSERT INTO auth_keys VALUES (1, 'al', 'u', '[\"p\"]', '[\"q\"]')");
    accounts = broker_accounts_new(loop);
    assert_int_equal(broker_accounts_add_database(accounts, path, &err), 0);
    assert_list(find(accounts, "al")->pubchans, "p|");
    assert_list(found->subchans, "q|");
    assert_string_equal(found->owner, "al");
    broker_accounts_free(accounts);

    unlink(path);
    accounts = broker_accounts_new(loop);
    assert_int_equal(broker_accounts_add_database(accounts, path, &err), -1);
    assert_non_null(strstr(err.text, path));
    broker_accounts_free(accounts);
    rmdir(folder);
    free(path);
}

/* Memory and disk in one row: the first that knows an ident counts, and a lookup that is given up
 * answers nobody. */
static void test_sqlite_among_others(void **state)
{
    (void)state;
    char *vars[] = {(char[]){"HPFEEDS_BOB_SECRET=env"}, (char[]){"HPFEEDS_CY_SECRET=env"}, NULL};
    char path[] = "/tmp/test-accounts-XXXXXX.sqlt";
    write_file(path, "");
    struct broker_accounts *accounts = broker_accounts_new(loop);
    struct err err;
    assert_int_equal(broker_accounts_add_sqlite(accounts, path, &err), 0);
    assert_int_equal(broker_accounts_add_env(accounts, vars, &err), 0);
    run_sql(path, "INSERT INTO authkeys (ident, secret) VALUES ('bob', 'disk')");
    assert_string_equal(find(accounts, "bob")->secret, "disk");
    assert_string_equal(find(accounts, "cy")->secret, "env");
    assert_null(find(accounts, "dee"));
    answered = false;
    struct broker_lookup *lookup = broker_accounts_lookup(accounts, "bob", 3, take_answer, NULL);
    assert_non_null(lookup);
    broker_lookup_cancel(lookup);
    broker_accounts_free(accounts);
    assert_false(answered);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_env, setup, teardown),
        cmocka_unit_test_setup_teardown(test_json, setup, teardown),
        cmocka_unit_test_setup_teardown(test_json_bad, setup, teardown),
        cmocka_unit_test_setup_teardown(test_json_absent, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sources, setup, teardown),
        cmocka_unit_test_setup_teardown(test_json_changes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sqlite, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sqlite_among_others, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
