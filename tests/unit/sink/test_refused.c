/* Brokers that refuse: the login, the subscription, the publication, each in its own manner. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "owner.h"

/* How the brokers that are around refuse. */
static const struct refusing_broker {
    const char *name;
    enum peer_answer auth;
    enum peer_answer publish;
    enum peer_answer subscribe;
    bool echo_same;
    bool echo_second;
} refusing_brokers[] = {
    {"hpfeeds", PEER_ERROR_CLOSE, PEER_ERROR_CLOSE, PEER_ERROR_CLOSE, true, true},
    {"HPFBroker", PEER_ERROR_CLOSE, PEER_ERROR_OPEN, PEER_ERROR_OPEN, true, true},
    {"tentacool", PEER_ERROR_CLOSE, PEER_ERROR_DROP_CLOSE, PEER_ERROR_DROP_CLOSE, false, true},
    {"tentacool, unknown", PEER_CLOSE, PEER_ERROR_DROP_CLOSE, PEER_ERROR_DROP_CLOSE, false, true},
    {"hpfeeds/broker", PEER_LONG_ERROR_CLOSE, PEER_LONG_ERROR_CLOSE, PEER_LONG_ERROR_CLOSE, true,
     true},
    {"hpfeeds-rs", PEER_CLOSE, PEER_IGNORE, PEER_IGNORE, true, true},
    {"feedbroker", PEER_ERROR_OPEN, PEER_ERROR_OPEN, PEER_ERROR_OPEN, false, true},
    {"broker.py", PEER_ERROR_OPEN, PEER_ERROR_OPEN, PEER_ERROR_OPEN, true, true},
};

static const enum sink_confirm all_ways[] = {SINK_CONFIRM_AUTO, SINK_CONFIRM_ECHO,
                                             SINK_CONFIRM_CLOSE, SINK_CONFIRM_SENT};
static const char *const all_names[] = {"auto", "echo", "close", "sent"};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void refused_init(struct owner *owner, const struct refusing_broker *broker,
                         enum sink_confirm confirm)
{
    print_message("  %s, %s\n", broker->name, all_names[confirm]);
    owner_init(owner);
    owner->settings.confirm = confirm;
    owner->peer.echo_same = broker->echo_same;
    owner->peer.echo_second = broker->echo_second;
}

static bool paused_five_times(const struct owner *owner)
{
    return owner->pause_count >= 5;
}

/* The pauses after the first failures, in this order, of which the upper half is random. */
static void check_pauses(const struct owner *owner, bool give_up)
{
    msec_t most = owner->tuning.backoff_most;
    msec_t pause = owner->tuning.backoff_first;

    for (size_t i = 0; i < 5; i++) {
        msec_t want = give_up || pause > most ? most : pause;
        assert_in_range(owner->pauses[i], want / 2, want);
        pause *= 2;
    }
}

static void wrong_secret_run(const struct refusing_broker *broker, enum sink_confirm confirm)
{
    struct owner owner;
    bool silent = broker->auth == PEER_CLOSE;

    refused_init(&owner, broker, confirm);
    owner.settings.secret = "wrong";
    owner.peer.on_auth = broker->auth;
    owner.tuning.check_rest = 5000; /* cut short by the refusal, however slow this machine is */
    owner.tuning.probe_limit = 5000;
    owner_start(&owner);
    owner_mail(&owner, "stays");
    owner_run_until(&owner, paused_five_times);

    assert_int_equal(owner.ups, 0);
    assert_int_equal(owner.mails[0].offers, 0);
    assert_int_equal(owner.peer.logins, 0);
    assert_int_equal(owner.err.action, silent ? ERR_RETRY_LATER : ERR_GIVE_UP);
    assert_non_null(strstr(owner.err.text, "login as writer"));
    if (silent)
        assert_non_null(strstr(owner.err.text, "are identity and secret"));
    else
        assert_non_null(strstr(owner.err.text, "not \\x1b[31mallowed"));
    /* No more than its connections at once an attempt, and a pause between attempts. */
    assert_true(owner.peer.accepted <= 3 * 5);
    check_pauses(&owner, !silent);
    owner_release(&owner);
}

static void test_wrong_secret(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(refusing_brokers); i++) {
        for (size_t n = 0; n < COUNT(all_ways); n++)
            wrong_secret_run(&refusing_brokers[i], all_ways[n]);
    }
}

