#include "collect/marks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "collect/folder.h"

const char MARKS_NOTE_COPIED[] = "copied";
const char MARKS_NOTE_FLAGGED[] = "flagged";

enum {
    MARKS_SET_OCTETS = 900,
    MARKS_ENOUGH = 64, /* while more mail comes, small steps are not worth their round trip */
    /* Mails in one COPY: if its answer does not come, nobody knows whether it was done, and it is
     * done again. */
    MARKS_COPIES = 81,
};

void marks_init(struct marks *marks, struct folder *folder, const struct collect_account *account)
{
    static const char *const names[] = {"seen", "none", "delete", "move:", "keyword:"};
    *marks = (struct marks){.folder = folder, .account = account, .most = UINT64_MAX};
    marks->action =
        mem_printf("%s%s", names[account->after], account->after_name ? account->after_name : "");
}

void marks_rest(struct marks *marks)
{
    imap_uidset_release(&marks->due);
    imap_uidset_release(&marks->copied);
    imap_uidset_release(&marks->active);
    imap_uidset_release(&marks->flagged);
    found_release(&marks->deleted);
    marks->swept = false;
}

void marks_release(struct marks *marks)
{
    marks_rest(marks);
    free(marks->target);
    free(marks->action);
    free(marks->err);
}

void marks_attach(struct marks *marks, struct imap_session *session, const char *target)
{
    marks->session = session;
    marks->refused = false;
    free(marks->target);
    marks->target = mem_strdup(target);
    if (marks->removed)
        marks->doubted = marks->removed;
    marks->removed = 0;
}

void marks_detach(struct marks *marks)
{
    marks->session = NULL;
    marks->state = MARKS_IDLE;
    marks->command = 0;
    marks->swept = false;
    marks->copies_unrecorded = 0;
    imap_uidset_clear(&marks->due);
    imap_uidset_clear(&marks->copied);
    imap_uidset_clear(&marks->active);
    imap_uidset_clear(&marks->flagged);
    found_release(&marks->deleted);
}

void marks_void(struct marks *marks)
{
    marks->removed = marks->doubted = 0;
}

bool marks_doubt(const struct marks *marks)
{
    return marks->doubted;
}

void marks_found_present(struct marks *marks, const struct imap_uidset *present)
{
    if (marks->doubted && imap_uidset_contains(present, marks->doubted)) {
        folder_warn(marks->folder, "delivered mail is still there, though the server answered OK "
                                   "when it was to be removed: it is not sent again");
        marks->kept_told = true;
    }
    marks->doubted = 0;
}

bool marks_writes(const struct marks *marks)
{
    return marks->account->after != COLLECT_AFTER_NONE;
}

bool marks_expunges(const struct marks *marks)
{
    return marks->account->after == COLLECT_AFTER_DELETE ||
           marks->account->after == COLLECT_AFTER_MOVE;
}

void marks_add(struct marks *marks, uint32_t uid, bool copied)
{
    imap_uidset_add(copied ? &marks->copied : &marks->due, uid, uid);
    if (copied && marks->copies_unrecorded)
        marks->copies_unrecorded--;
}

void marks_drop(struct marks *marks, uint32_t uid)
{
    imap_uidset_remove(&marks->due, uid);
    imap_uidset_remove(&marks->copied, uid);
}

static bool marks_has(const struct marks *marks, unsigned cap)
{
    return imap_session_caps(marks->session) & cap;
}

/* The text of the active set. It was made by imap_uidset_take_text() within its limit, so the
 * whole of it fits again. */
static char *marks_active_text(const struct marks *marks, struct buf *text)
{
    struct imap_uidset copy = {0};
    imap_uidset_add_set(&copy, &marks->active);
    imap_uidset_take_text(&copy, text, MARKS_SET_OCTETS);
    imap_uidset_release(&copy);
    return buf_cstr(text);
}

/* Moves as many mails as fit one command, at most `most`, from `from` to the active set. */
static void marks_activate(struct marks *marks, struct imap_uidset *from, uint64_t most)
{
    struct buf text = {0};
    imap_uidset_take_text(from, &text, MARKS_SET_OCTETS);
    imap_uidset_clear(&marks->active);
    imap_uidset_parse(&marks->active, (char *)text.data, text.len, SIZE_MAX);
    imap_uidset_cut(&marks->active, most, from);
    buf_release(&text);
}

