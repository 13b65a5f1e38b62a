#include "collect/names.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/mem.h"
#include "imap/encode.h"

enum {
    FOLDER_NAME_MOST = 1000, /* bytes of a name that the server chooses: it stands in each line of
                                the log, and may be another one each time */
};

void folder_name_init(struct folder_name *name, const char *configured)
{
    *name = (struct folder_name){.special = imap_attr_parse(configured, strlen(configured))};
    if (name->special)
        return;
    /* INBOX is the one name whose case does not matter (RFC 9051 section 5.1); the state must not
     * know it twice. */
    name->name = mem_strdup(strcasecmp(configured, "INBOX") ? configured : "INBOX");
    struct buf mailbox = {0};
    if (imap_utf7_encode(&mailbox, name->name, strlen(name->name)))
        name->mailbox = mem_strdup(buf_cstr(&mailbox));
    else
        name->mailbox = mem_strdup(name->name);
    buf_release(&mailbox);
}

void folder_name_release(struct folder_name *name)
{
    for (unsigned i = 0; i < name->had_count; i++)
        free(name->had[i]);
    free(name->had);
    free(name->name);
    free(name->mailbox);
    *name = (struct folder_name){0};
}

void folder_name_offer(struct folder_name *name, const struct imap_response *list)
{
    if (!name->special || name->mailbox || !(list->attrs & name->special) ||
        (list->attrs & IMAP_ATTR_NOSELECT) || list->name_len > FOLDER_NAME_MOST ||
        memchr(list->name, '\0', list->name_len))
        return;
    name->mailbox = mem_strndup(list->name, list->name_len);
    struct buf decoded = {0};
    if (imap_utf7_decode(&decoded, list->name, list->name_len))
        name->name = mem_strdup(buf_cstr(&decoded));
    else
        name->name = mem_strdup(name->mailbox);
    buf_release(&decoded);
}

bool folder_name_resolved(const struct folder_name *name)
{
    return name->mailbox;
}

static bool folder_name_had(const struct folder_name *name, const char *text)
{
    for (unsigned i = 0; i < name->had_count; i++)
        if (!strcmp(name->had[i], text))
            return true;
    return false;
}

bool folder_name_take(struct folder_name *name, struct folder_name *listed)
{
    if (!name->special || !folder_name_resolved(listed))
        return false;
    if (!folder_name_had(name, listed->name)) {
        bool first = !name->exhausted;
        name->exhausted = name->had_count == FOLDER_NAMES_MOST;
        if (name->exhausted)
            return first;
        name->had = mem_realloc_array(name->had, name->had_count + 1, sizeof *name->had);
        name->had[name->had_count++] = mem_strdup(listed->name);
    }
    folder_name_reset(name);
    name->name = listed->name;
    name->mailbox = listed->mailbox;
    listed->name = listed->mailbox = NULL;
    return false;
}

void folder_name_reset(struct folder_name *name)
{
    if (!name->special)
        return;
    free(name->name);
    free(name->mailbox);
    name->name = name->mailbox = NULL;
}
