#include "collect/folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/random.h"
#include "collect/env.h"
#include "collect/journal.h"
#include "collect/plan.h"
#include "collect/share.h"
#include "net/loop.h"

enum {
    FOLDER_SURPLUS = 1000,
    FOLDER_FRUITLESS = 20,   /* looks in a row for more that is not there */
    FOLDER_PARTS_MAX = 1000, /* of one search: Yahoo takes a thousand mails for each (2026) */
    FOLDER_AHEAD = 1000,     /* ranges of mails to be fetched, with which nobody looks for more */
    /* What is found takes memory until it is fetched, so many bytes for each range, in a result, in
     * a set, among the pending. Beyond the first few all folders share a part of the budget. */
    FOLDER_RANGE_COST = 32,
    FOLDER_RANGES_FREE = 4096,
    FOLDER_RANGES_PART = 4,
    /* A look at a whole folder that finds nothing needs nothing of the state but to forget what
     * is gone, which can wait. */
    FOLDER_FORGET_INTERVAL = 24 * 3600 * 1000,
};

void folder_init(struct folder *folder, struct collect_env *env,
                 const struct collect_account *account, struct budget_host *host,
                 struct collect_report *report, const struct folder_events *events, void *ctx)
{
    *folder = (struct folder){
        .env = env,
        .account = account,
        .host = host,
        .report = report,
        .events = events,
        .ctx = ctx,
    };
    folder->scope.account = account->label;
    folder->next = 1;
    folder->again = env->settings.again;
    fetch_init(&folder->fetch, folder);
    marks_init(&folder->marks, folder, account);
}

static void folder_finish(struct folder *folder);
static void folder_loaded(void *owner, struct state_folder *moved, const struct err *err);

/* Of the room for what searches found it has so much from now on. */
static void folder_hold_ranges(struct folder *folder, size_t ranges)
{
    folder->env->ranges_held += ranges - folder->ranges_held;
    folder->host->ranges += ranges - folder->ranges_held;
    folder->ranges_held = ranges;
}

/* What searches found, and the room it had. */
static void folder_drop_results(struct folder *folder)
{
    found_release(&folder->found);
    found_release(&folder->present);
    imap_uidset_release(&folder->selected);
    folder_hold_ranges(folder, 0);
    if (folder->env->overfull == folder)
        folder->env->overfull = NULL;
}

static void folder_forget(struct folder *folder)
{
    folder_drop_results(folder);
    worklist_release(&folder->work);
    state_folder_release(&folder->known);
    folder->known = (struct state_folder){0};
    free(folder->old_used);
    folder->old_used = NULL;
    folder->known_loaded = false;
}

void folder_release(struct folder *folder)
{
    folder_detach(folder);
    folder_forget(folder);
    worklist_release(&folder->work);
    imap_uidset_release(&folder->sent_again);
    marks_release(&folder->marks);
    free(folder->err);
    free(folder->name);
}

bool folder_settled(const struct folder *folder)
{
    return !folder->in_flight && !folder->unrecorded && !folder->loads;
}

static void folder_fail(struct folder *folder, const struct err *err)
{
    folder->state = FOLDER_FAILED;
    err_keep(&folder->err, err);
}

void folder_give_up(struct folder *folder, const char *why)
{
    struct err err;
    err_set(&err, ERR_GIVE_UP, "%s", why);
    folder_fail(folder, &err);
    folder->flooded = true;
}

void folder_fail_later(struct folder *folder, const char *why)
{
    struct err err;
    err_set(&err, ERR_RETRY_LATER, "%s", why);
    folder_fail(folder, &err);
}

bool folder_through(const struct folder *folder)
{
    return folder->state == FOLDER_CAUGHT_UP || folder->state == FOLDER_FAILED;
}

static bool folder_is_partial(const struct folder *folder)
{
    return folder->look != FOLDER_LOOK_ALL;
}

