/* Refresh tokens that rotate, the provider's refusals, and accounts that go meanwhile. The provider
 * is played: the linker puts the functions below in the place of the HTTP client's. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../net/driven.h"
#include "base/mem.h"
#include "net/http.h"
#include "token/source.h"
#include "token/store.h"

enum {
    MINUTE = 60 * 1000,
};

/* What the provider was asked. */
static struct {
    net_http_done_fn *done; /* NULL: nothing is asked */
    void *ctx;
    char form[500];
    unsigned asked, cancelled;
    bool disk_fails;
} provider;

struct net_http_call *__wrap_net_http_post(struct net_http *http,
                                           const struct net_http_request *request,
                                           net_http_done_fn *done, void *ctx);
void __wrap_net_http_cancel(struct net_http_call *call);
int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);

struct net_http_call *__wrap_net_http_post(struct net_http *http,
                                           const struct net_http_request *request,
                                           net_http_done_fn *done, void *ctx)
{
    (void)http;
    assert_null(provider.done); /* one question at a time */
    assert_string_equal(request->url, "https://login.example/token");
    snprintf(provider.form, sizeof provider.form, "%.*s", (int)request->len,
             (const char *)request->form);
    provider.done = done;
    provider.ctx = ctx;
    provider.asked++;
    return (struct net_http_call *)(void *)&provider;
}

void __wrap_net_http_cancel(struct net_http_call *call)
{
    if (!call)
        return;
    assert_non_null(provider.done);
    provider.done = NULL;
    provider.cancelled++;
}

int __wrap_rename(const char *from, const char *to)
{
    errno = EROFS;
    return provider.disk_fails ? -1 : __real_rename(from, to);
}

struct stage {
    struct net_loop *loop;
    struct token_workers *workers;
    struct token_keeper *keeper;
    char directory[64], path[96];
    struct token_wait wait;
    struct token *token; /* of the last answer */
    struct err err;
    unsigned answers;
    bool holds;             /* a deed is begun, and not done … */
    sem_t begun, may_go_on; /* … until then */
};

/* One for the process, as the callback for trouble has no context. */
static unsigned troubles;
static struct err trouble;

static void stage_troubled(const char *label, const struct err *err)
{
    assert_string_equal(label, "trap");
    troubles++;
    trouble = *err;
}

static void stage_had(struct token_wait *wait, struct token *moved_token, bool fresh,
                      const struct err *err)
{
    struct stage *stage = (struct stage *)((char *)wait - offsetof(struct stage, wait));
    (void)fresh;
    token_unref(stage->token);
    stage->token = moved_token;
    stage->err = err ? *err : (struct err){0};
    stage->answers++;
}

static const uint8_t stage_key[TOKEN_KEY] = "the trap's";

static int stage_do(void *ctx, const struct token_deed *deed, char **ret_token, struct err *err)
{
    struct stage *stage = ctx;
    assert_memory_equal(deed->key, stage_key, TOKEN_KEY);
    if (stage->holds) {
        sem_post(&stage->begun);
        sem_wait(&stage->may_go_on);
    }
    return token_deed_do(&(struct token_means){.file = stage->path}, deed, ret_token, err);
}

static void stage_init(struct stage *stage, bool file, bool can_authorize)
{
    memset(&provider, 0, sizeof provider);
    troubles = 0;
    *stage = (struct stage){.loop = net_loop_new(), .wait.had = stage_had};
    assert_int_equal(sem_init(&stage->begun, 0, 0), 0);
    assert_int_equal(sem_init(&stage->may_go_on, 0, 0), 0);
    strcpy(stage->directory, "/tmp/test-token-XXXXXX");
    assert_non_null(mkdtemp(stage->directory));
    snprintf(stage->path, sizeof stage->path, "%s/token", stage->directory);
    net_loop_drive(stage->loop);
    stage->workers = token_workers_new(stage->loop, &(struct token_doer){stage_do, stage});
    stage->keeper = token_endpoint_new(stage->loop, NULL, stage->workers,
                                       &(struct token_endpoint_settings){
                                           .label = "trap",
                                           .token_url = "https://login.example/token",
                                           .client_id = "id",
                                           .client_secret = "client-secret",
                                           .refresh_token = "first",
                                           .can_authorize = can_authorize,
                                           .key = file ? stage_key : NULL,
                                       },
                                       stage_troubled);
}

