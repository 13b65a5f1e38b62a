#include "collect/plan.h"

#include <string.h>

#include "collect/env.h"
#include "collect/folder.h"

/* Is a known, selected mail to be fetched all the same? */
static bool plan_refetch(const struct folder *folder, const struct state_mail *mail)
{
    if (mail->kind == STATE_DELIVERED)
        return folder->env->settings.again;
    /* A held mail is tried again when the limit it was held under has changed, and in every run
     * when it was not held for a limit. */
    return !*mail->limit || strcmp(mail->limit, folder->env->hold_limit);
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

/* One range of selected mails against the known ones from *known on: one pass over both. */
static void plan_range(struct folder *folder, const struct imap_range *range, size_t *known)
{
    const struct state_folder *state = &folder->known;
    struct imap_uidset *pending = &folder->work.pending;
    uint64_t next = range->first;
    for (; *known < state->count && state->mails[*known].uid < range->first; ++*known)
        plan_known(folder, &state->mails[*known], false);
    for (; *known < state->count && state->mails[*known].uid <= range->last; ++*known) {
        uint32_t uid = state->mails[*known].uid;
        if (uid > next)
            imap_uidset_add(pending, (uint32_t)next, uid - 1);
        if (plan_known(folder, &state->mails[*known], true))
            imap_uidset_add(pending, uid, uid);
        next = (uint64_t)uid + 1;
    }
    if (next <= range->last)
        imap_uidset_add(pending, (uint32_t)next, range->last);
}

void plan_work(struct folder *folder, const struct imap_uidset *selected)
{
    size_t known = 0;
    for (size_t i = 0; i < selected->count; i++)
        plan_range(folder, &selected->ranges[i], &known);
    for (; known < folder->known.count; known++)
        plan_known(folder, &folder->known.mails[known], false);
}

void plan_forget_absent(struct folder *folder, const struct imap_uidset *present)
{
    for (size_t i = 0; i < folder->known.count; i++) {
        uint32_t uid = folder->known.mails[i].uid;
        if (!imap_uidset_contains(present, uid))
            folder_record(folder, &(struct state_change){.type = STATE_FORGET, .uid = uid});
    }
}
