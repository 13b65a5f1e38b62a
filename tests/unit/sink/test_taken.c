/* Every way of confirmation with brokers that take what they get: the right bytes on every
 * channel, each mail settled once, and only when the broker had it. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "hpfeeds/frame.h"
#include "../net/pki.h"
#include "net/tls.h"
#include "owner.h"

static const struct taken_case {
    const char *name;
    enum sink_confirm confirm;
    bool echo_same;
    bool echo_second;
    const char *described;
    size_t least_links; /* connections open when it is up */
} taken_cases[] = {
    {"echo, one connection", SINK_CONFIRM_ECHO, true, true, "echo on confirm.writer", 1},
    {"echo, not to oneself", SINK_CONFIRM_ECHO, false, true, "echo on confirm.writer", 2},
    {"close", SINK_CONFIRM_CLOSE, true, true, "close", 0},
    {"sent", SINK_CONFIRM_SENT, true, true, "sent", 1},
    {"auto finds echo", SINK_CONFIRM_AUTO, true, true, "echo on confirm.writer", 1},
    {"auto finds echo not to oneself", SINK_CONFIRM_AUTO, false, true, "echo on confirm.writer", 2},
    {"auto falls back to close", SINK_CONFIRM_AUTO, false, false, "close", 0},
};

static void taken_check_frames(const struct owner *owner, const char *channel, size_t number)
{
    const struct buf *payload = &owner->mails[number].payload;
    struct buf want = {0};
    bool found = false;

    hpfeeds_add_publish(&want, "writer", channel, payload->data, payload->len);
    for (size_t i = 0; i < owner->peer.record_count; i++) {
        const struct buf *whole = &owner->peer.records[i].whole;
        found |= whole->len == want.len && !memcmp(whole->data, want.data, want.len);
    }
    assert_true(found);
    assert_int_equal(peer_handled(&owner->peer, channel, payload->data, payload->len), 1);
    buf_release(&want);
}

static void taken_run(const struct taken_case *c, size_t channels, size_t marker_mails)
{
    struct owner owner;
    char described[120];

    owner_init(&owner);
    owner.settings.confirm = c->confirm;
    owner.peer.echo_same = c->echo_same;
    owner.peer.echo_second = c->echo_second;
    if (!c->echo_same && !c->echo_second)
        owner.tuning.probe_limit = 30;
    owner.channels[1] = "other";
    owner.channels[2] = "a.longer.name.of.a.channel";
    owner.settings.channel_count = channels;
    owner.tuning.marker_mails = owner.tuning.batch_mails = marker_mails;
    /* `sent` knows only what the kernel knows */
    owner.lies = c->confirm == SINK_CONFIRM_SENT;
    owner_start(&owner);
    owner_mail(&owner, "offered at once");
    owner_large_mail(&owner, "large", 300000);
    owner_mail(&owner, "");
    owner_run_until(&owner, owner_all_settled);
    for (int i = 0; i < 20; i++) {
        char text[20];
        snprintf(text, sizeof text, "mail %d", i);
        owner_mail(&owner, text);
    }
    owner_run_until(&owner, owner_all_settled);

    assert_int_equal(owner.ups, 1);
    assert_int_equal(owner.downs, 0);
    for (size_t i = 0; i < owner.mail_count; i++) {
        assert_int_equal(owner.mails[i].takens, 1);
        assert_int_equal(owner.mails[i].sents, 1);
        assert_int_equal(owner.mails[i].offers, 1);
        for (size_t n = 0; n < channels; n++)
            taken_check_frames(&owner, owner.channels[n], i);
    }
    assert_true(owner.peer.open >= c->least_links);
    snprintf(described, sizeof described, "hpfeeds 127.0.0.1:%u, confirmed by %s", owner.peer.port,
             c->described);
    assert_string_equal(sink_describe(owner.sink), described);
    owner_release(&owner);
}

static void test_taken(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof taken_cases / sizeof *taken_cases; i++) {
        print_message("  %s\n", taken_cases[i].name);
        taken_run(&taken_cases[i], 1, 512);
        taken_run(&taken_cases[i], 3, 512);
        taken_run(&taken_cases[i], 1, 3);
    }
}

/* Markers follow the broker's pace: one for all that was published meanwhile. */
static void test_few_markers(void **state)
{
    struct owner owner;

    (void)state;
    owner_init(&owner);
    owner_start(&owner);
    owner_run_until(&owner, owner_is_up);
    size_t probes = owner.peer.markers;
    for (int i = 0; i < 50; i++)
        owner_mail(&owner, "same");
    owner_run_until(&owner, owner_all_settled);
    assert_int_equal(owner.peer.markers, probes + 1);
    owner_release(&owner);
}

/* The first mail after a while has its marker at once; those that follow wait, unless they are
 * many. */