static void stage_put(const struct stage *stage, const char *token)
{
    assert_int_equal(token_store_write(stage->path, token, NULL), 0);
}

static void stage_check_file(const struct stage *stage, const char *expected)
{
    char *token = NULL;
    assert_int_equal(token_store_read(stage->path, &token, NULL), 0);
    if (expected)
        assert_string_equal(token, expected);
    else
        assert_null(token);
    mem_free_secret(token);
}

static void stage_release(struct stage *stage)
{
    struct dirent *entry;
    token_wait_cancel(&stage->wait);
    token_unref(stage->token);
    token_keeper_unref(stage->keeper);
    token_workers_free(stage->workers);
    net_loop_free(stage->loop);
    sem_destroy(&stage->begun);
    sem_destroy(&stage->may_go_on);
    unlink(stage->path);
    DIR *directory = opendir(stage->directory);
    while ((entry = readdir(directory)))
        if (entry->d_name[0] != '.')
            fail_msg("%s is left over", entry->d_name);
    closedir(directory);
    assert_int_equal(rmdir(stage->directory), 0);
}

/* Asks for a token, as far as the question to the provider: with this refresh token. */
static void stage_ask(struct stage *stage, const char *refresh)
{
    char part[100];
    token_keeper_ask(stage->keeper, &stage->wait);
    driven_settle(stage->loop, NULL, NULL);
    assert_non_null(provider.done);
    snprintf(part, sizeof part, "refresh_token=%s", refresh);
    const char *at = strstr(provider.form, part);
    assert_non_null(at);
    assert_true(at[strlen(part)] == '&' || !at[strlen(part)]);
}

static void stage_say(unsigned status, const char *body)
{
    net_http_done_fn *done = provider.done;
    provider.done = NULL;
    done(provider.ctx,
         &(struct net_http_reply){.status = status,
                                  .content_type = "application/json",
                                  .body = (const uint8_t *)body,
                                  .len = strlen(body)},
         NULL);
}

static void stage_reply(struct stage *stage, unsigned status, const char *body)
{
    stage_say(status, body);
    driven_settle(stage->loop, NULL, NULL);
}

#define GRANT(access, more)                                                                        \
    "{\"access_token\":\"" access "\",\"token_type\":\"Bearer\",\"expires_in\":3600" more "}"
#define ROTATED(token) ",\"refresh_token\":\"" token "\""
#define INVALID                                                                                    \
    "{\"error\":\"invalid_grant\",\"error_description\":\"Token has been revoked by "              \
    "\\u001b[31m\"}"

static void test_rotated(void **state)
{
    (void)state;
    struct stage stage;
    stage_init(&stage, true, false);
    stage_ask(&stage, "first");
    stage_say(200, GRANT("one", ROTATED("second")));
    assert_int_equal(stage.answers, 0); /* not before the new one is stored */
    driven_settle(stage.loop, NULL, NULL);
    assert_string_equal(stage.token->text, "one");
    stage_check_file(&stage, "second");

    driven_pass(stage.loop, 60 * MINUTE);
    stage_ask(&stage, "second");
    stage_reply(&stage, 200, GRANT("two", "")); /* goes on with the same one */
    assert_string_equal(stage.token->text, "two");
    stage_check_file(&stage, "second");

    driven_pass(stage.loop, 60 * MINUTE);
    stage_put(&stage, "by-hand"); /* counts at once */
    stage_ask(&stage, "by-hand");
    stage_reply(&stage, 200, GRANT("three", ROTATED("third")));
    stage_check_file(&stage, "third");
    assert_int_equal(troubles, 0);
    stage_release(&stage);
}

/* A disk that cannot be written: told, the token works all the same, and the new refresh token is
 * remembered, used, and stored when that is possible again. */
