#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "oauth/oauth.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const struct oauth_client test_client = {
    .id = "id-1.apps.example", .secret = "s&cret /+", .scope = "https://mail.example/ offline"};
static const struct oauth_client test_public = {.id = "id"};

static void test_requests(void **state)
{
    (void)state;
    struct buf out = {0};
    oauth_ask_refresh(&out, &test_client, "1//rt=\xC3\xA4");
    assert_string_equal(buf_cstr(&out), "grant_type=refresh_token&client_id=id-1.apps.example&"
                                        "client_secret=s%26cret+%2F%2B&refresh_token=1%2F%2Frt%3D"
                                        "%C3%A4&scope=https%3A%2F%2Fmail.example%2F+offline");
    buf_clear(&out);
    oauth_ask_refresh(&out, &test_public, "rt");
    assert_string_equal(buf_cstr(&out), "grant_type=refresh_token&client_id=id&refresh_token=rt");
    buf_clear(&out);
    oauth_ask_device(&out, &test_client);
    assert_string_equal(buf_cstr(&out), "client_id=id-1.apps.example&"
                                        "scope=https%3A%2F%2Fmail.example%2F+offline");
    buf_clear(&out);
    oauth_ask_device_token(&out, &test_client, "dc");
    assert_string_equal(buf_cstr(&out),
                        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code&"
                        "client_id=id-1.apps.example&client_secret=s%26cret+%2F%2B&device_code=dc");
    buf_release(&out);
}

/* A request is written without growing, which would leave copies of secrets behind. */
static void test_requests_do_not_grow(void **state)
{
    (void)state;
    char secret[2000];
    memset(secret, '&', sizeof secret - 1);
    secret[sizeof secret - 1] = '\0';
    const struct oauth_client client = {.id = secret, .secret = secret, .scope = secret};
    struct buf out = {0};
    oauth_ask_refresh(&out, &client, secret);
    assert_true(out.cap <= 256 + 4 * (3 * sizeof secret + 64));
    buf_release(&out);
}

/* A copy that ends where the reply ends, so that reading beyond it is found. */
static struct oauth_reply test_reply(unsigned status, const char *type, const char *body)
{
    size_t len = strlen(body);
    uint8_t *copy = mem_alloc(len);
    memcpy(copy, body, len);
    return (struct oauth_reply){.status = status, .content_type = type, .body = copy, .len = len};
}