/* Searches all, or what is from `first` on; without `all`, for unseen mails only. */
static uint32_t folder_issue_search(struct folder *folder, uint64_t first, bool all)
{
    char criteria[64];
    const char *unseen = all ? "" : " UNSEEN";
    if (folder->parts)
        snprintf(criteria, sizeof criteria, "UID %llu:%u%s", (unsigned long long)first,
                 folder->part_below - 1, unseen);
    else if (first > 1)
        snprintf(criteria, sizeof criteria, "UID %llu:*%s", (unsigned long long)first, unseen);
    else
        snprintf(criteria, sizeof criteria, "%s", all ? "ALL" : unseen + 1);
    return imap_session_uid_search(folder->session, criteria);
}

/* Without -a, what somebody has read is left alone. */
static uint32_t folder_search_new(struct folder *folder, bool partial)
{
    folder->parts = 0;
    folder->news = false;
    return folder_issue_search(folder, partial ? folder->next : 1, folder->env->settings.fetch_all);
}

static void folder_search(struct folder *folder)
{
    folder->search_answered = false;
    folder->search_whole = false;
    folder->looked_at_all = folder->took_any = false;
    folder->overlooked = folder->unannounced = 0;
    folder->fetch.left_out = false;
    folder->search_command = folder_search_new(folder, folder_is_partial(folder));
}

/* RFC 9738: a server may look at so many mails in one search, from the last one backwards, and says
 * how far it came. The number of the command that goes on from there with the search that was
 * answered; 0: there is no more. *ret_whole: all of it was looked at. */
static uint32_t folder_search_on(struct folder *folder, const struct imap_event *event,
                                 uint64_t first, bool all, bool *ret_whole)
{
    uint32_t lowest = event->code_uid;
    bool limited = event->code == IMAP_CODE_MESSAGELIMIT;
    *ret_whole = !limited || (lowest && lowest <= first);
    if (*ret_whole || !lowest || (folder->parts && lowest >= folder->part_below) ||
        folder->parts > folder->exists || folder->parts == FOLDER_PARTS_MAX)
        return 0;
    folder->parts++;
    folder->part_below = lowest;
    return folder_issue_search(folder, first, all);
}

/* What was known by UIDs means nothing any more. */
static void folder_void(struct folder *folder, uint32_t uidvalidity)
{
    folder->uidvalidity = uidvalidity;
    folder->next = 1;
    folder->loaded_at = 0;
    folder->known_id = 0;
    folder->last_known = 0;
    folder->settled_digest = 0;
    imap_uidset_release(&folder->sent_again);
    marks_void(&folder->marks);
}

void folder_open(struct folder *folder, struct imap_session *session, const char *name,
                 const char *mailbox, const char *target, enum folder_look look)
{
    folder_forget(folder);
    err_keep(&folder->err, NULL);
    if (!folder->name || strcmp(folder->name, name) != 0) {
        free(folder->name);
        folder->scope.folder = folder->name = mem_strdup(name);
        folder_void(folder, 0);
    }
    /* Where UIDs mean nothing beyond an opening, or nothing is known of one, there is nothing to
     * begin behind. */
    if (folder->uids_change || !folder->uidvalidity || folder->next > UINT32_MAX)
        look = FOLDER_LOOK_ALL;
    folder->session = session;
    folder->look = look;
    folder->state = FOLDER_OPENING;
    folder->uidnext = 0;
    folder->exists = 0;
    folder->counted = false;
    folder->flooded = false;
    folder->uids_change = false;
    folder->search_again = false;
    folder->present_command = 0;
    folder->opened_uidvalidity = 0;
    marks_attach(&folder->marks, session, target);
    /* The search goes out behind SELECT without waiting for it: a round trip less. Should SELECT
     * fail, it is answered BAD. */
    folder->select_command = imap_session_select(session, mailbox, !marks_writes(&folder->marks));
    folder_search(folder);
}

