#include "base/log.h"

#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/text.h"

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
    const uint8_t *bytes = (const uint8_t *)text;
    for (size_t i = 0, len = strlen(text); i < len;) {
        size_t size = text_utf8_length(bytes + i, len - i);
        if (!size)
            buf_add_str(line, "\xEF\xBF\xBD");
        else if (bytes[i] == '"' || bytes[i] == '\\')
            buf_printf(line, "\\%c", bytes[i]);
        else if (bytes[i] < 0x20 || bytes[i] == 0x7F)
            buf_printf(line, "\\u%04x", bytes[i]);
        else
            buf_add(line, bytes + i, size);
        i += size ? size : 1;
    }
    buf_add_byte(line, '"');
}

static void log_add_text(struct buf *line, const char *text)
{
    /* The last fence: whatever got this far cannot break the line or act on a terminal. */
    for (const uint8_t *at = (const uint8_t *)text; *at; at++) {
        if (*at < 0x20 || *at == 0x7F)
            buf_printf(line, "\\x%02x", *at);
        else
            buf_add_byte(line, *at);
    }
}

void log_write(const struct log_scope *scope, enum log_level level, const char *format, ...)
{
    if (!log_enabled(level))
        return;

    struct buf message = {0}, line = {0};
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (len > 0) {
        buf_reserve(&message, (size_t)len + 1);
        vsnprintf((char *)message.data, (size_t)len + 1, format, again);
        message.len = (size_t)len;
    }
    va_end(again);

    time_t now = time(NULL);
    struct tm utc;
    char stamp[32] = "";
    if (gmtime_r(&now, &utc))
        strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%SZ", &utc);

    const char *account = scope ? scope->account : NULL;
    const char *folder = scope ? scope->folder : NULL;
    if (log_state.format == LOG_FORMAT_JSON) {
        buf_add_byte(&line, '{');
        log_add_json(&line, "time", stamp);
        log_add_json(&line, "level", log_level_names[level]);
        if (account)
            log_add_json(&line, "account", account);
        if (folder)
            log_add_json(&line, "folder", folder);
        log_add_json(&line, "message", buf_cstr(&message));
        buf_add_str(&line, "}\n");
    } else {
        buf_printf(&line, "%s %-7s ", stamp, log_level_names[level]);
        if (account)
            log_add_text(&line, account);
        if (folder) {
            buf_add_byte(&line, ' ');
            log_add_text(&line, folder);
        }
        if (account)
            buf_add_str(&line, ": ");
        log_add_text(&line, buf_cstr(&message));
        buf_add_byte(&line, '\n');
    }

    FILE *out = log_state.out ? log_state.out : stderr;
    if (log_state.before)
        log_state.before();
    fwrite(line.data, 1, line.len, out);
    fflush(out);
    if (log_state.after)
        log_state.after();
    buf_release(&line);
    buf_release(&message);
}
