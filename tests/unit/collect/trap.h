/* A trap: one user's mailbox on a scripted IMAP server of its own, in the loop of the test.
 *
 * It does what a server does, and where a test wants it what a bad one does: faults, laid on
 * commands. What it was told, and what became of its connections, is in its log and counters. */
#ifndef TEST_COLLECT_TRAP_H
#define TEST_COLLECT_TRAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "box.h"
#include "collect/account.h"

struct net_conn;
struct net_listener;
struct net_loop;
struct net_tls;
struct trap;

enum trap_act {
    TRAP_ANSWER,    /* `text` instead of what would be said; the command is not carried out */
    TRAP_BEFORE,    /* `text`, then what is to be said */
    TRAP_AFTER,     /* what is to be said, then `text` */
    TRAP_CALL,      /* nothing but the call */
    TRAP_SILENCE,   /* not a word more on this connection, which stays open; not carried out */
    TRAP_CLOSE,     /* the connection is closed instead of an answer … */
    TRAP_RESET,     /* … or reset */
    TRAP_CUT,       /* of the answer only what is before `text`, then silence, until
                       trap_go_on() … */
    TRAP_CUT_CLOSE, /* … or the end */
};

/* One connection to it. */
struct trap_conn {
    struct trap *trap;
    struct trap_conn *next;
    struct net_conn *conn;
    unsigned number; /* the how manieth, from 1 */
    struct buf line; /* the command that is coming */
    size_t literal;  /* bytes to come of a literal in it */
    bool silent;
    struct buf unsaid, unheard; /* since then: the rest of the answer, what came */
    bool logged_in;
    bool asked;       /* AUTHENTICATE waits for the client's words */
    struct box *box;  /* selected */
    struct view view; /* of it */
    char tag[40];     /* of the command at hand; of IDLE while idling, of AUTHENTICATE */
    bool idling;      /* between IDLE and DONE */
    char *notify;     /* "|Spam|Trash|": NOTIFY's mailboxes; NULL without NOTIFY */
    struct buf out;   /* goes out when the command is through */
};

struct trap_fault {
    /* A part of the command's line ("UID FETCH", "BODY.PEEK", "DONE"), or "greeting". */
    const char *on;
    enum trap_act act;
    const char *text; /* "$" stands for the tag; NULL: "" */
    unsigned skip;    /* so many times before it nothing happens */
    unsigned times;   /* then so often; 0: always */
    /* If there is one, it is called before anything is said; `late`: after the command was carried
     * out, what is said then goes out with its answer. It must not end the connection. */
    void (*call)(struct trap_conn *conn);
    bool late;
};

struct trap {
    struct net_loop *loop;
    struct collect_account account; /* as the collector is given it; a test may change it */
    const char *folders[8];         /* those of the account */
    const char *caps;               /* announced from the beginning: "IDLE UIDPLUS" */
    bool deaf;                      /* tells nothing in IDLE */
    bool dismissed;                 /* is not among the accounts of a stage_reload() */
    bool dull;                      /* nor after any other command: SELECT and STATUS know */
    bool hasty;                     /* does not read what comes in one piece behind DONE */
    unsigned unread;                /* so often there was something */

    struct net_tls *tls;           /* of the listener; NULL: in the clear */
    struct net_listener *listener; /* NULL: connecting is refused */
    uint16_t port;
    struct box *boxes;
    struct trap_conn *conns;
    struct trap_fault *faults; /* the first that fits has it */
    size_t fault_count;
    struct buf log; /* "2 SELECT \"INBOX\"\n": connection and command, without tag */
    unsigned connections, logins;
    msec_t *came;             /* when each connection came */
    unsigned open, open_most; /* at a time */
};

/* With INBOX, which is the account's only folder; without faults. `label` is the account's. */
struct trap *trap_new(struct net_loop *loop, const char *label);
void trap_free(struct trap *trap);

void trap_fault(struct trap *trap, struct trap_fault fault);
/* As if it had never had any. */
void trap_mend(struct trap *trap);

/* NULL if there is none. */
struct box *trap_box(const struct trap *trap, const char *name);
struct box *trap_add_box(struct trap *trap, const char *name, const char *attrs);
/* Whoever has it selected is cut off. */
void trap_remove_box(struct trap *trap, const char *name);
/* A mail arrives; who is to be told of it is told at once. Returns its UID. */
uint32_t trap_deliver(struct trap *trap, const char *box, const char *body);
/* Another client of the user's does something. */
void trap_expunge(struct trap *trap, const char *box, uint32_t uid);
/* It empties the INBOX: for a fault's call. */
void trap_empty(struct trap_conn *conn);
void trap_store(struct trap *trap, const char *box, uint32_t uid, const char *flags);

/* To all that are connected. */
void trap_say(struct trap *trap, const char *text);
/* Ends all IDLEs by itself, in the words of a tagged OK. */
void trap_end_idle(struct trap *trap);
/* Closes all connections; `reset`: without a clean end. */
void trap_cut_off(struct trap *trap, bool reset);
/* What was cut goes on as if nothing had been. */
void trap_go_on(struct trap *trap);
/* All connections stay open, and are dead. */
void trap_freeze(struct trap *trap);
/* Nobody listens any more, until trap_return() at the same port. */
void trap_leave(struct trap *trap);
void trap_return(struct trap *trap);

/* How many of its connections are in IDLE. */
unsigned trap_idling(const struct trap *trap);
/* How many commands came with this in their line. */
unsigned trap_count(const struct trap *trap, const char *part);

/* For trap_command.c. */

/* Carries out a command's line, without its end; what is to be said goes to conn->out. */
void trap_command(struct trap_conn *conn, const char *line);
/* DONE came. */
void trap_idle_end(struct trap_conn *conn);
/* The client's answer to AUTHENTICATE's "+" came. */
void trap_authenticated(struct trap_conn *conn);
/* Tells of what is new, if it is to be told now. */
void trap_tell(struct trap_conn *conn, const struct box *box);

#endif
