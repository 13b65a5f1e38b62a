/* The broker's bad days: a collector and its hpfeeds sink, with the times they have when it counts,
 * between a mailbox and a scripted broker, in one pass and continuously. Whatever the broker does,
 * for as long as it does it: in the end no mail is missing or altered, none was ever marked that
 * the broker did not handle, and what it got more than once is bounded. */
#include "../collect/stage.h"

#include <string.h>

#include "../sink/peer.h"
#include "sink/tuning.h"

enum {
    MAILS = 20,
    MORE = 3,     /* once the broker is well again */
    SIZE = 40000, /* of a mail */
    IN_MID = 7,   /* mails handled when something happens in mid-batch */
};

static struct days {
    struct stage stage;
    struct peer peer;
    struct trap *trap;
    struct sink_hpfeeds_settings settings;
    const char *channel;
} days;

static const struct way {
    const char *name;
    enum sink_confirm confirm;
    bool echo_same;
} ways[] = {
    {"echo", SINK_CONFIRM_ECHO, true},
    {"echo to the second", SINK_CONFIRM_ECHO, false},
    {"close", SINK_CONFIRM_CLOSE, true},
    {"sent", SINK_CONFIRM_SENT, true},
};

struct day {
    const char *name;
    void (*begin)(struct peer *peer);
    msec_t lasts;
    void (*mend)(struct peer *peer); /* NULL: it is over by itself */
    size_t most;                     /* how often it may get a mail */
    bool unread; /* it never handles what its kernel took: more than `sent` can know */
};

/* --- what it does ----------------------------------------------------------------------------- */

static void leave(struct peer *peer)
{
    peer_stop(peer, PEER_CLOSE);
}

static void come_back(struct peer *peer)
{
    peer_start(peer, days.stage.loop);
}

/* At its next frame once IN_MID mails were handled. */
static void in_mid(struct peer *peer, enum peer_answer kill, size_t kills)
{
    peer->kill_after = IN_MID;
    peer->kill = kill;
    peer->kills = kills;
    peer->away = 5 * SECOND;
}

static void crash_in_mid_frame(struct peer *peer)
{
    in_mid(peer, PEER_CRASH, 0);
    peer->cut_after = IN_MID * SIZE + SIZE / 2;
}

static void crash(struct peer *peer)
{
    in_mid(peer, PEER_CRASH, 1);
}

static void crash_thrice(struct peer *peer)
{
    in_mid(peer, PEER_CRASH, 3);
}

static void go_down(struct peer *peer)
{
    peer->words = "Broker is shutting down, try again later";
    in_mid(peer, PEER_ERROR_CLOSE, 4);
}

static void refuse_secret(struct peer *peer)
{
    peer->secret = "another";
}

static void refuse_ident(struct peer *peer)
{
    peer->secret = "another";
    peer->on_auth = PEER_CLOSE;
}

static void let_in(struct peer *peer)
{
    peer->secret = "secret";
}

static void refuse_channel(struct peer *peer)
{
    peer->on_publish = PEER_ERROR_CLOSE;
}

static void allow_channel(struct peer *peer)
{
    peer->on_publish = PEER_TAKE;
    peer->kills = 0;
}

static void refuse_in_mid(struct peer *peer)
{
    in_mid(peer, PEER_ERROR_CLOSE, SIZE_MAX);
}

static void refuse_behind(struct peer *peer)
{
    in_mid(peer, PEER_ERROR_CLOSE, SIZE_MAX);
    peer->kill_after = MAILS;
}

static void end_in_mid(struct peer *peer)
{
    in_mid(peer, PEER_CLOSE, 1);
}

static void long_error(struct peer *peer)
{
    in_mid(peer, PEER_LONG_ERROR_CLOSE, 1);
}

static void torn_error(struct peer *peer)
{
    in_mid(peer, PEER_TORN_ERROR_CLOSE, 1);
}

static void bad_error(struct peer *peer)
{
    in_mid(peer, PEER_BAD_ERROR_CLOSE, 1);
}