void folder_look_news(struct folder *folder)
{
    folder->look = folder->next > UINT32_MAX ? FOLDER_LOOK_ALL : FOLDER_LOOK_NEWS;
    folder->state = FOLDER_LOOKING;
    folder_search(folder);
}

/* What was found and not fetched is to be found again: nobody has overlooked it. */
static void folder_step_back(struct folder *folder)
{
    const struct worklist *work = &folder->work;
    if (work->pending.count && work->pending.ranges[0].first < folder->next)
        folder->next = work->pending.ranges[0].first;
    if (work->count && work->items[0].uid < folder->next)
        folder->next = work->items[0].uid;
}

void folder_detach(struct folder *folder)
{
    folder->report->found -= imap_uidset_size(&folder->work.pending) + folder->work.count;
    folder_drop_results(folder);
    fetch_reset(&folder->fetch);
    marks_detach(&folder->marks);
    folder_step_back(folder);
    worklist_clear(&folder->work);
    folder->session = NULL;
    folder->more_command = 0;
    if (!folder_through(folder))
        folder->state = FOLDER_IDLE;
}

/* What was found, but for what is known without looking: servers answer "n:*" with the last message
 * even when its UID is below n (RFC 9051 section 6.4.9). */
static void folder_take_found(struct folder *folder, bool partial)
{
    found_take(&folder->found, &folder->selected);
    if (partial)
        imap_uidset_drop_below(&folder->selected, folder->next);
}

/* What is below `next` needs no more looking at; a UIDNEXT that says more than the search found is
 * believed, as those between are gone, or read. */
static void folder_move_next(struct folder *folder)
{
    const struct imap_uidset *selected = &folder->selected;
    uint64_t last = selected->count ? selected->ranges[selected->count - 1].last : 0;
    if (!folder->search_whole)
        return;
    if (!folder->uidnext_lies && folder->next < folder->uidnext)
        folder->next = folder->uidnext;
    if (folder->next <= last)
        folder->next = last + 1;
}

/* FNV-1a over what was found, and the limit under which some of it may be held. */
static uint64_t folder_digest(const struct folder *folder)
{
    const struct imap_uidset *set = &folder->selected;
    uint64_t digest = 14695981039346656037u;
    for (const char *at = folder->env->hold_limit; *at; at++)
        digest = (digest ^ (unsigned char)*at) * 1099511628211u;
    for (size_t i = 0; i < set->count; i++) {
        digest = (digest ^ set->ranges[i].first) * 1099511628211u;
        digest = (digest ^ set->ranges[i].last) * 1099511628211u;
    }
    return digest;
}

static void folder_search_present(struct folder *folder)
{
    folder->parts = 0;
    folder->present_command = folder_issue_search(folder, 1, true);
}

/* Both the search and the state have answered: what is to be done is known. */
static void folder_plan(struct folder *folder)
{
    if (!folder->search_answered || !folder->known_loaded)
        return;
    const struct imap_uidset *selected = &folder->selected;
    bool whole = !folder_is_partial(folder);
    folder->digest = folder_digest(folder);
    uint64_t unknown = plan_work(folder, folder->next, &folder->overlooked);
    if (folder->expect_none)
        folder->unannounced = unknown - folder->overlooked;
    /* Whatever made us look beyond them, a UIDNEXT perhaps, is not believed again. */
    if (folder->overlooked) {
        folder->uidnext_lies = true;
        folder->next = 1;
    }
    folder->report->found += imap_uidset_size(&folder->work.pending);
    folder_move_next(folder);
    /* What is forgotten by mistake is delivered again: a result that is short of what SELECT said
     * is not believed. */
    folder->looked_at_all = whole && folder->env->settings.fetch_all && folder->search_whole &&
                            folder->counted && imap_uidset_size(selected) >= folder->exists;
    if (folder->looked_at_all)
        plan_forget_absent(folder, selected);
    imap_uidset_release(&folder->selected);
    folder->state = FOLDER_WORKING;

    /* All mails, though only the known ones are of interest: what is short can be told by it. */
    if (whole && folder->known.count && !folder->env->settings.fetch_all)
        folder_search_present(folder);
    folder_proceed(folder, true);
}

