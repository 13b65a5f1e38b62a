#include "collect/fetch.h"

#include <stdio.h>
#include <string.h>

#include "collect/env.h"
#include "collect/folder.h"
#include "collect/mail.h"
#include "net/loop.h"

enum {
    FETCH_COMMAND_BYTES = 1 << 20, /* of mail asked for with one of them */
    FETCH_SIZES_AHEAD = 500,       /* below so many known sizes, the next ones are asked for */
    /* What tells a server that makes mail up from one where mail comes and goes. */
    FETCH_STRAYS_MAX = 100,
    FETCH_BARREN_MAX = 5000,
    FETCH_REFUSED_MAX = 100,
    /* So many more are held by the next looks that have to stop there, and then only so often. */
    FETCH_PARDONS_MAX = 20,
    FETCH_PARDON_PAUSE = 15 * 60 * 1000,
    FETCH_GROWTH =
        12, /* times its size is the most: escapes of six bytes, in memory that doubles */
    FETCH_QUOTED_MAX = 32768, /* held of a body in quotes: all connections' fit into the budget */
};

const char FETCH_LIMIT_BROKEN[] = "protocol";

static void fetch_granted(struct budget_waiter *waiter);

void fetch_init(struct fetch *fetch, struct folder *folder)
{
    *fetch = (struct fetch){
        .folder = folder,
        .waiter.granted = fetch_granted,
        .waiter.host = folder->host,
    };
}

/* Gives back what is reserved for the body in hand. */
static void fetch_release_reservation(struct fetch *fetch)
{
    struct budget *budget = fetch->folder->env->budget;
    if (fetch->has_slot) {
        budget_received(fetch->folder->host, fetch->reserved);
        budget_release_bytes(budget, fetch->reserved);
        budget_release_slot(budget);
    }
    fetch->has_slot = false;
    fetch->reserved = 0;
}

static void fetch_drop_body(struct fetch *fetch)
{
    buf_release(&fetch->frame);
    fetch->have_body = false;
    fetch->discard = false;
    fetch_release_reservation(fetch);
}

static void fetch_free_encoder(struct fetch *fetch)
{
    payload_encoder_free(fetch->encoder);
    fetch->encoder = NULL;
}

bool fetch_is_broken(const struct fetch *fetch, uint32_t uid)
{
    for (unsigned i = 0; i < FETCH_BROKEN; i++)
        if (fetch->broken[i] == uid)
            return true;
    return false;
}

/* It would over the same mail on the next connection, too. */
void fetch_broke(struct fetch *fetch, uint32_t named, const char *why)
{
    struct folder *folder = fetch->folder;
    struct work_item *item =
        named ? worklist_find(&folder->work, named) : worklist_only_asked(&folder->work);
    if (!named)
        fetch->careful = !item;
    if (!item)
        return;
    fetch->broken[fetch->broken_count++ % FETCH_BROKEN] = item->uid;
    folder->report->found++; /* detaching the folder takes it out */
    folder_hold(folder, item->uid, NULL, FETCH_LIMIT_BROKEN, why);
}

void fetch_reset(struct fetch *fetch)
{
    if (fetch->folder->env->budget)
        budget_cancel(fetch->folder->env->budget, &fetch->waiter);
    fetch_drop_body(fetch);
    fetch_free_encoder(fetch);
    memset(fetch->size_commands, 0, sizeof fetch->size_commands);
    memset(fetch->body_commands, 0, sizeof fetch->body_commands);
}

void fetch_rest(struct fetch *fetch)
{
    fetch->strays = fetch->barren = 0;
    fetch->careful = fetch->wide = false;
    fetch_free_encoder(fetch);
}

/* The place of a command among those on their way (0: a free place), or NULL. */
static uint32_t *fetch_place(uint32_t commands[FETCH_COMMANDS], uint32_t command)
{
    for (size_t i = 0; i < FETCH_COMMANDS; i++)
        if (commands[i] == command)
            return &commands[i];
    return NULL;
}

static void fetch_issue(struct fetch *fetch, uint32_t *place, struct buf *set, const char *items)
{
    struct folder *folder = fetch->folder;
    *place = imap_session_uid_fetch(folder->session, buf_cstr(set), items);
    worklist_issued(&folder->work, *place);
    buf_clear(set);
}

static void fetch_next_sizes(struct fetch *fetch)
{
    struct worklist *work = &fetch->folder->work;
    if (worklist_count(work, WORK_SIZED) >= FETCH_SIZES_AHEAD)
        return;
    struct buf set = {0};
    uint32_t *place;
    while ((place = fetch_place(fetch->size_commands, 0)) && worklist_next_sizes(work, &set))
        /* INTERNALDATE is not asked for: no payload carries it. */
        fetch_issue(fetch, place, &set, "(UID FLAGS RFC822.SIZE)");
    buf_release(&set);
}

