#include "collect/plan.h"

#include <string.h>

#include "collect/env.h"
#include "collect/folder.h"

/* Is a known, selected mail to be fetched all the same? */
static bool plan_refetch(struct folder *folder, const struct state_mail *mail)
{
    if (fetch_is_broken(&folder->fetch, mail->uid))
        return false;
    if (mail->kind == STATE_DELIVERED)
        return folder->again && !imap_uidset_contains(&folder->sent_again, mail->uid);
    /* It costs a connection each time that it still is broken, so of all such mails only one is
     * tried in a run, and none where others broke before. */
    if (!strcmp(mail->limit, FETCH_LIMIT_BROKEN)) {
        if (!folder->fetch.broken_count)
            worklist_add_last(&folder->work, mail->uid);
        return false;
    }
    /* A held mail is tried again when the limit it was held under has changed; in every run, and
     * once a day, when it was not held for a limit. */
    return *mail->limit ? strcmp(mail->limit, folder->env->hold_limit) != 0 : folder->thorough;
}

/* Does a known mail still need its mark? */
static bool plan_mark(const struct folder *folder, const struct state_mail *mail, bool selected)
{
    if (mail->kind != STATE_DELIVERED || !marks_writes(&folder->marks))
        return false;
    if (!*mail->note || !strcmp(mail->note, MARKS_NOTE_COPIED) ||
        !strcmp(mail->note, MARKS_NOTE_FLAGGED))
        return true;
    return selected && strcmp(mail->note, folder->marks.action);
}

/* A known mail, selected or not. Returns whether it is to be fetched. */
static bool plan_known(struct folder *folder, const struct state_mail *mail, bool selected)
{
    if (selected && plan_refetch(folder, mail))
        return true;
    if (plan_mark(folder, mail, selected))
        marks_add(&folder->marks, mail->uid,
                  folder->account->after == COLLECT_AFTER_MOVE &&
                      !strcmp(mail->note, MARKS_NOTE_COPIED));
    return false;
}

/* Mails that nothing is known of, as they are met. */
struct plan_unknown {
    uint64_t count;
    uint64_t below; /* of them, with UIDs below … */
    uint64_t limit; /* … this */
};

static void plan_add_unknown(struct folder *folder, uint64_t first, uint64_t last,
                             struct plan_unknown *unknown)
{
    imap_uidset_add(&folder->work.pending, (uint32_t)first, (uint32_t)last);
    unknown->count += last - first + 1;
    if (first < unknown->limit)
        unknown->below += (last < unknown->limit ? last + 1 : unknown->limit) - first;
}

/* One range of selected mails against the known ones from *known on: one pass over both. */
static void plan_range(struct folder *folder, const struct imap_range *range, size_t *known,
                       struct plan_unknown *unknown)
{
    const struct state_folder *state = &folder->known;
    uint64_t next = range->first;
    for (; *known < state->count && state->mails[*known].uid < range->first; ++*known)
        plan_known(folder, &state->mails[*known], false);
    for (; *known < state->count && state->mails[*known].uid <= range->last; ++*known) {
        uint32_t uid = state->mails[*known].uid;
        if (uid > next)
            plan_add_unknown(folder, next, uid - 1, unknown);
        if (plan_known(folder, &state->mails[*known], true))
            imap_uidset_add(&folder->work.pending, uid, uid);
        next = (uint64_t)uid + 1;
    }
    if (next <= range->last)
        plan_add_unknown(folder, next, range->last, unknown);
}

uint64_t plan_work(struct folder *folder, uint64_t below, uint64_t *ret_below)
{
    struct plan_unknown unknown = {.limit = below};
    size_t known = 0;
    for (size_t i = 0; i < folder->selected.count; i++)
        plan_range(folder, &folder->selected.ranges[i], &known, &unknown);
    for (; known < folder->known.count; known++)
        plan_known(folder, &folder->known.mails[known], false);
    *ret_below = unknown.below;
    return unknown.count;
}

void plan_forget_absent(struct folder *folder, const struct imap_uidset *present)
{
    marks_found_present(&folder->marks, present);
    for (size_t i = 0; i < folder->known.count; i++) {
        uint32_t uid = folder->known.mails[i].uid;
        if (imap_uidset_contains(present, uid))
            continue;
        marks_drop(&folder->marks, uid);
        folder_record(folder, &(struct state_change){.type = STATE_FORGET, .uid = uid});
    }
}