static void test_granted(void **state)
{
    (void)state;
    static const struct {
        const char *body, *access, *refresh;
        bool has_lifetime;
        msec_t lifetime;
    } cases[] = {
        {"{\"access_token\":\"at\",\"token_type\":\"Bearer\",\"expires_in\":3599}", "at", NULL,
         true, 3599000},
        {"{\"access_token\":\"at\",\"token_type\":\"bearer\",\"expires_in\":\"3600\","
         "\"refresh_token\":\"rt2\",\"scope\":\"x\",\"id_token\":[{}]}",
         "at", "rt2", true, 3600000},
        {" \r\n{\"access_token\":\"EwBIA8l6BAAU+/==\",\"expires_in\":3600.9}\n",
         "EwBIA8l6BAAU+/==", NULL, true, 3600000},
        {"{\"access_token\":\"at\"}", "at", NULL, false, 0},
        {"{\"access_token\":\"at\",\"expires_in\":0,\"refresh_token\":\"\"}", "at", NULL, true, 0},
        {"{\"access_token\":\"at\",\"expires_in\":-5,\"refresh_token\":null}", "at", NULL, false,
         0},
        {"{\"access_token\":\"at\",\"expires_in\":null}", "at", NULL, false, 0},
        {"{\"access_token\":\"at\",\"expires_in\":\"soon\"}", "at", NULL, false, 0},
        {"{\"access_token\":\"at\",\"expires_in\":\"\"}", "at", NULL, false, 0},
        {"{\"access_token\":\"at\",\"expires_in\":1e300}", "at", NULL, true,
         (msec_t)365 * 24 * 3600 * 1000},
        {"{\"access_token\":\"at\",\"expires_in\":9223372036854775807}", "at", NULL, true,
         (msec_t)365 * 24 * 3600 * 1000},
        {"{\"access_token\":\"at\",\"expires_in\":\"18446744073709551615\"}", "at", NULL, true,
         (msec_t)365 * 24 * 3600 * 1000},
        {"{\"access_token\":\"at\",\"expires_in\":\"18446744073709551616\"}", "at", NULL, false, 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct oauth_reply reply = test_reply(i % 2 ? 200 : 201, "text/plain", cases[i].body);
        struct oauth_token token;
        enum oauth_refusal refusal;
        struct err err = {0};
        if (oauth_token_read(&reply, &test_client, "rt", &token, &refusal, &err) < 0)
            fail_msg("%s: %s", cases[i].body, err.text);
        assert_string_equal(token.access, cases[i].access);
        if (cases[i].refresh)
            assert_string_equal(token.refresh, cases[i].refresh);
        else
            assert_null(token.refresh);
        assert_int_equal(token.has_lifetime, cases[i].has_lifetime);
        assert_int_equal(token.lifetime, cases[i].lifetime);
        oauth_token_release(&token);
        free((void *)(uintptr_t)reply.body);
    }
}

/* A refresh token counts even where the access token beside it is of no use: the one that was sent
 * may be void. */
static void test_granted_refresh_alone(void **state)
{
    (void)state;
    static const struct {
        const char *body, *words;
        enum err_action action;
    } cases[] = {
        {"{\"access_token\":\"a\",\"token_type\":\"mac\",\"refresh_token\":\"rt2\"}",
         "its token is not of the type \"Bearer\"", ERR_GIVE_UP},
        {"{\"access_token\":\"a b\",\"refresh_token\":\"rt2\"}",
         "its reply has no access_token that could be used", ERR_RETRY_LATER},
        {"{\"refresh_token\":\"rt2\"}", "its reply has no access_token that could be used",
         ERR_RETRY_LATER},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct oauth_reply reply = test_reply(200, NULL, cases[i].body);
        struct oauth_token token;
        enum oauth_refusal refusal;
        struct err err = {0};
        assert_int_equal(oauth_token_read(&reply, &test_client, "rt", &token, &refusal, &err), 1);
        assert_null(token.access);
        assert_string_equal(token.refresh, "rt2");
        assert_string_equal(err.text, cases[i].words);
        assert_int_equal(err.action, cases[i].action);
        oauth_token_release(&token);
        free((void *)(uintptr_t)reply.body);
    }
}

static const struct test_refused {
    unsigned status;
    const char *type, *body;
    enum oauth_refusal refusal;
    enum err_action action;
    const char *words;
} test_refused[] = {
    {400, "application/json",
     "{\"error\":\"invalid_grant\",\"error_description\":\"Token has been expired or revoked.\"}",
     OAUTH_NO_GRANT, ERR_GIVE_UP,
     "invalid_grant: the refresh token was revoked, has expired, or belongs to another client_id; "
     "the provider says: Token has been expired or revoked."},
    {400, "application/json",
     "{\"error\":\"interaction_required\",\"error_description\":\"AADSTS50076: \\r\\nTrace\","
     "\"error_codes\":[50076],\"error_uri\":\"https://login.example/error?code=50076\"}",
     OAUTH_NO_GRANT, ERR_GIVE_UP,
     "interaction_required: the provider wants to see a person; the provider says: AADSTS50076: "
     "  Trace (see https://login.example/error?code=50076)"},
    {400, NULL, "{\"error\":\"\"}", OAUTH_FAILED, ERR_GIVE_UP,
     "HTTP status 400, with a reply: check its address"},
    {401, NULL, "{\"error\":\"invalid_client\"}", OAUTH_FAILED, ERR_GIVE_UP,
     "invalid_client: check client_id and client_secret"},
    {200, NULL, "{\"error\":\"invalid_scope\"}", OAUTH_FAILED, ERR_GIVE_UP,
     "invalid_scope: check scope"},
    {400, NULL, "{\"error\":\"authorization_pending\"}", OAUTH_PENDING, ERR_RETRY_LATER,
     "authorization_pending"},
    {428, NULL,
     "{\"error\":\"authorization_pending\",\"error_description\":\"Precondition "
     "Required\"}",
     OAUTH_PENDING, ERR_RETRY_LATER,
     "authorization_pending; the provider says: Precondition "
     "Required"},
    {403, NULL, "{\"error\":\"slow_down\"}", OAUTH_SLOW_DOWN, ERR_RETRY_LATER, "slow_down"},
    {403, NULL, "{\"error\":\"access_denied\"}", OAUTH_DENIED, ERR_GIVE_UP,
     "access_denied: access was denied"},
    {400, NULL, "{\"error\":\"expired_token\"}", OAUTH_CODE_EXPIRED, ERR_GIVE_UP,
     "expired_token: the code has expired"},
    {503, NULL, "{\"error\":\"temporarily_unavailable\"}", OAUTH_FAILED, ERR_RETRY_LATER,
     "temporarily_unavailable"},
    {500, NULL, "{\"error\":\"invalid_client\"}", OAUTH_FAILED, ERR_RETRY_LATER,
     "invalid_client: check client_id and client_secret"},
    {429, NULL, "{\"error\":\"quota\"}", OAUTH_FAILED, ERR_RETRY_LATER, "quota"},
    {400, NULL, "{\"error\":\"never_heard\"}", OAUTH_FAILED, ERR_GIVE_UP, "never_heard"},
    /* What acts on a terminal, or turns a line, does not get through. */
    {400, NULL,
     "{\"error\":\"a\\u001b[2Jb\",\"error_description\":\"\\u202e\\u0007 \\u00e4 x\\ny\","
     "\"error_uri\":\"\\u009b1m\"}",
     OAUTH_FAILED, ERR_GIVE_UP,
     "a\\x1b[2Jb; the provider says: \\xe2\\x80\\xae\\x07 \xC3\xA4 x y (see \\xc2\\x9b1m)"},
    /* Secrets that are repeated are struck, also as they stand in the form. */
    {400, NULL,
     "{\"error\":\"bad\",\"error_description\":\"rt/1 s&cret /+ rt%2F1 s%26cret+%2F%2B\","
     "\"error_uri\":\"x?rt/1\"}",
     OAUTH_FAILED, ERR_GIVE_UP,
     "bad; the provider says: **** ********* ****** *************** (see x?****)"},
    {400, NULL, "{\"error\":\"rt/1\"}", OAUTH_FAILED, ERR_GIVE_UP, "****"},
    {404, "text/rt/1", "", OAUTH_FAILED, ERR_GIVE_UP,
     "HTTP status 404, with a reply of type text/****: check its address"},
    /* No OAuth at all. */
    {200, "text/html; charset=utf-8", "<html>Welcome to the hotel</html>", OAUTH_FAILED,
     ERR_RETRY_LATER,
     "its reply of type text/html; charset=utf-8 is no OAuth 2.0 (RFC 6749): check its address"},
    {200, NULL, "", OAUTH_FAILED, ERR_RETRY_LATER,
     "its reply is no OAuth 2.0 (RFC 6749): check its address"},
    {200, "a\x1b[1mb", "[]", OAUTH_FAILED, ERR_RETRY_LATER,
     "its reply of type a\\x1b[1mb is no OAuth 2.0 (RFC 6749): check its address"},
    {302, "text/html", "<a href=x>", OAUTH_FAILED, ERR_GIVE_UP,
     "it redirects (HTTP status 302), which is not followed: check its address"},
    {307, NULL, "{\"access_token\":\"at\"}", OAUTH_FAILED, ERR_GIVE_UP,
     "it redirects (HTTP status 307), which is not followed: check its address"},
    {404, "text/html", "<h1>no</h1>", OAUTH_FAILED, ERR_GIVE_UP,
     "HTTP status 404, with a reply of type text/html: check its address"},
    {400, NULL, "{\"access_token\":\"at\"}", OAUTH_FAILED, ERR_GIVE_UP,
     "HTTP status 400, with a reply: check its address"},
    {502, "text/html", "<h1>Bad gateway</h1>", OAUTH_FAILED, ERR_RETRY_LATER,
     "it does not work for now: HTTP status 502"},
    {429, NULL, "slow", OAUTH_FAILED, ERR_RETRY_LATER, "it does not work for now: HTTP status 429"},
    /* OAuth of some kind. */
    {200, NULL, "{}", OAUTH_FAILED, ERR_RETRY_LATER,
     "its reply has no access_token that could be used"},
    {200, NULL, "{\"access_token\":17}", OAUTH_FAILED, ERR_RETRY_LATER,
     "its reply has no access_token that could be used"},
    {200, NULL, "{\"access_token\":\"\"}", OAUTH_FAILED, ERR_RETRY_LATER,
     "its reply has no access_token that could be used"},
    {200, NULL, "{\"access_token\":\"a b\"}", OAUTH_FAILED, ERR_RETRY_LATER,
     "its reply has no access_token that could be used"},
    {200, NULL, "{\"access_token\":\"a\\u0001auth=x\"}", OAUTH_FAILED, ERR_RETRY_LATER,
     "its reply has no access_token that could be used"},
    {200, NULL, "{\"access_token\":\"a\\u00e4\"}", OAUTH_FAILED, ERR_RETRY_LATER,
     "its reply has no access_token that could be used"},
    {200, NULL, "{\"access_token\":\"a\\u0000b\"}", OAUTH_FAILED, ERR_RETRY_LATER,
     "its reply is no OAuth 2.0 (RFC 6749): check its address"},
    {200, NULL, "{\"access_token\":\"a\",\"access_token\":\"b\"}", OAUTH_FAILED, ERR_RETRY_LATER,
     "its reply is no OAuth 2.0 (RFC 6749): check its address"},
    {200, NULL, "{\"access_token\":\"a\"} and more", OAUTH_FAILED, ERR_RETRY_LATER,
     "its reply is no OAuth 2.0 (RFC 6749): check its address"},
    {200, NULL, "{\"access_token\":\"a\",\"refresh_token\":\"r\\nt\"}", OAUTH_FAILED,
     ERR_RETRY_LATER, "its reply has a refresh_token that cannot be used"},
    {200, NULL, "{\"access_token\":\"a\",\"token_type\":\"mac\"}", OAUTH_FAILED, ERR_GIVE_UP,
     "its token is not of the type \"Bearer\""},
    {200, NULL, "{\"access_token\":\"a\",\"token_type\":1}", OAUTH_FAILED, ERR_GIVE_UP,
     "its token is not of the type \"Bearer\""},
    {200, NULL, "{\"access_token\":\"a\",\"token_type\":\"mac\",\"refresh_token\":\"r t\"}",
     OAUTH_FAILED, ERR_GIVE_UP, "its token is not of the type \"Bearer\""},
    {200, NULL, "{\"error\":{\"code\":1}}", OAUTH_FAILED, ERR_RETRY_LATER,
     "its reply has no access_token that could be used"},
};

static void test_all_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(test_refused); i++) {
        const struct test_refused *row = &test_refused[i];
        struct oauth_reply reply = test_reply(row->status, row->type, row->body);
        struct oauth_token token;
        enum oauth_refusal refusal = OAUTH_PENDING;
        struct err err = {0};
        if (oauth_token_read(&reply, &test_client, "rt/1", &token, &refusal, &err) == 0)
            fail_msg("%s is granted", row->body);
        assert_string_equal(err.text, row->words);
        assert_int_equal(refusal, row->refusal);
        assert_int_equal(err.action, row->action);
        free((void *)(uintptr_t)reply.body);
    }
}