static void test_rotated_and_not_to_be_kept(void **state)
{
    (void)state;
    struct stage stage;
    stage_init(&stage, true, false);
    stage_put(&stage, "old");
    provider.disk_fails = true;
    stage_ask(&stage, "old");
    stage_reply(&stage, 200, GRANT("one", ROTATED("new")));
    assert_string_equal(stage.token->text, "one");
    stage_check_file(&stage, "old");
    assert_int_equal(troubles, 1);
    assert_non_null(strstr(trouble.text, "the provider gave a new refresh token, and it cannot be "
                                         "kept; if the old one is void, the account is lost"));
    assert_non_null(strstr(trouble.text, stage.path));

    driven_pass(stage.loop, 60 * MINUTE);
    provider.disk_fails = false;
    stage_ask(&stage, "new");
    stage_reply(&stage, 200, GRANT("two", ""));
    assert_string_equal(stage.token->text, "two");
    stage_check_file(&stage, "new");
    assert_int_equal(troubles, 1);
    stage_release(&stage);
}

/* The token that could not be kept is void, and somebody has put another one into the file. */
static void test_mended_by_hand(void **state)
{
    (void)state;
    struct stage stage;
    stage_init(&stage, true, true);
    stage_put(&stage, "old");
    provider.disk_fails = true;
    stage_ask(&stage, "old");
    stage_reply(&stage, 200, GRANT("one", ROTATED("new")));
    provider.disk_fails = false;

    driven_pass(stage.loop, 60 * MINUTE);
    stage_put(&stage, "by-hand");
    stage_ask(&stage, "new");
    stage_reply(&stage, 400, INVALID);
    assert_int_equal(provider.asked, 3);
    assert_non_null(strstr(provider.form, "refresh_token=by-hand"));
    stage_reply(&stage, 200, GRANT("two", ""));
    assert_string_equal(stage.token->text, "two");
    stage_check_file(&stage, "by-hand");
    stage_release(&stage);
}

static void test_rotated_and_no_place(void **state)
{
    (void)state;
    struct stage stage;
    stage_init(&stage, false, false);
    stage_ask(&stage, "first");
    stage_reply(&stage, 200, GRANT("one", ROTATED("second")));
    assert_string_equal(stage.token->text, "one");
    assert_int_equal(troubles, 1);
    assert_non_null(strstr(trouble.text, "give refresh_token_file"));
    driven_pass(stage.loop, 60 * MINUTE);
    stage_ask(&stage, "second");
    stage_release(&stage);
    assert_int_equal(provider.cancelled, 1);
}

/* Whoever gives a new one each time, for a moment, is told of once an hour. */
static void test_rotated_again_and_again(void **state)
{
    (void)state;
    struct stage stage;
    char body[100], used[16] = "first";
    stage_init(&stage, false, true);
    for (unsigned minute = 0; minute < 100; minute++) {
        stage_ask(&stage, used);
        snprintf(used, sizeof used, "new-%u", minute);
        snprintf(body, sizeof body,
                 "{\"access_token\": \"one\", \"expires_in\": 0, \"refresh_token\": \"%s\"}", used);
        stage_reply(&stage, 200, body);
        assert_string_equal(stage.token->text, "one");
        assert_int_equal(troubles, minute < 60 ? 1 : 2);
        driven_pass(stage.loop, MINUTE);
    }
    stage_release(&stage);
}

/* The access token cannot be used, the refresh token beside it can: the old one may be void. */
static void test_rotated_beside_no_access(void **state)
{
    (void)state;
    static const struct {
        const char *body, *words;
        enum err_action action;
    } cases[] = {
        {"{\"access_token\":\"one\",\"token_type\":\"mac\"" ROTATED("second") "}",
         "login.example: its token is not of the type \"Bearer\"", ERR_GIVE_UP},
        {"{\"token_type\":\"Bearer\"" ROTATED("second") "}",
         "login.example: its reply has no access_token that could be used", ERR_RETRY_LATER},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct stage stage;
        stage_init(&stage, true, false);
        stage_ask(&stage, "first");
        stage_say(200, cases[i].body);
        assert_int_equal(stage.answers, 0); /* not before the new one is stored */
        driven_settle(stage.loop, NULL, NULL);
        assert_int_equal(stage.answers, 1);
        assert_null(stage.token);
        assert_string_equal(stage.err.text, cases[i].words);
        assert_int_equal(stage.err.action, cases[i].action);
        stage_check_file(&stage, "second");

        driven_pass(stage.loop, 60 * MINUTE);
        stage_ask(&stage, "second");
        stage_reply(&stage, 200, GRANT("two", ""));
        assert_string_equal(stage.token->text, "two");
        assert_int_equal(troubles, 0);
        stage_release(&stage);
    }
}

