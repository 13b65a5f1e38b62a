#include "sink/notices.h"

#include <stdlib.h>

#include "base/mem.h"
#include "net/loop.h"

enum notice_type {
    NOTICE_UP,
    NOTICE_DOWN,
    NOTICE_SENT,
    NOTICE_SETTLED,
};

struct notice {
    struct notice *next;
    enum notice_type type;
    enum sink_outcome outcome;
    void *token;
    struct err *err; /* owned, or NULL */
};

struct notices {
    struct net_deferred *deferred;
    const struct sink_events *events;
    void *ctx;
    struct notice *head;
    struct notice **tail;
    bool telling_now;
    bool freed; /* by an event: notices_tell() frees the struct when it is done with it */
};

static void notices_forget(struct notice *notice)
{
    free(notice->err);
    free(notice);
}

static void notices_tell_one(const struct sink_events *events, void *ctx,
                             const struct notice *notice)
{
    switch (notice->type) {
    case NOTICE_UP:
        events->up(ctx);
        break;
    case NOTICE_DOWN:
        events->down(ctx, notice->err);
        break;
    case NOTICE_SENT:
        events->sent(ctx, notice->token);
        break;
    case NOTICE_SETTLED:
        events->settled(ctx, notice->token, notice->outcome, notice->err);
        break;
    }
}

/* Tells what was there when it began; what the events add is told next turn, so that an owner
 * that offers in answer to a refusal cannot hold the loop here. */
static void notices_tell(void *ctx)
{
    struct notices *notices = ctx;
    struct notice *notice = notices->head;

    notices->head = NULL;
    notices->tail = &notices->head;
    notices->telling_now = true;
    while (notice) {
        struct notice *next = notice->next;
        if (!notices->freed)
            notices_tell_one(notices->events, notices->ctx, notice);
        notices_forget(notice);
        notice = next;
    }
    notices->telling_now = false;
    if (notices->freed)
        free(notices);
}

struct notices *notices_new(struct net_loop *loop)
{
    struct notices *notices = mem_new(struct notices);
    notices->tail = &notices->head;
    notices->deferred = net_deferred_new(loop, notices_tell, notices);
    return notices;
}

void notices_set_owner(struct notices *notices, const struct sink_events *events, void *ctx)
{
    notices->events = events;
    notices->ctx = ctx;
}

static struct notice *notices_add(struct notices *notices, enum notice_type type,
                                  const struct err *err)
{
    struct notice *notice = mem_new(struct notice);
    notice->type = type;
    if (err) {
        notice->err = mem_new(struct err);
        *notice->err = *err;
    }
    *notices->tail = notice;
    notices->tail = &notice->next;
    net_deferred_schedule(notices->deferred);
    return notice;
}

void notices_up(struct notices *notices)
{
    notices_add(notices, NOTICE_UP, NULL);
}

void notices_down(struct notices *notices, const struct err *err)
{
    notices_add(notices, NOTICE_DOWN, err);
}

void notices_sent(struct notices *notices, void *token)
{
    notices_add(notices, NOTICE_SENT, NULL)->token = token;
}

void notices_settled(struct notices *notices, void *token, enum sink_outcome outcome,
                     const struct err *err)
{
    struct notice *notice = notices_add(notices, NOTICE_SETTLED, err);
    notice->token = token;
    notice->outcome = outcome;
}

void notices_free(struct notices *notices)
{
    if (!notices)
        return;
    while (notices->head) {
        struct notice *next = notices->head->next;
        notices_forget(notices->head);
        notices->head = next;
    }
    net_deferred_free(notices->deferred);
    notices->freed = true;
    if (!notices->telling_now)
        free(notices);
}