static void folder_note_known(struct folder *folder)
{
    const struct state_folder *known = &folder->known;
    folder->known_id = known->id;
    folder->had_old = known->old_count;
    if (known->count && folder->last_known < known->mails[known->count - 1].uid)
        folder->last_known = known->mails[known->count - 1].uid;
}

static void folder_loaded(void *owner, struct state_folder *moved, const struct err *err)
{
    struct folder *folder = owner;
    folder->loads--;
    if (moved && folder->state == FOLDER_LOADING) {
        folder->known = *moved;
        folder->known_loaded = true;
        folder_note_known(folder);
        folder->old_used = mem_zalloc((folder->known.old_count + 1) * sizeof(uint32_t));
        folder_plan(folder);
    } else if (moved) {
        state_folder_release(moved);
    } else if (folder->state == FOLDER_LOADING) {
        folder_fail(folder, err);
    }
    folder->events->changed(folder->ctx);
}

/* Asks the state what it knows; of a partial look only about what is new. */
static void folder_load(struct folder *folder)
{
    uint32_t first = folder_is_partial(folder) ? (uint32_t)folder->next : 1;
    folder->state = FOLDER_LOADING;
    folder->loads++;
    if (first == 1)
        folder->loaded_at = net_loop_now(folder->env->loop);
    journal_load(folder->env->journal, folder->account->label, folder->name, folder->uidvalidity,
                 first, folder_loaded, folder);
}

/* All that was found is above what is on record. */
static bool folder_is_beyond_known(const struct folder *folder)
{
    return folder->known_id && !folder->had_old &&
           folder->selected.ranges[0].first > folder->last_known;
}

/* Does this look need the state before it is known what it found? */
static bool folder_loads_early(const struct folder *folder)
{
    return !folder_is_partial(folder) &&
           (!folder->loaded_at ||
            net_loop_now(folder->env->loop) - folder->loaded_at >= FOLDER_FORGET_INTERVAL);
}

/* UIDs have the meaning they had, or a new one: then all that was known by them is void. */
static void folder_note_uidvalidity(struct folder *folder)
{
    uint32_t said = folder->opened_uidvalidity;
    /* Where UIDs name nothing beyond this session, they get a UIDVALIDITY of our own that no
     * session had before: mails are then recognised by their hash alone. */
    folder->uids_change = folder->uids_change || !said;
    while (!said || (folder->uids_change && said == folder->opened_uidvalidity))
        random_bytes(&said, sizeof said);
    if (said == folder->uidvalidity)
        return;
    folder->search_again = folder_is_partial(folder);
    folder->look = FOLDER_LOOK_ALL;
    folder->expect_none = false;
    folder_void(folder, said);
}

static void folder_selected(struct folder *folder, const struct imap_event *event)
{
    folder->select_command = 0;
    if (event->status != IMAP_OK) {
        struct err err;
        err_set(&err, event->action, "folder cannot be opened: the server answered %s %s",
                imap_status_name(event->status), event->text);
        folder_fail(folder, &err);
        return;
    }
    if (event->code == IMAP_CODE_READ_ONLY && marks_writes(&folder->marks))
        folder_warn(folder, "the server opened it read-only: delivered mails cannot be marked");
    folder_note_uidvalidity(folder);
    folder->state = FOLDER_LOOKING;
    folder->thorough = folder_loads_early(folder);
    if (folder->thorough)
        folder_load(folder);
}

/* A whole look that finds just what the last one did, which was seen to: where mails stay unseen,
 * that saves reading all that is on record about them. */
