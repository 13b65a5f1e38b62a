/* confirm: close. Every batch has a connection of its own. When the peer's kernel has acknowledged
 * all of it, it rests, is half-closed and read to the end: brokers close on our FIN, and they see
 * it only behind every frame. */
#include <stdlib.h>

#include "base/mem.h"
#include "net/loop.h"
#include "sink/confirm.h"

/* CONNECTING → GATHERING → DRAINING → RESTING → ENDING; a check has no mails and goes from
 * CONNECTING to RESTING. The batch is gone when the connection is. */
enum batch_state {
    BATCH_CONNECTING, /* mails wait */
    BATCH_GATHERING,  /* mails are written as they come */
    BATCH_DRAINING,   /* sealed; until the peer's kernel has it all */
    BATCH_RESTING,    /* time for a reset to come to light */
    BATCH_ENDING,     /* half-closed: now a clean end means taken */
};

struct batch {
    struct batch *next;
    struct confirm_close *owner;
    enum batch_state state;
    bool check; /* has no mails: answers open() */
    struct publisher *publisher;
    struct net_timer *timer; /* of the state */
    struct sink_mail_list mails;
    size_t bytes;
    msec_t first_at; /* when its first … */
    msec_t last_at;  /* … and its last mail came */
    struct confirm_progress progress;
};

struct confirm_close {
    struct confirm confirm;
    struct batch *batches;
    size_t count;
    struct batch *gathering; /* takes more mails; NULL: none does */
};

static struct confirm_close *confirm_close_cast(const struct confirm *confirm)
{
    return (struct confirm_close *)(uintptr_t)confirm;
}

static const struct confirm_setup *batch_setup(const struct batch *batch)
{
    return batch->owner->confirm.setup;
}

static msec_t batch_now(const struct batch *batch)
{
    return net_loop_now(batch_setup(batch)->loop);
}

/* Takes it out and frees it, but for its mails. */
static void batch_free(struct batch *batch)
{
    struct confirm_close *owner = batch->owner;
    struct batch **link = &owner->batches;

    while (*link != batch)
        link = &(*link)->next;
    *link = batch->next;
    owner->count--;
    if (owner->gathering == batch)
        owner->gathering = NULL;
    publisher_close(batch->publisher);
    net_timer_free(batch->timer);
    free(batch);
}

static void batch_taken(struct batch *batch)
{
    const struct confirm_setup *setup = batch_setup(batch);
    struct sink_mail_list mails = batch->mails;
    bool check = batch->check;
    struct sink_mail *mail;

    batch_free(batch);
    if (check)
        setup->events->opened(setup->ctx);
    while ((mail = sink_mail_list_pop(&mails)))
        setup->events->taken(setup->ctx, mail);
}

static void batch_lost(struct batch *batch, enum publisher_end how, const struct err *err)
{
    const struct confirm_setup *setup = batch_setup(batch);
    struct sink_mail_list mails = batch->mails;
    enum batch_state state = batch->state;
    bool check = batch->check;
    struct err why = *err;

    batch_free(batch);
    if (!check) {
        setup->events->lost(setup->ctx, &mails, how, &why);
        return;
    }
    if (state != BATCH_CONNECTING)
        confirm_login_error(setup, how, &why);
    setup->events->open_failed(setup->ctx, how, &why);
}

static bool batch_full(const struct batch *batch)
{
    const struct sink_hpfeeds_tuning *tuning = &batch_setup(batch)->tuning;
    return batch->mails.count >= tuning->batch_mails || batch->bytes >= tuning->batch_bytes;
}

static void batch_rest(struct batch *batch, msec_t rest)
{
    batch->state = BATCH_RESTING;
    net_timer_start(batch->timer, rest);
}

static uint64_t batch_progress(const struct batch *batch)
{
    return publisher_acknowledged(batch->publisher);
}

static void batch_seal(struct batch *batch)
{
    if (batch->owner->gathering == batch)
        batch->owner->gathering = NULL;
    batch->state = BATCH_DRAINING;
    confirm_progress_start(&batch->progress, batch_progress(batch), batch_now(batch));
    net_timer_start(batch->timer, batch_setup(batch)->tuning.poll);
}

static void batch_gather(struct batch *batch)
{
    const struct sink_hpfeeds_tuning *tuning = &batch_setup(batch)->tuning;
    msec_t quiet = batch_now(batch) - batch->last_at;
    msec_t age = batch_now(batch) - batch->first_at;

    if (batch_full(batch) || quiet >= tuning->quiet || age >= tuning->gather)
        batch_seal(batch);
    else
        net_timer_start(batch->timer, tuning->quiet - quiet);
}

