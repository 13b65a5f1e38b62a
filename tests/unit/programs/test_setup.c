/* What two loads of a configuration have in common. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "net/pki.h"
#include "net/loop.h"
#include "programs/collector_setup.h"

static struct net_tls *setup_get(struct tls_store *store, struct conf_tls settings)
{
    struct net_tls *tls;
    struct err err;
    if (tls_store_get(store, &settings, &tls, &err) < 0)
        fail_msg("%s", err.text);
    net_tls_unref(tls); /* the store has one */
    return tls;
}

static void test_equal_settings_share_a_context(void **state)
{
    struct pki *pki = *state;
    struct tls_store *store = tls_store_new(NULL);
    struct conf_tls plain = {.mode = CONF_TLS_NONE};
    struct conf_tls system = {.mode = CONF_TLS_IMPLICIT, .verify = true};
    struct conf_tls pinned = {.mode = CONF_TLS_IMPLICIT, .verify = true, .has_fingerprint = true};
    struct conf_tls ca = system, other = pinned, blind = system, starttls = system;
    char path[200];
    snprintf(path, sizeof path, "%s", pki_path(pki, "ca.pem"));
    ca.ca = path;
    other.fingerprint[31] = 1;
    blind.verify = false;
    starttls.mode = CONF_TLS_STARTTLS;
    assert_null(setup_get(store, plain));
    struct net_tls *made[] = {setup_get(store, system), setup_get(store, pinned),
                              setup_get(store, ca), setup_get(store, other),
                              setup_get(store, blind)};
    for (size_t i = 0; i < 5; i++)
        for (size_t k = 0; k < i; k++)
            assert_ptr_not_equal(made[i], made[k]);
    assert_ptr_equal(setup_get(store, system), made[0]);
    assert_ptr_equal(setup_get(store, starttls), made[0]);
    assert_ptr_equal(setup_get(store, ca), made[2]);
    assert_ptr_equal(setup_get(store, other), made[3]);
    tls_store_free(store);
}

/* What did not change stays what it is, whatever becomes of the rest. */
static void test_contexts_outlive_a_reload(void **state)
{
    struct pki *pki = *state;
    struct tls_store *first = tls_store_new(NULL);
    struct conf_tls settings = {.mode = CONF_TLS_IMPLICIT, .verify = true};
    struct conf_tls missing = settings;
    struct net_tls *tls;
    struct err err;
    char path[200], none[200];
    snprintf(path, sizeof path, "%s", pki_path(pki, "ca.pem"));
    snprintf(none, sizeof none, "%s", pki_path(pki, "none.pem"));
    settings.ca = path;
    missing.ca = none;
    struct net_tls *before = setup_get(first, settings);
    /* A reload that fails. */
    struct tls_store *second = tls_store_new(first);
    assert_ptr_equal(setup_get(second, settings), before);
    assert_int_equal(tls_store_get(second, &missing, &tls, &err), -1);
    assert_non_null(strstr(err.text, "none.pem"));
    tls_store_free(second);
    /* One that does not. */
    second = tls_store_new(first);
    assert_ptr_equal(setup_get(second, settings), before);
    tls_store_settle(second);
    tls_store_free(first);
    assert_ptr_equal(setup_get(second, settings), before);
    /* Another file stands there: the old context may not serve any more. */
    struct tls_store *third = tls_store_new(second);
    const struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    assert_ptr_not_equal(setup_get(third, settings), before);
    tls_store_settle(third);
    tls_store_free(second);
    tls_store_free(third);
    tls_store_free(NULL);
}

/* Each of these is another feed than the first. */
static void test_feed_key(void **state)
{
    (void)state;
    char *one[] = {"a", "b"}, *swapped[] = {"b", "a"};
    const struct conf_feed feed = {.host = "h",
                                   .port = 1,
                                   .ident = "i",
                                   .secret = "s",
                                   .channels = one,
                                   .channel_count = 2,
                                   .tls = {.mode = CONF_TLS_NONE},
                                   .confirm_channel = "c",
                                   .max_frame = 1000};
    struct conf_feed feeds[12];
    for (size_t i = 0; i < 12; i++)
        feeds[i] = feed;
    feeds[0].host = "hh";
    feeds[1].port = 2;
    feeds[2].ident = "ii";
    feeds[3].secret = "ss";
    feeds[4].channels = swapped;
    feeds[5].channel_count = 1;
    feeds[6].tls.mode = CONF_TLS_IMPLICIT;
    feeds[7].payload_raw = true;
    feeds[8].confirm = CONF_CONFIRM_SENT;
    feeds[9].confirm_channel = "cc";
    feeds[10].confirm_grace = 1;
    feeds[11].max_frame = 1001;
    struct buf key = {0}, again = {0};
    setup_feed_key(&feed, &key);
    setup_feed_key(&feed, &again);
    assert_string_equal(buf_cstr(&key), buf_cstr(&again));
    for (size_t i = 0; i < 12; i++) {
        buf_clear(&again);
        setup_feed_key(&feeds[i], &again);
        assert_string_not_equal(buf_cstr(&key), buf_cstr(&again));
    }
    buf_release(&key);
    buf_release(&again);
}

/* A mailbox that did not change gives an account that did not. */
static void test_accounts(void **state)
{
    struct pki *pki = *state;
    char path[200];
    snprintf(path, sizeof path, "%s", pki_path(pki, "none.pem"));
    struct conf_mailbox mailboxes[] = {
        {.label = "a", .host = "h", .tls = {.mode = CONF_TLS_IMPLICIT}, .line = 3},
        {.label = "b", .host = "h", .tls = {.mode = CONF_TLS_NONE}, .line = 4},
        {.label = "c", .host = "h", .tls = {.mode = CONF_TLS_STARTTLS}, .line = 5},
    };
    struct conf conf = {.mailbox_path = "m.yml", .mailboxes = mailboxes, .mailbox_count = 3};
    struct tls_store *store = tls_store_new(NULL);
    struct net_loop *loop = net_loop_new();
    struct tokens *tokens = tokens_new(loop, NULL, &(struct token_doer){0});
    struct collect_account *accounts;
    struct err err;
    assert_int_equal(setup_accounts_new(&conf, store, tokens, &accounts, &err), 0);
    assert_non_null(accounts[0].tls);
    assert_null(accounts[1].tls);
    assert_ptr_equal(accounts[2].tls, accounts[0].tls);
    assert_string_equal(accounts[2].label, "c");
    setup_accounts_free(accounts, 3);
    mailboxes[2].tls = (struct conf_tls){.mode = CONF_TLS_IMPLICIT, .verify = true, .ca = path};
    assert_int_equal(setup_accounts_new(&conf, store, tokens, &accounts, &err), -1);
    assert_ptr_equal(strstr(err.text, "m.yml:5: "), err.text);
    setup_accounts_free(NULL, 3);
    tokens_free(tokens);
    tls_store_free(store);
    net_loop_free(loop);
}

static int setup_begin(void **state)
{
    *state = pki_new();
    return 0;
}

static int setup_end(void **state)
{
    pki_free(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal_settings_share_a_context),
        cmocka_unit_test(test_contexts_outlive_a_reload),
        cmocka_unit_test(test_feed_key),
        cmocka_unit_test(test_accounts),
    };
    return cmocka_run_group_tests(tests, setup_begin, setup_end);
}
