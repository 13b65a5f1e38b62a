/* imapsim/box.h: mailboxes: their folders, which mails are in them, and what changed there since
 * somebody looked. A mail costs twelve bytes. */
#ifndef IMAPSIM_BOX_H
#define IMAPSIM_BOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "imapsim/words.h"

struct sim_session;

enum {
    SIM_FLAG_ANSWERED = 1,
    SIM_FLAG_FLAGGED = 2,
    SIM_FLAG_DELETED = 4,
    SIM_FLAG_SEEN = 8,
    SIM_FLAG_DRAFT = 16,
    SIM_FLAG_FETCHED = 128, /* ours, nobody sees it: the body went out at least once */

    SIM_FOLDERS = 3, /* INBOX, Junk, Trash */
};

struct sim_mail {
    uint32_t uid;
    uint32_t number; /* of the box's mails in the order they came; what the mail says */
    uint8_t flags;
};

/* A mail went, or its flags changed. That mails came is seen from `uidnext`. */
struct sim_change {
    uint32_t uid;
    bool gone;
    const struct sim_session *silent; /* who made it and does not want to hear of it, or NULL */
};

struct sim_folder {
    struct sim_mail *mails; /* ascending */
    uint32_t count, cap;
    uint32_t uidnext, uidvalidity;
    struct sim_change *changes; /* kept while one of `sessions` has not been told */
    uint32_t change_count, change_cap;
    struct sim_session *sessions; /* who has it open; linked by next_open */
};

struct sim_box {
    uint32_t number; /* it is called box<number> */
    uint32_t made;   /* mails so far */
    uint32_t slow;   /* ms that it takes before it answers a command */
    bool frozen;     /* takes commands, answers nothing */
    bool mute;       /* IDLE reports nothing */
    struct sim_folder folders[SIM_FOLDERS];
};

/* What RFC 6154 calls folder `index`, or NULL. */
const char *sim_folder_use(unsigned index);
const char *sim_folder_name(unsigned index);

void sim_box_init(struct sim_box *box, uint32_t number);
void sim_box_release(struct sim_box *box);
/* NULL when there is none of that name. */
struct sim_folder *sim_box_folder(struct sim_box *box, const struct sim_word *name);
/* A new mail in the INBOX; its UID. */
uint32_t sim_box_deliver(struct sim_box *box);
/* The folder made anew: other UIDVALIDITY, the same mails under new UIDs, none of them seen. Nobody
 * may have it open. */
void sim_folder_renew(struct sim_folder *folder);

/* Index of the first mail with a UID of at least `uid`. */
uint32_t sim_folder_find(const struct sim_folder *folder, uint32_t uid);
uint32_t sim_folder_count(const struct sim_folder *folder, unsigned with, unsigned without);
/* Appends a copy; its UID. */
uint32_t sim_folder_add(struct sim_folder *folder, uint32_t number, uint8_t flags);
/* Notes that flags changed. */
void sim_folder_note(struct sim_folder *folder, uint32_t uid, const struct sim_session *silent);
/* Removes the mails of `set` (NULL: all) below UID `below` that have all of `flags`. */
void sim_folder_expunge(struct sim_folder *folder, const struct sim_set *set, uint32_t below,
                        unsigned flags);

/* The sequence number of `uid` for somebody who has been told of the first `told` changes. */
uint32_t sim_folder_sequence(const struct sim_folder *folder, uint32_t told, uint32_t uid);
/* How many mails that somebody counts: those gone and not told of are still there. */
uint32_t sim_folder_exists(const struct sim_folder *folder, uint32_t told);

#endif