static void no_subscription_run(const struct refusing_broker *broker, enum sink_confirm confirm,
                                bool marker_only)
{
    struct owner owner;
    bool silent = broker->subscribe == PEER_IGNORE;

    refused_init(&owner, broker, confirm);
    owner.peer.on_subscribe = marker_only ? PEER_TAKE : broker->subscribe;
    owner.peer.on_marker = broker->publish;
    owner.tuning.probe_limit = silent ? 25 : 5000;
    owner_start(&owner);
    owner_mail(&owner, "a mail");
    owner_run_until(&owner, confirm == SINK_CONFIRM_AUTO ? owner_all_settled : owner_is_down);
    if (confirm == SINK_CONFIRM_AUTO) {
        assert_int_equal(owner.mails[0].takens, 1);
        assert_int_equal(owner.downs, 0);
        assert_non_null(strstr(sink_describe(owner.sink), "confirmed by close"));
    } else {
        assert_int_equal(owner.ups, 0);
        assert_int_equal(owner.err.action, ERR_GIVE_UP);
        assert_non_null(
            strstr(owner.err.text,
                   "does not let writer publish and subscribe to confirm.writer: add it to the "
                   "account's pubchans and subchans, or use confirm: close"));
        assert_non_null(
            strstr(owner.err.text, silent ? "no marker came back" : "not \\x1b[31mallowed"));
    }
    owner_release(&owner);
}

static void test_no_echo(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(refusing_brokers); i++) {
        for (int marker_only = 0; marker_only < 2; marker_only++) {
            no_subscription_run(&refusing_brokers[i], SINK_CONFIRM_AUTO, marker_only);
            no_subscription_run(&refusing_brokers[i], SINK_CONFIRM_ECHO, marker_only);
        }
    }
}

static void no_publication_run(const struct refusing_broker *broker, enum sink_confirm confirm)
{
    struct owner owner;

    refused_init(&owner, broker, confirm);
    owner.peer.on_publish = broker->publish;
    owner.settings.confirm_grace = 100; /* cut short by the refusal */
    owner_start(&owner);
    owner_run_until(&owner, owner_is_up);
    for (int i = 0; i < 5; i++)
        owner_mail(&owner, "a mail");
    owner_run_until(&owner, owner_is_down);

    assert_int_equal(owner.peer.record_count, 0);
    for (size_t i = 0; i < owner.mail_count; i++) {
        assert_in_range(owner.mails[i].retries, 1, 60);
        assert_non_null(strstr(owner.mails[i].err.text, "not \\x1b[31mallowed"));
    }
    assert_int_equal(owner.err.action, ERR_GIVE_UP);
    assert_non_null(strstr(owner.err.text, "check that writer may publish to spam.mails"));
    assert_in_range(owner.pauses[0], owner.tuning.backoff_most / 2, owner.tuning.backoff_most);
    owner_release(&owner);
}

static void test_publication_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(refusing_brokers); i++) {
        /* Where nothing is said, nothing can be known. */
        if (refusing_brokers[i].publish == PEER_IGNORE)
            continue;
        no_publication_run(&refusing_brokers[i], SINK_CONFIRM_AUTO);
        no_publication_run(&refusing_brokers[i], SINK_CONFIRM_ECHO);
        no_publication_run(&refusing_brokers[i], SINK_CONFIRM_CLOSE);
    }
}

/* Many mails at once: for each of them it might be that one. It is found out quickly, and then
 * not asked any more. */
static void test_publication_of_many_refused(void **state)
{
    (void)state;
    static const enum sink_confirm ways[] = {SINK_CONFIRM_ECHO, SINK_CONFIRM_CLOSE};
    for (size_t i = 0; i < COUNT(ways); i++) {
        struct owner owner;
        owner_init(&owner);
        owner.settings.confirm = ways[i];
        owner.peer.on_publish = PEER_ERROR_CLOSE;
        for (int n = 0; n < 40; n++) {
            char text[20];
            snprintf(text, sizeof text, "stays %d", n);
            owner_mail(&owner, text);
        }
        owner_start(&owner);
        owner_run_until(&owner, owner_is_down);
        assert_non_null(strstr(owner.err.text, "check that writer may publish to spam.mails"));
        assert_int_equal(owner.err.action, ERR_GIVE_UP);
        assert_in_range(owner.peer.logins, 2, 60);
        for (size_t n = 0; n < owner.mail_count; n++)
            assert_int_equal(owner.mails[n].takens + owner.mails[n].refusals, 0);
        owner_release(&owner);
    }
}