/* Entering a state issues its command. */
static void marks_enter(struct marks *marks, enum marks_state state)
{
    struct imap_session *session = marks->session;
    struct buf text = {0};
    const char *set = marks_active_text(marks, &text);
    char keyword[320];
    marks->state = state;
    marks->command = 0;
    marks->gone = 0;
    switch (state) {
    case MARKS_IDLE:
        imap_uidset_clear(&marks->active);
        break;
    case MARKS_STORING:
        snprintf(keyword, sizeof keyword, "+FLAGS.SILENT (%s)",
                 marks->account->after_name ? marks->account->after_name : "\\Seen");
        marks->command = imap_session_uid_store(session, set, keyword);
        break;
    case MARKS_MOVING:
        marks->command = imap_session_uid_move(session, set, marks->target);
        break;
    case MARKS_CREATING:
        marks->created = true;
        marks->command = imap_session_create(session, marks->target);
        break;
    case MARKS_COPYING:
        marks->command = imap_session_uid_copy(session, set, marks->target);
        break;
    case MARKS_DELETING:
        marks->command = imap_session_uid_store(session, set, "+FLAGS.SILENT (\\Deleted)");
        break;
    case MARKS_EXPUNGING:
        marks->command = imap_session_uid_expunge(session, set);
        break;
    case MARKS_LOOKING:
        marks->swept = true;
        found_release(&marks->deleted);
        marks->command = imap_session_uid_search(session, "DELETED");
        break;
    case MARKS_SWEEPING:
        marks->command = imap_session_expunge(session);
        break;
    }
    buf_release(&text);
}

/* The first step for mails that are due. */
static enum marks_state marks_first_step(const struct marks *marks)
{
    switch (marks->account->after) {
    case COLLECT_AFTER_MOVE:
        return marks_has(marks, IMAP_CAP_MOVE) ? MARKS_MOVING : MARKS_COPYING;
    case COLLECT_AFTER_DELETE:
        return MARKS_DELETING;
    default:
        return MARKS_STORING;
    }
}

/* The copies of one COPY are on record before the next goes out. */
static void marks_begin(struct marks *marks)
{
    enum marks_state step = marks_first_step(marks);
    if (step == MARKS_COPYING && marks->copies_unrecorded)
        return;
    uint64_t most = marks->most;
    if (step == MARKS_COPYING && most > MARKS_COPIES)
        most = MARKS_COPIES;
    marks_activate(marks, &marks->due, most);
    marks_enter(marks, step);
}

void marks_next(struct marks *marks, bool now, bool last)
{
    if (!marks->session || marks->state != MARKS_IDLE || marks->refused)
        return;
    if (marks->copied.count) {
        marks_activate(marks, &marks->copied, marks->most);
        marks_enter(marks, MARKS_DELETING);
    } else if (marks->due.count && (now || imap_uidset_size(&marks->due) >= MARKS_ENOUGH)) {
        marks_begin(marks);
    } else if (last && marks->flagged.count && !marks->swept) {
        marks_enter(marks, MARKS_LOOKING);
    }
}

bool marks_due(const struct marks *marks)
{
    if (!marks->session || marks->state != MARKS_IDLE || marks->refused)
        return false;
    bool waits = marks_first_step(marks) == MARKS_COPYING && marks->copies_unrecorded;
    return marks->copied.count || (marks->due.count && !waits);
}

bool marks_idle(const struct marks *marks)
{
    if (marks->refused || !marks->session)
        return marks->state == MARKS_IDLE;
    return marks->state == MARKS_IDLE && !marks->due.count && !marks->copied.count &&
           (!marks->flagged.count || marks->swept);
}

static void marks_record(struct marks *marks, struct imap_uidset *set, enum state_change_type type,
                         const char *note)
{
    for (size_t i = 0; i < set->count; i++)
        for (uint64_t uid = set->ranges[i].first; uid <= set->ranges[i].last; uid++)
            folder_record(marks->folder,
                          &(struct state_change){.type = type, .uid = (uint32_t)uid, .note = note});
}

void marks_heard_expunge(struct marks *marks)
{
    marks->gone++;
}

/* Servers tell of each mail that is gone (RFC 9051 section 7.5.1). Some say OK and leave it, as
 * where the account has no right to delete; forgotten, it would be sent again each time that it is
 * found. So it stays on record, under `note` (NULL: as it is), until a look shows that it is not
 * there; that it is there is told once. */
static void marks_record_gone(struct marks *marks, struct imap_uidset *set, const char *note)
{
    if (marks->gone >= imap_uidset_size(set)) {
        marks_record(marks, set, STATE_FORGET, NULL);
        return;
    }
    if (!marks->kept_told)
        marks->removed = set->ranges[0].first;
    if (note)
        marks_record(marks, set, STATE_SET_NOTE, note);
}

static void marks_refuse(struct marks *marks, const char *what, const struct imap_event *event)
{
    marks->refused = true;
    bool busy = event->code == IMAP_CODE_UNAVAILABLE || event->code == IMAP_CODE_INUSE ||
                event->code == IMAP_CODE_LIMIT || event->code == IMAP_CODE_THROTTLED;
    struct err err;
    err_set(&err, busy ? ERR_RETRY_LATER : ERR_GIVE_UP,
            "delivered mails could not be %s: the server answered %s %s", what,
            imap_status_name(event->status), event->text);
    err_keep(&marks->err, &err);
    marks_enter(marks, MARKS_IDLE);
}

/* Is what is \Deleted in the folder just what we flagged? An answer without ours is not the whole
 * answer, and others may be missing from it as well. */
static bool marks_all_ours(struct marks *marks)
{
    struct imap_uidset deleted = {0};
    found_take(&marks->deleted, &deleted);
    bool ours = imap_uidset_size(&deleted) == imap_uidset_size(&marks->flagged);
    for (size_t i = 0; i < deleted.count && ours; i++)
        for (uint64_t uid = deleted.ranges[i].first; uid <= deleted.ranges[i].last && ours; uid++)
            ours = imap_uidset_contains(&marks->flagged, (uint32_t)uid);
    imap_uidset_release(&deleted);
    return ours;
}

