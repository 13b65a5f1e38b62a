/* Several connections of one account: one's trouble is not the others', and no folder is watched
 * twice. */
#include "stage.h"

enum {
    SOON = SECOND / 2,
    SWEEP = 16 * MINUTE,
};

static struct stage stage;

/* INBOX and Spam, each with a connection of its own. */
static struct trap *begin(const char *const *folders, const char *attrs)
{
    stage_init(&stage);
    struct trap *trap = stage_add_folders(&stage, "IDLE UIDPLUS SPECIAL-USE", folders);
    trap_add_box(trap, "Spam", attrs);
    stage_start(&stage);
    stage_pass(&stage, 2 * MINUTE);
    stage_expect_mail(&stage, trap, "INBOX", SOON);
    stage_expect_mail(&stage, trap, "Spam", SOON);
    assert_int_equal(trap->logins, 2);
    assert_int_equal(trap->open, 2);
    return trap;
}

static void end(struct trap *trap)
{
    stage_expect_mail(&stage, trap, "INBOX", SOON);
    stage_expect_mail(&stage, trap, "Spam", SOON);
    stage_pass(&stage, 5 * SECOND);
    stage_assert_mailed(&stage);
    assert_int_equal(box_unseen(trap_box(trap, "Spam")), 0);
    assert_int_equal(trap->open_most, 2);
    stage_release(&stage);
}

static const char *const inbox_and_spam[] = {"INBOX", "Spam", NULL};
static const char *const inbox_and_junk[] = {"INBOX", "\\Junk", NULL};

/* All are lost at once, and LIST is not answered to the first: a second one that logs in meanwhile
 * has no folder without a name. Which of them comes back first is left to chance: hence the rounds.
 */
static void test_list_is_silent(void **state)
{
    (void)state;
    enum {
        ROUNDS = 10
    };
    struct trap *trap = begin(inbox_and_junk, "\\Junk");
    for (unsigned i = 0; i < ROUNDS; i++) {
        trap_fault(trap, (struct trap_fault){.on = "LIST", .act = TRAP_SILENCE, .times = 1});
        trap_cut_off(trap, false);
        stage_pass(&stage, MINUTE);
        stage_expect_mail(&stage, trap, "Spam", 5 * MINUTE);
        stage_expect_mail(&stage, trap, "INBOX", 5 * MINUTE);
        stage_pass(&stage, 5 * MINUTE);
        assert_int_equal(trap_idling(trap), 2);
    }
    assert_in_range(trap->logins, 2 + 2 * ROUNDS, 2 + 4 * ROUNDS);
    end(trap);
}

/* The second one's folder is refused: it is tried again with a pause, the first one goes on, and
 * when it is there again so is its mail. */
static void test_folder_is_refused(void **state)
{
    (void)state;
    for (int special = 0; special < 2; special++) {
        struct trap *trap = begin(special ? inbox_and_junk : inbox_and_spam, "\\Junk");
        unsigned before = trap_count(trap, "SELECT \"Spam\"");
        trap_fault(trap, (struct trap_fault){.on = "SELECT \"Spam\"",
                                             .act = TRAP_ANSWER,
                                             .times = 1000, /* so that a storm has an end */
                                             .text = "$ NO [NONEXISTENT] gone\r\n"});
        stage_pass(&stage, 30 * MINUTE);
        stage_expect_mail(&stage, trap, "INBOX", SOON);
        stage_pass(&stage, 30 * MINUTE);
        assert_in_range(trap_count(trap, "SELECT \"Spam\"") - before, 1, 80);
        assert_in_range(stage_logged(&stage, "warning"), 1, 2);
        assert_in_range(trap->logins, 2, 4);
        trap_mend(trap);
        stage_expect_mail(&stage, trap, "Spam", SWEEP);
        stage_pass(&stage, SWEEP);
        end(trap);
    }
}

static void limit_idles(struct trap_conn *conn)
{
    if (trap_count(conn->trap, "IDLE") > 1000)
        stage_fail(&stage, "a storm");
}

/* A special use turns out to be a folder that is watched by its name. */
static void test_use_of_a_watched_folder(void **state)
{
    (void)state;
    static const char *const folders[] = {"INBOX", "\\Junk", "Spam", NULL};
    struct trap *trap = begin(folders, "");
    box_set_attrs(trap_box(trap, "Spam"), "\\Junk");
    trap_fault(trap, (struct trap_fault){.on = "IDLE", .act = TRAP_CALL, .call = limit_idles});
    for (int i = 0; i < 4; i++) {
        unsigned idles = trap_count(trap, "IDLE");
        stage_expect_mail(&stage, trap, "Spam", SOON);
        stage_expect_mail(&stage, trap, "INBOX", SOON);
        stage_pass(&stage, 5 * SECOND);
        assert_in_range(trap_count(trap, "IDLE") - idles, 2, 8);
        stage_pass(&stage, 11 * MINUTE);
    }
    assert_int_equal(trap->logins, 2);
    end(trap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_list_is_silent),
        cmocka_unit_test(test_folder_is_refused),
        cmocka_unit_test(test_use_of_a_watched_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
