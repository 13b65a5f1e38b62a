#include "fake_sink.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct fake_offer {
    struct fake_offer *next;
    void *token;
    char *body;
};

/* Appends to a list of bodies. */
static void fake_keep(char ***list, size_t *count, char *moved_body)
{
    *list = mem_realloc_array(*list, *count + 1, sizeof **list);
    (*list)[(*count)++] = moved_body;
}

/* Settles the oldest. */
static void fake_settle(struct fake_sink *fake)
{
    struct fake_offer *offer = fake->offers;
    struct err err = {0};
    enum sink_outcome outcome = SINK_TAKEN;
    const struct sink_events *events = fake->sink.events;
    if (fake->down) {
        outcome = SINK_RETRY;
        err_set(&err, ERR_RETRY_LATER, "the sink is down");
    } else if (fake->refuses && strstr(offer->body, fake->refuses)) {
        outcome = SINK_REFUSED;
        err_set(&err, ERR_GIVE_UP, "the sink does not like it");
    }
    fake->offers = offer->next;
    fake->waiting--;
    fake->bytes -= strlen(offer->body);
    fake->settled_at = net_loop_now(fake->loop);
    if (outcome == SINK_TAKEN) {
        fake_keep(&fake->taken, &fake->taken_count, offer->body);
        events->sent(fake->sink.ctx, offer->token);
    } else {
        free(offer->body);
    }
    events->settled(fake->sink.ctx, offer->token, outcome, outcome == SINK_TAKEN ? NULL : &err);
    free(offer);
}

static void fake_tell(void *ctx)
{
    struct fake_sink *fake = ctx;
    struct err err;
    if (!fake->down != fake->told_up) {
        fake->told_up = !fake->down;
        err_set(&err, ERR_RETRY_LATER, "the sink is down");
        if (fake->told_up)
            fake->sink.events->up(fake->sink.ctx);
        else
            fake->sink.events->down(fake->sink.ctx, &err);
    }
    while (!fake->freed && fake->offers && (fake->down || !fake->holds)) {
        msec_t now = net_loop_now(fake->loop), due = fake->settled_at + fake->slow;
        if (!fake->down && due > now) {
            net_timer_start(fake->timer, due - now);
            return;
        }
        fake_settle(fake);
    }
}

static void fake_start(struct sink *sink)
{
    struct fake_sink *fake = (struct fake_sink *)sink;
    net_deferred_schedule(fake->tell);
}

static void fake_offer(struct sink *sink, struct buf *frame, void *token)
{
    struct fake_sink *fake = (struct fake_sink *)sink;
    struct fake_offer *offer = mem_new(struct fake_offer), **end = &fake->offers;
    *offer =
        (struct fake_offer){.token = token, .body = mem_strndup((char *)frame->data, frame->len)};
    buf_release(frame);
    while (*end)
        end = &(*end)->next;
    *end = offer;
    fake_keep(&fake->offered_bodies, &fake->offered, mem_strdup(offer->body));
    fake->bytes += strlen(offer->body);
    if (fake->bytes > fake->bytes_most)
        fake->bytes_most = fake->bytes;
    if (++fake->waiting > fake->waiting_most)
        fake->waiting_most = fake->waiting;
    net_deferred_schedule(fake->tell);
}

static const char *fake_describe(const struct sink *sink)
{
    (void)sink;
    return "a test";
}

static void fake_drop(struct sink *sink)
{
    struct fake_sink *fake = (struct fake_sink *)sink;
    fake->freed = true;
    net_timer_free(fake->timer);
    net_deferred_free(fake->tell);
    while (fake->offers) {
        struct fake_offer *offer = fake->offers;
        fake->offers = offer->next;
        free(offer->body);
        free(offer);
    }
}

static const struct sink_ops fake_ops = {
    .start = fake_start, .offer = fake_offer, .describe = fake_describe, .free = fake_drop};

void fake_sink_renew(struct fake_sink *fake)
{
    fake->freed = fake->told_up = false;
    fake->waiting = fake->bytes = 0;
    fake->tell = net_deferred_new(fake->loop, fake_tell, fake);
    fake->timer = net_timer_new(fake->loop, fake_tell, fake);
}

void fake_sink_init(struct fake_sink *fake, struct net_loop *loop)
{
    *fake = (struct fake_sink){.sink = {.ops = &fake_ops, .max_payload = 1 << 20}, .loop = loop};
    fake_sink_renew(fake);
}

void fake_sink_release(struct fake_sink *fake)
{
    if (!fake->freed)
        fake_drop(&fake->sink);
    for (size_t i = 0; i < fake->taken_count; i++)
        free(fake->taken[i]);
    for (size_t i = 0; i < fake->offered; i++)
        free(fake->offered_bodies[i]);
    free(fake->taken);
    free(fake->offered_bodies);
}

void fake_sink_let_go(struct fake_sink *fake)
{
    fake->holds = false;
    net_deferred_schedule(fake->tell);
}

void fake_sink_lose(struct fake_sink *fake)
{
    fake->down = true;
    net_deferred_schedule(fake->tell);
}

void fake_sink_return(struct fake_sink *fake)
{
    fake->down = false;
    net_deferred_schedule(fake->tell);
}

size_t fake_sink_taken(const struct fake_sink *fake, const char *body)
{
    size_t count = 0;
    for (size_t i = 0; i < fake->taken_count; i++)
        count += strcmp(fake->taken[i], body) == 0;
    return count;
}

size_t fake_sink_place(const struct fake_sink *fake, const char *body)
{
    for (size_t i = 0; i < fake->offered; i++)
        if (strcmp(fake->offered_bodies[i], body) == 0)
            return i;
    return SIZE_MAX;
}
