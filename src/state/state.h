/* state/state.h: the contract of the memory of what was delivered.
 *
 * A mail is named by account, folder, UIDVALIDITY and UID, and by the SHA-256 of its bytes. The
 * state holds what was delivered of what is still in the mailboxes; it never holds mail. Calls
 * block (disks do): one thread at a time uses a state. A commit is durable when it returns. */
#ifndef STATE_STATE_H
#define STATE_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum {
    STATE_SHA256 = 32,
    STATE_GENERATIONS = 8, /* changes of UIDVALIDITY for which old hashes are kept in any case */
};

enum state_kind {
    STATE_DELIVERED, /* the broker has it */
    STATE_HELD,      /* it could not be sent: see `note` */
};

/* What is known of one mail of a folder. */
struct state_mail {
    uint32_t uid;
    enum state_kind kind;
    uint8_t sha256[STATE_SHA256]; /* all zero when a held mail was never read whole */
    /* DELIVERED: what was done to it in the mailbox ("seen", "none", "delete", "move:NAME",
     * "keyword:NAME"), "" while nothing was yet. HELD: why, for a person. */
    const char *note;
    /* HELD: under which limit ("json:1048576"), so that it is tried again when that changes; ""
     * when it is to be tried again in every run. DELIVERED: "". */
    const char *limit;
};

/* What is known of one folder, ascending by uid. */
struct state_folder {
    int64_t id; /* names the folder, with this uidvalidity, in changes */
    struct state_mail *mails;
    size_t count;
    /* Hashes of mails delivered under earlier values of UIDVALIDITY that have not been met again
     * (sorted, may repeat). A mail with one of these was delivered: record it with
     * STATE_RECOGNISED, which uses one up. */
    uint8_t (*old_hashes)[STATE_SHA256];
    size_t old_count;
    char **texts; /* own the notes and limits, of which equal ones are shared */
    size_t text_count;
};

enum state_change_type {
    STATE_ADD_DELIVERED,  /* uid, sha256, note (normally ""; the finished action where none is due)
                           */
    STATE_ADD_RECOGNISED, /* the same, and one of the folder's old hashes is used up */
    STATE_ADD_HELD,       /* uid, sha256 or zeros, note, limit; replaces an earlier hold */
    STATE_SET_NOTE,       /* uid: what was done to it in the mailbox */
    STATE_FORGET,         /* uid: it is no longer in the folder */
    STATE_SET_PROOF,      /* account, proof; nothing else: how it has logged in */
};

/* Changes are applied in their order; adding what is there replaces it; a note or a forgetting of
 * what is not there does nothing. A late change, of a folder that has since been loaded under
 * another uidvalidity: a delivered mail becomes an old hash, anything else does nothing. */
struct state_change {
    enum state_change_type type;
    int64_t folder;
    uint32_t uid;
    uint8_t sha256[STATE_SHA256];
    const char *note;  /* NULL: "" */
    const char *limit; /* NULL: "" */
    const char *account;
    unsigned proof;
};

/* How accounts have proven their passwords, in the caller's numbers; 0 is as good as not there. */
struct state_proofs {
    struct state_proof {
        char *account;
        unsigned proof;
    } * items; /* sorted by account */
    size_t count;
    size_t cap;
};

struct state;

struct state_ops {
    int (*load)(struct state *state, const char *account, const char *folder, uint32_t uidvalidity,
                uint32_t first_uid, struct state_folder *ret_folder, struct err *err);
    int (*commit)(struct state *state, const struct state_change *changes, size_t count,
                  struct err *err);
    int (*load_proofs)(struct state *state, struct state_proofs *ret_proofs, struct err *err);
    int (*prune_old)(struct state *state, int64_t folder, size_t keep, struct err *err);
    void (*free)(struct state *state);
};

struct state {
    const struct state_ops *ops;
};

/* What is known of a folder, but for mails with a UID below `first_uid`. Under a new uidvalidity
 * (any other value, 0 and earlier ones too), what was delivered under the last one becomes old
 * hashes, held mails are forgotten, durably. A folder of which nothing is known costs no write.
 * Release the result with state_folder_release().
 */
static inline int state_load(struct state *state, const char *account, const char *folder,
                             uint32_t uidvalidity, uint32_t first_uid,
                             struct state_folder *ret_folder, struct err *err)
{
    return state->ops->load(state, account, folder, uidvalidity, first_uid, ret_folder, err);
}

/* All of the changes or none, on disk when it returns 0. After ERR_RETRY_LATER (disk full, another
 * program in the file) the same changes may be committed again. */
static inline int state_commit(struct state *state, const struct state_change *changes,
                               size_t count, struct err *err)
{
    return state->ops->commit(state, changes, count, err);
}

/* Of all accounts. Release the result with state_proofs_release(). */
static inline int state_load_proofs(struct state *state, struct state_proofs *ret_proofs,
                                    struct err *err)
{
    return state->ops->load_proofs(state, ret_proofs, err);
}

/* Keeps the folder's old hashes of the last STATE_GENERATIONS changes of UIDVALIDITY, as it may be
 * filled again by and by (from a backup, from another server, made again twice), and with them at
 * least `keep` in all, the newest (last UIDVALIDITY, highest UID): there cannot be more mails left
 * over from before than the mailbox has that are not known otherwise. Does nothing to a folder that
 * has since been loaded under another uidvalidity. */
static inline int state_prune_old(struct state *state, int64_t folder, size_t keep, struct err *err)
{
    return state->ops->prune_old(state, folder, keep, err);
}

/* NULL does nothing. */
static inline void state_free(struct state *state)
{
    if (state)
        state->ops->free(state);
}

unsigned state_proofs_get(const struct state_proofs *proofs, const char *account);
/* The name is copied. */
void state_proofs_set(struct state_proofs *proofs, const char *account, unsigned proof);
void state_proofs_release(struct state_proofs *proofs);

void state_folder_release(struct state_folder *folder);
/* The mail with this uid, or NULL. */
const struct state_mail *state_folder_find(const struct state_folder *folder, uint32_t uid);

#endif
