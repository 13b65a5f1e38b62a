/* imap/command.h: the commands in flight, and the bytes that go to the server. No I/O.
 *
 * Commands are pipelined: all of them go to the output at once, but for two pauses. A literal of a
 * server without LITERAL+, AUTHENTICATE and IDLE wait for the server's "+", and whatever stands
 * behind them waits too (RFC 9051 sections 2.2.1 and 7.6). */
#ifndef IMAP_COMMAND_H
#define IMAP_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "imap/response.h"

enum imap_command_kind {
    /* The session's own. */
    IMAP_COMMAND_CAPABILITY,
    IMAP_COMMAND_STARTTLS,
    IMAP_COMMAND_AUTHENTICATE,
    IMAP_COMMAND_LOGIN,
    IMAP_COMMAND_ID,
    /* The caller's. */
    IMAP_COMMAND_SELECT,
    IMAP_COMMAND_EXAMINE,
    IMAP_COMMAND_UID_SEARCH,
    IMAP_COMMAND_UID_FETCH,
    IMAP_COMMAND_UID_STORE,
    IMAP_COMMAND_UID_COPY,
    IMAP_COMMAND_UID_MOVE,
    IMAP_COMMAND_UID_EXPUNGE,
    IMAP_COMMAND_EXPUNGE,
    IMAP_COMMAND_LIST,
    IMAP_COMMAND_XLIST,
    IMAP_COMMAND_STATUS,
    IMAP_COMMAND_NOTIFY,
    IMAP_COMMAND_CREATE,
    IMAP_COMMAND_NOOP,
    IMAP_COMMAND_LOGOUT,
    IMAP_COMMAND_IDLE,
};

struct imap_command {
    char tag[16];
    uint32_t number;
    enum imap_command_kind kind;
    bool awaits;       /* more of it, and all behind it, goes out only after a "+" */
    bool open;         /* an IDLE whose DONE nobody has asked for yet */
    uint64_t released; /* imap_commands.released when its last bytes went to the output */
    struct buf rest;   /* not in the output yet; a NUL stands where a "+" must be waited for */
};

struct imap_commands {
    struct buf output;
    uint64_t released;         /* bytes that ever went to the output */
    struct imap_command *list; /* in the order of their numbers; few */
    size_t count;
    size_t cap;
    uint32_t last; /* the last number given */
};

void imap_commands_release(struct imap_commands *commands);
/* Wipes and frees the output's memory once the caller has emptied it. */
void imap_commands_tidy(struct imap_commands *commands);

/* Appends " " and the string, as a quoted string or literal; `caps` tells which literals need no
 * "+" (RFC 7888). */
void imap_args_add_string(struct buf *args, unsigned caps, const char *text);
/* Appends " (" and the strings, at least one, and ")". */
void imap_args_add_strings(struct buf *args, unsigned caps, const char *const *texts, size_t count);
/* Puts a command behind the others. `moved_args` is what follows the name, with its leading
 * blank; it is taken, and wiped. Returns its number. */
uint32_t imap_commands_issue(struct imap_commands *commands, enum imap_command_kind kind,
                             struct buf *moved_args);

/* NULL if there is none; valid until the next issue or finish. */
struct imap_command *imap_commands_by_tag(struct imap_commands *commands, const char *tag);
struct imap_command *imap_commands_by_kind(struct imap_commands *commands,
                                           enum imap_command_kind kind);
/* The IDLE whose DONE nobody has asked for yet. */
struct imap_command *imap_commands_open(struct imap_commands *commands);
/* The command whose turn it is to get a "+". */
struct imap_command *imap_commands_awaiting(struct imap_commands *commands);

/* Has all that went to the output left it? Whoever answers before that has not read it. */
bool imap_command_sent(const struct imap_commands *commands, const struct imap_command *command);
/* May the server answer it with `status` now? An OK before its last literal is a lie. */
bool imap_command_answerable(const struct imap_commands *commands,
                             const struct imap_command *command, enum imap_status status);

/* The "+" has come. */
void imap_commands_continue(struct imap_commands *commands, struct imap_command *command);
/* More of a command that goes on after its "+"; `moved` is taken and wiped, a NUL in it means as
 * in `rest`. */
void imap_commands_add(struct imap_commands *commands, struct imap_command *command,
                       struct buf *moved);
/* It has been answered: forgets it, and what was left of it to send. */
void imap_commands_finish(struct imap_commands *commands, struct imap_command *command);

/* Is it one of the session's own? */
bool imap_command_internal(enum imap_command_kind kind);
/* "UID FETCH" */
const char *imap_command_name(enum imap_command_kind kind);
/* "the answer to UID FETCH", of the oldest that waits; NULL when none does. */
const char *imap_commands_waiting_for(const struct imap_commands *commands);

#endif
