#include "base/log.h"

#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/text.h"

enum {
    LOG_SHARE_SECONDS = 60
};

static struct {
    enum log_level level;
    enum log_format format;
    FILE *out;
    void (*before)(void);
    void (*after)(void);
} log_state = {.level = LOG_LEVEL_INFO};

static const char *const log_level_names[] = {"error", "warning", "info", "debug"};
static const char *const log_format_names[] = {"text", "json"};

void log_setup(enum log_level level, enum log_format format, FILE *out)
{
    log_state.level = level;
    log_state.format = format;
    log_state.out = out;
}

void log_set_hooks(void (*before)(void), void (*after)(void))
{
    log_state.before = before;
    log_state.after = after;
}

bool log_enabled(enum log_level level)
{
    return level <= log_state.level;
}

static int log_find(const char *name, const char *const *names, int count)
{
    for (int i = 0; i < count; i++)
        if (!strcmp(name, names[i]))
            return i;
    return -1;
}

bool log_level_parse(const char *name, enum log_level *ret_level)
{
    int found = log_find(name, log_level_names, 4);
    if (found >= 0)
        *ret_level = (enum log_level)found;
    return found >= 0;
}

bool log_format_parse(const char *name, enum log_format *ret_format)
{
    int found = log_find(name, log_format_names, 2);
    if (found >= 0)
        *ret_format = (enum log_format)found;
    return found >= 0;
}

/* A JSON string of text that may hold anything: what is not UTF-8 becomes U+FFFD. */
static void log_add_json(struct buf *line, const char *key, const char *text)
{
    buf_printf(line, "%s\"%s\": \"", line->len > 1 ? ", " : "", key);
    const uint8_t *at = (const uint8_t *)text;
    for (size_t left = strlen(text); left;) {
        size_t size = text_utf8_length(at, left);
        if (!size)
            buf_add_str(line, "\xEF\xBF\xBD");
        else if (*at == '"' || *at == '\\')
            buf_printf(line, "\\%c", *at);
        else if (text_shown_length(at, left))
            buf_add(line, at, size);
        else if (size == 1)
            buf_printf(line, "\\u%04x", *at);
        else if (size == 2)
            buf_printf(line, "\\u%04x", (at[0] & 0x1Fu) << 6 | (at[1] & 0x3Fu));
        else
            buf_printf(line, "\\u%04x",
                       (at[0] & 0x0Fu) << 12 | (at[1] & 0x3Fu) << 6 | (at[2] & 0x3Fu));
        at += size ? size : 1;
        left -= size ? size : 1;
    }
    buf_add_byte(line, '"');
}

static void log_add_text(struct buf *line, const char *text)
{
    /* The last fence: whatever got this far cannot break the line or act on a terminal. */
    const uint8_t *at = (const uint8_t *)text;
    for (size_t left = strlen(text); left;) {
        size_t size = text_shown_length(at, left);
        if (size)
            buf_add(line, at, size);
        else
            buf_printf(line, "\\x%02x", *at);
        at += size ? size : 1;
        left -= size ? size : 1;
    }
}

static void log_add_stamp(struct buf *out)
{
    time_t now = time(NULL);
    struct tm utc;
    char stamp[32] = "";
    if (gmtime_r(&now, &utc))
        strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%SZ", &utc);
    buf_add_str(out, stamp);
}

static void log_format_json(struct buf *line, const struct log_scope *scope, const char *stamp,
                            enum log_level level, const char *message)
{
    buf_add_byte(line, '{');
    log_add_json(line, "time", stamp);
    log_add_json(line, "level", log_level_names[level]);
    if (scope && scope->account)
        log_add_json(line, "account", scope->account);
    if (scope && scope->folder)
        log_add_json(line, "folder", scope->folder);
    log_add_json(line, "message", message);
    buf_add_str(line, "}\n");
}

static void log_format_text(struct buf *line, const struct log_scope *scope, const char *stamp,
                            enum log_level level, const char *message)
{
    const char *names[] = {scope ? scope->account : NULL, scope ? scope->folder : NULL};
    bool named = false;
    buf_printf(line, "%s %-7s ", stamp, log_level_names[level]);
    for (size_t i = 0; i < 2; i++) {
        if (!names[i])
            continue;
        if (named)
            buf_add_byte(line, ' ');
        log_add_text(line, names[i]);
        named = true;
    }
    if (named)
        buf_add_str(line, ": ");
    log_add_text(line, message);
    buf_add_byte(line, '\n');
}

void log_share_end(const struct log_scope *scope)
{
    struct log_share *share = scope->share;
    unsigned long long left_out = share->left_out;
    *share = (struct log_share){0};
    if (left_out)
        log_warning(scope, "%llu more lines about it were left out", left_out);
}

/* Errors are few, and who asks for debug wants all. */
static bool log_has_share(const struct log_scope *scope, enum log_level level)
{
    struct timespec now;
    struct log_share *share = scope ? scope->share : NULL;
    if (!share || level == LOG_LEVEL_ERROR || level == LOG_LEVEL_DEBUG)
        return true;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (now.tv_sec - share->since >= LOG_SHARE_SECONDS) {
        log_share_end(scope);
        share->since = now.tv_sec;
    }
    if (share->lines < LOG_SHARE_LINES) {
        share->lines++;
        return true;
    }
    share->left_out++;
    return false;
}

void log_write(const struct log_scope *scope, enum log_level level, const char *format, ...)
{
    if (!log_enabled(level) || !log_has_share(scope, level))
        return;

    struct buf message = {0}, stamp = {0}, line = {0};
    va_list args;
    va_start(args, format);
    buf_vprintf(&message, format, args);
    va_end(args);
    log_add_stamp(&stamp);
    if (log_state.format == LOG_FORMAT_JSON)
        log_format_json(&line, scope, buf_cstr(&stamp), level, buf_cstr(&message));
    else
        log_format_text(&line, scope, buf_cstr(&stamp), level, buf_cstr(&message));

    FILE *out = log_state.out ? log_state.out : stderr;
    if (log_state.before)
        log_state.before();
    fwrite(line.data, 1, line.len, out);
    fflush(out);
    if (log_state.after)
        log_state.after();
    buf_release(&line);
    buf_release(&stamp);
    buf_release(&message);
}
