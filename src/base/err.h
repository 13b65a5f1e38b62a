/* base/err.h: an error as it travels from where it happened to whoever logs it.
 *
 * Functions that can fail return a negative int and describe the failure in a caller-owned
 * `struct err`; their outputs (named `ret_x`) are untouched then. Libraries return errors, callers
 * log them, once. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stdarg.h>

/* What the caller should do about it. */
enum err_action {
    ERR_RETRY_NOW,   /* passing trouble that says nothing about the peer: try again at once */
    ERR_RETRY_LATER, /* the peer is away, busy or throttling: back off, then try again */
    ERR_GIVE_UP,     /* will not mend by itself: a person has to look at it */
};

struct err {
    enum err_action action;
    char text[500]; /* one line for a person, no trailing full stop; peers' words are escaped */
};

/* Fills *err (err may be NULL: then nothing is written) and returns -1, so that a function can
 * end with `return err_set(err, ERR_GIVE_UP, "…")`. Text beyond the field is cut. */
int err_set(struct err *err, enum err_action action, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "what: " in front of the text that is there. Returns -1. */
int err_prefix(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* What errno says, for a person: strerror()'s words, or advice where there is some. Valid until the
 * thread's next call. */
const char *err_errno_text(int error);

/* Errors that are kept for long are kept on the heap, as most of the time there are none: *kept,
 * NULL or an earlier one, becomes a copy of `err` (NULL: nothing). Its owner free()s it. */
void err_keep(struct err **kept, const struct err *err);

#endif
