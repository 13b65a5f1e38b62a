/* confirm: sent. One connection; a mail is taken when the peer's kernel has acknowledged its last
 * byte. What the broker does with it then is not known. */
#include <stdlib.h>

#include "base/mem.h"
#include "net/loop.h"
#include "sink/confirm.h"

/* CLOSED → CONNECTING → RESTING → OPEN → CLOSED; each falls back to CLOSED on trouble. */
enum sent_state {
    SENT_CLOSED,     /* no publisher */
    SENT_CONNECTING, /* until AUTH is on its way */
    SENT_RESTING,    /* a refusal of AUTH would come now */
    SENT_OPEN,       /* mails may be in flight */
};

struct confirm_sent {
    struct confirm confirm;
    enum sent_state state;
    struct publisher *publisher;
    struct net_timer *timer; /* RESTING: its end. OPEN with mails: the next look at the kernel */
    struct sink_mail_list mails;
    struct confirm_progress progress;
};

static struct confirm_sent *confirm_sent_cast(const struct confirm *confirm)
{
    return (struct confirm_sent *)(uintptr_t)confirm;
}

static msec_t confirm_sent_now(const struct confirm_sent *sent)
{
    return net_loop_now(sent->confirm.setup->loop);
}

static void confirm_sent_close(struct confirm_sent *sent)
{
    publisher_close(sent->publisher);
    sent->publisher = NULL;
    sent->state = SENT_CLOSED;
    net_timer_stop(sent->timer);
}

static void confirm_sent_lost(struct confirm_sent *sent, enum publisher_end how,
                              const struct err *err)
{
    const struct confirm_setup *setup = sent->confirm.setup;
    enum sent_state was = sent->state;
    struct sink_mail_list mails = sent->mails;
    struct err why = *err;

    confirm_sent_close(sent);
    sent->mails = (struct sink_mail_list){0};
    if (was == SENT_OPEN) {
        setup->events->lost(setup->ctx, &mails, how, &why);
        return;
    }
    if (was == SENT_RESTING)
        confirm_login_error(setup, how, &why);
    setup->events->open_failed(setup->ctx, how, &why);
}

static void confirm_sent_settle(struct confirm_sent *sent, uint64_t acknowledged)
{
    const struct confirm_setup *setup = sent->confirm.setup;
    struct sink_mail_list taken = {0};
    struct sink_mail *mail;

    while ((mail = sent->mails.head) && mail->sent && mail->position <= acknowledged)
        sink_mail_list_add(&taken, sink_mail_list_pop(&sent->mails));
    if (sent->mails.count)
        net_timer_start(sent->timer, setup->tuning.poll);
    while ((mail = sink_mail_list_pop(&taken)))
        setup->events->taken(setup->ctx, mail);
}

static void confirm_sent_fire(void *ctx)
{
    struct confirm_sent *sent = ctx;
    const struct confirm_setup *setup = sent->confirm.setup;
    struct err err;

    if (sent->state == SENT_RESTING) {
        sent->state = SENT_OPEN;
        setup->events->opened(setup->ctx);
        return;
    }
    uint64_t acknowledged = publisher_acknowledged(sent->publisher);
    if (confirm_progress_stalled(&sent->progress, acknowledged, confirm_sent_now(sent),
                                 setup->tuning.stall))
        confirm_sent_lost(sent, PUBLISHER_TIMED_OUT, confirm_stall_error(setup, &err));
    else
        confirm_sent_settle(sent, acknowledged);
}

static void confirm_sent_ready(void *ctx)
{
    struct confirm_sent *sent = ctx;
    sent->state = SENT_RESTING;
    net_timer_start(sent->timer, sent->confirm.setup->tuning.check_rest);
}

static void confirm_sent_mail_sent(void *ctx, struct sink_mail *mail)
{
    struct confirm_sent *sent = ctx;
    mail->position = publisher_written(sent->publisher);
    sent->confirm.setup->events->sent(sent->confirm.setup->ctx, mail);
}

static void confirm_sent_gone(void *ctx, enum publisher_end how, const struct err *err)
{
    confirm_sent_lost(ctx, how, err);
}

static const struct publisher_events confirm_sent_events = {
    .ready = confirm_sent_ready,
    .sent = confirm_sent_mail_sent,
    .gone = confirm_sent_gone,
};

static void confirm_sent_open(struct confirm *confirm)
{
    struct confirm_sent *sent = confirm_sent_cast(confirm);

    confirm_sent_close(sent);
    sent->state = SENT_CONNECTING;
    sent->publisher = publisher_open(confirm->setup->loop, &confirm->setup->publisher,
                                     &confirm_sent_events, sent);
}

static bool confirm_sent_has_room(const struct confirm *confirm)
{
    (void)confirm;
    return true;
}

static void confirm_sent_publish(struct confirm *confirm, struct sink_mail *mail)
{
    struct confirm_sent *sent = confirm_sent_cast(confirm);

    if (!sent->mails.count) {
        confirm_progress_start(&sent->progress, publisher_acknowledged(sent->publisher),
                               confirm_sent_now(sent));
        net_timer_start(sent->timer, confirm->setup->tuning.poll);
    }
    sink_mail_list_add(&sent->mails, mail);
    publisher_publish(sent->publisher, mail);
}

static void confirm_sent_free(struct confirm *confirm)
{
    struct confirm_sent *sent = confirm_sent_cast(confirm);
    confirm_sent_close(sent);
    net_timer_free(sent->timer);
    sink_mail_list_release(&sent->mails);
    free(sent);
}

static const struct confirm_ops confirm_sent_ops = {
    .name = "sent",
    .open = confirm_sent_open,
    .has_room = confirm_sent_has_room,
    .publish = confirm_sent_publish,
    .free = confirm_sent_free,
};

struct confirm *confirm_sent_new(const struct confirm_setup *setup)
{
    struct confirm_sent *sent = mem_new(struct confirm_sent);
    sent->confirm = (struct confirm){.ops = &confirm_sent_ops, .setup = setup};
    sent->timer = net_timer_new(setup->loop, confirm_sent_fire, sent);
    return &sent->confirm;
}