/* Long words are cut, long tokens refused. */
static void test_long(void **state)
{
    (void)state;
    struct buf body = {0};
    struct oauth_token token;
    enum oauth_refusal refusal;
    struct err err;
    buf_add_str(&body, "{\"error\":\"bad\",\"error_description\":\"");
    for (size_t i = 0; i < 30000; i++)
        buf_add_byte(&body, 'x');
    buf_add_str(&body, "\"}");
    struct oauth_reply reply = test_reply(400, NULL, buf_cstr(&body));
    assert_int_equal(oauth_token_read(&reply, &test_client, "rt", &token, &refusal, &err), -1);
    assert_true(strlen(err.text) < 250);
    assert_string_equal(err.text + strlen(err.text) - 6, "xxx...");
    free((void *)(uintptr_t)reply.body);

    for (size_t len = OAUTH_TOKEN_MOST; len <= OAUTH_TOKEN_MOST + 1; len++) {
        buf_clear(&body);
        buf_add_str(&body, "{\"access_token\":\"");
        for (size_t i = 0; i < len; i++)
            buf_add_byte(&body, 'x');
        buf_add_str(&body, "\"}");
        reply = test_reply(200, NULL, buf_cstr(&body));
        int result = oauth_token_read(&reply, &test_client, "rt", &token, &refusal, &err);
        assert_int_equal(result, len > OAUTH_TOKEN_MOST ? -1 : 0);
        if (result == 0)
            oauth_token_release(&token);
        free((void *)(uintptr_t)reply.body);
    }
    buf_release(&body);
}