static bool down_twice(const struct owner *owner)
{
    return owner->downs >= 2;
}

static bool linked(const struct owner *owner)
{
    return owner->peer.accepted;
}

/* Where the broker took mail before, an ERROR is about other things than the right to publish;
 * where it took none since the last one, that is what there is to look at. */
static void test_refusal_among_mails_that_are_taken(void **state)
{
    static const enum sink_confirm ways[] = {SINK_CONFIRM_ECHO, SINK_CONFIRM_CLOSE};
    (void)state;
    for (size_t i = 0; i < COUNT(ways); i++) {
        struct owner owner;
        owner_init(&owner);
        owner.settings.confirm = ways[i];
        owner_start(&owner);
        owner_run_until(&owner, owner_is_up);
        owner_mail(&owner, "before");
        owner_run_until(&owner, owner_all_settled);
        owner.peer.on_publish = PEER_ERROR_CLOSE;
        owner_mail(&owner, "behind");
        owner_run_until(&owner, owner_is_down);
        assert_string_equal(owner.err.text, "the broker refused: not \\x1b[31mallowed");
        assert_int_equal(owner.err.action, ERR_RETRY_LATER);
        owner_run_until(&owner, down_twice);
        assert_non_null(strstr(owner.err.text, "check that writer may publish to spam.mails"));
        assert_int_equal(owner.err.action, ERR_GIVE_UP);
        owner.peer.on_publish = PEER_TAKE;
        owner_run_until(&owner, owner_all_settled);
        assert_int_equal(owner.mails[1].takens, 1);
        owner_release(&owner);
    }
}

/* An ERROR to one that has nothing under way. What goes down says so, and is tried again at once;
 * what else there may be, after a pause. Neither is about a channel. */
static void test_error_while_idle(void **state)
{
    static const enum sink_confirm ways[] = {SINK_CONFIRM_ECHO, SINK_CONFIRM_SENT};
    (void)state;
    for (size_t i = 0; i < 2 * COUNT(ways); i++) {
        bool later = i % 2;
        struct owner owner;
        owner_init(&owner);
        owner.settings.confirm = ways[i / 2];
        owner.lies = ways[i / 2] == SINK_CONFIRM_SENT;
        owner.tuning.stable = 0;
        owner.peer.words = later ? "Broker is shutting down, try again later" : "go away";
        owner_start(&owner);
        owner_run_until(&owner, owner_is_up);
        owner.peer.accepted = 0;
        peer_say_error(&owner.peer);
        owner_run_until(&owner, later ? linked : owner_is_down);
        owner_mail(&owner, "next");
        owner_run_until(&owner, owner_all_settled);
        assert_int_equal(owner.mails[0].takens, 1);
        assert_int_equal(owner.downs, !later);
        if (!later) {
            assert_string_equal(owner.err.text, "the broker refused: go away");
            assert_int_equal(owner.err.action, ERR_RETRY_LATER);
        }
        owner_release(&owner);
    }
}

/* A broker that goes down as echo is tried does not cost it for the rest of the run. */
static void test_restart_while_echo_is_tried(void **state)
{
    static const enum peer_answer ends[] = {PEER_ERROR_CLOSE, PEER_CLOSE, PEER_RESET};
    (void)state;
    for (size_t i = 0; i < COUNT(ends); i++) {
        struct owner owner;
        owner_init(&owner);
        owner.settings.confirm = SINK_CONFIRM_AUTO;
        owner.peer.words = "Broker is shutting down, try again later";
        owner.peer.on_subscribe = ends[i];
        owner_start(&owner);
        owner_run_until(&owner, owner_is_down);
        assert_int_equal(owner.err.action, ERR_RETRY_LATER);
        assert_non_null(strstr(owner.err.text, i ? "is the broker going down" : "the broker says"));
        owner.peer.on_subscribe = PEER_TAKE;
        owner_mail(&owner, "a mail");
        owner_run_until(&owner, owner_all_settled);
        assert_non_null(strstr(sink_describe(owner.sink), "confirmed by echo"));
        owner_release(&owner);
    }
}

