/* Connections that break, at every point and in every manner: no mail is called taken that the
 * broker did not handle, and in the end every mail is. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "owner.h"

enum {
    LOST_MAILS = 10,
};

static const struct lost_way {
    const char *name;
    enum sink_confirm confirm;
    bool echo_same;
} lost_ways[] = {
    {"echo", SINK_CONFIRM_ECHO, true},
    {"echo to the second", SINK_CONFIRM_ECHO, false},
    {"close", SINK_CONFIRM_CLOSE, true},
    {"auto", SINK_CONFIRM_AUTO, true},
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void lost_init(struct owner *owner, const struct lost_way *way)
{
    owner_init(owner);
    owner->settings.confirm = way->confirm;
    owner->peer.echo_same = way->echo_same;
}

static void lost_fill(struct owner *owner, size_t size)
{
    for (int i = 0; i < LOST_MAILS; i++) {
        char text[20];
        snprintf(text, sizeof text, "mail %d ", i);
        owner_large_mail(owner, text, size);
    }
}

static void lost_check_all_taken(const struct owner *owner)
{
    for (size_t i = 0; i < owner->mail_count; i++) {
        assert_int_equal(owner->mails[i].takens, 1);
        assert_int_equal(owner->mails[i].refusals, 0);
        assert_int_equal(owner->mails[i].offers, owner->mails[i].retries + 1);
    }
}

static void lost_run(const struct lost_way *way, enum peer_answer kill, size_t after, size_t kills)
{
    struct owner owner;

    lost_init(&owner, way);
    owner.peer.kill = kill;
    owner.peer.kills = kills;
    owner.peer.kill_after = after;
    owner.peer.away = 3;
    /* Not to be reached by what is merely slow. */
    owner.tuning.stall = kill == PEER_HANG || kill == PEER_STOP_READING ? 60 : 5000;
    owner_start(&owner);
    owner_run_until(&owner, owner_is_up);
    lost_fill(&owner, 30000);
    owner_run_until(&owner, owner_all_settled);
    /* For `close`, a clean end at the very end is no loss. */
    assert_true(owner.peer.kills < kills);
    lost_check_all_taken(&owner);
    owner_release(&owner);
}

static void test_killed_at_every_point(void **state)
{
    static const struct {
        const char *name;
        enum peer_answer kill;
    } kills[] = {
        {"reset", PEER_RESET},
        {"close", PEER_CLOSE},
        {"error", PEER_ERROR_CLOSE},
        {"error, open", PEER_ERROR_OPEN},
        {"torn error", PEER_TORN_ERROR_CLOSE},
        {"bad error", PEER_BAD_ERROR_CLOSE},
        {"crash", PEER_CRASH},
        {"hang", PEER_HANG},
        {"stop", PEER_STOP_READING},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(lost_ways); i++) {
        for (size_t n = 0; n < COUNT(kills); n++) {
            print_message("  %s, %s\n", lost_ways[i].name, kills[n].name);
            bool slow = kills[n].kill == PEER_HANG || kills[n].kill == PEER_STOP_READING;
            for (size_t after = 1; after <= LOST_MAILS; after += slow ? 3 : 1) {
                lost_run(&lost_ways[i], kills[n].kill, after, 1);
                if (!slow && after % 4 == 1)
                    lost_run(&lost_ways[i], kills[n].kill, after, 3);
            }
        }
    }
}

static bool some_handled(const struct owner *owner)
{
    return owner->peer.record_count >= 3;
}

/* It goes away for good while mails are out, and comes back. */
static void test_broker_restarted(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(lost_ways); i++) {
        for (int reset = 0; reset < 2; reset++) {
            struct owner owner;
            lost_init(&owner, &lost_ways[i]);
            owner_start(&owner);
            owner_run_until(&owner, owner_is_up);
            lost_fill(&owner, 100000);
            owner_run_until(&owner, some_handled);
            peer_stop(&owner.peer, reset ? PEER_RESET : PEER_CLOSE);
            owner_run_until(&owner, owner_is_down);
            peer_start(&owner.peer, owner.loop);
            owner_run_until(&owner, owner_all_settled);
            lost_check_all_taken(&owner);
            owner_release(&owner);
        }
    }
}

static bool is_down_now(const struct owner *owner)
{
    return !owner->up;
}

/* Offered while it is away, in the turn in which it went, or before: all comes back as a retry. */
static void test_offered_while_down(void **state)
{
    struct owner owner;

    (void)state;
    owner_init(&owner);
    owner.keep = true;
    owner.tuning.stable = 100000;
    owner_start(&owner);
    owner_run_until(&owner, owner_is_up);
    peer_stop(&owner.peer, PEER_RESET);
    owner_run_until(&owner, is_down_now);
    owner.up = true; /* it does not know yet */
    owner_mail(&owner, "too late");
    owner_run_until(&owner, owner_all_settled);
    assert_int_equal(owner.mails[0].retries, 1);
    owner_release(&owner);
}