static void test_markers_keep_a_distance(void **state)
{
    struct owner owner;

    (void)state;
    owner_init(&owner);
    owner.tuning.marker_interval = 1000 * 1000;
    owner.tuning.marker_mails = 3;
    owner_start(&owner);
    owner_run_until(&owner, owner_is_up);
    size_t probes = owner.peer.markers;
    owner_mail(&owner, "first");
    owner_run_until(&owner, owner_all_settled);
    assert_int_equal(owner.peer.markers, probes + 1);
    size_t second = owner_mail(&owner, "second");
    owner_run_until(&owner, owner_all_sent);
    owner_mail(&owner, "third");
    owner_run_until(&owner, owner_all_sent);
    assert_int_equal(owner.mails[second].takens, 0);
    owner_mail(&owner, "fourth");
    owner_run_until(&owner, owner_all_settled);
    assert_int_equal(owner.peer.markers, probes + 2);
    owner_release(&owner);
}

/* Batches side by side, and more mails than all of them hold. */
static void test_close_uses_several_connections(void **state)
{
    struct owner owner;

    (void)state;
    owner_init(&owner);
    owner.settings.confirm = SINK_CONFIRM_CLOSE;
    owner.tuning.batch_mails = 5;
    owner.tuning.batches = 3;
    owner_start(&owner);
    owner_run_until(&owner, owner_is_up);
    for (int i = 0; i < 40; i++)
        owner_large_mail(&owner, "x", (size_t)i);
    owner_run_until(&owner, owner_all_settled);
    assert_int_equal(owner.peer.record_count, 40);
    assert_int_equal(owner.peer.accepted, 1 + 8);
    assert_int_equal(owner.peer.ends, 1 + 8);
    owner_release(&owner);
}

static void tls_run(enum sink_confirm confirm, const struct pki *pki, const char *ca, bool trusted)
{
    struct net_tls_settings settings = {.ca_file = pki_path(pki, ca)};
    const char *cert = pki_path(pki, "peer.pem");
    struct net_tls *server;
    struct net_tls *client;
    struct owner owner;

    assert_int_equal(net_tls_server_new(cert, NULL, &server, NULL), 0);
    assert_int_equal(net_tls_client_new(&settings, &client, NULL), 0);
    owner_init(&owner);
    owner.settings.confirm = confirm;
    owner.settings.tls = client;
    owner.peer.tls = server;
    owner.lies = confirm == SINK_CONFIRM_SENT;
    owner_start(&owner);
    owner_large_mail(&owner, "under TLS", 200000);
    owner_mail(&owner, "small");
    owner_run_until(&owner, trusted ? owner_all_settled : owner_is_down);
    assert_int_equal(owner.mails[0].takens, trusted);
    assert_int_equal(owner.mails[1].takens, trusted);
    assert_int_equal(owner.ups, trusted);
    assert_true(trusted || owner.err.action == ERR_GIVE_UP);
    owner_release(&owner);
    net_tls_unref(server);
    net_tls_unref(client);
}

static void test_tls(void **state)
{
    static const enum sink_confirm ways[] = {SINK_CONFIRM_ECHO, SINK_CONFIRM_CLOSE,
                                             SINK_CONFIRM_SENT};
    static const struct pki_spec specs[] = {
        {.file = "peer.pem", .cn = "x", .san = "IP:127.0.0.1", .from_day = -1, .to_day = 10},
        {.file = "other.pem",
         .cn = "y",
         .san = "IP:127.0.0.1",
         .from_day = -1,
         .to_day = 10,
         .self_signed = true},
    };
    struct pki *pki = pki_new();

    (void)state;
    pki_make(pki, &specs[0]);
    pki_make(pki, &specs[1]);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        tls_run(ways[i], pki, "ca.pem", true);
        tls_run(ways[i], pki, "other.pem", false);
    }
    pki_free(pki);
}

/* What is too large for a frame never leaves; all else up to the last byte does. */
static void test_max_frame(void **state)
{
    struct owner owner;

    (void)state;
    owner_init(&owner);
    owner.channels[1] = "a.longer.channel";
    owner.settings.channel_count = 2;
    owner.settings.max_frame = 1000;
    owner.peer.frame_max = 1000;
    owner_start(&owner);
    owner_run_until(&owner, owner_is_up);
    assert_int_equal(owner.sink->headroom, hpfeeds_publish_prefix("writer", "a.longer.channel"));
    assert_int_equal(owner.sink->max_payload, 1000 - owner.sink->headroom);
    size_t fits = owner_large_mail(&owner, "a", owner.sink->max_payload);
    size_t large = owner_large_mail(&owner, "b", owner.sink->max_payload + 1);
    owner_run_until(&owner, owner_all_settled);
    assert_int_equal(owner.mails[fits].takens, 1);
    assert_int_equal(owner.mails[large].refusals, 1);
    assert_int_equal(owner.downs, 0);
    owner_release(&owner);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_taken),
        cmocka_unit_test(test_few_markers),
        cmocka_unit_test(test_markers_keep_a_distance),
        cmocka_unit_test(test_close_uses_several_connections),
        cmocka_unit_test(test_tls),
        cmocka_unit_test(test_max_frame),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
