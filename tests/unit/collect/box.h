/* The folders of a trap's server (trap.h): mails with their flags, and who has been told of them.
 */
#ifndef TEST_COLLECT_BOX_H
#define TEST_COLLECT_BOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct letter {
    uint32_t uid;
    char flags[160]; /* "\\Seen $Junk": words with one blank between them */
    char *body;
};

struct box {
    struct box *next;
    char *name;  /* as on the wire */
    char *attrs; /* of LIST: "\\Junk", or "" */
    uint32_t uidvalidity, uidnext;
    bool read_only;         /* to whoever selects it */
    struct letter *letters; /* ascending by UID */
    size_t count;
};

/* What one connection knows of the box it has selected. */
struct view {
    uint32_t *uids; /* by sequence number - 1 */
    size_t count;
};

struct box *box_new(const char *name, const char *attrs, uint32_t uidvalidity);
void box_free(struct box *box);
void box_set_attrs(struct box *box, const char *attrs);
/* Returns its UID. */
uint32_t box_add(struct box *box, const char *body, const char *flags);
void box_remove(struct box *box, uint32_t uid);
/* NULL if it is not there. */
struct letter *box_find(const struct box *box, uint32_t uid);
size_t box_unseen(const struct box *box);
/* All is gone, and numbered anew from 1 under another UIDVALIDITY. */
void box_renumber(struct box *box, uint32_t uidvalidity);

bool letter_has(const struct letter *letter, const char *flag);
/* `how`: '+', '-', or anything else to replace; `flags` has words with blanks between them. */
void letter_store(struct letter *letter, char how, const char *flags);

/* Does a set such as "1:3,7,9:*" hold `uid`, the highest one being `last`? */
bool set_holds(const char *set, uint32_t uid, uint32_t last);
/* A UID SEARCH's criteria, as far as a collector has any; -1 for what is none. */
int letter_matches(const struct letter *letter, const char *criteria, uint32_t last);

/* Appends what the view's owner has to be told, and is up to date then. */
void view_sync(struct view *view, const struct box *box, struct buf *out);
/* 0: not in it. */
size_t view_number(const struct view *view, uint32_t uid);
void view_clear(struct view *view);

#endif
