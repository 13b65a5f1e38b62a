#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "sasl/sasl.h"

static struct sasl_client *test_client(enum sasl_mechanism mechanism, const char *user,
                                       const char *password)
{
    struct sasl_client *client = NULL;
    struct err err;
    assert_int_equal(sasl_client_new(mechanism, user, password, &client, &err), 0);
    return client;
}

static void test_step(struct sasl_client *client, const char *challenge, const char *answer,
                      size_t answer_len)
{
    struct buf out = {0};
    struct err err;
    buf_add_byte(&out, '>');
    assert_int_equal(
        sasl_client_step(client, (const uint8_t *)challenge, strlen(challenge), &out, &err), 0);
    assert_int_equal(out.len, answer_len + 1);
    assert_memory_equal(out.data + 1, answer, answer_len);
    buf_release(&out);
}

static void test_no_more(struct sasl_client *client, const char *words)
{
    struct buf out = {0};
    struct err err = {0};
    assert_int_equal(sasl_client_step(client, (const uint8_t *)"", 0, &out, &err), -1);
    assert_int_equal(err.action, ERR_GIVE_UP);
    assert_non_null(strstr(err.text, words));
    assert_int_equal(out.len, 0);
    buf_release(&out);
}

static void test_plain(void **state)
{
    (void)state;
    static const struct {
        const char *user, *password, *answer;
        size_t len;
    } cases[] = {
        {"tim", "tanstaaftanstaaf", "\0tim\0tanstaaftanstaaf", 21}, /* RFC 4616 section 4 */
        {"u@example.org", "p\r\n\"\\{5}", "\0u@example.org\0p\r\n\"\\{5}", 23},
        {"tr\xC3\xBC"
         "be",
         "\xE4\xFF",
         "\0tr\xC3\xBC"
         "be\0\xE4\xFF",
         10},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sasl_client *client = test_client(SASL_PLAIN, cases[i].user, cases[i].password);
        assert_true(sasl_client_first(client));
        test_step(client, "", cases[i].answer, cases[i].len);
        test_no_more(client, "more than PLAIN has to say");
        sasl_client_free(client);
    }
}

/* The words of the challenges differ from server to server: their order counts. */
static void test_login(void **state)
{
    (void)state;
    static const char *const challenges[][2] = {
        {"User Name", "Password"}, {"Username:", "Password:"}, {"", ""}, {"Password:", "User:"}};
    for (size_t i = 0; i < sizeof challenges / sizeof *challenges; i++) {
        struct sasl_client *client = test_client(SASL_LOGIN, "trap", "s3cret\xE4");
        assert_false(sasl_client_first(client));
        test_step(client, challenges[i][0], "trap", 4);
        test_step(client, challenges[i][1], "s3cret\xE4", 7);
        test_no_more(client, "more than LOGIN has to say");
        sasl_client_free(client);
    }
}

/* RFC 4616: authcid and passwd are 1*SAFE. */
static void test_cannot_carry(void **state)
{
    (void)state;
    static const struct {
        const char *user, *password, *words;
    } cases[] = {
        {"", "secret", "an empty username"}, {NULL, "secret", "an empty username"},
        {"user", "", "an empty password"},   {"user", NULL, "an empty password"},
        {"", "", "an empty username"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sasl_client *client = NULL;
        struct err err = {0};
        assert_int_equal(
            sasl_client_new(SASL_PLAIN, cases[i].user, cases[i].password, &client, &err), -1);
        assert_null(client);
        assert_int_equal(err.action, ERR_GIVE_UP);
        assert_non_null(strstr(err.text, cases[i].words));
    }
    sasl_client_free(NULL);
}

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(sasl_mechanism_name(SASL_PLAIN), "PLAIN");
    assert_string_equal(sasl_mechanism_name(SASL_LOGIN), "LOGIN");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_login),
        cmocka_unit_test(test_cannot_carry),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