static bool fetch_awaits_body(const struct fetch *fetch)
{
    for (size_t i = 0; i < FETCH_COMMANDS; i++)
        if (fetch->body_commands[i])
            return true;
    return false;
}

static void fetch_next_bodies(struct fetch *fetch)
{
    struct buf set = {0};
    uint32_t *place;
    uint64_t most = fetch->careful ? 0 : FETCH_COMMAND_BYTES;
    bool unasked;
    while (!(fetch->careful && fetch_awaits_body(fetch)) &&
           (place = fetch_place(fetch->body_commands, 0)) &&
           worklist_next_bodies(&fetch->folder->work, most, &set, &unasked))
        fetch_issue(fetch, place, &set, unasked ? "(UID FLAGS BODY.PEEK[])" : "(UID BODY.PEEK[])");
    buf_release(&set);
}

void fetch_next(struct fetch *fetch)
{
    struct worklist *work = &fetch->folder->work;
    if (work->last && !work->count && !work->pending.count) {
        worklist_take_last(work);
        fetch->folder->report->found++;
    }
    /* New mail is to be there at once: a round trip less. */
    if (fetch->folder->look != FOLDER_LOOK_ALL)
        worklist_skip_sizes(work);
    fetch_next_sizes(fetch);
    if (fetch->folder->env->sink_up)
        fetch_next_bodies(fetch);
}

/* Makes ready for a body whose memory is reserved. */
static void fetch_begin_body(struct fetch *fetch, size_t reserved)
{
    struct collect_env *env = fetch->folder->env;
    fetch->has_slot = true;
    fetch->reserved = reserved;
    if (!fetch->encoder)
        fetch->encoder =
            payload_encoder_new(env->settings.payload, env->sink->headroom, env->sink->max_payload);
    payload_encoder_begin(fetch->encoder, fetch->announced);
    /* What is kept of it would be over what is reserved, and keep others out. */
    if (fetch->announced > env->sink->max_payload)
        payload_encoder_keep_nothing(fetch->encoder);
}

static void fetch_granted(struct budget_waiter *waiter)
{
    struct fetch *fetch = (struct fetch *)((char *)waiter - offsetof(struct fetch, waiter));
    fetch_begin_body(fetch, waiter->bytes);
    fetch->folder->events->resume(fetch->folder->ctx);
}

void fetch_sink_down(struct fetch *fetch)
{
    struct folder *folder = fetch->folder;
    bool stalled = fetch->waiter.waiting;
    bool receiving = stalled || fetch->has_slot || fetch->discard;
    if (stalled)
        budget_cancel(folder->env->budget, &fetch->waiter);
    fetch_drop_body(fetch);
    fetch_free_encoder(fetch); /* another sink may have other limits */
    fetch->discard = receiving;
    if (stalled)
        folder->events->resume(folder->ctx);
}

/* What a body of this size is thought to take. Escapes make a usual mail an eighth longer at most;
 * what needs more is counted as it grows. A body that can only turn out too large is hashed, and
 * keeps nothing. */
static size_t fetch_estimate(const struct fetch *fetch, uint64_t size)
{
    const struct sink *sink = fetch->folder->env->sink;
    uint64_t most = 2 * (uint64_t)sink->max_payload, wide = FETCH_GROWTH * size;
    if (size > sink->max_payload)
        return sink->headroom + 512;
    if (!fetch->wide)
        return sink->headroom + 512 + (size_t)(size + size / 8);
    if (!size)
        wide = FETCH_QUOTED_MAX;
    return sink->headroom + 512 + (size_t)(wide < most ? wide : most);
}

/* An announced body: reserves memory for it before its first byte is kept. */
static bool fetch_body_announced(struct fetch *fetch, uint64_t size)
{
    struct collect_env *env = fetch->folder->env;
    if (!fetch_awaits_body(fetch)) {
        folder_give_up(fetch->folder, "the server sends mails that nobody asked for");
        return true;
    }
    fetch_drop_body(fetch);
    fetch->announced = size;
    if (!env->sink_up) {
        fetch->discard = true;
        return true;
    }
    size_t reserve = fetch_estimate(fetch, size);
    /* In one pass all mail is alike: nothing is kept for fresh mail. */
    fetch->waiter.fresh = !env->settings.continuous || fetch->folder->look != FOLDER_LOOK_ALL;
    if (!budget_request(env->budget, &fetch->waiter, reserve))
        return false;
    fetch_begin_body(fetch, reserve);
    return true;
}

