/* Waiting for what is new, in IDLE or at rest, and what ends it. */
#include "collect/watch_impl.h"
#include "net/loop.h"

enum {
    WATCH_MARKS_DELAY = 500, /* mails that come together are marked together */
    /* An IDLE that the server ends within this time, so often in a row, is none. */
    WATCH_IDLE_SHORT = 1000,
    WATCH_IDLE_SHORT_MAX = 3,
};

static bool watch_idles(const struct watch *watch)
{
    return watch->current && watch_account(watch)->idle && watch_has_cap(watch, IMAP_CAP_IDLE) &&
           !watch->idle_refused;
}

static msec_t watch_sooner(msec_t a, msec_t b)
{
    return !a || (b && b < a) ? b : a;
}

msec_t watch_news_at(const struct watch *watch)
{
    return watch->fruitless < WATCH_FRUITLESS_MAX ? watch->idle_since
                                                  : watch->looked_at + WATCH_FRUITLESS_PAUSE;
}

/* Is there news of a folder that is not open, which may have to wait? */
static bool watch_has_heard(const struct watch *watch)
{
    bool heard = false;
    for (size_t i = 0; i < watch_account(watch)->folder_count; i++)
        heard = heard || (watch_folder(watch, i) && watch_folder(watch, i)->heard);
    return heard;
}

/* For the next moment that there may be an errand at. */
static void watch_set_timer(struct watch *watch)
{
    msec_t now = watch_now(watch);
    msec_t next = watch_sooner(watch->refresh_at, watch->marks_at);
    if (watch_needs_round(watch))
        next = watch_sooner(next, watch->round_at);
    if (watch->busy_since && watch->busy_since + WATCH_PATIENCE > now)
        next = watch_sooner(next, watch->busy_since + WATCH_PATIENCE);
    if (watch_is_free(watch)) {
        next = watch_sooner(next, watch->sweep_at);
        if (watch->current && watch->current->folder.news)
            next = watch_sooner(next, watch_news_at(watch));
    }
    if (watch_news_at(watch) > now && watch_has_heard(watch))
        next = watch_sooner(next, watch_news_at(watch));
    net_timer_start(watch->timer, next > now ? next - now : 0);
}

/* `idle`: the number of its command, or 0 to rest without one. */
static void watch_begin_wait(struct watch *watch, uint32_t idle)
{
    const struct collect_account *account = watch_account(watch);
    msec_t span = account->poll_interval;
    if (idle && (mailbox_trusts_idle(watch->mailbox) || account->idle_refresh < span))
        span = account->idle_refresh;
    watch->command = idle;
    watch->idle_since = watch_now(watch);
    watch->refresh_at = watch_due(watch->idle_since, span);
    watch->marks_at = 0;
    watch->idle_asked = watch->idle_stands = false;
    watch_enter(watch, idle ? WATCH_IDLING : WATCH_RESTING);
    watch_set_timer(watch);
}

void watch_wait(struct watch *watch)
{
    watch_begin_wait(watch, watch_idles(watch) ? imap_session_idle(watch->connection.session) : 0);
}

/* Marks may wait a moment for others, so that IDLE is not broken for each. */
static void watch_gather_marks(struct watch *watch)
{
    const struct folder *folder = watch->current ? &watch->current->folder : NULL;
    bool due = folder && folder_has_errand(folder, true);
    if (!due) {
        watch->marks_at = 0;
    } else if (!watch->marks_at) {
        watch->marks_at = watch_now(watch) + (watch->state == WATCH_IDLING ? WATCH_MARKS_DELAY : 0);
    }
}

static bool watch_is_due(msec_t now, msec_t at)
{
    return at && now >= at;
}

/* Is there anything to be done but to renew IDLE? */
static bool watch_has_errand(struct watch *watch)
{
    msec_t now = watch_now(watch);
    const struct folder *folder = watch->current ? &watch->current->folder : NULL;
    if (watch_is_due(now, watch->marks_at) || (folder && folder_has_errand(folder, false)))
        return true;
    if (watch_is_due(now, watch->round_at) && watch_needs_round(watch))
        return true;
    if (watch_may_leave(watch) && (watch_wanted(watch) || watch->yield))
        return true;
    return watch_is_free(watch) &&
           (!watch->caught_up || watch_may_claim(watch) || watch_is_due(now, watch->sweep_at) ||
            (folder && folder->news && now >= watch_news_at(watch)) ||
            (folder && folder->state == FOLDER_FAILED));
}

