#include "box.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct box *box_new(const char *name, const char *attrs, uint32_t uidvalidity)
{
    struct box *box = mem_new(struct box);
    *box = (struct box){.name = mem_strdup(name),
                        .attrs = mem_strdup(attrs),
                        .uidvalidity = uidvalidity,
                        .uidnext = 1};
    return box;
}

static void box_empty(struct box *box)
{
    for (size_t i = 0; i < box->count; i++)
        free(box->letters[i].body);
    free(box->letters);
    box->letters = NULL;
    box->count = 0;
}

void box_set_attrs(struct box *box, const char *attrs)
{
    free(box->attrs);
    box->attrs = mem_strdup(attrs);
}

void box_free(struct box *box)
{
    box_empty(box);
    free(box->name);
    free(box->attrs);
    free(box);
}

uint32_t box_add(struct box *box, const char *body, const char *flags)
{
    box->letters = mem_realloc_array(box->letters, box->count + 1, sizeof *box->letters);
    struct letter *letter = &box->letters[box->count++];
    *letter = (struct letter){.uid = box->uidnext++, .body = mem_strdup(body)};
    snprintf(letter->flags, sizeof letter->flags, "%s", flags);
    return letter->uid;
}

void box_remove(struct box *box, uint32_t uid)
{
    struct letter *letter = box_find(box, uid);
    if (!letter)
        return;
    size_t at = (size_t)(letter - box->letters);
    free(letter->body);
    memmove(letter, letter + 1, (--box->count - at) * sizeof *letter);
}

struct letter *box_find(const struct box *box, uint32_t uid)
{
    size_t low = 0, high = box->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (box->letters[middle].uid < uid)
            low = middle + 1;
        else
            high = middle;
    }
    return low < box->count && box->letters[low].uid == uid ? &box->letters[low] : NULL;
}

size_t box_unseen(const struct box *box)
{
    size_t unseen = 0;
    for (size_t i = 0; i < box->count; i++)
        unseen += !letter_has(&box->letters[i], "\\Seen");
    return unseen;
}

void box_renumber(struct box *box, uint32_t uidvalidity)
{
    box->uidvalidity = uidvalidity;
    box->uidnext = 1;
    for (size_t i = 0; i < box->count; i++)
        box->letters[i].uid = box->uidnext++;
}

/* The word of `text` that is `word`, or NULL. */
static const char *words_find(const char *text, const char *word, size_t len)
{
    for (const char *at = text; *at; at += strcspn(at, " "), at += strspn(at, " "))
        if (strcspn(at, " ") == len && strncmp(at, word, len) == 0)
            return at;
    return NULL;
}

bool letter_has(const struct letter *letter, const char *flag)
{
    return words_find(letter->flags, flag, strlen(flag));
}

static void letter_drop(struct letter *letter, const char *flag, size_t len)
{
    char *at = (char *)(uintptr_t)words_find(letter->flags, flag, len);
    if (!at)
        return;
    size_t gap = len + (at[len] == ' ');
    memmove(at, at + gap, strlen(at + gap) + 1);
}

static void letter_set(struct letter *letter, const char *flag, size_t len)
{
    size_t used = strlen(letter->flags);
    if (used && letter->flags[used - 1] == ' ')
        used--;
    snprintf(letter->flags + used, sizeof letter->flags - used, "%s%.*s", used ? " " : "", (int)len,
             flag);
}

void letter_store(struct letter *letter, char how, const char *flags)
{
    if (how != '+' && how != '-')
        letter->flags[0] = '\0';
    for (const char *at = flags; *at; at += strcspn(at, " "), at += strspn(at, " ")) {
        size_t len = strcspn(at, " ");
        letter_drop(letter, at, len);
        if (how != '-')
            letter_set(letter, at, len);
    }
}

/* "7" or "*" */
static uint32_t set_number(const char **at, uint32_t last)
{
    if (**at != '*')
        return (uint32_t)strtoul(*at, (char **)(uintptr_t)at, 10);
    (*at)++;
    return last;
}

bool set_holds(const char *set, uint32_t uid, uint32_t last)
{
    const char *at = set;
    while (*at && *at != ' ') {
        uint32_t low = set_number(&at, last), high = low;
        if (*at == ':') {
            at++;
            high = set_number(&at, last);
        }
        /* So "9:*" holds the last one even when that is below 9 (RFC 9051 section 9). */
        if ((low <= uid && uid <= high) || (high <= uid && uid <= low))
            return true;
        at += *at == ',';
    }
    return false;
}

int letter_matches(const struct letter *letter, const char *criteria, uint32_t last)
{
    const char *at = criteria;
    while (*at) {
        size_t len = strcspn(at, " ");
        bool holds = true;
        if (len == 3 && strncmp(at, "UID", 3) == 0) {
            at += len + 1;
            len = strcspn(at, " ");
            holds = set_holds(at, letter->uid, last);
        } else if (len == 6 && strncmp(at, "UNSEEN", 6) == 0) {
            holds = !letter_has(letter, "\\Seen");
        } else if (len == 7 && strncmp(at, "DELETED", 7) == 0) {
            holds = letter_has(letter, "\\Deleted");
        } else if (len != 3 || strncmp(at, "ALL", 3) != 0) {
            return -1;
        }
        if (!holds)
            return 0;
        at += len;
        at += strspn(at, " ");
    }
    return 1;
}

size_t view_number(const struct view *view, uint32_t uid)
{
    size_t low = 0, high = view->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (view->uids[middle] < uid)
            low = middle + 1;
        else
            high = middle;
    }
    return low < view->count && view->uids[low] == uid ? low + 1 : 0;
}

void view_sync(struct view *view, const struct box *box, struct buf *out)
{
    for (size_t i = view->count; i-- > 0;) {
        if (box_find(box, view->uids[i]))
            continue;
        buf_printf(out, "* %zu EXPUNGE\r\n", i + 1);
        memmove(view->uids + i, view->uids + i + 1, (--view->count - i) * sizeof *view->uids);
    }
    if (view->count == box->count)
        return;
    view->uids = mem_realloc_array(view->uids, box->count, sizeof *view->uids);
    for (; view->count < box->count; view->count++)
        view->uids[view->count] = box->letters[view->count].uid;
    buf_printf(out, "* %zu EXISTS\r\n", view->count);
}

void view_clear(struct view *view)
{
    free(view->uids);
    *view = (struct view){0};
}