static void fetch_too_large(struct fetch *fetch, uint32_t uid)
{
    const struct collect_env *env = fetch->folder->env;
    char why[160];
    snprintf(why, sizeof why,
             "its payload of %llu bytes is over the limit of %zu (max_frame); mail of %llu bytes",
             (unsigned long long)fetch->result.payload_size, env->sink->max_payload,
             (unsigned long long)fetch->result.mail_size);
    folder_hold(fetch->folder, uid, fetch->result.sha256, env->hold_limit, why);
}

/* The body in hand is larger than what was reserved, and may not have that much: many such would
 * keep all others out. It is read to its end, and asked for again with the most reserved. */
static void fetch_put_off(struct fetch *fetch)
{
    fetch_drop_body(fetch);
    fetch_free_encoder(fetch);
    fetch->discard = fetch->wide = true;
}

static void fetch_body_came(struct fetch *fetch, const uint8_t *data, size_t len)
{
    if (fetch->discard)
        return;
    payload_encoder_add(fetch->encoder, data, len);
    size_t held = payload_encoder_held(fetch->encoder);
    /* A quoted string has no line end in it (RFC 9051 section 9, QUOTED-CHAR): no mail is so long
     * a line, and what it will take could not be reserved before. */
    if (!fetch->announced && held > fetch->folder->env->sink->headroom + FETCH_QUOTED_MAX)
        folder_give_up(fetch->folder, "the server sends a mail in quotes that has no end");
    if (held <= fetch->reserved)
        return;
    if (budget_grow(fetch->folder->env->budget, &fetch->waiter, fetch->reserved, held, fetch->wide))
        fetch->reserved = held;
    else
        fetch_put_off(fetch);
}

/* A whole mail with a name: deliver it, or record why not. */
static void fetch_take_mail(struct fetch *fetch, struct work_item *item)
{
    struct folder *folder = fetch->folder;
    uint32_t uid = item->uid;
    bool foreign_deleted = item->foreign_deleted;
    worklist_remove(&folder->work, item);
    fetch->barren = 0;
    fetch->refused -= fetch->refused > 0;
    if (fetch->result.too_large) {
        fetch_too_large(fetch, uid);
    } else if (folder_recognise(folder, fetch->result.sha256)) {
        folder_record_taken(folder, STATE_ADD_RECOGNISED, uid, fetch->result.sha256,
                            foreign_deleted);
    } else {
        folder->in_flight++;
        fetch->has_slot = false;
        budget_received(folder->host, fetch->reserved);
        mail_offer(folder->env, folder, uid, foreign_deleted, &fetch->result, &fetch->frame,
                   fetch->reserved);
        fetch->reserved = 0;
    }
}

/* Flags and size came. Without a size it was told unasked, or the size is no number. */
static void fetch_sized(struct work_item *item, const struct imap_fetch *said)
{
    item->answered = true;
    if (said->has_flags)
        item->foreign_deleted = said->flags & IMAP_FLAG_DELETED;
    if (!said->has_size)
        return;
    item->size = said->size > UINT32_MAX ? UINT32_MAX : (uint32_t)said->size;
    item->state = WORK_SIZED;
}

/* The end of a FETCH: what it said, with or without a body. What was not asked for, or is there
 * twice, makes no sense and is ignored. */
static void fetch_named(struct fetch *fetch, const struct imap_fetch *said)
{
    struct work_item *item = said->uid ? worklist_find(&fetch->folder->work, said->uid) : NULL;
    bool wanted = item && item->state == WORK_ASKED;
    if (item && item->state == WORK_SIZING) {
        fetch_sized(item, said);
    } else if (wanted) {
        item->answered = true;
        if (item->unasked && said->has_flags)
            item->foreign_deleted = said->flags & IMAP_FLAG_DELETED;
        if (said->has_body && fetch->discard)
            item->state = WORK_SIZED;
        else if (said->has_body && fetch->have_body)
            fetch_take_mail(fetch, item);
    }
    fetch->nameless = fetch->nameless || (said->has_body && !said->uid);
    if (said->has_body && !wanted && ++fetch->strays > FETCH_STRAYS_MAX)
        folder_give_up(fetch->folder, "the server sends mails that nobody asked for");
    fetch_drop_body(fetch);
}

bool fetch_data(struct fetch *fetch, const struct imap_response *response)
{
    switch (response->type) {
    case IMAP_RESPONSE_BODY_BEGIN:
        return fetch_body_announced(fetch, response->number);
    case IMAP_RESPONSE_BODY_DATA:
        fetch_body_came(fetch, response->data, response->data_len);
        return true;
    case IMAP_RESPONSE_BODY_END:
        if (fetch->discard)
            return true;
        payload_encoder_finish(fetch->encoder, &fetch->frame, &fetch->result);
        fetch->have_body = true;
        return true;
    default:
        fetch_named(fetch, &response->fetch);
        return true;
    }
}

