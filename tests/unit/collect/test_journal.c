/* The journal over a state that fails on command: what is reported as durable is, in order; what
 * fails for a passing cause is repeated whole; nothing is reported after a failure for good. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "collect/journal.h"
#include "net/loop.h"

/* A state that writes what it is asked to do into a text. */
struct fake {
    struct state state;
    char text[2000];
    size_t largest;   /* commit */
    unsigned later;   /* so many commits fail with ERR_RETRY_LATER … */
    unsigned changes; /* … in another way after each so many of them; 0: all alike … */
    bool quiet;       /* … which is not put down … */
    bool never;       /* … or all of them with ERR_GIVE_UP */
};

static void fake_say(struct fake *fake, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void fake_say(struct fake *fake, const char *format, ...)
{
    size_t used = strlen(fake->text);
    va_list args;
    va_start(args, format);
    vsnprintf(fake->text + used, sizeof fake->text - used, format, args);
    va_end(args);
}

static int fake_commit(struct state *state, const struct state_change *changes, size_t count,
                       struct err *err)
{
    struct fake *fake = (struct fake *)state;
    if (fake->never)
        return err_set(err, ERR_GIVE_UP, "broken");
    if (fake->later) {
        fake->later--;
        if (!fake->quiet)
            fake_say(fake, "full ");
        unsigned kind = fake->changes ? fake->later / fake->changes : 0;
        return err_set(err, ERR_RETRY_LATER, kind % 2 ? "disk full" : "disk away");
    }
    if (count > fake->largest)
        fake->largest = count;
    fake_say(fake, "commit");
    for (size_t i = 0; i < count; i++)
        fake_say(fake, " %u=%s", changes[i].uid, changes[i].note ? changes[i].note : "-");
    fake_say(fake, "; ");
    return 0;
}

static int fake_load(struct state *state, const char *account, const char *folder,
                     uint32_t uidvalidity, uint32_t first_uid, struct state_folder *ret_folder,
                     struct err *err)
{
    (void)err;
    fake_say((struct fake *)state, "load %s %s %u from %u; ", account, folder, uidvalidity,
             first_uid);
    *ret_folder = (struct state_folder){.id = 7};
    return 0;
}

static int fake_prune_old(struct state *state, int64_t folder, size_t keep, struct err *err)
{
    (void)err;
    fake_say((struct fake *)state, "prune %d %zu; ", (int)folder, keep);
    return 0;
}

static const struct state_ops fake_ops = {
    .load = fake_load, .commit = fake_commit, .prune_old = fake_prune_old};

struct fixture {
    struct net_loop *loop;
    struct fake fake;
    struct journal *journal;
    unsigned committed;
    unsigned failed;
    unsigned loaded;
    unsigned troubled, mended;
    size_t expected; /* the loop ends after so many events */
};

static void fixture_event(struct fixture *fixture)
{
    if (fixture->committed + fixture->failed + fixture->loaded == fixture->expected)
        net_loop_stop(fixture->loop);
}

static void on_committed(void *owner, const struct state_change *change)
{
    struct fixture *fixture = owner;
    fixture->committed++;
    assert_int_equal(change->uid, fixture->committed);
    fixture_event(fixture);
}

static void on_failed(void *ctx, const struct err *err)
{
    struct fixture *fixture = ctx;
    fixture->failed++;
    assert_true(*err->text);
    fixture_event(fixture);
}

static void on_loaded(void *owner, struct state_folder *moved, const struct err *err)
{
    struct fixture *fixture = owner;
    (void)err;
    fixture->loaded++;
    assert_int_equal(moved->id, 7);
    state_folder_release(moved);
    fixture_event(fixture);
}

static void on_troubled(void *ctx, const struct err *err)
{
    struct fixture *fixture = ctx;
    fixture->troubled += err != NULL;
    fixture->mended += err == NULL;
}

static const struct journal_events events = {
    .committed = on_committed,
    .failed = on_failed,
    .troubled = on_troubled,
};

static int set_up(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){.loop = net_loop_new(), .fake.state.ops = &fake_ops};
    fixture.journal = journal_new(fixture.loop, &fixture.fake.state, false, &events, &fixture);
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    journal_free(fixture->journal);
    net_loop_free(fixture->loop);
    return 0;
}