static void stop_reading(struct peer *peer)
{
    in_mid(peer, PEER_PAUSE, 1);
}

static void say_nothing(struct peer *peer)
{
    peer->on_connect = PEER_HANG;
}

static void speak(struct peer *peer)
{
    peer->on_connect = PEER_TAKE;
}

static void confirm_nothing(struct peer *peer)
{
    peer->on_marker = PEER_IGNORE;
    peer->on_end = PEER_HANG;
}

static void confirm_again(struct peer *peer)
{
    peer->on_marker = peer->on_end = PEER_TAKE;
}

/* --- a day -------------------------------------------------------------------------------------
 */

static struct sink *days_new_sink(void *ctx)
{
    struct sink_hpfeeds_tuning tuning = sink_hpfeeds_tuning_default;
    (void)ctx;
    tuning.poll = SECOND / 2; /* each look at the kernel is a jump of the clock */
    return sink_hpfeeds_new_tuned(days.stage.loop, &days.settings, &tuning);
}

static void days_begin(const struct way *way, bool continuous)
{
    memset(&days, 0, sizeof days);
    stage_init(&days.stage);
    days.stage.new_sink = days_new_sink;
    days.stage.settings.continuous = continuous;
    days.trap = stage_add_trap(&days.stage, "trap");
    days.trap->caps = "IDLE UIDPLUS ESEARCH";
    days.peer.secret = "secret";
    days.peer.confirm_channel = "confirm.writer";
    days.peer.echo_same = way->echo_same;
    days.peer.echo_second = true;
    days.peer.poisoned = SIZE_MAX;
    peer_start(&days.peer, days.stage.loop);
    days.channel = "spam.mails";
    days.settings = (struct sink_hpfeeds_settings){
        .host = "127.0.0.1",
        .port = days.peer.port,
        .ident = "writer",
        .secret = "secret",
        .channels = &days.channel,
        .channel_count = 1,
        .confirm = way->confirm,
        .confirm_grace = SECOND,
        .max_frame = 1 << 20,
    };
}

static void days_release(void)
{
    peer_release(&days.peer);
    stage_release(&days.stage);
}

static size_t days_handled(const struct letter *letter)
{
    return peer_handled(&days.peer, days.channel, letter->body, strlen(letter->body));
}

/* Nothing is marked that the broker did not handle. `sent` can know only what its kernel has: it
 * has to be handled once the broker goes on. */
static void days_check_marks(bool mended)
{
    const struct box *box = trap_box(days.trap, "INBOX");
    if (days.settings.confirm == SINK_CONFIRM_SENT && !mended)
        return;
    for (size_t i = 0; i < box->count; i++)
        if (letter_has(&box->letters[i], "\\Seen") && !days_handled(&box->letters[i]))
            stage_fail(&days.stage, "a mail is marked that was not delivered");
}

/* UID `held` (0: none) is untouched; all others were delivered, up to `most` times, and are
 * marked. */
static void days_verdict(uint32_t held, size_t most)
{
    const struct box *box = trap_box(days.trap, "INBOX");
    size_t delivered = 0;

    days_check_marks(true);
    for (size_t i = 0; i < box->count; i++) {
        const struct letter *letter = &box->letters[i];
        size_t times = days_handled(letter);
        delivered += times;
        if (letter->uid == held && (times || *letter->flags))
            stage_fail(&days.stage, "the mail to be held was delivered or touched");
        if (letter->uid != held && (!times || !letter_has(letter, "\\Seen")))
            stage_fail(&days.stage, "a mail is missing, or not marked");
        if (times > most)
            stage_fail(&days.stage, "a mail was delivered too often");
    }
    if (delivered != days.peer.record_count)
        stage_fail(&days.stage, "what arrived is altered");
}

static bool days_all_marked(struct stage *stage)
{
    (void)stage;
    return !box_unseen(trap_box(days.trap, "INBOX"));
}