static void fetch_count_barren(struct fetch *fetch)
{
    fetch->left_out = true;
    if (++fetch->barren > FETCH_BARREN_MAX)
        folder_fail_later(fetch->folder, "the server finds thousands of mails and gives out none");
}

/* The next look goes on behind those that are held: at once some times, for there may be good mail
 * behind them, but a server can have us look again each second. */
static void fetch_pardon(struct fetch *fetch)
{
    msec_t now = net_loop_now(fetch->folder->env->loop);
    if (fetch->pardons >= FETCH_PARDONS_MAX && now - fetch->pardoned_at < FETCH_PARDON_PAUSE)
        return;
    fetch->pardons++;
    fetch->pardoned_at = now;
    fetch->refused = 0;
}

/* Holds a mail that the server does not give out; but not one after the other for ever, as where
 * the folder itself is broken, or a server wants the state and the log to be filled. */
static void fetch_hold_refused(struct fetch *fetch, uint32_t uid, const char *why)
{
    if (fetch->refused < FETCH_REFUSED_MAX) {
        fetch->refused++;
        folder_hold(fetch->folder, uid, NULL, NULL, why);
        return;
    }
    if (fetch->folder->env->settings.continuous)
        fetch_pardon(fetch);
    folder_fail_later(fetch->folder, why);
}

/* A body did not come although it was asked for. Among others: it is asked for again, alone. So is,
 * once more, a mail of which something came: it may be that its flags were told unasked (RFC 9051
 * section 7.5.2), as when somebody is about to expunge it. */
static void fetch_missing_body(struct fetch *fetch, struct work_item *item,
                               const struct imap_event *event)
{
    struct folder *folder = fetch->folder;
    uint32_t uid = item->uid;
    bool answered = item->answered;
    bool limited = event->code == IMAP_CODE_MESSAGELIMIT;
    bool once_more =
        item->alone && answered && !item->twice && event->status == IMAP_OK && !limited;
    if (!item->alone || once_more) {
        item->state = WORK_SIZED;
        item->command = 0;
        item->twice = once_more;
        item->alone = !limited || item->limited;
        item->limited = limited;
        return;
    }
    worklist_remove(&folder->work, item);
    if (limited || (event->status != IMAP_OK && event->code != IMAP_CODE_EXPUNGEISSUED)) {
        char why[320];
        snprintf(why, sizeof why, "the server does not give it out: %s %s",
                 imap_status_name(event->status), event->text);
        fetch_hold_refused(fetch, uid, why);
    } else if (answered) {
        fetch_hold_refused(fetch, uid, "the server gives it out without a body");
    } else if (fetch->nameless) {
        fetch_hold_refused(fetch, uid, "the server gives it out without its UID");
    } else {
        /* Somebody expunged it while we looked. */
        fetch_count_barren(fetch);
    }
}

/* A size did not come. */
static void fetch_missing_size(struct fetch *fetch, struct work_item *item,
                               const struct imap_event *event)
{
    bool limited = event->code == IMAP_CODE_MESSAGELIMIT;
    if (event->status != IMAP_OK || item->answered || limited) {
        /* It is there, and its body may come all the same; it is asked for alone, unless it is the
         * number of mails that the server minds. */
        item->state = WORK_SIZED;
        item->command = 0;
        item->alone = !limited;
        return;
    }
    worklist_remove(&fetch->folder->work, item);
    fetch_count_barren(fetch);
}

/* Refusals that are about the moment, not about a mail. */
static bool fetch_is_busy(const struct imap_event *event)
{
    return event->status != IMAP_OK &&
           (event->code == IMAP_CODE_UNAVAILABLE || event->code == IMAP_CODE_LIMIT ||
            event->code == IMAP_CODE_THROTTLED || event->code == IMAP_CODE_INUSE);
}

int fetch_done(struct fetch *fetch, const struct imap_event *event, struct err *err)
{
    uint32_t *place = fetch_place(fetch->size_commands, event->command);
    if (!place)
        place = fetch_place(fetch->body_commands, event->command);
    if (!place)
        return 0;
    *place = 0;
    if (fetch_is_busy(event))
        return err_set(err, ERR_RETRY_LATER, "the server refused a FETCH: %s", event->text);
    struct work_item *item;
    while ((item = worklist_unanswered(&fetch->folder->work, event->command))) {
        if (item->state == WORK_SIZING)
            fetch_missing_size(fetch, item, event);
        else
            fetch_missing_body(fetch, item, event);
    }
    fetch->nameless = fetch->nameless && fetch_awaits_body(fetch);
    return 1;
}
