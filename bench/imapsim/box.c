#include "imapsim/box.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static const struct {
    const char *name, *use;
} sim_folders[SIM_FOLDERS] = {{"INBOX", NULL}, {"Junk", "\\Junk"}, {"Trash", "\\Trash"}};

enum {
    SIM_UIDVALIDITY = 1000,
};

const char *sim_folder_name(unsigned index)
{
    return sim_folders[index].name;
}

const char *sim_folder_use(unsigned index)
{
    return sim_folders[index].use;
}

void sim_box_init(struct sim_box *box, uint32_t number)
{
    *box = (struct sim_box){.number = number};
    for (unsigned i = 0; i < SIM_FOLDERS; i++) {
        box->folders[i].uidnext = 1;
        box->folders[i].uidvalidity = SIM_UIDVALIDITY + i;
    }
}

void sim_box_release(struct sim_box *box)
{
    for (unsigned i = 0; i < SIM_FOLDERS; i++) {
        free(box->folders[i].mails);
        free(box->folders[i].changes);
    }
}

/* Only INBOX is the same in any case (RFC 9051 section 5.1). */
struct sim_folder *sim_box_folder(struct sim_box *box, const struct sim_word *name)
{
    if (sim_word_is(name, sim_folders[0].name))
        return &box->folders[0];
    for (unsigned i = 1; i < SIM_FOLDERS; i++)
        if (sim_word_is(name, sim_folders[i].name) &&
            memcmp(name->text, sim_folders[i].name, name->len) == 0)
            return &box->folders[i];
    return NULL;
}

uint32_t sim_box_deliver(struct sim_box *box)
{
    return sim_folder_add(&box->folders[0], ++box->made, 0);
}

void sim_folder_renew(struct sim_folder *folder)
{
    folder->uidvalidity += SIM_FOLDERS;
    folder->uidnext = 1;
    for (uint32_t i = 0; i < folder->count; i++) {
        folder->mails[i].uid = folder->uidnext++;
        folder->mails[i].flags &= SIM_FLAG_FETCHED;
    }
}

uint32_t sim_folder_find(const struct sim_folder *folder, uint32_t uid)
{
    uint32_t low = 0, high = folder->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (folder->mails[middle].uid < uid)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

uint32_t sim_folder_count(const struct sim_folder *folder, unsigned with, unsigned without)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < folder->count; i++)
        count += (folder->mails[i].flags & with) == with && !(folder->mails[i].flags & without);
    return count;
}

uint32_t sim_folder_add(struct sim_folder *folder, uint32_t number, uint8_t flags)
{
    if (folder->count == folder->cap) {
        folder->cap = folder->cap ? 2 * folder->cap : 4;
        folder->mails = mem_realloc_array(folder->mails, folder->cap, sizeof *folder->mails);
    }
    folder->mails[folder->count++] =
        (struct sim_mail){.uid = folder->uidnext, .number = number, .flags = flags};
    return folder->uidnext++;
}

static void sim_folder_log(struct sim_folder *folder, struct sim_change change)
{
    if (!folder->sessions)
        return;
    if (folder->change_count == folder->change_cap) {
        folder->change_cap = folder->change_cap ? 2 * folder->change_cap : 4;
        folder->changes =
            mem_realloc_array(folder->changes, folder->change_cap, sizeof *folder->changes);
    }
    folder->changes[folder->change_count++] = change;
}

void sim_folder_note(struct sim_folder *folder, uint32_t uid, const struct sim_session *silent)
{
    sim_folder_log(folder, (struct sim_change){.uid = uid, .silent = silent});
}

void sim_folder_expunge(struct sim_folder *folder, const struct sim_set *set, uint32_t below,
                        unsigned flags)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < folder->count; i++) {
        struct sim_mail mail = folder->mails[i];
        bool goes = mail.uid < below && (mail.flags & flags) == flags &&
                    (!set || sim_set_has(set, mail.uid));
        if (goes)
            sim_folder_log(folder, (struct sim_change){.uid = mail.uid, .gone = true});
        else
            folder->mails[kept++] = mail;
    }
    folder->count = kept;
}

static uint32_t sim_folder_untold(const struct sim_folder *folder, uint32_t told, uint32_t below)
{
    uint32_t count = 0;
    for (uint32_t i = told; i < folder->change_count; i++)
        count += folder->changes[i].gone && folder->changes[i].uid < below;
    return count;
}

uint32_t sim_folder_sequence(const struct sim_folder *folder, uint32_t told, uint32_t uid)
{
    return sim_folder_find(folder, uid) + sim_folder_untold(folder, told, uid) + 1;
}

uint32_t sim_folder_exists(const struct sim_folder *folder, uint32_t told)
{
    return folder->count + sim_folder_untold(folder, told, UINT32_MAX);
}