static bool folder_is_unchanged(struct folder *folder)
{
    if (folder_is_partial(folder) || marks_doubt(&folder->marks))
        return false;
    folder->digest = folder_digest(folder);
    return folder->digest == folder->settled_digest;
}

/* The whole result is there. */
static void folder_found(struct folder *folder)
{
    folder_take_found(folder, folder_is_partial(folder));
    folder->search_answered = true;
    /* Mail may have come since SELECT, but not that much. */
    if (imap_uidset_size(&folder->selected) > folder->exists + FOLDER_SURPLUS)
        folder_fail_later(folder, "the server finds more mails than it says there are");
    else if (folder->state == FOLDER_LOADING) {
        folder_plan(folder);
    } else if (folder->selected.count && folder_is_partial(folder) &&
               folder_is_beyond_known(folder)) {
        folder->known.id = folder->known_id;
        folder->known_loaded = true;
        folder_plan(folder);
    } else if (folder->selected.count && !folder_is_unchanged(folder)) {
        folder_load(folder);
    } else {
        folder_move_next(folder);
        imap_uidset_release(&folder->selected);
        folder_finish(folder);
    }
}

static void folder_searched(struct folder *folder, const struct imap_event *event)
{
    folder->search_command = 0;
    if (folder->state == FOLDER_FAILED)
        return;
    if (event->status != IMAP_OK) {
        struct err err;
        err_set(&err, ERR_RETRY_LATER, "folder cannot be searched: the server answered %s %s",
                imap_status_name(event->status), event->text);
        folder_fail(folder, &err);
        return;
    }
    if (folder->search_again) {
        folder->search_again = false;
        found_release(&folder->found);
        folder_search(folder);
        return;
    }
    folder->search_command =
        folder_search_on(folder, event, folder_is_partial(folder) ? folder->next : 1,
                         folder->env->settings.fetch_all, &folder->search_whole);
    if (folder->search_command)
        return;
    if (!folder->search_whole && !folder->limit_told)
        folder_warn(folder, "the server limits searches: the rest comes with later looks, when "
                            "what is delivered is not found any more");
    folder->limit_told = folder->limit_told || !folder->search_whole;
    folder_found(folder);
}

/* News while there is work in hand need not wait until that is through, which a broker may take its
 * time for; but where the state would have to be asked, they do, and where `next` does not stand
 * behind all that is in hand. So they do behind a heap of old mail, which comes before them anyway,
 * and would grow with each look for as long as a server finds more. */
static bool folder_may_look_more(const struct folder *folder)
{
    return folder->env->settings.continuous && folder->state == FOLDER_WORKING && folder->news &&
           !folder->more_command && !folder->present_command && !marks_looking(&folder->marks) &&
           folder->known_id && !folder->had_old && folder->search_whole &&
           folder->next <= UINT32_MAX && folder->work.pending.count < FOLDER_AHEAD &&
           folder->more_fruitless < FOLDER_FRUITLESS;
}

static void folder_found_more(struct folder *folder, const struct imap_event *event)
{
    struct imap_uidset *found = &folder->selected;
    folder->more_command = 0;
    folder_take_found(folder, true);
    bool good = event->status == IMAP_OK && event->code != IMAP_CODE_MESSAGELIMIT &&
                imap_uidset_size(found) <= folder->exists + FOLDER_SURPLUS;
    if (good && !found->count) {
        folder->more_fruitless++;
    } else if (good && folder_is_beyond_known(folder)) {
        imap_uidset_add_set(&folder->work.pending, found);
        folder->report->found += imap_uidset_size(found);
        folder->search_whole = true;
        folder_move_next(folder);
        folder->more_fruitless = 0;
    } else { /* it is looked into in the usual way, when the work in hand is through */
        folder->news = true;
        folder->more_fruitless = FOLDER_FRUITLESS;
    }
    imap_uidset_release(found);
}

