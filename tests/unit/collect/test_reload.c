/* Accounts that are added, removed and changed while mail is under way: who is not concerned keeps
 * the connection, nobody's mail is lost, doubled or collected against the configuration. */
#include "stage.h"

#include <string.h>

enum {
    TRAPS = 6,
    MAILS = 50,
};

static struct stage stage;

/* All have mail, of which some is taken; then the one of which a test is about changes. */
static struct trap *begin(void)
{
    static const char *const labels[] = {"a", "b", "c", "subject", "d", "e"};
    struct trap *subject = NULL;
    stage_init(&stage);
    stage.settings.continuous = true;
    stage.sink.slow = 10;
    for (size_t i = 0; i < TRAPS; i++) {
        struct trap *trap = stage_add_trap(&stage, labels[i]);
        stage_mail(&stage, trap, MAILS, 1000);
        if (strcmp(labels[i], "subject") == 0)
            subject = trap;
    }
    stage_start(&stage);
    stage_await_taken(&stage, MINUTE, 20);
    return subject;
}

/* Everything is collected, and nobody but the subject was disturbed. */
static void end(const struct trap *subject, unsigned connections)
{
    for (size_t i = 0; i < stage.trap_count; i++)
        stage_mail(&stage, stage.traps[i], 1, 0);
    stage_await_taken(&stage, MINUTE, stage.mailed);
    stage_pass(&stage, HOUR);
    stage_assert_mailed(&stage);
    for (size_t i = 0; i < stage.trap_count; i++)
        assert_int_equal(stage.traps[i]->connections, stage.traps[i] == subject ? connections : 1);
    if (stage_logged(&stage, "warning"))
        stage_fail(&stage, "there is nothing to warn of");
    stage_release(&stage);
}

static void test_nothing_changes(void **state)
{
    (void)state;
    begin();
    for (int i = 0; i < 5; i++) {
        stage_reload(&stage);
        stage_pass(&stage, 100);
    }
    end(NULL, 0);
}

static void test_added(void **state)
{
    (void)state;
    begin();
    struct trap *added = stage_add_trap(&stage, "added");
    stage_mail(&stage, added, MAILS, 0);
    stage_reload(&stage);
    end(NULL, 0);
}

/* From then on nothing more is asked of its server. */
static void test_removed(void **state)
{
    (void)state;
    struct trap *subject = begin();
    subject->dismissed = true;
    stage_reload(&stage);
    stage_settle(&stage);
    assert_int_equal(subject->open, 0);
    assert_int_equal(collector_count(stage.collector), TRAPS - 1);
    stage_pass(&stage, HOUR);
    assert_int_equal(subject->connections, 1);
    subject->dismissed = false;
    stage_reload(&stage);
    assert_int_equal(collector_count(stage.collector), TRAPS);
    end(subject, 2);
}

/* What is with the sink, and what is not marked, comes from the mailbox as it was before. */
static void test_changed(void **state)
{
    (void)state;
    struct trap *subject = begin();
    subject->account.poll_interval = 5 * MINUTE;
    stage_reload(&stage);
    end(subject, 2);
}

/* Before the first has come to its end: it holds mails that a sink keeps. */
static void test_changed_twice(void **state)
{
    (void)state;
    struct trap *subject = begin();
    stage.sink.holds = true;
    stage_pass(&stage, SECOND);
    subject->account.poll_interval = 5 * MINUTE;
    stage_reload(&stage);
    stage_pass(&stage, SECOND);
    subject->account.poll_interval = 6 * MINUTE;
    stage_reload(&stage);
    stage_pass(&stage, SECOND);
    assert_int_equal(subject->connections, 1);
    fake_sink_let_go(&stage.sink);
    stage_pass(&stage, MINUTE);
    size_t at = 0;
    while (strcmp(collector_account(stage.collector, at)->label, "subject") != 0)
        at++;
    assert_int_equal(collector_account(stage.collector, at)->poll_interval, 6 * MINUTE);
    end(subject, 2);
}

