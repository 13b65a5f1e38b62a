/* What became of a folder's mails: given back, refused, recognised, taken, on record. */
#include <string.h>

#include "base/text.h"
#include "collect/budget.h"
#include "collect/env.h"
#include "collect/folder.h"
#include "collect/journal.h"
#include "collect/mail.h"

void folder_record(struct folder *folder, const struct state_change *change)
{
    struct state_change named = *change;
    named.folder = folder->known.id;
    if (folder->last_known < change->uid)
        folder->last_known = change->uid;
    folder->unrecorded++;
    journal_add(folder->env->journal, folder, &named);
}

void folder_hold(struct folder *folder, uint32_t uid, const uint8_t *sha256, const char *limit,
                 const char *why)
{
    const struct state_mail *known = state_folder_find(&folder->known, uid);
    if (known && known->kind == STATE_DELIVERED) {
        /* Only --again asks for such a mail; that it was delivered stays on record. */
        folder_warn(folder, "a mail that was delivered before could not be sent again");
        return;
    }
    struct state_change change = {.type = STATE_ADD_HELD, .uid = uid, .note = why, .limit = limit};
    if (sha256)
        memcpy(change.sha256, sha256, sizeof change.sha256);
    folder_record(folder, &change);
}

/* The first of the equal hashes, or -1. */
static ptrdiff_t folder_find_old(const struct folder *folder, const uint8_t sha256[STATE_SHA256])
{
    size_t low = 0, high = folder->known.old_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (memcmp(folder->known.old_hashes[middle], sha256, STATE_SHA256) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == folder->known.old_count ||
        memcmp(folder->known.old_hashes[low], sha256, STATE_SHA256))
        return -1;
    return (ptrdiff_t)low;
}

bool folder_recognise(struct folder *folder, const uint8_t sha256[STATE_SHA256])
{
    if (folder->again)
        return false;
    ptrdiff_t first = folder_find_old(folder, sha256);
    if (first < 0)
        return false;
    size_t next = (size_t)first + folder->old_used[first];
    if (next >= folder->known.old_count ||
        memcmp(folder->known.old_hashes[next], sha256, STATE_SHA256))
        return false;
    folder->old_used[first]++;
    return true;
}

void folder_record_taken(struct folder *folder, enum state_change_type type, uint32_t uid,
                         const uint8_t sha256[STATE_SHA256], bool foreign_deleted)
{
    struct state_change change = {.type = type, .uid = uid};
    folder->took_any = true;
    memcpy(change.sha256, sha256, sizeof change.sha256);
    if (!marks_writes(&folder->marks))
        change.note = folder->marks.action;
    else if (foreign_deleted && marks_expunges(&folder->marks))
        /* Somebody else flagged it \Deleted: it is not ours to expunge. */
        change.note = folder->marks.action;
    folder_record(folder, &change);
}

static void folder_mail_taken(struct folder *folder, const struct mail *mail)
{
    folder->report->bytes += mail->size;
    folder->delivered_bytes += mail->size;
    folder_record_taken(folder, STATE_ADD_DELIVERED, mail->uid, mail->sha256,
                        mail->foreign_deleted);
}

/* It comes back without a connection that could fetch it: the next opening finds it. */
static void folder_find_again(struct folder *folder, uint32_t uid)
{
    folder->report->found--;
    if (uid < folder->next)
        folder->next = uid;
}

void folder_mail_settled(struct folder *folder, struct mail *mail, enum sink_outcome outcome,
                         const struct err *err)
{
    folder->in_flight--;
    switch (outcome) {
    case SINK_TAKEN:
        folder_mail_taken(folder, mail);
        break;
    case SINK_RETRY:
        if (folder->state == FOLDER_WORKING && folder->session)
            worklist_add(&folder->work, mail->uid);
        else
            folder_find_again(folder, mail->uid);
        break;
    case SINK_REFUSED:
        folder_hold(folder, mail->uid, mail->sha256, folder->env->hold_limit, err->text);
        break;
    }
    folder->events->changed(folder->ctx);
}

static void folder_held(struct folder *folder, const struct state_change *change)
{
    const struct state_mail *known = state_folder_find(&folder->known, change->uid);
    char why[400];
    /* Tried again, to no avail: that is no news. */
    if (folder->holds_told && known && known->kind == STATE_HELD &&
        !strcmp(known->note, change->note))
        return;
    text_escape_utf8(why, sizeof why, change->note, strlen(change->note));
    folder->report->held++;
    log_warning(&folder->scope, "held, left untouched: UID %u: %s", change->uid, why);
}

/* A delivery is on record: its slot is free. The first one also shows that the state can be written
 * at all; until then few mails are let out, or each run on a full disk would repeat thousands. */
static void folder_recorded(struct folder *folder)
{
    struct collect_env *env = folder->env;
    budget_release_slot(env->budget);
    if (env->recording)
        return;
    env->recording = true;
    budget_set_slots(env->budget, env->settings.in_flight_max);
}

void folder_committed(void *owner, const struct state_change *change)
{
    struct folder *folder = owner;
    folder->unrecorded--;
    bool marked = change->note && *change->note;
    switch (change->type) {
    case STATE_ADD_DELIVERED:
        folder_recorded(folder);
        folder->report->delivered++;
        folder->delivered++;
        if (folder->again)
            imap_uidset_add(&folder->sent_again, change->uid, change->uid);
        if (!marked && folder->session)
            marks_add(&folder->marks, change->uid, false);
        break;
    case STATE_ADD_RECOGNISED:
        folder->report->recognised++;
        if (!marked && folder->session)
            marks_add(&folder->marks, change->uid, false);
        break;
    case STATE_ADD_HELD:
        folder_held(folder, change);
        break;
    case STATE_SET_NOTE:
        if (!strcmp(change->note, MARKS_NOTE_COPIED) && folder->session)
            marks_add(&folder->marks, change->uid, true);
        break;
    case STATE_SET_PROOF: /* not a folder's */
    case STATE_FORGET:
        break;
    }
    folder->events->changed(folder->ctx);
}
