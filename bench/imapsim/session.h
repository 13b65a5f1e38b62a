/* imapsim/session.h: one connection to the simulated server. */
#ifndef IMAPSIM_SESSION_H
#define IMAPSIM_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "imapsim/sim.h"

struct net_conn;
struct net_timer;
struct sim_fetch;

/* What the next line is. */
enum sim_expect {
    SIM_EXPECT_COMMAND,
    SIM_EXPECT_PASSWORD, /* the response of AUTHENTICATE PLAIN */
    SIM_EXPECT_DONE,     /* it idles */
};

struct sim_session {
    struct sim *sim;
    struct net_conn *conn;
    struct sim_session **link, *next;  /* of all */
    struct sim_session *next_open;     /* who has the same folder open */
    struct sim_box *box;               /* NULL: not logged in */
    struct sim_folder *folder;         /* NULL: none open */
    struct buf in;                     /* what is not done yet */
    char *tag;                         /* of the command that goes on, or NULL */
    struct sim_fetch *fetch;           /* which is this one, or NULL */
    struct net_timer *delay;           /* runs before a slow answer, or NULL */
    uint32_t told_uidnext, told_count; /* how much of the folder's news it was told */
    unsigned granted;                  /* literals of this command that got their "+" */
    enum sim_expect expect;
    bool read_only;
    bool waited; /* the delay of this command is over */
    bool full;   /* too much came to be read on for now */
    bool over;   /* it was told BYE: nothing is read any more */
};

/* Takes over a connection that was accepted. */
void sim_session_start(struct sim *sim, struct net_conn *moved);
/* Cuts it. Not from inside of one of its commands. */
void sim_session_drop(struct sim_session *session, bool reset);
void sim_session_bye(struct sim_session *session, const char *text);
/* Its box was thawed: goes on with what has come meanwhile. */
void sim_session_resume(struct sim_session *session);
/* Tells those who idle in the folder, and are to hear of it, what is new there. Returns to how many
 * there was something to tell. */
unsigned sim_folder_notify(const struct sim_folder *folder);

/* For commands. */
void sim_session_say(struct sim_session *session, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The news, as they come before a tagged answer. */
bool sim_session_tell(struct sim_session *session);
/* "tag OK text" and the like; ends the command. */
void sim_session_answer(struct sim_session *session, const char *tag, const char *status,
                        const char *text);
void sim_session_open(struct sim_session *session, struct sim_folder *folder, bool read_only);
void sim_session_close_folder(struct sim_session *session);

#endif
