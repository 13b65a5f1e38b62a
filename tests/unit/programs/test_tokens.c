/* Who shares what gives access tokens, and where refresh tokens are kept. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "net/loop.h"
#include "programs/collector_tokens.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const struct conf_pem pem = {.text = "a CA", .len = 4};

static const struct conf_oauth2 plain = {
    .token_url = "https://login.example/token",
    .client_id = "id",
    .client_secret = "secret",
    .scope = "mail",
    .refresh_token = "refresh",
};

/* The same as `plain`, but for one thing. */
static const struct {
    const char *what;
    struct conf_oauth2 oauth2;
    bool same_file; /* as plain's */
} others[] = {
    {"token_url",
     {.token_url = "https://other.example/token",
      .client_id = "id",
      .client_secret = "secret",
      .scope = "mail",
      .refresh_token = "refresh"},
     false},
    {"client_id",
     {.token_url = "https://login.example/token",
      .client_id = "other",
      .client_secret = "secret",
      .scope = "mail",
      .refresh_token = "refresh"},
     false},
    {"client_secret",
     {.token_url = "https://login.example/token",
      .client_id = "id",
      .client_secret = "other",
      .scope = "mail",
      .refresh_token = "refresh"},
     true},
    {"scope",
     {.token_url = "https://login.example/token",
      .client_id = "id",
      .client_secret = "secret",
      .refresh_token = "refresh"},
     true},
    {"refresh_token",
     {.token_url = "https://login.example/token",
      .client_id = "id",
      .client_secret = "secret",
      .scope = "mail",
      .refresh_token = "other"},
     false},
    {"no refresh_token",
     {.token_url = "https://login.example/token",
      .client_id = "id",
      .client_secret = "secret",
      .scope = "mail"},
     false},
    {"CA",
     {.token_url = "https://login.example/token",
      .client_id = "id",
      .client_secret = "secret",
      .scope = "mail",
      .refresh_token = "refresh",
      .ca_pem = &pem},
     true},
    {"a command", {.command = "command", .command_len = 8, .directory = ""}, false},
    {"another command", {.command = "com\0mand", .command_len = 9, .directory = ""}, false},
    {"the command elsewhere", {.command = "command", .command_len = 8, .directory = "/x"}, false},
};

/* `oauth2` is copied. */
static struct conf_mailbox box(struct conf_oauth2 *copy, const struct conf_oauth2 *oauth2,
                               const char *label, const char *user)
{
    *copy = *oauth2;
    return (struct conf_mailbox){
        .label = (char *)(uintptr_t)label, .username = (char *)(uintptr_t)user, .oauth2 = copy};
}

static void test_password(void **state)
{
    (void)state;
    struct net_loop *loop = net_loop_new();
    struct tokens *tokens = tokens_new(loop, "/state", &(struct token_doer){0});
    assert_null(tokens_get(tokens, &(struct conf_mailbox){.password = "password"}));
    tokens_free(tokens);
    net_loop_free(loop);
}

/* One for all mailboxes of an account, one of its own for everybody else. */
static void test_shared_by_equals_alone(void **state)
{
    (void)state;
    struct net_loop *loop = net_loop_new();
    struct tokens *tokens = tokens_new(loop, "/state", &(struct token_doer){0});
    struct token_keeper *got[COUNT(others) + 3];
    struct conf_oauth2 copy;
    struct conf_mailbox mailbox = box(&copy, &plain, "one", "user");
    got[0] = tokens_get(tokens, &mailbox);
    mailbox = box(&copy, &plain, "two", "user");
    got[1] = tokens_get(tokens, &mailbox);
    assert_ptr_equal(got[0], got[1]);
    mailbox = box(&copy, &plain, "one", "another user");
    got[2] = tokens_get(tokens, &mailbox);
    assert_ptr_not_equal(got[0], got[2]);
    for (size_t i = 0; i < COUNT(others); i++) {
        mailbox = box(&copy, &others[i].oauth2, "one", "user");
        got[i + 3] = tokens_get(tokens, &mailbox);
        for (size_t j = 0; j < i + 3; j++)
            if (got[i + 3] == got[j])
                fail_msg("%s makes no difference", others[i].what);
    }
    for (size_t i = 0; i < COUNT(got); i++)
        token_keeper_unref(got[i]);
    tokens_free(tokens);
    net_loop_free(loop);
}

/* A reload: who is in the new configuration goes on with what there is, and what nobody wants any
 * more is freed when those who are on their way out have let it go (the sanitizers look). */
static void test_reloaded(void **state)
{
    (void)state;
    struct net_loop *loop = net_loop_new();
    struct tokens *tokens = tokens_new(loop, "/state", &(struct token_doer){0});
    struct conf_oauth2 copies[2];
    struct conf_mailbox stays = box(&copies[0], &plain, "one", "user");
    struct conf_mailbox goes = box(&copies[1], &others[0].oauth2, "two", "user");
    struct token_keeper *first = tokens_get(tokens, &stays);
    struct token_keeper *removed = tokens_get(tokens, &goes);
    tokens_sweep(tokens);
    struct token_keeper *again = tokens_get(tokens, &stays);
    assert_ptr_equal(again, first);
    tokens_sweep(tokens);
    struct token_keeper *back = tokens_get(tokens, &goes);
    assert_ptr_not_equal(back, removed); /* which is still held */
    token_keeper_unref(first);
    token_keeper_unref(again);
    token_keeper_unref(removed);
    token_keeper_unref(back);
    tokens_sweep(tokens);
    tokens_sweep(tokens);
    tokens_free(tokens);
    net_loop_free(loop);
}

static void test_file(void **state)
{
    (void)state;
    struct conf_oauth2 copy;
    struct conf_mailbox mailbox = box(&copy, &plain, "one", "user");
    char *file = tokens_file(&mailbox, "/state");
    const char *name = strrchr(file, '-');
    assert_non_null(name);
    assert_int_equal(strncmp(file, "/state/oauth2-", (size_t)(name + 1 - file)), 0);
    assert_int_equal(strlen(name + 1), 32);
    assert_int_equal(strspn(name + 1, "0123456789abcdef"), 32);
    assert_null(tokens_file(&mailbox, NULL));
    for (size_t i = 0; i < COUNT(others); i++) {
        if (others[i].oauth2.command)
            continue;
        mailbox = box(&copy, &others[i].oauth2, "label", "user");
        char *other = tokens_file(&mailbox, "/state");
        if (!strcmp(file, other) != others[i].same_file)
            fail_msg("%s", others[i].what);
        free(other);
    }
    mailbox = box(&copy, &plain, "one", "another user");
    char *other = tokens_file(&mailbox, "/state");
    assert_string_not_equal(file, other);
    free(other);
    copy.refresh_token_file = "/own/file";
    other = tokens_file(&mailbox, NULL);
    assert_string_equal(other, "/own/file");
    free(other);
    free(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_password),
        cmocka_unit_test(test_shared_by_equals_alone),
        cmocka_unit_test(test_reloaded),
        cmocka_unit_test(test_file),
    };
    return cmocka_run_group_tests_name("programs / tokens", tests, NULL, NULL);
}