static void test_device(void **state)
{
    (void)state;
    static const struct {
        const char *body, *user_code, *address, *complete;
        msec_t interval, lifetime;
    } cases[] = {
        /* RFC 8628 section 3.2. */
        {"{\"device_code\":\"GmRhmhcxhwAzkoEqiMEg_DnyEysNkuNhszIySk9eS\",\"user_code\":"
         "\"WDJB-MJHT\",\"verification_uri\":\"https://example.com/device\","
         "\"verification_uri_complete\":\"https://example.com/device?user_code=WDJB-MJHT\","
         "\"expires_in\":1800,\"interval\":5}",
         "WDJB-MJHT", "https://example.com/device",
         "https://example.com/device?user_code=WDJB-MJHT", 5000, 1800000},
        {"{\"device_code\":\"d\",\"user_code\":\"u\",\"verification_url\":\"https://g.co/d\"}", "u",
         "https://g.co/d", NULL, 5000, 900000},
        {"{\"device_code\":\"d\",\"user_code\":\"u\",\"verification_uri\":\"x\",\"interval\":0,"
         "\"expires_in\":\"60\"}",
         "u", "x", NULL, 1000, 60000},
        {"{\"device_code\":\"d\",\"user_code\":\"\\u202eu\",\"verification_uri\":\"x\"}",
         "\\xe2\\x80\\xaeu", "x", NULL, 5000, 900000},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct oauth_reply reply = test_reply(200, NULL, cases[i].body);
        struct oauth_device device;
        struct err err;
        assert_int_equal(oauth_device_read(&reply, &test_client, &device, &err), 0);
        assert_string_equal(device.user_code, cases[i].user_code);
        assert_string_equal(device.address, cases[i].address);
        if (cases[i].complete)
            assert_string_equal(device.address_complete, cases[i].complete);
        else
            assert_null(device.address_complete);
        assert_int_equal(device.interval, cases[i].interval);
        assert_int_equal(device.lifetime, cases[i].lifetime);
        oauth_device_release(&device);
        free((void *)(uintptr_t)reply.body);
    }
}