/* What the provider says is told in its words, escaped, with what to do. */
static void test_refused(void **state)
{
    (void)state;
    static const struct {
        bool can_authorize;
        unsigned status;
        const char *body, *words;
        enum err_action action;
    } cases[] = {
        {true, 400, INVALID, "; run: imap-collector --authorize trap", ERR_GIVE_UP},
        {false, 400, INVALID, "; put a new one into refresh_token", ERR_GIVE_UP},
        {true, 400, INVALID, "the provider says: Token has been revoked by \\x1b[31m", ERR_GIVE_UP},
        {true, 401, "{\"error\":\"invalid_client\"}", "login.example: invalid_client", ERR_GIVE_UP},
        {true, 503, "busy", "login.example: it does not work for now: HTTP status 503",
         ERR_RETRY_LATER},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct stage stage;
        stage_init(&stage, true, cases[i].can_authorize);
        stage_ask(&stage, "first");
        stage_reply(&stage, cases[i].status, cases[i].body);
        assert_null(stage.token);
        assert_int_equal(stage.answers, 1);
        if (!strstr(stage.err.text, cases[i].words))
            fail_msg("\"%s\" does not say \"%s\"", stage.err.text, cases[i].words);
        assert_int_equal(stage.err.action, cases[i].action);
        assert_int_equal(provider.asked, 1);
        stage_check_file(&stage, NULL);
        stage_release(&stage);
    }
}

/* Another process has rotated it meanwhile: its token is tried, once. */
static void test_rotated_by_another(void **state)
{
    (void)state;
    struct stage stage;
    stage_init(&stage, true, true);
    stage_put(&stage, "old");
    stage_ask(&stage, "old");
    stage_put(&stage, "newer");
    stage_reply(&stage, 400, INVALID);
    assert_int_equal(provider.asked, 2);
    assert_non_null(strstr(provider.form, "refresh_token=newer"));
    stage_put(&stage, "newest");
    stage_reply(&stage, 400, INVALID);
    assert_int_equal(provider.asked, 2);
    assert_non_null(strstr(stage.err.text, "--authorize trap"));
    stage_release(&stage);
}

/* The account is removed at each of its moments. */
static void test_removed_meanwhile(void **state)
{
    (void)state;
    struct stage stage;
    for (int at = 0; at < 3; at++) {
        stage_init(&stage, true, true);
        stage.holds = at == 0;
        if (at == 0) { /* the file is being read */
            token_keeper_ask(stage.keeper, &stage.wait);
            net_loop_step(stage.loop);
            sem_wait(&stage.begun);
        } else { /* the provider is asked; the new token is being written */
            stage_ask(&stage, "first");
            if (at == 2)
                stage_say(200, GRANT("one", ROTATED("second")));
        }
        token_wait_cancel(&stage.wait);
        token_keeper_unref(stage.keeper);
        stage.keeper = NULL;
        sem_post(&stage.may_go_on);
        driven_settle(stage.loop, NULL, NULL);
        assert_int_equal(stage.answers, 0);
        assert_int_equal(provider.cancelled, at == 1);
        stage_check_file(&stage, at == 2 ? "second" : NULL); /* what came is not lost */
        stage_release(&stage);
    }
}

/* The program ends while a new token is being written. */
static void test_end_while_it_is_written(void **state)
{
    (void)state;
    struct stage stage;
    stage_init(&stage, true, true);
    stage_ask(&stage, "first");
    stage_say(200, GRANT("one", ROTATED("second")));
    token_wait_cancel(&stage.wait);
    token_keeper_unref(stage.keeper);
    token_workers_free(stage.workers);
    stage.keeper = NULL;
    stage.workers = NULL;
    stage_check_file(&stage, "second");
    stage_release(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rotated),
        cmocka_unit_test(test_rotated_and_not_to_be_kept),
        cmocka_unit_test(test_mended_by_hand),
        cmocka_unit_test(test_rotated_and_no_place),
        cmocka_unit_test(test_rotated_again_and_again),
        cmocka_unit_test(test_rotated_beside_no_access),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_rotated_by_another),
        cmocka_unit_test(test_removed_meanwhile),
        cmocka_unit_test(test_end_while_it_is_written),
    };
    return cmocka_run_group_tests_name("token / endpoint", tests, NULL, NULL);
}