/* And back to what it was. */
static void test_changed_and_changed_back(void **state)
{
    (void)state;
    struct trap *subject = begin();
    stage.sink.holds = true;
    stage_pass(&stage, SECOND);
    msec_t was = subject->account.poll_interval;
    subject->account.poll_interval = 5 * MINUTE;
    stage_reload(&stage);
    subject->account.poll_interval = was;
    stage_reload(&stage);
    fake_sink_let_go(&stage.sink);
    end(subject, 2);
}

static void test_removed_and_put_back(void **state)
{
    (void)state;
    struct trap *subject = begin();
    stage.sink.holds = true;
    stage_pass(&stage, SECOND);
    for (int i = 0; i < 3; i++) {
        subject->dismissed = true;
        stage_reload(&stage);
        stage_pass(&stage, 100);
        subject->dismissed = false;
        stage_reload(&stage);
        stage_pass(&stage, 100);
    }
    assert_int_equal(subject->connections, 1); /* it has mail with the sink still */
    fake_sink_let_go(&stage.sink);
    end(subject, 2);
}

/* Removed with mail that the sink gives back: the next who has the mailbox finds it. */
static void test_removed_and_the_sink_lost(void **state)
{
    (void)state;
    struct trap *subject = begin();
    stage.sink.holds = true;
    stage_pass(&stage, SECOND);
    subject->dismissed = true;
    stage_reload(&stage);
    fake_sink_lose(&stage.sink);
    stage_pass(&stage, MINUTE);
    stage.sink.holds = false;
    subject->dismissed = false;
    stage_reload(&stage);
    fake_sink_return(&stage.sink);
    stage_await_taken(&stage, MINUTE, stage.mailed);
    stage_pass(&stage, MINUTE);
    stage_assert_mailed(&stage);
    assert_int_equal(stage_logged(&stage, "warning"), 1); /* the sink's */
    stage_release(&stage);
}

/* What waits for another try is tried at once, as somebody may have mended it; but no account gets
 * locked by many reloads. */
static void test_what_failed_is_tried(void **state)
{
    (void)state;
    struct trap *subject = begin();
    trap_fault(subject, (struct trap_fault){.on = "LOGIN",
                                            .act = TRAP_ANSWER,
                                            .text = "$ NO [AUTHENTICATIONFAILED] no\r\n"});
    stage_pass(&stage, MINUTE);
    trap_cut_off(subject, false);
    stage_pass(&stage, MINUTE);
    unsigned logins = trap_count(subject, "LOGIN");
    stage_reload(&stage);
    stage_pass(&stage, MINUTE);
    assert_int_equal(trap_count(subject, "LOGIN"), logins);
    stage_pass(&stage, 10 * MINUTE);
    trap_mend(subject);
    stage_reload(&stage);
    stage_mail(&stage, subject, 1, 0);
    stage_await_taken(&stage, SECOND, stage.mailed);
    stage_release(&stage);
}

/* Again and again, with all that can happen to an account, while mail comes. */
static void test_all_the_time(void **state)
{
    (void)state;
    begin();
    for (unsigned i = 0; i < 300; i++) {
        struct trap *trap = stage.traps[i * 5 % TRAPS];
        if (i % 3 == 0)
            trap->dismissed = !trap->dismissed;
        else
            trap->account.poll_interval = (1 + i % 4) * MINUTE;
        stage_reload(&stage);
        stage_mail(&stage, stage.traps[i % TRAPS], 2, 0);
        stage_pass(&stage, i % 7 * 11);
    }
    for (size_t i = 0; i < TRAPS; i++)
        stage.traps[i]->dismissed = false;
    stage_reload(&stage);
    stage_await_taken(&stage, 10 * MINUTE, stage.mailed);
    stage_pass(&stage, HOUR);
    stage_assert_mailed(&stage);
    if (stage_logged(&stage, "warning"))
        stage_fail(&stage, "there is nothing to warn of");
    stage_release(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_changes),
        cmocka_unit_test(test_added),
        cmocka_unit_test(test_removed),
        cmocka_unit_test(test_changed),
        cmocka_unit_test(test_changed_twice),
        cmocka_unit_test(test_changed_and_changed_back),
        cmocka_unit_test(test_removed_and_put_back),
        cmocka_unit_test(test_removed_and_the_sink_lost),
        cmocka_unit_test(test_what_failed_is_tried),
        cmocka_unit_test(test_all_the_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