static void test_no_device(void **state)
{
    (void)state;
    static const struct {
        unsigned status;
        const char *body, *words;
    } cases[] = {
        {200, "{\"user_code\":\"u\",\"verification_uri\":\"x\"}", "its reply has no device_code"},
        {200, "{\"device_code\":\"d\",\"verification_uri\":\"x\"}", "its reply has no device_code"},
        {200, "{\"device_code\":\"d\",\"user_code\":\"a\\u001b[2J\",\"verification_uri\":\"x\"}",
         "its reply has no device_code"},
        {401, "{\"error\":\"invalid_client\",\"error_description\":\"s&cret /+\"}",
         "invalid_client: check client_id and client_secret; the provider says: *********"},
        {404, "", "HTTP status 404"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct oauth_reply reply = test_reply(cases[i].status, NULL, cases[i].body);
        struct oauth_device device;
        struct err err;
        assert_int_equal(oauth_device_read(&reply, &test_client, &device, &err), -1);
        assert_non_null(strstr(err.text, cases[i].words));
        assert_int_equal(err.action, ERR_GIVE_UP);
        free((void *)(uintptr_t)reply.body);
    }
}

static void test_device_pauses(void **state)
{
    (void)state;
    struct oauth_device device = {.interval = 5000, .lifetime = 31000};
    msec_t pause;
    assert_true(oauth_device_pause(&device, false, &pause));
    assert_int_equal(pause, 5000);
    assert_true(oauth_device_pause(&device, true, &pause));
    assert_int_equal(pause, 10000);
    assert_true(oauth_device_pause(&device, false, &pause));
    assert_int_equal(pause, 10000);
    assert_false(oauth_device_pause(&device, false, &pause));
    assert_int_equal(pause, 10000);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests),      cmocka_unit_test(test_requests_do_not_grow),
        cmocka_unit_test(test_granted),       cmocka_unit_test(test_granted_refresh_alone),
        cmocka_unit_test(test_all_refused),   cmocka_unit_test(test_long),
        cmocka_unit_test(test_device),        cmocka_unit_test(test_no_device),
        cmocka_unit_test(test_device_pauses),
    };
    oauth_setup();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
