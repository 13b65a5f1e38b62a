#include "state/folder.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum {
    /* How far back an equal text is looked for. Notes of delivered mails are one or two distinct
     * strings, so that the first look nearly always finds them. */
    FOLDER_TEXTS_SEARCHED = 8
};

static const char *state_folder_share_text(struct state_folder *folder, const char *text)
{
    if (!text || !*text)
        return "";
    size_t count = folder->text_count;
    size_t oldest = count > FOLDER_TEXTS_SEARCHED ? count - FOLDER_TEXTS_SEARCHED : 0;
    for (size_t i = count; i > oldest; i--)
        if (!strcmp(folder->texts[i - 1], text))
            return folder->texts[i - 1];

    /* A power of two: full. */
    if (!(count & (count - 1)))
        folder->texts =
            mem_realloc_array(folder->texts, count ? count * 2 : 1, sizeof *folder->texts);
    folder->texts[folder->text_count++] = mem_strdup(text);
    return folder->texts[count];
}

void state_folder_add_mail(struct state_folder_builder *builder, const struct state_mail *mail)
{
    struct state_folder *folder = &builder->folder;
    if (folder->count == builder->mail_cap) {
        builder->mail_cap = builder->mail_cap ? builder->mail_cap * 2 : 16;
        folder->mails = mem_realloc_array(folder->mails, builder->mail_cap, sizeof *mail);
    }
    struct state_mail *copy = &folder->mails[folder->count++];
    *copy = *mail;
    copy->note = state_folder_share_text(folder, mail->note);
    copy->limit = state_folder_share_text(folder, mail->limit);
}

void state_folder_add_old(struct state_folder_builder *builder, const uint8_t *sha256)
{
    struct state_folder *folder = &builder->folder;
    if (folder->old_count == builder->old_cap) {
        builder->old_cap = builder->old_cap ? builder->old_cap * 2 : 16;
        folder->old_hashes =
            mem_realloc_array(folder->old_hashes, builder->old_cap, sizeof *folder->old_hashes);
    }
    memcpy(folder->old_hashes[folder->old_count++], sha256, STATE_SHA256);
}

struct state_folder state_folder_finish(struct state_folder_builder *builder)
{
    struct state_folder folder = builder->folder;
    if (folder.count)
        folder.mails = mem_realloc_array(folder.mails, folder.count, sizeof *folder.mails);
    if (folder.old_count)
        folder.old_hashes =
            mem_realloc_array(folder.old_hashes, folder.old_count, sizeof *folder.old_hashes);
    *builder = (struct state_folder_builder){0};
    return folder;
}

void state_folder_release(struct state_folder *folder)
{
    for (size_t i = 0; i < folder->text_count; i++)
        free(folder->texts[i]);
    free(folder->texts);
    free(folder->mails);
    free(folder->old_hashes);
    *folder = (struct state_folder){0};
}

static int state_folder_compare_uid(const void *key, const void *element)
{
    uint32_t uid = *(const uint32_t *)key;
    const struct state_mail *mail = element;
    return (uid > mail->uid) - (uid < mail->uid);
}

const struct state_mail *state_folder_find(const struct state_folder *folder, uint32_t uid)
{
    if (!folder->count)
        return NULL;
    return bsearch(&uid, folder->mails, folder->count, sizeof *folder->mails,
                   state_folder_compare_uid);
}
