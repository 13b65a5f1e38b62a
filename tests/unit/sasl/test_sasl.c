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
    struct sasl_credentials credentials = {.user = user, .password = password};
    assert_int_equal(sasl_client_new(mechanism, &credentials, NULL, &client, &err), 0);
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
        struct sasl_credentials credentials = {.user = cases[i].user,
                                               .password = cases[i].password};
        assert_int_equal(sasl_client_new(SASL_PLAIN, &credentials, NULL, &client, &err), -1);
        assert_null(client);
        assert_int_equal(err.action, ERR_GIVE_UP);
        assert_non_null(strstr(err.text, cases[i].words));
    }
    sasl_client_free(NULL);
}

/* The token goes out first; what comes back after it is a refusal, which is read, and answered as
 * the mechanism demands. */
static void test_tokens(void **state)
{
    (void)state;
    static const struct {
        enum sasl_mechanism mechanism;
        const char *user, *host, *answer;
        const char *challenge, *refusal;
        const char *second;
    } cases[] = {
        /* Google's own example. */
        {SASL_XOAUTH2, "someuser@example.com", "server.example.com",
         "user=someuser@example.com\1auth=Bearer vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg==\1\1",
         "{\"status\":\"401\",\"schemes\":\"bearer mac\",\"scope\":\"https://mail.google.com/\"}",
         "401", ""},
        /* RFC 7628 section 4.1. */
        {SASL_OAUTHBEARER, "user@example.com", "server.example.com",
         "n,a=user@example.com,\1host=server.example.com\1port=143\1auth=Bearer "
         "vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg==\1\1",
         "{\"status\":\"invalid_token\",\"scope\":\"example_scope\","
         "\"openid-configuration\":\"https://example.com/.well-known/openid-configuration\"}",
         "invalid_token", "\1"},
        {SASL_OAUTHBEARER, "a,b=c", NULL,
         "n,a=a=2Cb=3Dc,\1auth=Bearer vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg==\1\1",
         "{\"status\":\"a\\u0000b\"}", "{\"status\":\"a\\u0000b\"}", "\1"},
        {SASL_XOAUTH2, "u", NULL,
         "user=u\1auth=Bearer vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg==\1\1", "{\"status\":401}",
         "{\"status\":401}", ""},
        {SASL_XOAUTH2, "u", NULL,
         "user=u\1auth=Bearer vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg==\1\1", "no, \x1b[2J",
         "no, \x1b[2J", ""},
        {SASL_XOAUTH2, "u", NULL,
         "user=u\1auth=Bearer vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg==\1\1", "", "", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sasl_client *client = NULL;
        struct err err;
        struct sasl_credentials credentials = {.user = cases[i].user,
                                               .access_token =
                                                   "vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg==",
                                               .host = cases[i].host,
                                               .port = 143};
        assert_int_equal(sasl_client_new(cases[i].mechanism, &credentials, NULL, &client, &err), 0);
        assert_true(sasl_client_first(client));
        assert_string_equal(sasl_client_refusal(client), "");
        test_step(client, "", cases[i].answer, strlen(cases[i].answer));
        test_step(client, cases[i].challenge, cases[i].second, strlen(cases[i].second));
        assert_string_equal(sasl_client_refusal(client), cases[i].refusal);
        test_no_more(client, "has to say");
        sasl_client_free(client);
    }
}

/* What a server says is kept within bounds. */
static void test_long_refusal(void **state)
{
    (void)state;
    struct sasl_client *client = NULL;
    struct err err;
    struct buf out = {0}, challenge = {0};
    struct sasl_credentials credentials = {.user = "u", .access_token = "t"};
    assert_int_equal(sasl_client_new(SASL_XOAUTH2, &credentials, NULL, &client, &err), 0);
    for (size_t i = 0; i < 100000; i++)
        buf_add_byte(&challenge, '[');
    assert_int_equal(sasl_client_step(client, NULL, 0, &out, &err), 0);
    assert_int_equal(sasl_client_step(client, challenge.data, challenge.len, &out, &err), 0);
    assert_int_equal(strlen(sasl_client_refusal(client)), 200 + 2 * strlen("t"));
    sasl_client_free(client);
    buf_release(&challenge);
    buf_release(&out);
}

static void test_tokens_that_fit_nowhere(void **state)
{
    (void)state;
    static const struct {
        const char *user, *token, *words;
    } cases[] = {
        {"", "t", "an empty username"},
        {"u", "", "an empty access token"},
        {"u", NULL, "an empty access token"},
        {"u", "a b", "an access token with blanks"},
        {"u", "a\1\1user=other", "an access token with blanks"},
        {"u", "a\r\nb", "an access token with blanks"},
        {"u", "t\xE4", "an access token with blanks"},
        {"u\1auth=Bearer x", "t", "a username with control characters"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int j = 0; j < 2; j++) {
            struct sasl_client *client = NULL;
            struct err err = {0};
            struct sasl_credentials credentials = {.user = cases[i].user,
                                                   .access_token = cases[i].token};
            assert_int_equal(sasl_client_new(j ? SASL_XOAUTH2 : SASL_OAUTHBEARER, &credentials,
                                             NULL, &client, &err),
                             -1);
            assert_null(client);
            assert_int_equal(err.action, ERR_GIVE_UP);
            assert_non_null(strstr(err.text, cases[i].words));
        }
}

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(sasl_mechanism_name(SASL_PLAIN), "PLAIN");
    assert_string_equal(sasl_mechanism_name(SASL_LOGIN), "LOGIN");
    assert_string_equal(sasl_mechanism_name(SASL_SCRAM_SHA_1), "SCRAM-SHA-1");
    assert_string_equal(sasl_mechanism_name(SASL_SCRAM_SHA_256_PLUS), "SCRAM-SHA-256-PLUS");
    assert_string_equal(sasl_mechanism_name(SASL_XOAUTH2), "XOAUTH2");
    assert_string_equal(sasl_mechanism_name(SASL_OAUTHBEARER), "OAUTHBEARER");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),        cmocka_unit_test(test_login),
        cmocka_unit_test(test_cannot_carry), cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_long_refusal), cmocka_unit_test(test_tokens_that_fit_nowhere),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
