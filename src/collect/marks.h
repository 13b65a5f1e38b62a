/* collect/marks.h: what is done to delivered mails in their mailbox. Internal.
 *
 * Only mails whose delivery is on record come here. One step of commands is on its way at a time;
 * what becomes due meanwhile goes together into the next.
 *
 *   seen, keyword:  UID STORE
 *   delete:         UID STORE \Deleted, then UID EXPUNGE (RFC 4315) of exactly these; without
 *                   UIDPLUS a plain EXPUNGE at the end, if nobody else's mail would go with them
 *   move:           UID MOVE (RFC 6851); without it UID COPY of a few, and then as for delete */
#ifndef COLLECT_MARKS_H
#define COLLECT_MARKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "collect/account.h"
#include "collect/found.h"
#include "imap/session.h"
#include "imap/uidset.h"

struct folder;

enum marks_state {
    MARKS_IDLE,
    MARKS_STORING,   /* flags that are all there is to do */
    MARKS_MOVING,    /* UID MOVE */
    MARKS_CREATING,  /* the target of a move, after [TRYCREATE] */
    MARKS_COPYING,   /* UID COPY */
    MARKS_DELETING,  /* UID STORE \Deleted */
    MARKS_EXPUNGING, /* UID EXPUNGE */
    MARKS_LOOKING,   /* UID SEARCH DELETED: is there anybody else's? */
    MARKS_SWEEPING,  /* EXPUNGE */
};

struct marks {
    struct folder *folder;
    struct imap_session *session; /* NULL while there is no connection */
    const struct collect_account *account;
    char *target; /* of a move, as servers write it */
    char *action; /* names the finished action in the state: "seen", "move:Trash" */
    enum marks_state state;
    uint32_t command;
    bool created;               /* the target was created already: not twice */
    bool swept;                 /* the look for a plain EXPUNGE was taken */
    size_t copies_unrecorded;   /* made, and not on record yet */
    uint64_t most;              /* mails in one command, by this server's limit (RFC 9738) */
    uint64_t gone;              /* EXPUNGEs that were heard since the step began */
    struct imap_uidset due;     /* to be done */
    struct imap_uidset copied;  /* to be done, but for the copy */
    struct imap_uidset active;  /* of the step on its way */
    struct imap_uidset flagged; /* \Deleted by us, waiting for a plain EXPUNGE */
    struct found deleted;       /* what the server says is \Deleted */
    uint32_t removed; /* a mail whose removal was answered OK, and that nobody said is gone … */
    uint32_t doubted; /* … and one of an earlier opening, if it is still found; 0: none */
    bool kept_told;   /* that such a mail is still there */
    struct err *err;  /* the first refusal; nothing more is marked after it */
    bool refused;
};

void marks_init(struct marks *marks, struct folder *folder, const struct collect_account *account);
void marks_release(struct marks *marks);
/* A new connection, the folder selected. */
void marks_attach(struct marks *marks, struct imap_session *session, const char *target);
/* The connection is gone; so is what was due, which the state remembers. */
void marks_detach(struct marks *marks);
/* UIDs mean nothing any more. */
void marks_void(struct marks *marks);
/* Would a whole look show whether the server removes what it says it does? */
bool marks_doubt(const struct marks *marks);
/* These are the mails that this opening found. */
void marks_found_present(struct marks *marks, const struct imap_uidset *present);

/* Nothing is due for now: keeps no memory for it. */
void marks_rest(struct marks *marks);
/* A mail is due; `copied`: its copy was made, and that is on record. */
void marks_add(struct marks *marks, uint32_t uid, bool copied);
/* A mail is gone: it is not due any more, unless a step with it is on its way. */
void marks_drop(struct marks *marks, uint32_t uid);
/* Issues the next step if none is on its way. `now`: what is due does not wait for company; `last`:
 * nothing more will become due. */
void marks_next(struct marks *marks, bool now, bool last);
/* Is there anything that marks_next() with `now` would issue? */
bool marks_due(const struct marks *marks);
/* The server tells that a mail is gone, some mail. */
void marks_heard_expunge(struct marks *marks);
/* The answer to marks->command. */
void marks_done(struct marks *marks, const struct imap_event *event);
/* A part of a search result, while marks_looking(). Returns as found_add(). */
bool marks_found_deleted(struct marks *marks, const struct imap_response *response);
bool marks_looking(const struct marks *marks);
/* Nothing is due or on its way (or all was refused). */
bool marks_idle(const struct marks *marks);

/* Does the folder have to be opened for writing? */
bool marks_writes(const struct marks *marks);
/* Is this action one that expunges? */
bool marks_expunges(const struct marks *marks);

/* The note of a mail that is copied and not yet deleted, and of one left \Deleted. */
extern const char MARKS_NOTE_COPIED[];
extern const char MARKS_NOTE_FLAGGED[];

#endif