static void batch_drain(struct batch *batch)
{
    const struct confirm_setup *setup = batch_setup(batch);
    struct err err;

    if (!publisher_unacknowledged(batch->publisher))
        batch_rest(batch, setup->grace);
    else if (confirm_progress_stalled(&batch->progress, batch_progress(batch), batch_now(batch),
                                      setup->tuning.stall))
        batch_lost(batch, PUBLISHER_TIMED_OUT, confirm_stall_error(setup, &err));
    else
        net_timer_start(batch->timer, setup->tuning.poll);
}

static void batch_end(struct batch *batch)
{
    batch->state = BATCH_ENDING;
    publisher_end(batch->publisher);
    net_timer_start(batch->timer, batch_setup(batch)->tuning.stall);
}

static void batch_never_ended(struct batch *batch)
{
    struct err err;
    err_set(&err, ERR_RETRY_LATER, "the broker did not answer the half-close for %llu s",
            (unsigned long long)(batch_setup(batch)->tuning.stall / 1000));
    batch_lost(batch, PUBLISHER_TIMED_OUT, &err);
}

static void batch_fire(void *ctx)
{
    struct batch *batch = ctx;

    switch (batch->state) {
    case BATCH_CONNECTING: /* the publisher has deadlines of its own */
        break;
    case BATCH_GATHERING:
        batch_gather(batch);
        break;
    case BATCH_DRAINING:
        batch_drain(batch);
        break;
    case BATCH_RESTING:
        batch_end(batch);
        break;
    case BATCH_ENDING:
        batch_never_ended(batch);
        break;
    }
}

static void batch_ready(void *ctx)
{
    struct batch *batch = ctx;
    const struct confirm_setup *setup = batch_setup(batch);

    if (batch->check) {
        /* A login that is refused without a word looks like an end: only before the half-close
         * can the two be told apart. */
        msec_t least = setup->tuning.check_rest;
        batch_rest(batch, setup->grace > least ? setup->grace : least);
        return;
    }
    batch->state = BATCH_GATHERING;
    for (struct sink_mail *mail = batch->mails.head; mail; mail = mail->next)
        publisher_publish(batch->publisher, mail);
    batch_gather(batch);
}

static void batch_sent(void *ctx, struct sink_mail *mail)
{
    const struct confirm_setup *setup = batch_setup(ctx);
    setup->events->sent(setup->ctx, mail);
}

static void batch_gone(void *ctx, enum publisher_end how, const struct err *err)
{
    struct batch *batch = ctx;
    if (how == PUBLISHER_ENDED && batch->state == BATCH_ENDING)
        batch_taken(batch);
    else
        batch_lost(batch, how, err);
}

static const struct publisher_events batch_events = {
    .ready = batch_ready,
    .sent = batch_sent,
    .gone = batch_gone,
};

static struct batch *batch_new(struct confirm_close *owner, bool check)
{
    const struct confirm_setup *setup = owner->confirm.setup;
    struct batch *batch = mem_new(struct batch);

    batch->owner = owner;
    batch->check = check;
    batch->first_at = net_loop_now(setup->loop);
    batch->timer = net_timer_new(setup->loop, batch_fire, batch);
    batch->publisher = publisher_open(setup->loop, &setup->publisher, &batch_events, batch);
    batch->next = owner->batches;
    owner->batches = batch;
    owner->count++;
    return batch;
}

static void batch_add(struct batch *batch, struct sink_mail *mail)
{
    batch->last_at = batch_now(batch);
    batch->bytes += mail->payload_len;
    sink_mail_list_add(&batch->mails, mail);
    if (batch->state == BATCH_GATHERING) {
        publisher_publish(batch->publisher, mail);
        if (batch_full(batch))
            batch_seal(batch);
    } else if (batch_full(batch)) {
        batch->owner->gathering = NULL;
    }
}

static void confirm_close_open(struct confirm *confirm)
{
    batch_new(confirm_close_cast(confirm), true);
}

static bool confirm_close_has_room(const struct confirm *confirm)
{
    const struct confirm_close *way = confirm_close_cast(confirm);
    return way->gathering || way->count < confirm->setup->tuning.batches;
}

static void confirm_close_publish(struct confirm *confirm, struct sink_mail *mail)
{
    struct confirm_close *way = confirm_close_cast(confirm);
    if (!way->gathering)
        way->gathering = batch_new(way, false);
    batch_add(way->gathering, mail);
}

static void confirm_close_free(struct confirm *confirm)
{
    struct confirm_close *way = confirm_close_cast(confirm);
    while (way->batches) {
        sink_mail_list_release(&way->batches->mails);
        batch_free(way->batches);
    }
    free(way);
}

static const struct confirm_ops confirm_close_ops = {
    .name = "close",
    .open = confirm_close_open,
    .has_room = confirm_close_has_room,
    .publish = confirm_close_publish,
    .free = confirm_close_free,
};

struct confirm *confirm_close_new(const struct confirm_setup *setup)
{
    struct confirm_close *way = mem_new(struct confirm_close);
    way->confirm = (struct confirm){.ops = &confirm_close_ops, .setup = setup};
    return &way->confirm;
}