/* One that hangs up over the subscription, without a word and each time, is one without echo. */
static void test_subscription_ends_the_connection(void **state)
{
    static const enum peer_answer ends[] = {PEER_CLOSE, PEER_RESET};
    (void)state;
    for (size_t i = 0; i < COUNT(ends); i++) {
        struct owner owner;
        owner_init(&owner);
        owner.settings.confirm = SINK_CONFIRM_AUTO;
        owner.peer.on_subscribe = ends[i];
        owner_start(&owner);
        owner_mail(&owner, "a mail");
        owner_run_until(&owner, owner_all_settled);
        assert_int_equal(owner.mails[0].takens, 1);
        assert_int_equal(owner.downs, 1);
        assert_non_null(strstr(sink_describe(owner.sink), "confirmed by close"));
        owner_release(&owner);
    }
}

/* The refusal on one connection may well be later than the marker on the other. */
static void test_refusal_behind_the_marker(void **state)
{
    struct owner owner;

    (void)state;
    owner_init(&owner);
    owner.peer.echo_same = false;
    owner.peer.late_error = 10;
    owner.settings.confirm_grace = 5000;
    owner.keep = true;
    owner_start(&owner);
    owner_run_until(&owner, owner_is_up);
    owner_mail(&owner, "refused");
    owner_run_until(&owner, owner_all_settled);
    assert_int_equal(owner.mails[0].retries, 1);
    assert_int_equal(owner.downs, 1);
    owner_release(&owner);
}

static bool first_is_sent(const struct owner *owner)
{
    return owner->mails[0].sent;
}

/* A marker is ours by ident, channel and content; anything else proves nothing. */
static void test_false_echoes(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct owner owner;
        owner_init(&owner);
        owner.keep = true;
        owner.tuning.stall = 60;
        owner_start(&owner);
        owner_run_until(&owner, owner_is_up);
        owner.peer.wrong_echo = i == 0;
        owner.peer.other_ident = i == 1 ? "somebody" : NULL;
        owner_mail(&owner, "not confirmed");
        owner_run_until(&owner, first_is_sent);
        owner_run_until(&owner, owner_all_settled);
        assert_int_equal(owner.peer.record_count, 1);
        assert_int_equal(owner.mails[0].retries, 1);
        assert_non_null(strstr(owner.err.text, "took nothing"));
        owner_release(&owner);
    }
}

static void test_silent_brokers(void **state)
{
    static const struct {
        enum peer_answer connect, auth;
        const char *text;
    } cases[] = {
        {PEER_HANG, PEER_TAKE, "the broker's INFO"},
        {PEER_CLOSE, PEER_TAKE, "closed the connection"},
        {PEER_ERROR_CLOSE, PEER_TAKE, "not \\x1b[31mallowed"},
        {PEER_RESET, PEER_TAKE, ""},
        {PEER_TAKE, PEER_CLOSE, "closed the connection"},
        {PEER_TAKE, PEER_RESET, ""},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        for (size_t n = 0; n < COUNT(all_ways); n++) {
            struct owner owner;
            print_message("  %zu, %s\n", i, all_names[n]);
            owner_init(&owner);
            owner.settings.confirm = all_ways[n];
            owner.peer.on_connect = cases[i].connect;
            owner.peer.on_good_auth = cases[i].auth;
            owner.tuning.info_deadline = 30;
            owner.tuning.check_rest = 5000;
            owner_start(&owner);
            owner_mail(&owner, "stays");
            owner_run_until(&owner, owner_is_down);
            assert_int_equal(owner.ups, 0);
            assert_non_null(strstr(owner.err.text, cases[i].text));
            owner_release(&owner);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wrong_secret),
        cmocka_unit_test(test_no_echo),
        cmocka_unit_test(test_publication_refused),
        cmocka_unit_test(test_publication_of_many_refused),
        cmocka_unit_test(test_refusal_among_mails_that_are_taken),
        cmocka_unit_test(test_error_while_idle),
        cmocka_unit_test(test_restart_while_echo_is_tried),
        cmocka_unit_test(test_subscription_ends_the_connection),
        cmocka_unit_test(test_refusal_behind_the_marker),
        cmocka_unit_test(test_false_echoes),
        cmocka_unit_test(test_silent_brokers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