static void add(struct fixture *fixture, uint32_t uid, const char *note)
{
    char copied[20];
    snprintf(copied, sizeof copied, "%s", note);
    journal_add(fixture->journal, fixture,
                &(struct state_change){.type = STATE_SET_NOTE, .uid = uid, .note = copied});
    memset(copied, 'x', sizeof copied - 1);
}

static void run(struct fixture *fixture, size_t expected)
{
    fixture->expected = expected;
    net_loop_run(fixture->loop);
}

static void test_in_order_and_together(void **state)
{
    struct fixture *fixture = *state;
    add(fixture, 1, "seen");
    add(fixture, 2, "held");
    journal_load(fixture->journal, "trap", "INBOX", 9, 4, on_loaded, fixture);
    add(fixture, 3, "seen");
    journal_prune_old(fixture->journal, 7, 5);
    run(fixture, 4);
    assert_string_equal(fixture->fake.text,
                        "commit 1=seen 2=held; load trap INBOX 9 from 4; commit 3=seen; ");
    assert_int_equal(fixture->committed, 3);
}

static void run_turn_over(void *ctx)
{
    net_loop_stop(((struct fixture *)ctx)->loop);
}

/* One turn of the loop. */
static void run_turn(struct fixture *fixture)
{
    struct net_deferred *over = net_deferred_new(fixture->loop, run_turn_over, fixture);
    net_deferred_schedule(over);
    net_loop_run(fixture->loop);
    net_deferred_free(over);
}

enum {
    NEVER = 1000 * 1000 * 1000
};

/* The first commit comes at once, the next takes along what comes meanwhile … */
static void test_waits_for_company(void **state)
{
    struct fixture *fixture = *state;
    journal_set_interval(fixture->journal, 1);
    add(fixture, 1, "a");
    run(fixture, 1);
    assert_string_equal(fixture->fake.text, "commit 1=a; ");
    add(fixture, 2, "b");
    run(fixture, 2);
    assert_string_equal(fixture->fake.text, "commit 1=a; commit 2=b; ");

    journal_set_interval(fixture->journal, NEVER);
    add(fixture, 3, "c");
    run(fixture, 3);
    add(fixture, 4, "d");
    run_turn(fixture);
    add(fixture, 5, "e");
    run_turn(fixture);
    assert_int_equal(fixture->committed, 3);
    /* … unless somebody waits behind it … */
    journal_load(fixture->journal, "trap", "INBOX", 9, 1, on_loaded, fixture);
    run(fixture, 6);
    assert_string_equal(fixture->fake.text, "commit 1=a; commit 2=b; commit 3=c; commit 4=d 5=e; "
                                            "load trap INBOX 9 from 1; ");
    /* … or there is much. */
    add(fixture, 6, "f");
    run_turn(fixture);
    for (uint32_t uid = 7; uid < 1000; uid++)
        add(fixture, uid, "s");
    run(fixture, 1000);
    assert_int_equal(fixture->fake.largest, 994);
}

static void test_end_commits_what_waits(void **state)
{
    struct fixture *fixture = *state;
    journal_set_interval(fixture->journal, NEVER);
    add(fixture, 1, "a");
    run(fixture, 1);
    add(fixture, 2, "b");
    run_turn(fixture);
    journal_prune_old(fixture->journal, 7, 5);
    add(fixture, 3, "c");
    journal_free(fixture->journal);
    fixture->journal = NULL;
    assert_string_equal(fixture->fake.text, "commit 1=a; commit 2=b; commit 3=c; ");
    assert_int_equal(fixture->committed, 1);
}