static bool linked_again(const struct owner *owner)
{
    return owner->peer.accepted >= 2 && owner->peer.open >= 1;
}

/* Proxies cut what is idle: the owner hears nothing of it, and the next mail gets through. */
static void test_idle_cut(void **state)
{
    static const enum sink_confirm ways[] = {SINK_CONFIRM_ECHO, SINK_CONFIRM_SENT};
    (void)state;
    for (size_t i = 0; i < 2 * COUNT(ways); i++) {
        struct owner owner;
        owner_init(&owner);
        owner.settings.confirm = ways[i / 2];
        owner.lies = true;
        owner.tuning.stable = 0;
        owner_start(&owner);
        owner_run_until(&owner, owner_is_up);
        size_t before = owner.peer.accepted;
        peer_drop_links(&owner.peer, i % 2 ? PEER_RESET : PEER_CLOSE);
        owner.peer.accepted = 1;
        owner_run_until(&owner, linked_again);
        owner_mail(&owner, "next");
        owner_run_until(&owner, owner_all_settled);
        assert_true(before > 0);
        assert_int_equal(owner.mails[0].takens, 1);
        assert_int_equal(owner.mails[0].offers, 1);
        assert_int_equal(owner.ups, 1);
        assert_int_equal(owner.downs, 0);
        owner_release(&owner);
    }
}

static bool came_up_twice(const struct owner *owner)
{
    return owner->ups == 2;
}

/* One that is cut as soon as it stands is not mended at once: that would be hammering. */
static void test_cut_too_soon(void **state)
{
    struct owner owner;

    (void)state;
    owner_init(&owner);
    owner.tuning.stable = 100000;
    owner_start(&owner);
    owner_run_until(&owner, owner_is_up);
    peer_drop_links(&owner.peer, PEER_CLOSE);
    owner_run_until(&owner, came_up_twice);
    assert_int_equal(owner.downs, 1);
    assert_int_equal(owner.pause_count, 1);
    owner_release(&owner);
}

/* `close` believes a clean end, and only behind the half-close. */
static void test_ends_that_are_none(void **state)
{
    static const struct {
        enum peer_answer end;
        const char *text;
    } ends[] = {
        {PEER_RESET, ""},
        {PEER_ERROR_CLOSE, "not \\x1b[31mallowed"},
        {PEER_HANG, "half-close"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(ends); i++) {
        struct owner owner;
        owner_init(&owner);
        owner.settings.confirm = SINK_CONFIRM_CLOSE;
        owner.tuning.stall = ends[i].end == PEER_HANG ? 50 : 5000;
        owner.keep = true;
        owner_start(&owner);
        owner_run_until(&owner, owner_is_up);
        owner.peer.on_end = ends[i].end;
        owner_mail(&owner, "a mail");
        owner_run_until(&owner, owner_all_settled);
        assert_int_equal(owner.peer.record_count, 1);
        assert_int_equal(owner.mails[0].retries, 1);
        assert_non_null(strstr(owner.mails[0].err.text, ends[i].text));
        owner_release(&owner);
    }
}

/* `sent` believes the kernel: what it did not acknowledge is not taken. */
static void test_sent_needs_the_kernel(void **state)
{
    struct owner owner;

    (void)state;
    owner_init(&owner);
    owner.settings.confirm = SINK_CONFIRM_SENT;
    owner.settings.max_frame = 64 << 20;
    owner.lies = true;
    owner.keep = true;
    owner.tuning.stall = 80;
    owner.peer.on_good_auth = PEER_STOP_READING;
    owner_start(&owner);
    owner_run_until(&owner, owner_is_up);
    size_t small = owner_mail(&owner, "small");
    owner_run_until(&owner, owner_all_settled);
    size_t large = owner_large_mail(&owner, "more than all windows hold", 32 << 20);
    owner_run_until(&owner, owner_all_settled);
    assert_int_equal(owner.mails[small].takens, 1);
    assert_int_equal(owner.mails[large].retries, 1);
    assert_non_null(strstr(owner.err.text, "took nothing"));
    owner_release(&owner);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_killed_at_every_point), cmocka_unit_test(test_broker_restarted),
        cmocka_unit_test(test_offered_while_down),    cmocka_unit_test(test_idle_cut),
        cmocka_unit_test(test_cut_too_soon),          cmocka_unit_test(test_ends_that_are_none),
        cmocka_unit_test(test_sent_needs_the_kernel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
