#include "imapsim/mail.h"

#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum {
    SIM_FILE_MAX = 32 << 20,
    SIM_LINE = 74,
};

uint64_t sim_random(uint64_t *state)
{
    uint64_t mixed = *state += 0x9e3779b97f4a7c15;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
    return mixed ^ (mixed >> 31);
}

/* As a server sends it, and without the "From " line of an mbox. */
static void sim_mail_read(FILE *file, struct buf *out)
{
    char line[4096];
    bool begun = false, whole = true;
    while (out->len < SIM_FILE_MAX && fgets(line, sizeof line, file)) {
        size_t len = strlen(line);
        if (!begun && strncmp(line, "From ", 5) == 0)
            continue;
        begun = true;
        whole = len && line[len - 1] == '\n';
        if (whole)
            len--;
        if (whole && len && line[len - 1] == '\r')
            len--;
        buf_add(out, line, len);
        if (whole)
            buf_add_str(out, "\r\n");
    }
    if (!whole)
        buf_add_str(out, "\r\n");
}

static int sim_mail_filter(const struct dirent *entry)
{
    return !fnmatch("*.eml", entry->d_name, 0);
}

int sim_mails_load(struct sim_mails *mails, const char *directory, struct err *err)
{
    struct dirent **entries;
    int count = scandir(directory, &entries, sim_mail_filter, alphasort), result = 0;
    if (count <= 0)
        return err_set(err, ERR_GIVE_UP, "%s: %s", directory,
                       count < 0 ? strerror(errno) : "no .eml files there");
    mails->files = mem_zalloc((size_t)count * sizeof *mails->files);
    for (int i = 0; i < count; i++) {
        char *path = mem_printf("%s/%s", directory, entries[i]->d_name);
        FILE *file = result ? NULL : fopen(path, "r");
        if (file) {
            sim_mail_read(file, &mails->files[mails->file_count++]);
            fclose(file);
        } else if (!result) {
            result = err_set(err, ERR_GIVE_UP, "%s: %s", path, strerror(errno));
        }
        free(path);
        free(entries[i]);
    }
    free(entries);
    return result;
}

void sim_mails_release(struct sim_mails *mails)
{
    for (size_t i = 0; i < mails->file_count; i++)
        buf_release(&mails->files[i]);
    free(mails->files);
}

static void sim_mail_make(size_t size, uint32_t box, uint32_t number, uint64_t dice,
                          struct buf *out)
{
    static const char words[] =
        "click here for your prize invoice attached urgent reply account limited offer pills "
        "lottery winner transfer dear friend confirm password delivery failed cheap watches "
        "investment";
    size_t left = size ? size / 2 + sim_random(&dice) % size : 0;
    buf_printf(out,
               "From: Sender %u <s%u@sender.example>\r\nTo: box%u@trap.example\r\n"
               "Subject: offer %u\r\nMessage-ID: <%u.%u@sender.example>\r\n\r\n",
               number, number, box, number, box, number);
    buf_reserve(out, left + SIM_LINE + 2);
    while (left) {
        size_t len = left < SIM_LINE ? left : SIM_LINE;
        buf_add(out, words + sim_random(&dice) % (sizeof words - SIM_LINE), len);
        buf_add(out, "\r\n", 2);
        left -= len;
    }
}

void sim_mail_add(const struct sim_mails *mails, uint32_t box, uint32_t number, struct buf *out)
{
    uint64_t dice = (uint64_t)box << 32 | number;
    buf_printf(out, "X-Sim-Mail: box%u/%u\r\n", box, number);
    if (mails->file_count) {
        const struct buf *file = &mails->files[sim_random(&dice) % mails->file_count];
        buf_add(out, file->data, file->len);
    } else {
        sim_mail_make(mails->size, box, number, dice, out);
    }
}