/* What was copied keeps that note: the next run must know. */
static const char *marks_flagged_note(const struct marks *marks)
{
    return marks->account->after == COLLECT_AFTER_MOVE ? NULL : MARKS_NOTE_FLAGGED;
}

static void marks_deleted_done(struct marks *marks)
{
    if (marks_has(marks, IMAP_CAP_UIDPLUS)) {
        marks_enter(marks, MARKS_EXPUNGING);
        return;
    }
    const char *note = marks_flagged_note(marks);
    imap_uidset_add_set(&marks->flagged, &marks->active);
    if (note)
        marks_record(marks, &marks->active, STATE_SET_NOTE, note);
    marks_enter(marks, MARKS_IDLE);
}

static void marks_looked(struct marks *marks, enum imap_code code)
{
    if (marks_all_ours(marks) && code != IMAP_CODE_MESSAGELIMIT) {
        marks_enter(marks, MARKS_SWEEPING);
        return;
    }
    folder_warn(marks->folder, "messages stay flagged \\Deleted: the server has no UIDPLUS, and an "
                               "EXPUNGE would remove other messages that are flagged \\Deleted");
    marks_enter(marks, MARKS_IDLE);
}

static void marks_succeeded(struct marks *marks, enum imap_code code)
{
    switch (marks->state) {
    case MARKS_STORING:
        marks_record(marks, &marks->active, STATE_SET_NOTE, marks->action);
        marks_enter(marks, MARKS_IDLE);
        break;
    case MARKS_MOVING:
        /* Perhaps there is a copy of it: it is not moved again. */
        marks_record_gone(marks, &marks->active, marks->action);
        marks_enter(marks, MARKS_IDLE);
        break;
    case MARKS_EXPUNGING:
        marks_record_gone(marks, &marks->active, marks_flagged_note(marks));
        marks_enter(marks, MARKS_IDLE);
        break;
    case MARKS_CREATING:
        marks_enter(marks, marks_first_step(marks));
        break;
    case MARKS_COPYING:
        /* A crash before the delete must not lead to a second copy: they come back when this is
         * on record. */
        marks->copies_unrecorded = (size_t)imap_uidset_size(&marks->active);
        marks_record(marks, &marks->active, STATE_SET_NOTE, MARKS_NOTE_COPIED);
        marks_enter(marks, MARKS_IDLE);
        break;
    case MARKS_DELETING:
        marks_deleted_done(marks);
        break;
    case MARKS_LOOKING:
        marks_looked(marks, code);
        break;
    case MARKS_SWEEPING:
        marks_record_gone(marks, &marks->flagged, NULL);
        imap_uidset_clear(&marks->flagged);
        marks_enter(marks, MARKS_IDLE);
        break;
    case MARKS_IDLE:
        break;
    }
}

/* RFC 9738: these were too many mails for one command of this server. How many of them it has seen
 * to makes no difference, as each step but a COPY may be done again, and a COPY is done for all or
 * for none. */
static bool marks_too_many(struct marks *marks, const struct imap_event *event)
{
    uint64_t size = imap_uidset_size(&marks->active);
    if (event->code != IMAP_CODE_MESSAGELIMIT || size < 2 ||
        (marks->state == MARKS_COPYING && event->status == IMAP_OK))
        return false;
    marks->most = event->code_number && event->code_number < size ? event->code_number : size / 2;
    bool copied = marks->account->after == COLLECT_AFTER_MOVE &&
                  (marks->state == MARKS_DELETING || marks->state == MARKS_EXPUNGING);
    imap_uidset_add_set(copied ? &marks->copied : &marks->due, &marks->active);
    marks_enter(marks, MARKS_IDLE);
    return true;
}

void marks_done(struct marks *marks, const struct imap_event *event)
{
    static const char *const whats[] = {
        [MARKS_IDLE] = "",
        [MARKS_STORING] = "marked",
        [MARKS_MOVING] = "moved",
        [MARKS_CREATING] = "moved",
        [MARKS_COPYING] = "moved",
        [MARKS_DELETING] = "deleted",
        [MARKS_EXPUNGING] = "expunged",
        [MARKS_LOOKING] = "expunged",
        [MARKS_SWEEPING] = "expunged",
    };
    if (marks_too_many(marks, event))
        return;
    if (event->status == IMAP_OK)
        marks_succeeded(marks, event->code);
    else if ((marks->state == MARKS_MOVING || marks->state == MARKS_COPYING) &&
             event->code == IMAP_CODE_TRYCREATE && !marks->created)
        marks_enter(marks, MARKS_CREATING);
    else
        marks_refuse(marks, whats[marks->state], event);
}

bool marks_found_deleted(struct marks *marks, const struct imap_response *response)
{
    return found_add(&marks->deleted, response);
}

bool marks_looking(const struct marks *marks)
{
    return marks->state == MARKS_LOOKING;
}
