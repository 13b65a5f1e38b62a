/* Who goes next, and with whom. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "base/mem.h"
#include "sink/outbox.h"

static void outbox_put(struct outbox *outbox, const char *payload)
{
    struct sink_mail *mail = mem_new(struct sink_mail);
    mail->token = (void *)(uintptr_t)payload;
    mail->payload_len = strlen(payload);
    outbox_add(outbox, mail, (const uint8_t *)payload);
}

/* Sends the next one and checks which it is. */
static struct sink_mail *outbox_go(struct outbox *outbox, bool fresh, const char *payload)
{
    struct sink_mail *mail = outbox_next(outbox, fresh);
    assert_non_null(mail);
    assert_string_equal(mail->token, payload);
    mail->written = true;
    return outbox_launch(outbox, mail);
}

static void outbox_take(struct outbox *outbox, struct sink_mail *mail)
{
    outbox_taken(outbox, mail);
    sink_mail_free(mail);
}

/* Loses it as one of many. */
static void outbox_lose(struct outbox *outbox, struct sink_mail *mail)
{
    struct sink_mail_list list = {0};
    mail->sent = true;
    sink_mail_list_add(&list, mail);
    assert_int_equal(outbox_lost(outbox, &list), 1);
    sink_mail_list_release(&list);
}

static void test_only_what_went_out_is_suspect(void **state)
{
    static const struct {
        int written, sent; /* of five mails */
        size_t suspects;
    } cases[] = {{0, 0, 0}, {1, 0, 1}, {3, 0, 1}, {5, 2, 3}, {5, 4, 5}, {5, 5, 5}, {3, 3, 3}};
    static const char *const names[] = {"a", "b", "c", "d", "e"};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct outbox outbox = {0};
        struct sink_mail_list list = {0};
        for (int n = 0; n < 5; n++)
            outbox_put(&outbox, names[n]);
        for (int n = 0; n < 5; n++) {
            struct sink_mail *mail = outbox_go(&outbox, false, names[n]);
            mail->written = n < cases[i].written;
            mail->sent = n < cases[i].sent;
            sink_mail_list_add(&list, mail);
        }
        assert_int_equal(outbox.in_flight, 5);
        assert_int_equal(outbox_lost(&outbox, &list), cases[i].suspects);
        assert_int_equal(outbox.in_flight, 0);
        assert_int_equal(outbox.suspects.count, cases[i].suspects);
        sink_mail_list_release(&list);
        outbox_release(&outbox);
    }
}

static void test_a_suspect_travels_alone_and_last(void **state)
{
    struct outbox outbox = {0};

    (void)state;
    outbox_put(&outbox, "bad");
    outbox_lose(&outbox, outbox_go(&outbox, false, "bad"));
    outbox_put(&outbox, "worse");
    outbox_lose(&outbox, outbox_go(&outbox, false, "worse"));
    outbox_put(&outbox, "worse");
    outbox_lose(&outbox, outbox_go(&outbox, true, "worse"));

    outbox_put(&outbox, "worse");
    outbox_put(&outbox, "bad");
    outbox_put(&outbox, "good");
    /* Nothing was taken yet: the good one has to show that the connection works. */
    struct sink_mail *good = outbox_go(&outbox, true, "good");
    assert_null(outbox_next(&outbox, false));
    outbox_take(&outbox, good);
    outbox_put(&outbox, "good");
    /* Now the connection made for a suspect is for the suspect; the least one first. */
    struct sink_mail *bad = outbox_go(&outbox, true, "bad");
    assert_true(outbox_is_alone(bad));
    assert_null(outbox_next(&outbox, false));
    outbox_take(&outbox, bad);
    outbox_take(&outbox, outbox_go(&outbox, false, "good"));
    outbox_take(&outbox, outbox_go(&outbox, true, "worse"));
    assert_int_equal(outbox.suspects.count, 0);
    assert_int_equal(outbox.limited, 0);
    assert_null(outbox_next(&outbox, true));
    outbox_release(&outbox);
}

/* Under a steady stream a suspect is not forgotten. */
static void test_a_suspect_has_its_turn(void **state)
{
    struct outbox outbox = {0};
    size_t before = 0;

    (void)state;
    outbox_put(&outbox, "bad");
    outbox_lose(&outbox, outbox_go(&outbox, false, "bad"));
    outbox_put(&outbox, "bad");
    for (;;) {
        outbox_put(&outbox, "good");
        struct sink_mail *mail = outbox_launch(&outbox, outbox_next(&outbox, false));
        bool bad = !strcmp(mail->token, "bad");
        outbox_take(&outbox, mail);
        if (bad)
            break;
        before++;
        assert_true(before < 10000);
    }
    outbox_release(&outbox);
}

static void test_three_strikes(void **state)
{
    struct outbox outbox = {0};
    struct sink_mail bad = {.payload_len = 3};

    (void)state;
    bad.print = suspects_print((const uint8_t *)"bad", 3);
    assert_false(outbox_strike(&outbox, &bad, false));
    outbox_put(&outbox, "bad");
    outbox_lose(&outbox, outbox_go(&outbox, false, "bad"));
    for (int i = 0; i < 5; i++)
        assert_false(outbox_strike(&outbox, &bad, false));
    outbox_put(&outbox, "good");
    outbox_take(&outbox, outbox_go(&outbox, false, "good"));
    assert_true(outbox_takes_others(&outbox, &bad));
    assert_true(outbox_strike(&outbox, &bad, false));
    assert_true(outbox_strike(&outbox, &bad, false));
    outbox_release(&outbox);
}

/* It breaks a connection in a way that leaves no other explanation. */
static bool outbox_blames(struct outbox *outbox, const char *payload)
{
    outbox_put(outbox, payload);
    struct sink_mail *mail = outbox_launch(outbox, outbox_next(outbox, true));
    struct sink_mail copy = {.print = mail->print};
    outbox_lose(outbox, mail);
    return outbox_strike(outbox, &copy, true);
}

/* Only one mail is blamed while none are taken. */
static void test_three_certain_strikes(void **state)
{
    struct outbox outbox = {0};

    (void)state;
    assert_false(outbox_blames(&outbox, "bad"));
    assert_false(outbox_blames(&outbox, "bad"));
    assert_true(outbox_blames(&outbox, "bad"));
    for (int i = 0; i < 5; i++)
        assert_false(outbox_blames(&outbox, "worse"));
    assert_true(outbox_blames(&outbox, "bad"));
    outbox_put(&outbox, "good");
    outbox_take(&outbox, outbox_go(&outbox, false, "good"));
    assert_true(outbox_blames(&outbox, "worse"));
    outbox_release(&outbox);
}

/* A break that has another explanation counts only beside mails that are taken. */
static void test_uncertain_among_certain_strikes(void **state)
{
    struct outbox outbox = {0};
    struct sink_mail bad = {.print = suspects_print((const uint8_t *)"bad", 3)};

    (void)state;
    assert_false(outbox_blames(&outbox, "bad"));
    assert_false(outbox_strike(&outbox, &bad, false));
    assert_false(outbox_blames(&outbox, "bad"));
    assert_false(outbox_strike(&outbox, &bad, false));
    assert_true(outbox_blames(&outbox, "bad"));
    outbox_release(&outbox);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_what_went_out_is_suspect),
        cmocka_unit_test(test_a_suspect_travels_alone_and_last),
        cmocka_unit_test(test_a_suspect_has_its_turn),
        cmocka_unit_test(test_three_strikes),
        cmocka_unit_test(test_three_certain_strikes),
        cmocka_unit_test(test_uncertain_among_certain_strikes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
