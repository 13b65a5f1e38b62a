#include "state/memory.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "state/folder.h"
#include "state/table.h"

struct state_memory_old {
    uint8_t sha256[STATE_SHA256];
    uint64_t seq; /* generation << 32 | uid: higher is newer */
    bool used;    /* swept out before the next load */
};

struct state_memory_folder {
    struct state_entry entry;
    uint64_t generation;      /* how often uidvalidity has changed */
    struct state_mail *mails; /* ascending by uid; their texts are their own, NULL is "" */
    size_t mail_count;
    size_t mail_cap;
    struct state_memory_old *olds; /* by sha256, then seq */
    size_t old_count;
    size_t old_cap;
};

struct state_memory {
    struct state state;
    struct state_table folders;
    struct state_proofs proofs;
};

static char *state_memory_text(const char *text)
{
    return text && *text ? mem_strdup(text) : NULL;
}

static void state_memory_mail_release(struct state_mail *mail)
{
    free((char *)(uintptr_t)mail->note);
    free((char *)(uintptr_t)mail->limit);
}

/* The first mail whose uid is not below this one. */
static size_t state_memory_mail_position(const struct state_memory_folder *folder, uint32_t uid)
{
    size_t low = 0, high = folder->mail_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (folder->mails[middle].uid < uid)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct state_mail *state_memory_mail_find(struct state_memory_folder *folder, uint32_t uid)
{
    size_t at = state_memory_mail_position(folder, uid);
    return at < folder->mail_count && folder->mails[at].uid == uid ? &folder->mails[at] : NULL;
}

static void state_memory_mail_put(struct state_memory_folder *folder, enum state_kind kind,
                                  const struct state_change *change)
{
    size_t at = state_memory_mail_position(folder, change->uid);
    if (at < folder->mail_count && folder->mails[at].uid == change->uid) {
        state_memory_mail_release(&folder->mails[at]);
    } else {
        if (folder->mail_count == folder->mail_cap) {
            folder->mail_cap = folder->mail_cap ? folder->mail_cap * 2 : 4;
            folder->mails =
                mem_realloc_array(folder->mails, folder->mail_cap, sizeof *folder->mails);
        }
        memmove(folder->mails + at + 1, folder->mails + at,
                (folder->mail_count++ - at) * sizeof *folder->mails);
    }
    struct state_mail *mail = &folder->mails[at];
    *mail = (struct state_mail){.uid = change->uid,
                                .kind = kind,
                                .note = state_memory_text(change->note),
                                .limit = state_memory_text(change->limit)};
    memcpy(mail->sha256, change->sha256, STATE_SHA256);
}

static void state_memory_mail_remove(struct state_memory_folder *folder, uint32_t uid)
{
    struct state_mail *mail = state_memory_mail_find(folder, uid);
    if (!mail)
        return;
    state_memory_mail_release(mail);
    size_t behind = (size_t)(folder->mails + folder->mail_count - (mail + 1));
    memmove(mail, mail + 1, behind * sizeof *mail);
    folder->mail_count--;
}

static int state_memory_old_compare(const void *a, const void *b)
{
    const struct state_memory_old *one = a, *two = b;
    int order = memcmp(one->sha256, two->sha256, STATE_SHA256);
    return order ? order : (one->seq > two->seq) - (one->seq < two->seq);
}

/* The first old hash that is not below this one. */
static size_t state_memory_old_position(const struct state_memory_folder *folder,
                                        const struct state_memory_old *old)
{
    size_t low = 0, high = folder->old_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (state_memory_old_compare(&folder->olds[middle], old) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void state_memory_old_reserve(struct state_memory_folder *folder, size_t extra)
{
    if (folder->old_cap - folder->old_count >= extra)
        return;
    folder->old_cap = folder->old_count * 2 > folder->old_count + extra ? folder->old_count * 2
                                                                        : folder->old_count + extra;
    folder->olds = mem_realloc_array(folder->olds, folder->old_cap, sizeof *folder->olds);
}

/* Delivered under a uidvalidity that is over: the newest but for what comes from the present. */
static void state_memory_old_put(struct state_memory_folder *folder,
                                 const struct state_change *change)
{
    struct state_memory_old old = {.seq = (folder->generation - 1) << 32 | change->uid};
    memcpy(old.sha256, change->sha256, STATE_SHA256);
    size_t at = state_memory_old_position(folder, &old);
    if (at == folder->old_count || state_memory_old_compare(&folder->olds[at], &old) != 0) {
        state_memory_old_reserve(folder, 1);
        memmove(folder->olds + at + 1, folder->olds + at,
                (folder->old_count++ - at) * sizeof *folder->olds);
    }
    folder->olds[at] = old;
}

static void state_memory_old_use(struct state_memory_folder *folder, const uint8_t *sha256)
{
    struct state_memory_old first = {.seq = 0};
    memcpy(first.sha256, sha256, STATE_SHA256);
    size_t at = state_memory_old_position(folder, &first);
    for (; at < folder->old_count; at++) {
        struct state_memory_old *old = &folder->olds[at];
        if (memcmp(old->sha256, sha256, STATE_SHA256) != 0)
            return;
        if (!old->used) {
            old->used = true;
            return;
        }
    }
}

static void state_memory_old_sweep(struct state_memory_folder *folder)
{
    size_t kept = 0;
    for (size_t i = 0; i < folder->old_count; i++)
        if (!folder->olds[i].used)
            folder->olds[kept++] = folder->olds[i];
    folder->old_count = kept;
}

/* The folder has got another uidvalidity. */
static void state_memory_turn(struct state_memory_folder *folder, uint32_t uidvalidity)
{
    state_memory_old_sweep(folder);
    state_memory_old_reserve(folder, folder->mail_count);
    for (size_t i = 0; i < folder->mail_count; i++) {
        struct state_mail *mail = &folder->mails[i];
        if (mail->kind == STATE_DELIVERED) {
            struct state_memory_old *old = &folder->olds[folder->old_count++];
            *old = (struct state_memory_old){.seq = folder->generation << 32 | mail->uid};
            memcpy(old->sha256, mail->sha256, STATE_SHA256);
        }
        state_memory_mail_release(mail);
    }
    if (folder->old_count)
        qsort(folder->olds, folder->old_count, sizeof *folder->olds, state_memory_old_compare);
    folder->mail_count = 0;
    folder->generation++;
    folder->entry.uidvalidity = uidvalidity;
}

static int state_memory_load(struct state *state, const char *account, const char *name,
                             uint32_t uidvalidity, uint32_t first_uid,
                             struct state_folder *ret_folder, struct err *err)
{
    (void)err;
    struct state_table *folders = &((struct state_memory *)state)->folders;
    struct state_memory_folder *folder =
        (struct state_memory_folder *)state_table_find(folders, account, name);
    if (!folder) {
        folder =
            (struct state_memory_folder *)state_table_add(folders, account, name, sizeof *folder);
        folder->entry.uidvalidity = uidvalidity;
    }
    if (folder->entry.uidvalidity != uidvalidity)
        state_memory_turn(folder, uidvalidity);

    state_memory_old_sweep(folder);
    struct state_folder_builder builder = {.folder.id = state_entry_id(&folder->entry)};
    for (size_t i = 0; i < folder->mail_count; i++)
        if (folder->mails[i].uid >= first_uid)
            state_folder_add_mail(&builder, &folder->mails[i]);
    for (size_t i = 0; i < folder->old_count; i++)
        state_folder_add_old(&builder, folder->olds[i].sha256);
    *ret_folder = state_folder_finish(&builder);
    return 0;
}

static void state_memory_add_delivered(struct state_memory_folder *folder, bool current,
                                       const struct state_change *change)
{
    if (change->type == STATE_ADD_RECOGNISED)
        state_memory_old_use(folder, change->sha256);
    if (current)
        state_memory_mail_put(folder, STATE_DELIVERED, change);
    else
        state_memory_old_put(folder, change);
}

static void state_memory_set_note(struct state_memory_folder *folder,
                                  const struct state_change *change)
{
    struct state_mail *mail = state_memory_mail_find(folder, change->uid);
    if (!mail)
        return;
    free((char *)(uintptr_t)mail->note);
    mail->note = state_memory_text(change->note);
}

static void state_memory_apply(struct state_memory_folder *folder, bool current,
                               const struct state_change *change)
{
    if (change->type == STATE_ADD_DELIVERED || change->type == STATE_ADD_RECOGNISED)
        state_memory_add_delivered(folder, current, change);
    else if (!current)
        return;
    else if (change->type == STATE_ADD_HELD)
        state_memory_mail_put(folder, STATE_HELD, change);
    else if (change->type == STATE_SET_NOTE)
        state_memory_set_note(folder, change);
    else
        state_memory_mail_remove(folder, change->uid);
}

static int state_memory_commit(struct state *state, const struct state_change *changes,
                               size_t count, struct err *err)
{
    struct state_memory *memory = (struct state_memory *)state;
    struct state_table *folders = &memory->folders;
    bool current;
    for (size_t i = 0; i < count; i++)
        if (changes[i].type != STATE_SET_PROOF &&
            !state_table_by_id(folders, changes[i].folder, &current))
            return err_set(err, ERR_GIVE_UP, "state: change of a folder that was not loaded");
    for (size_t i = 0; i < count; i++) {
        if (changes[i].type == STATE_SET_PROOF) {
            state_proofs_set(&memory->proofs, changes[i].account, changes[i].proof);
            continue;
        }
        struct state_entry *entry = state_table_by_id(folders, changes[i].folder, &current);
        state_memory_apply((struct state_memory_folder *)entry, current, &changes[i]);
    }
    return 0;
}

static int state_memory_load_proofs(struct state *state, struct state_proofs *ret_proofs,
                                    struct err *err)
{
    (void)err;
    const struct state_proofs *proofs = &((struct state_memory *)state)->proofs;
    struct state_proofs copy = {0};
    for (size_t i = 0; i < proofs->count; i++)
        state_proofs_set(&copy, proofs->items[i].account, proofs->items[i].proof);
    *ret_proofs = copy;
    return 0;
}

static int state_memory_compare_newer(const void *a, const void *b)
{
    uint64_t one = *(const uint64_t *)a, two = *(const uint64_t *)b;
    return (one < two) - (one > two);
}

static int state_memory_prune_old(struct state *state, int64_t id, size_t keep, struct err *err)
{
    struct state_table *folders = &((struct state_memory *)state)->folders;
    bool current;
    struct state_memory_folder *folder =
        (struct state_memory_folder *)state_table_by_id(folders, id, &current);
    if (!folder)
        return err_set(err, ERR_GIVE_UP, "state: pruning of a folder that was not loaded");
    state_memory_old_sweep(folder);
    if (!current || folder->old_count <= keep)
        return 0;

    uint64_t *seqs = mem_realloc_array(NULL, folder->old_count, sizeof *seqs);
    for (size_t i = 0; i < folder->old_count; i++)
        seqs[i] = folder->olds[i].seq;
    qsort(seqs, folder->old_count, sizeof *seqs, state_memory_compare_newer);
    for (size_t i = 0; i < folder->old_count; i++)
        folder->olds[i].used = folder->olds[i].seq <= seqs[keep] &&
                               (folder->olds[i].seq >> 32) + STATE_GENERATIONS < folder->generation;
    free(seqs);
    state_memory_old_sweep(folder);
    return 0;
}

static void state_memory_folder_release(struct state_entry *entry)
{
    struct state_memory_folder *folder = (struct state_memory_folder *)entry;
    for (size_t i = 0; i < folder->mail_count; i++)
        state_memory_mail_release(&folder->mails[i]);
    free(folder->mails);
    free(folder->olds);
}

static void state_memory_free(struct state *state)
{
    struct state_memory *memory = (struct state_memory *)state;
    state_table_release(&memory->folders, state_memory_folder_release);
    state_proofs_release(&memory->proofs);
    free(memory);
}

static const struct state_ops state_memory_ops = {
    .load = state_memory_load,
    .commit = state_memory_commit,
    .load_proofs = state_memory_load_proofs,
    .prune_old = state_memory_prune_old,
    .free = state_memory_free,
};

struct state *state_memory_new(void)
{
    struct state_memory *memory = mem_new(struct state_memory);
    memory->state.ops = &state_memory_ops;
    return &memory->state;
}