/* Everything is to be looked at, whatever was told. */
static void watch_sweep(struct watch *watch)
{
    watch->sweep_at = watch_due(watch_now(watch), WATCH_SWEEP);
    watch->idle_refused = false; /* perhaps it was of the moment */
    watch->idle_short = 0;
    for (size_t i = 0; i < watch_account(watch)->folder_count; i++)
        if (watch_folder(watch, i))
            watch_want(watch_folder(watch, i), FOLDER_LOOK_ALL);
}

/* What would be due before the next renewal is done with this one. */
static bool watch_is_due_now(const struct watch *watch, msec_t at)
{
    msec_t now = watch_now(watch);
    msec_t ahead = watch_is_due(now, watch->refresh_at) ? now - watch->idle_since : 0;
    return watch_is_due(now + ahead, at);
}

/* The next IDLE may go out in one piece with this one's DONE, which takes half the packets and half
 * of our time: nothing else is due, not even soon. */
static bool watch_only_renews(struct watch *watch)
{
    return watch->idle_stands && mailbox_trusts_idle(watch->mailbox) &&
           !watch->mailbox->renews_apart && watch_is_free(watch) && !watch->marks_at &&
           !watch_is_due_now(watch, watch->sweep_at) &&
           !(watch_is_due_now(watch, watch->round_at) && watch_needs_round(watch)) &&
           !watch_has_errand(watch);
}

/* Awake: nothing is in flight. What is it that it was woken for? */
static void watch_awake(struct watch *watch, bool rested)
{
    msec_t now = watch_now(watch);
    struct mailbox_folder *current = watch->current;
    bool free = watch_is_free(watch);
    watch_enter(watch, WATCH_WORKING);
    if (free && watch_is_due_now(watch, watch->sweep_at))
        watch_sweep(watch);
    else if (watch_is_due(now, watch->refresh_at) && current && free &&
             (rested || !mailbox_trusts_idle(watch->mailbox)))
        watch_want(current, FOLDER_LOOK_AGAIN);
    else if (watch_is_due(now, watch->refresh_at) && rested)
        imap_session_noop(watch->connection.session); /* to stay alive */
    watch->round =
        watch->round || (watch_is_due_now(watch, watch->round_at) && watch_needs_round(watch));
    if (current && watch_is_due(now, watch->marks_at))
        folder_mark(&current->folder);
    if (current)
        folder_proceed(&current->folder, true);
    if (!imap_session_pending(watch->connection.session))
        watch_next(watch);
}

static void watch_wake(struct watch *watch)
{
    net_timer_stop(watch->timer);
    if (watch->state == WATCH_RESTING) {
        watch_awake(watch, true);
        return;
    }
    bool renews = watch_only_renews(watch);
    watch->idle_asked = true;
    watch_enter(watch, WATCH_WAKING);
    imap_session_idle_end(watch->connection.session);
    if (renews)
        watch->renewal = imap_session_idle(watch->connection.session);
}

void watch_idled(struct watch *watch, const struct imap_event *event)
{
    bool soon = watch_now(watch) - watch->idle_since < WATCH_IDLE_SHORT;
    net_timer_stop(watch->timer);
    watch->idle_short = !watch->idle_asked && soon ? watch->idle_short + 1 : 0;
    if (event->status != IMAP_OK || watch->idle_short >= WATCH_IDLE_SHORT_MAX)
        watch->idle_refused = true;
    uint32_t next = watch->renewal != watch->command ? watch->renewal : 0;
    if (next && !watch->idle_refused) {
        watch_begin_wait(watch, next);
        return;
    }
    watch->renewal = 0;
    watch->command = next;
    if (next) /* it is on its way already, and has to end as well */
        imap_session_idle_end(watch->connection.session);
    else
        watch_awake(watch, false);
}

void watch_idling(struct watch *watch)
{
    watch->idle_stands = true;
    watch->renewal = 0;
    /* From now on the server tells. What came before, it has told: that is looked into first. */
    if (watch->current && !watch->current->folder.news)
        watch->current->listened = true;
}

void watch_listen(struct watch *watch)
{
    if (watch->current)
        folder_proceed(&watch->current->folder, false);
    if (watch->current && watch_is_free(watch)) {
        watch->busy_since = 0;
        watch_tell_folder(watch, watch->current);
    }
    watch_gather_marks(watch);
    if (watch_is_due(watch_now(watch), watch->refresh_at) || watch_has_errand(watch))
        watch_wake(watch);
    else
        watch_set_timer(watch);
}
