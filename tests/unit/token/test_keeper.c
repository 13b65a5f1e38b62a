/* One account's token, and all who ask for it, on a clock that the test drives. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "../net/driven.h"
#include "token/keeper.h"

enum {
    SECOND = 1000,
    MINUTE = 60 * SECOND,
    HOUR = 60 * MINUTE,
    ASKERS = 5,
};

/* A mailbox that asks. */
struct asker {
    struct token_wait wait;
    struct stage *stage;
    struct token *token; /* of the last answer */
    bool fresh;
    struct err err;
    unsigned answers;
    struct asker *cancels; /* in its answer */
    bool again;            /* asks again in its answer, once */
};

struct stage {
    struct net_loop *loop;
    struct token_keeper *keeper;
    struct asker askers[ASKERS];
    unsigned fetches, frees; /* of the source */
    bool holds;              /* the source does not answer by itself */
    bool fails;
    struct err why;
    bool endless; /* no lifetime is said */
    msec_t lifetime;
};

static void stage_answer(struct stage *stage)
{
    char text[20];
    snprintf(text, sizeof text, "token %u", stage->fetches);
    if (stage->fails)
        token_keeper_failed(stage->keeper, &stage->why);
    else
        token_keeper_got(stage->keeper, text, stage->endless ? NULL : &stage->lifetime);
}

static void source_fetch(void *ctx, struct token_keeper *keeper)
{
    struct stage *stage = ctx;
    assert_ptr_equal(keeper, stage->keeper);
    stage->fetches++;
    if (!stage->holds)
        stage_answer(stage);
}

static void source_free(void *ctx)
{
    struct stage *stage = ctx;
    stage->frees++;
}

static const struct token_source_ops source_ops = {.fetch = source_fetch, .free = source_free};

static void asker_had(struct token_wait *wait, struct token *moved_token, bool fresh,
                      const struct err *err)
{
    struct asker *asker = (struct asker *)((char *)wait - offsetof(struct asker, wait));
    token_unref(asker->token);
    asker->token = moved_token;
    asker->fresh = fresh;
    asker->answers++;
    asker->err = err ? *err : (struct err){0};
    assert_true(!moved_token == !!err);
    if (asker->cancels)
        token_wait_cancel(&asker->cancels->wait);
    if (asker->again) {
        asker->again = false;
        token_keeper_ask(asker->stage->keeper, &asker->wait);
    }
}

static void stage_init(struct stage *stage)
{
    *stage = (struct stage){.loop = net_loop_new(), .lifetime = HOUR};
    net_loop_drive(stage->loop);
    stage->keeper = token_keeper_new(stage->loop, &source_ops, stage);
    for (size_t i = 0; i < ASKERS; i++)
        stage->askers[i] = (struct asker){.wait.had = asker_had, .stage = stage};
}

static void stage_release(struct stage *stage)
{
    for (size_t i = 0; i < ASKERS; i++) {
        token_wait_cancel(&stage->askers[i].wait);
        token_unref(stage->askers[i].token);
    }
    token_keeper_unref(stage->keeper);
    assert_int_equal(stage->frees, 1);
    net_loop_free(stage->loop);
}

/* Asks, and waits for all that comes of it. */
static struct asker *stage_ask(struct stage *stage, size_t which)
{
    struct asker *asker = &stage->askers[which];
    token_keeper_ask(stage->keeper, &asker->wait);
    driven_settle(stage->loop, NULL, NULL);
    return asker;
}

static void test_one_fetch_for_all(void **state)
{
    (void)state;
    struct stage stage;
    stage_init(&stage);
    for (size_t i = 0; i < ASKERS; i++)
        token_keeper_ask(stage.keeper, &stage.askers[i].wait);
    assert_int_equal(stage.fetches, 0); /* never from inside the call */
    driven_settle(stage.loop, NULL, NULL);
    assert_int_equal(stage.fetches, 1);
    for (size_t i = 0; i < ASKERS; i++) {
        assert_int_equal(stage.askers[i].answers, 1);
        assert_true(stage.askers[i].fresh);
        assert_string_equal(stage.askers[i].token->text, "token 1");
        assert_ptr_equal(stage.askers[i].token, stage.askers[0].token);
    }
    assert_false(stage_ask(&stage, 2)->fresh); /* it was there */
    assert_int_equal(stage.fetches, 1);
    stage_release(&stage);
}

/* While it is under way, whoever comes waits for the same. */
static void test_asked_while_it_is_got(void **state)
{
    (void)state;
    struct stage stage;
    stage_init(&stage);
    stage.holds = true;
    stage_ask(&stage, 0);
    stage_ask(&stage, 1);
    assert_int_equal(stage.fetches, 1);
    stage_answer(&stage);
    assert_int_equal(stage.askers[0].answers, 0);
    driven_settle(stage.loop, NULL, NULL);
    assert_int_equal(stage.askers[0].answers + stage.askers[1].answers, 2);
    assert_int_equal(stage.fetches, 1);
    stage_release(&stage);
}