static void days_watch(const struct day *day)
{
    stage_pass(&days.stage, day->lasts);
    days_check_marks(false);
    if (day->mend)
        day->mend(&days.peer);
    stage_mail(&days.stage, days.trap, MORE, SIZE);
    stage_await(&days.stage, 5 * MINUTE, days_all_marked);
    stage_pass(&days.stage, HOUR);
    /* However long it lasts, it is told once, and what comes of it. */
    if (stage_logged(&days.stage, "warning") > 6)
        stage_fail(&days.stage, "too many words");
}

/* A pass that could not go on leaves the rest to the next one. */
static void days_visit(const struct day *day)
{
    stage_pass(&days.stage, day->lasts);
    days_check_marks(false);
    if (day->mend)
        day->mend(&days.peer);
    stage_await_finished(&days.stage, HOUR);
    stage_pass(&days.stage, MINUTE);
    days_check_marks(true);
    if (days.stage.outcome == COLLECTOR_ALL_DONE)
        return;
    assert_int_equal(days.stage.outcome, COLLECTOR_SINK_FAILED);
    stage_start(&days.stage);
    stage_await_finished(&days.stage, HOUR);
    assert_int_equal(days.stage.outcome, COLLECTOR_ALL_DONE);
}

static void days_run(const struct day *day, const struct way *way, bool continuous)
{
    print_message("  %s, %s, %s\n", day->name, way->name, continuous ? "continuously" : "a pass");
    days_begin(way, continuous);
    stage_mail(&days.stage, days.trap, MAILS, SIZE);
    day->begin(&days.peer);
    stage_start(&days.stage);
    if (continuous)
        days_watch(day);
    else
        days_visit(day);
    days_verdict(0, day->most);
    days_release();
}

static const struct day bad_days[] = {
    {"away at the start, for a moment", leave, 5 * SECOND, come_back, 1, false},
    {"away at the start", leave, 10 * MINUTE, come_back, 1, false},
    {"killed in mid-frame", crash_in_mid_frame, MINUTE, NULL, 2, true},
    {"killed", crash, MINUTE, NULL, 2, true},
    {"killed three times", crash_thrice, MINUTE, NULL, 4, true},
    {"ended in good order", go_down, MINUTE, NULL, 2, true},
    {"refuses the secret", refuse_secret, 30 * MINUTE, let_in, 1, false},
    {"refuses the ident without a word", refuse_ident, 30 * MINUTE, let_in, 1, false},
    {"refuses the channel", refuse_channel, 30 * MINUTE, allow_channel, 1, true},
    {"refuses the channel in mid-batch", refuse_in_mid, 30 * MINUTE, allow_channel, 2, true},
    {"refuses the channel behind the batch", refuse_behind, 30 * MINUTE, allow_channel, 2, true},
    {"closes without a word", end_in_mid, MINUTE, NULL, 2, true},
    {"an error longer than it says", long_error, MINUTE, NULL, 2, true},
    {"an error shorter than it says", torn_error, MINUTE, NULL, 2, true},
    {"an error that is none", bad_error, MINUTE, NULL, 2, true},
    {"does not read for a while", stop_reading, 50 * SECOND, peer_go_on, 1, false},
    {"does not read for minutes", stop_reading, 5 * MINUTE, peer_go_on, 2, false},
    {"accepts and says nothing", say_nothing, 10 * MINUTE, speak, 1, false},
    {"takes, and never answers", confirm_nothing, 10 * MINUTE, confirm_again, 10, false},
};

/* What is asked of `sent` is what it can know; which connection an echo comes on matters to the
 * sink alone, whatever the collector is about. */
static bool days_is_fit(const struct day *day, const struct way *way, bool continuous)
{
    if (way->confirm == SINK_CONFIRM_SENT)
        return !day->unread;
    return way->echo_same || continuous;
}

static void test_bad_days(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(bad_days); i++)
        for (size_t n = 0; n < COUNT(ways); n++)
            for (int continuous = 0; continuous < 2; continuous++)
                if (days_is_fit(&bad_days[i], &ways[n], continuous))
                    days_run(&bad_days[i], &ways[n], continuous);
}