/* A later change never goes before one that failed, which is tried once more. */
static void test_end_commits_nothing_behind_a_failure(void **state)
{
    struct fixture *fixture = *state;
    for (unsigned again = 0; again < 2; again++) {
        journal_free(fixture->journal);
        fixture->journal = journal_new(fixture->loop, &fixture->fake.state, true, &events, fixture);
        journal_set_interval(fixture->journal, NEVER);
        fixture->fake.text[0] = '\0';
        fixture->fake.later = 1 + again;
        fixture->troubled = 0;
        add(fixture, 1, "a");
        while (!fixture->troubled)
            run_turn(fixture);
        add(fixture, 2, "b");
        journal_add(fixture->journal, fixture,
                    &(struct state_change){.type = STATE_ADD_DELIVERED, .uid = 3});
        /* That a mail was delivered and is not on record is not passed over in silence. */
        assert_int_equal(journal_free(fixture->journal), again);
        fixture->journal = NULL;
        assert_string_equal(fixture->fake.text,
                            again ? "full full " : "full commit 1=a; commit 2=b 3=-; ");
    }
}

static void test_batches_are_bounded(void **state)
{
    struct fixture *fixture = *state;
    for (uint32_t uid = 1; uid <= 2500; uid++)
        add(fixture, uid, "s");
    run(fixture, 2500);
    assert_int_equal(fixture->committed, 2500);
    assert_in_range(fixture->fake.largest, 2, 1000);
}

static void test_full_disk_is_repeated(void **state)
{
    struct fixture *fixture = *state;
    fixture->fake.later = 1;
    add(fixture, 1, "a");
    add(fixture, 2, "b");
    run(fixture, 2);
    assert_string_equal(fixture->fake.text, "full commit 1=a 2=b; ");
    assert_int_equal(fixture->failed, 0);
}

struct hurry {
    struct net_loop *loop;
    struct net_timer *timer;
    msec_t step;
};

/* Each turn of the loop takes `step`. */
static void hurry(void *ctx)
{
    struct hurry *hurry = ctx;
    net_loop_skip(hurry->loop, hurry->step);
    net_timer_start(hurry->timer, 1);
}

/* Lets a patient journal's commit fail so often, in another way at each `changes`. */
static void run_patient(struct fixture *fixture, unsigned times, unsigned changes, msec_t step)
{
    struct hurry clock = {.loop = fixture->loop, .step = step};
    journal_free(fixture->journal);
    fixture->journal = journal_new(fixture->loop, &fixture->fake.state, true, &events, fixture);
    clock.timer = net_timer_new(fixture->loop, hurry, &clock);
    net_timer_start(clock.timer, 1);
    fixture->fake.later = times;
    fixture->fake.quiet = true;
    fixture->fake.changes = changes;
    add(fixture, 1, "a");
    run(fixture, 1);
    net_timer_free(clock.timer);
    assert_int_equal(fixture->committed, 1);
    assert_int_equal(fixture->failed, 0);
    assert_int_equal(fixture->mended, 1);
}

static void test_a_patient_one_does_not_give_up(void **state)
{
    struct fixture *fixture = *state;
    run_patient(fixture, 12, 0, 100);
    assert_int_equal(fixture->troubled, 1);
}

static void test_trouble_that_changes_is_told(void **state)
{
    struct fixture *fixture = *state;
    run_patient(fixture, 12, 5, 100); /* two, five, five */
    assert_int_equal(fixture->troubled, 3);
}

static void test_trouble_that_lasts_is_told_every_hour(void **state)
{
    struct fixture *fixture = *state;
    run_patient(fixture, 7, 0, 3600 * 1000);
    assert_int_equal(fixture->troubled, 7);
}

static void test_failure_for_good(void **state)
{
    struct fixture *fixture = *state;
    fixture->fake.never = true;
    add(fixture, 1, "a");
    journal_load(fixture->journal, "trap", "INBOX", 9, 4, on_loaded, fixture);
    run(fixture, 1);
    assert_int_equal(fixture->failed, 1);
    assert_int_equal(fixture->committed, 0);
    assert_int_equal(fixture->loaded, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_in_order_and_together, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_waits_for_company, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_end_commits_what_waits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_end_commits_nothing_behind_a_failure, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_batches_are_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_full_disk_is_repeated, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_patient_one_does_not_give_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_trouble_that_changes_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_trouble_that_lasts_is_told_every_hour, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_failure_for_good, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
