/* imapsim/command.h: what the commands do. */
#ifndef IMAPSIM_COMMAND_H
#define IMAPSIM_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

#include "imapsim/words.h"

struct buf;
struct sim_fetch;
struct sim_mail;
struct sim_session;

/* Runs one command line, without its CRLF. */
void sim_command_run(struct sim_session *session, char *text, size_t len);
/* The response to AUTHENTICATE PLAIN. */
void sim_command_authenticate(struct sim_session *session, const char *text, size_t len);

/* Commands on the mails of the open folder (messages.c). */
void sim_command_search(struct sim_session *session, const char *tag, struct sim_words *words);
void sim_command_store(struct sim_session *session, const char *tag, struct sim_words *words);
void sim_command_copy(struct sim_session *session, const char *tag, struct sim_words *words);
void sim_command_move(struct sim_session *session, const char *tag, struct sim_words *words);
void sim_command_expunge(struct sim_session *session, const char *tag, const struct sim_set *set);

/* Commands that answer with mails (fetch.c). */
void sim_command_fetch(struct sim_session *session, const char *tag, struct sim_words *words);
/* Goes on with it; true: it is done, false: the peer has to read first. */
bool sim_fetch_go_on(struct sim_session *session);
void sim_fetch_free(struct sim_fetch *fetch);

/* "(\Seen)": the names, in parentheses. */
void sim_flags_add(struct buf *out, unsigned flags);
/* Changes a mail's flags: counts, and tells others. */
void sim_mail_set_flags(struct sim_session *session, struct sim_mail *mail, unsigned flags,
                        bool silent);

#endif
