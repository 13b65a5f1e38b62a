#include "owner.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "../net/driven.h"
#include "net/loop.h"

enum {
    OWNER_PATIENCE = 24 * 3600 * 1000, /* ms of its clock */
};

static struct owner_mail *owner_of(struct owner *owner, void *token)
{
    return &owner->mails[(size_t)((uintptr_t)token - 1)];
}

static void owner_offer(struct owner *owner, struct owner_mail *mail)
{
    struct buf frame = {0};
    size_t headroom = owner->sink->headroom;
    buf_reserve_exact(&frame, headroom + mail->payload.len);
    memset(frame.data, 0xee, headroom);
    frame.len = headroom;
    buf_add(&frame, mail->payload.data, mail->payload.len);
    mail->waiting = false;
    mail->out = true;
    mail->sent = false;
    mail->offers++;
    sink_offer(owner->sink, &frame, (void *)((uintptr_t)(mail - owner->mails) + 1));
    assert_null(frame.data);
}

static bool owner_counts(struct owner *owner)
{
    if (++owner->events != owner->free_at)
        return true;
    sink_free(owner->sink);
    owner->sink = NULL;
    return false;
}

static void owner_up(void *ctx)
{
    struct owner *owner = ctx;
    assert_false(owner->up);
    owner->up = true;
    owner->ups++;
    if (!owner_counts(owner))
        return;
    for (size_t i = 0; i < owner->mail_count; i++) {
        if (owner->mails[i].waiting)
            owner_offer(owner, &owner->mails[i]);
    }
}

static void owner_down(void *ctx, const struct err *err)
{
    struct owner *owner = ctx;
    owner->up = false;
    owner->downs++;
    owner->err = *err;
    owner_counts(owner);
}

static void owner_sent(void *ctx, void *token)
{
    struct owner *owner = ctx;
    struct owner_mail *mail = owner_of(owner, token);
    assert_true(mail->out);
    assert_false(mail->sent);
    mail->sent = true;
    mail->sents++;
    owner_counts(owner);
}

static void owner_check_taken(const struct owner *owner, const struct owner_mail *mail)
{
    assert_true(mail->sent);
    for (size_t i = 0; i < owner->settings.channel_count && !owner->lies; i++)
        assert_true(peer_handled(&owner->peer, owner->channels[i], mail->payload.data,
                                 mail->payload.len) > 0);
}

static void owner_settled(void *ctx, void *token, enum sink_outcome outcome, const struct err *err)
{
    struct owner *owner = ctx;
    struct owner_mail *mail = owner_of(owner, token);

    assert_true(mail->out);
    assert_true((outcome == SINK_TAKEN) == !err);
    mail->out = false;
    owner->settled++;
    if (err)
        mail->err = *err;
    if (outcome == SINK_TAKEN)
        owner_check_taken(owner, mail);
    mail->takens += outcome == SINK_TAKEN;
    mail->refusals += outcome == SINK_REFUSED;
    mail->retries += outcome == SINK_RETRY;
    mail->waiting = outcome == SINK_RETRY && !owner->keep;
    if (owner_counts(owner) && mail->waiting && owner->up)
        owner_offer(owner, mail);
}

static const struct sink_events owner_events = {
    .up = owner_up,
    .down = owner_down,
    .sent = owner_sent,
    .settled = owner_settled,
};

static void owner_pausing(void *ctx, msec_t pause)
{
    struct owner *owner = ctx;
    if (owner->pause_count < OWNER_PAUSES)
        owner->pauses[owner->pause_count++] = pause;
}

void owner_init(struct owner *owner)
{
    memset(owner, 0, sizeof *owner);
    owner->loop = net_loop_new();
    net_loop_drive(owner->loop);
    owner->peer.secret = "secret";
    owner->peer.confirm_channel = "confirm.writer";
    owner->peer.echo_same = owner->peer.echo_second = true;
    owner->peer.poisoned = SIZE_MAX;
    owner->channels[0] = "spam.mails";
    owner->settings = (struct sink_hpfeeds_settings){
        .host = "127.0.0.1",
        .ident = "writer",
        .secret = "secret",
        .channels = owner->channels,
        .channel_count = 1,
        .confirm = SINK_CONFIRM_ECHO,
        .confirm_grace = 5,
        .max_frame = 1 << 20,
    };
    owner->tuning = sink_hpfeeds_tuning_default;
    owner->tuning.backoff_first = 2;
    owner->tuning.backoff_most = 16;
    owner->tuning.check_rest = 5;
    owner->tuning.poll = 1;
    owner->tuning.probe_interval = 10;
    owner->tuning.marker_interval = 1;
    owner->tuning.quiet = 3;
    owner->tuning.gather = 20;
    owner->tuning.pausing = owner_pausing;
    owner->tuning.pausing_ctx = owner;
}

void owner_start(struct owner *owner)
{
    if (!owner->peer.listener)
        peer_start(&owner->peer, owner->loop);
    if (!owner->settings.port)
        owner->settings.port = owner->peer.port;
    owner->sink = sink_hpfeeds_new_tuned(owner->loop, &owner->settings, &owner->tuning);
    sink_start(owner->sink, &owner_events, owner);
}

static size_t owner_add(struct owner *owner)
{
    size_t number = owner->mail_count++;
    assert_true(number < OWNER_MAILS);
    return number;
}

static size_t owner_ready(struct owner *owner, size_t number)
{
    if (owner->up)
        owner_offer(owner, &owner->mails[number]);
    else
        owner->mails[number].waiting = true;
    return number;
}

size_t owner_mail(struct owner *owner, const char *payload)
{
    size_t number = owner_add(owner);
    buf_add_str(&owner->mails[number].payload, payload);
    return owner_ready(owner, number);
}

size_t owner_large_mail(struct owner *owner, const char *payload, size_t len)
{
    size_t number = owner_add(owner);
    buf_add_str(&owner->mails[number].payload, payload);
    while (owner->mails[number].payload.len < len)
        buf_add_byte(&owner->mails[number].payload, (uint8_t)owner->mails[number].payload.len);
    return owner_ready(owner, number);
}

/* A condition, as driven.h asks for it. */
struct owner_wait {
    const struct owner *owner;
    bool (*holds)(const struct owner *owner);
};

static bool owner_holds(void *ctx)
{
    const struct owner_wait *wait = ctx;
    return wait->holds(wait->owner);
}

void owner_run_until(struct owner *owner, bool (*holds)(const struct owner *owner))
{
    struct owner_wait wait = {owner, holds};
    const char *why = driven_await(owner->loop, OWNER_PATIENCE, owner_holds, &wait);
    if (why)
        fail_msg("%s", why);
}

void owner_pass(struct owner *owner, msec_t by)
{
    driven_pass(owner->loop, by);
}

void owner_release(struct owner *owner)
{
    sink_free(owner->sink);
    peer_release(&owner->peer);
    net_loop_free(owner->loop);
    for (size_t i = 0; i < owner->mail_count; i++)
        buf_release(&owner->mails[i].payload);
}

bool owner_is_up(const struct owner *owner)
{
    return owner->up;
}

bool owner_is_down(const struct owner *owner)
{
    return owner->downs > 0;
}

bool owner_all_sent(const struct owner *owner)
{
    for (size_t i = 0; i < owner->mail_count; i++) {
        if (owner->mails[i].out && !owner->mails[i].sent)
            return false;
    }
    return true;
}

bool owner_all_settled(const struct owner *owner)
{
    for (size_t i = 0; i < owner->mail_count; i++) {
        if (owner->mails[i].waiting || owner->mails[i].out)
            return false;
    }
    return true;
}