static void folder_looked(struct folder *folder, const struct imap_event *event)
{
    bool whole = false;
    folder->present_command = 0;
    if (event->status == IMAP_OK)
        folder->present_command = folder_search_on(folder, event, 1, true, &whole);
    if (whole) {
        struct imap_uidset present = {0};
        found_take(&folder->present, &present);
        if (folder->counted && imap_uidset_size(&present) >= folder->exists)
            plan_forget_absent(folder, &present);
        imap_uidset_release(&present);
    }
}

int folder_done(struct folder *folder, const struct imap_event *event, struct err *err)
{
    int fetched = fetch_done(&folder->fetch, event, err);
    if (fetched < 0)
        return -1;
    if (event->command == folder->select_command)
        folder_selected(folder, event);
    else if (event->command == folder->search_command)
        folder_searched(folder, event);
    else if (event->command == folder->more_command)
        folder_found_more(folder, event);
    else if (event->command == folder->present_command)
        folder_looked(folder, event);
    else if (event->command == folder->marks.command)
        marks_done(&folder->marks, event);
    folder_proceed(folder, true);
    return 0;
}

/* Is there memory for what was found, more of it this time? One folder may have more than its
 * host's share, beside what all have: very large mailboxes are collected one by one. */
static bool folder_has_room(struct folder *folder)
{
    struct collect_env *env = folder->env;
    size_t ranges = folder->found.count + folder->present.count + folder->selected.count +
                    folder->work.pending.count + folder->marks.deleted.count;
    size_t most = env->settings.memory_budget / FOLDER_RANGES_PART / FOLDER_RANGE_COST;
    size_t more = ranges - folder->ranges_held;
    if (ranges <= FOLDER_RANGES_FREE || ranges <= folder->ranges_held || env->overfull == folder)
        return true;
    if (share_allows(folder->host->ranges + more, env->ranges_held + more, most)) {
        folder_hold_ranges(folder, ranges);
        return true;
    }
    if (env->overfull)
        return false;
    folder_hold_ranges(folder, 0);
    env->overfull = folder;
    return true;
}

static void folder_refuse_results(struct folder *folder)
{
    found_release(&folder->found);
    found_release(&folder->present);
    found_release(&folder->marks.deleted);
    folder_fail_later(folder, "the server finds more mails than there is memory for beside those "
                              "of other mailboxes (memory_budget)");
}

/* Which search the data belongs to: searches are never in flight together, but for the marks'
 * own, which is issued when all others are answered. */
static void folder_search_data(struct folder *folder, const struct imap_response *response)
{
    bool room = true;
    if (marks_looking(&folder->marks))
        room = marks_found_deleted(&folder->marks, response);
    else if (folder->search_command || folder->more_command)
        room = found_add(&folder->found, response);
    else if (folder->present_command)
        room = found_add(&folder->present, response);
    if (!room)
        folder_give_up(folder, "the server finds more mails than any mailbox holds");
    else if (!folder_has_room(folder))
        folder_refuse_results(folder);
}

static void folder_opening_status(struct folder *folder, const struct imap_response *response)
{
    /* RFC 9051 section 9: nz-number, of 32 bits. Anything else names nothing. */
    if (response->code == IMAP_CODE_UIDVALIDITY && response->number <= UINT32_MAX)
        folder->opened_uidvalidity = (uint32_t)response->number;
    else if (response->code == IMAP_CODE_UIDNEXT && response->number <= UINT32_MAX)
        folder->uidnext = (uint32_t)response->number;
    else if (response->code == IMAP_CODE_UIDNOTSTICKY)
        folder->uids_change = true;
}