/* Until shortly before it expires: five minutes, or an eighth of a short life. */
static void test_kept_until_shortly_before_it_expires(void **state)
{
    (void)state;
    static const struct {
        msec_t lifetime, kept;
        bool endless;
    } cases[] = {
        {HOUR, 55 * MINUTE, false},
        {24 * HOUR, 24 * HOUR - 5 * MINUTE, false},
        {80 * SECOND, 70 * SECOND, false},
        {0, 5 * MINUTE, true}, /* not known */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct stage stage;
        stage_init(&stage);
        stage.lifetime = cases[i].lifetime;
        stage.endless = cases[i].endless;
        stage_ask(&stage, 0);
        driven_pass(stage.loop, cases[i].kept - 1);
        assert_string_equal(stage_ask(&stage, 0)->token->text, "token 1");
        driven_pass(stage.loop, 1);
        assert_int_equal(stage.fetches, 1); /* nobody asks: nothing is got */
        assert_string_equal(stage_ask(&stage, 0)->token->text, "token 2");
        assert_true(stage.askers[0].fresh);
        stage_release(&stage);
    }
}

/* One that is over when it comes is given to who waits, and to nobody else. */
static void test_no_life_at_all(void **state)
{
    (void)state;
    struct stage stage;
    stage_init(&stage);
    stage.lifetime = 0;
    assert_string_equal(stage_ask(&stage, 0)->token->text, "token 1");
    assert_int_equal(stage.fetches, 1);
    assert_string_equal(stage_ask(&stage, 1)->token->text, "token 2");
    stage_release(&stage);
}

/* All mailboxes are refused with the same token: it is got anew once. */
static void test_refused_by_the_server(void **state)
{
    (void)state;
    struct stage stage;
    stage_init(&stage);
    for (size_t i = 0; i < ASKERS; i++)
        stage_ask(&stage, i);
    for (size_t i = 0; i < ASKERS; i++) {
        struct asker *asker = &stage.askers[i];
        token_keeper_refused(stage.keeper, asker->token);
        assert_string_equal(asker->token->text, "token 1"); /* is his still */
        stage_ask(&stage, i);
        assert_string_equal(asker->token->text, "token 2");
        assert_int_equal(asker->fresh, i == 0);
    }
    assert_int_equal(stage.fetches, 2);
    stage_release(&stage);
}

/* A server refuses whatever it is given, as soon as it was got: the source is not asked without
 * limit. */
static void test_each_new_one_is_refused(void **state)
{
    (void)state;
    struct stage stage;
    stage_init(&stage);
    for (msec_t at = 0; at < HOUR; at += SECOND) {
        struct asker *asker = stage_ask(&stage, 0);
        assert_true(asker->token || strstr(asker->err.text, "refuses"));
        assert_true(asker->token || asker->err.action == ERR_RETRY_LATER);
        if (asker->token)
            token_keeper_refused(stage.keeper, asker->token);
        driven_pass(stage.loop, SECOND);
    }
    assert_in_range(stage.fetches, 12, 40);
    /* One that is taken for a while is as good as ever when it is refused then. */
    driven_pass(stage.loop, 5 * MINUTE);
    assert_non_null(stage_ask(&stage, 0)->token);
    driven_pass(stage.loop, 5 * MINUTE);
    unsigned before = stage.fetches;
    token_keeper_refused(stage.keeper, stage.askers[0].token);
    assert_true(stage_ask(&stage, 0)->fresh);
    assert_int_equal(stage.fetches, before + 1);
    stage_release(&stage);
}

/* What failed is told to all, in its words, and left alone for a while. */
static void test_failures_are_shared_and_held(void **state)
{
    (void)state;
    struct stage stage;
    stage_init(&stage);
    stage.fails = true;
    err_set(&stage.why, ERR_RETRY_LATER, "login.example: it does not work for now");
    for (size_t i = 0; i < ASKERS; i++)
        token_keeper_ask(stage.keeper, &stage.askers[i].wait);
    driven_settle(stage.loop, NULL, NULL);
    for (size_t i = 0; i < ASKERS; i++) {
        assert_null(stage.askers[i].token);
        assert_string_equal(stage.askers[i].err.text, stage.why.text);
        assert_int_equal(stage.askers[i].err.action, ERR_RETRY_LATER);
    }
    assert_string_equal(stage_ask(&stage, 0)->err.text, stage.why.text);
    assert_int_equal(stage.fetches, 1);
    stage.fails = false;
    driven_pass(stage.loop, MINUTE);
    assert_string_equal(stage_ask(&stage, 0)->token->text, "token 2");
    stage_release(&stage);
}

