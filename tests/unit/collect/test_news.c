/* News that come while there is work in hand: they wait neither for the broker's word about what
 * came before, nor for its marks. */
#include "stage.h"

#include <string.h>

enum {
    SOON = SECOND
};

static struct stage stage;
static struct trap *begin(const char *caps)
{
    stage_init(&stage);
    stage.settings.continuous = true;
    struct trap *trap = stage_add_trap(&stage, "trap");
    trap->caps = caps;
    stage_start(&stage);
    stage_await_idling(&stage, SOON, 1);
    return trap;
}

static void test_while_the_broker_is_silent(void **state)
{
    (void)state;
    static const char *const bodies[] = {"first", "second", "third"};
    struct trap *trap = begin("IDLE UIDPLUS");
    stage.sink.holds = true;
    for (size_t i = 0; i < COUNT(bodies); i++) {
        trap_deliver(trap, "INBOX", bodies[i]);
        stage_await_offered(&stage, SOON, i + 1);
        stage_await_idling(&stage, SOON, 1);
        assert_int_equal(stage.sink.taken_count, 0);
    }
    assert_int_equal(trap_count(trap, "STORE"), 0);
    stage.sink.holds = false;
    fake_sink_let_go(&stage.sink);
    stage_await_taken(&stage, SOON, COUNT(bodies));
    stage_pass(&stage, 2 * SECOND);
    assert_int_equal(box_unseen(trap_box(trap, "INBOX")), 0);
    stage_assert_taken(&stage, bodies, COUNT(bodies));
    assert_int_equal(trap->connections, 1);
    stage_release(&stage);
}

/* A server that cries news is heard some times, not for ever; and nothing is lost by that. */
static void cry(struct trap_conn *conn)
{
    box_add(trap_box(conn->trap, "INBOX"), "seen already", "\\Seen");
}

static void test_a_server_that_cries_news(void **state)
{
    (void)state;
    static const char *const bodies[] = {"first", "last"};
    struct trap *trap = begin("IDLE UIDPLUS");
    stage.sink.holds = true;
    trap_fault(trap, (struct trap_fault){.on = "UID SEARCH", .act = TRAP_CALL, .call = cry});
    trap_deliver(trap, "INBOX", bodies[0]);
    stage_await_offered(&stage, SOON, 1);
    stage_pass(&stage, 2 * SECOND);
    assert_in_range(trap_count(trap, "UID SEARCH"), 1, 30);
    trap_mend(trap);
    trap_deliver(trap, "INBOX", bodies[1]);
    stage.sink.holds = false;
    fake_sink_let_go(&stage.sink);
    stage_await_taken(&stage, SOON, COUNT(bodies));
    stage_pass(&stage, 2 * SECOND);
    stage_assert_taken(&stage, bodies, COUNT(bodies));
    stage_release(&stage);
}

struct answer_case {
    const char *answer; /* to the search for the second mail */
    size_t mails;
};

/* The look for more is refused, or its result cut short: nothing is lost by that, or doubled. */
static void test_a_look_that_fails(void **state)
{
    (void)state;
    static const char *const bodies[] = {"first", "second", "third"};
    static const struct answer_case cases[] = {
        {"$ NO [INUSE] not now\r\n", 2},
        {"* SEARCH 2\r\n$ OK [MESSAGELIMIT 1 2] that is all\r\n", 3}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct trap *trap = begin("IDLE UIDPLUS");
        stage.sink.holds = true;
        trap_deliver(trap, "INBOX", bodies[0]);
        stage_await_offered(&stage, SOON, 1);
        stage_await_idling(&stage, SOON, 1);
        trap_fault(trap,
                   (struct trap_fault){
                       .on = "SEARCH", .act = TRAP_ANSWER, .times = 1, .text = cases[i].answer});
        for (size_t j = 1; j < cases[i].mails; j++) {
            trap_deliver(trap, "INBOX", bodies[j]);
            stage_pass(&stage, 10 * SECOND);
        }
        stage.sink.holds = false;
        fake_sink_let_go(&stage.sink);
        stage_await_taken(&stage, SOON, cases[i].mails);
        stage_pass(&stage, HOUR);
        stage_assert_taken(&stage, bodies, cases[i].mails);
        assert_int_equal(box_unseen(trap_box(trap, "INBOX")), 0);
        assert_int_equal(trap->connections, 1);
        stage_release(&stage);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_while_the_broker_is_silent),
        cmocka_unit_test(test_a_server_that_cries_news),
        cmocka_unit_test(test_a_look_that_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