bool folder_data(struct folder *folder, const struct imap_response *response)
{
    switch (response->type) {
    case IMAP_RESPONSE_SEARCH:
    case IMAP_RESPONSE_ESEARCH:
        folder_search_data(folder, response);
        return true;
    case IMAP_RESPONSE_EXISTS:
        /* Fewer than were known, without an EXPUNGE, make no sense: that is looked into, too. */
        folder->news =
            folder->news || (folder->state != FOLDER_OPENING && response->number != folder->exists);
        folder->exists = response->number;
        folder->counted = true;
        return true;
    case IMAP_RESPONSE_EXPUNGE:
        folder->exists -= folder->exists > 0;
        marks_heard_expunge(&folder->marks);
        return true;
    case IMAP_RESPONSE_STATUS:
        if (folder->state == FOLDER_OPENING)
            folder_opening_status(folder, response);
        return true;
    case IMAP_RESPONSE_BODY_BEGIN:
    case IMAP_RESPONSE_BODY_DATA:
    case IMAP_RESPONSE_BODY_END:
    case IMAP_RESPONSE_FETCH:
        return fetch_data(&folder->fetch, response);
    default:
        return true;
    }
}

/* One pass has to report it; who stays goes on delivering, and tries again with the next look at
 * all. */
static void folder_marks_refused(struct folder *folder)
{
    if (!folder->env->settings.continuous)
        folder_fail(folder, folder->marks.err);
    else if (!folder->refusal_told)
        folder_warn(folder, folder->marks.err->text);
    folder->refusal_told = true;
}

/* Nothing is left to be done for now. */
static void folder_finish(struct folder *folder)
{
    folder->state = FOLDER_CAUGHT_UP;
    folder->again = false;
    imap_uidset_release(&folder->sent_again);
    folder->more_fruitless = 0;
    folder->holds_told = true;
    if (!folder_is_partial(folder))
        folder->settled_digest =
            folder->marks.refused || folder->fetch.left_out ? 0 : folder->digest;
    if (folder->marks.refused)
        folder_marks_refused(folder);
    if (folder->known.old_count && folder->counted && !folder_is_partial(folder)) {
        /* When every mail of the folder was looked at, what was not met again is gone; else no
         * more of them can be left than there are mails. */
        uint64_t keep = folder->looked_at_all ? 0 : folder->exists;
        journal_prune_old(folder->env->journal, folder->known.id, (size_t)keep);
    }
    folder_forget(folder);
    fetch_rest(&folder->fetch);
    marks_rest(&folder->marks);
}

/* Nothing is on its way that could make a mark due. */
static bool folder_is_last(const struct folder *folder)
{
    return worklist_empty(&folder->work) && folder_settled(folder) && !folder->present_command &&
           !folder->more_command;
}

void folder_proceed(struct folder *folder, bool may_issue)
{
    if (folder->state != FOLDER_WORKING || !folder->session)
        return;
    if (may_issue)
        fetch_next(&folder->fetch);
    if (may_issue && folder_may_look_more(folder))
        folder->more_command = folder_search_new(folder, true);
    bool last = folder_is_last(folder);
    /* While the sink is down nothing more is coming, either. */
    if (may_issue)
        marks_next(&folder->marks, last || !folder->env->sink_up, last);
    if (last && marks_idle(&folder->marks) && folder_settled(folder))
        folder_finish(folder);
}

void folder_mark(struct folder *folder)
{
    if (folder->state == FOLDER_WORKING && folder->session)
        marks_next(&folder->marks, true, folder_is_last(folder));
}

static bool folder_has_marks(const struct folder *folder)
{
    return folder_is_last(folder) ? !marks_idle(&folder->marks) : marks_due(&folder->marks);
}

bool folder_has_errand(const struct folder *folder, bool marks)
{
    return folder->state == FOLDER_WORKING &&
           ((folder->env->sink_up && !worklist_empty(&folder->work)) ||
            folder_may_look_more(folder) || (marks && folder_has_marks(folder)));
}

void folder_sink_down(struct folder *folder)
{
    fetch_sink_down(&folder->fetch);
}

void folder_warn(struct folder *folder, const char *text)
{
    log_warning(&folder->scope, "%s", text);
}
