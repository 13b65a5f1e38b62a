/* The way to a broker is cut behind each byte that goes to and fro while mails are delivered:
 * ended, reset and frozen, in the clear and under TLS. Whatever the byte, the sink comes back by
 * itself, no mail is called taken that the broker did not handle, each is taken in the end, and
 * those that were not out are not sent again. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "../net/cuts.h"
#include "net/loop.h"
#include "net/tls.h"
#include "owner.h"

enum {
    MAILS = 4,
    /* What `meson test` does of it, each time from another byte on. */
    EVERY = 61,
    SECOND = 1000,
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const struct way {
    const char *name;
    enum sink_confirm confirm;
    bool echo_same;
    size_t links; /* connections that stay */
    bool tls;
} ways[] = {
    {"echo", SINK_CONFIRM_ECHO, true, 1, false},
    {"echo to the second", SINK_CONFIRM_ECHO, false, 2, false},
    {"close", SINK_CONFIRM_CLOSE, true, 0, false},
    {"sent", SINK_CONFIRM_SENT, true, 1, false},
    {"echo, TLS", SINK_CONFIRM_ECHO, true, 1, true},
    {"close, TLS", SINK_CONFIRM_CLOSE, true, 0, true},
    {"sent, TLS", SINK_CONFIRM_SENT, true, 1, true},
};

static const char *const side_names[] = {"sink", "broker"};

static const struct way *way; /* the one at hand */
static struct owner owner;
static struct cutter cutter;
static uint64_t length[2]; /* of what goes to each side when nothing is cut */
static struct net_tls *server_tls, *client_tls;

static void cut_fail(const char *why)
{
    fail_msg("%s, %s behind byte %llu to the %s: %s", way->name, cuts_names[cutter.cut.way],
             (unsigned long long)cutter.cut.after, side_names[cutter.cut.side], why);
}

static void begin(const struct cutter_cut *cut)
{
    owner_init(&owner);
    owner.settings.confirm = way->confirm;
    owner.peer.echo_same = way->echo_same;
    owner.lies = way->confirm == SINK_CONFIRM_SENT;
    owner.tuning.batch_mails = owner.tuning.marker_mails = 2;
    owner.tuning.stable = 0;
    if (way->tls) {
        owner.peer.tls = server_tls;
        owner.settings.tls = client_tls;
    }
    peer_start(&owner.peer, owner.loop);
    cutter_init(&cutter, owner.loop, owner.peer.port);
    cutter.cut = *cut;
    owner.settings.port = cutter.port;
    owner_start(&owner);
}

static void end(void)
{
    cutter_release(&cutter);
    owner_release(&owner);
}

static bool rests(const struct owner *of)
{
    return owner_all_settled(of) && cutter.open == way->links;
}

/* All but the last together; that one when they are settled. */
static void deliver(void)
{
    for (int i = 0; i < MAILS; i++) {
        char text[20];
        snprintf(text, sizeof text, "mail %d", i);
        if (i == MAILS - 1)
            owner_run_until(&owner, owner_all_settled);
        owner_mail(&owner, text);
    }
    owner_run_until(&owner, owner_all_settled);
    owner_run_until(&owner, rests);
}

static void check_mail(size_t i)
{
    const struct owner_mail *mail = &owner.mails[i];
    size_t handled = peer_handled(&owner.peer, "spam.mails", mail->payload.data, mail->payload.len);
    if (mail->takens != 1 || mail->refusals || mail->offers != mail->retries + 1)
        cut_fail("not settled as it should be");
    if (mail->retries > 1)
        cut_fail("sent more than once again");
    if (!handled && way->confirm != SINK_CONFIRM_SENT)
        cut_fail("lost");
    if (handled > mail->offers)
        cut_fail("doubled");
}

/* `sent` believes a proxy that has the bytes. Where nothing was cut it is right. */
static void check_all(void)
{
    for (size_t i = 0; i < MAILS; i++)
        check_mail(i);
    if (!cutter.done && owner.peer.record_count != MAILS)
        cut_fail("not each mail came once");
}

/* Does the broker owe an answer on the connection that was cut? Not where only the kernel is asked,
 * nor behind the last one; nor when all that was published came to it, and a second connection has
 * the answer. */
static bool is_owed(void)
{
    uint64_t last = length[cutter.cut.side] - (way->tls ? CUTS_TLS_VARIES : 0);
    bool all_came = cutter.cut.after >= last;
    if (cutter.cut.side == CUTTER_TO_SERVER)
        all_came = all_came && way->links > 1;
    return way->confirm != SINK_CONFIRM_SENT && !all_came;
}

/* A frozen connection is left by its deadline. Progress is looked at four times in that time. */
static void check_cut(void)
{
    msec_t most = owner.tuning.stall + owner.tuning.stall / 4 + SECOND;
    if (!cutter.done && !way->tls)
        cut_fail("it was not cut");
    if (!cutter.done || cutter.cut.way != CUTTER_FREEZE)
        return;
    if (cutter.left_at ? cutter.left_at - cutter.cut_at > most : is_owed())
        cut_fail("it was left too late, or not at all");
}

static void run(const struct cutter_cut *cut)
{
    begin(cut);
    deliver();
    check_all();
    check_cut();
    end();
}

static void measure(void)
{
    begin(&(struct cutter_cut){.after = UINT64_MAX});
    deliver();
    check_all();
    memcpy(length, cutter.passed, sizeof length);
    end();
}

static void run_way(size_t number, unsigned every, unsigned from)
{
    way = &ways[number];
    measure();
    unsigned files = cuts_open_files();
    cuts_each_byte(way->name, length, every, from, run);
    assert_int_equal(cuts_open_files(), files);
}

/* CUT_EVERY=1 in the environment: behind each byte. */
static void test_cut(void **state)
{
    (void)state;
    cuts_each_way(COUNT(ways), EVERY, run_way);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cut),
    };
    cuts_make_tls(&server_tls, &client_tls);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    net_tls_unref(client_tls);
    net_tls_unref(server_tls);
    return failed;
}