/* Asked without a pause for an hour. */
static void test_no_hot_loop(void **state)
{
    (void)state;
    static const struct {
        enum err_action action;
        unsigned least, most; /* fetches */
    } cases[] = {
        {ERR_RETRY_LATER, 12, 40}, /* soon at first, then every five minutes or so */
        {ERR_GIVE_UP, 6, 7},       /* every ten minutes */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct stage stage;
        stage_init(&stage);
        stage.fails = true;
        err_set(&stage.why, cases[i].action, "no");
        for (msec_t at = 0; at < HOUR; at += 100) {
            stage_ask(&stage, 0);
            driven_pass(stage.loop, 100);
        }
        assert_in_range(stage.fetches, cases[i].least, cases[i].most);
        stage_release(&stage);
    }
}

/* Somebody may have mended it: asked at once, but for what is of the last minute. */
static void test_hurry(void **state)
{
    (void)state;
    struct stage stage;
    stage_init(&stage);
    stage.fails = true;
    err_set(&stage.why, ERR_GIVE_UP, "there is no refresh token yet");
    stage_ask(&stage, 0);
    driven_pass(stage.loop, MINUTE - 1);
    token_keeper_hurry(stage.keeper);
    stage_ask(&stage, 0);
    assert_int_equal(stage.fetches, 1);
    driven_pass(stage.loop, 1);
    stage_ask(&stage, 0);
    assert_int_equal(stage.fetches, 1);
    token_keeper_hurry(stage.keeper);
    stage.fails = false;
    assert_string_equal(stage_ask(&stage, 0)->token->text, "token 2");
    stage_release(&stage);
}

/* Who is told may take the others away, or ask again. */
static void test_cancelled_in_an_answer(void **state)
{
    (void)state;
    struct stage stage;
    stage_init(&stage);
    /* The order is not promised: whoever is told first cancels the other. */
    stage.askers[0].cancels = &stage.askers[1];
    stage.askers[1].cancels = &stage.askers[0];
    stage.askers[2].again = true;
    for (size_t i = 0; i < 3; i++)
        token_keeper_ask(stage.keeper, &stage.askers[i].wait);
    driven_settle(stage.loop, NULL, NULL);
    assert_int_equal(stage.askers[0].answers + stage.askers[1].answers, 1);
    assert_int_equal(stage.askers[2].answers, 2);
    assert_int_equal(stage.fetches, 1);
    stage_release(&stage);
}

/* A token is asked for, and comes when nobody waits for it any more. */
static void stage_ask_and_cancel(struct stage *stage)
{
    stage_init(stage);
    stage->holds = true;
    stage_ask(stage, 0);
    token_wait_cancel(&stage->askers[0].wait);
    token_wait_cancel(&stage->askers[0].wait);
    stage_answer(stage);
    driven_settle(stage->loop, NULL, NULL);
}

/* Its account is removed: nobody is told, the token that comes is kept for who asks next. */
static void test_cancelled_while_it_is_got(void **state)
{
    (void)state;
    struct stage stage;
    stage_ask_and_cancel(&stage);
    assert_int_equal(stage.askers[0].answers, 0);
    assert_string_equal(stage_ask(&stage, 1)->token->text, "token 1");
    stage_release(&stage);
}

/* The same, and nobody asks before it has expired: then it is not given out as a new one. */
static void test_not_asked_for_before_it_expires(void **state)
{
    (void)state;
    struct stage stage;
    stage_ask_and_cancel(&stage);
    stage.holds = false;
    driven_pass(stage.loop, 2 * HOUR);
    assert_string_equal(stage_ask(&stage, 1)->token->text, "token 2");
    stage_release(&stage);
}

/* The last account is removed while the token is got, and one while it has a token. */
static void test_freed_while_it_is_got(void **state)
{
    (void)state;
    struct stage stage;
    stage_init(&stage);
    stage_ask(&stage, 0);
    token_keeper_refused(stage.keeper, stage.askers[0].token);
    stage.holds = true;
    token_keeper_ref(stage.keeper);
    stage_ask(&stage, 1);
    assert_int_equal(stage.fetches, 2);
    token_wait_cancel(&stage.askers[1].wait);
    token_keeper_unref(stage.keeper);
    assert_int_equal(stage.frees, 0);
    stage_release(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_fetch_for_all),
        cmocka_unit_test(test_asked_while_it_is_got),
        cmocka_unit_test(test_kept_until_shortly_before_it_expires),
        cmocka_unit_test(test_no_life_at_all),
        cmocka_unit_test(test_refused_by_the_server),
        cmocka_unit_test(test_each_new_one_is_refused),
        cmocka_unit_test(test_failures_are_shared_and_held),
        cmocka_unit_test(test_no_hot_loop),
        cmocka_unit_test(test_hurry),
        cmocka_unit_test(test_cancelled_in_an_answer),
        cmocka_unit_test(test_cancelled_while_it_is_got),
        cmocka_unit_test(test_not_asked_for_before_it_expires),
        cmocka_unit_test(test_freed_while_it_is_got),
    };
    return cmocka_run_group_tests_name("token / keeper", tests, NULL, NULL);
}