/* --- its limit is below ours ------------------------------------------------------------------ */

static bool one_is_left(struct stage *stage)
{
    (void)stage;
    return box_unseen(trap_box(days.trap, "INBOX")) == 1;
}

/* The mail that does not fit is found and held, and the others are delivered, those that come later
 * too; then nothing goes round. */
static void limit_run(const struct way *way, enum peer_answer excess, bool continuous)
{
    print_message("  %s, %s\n", way->name, continuous ? "continuously" : "a pass");
    days_begin(way, continuous);
    days.peer.frame_max = SIZE + 1000;
    days.peer.on_excess = excess;
    stage_mail(&days.stage, days.trap, MAILS / 2, 1000);
    stage_mail(&days.stage, days.trap, 1, SIZE + 2000);
    stage_mail(&days.stage, days.trap, MAILS / 2, 1000);
    stage_start(&days.stage);
    if (!continuous) {
        stage_await_finished(&days.stage, HOUR);
        assert_int_equal(days.stage.outcome, COLLECTOR_ALL_DONE);
        stage_start(&days.stage);
        stage_await_finished(&days.stage, HOUR);
    } else {
        stage_await(&days.stage, 5 * MINUTE, one_is_left);
        stage_pass(&days.stage, 10 * MINUTE);
        size_t accepted = days.peer.accepted;
        stage_pass(&days.stage, 6 * HOUR);
        assert_int_equal(days.peer.accepted, accepted);
        stage_mail(&days.stage, days.trap, MORE, 1000);
        stage_await(&days.stage, MINUTE, one_is_left);
    }
    assert_int_equal(stage_logged(&days.stage, "held, left untouched: UID 11"), 1);
    days_verdict(MAILS / 2 + 1, 4);
    days_release();
}

static void test_limit_below_ours(void **state)
{
    static const enum peer_answer answers[] = {PEER_RESET, PEER_CLOSE};
    (void)state;
    for (size_t i = 0; i < COUNT(answers); i++)
        for (size_t n = 0; n < COUNT(ways); n++)
            for (int continuous = 0; continuous < 2; continuous++)
                /* Its kernel takes what it drops: `sent` hears too late of it. */
                if (ways[n].confirm != SINK_CONFIRM_SENT)
                    limit_run(&ways[n], answers[i], continuous);
}

/* --- a proxy with idle time-outs ---------------------------------------------------------------
 */

static bool links_again(struct stage *stage)
{
    (void)stage;
    return days.peer.open;
}

/* It ends each connection that was idle for three minutes, all day long; the side that publishes
 * and the one that listens not always in the same moment. Mail that comes then is delivered at
 * once, and nobody hears of it. */
static void test_idle_time_outs(void **state)
{
    (void)state;
    for (size_t n = 0; n < COUNT(ways); n++) {
        print_message("  %s\n", ways[n].name);
        days_begin(&ways[n], true);
        stage_mail(&days.stage, days.trap, MAILS, 0);
        stage_start(&days.stage);
        stage_await(&days.stage, MINUTE, days_all_marked);
        for (size_t i = 0; i < 48; i++) {
            enum peer_answer how = i % 2 ? PEER_RESET : PEER_CLOSE;
            stage_pass(&days.stage, 3 * MINUTE);
            if (i % 3 == 2)
                peer_drop_newest(&days.peer, how);
            else
                peer_drop_links(&days.peer, how);
            if (i % 8)
                continue;
            stage_mail(&days.stage, days.trap, 1, 0);
            stage_await(&days.stage, 5 * SECOND, days_all_marked);
        }
        if (ways[n].confirm != SINK_CONFIRM_CLOSE)
            stage_await(&days.stage, SECOND, links_again);
        days_verdict(0, 1);
        assert_int_equal(stage_logged(&days.stage, "warning"), 0);
        assert_int_equal(stage_logged(&days.stage, "delivering to"), 1);
        days_release();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_days),
        cmocka_unit_test(test_limit_below_ours),
        cmocka_unit_test(test_idle_time_outs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
