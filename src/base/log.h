/* base/log.h: what the program tells its operator, one line an event.
 *
 * Text form:  2026-11-24T01:02:03Z warning trap1@mx.example INBOX: held UID 7: …
 * JSON form:  {"time": …, "level": …, "account": …, "folder": …, "message": …}
 * Whoever formats a peer's words escapes them first (base/text.h). Secrets are never given to the
 * log. Only programs and the `collect` and `broker` rooms log; other rooms return errors. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stdio.h>

enum log_level {
    LOG_LEVEL_ERROR,
    LOG_LEVEL_WARNING,
    LOG_LEVEL_INFO,
    LOG_LEVEL_DEBUG,
};

enum log_format {
    LOG_FORMAT_TEXT,
    LOG_FORMAT_JSON,
};

/* How much was said about somebody whose peers can give rise to as many lines as they like: of
 * warnings and infos LOG_SHARE_LINES in a minute, the rest is counted. All zero to begin with. */
struct log_share {
    long long since;
    unsigned lines;
    unsigned long long left_out;
};

enum {
    LOG_SHARE_LINES = 100
};

/* Whom a line is about; each may be NULL. What they point to outlives the scope. */
struct log_scope {
    const char *account;
    const char *folder;
    struct log_share *share;
};

/* For the whole process; before it is called, text at `info` on standard error. */
void log_setup(enum log_level level, enum log_format format, FILE *out);
/* Called around each line, so that a progress line can make way for it; NULL for none. */
void log_set_hooks(void (*before)(void), void (*after)(void));
bool log_enabled(enum log_level level);
/* "error", "warning", "info", "debug"; false when `name` is none of them. */
bool log_level_parse(const char *name, enum log_level *ret_level);
bool log_format_parse(const char *name, enum log_format *ret_format);

/* Nothing more will be said within the scope's share: tells how much was left out, if anything. */
void log_share_end(const struct log_scope *scope);

/* `scope` may be NULL. */
void log_write(const struct log_scope *scope, enum log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define log_error(scope, ...) log_write((scope), LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(scope, ...) log_write((scope), LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(scope, ...) log_write((scope), LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(scope, ...) log_write((scope), LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
