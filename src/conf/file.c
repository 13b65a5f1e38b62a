#include "conf/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "conf/yaml.h"

enum {
    FILE_SIZE_MOST = 64 << 20,
    FILE_READ_STEP = 64 << 10,
    FILE_MESSAGE_MOST = 1000,
};

void conf_file_init(struct conf_file *file, const char *path, unsigned order)
{
    char shown[1000];
    const char *slash = strrchr(path, '/');
    *file = (struct conf_file){
        .path = mem_strdup(path),
        .shown = mem_strdup(text_escape_utf8(shown, sizeof shown, path, strlen(path))),
        .directory = mem_strndup(path, slash ? (size_t)(slash - path) + 1 : 0),
        .order = order,
    };
}

void conf_file_release(struct conf_file *file)
{
    if (file->content.data)
        mem_wipe(file->content.data, file->content.cap);
    buf_release(&file->content);
    free(file->path);
    free(file->shown);
    free(file->directory);
    *file = (struct conf_file){0};
}

static void conf_file_report(const struct conf_file *file, unsigned line, unsigned column,
                             bool warning, const char *format, va_list args)
    __attribute__((format(printf, 5, 0)));

static void conf_file_report(const struct conf_file *file, unsigned line, unsigned column,
                             bool warning, const char *format, va_list args)
{
    char message[FILE_MESSAGE_MOST];
    vsnprintf(message, sizeof message, format, args);
    char *text = line ? mem_printf("%s:%u:%u: %s", file->shown, line, column, message)
                      : mem_printf("%s: %s", file->shown, message);
    struct conf_report_place place = {.file = file->order, .line = line, .column = column};
    conf_report_add(file->report, place, warning, text);
}

void conf_file_error(const struct conf_file *file, const struct conf_yaml *at, const char *format,
                     ...)
{
    va_list args;
    va_start(args, format);
    conf_file_report(file, at ? at->line : 0, at ? at->column : 0, false, format, args);
    va_end(args);
}

void conf_file_warning(const struct conf_file *file, const struct conf_yaml *at, const char *format,
                       ...)
{
    va_list args;
    va_start(args, format);
    conf_file_report(file, at ? at->line : 0, at ? at->column : 0, true, format, args);
    va_end(args);
}

void conf_file_error_at(const struct conf_file *file, unsigned line, unsigned column,
                        const char *format, ...)
{
    va_list args;
    va_start(args, format);
    conf_file_report(file, line, column, false, format, args);
    va_end(args);
}

/* The value of "${NAME}", which `text` begins with; *ret_len is how long that is. NULL: reported;
 * or, with *ret_len 0, it is no such thing. */
static const char *conf_file_variable(const struct conf_file *file, const struct conf_yaml *at,
                                      const char *text, size_t *ret_len)
{
    static const char credentials[] = "CREDENTIALS_DIRECTORY";
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_";
    size_t len = strncmp(text, "${", 2) ? 0 : strspn(text + 2, allowed);
    *ret_len = len && text[2 + len] == '}' ? len + 3 : 0;
    if (!*ret_len)
        return NULL;
    char *name = mem_strndup(text + 2, len);
    const char *value = getenv(name);
    if (value && !*value)
        value = NULL;
    if (!value && !strcmp(name, credentials))
        conf_file_error(file, at,
                        "there is no ${CREDENTIALS_DIRECTORY}: systemd makes one for a service "
                        "with LoadCredential=");
    else if (!value)
        conf_file_error(file, at, "a variable of the environment in this path is not set");
    free(name);
    return value;
}

/* With the values of its variables, or NULL. The caller frees it. */
static char *conf_file_substitute(const struct conf_file *file, const struct conf_yaml *at,
                                  const char *path)
{
    struct buf out = {0};
    while (*path) {
        size_t len;
        const char *value = conf_file_variable(file, at, path, &len);
        if (len && !value) {
            buf_release(&out);
            return NULL;
        }
        if (len)
            buf_add_str(&out, value);
        else
            buf_add_byte(&out, (uint8_t)*path);
        path += len ? len : 1;
    }
    return buf_cstr(&out);
}

char *conf_file_resolve(const struct conf_file *file, const struct conf_yaml *at, const char *path)
{
    const char *home = getenv("HOME");
    char *written = conf_file_substitute(file, at, path);
    if (!written)
        return NULL;
    const char *before = written[0] == '/' ? "" : file->directory;
    const char *rest = written;
    if (!strncmp(written, "~/", 2) && home) {
        before = home;
        rest = written + 1;
    }
    char *resolved = mem_printf("%s%s", before, rest);
    free(written);
    return resolved;
}

void conf_file_check_mode(struct conf_file *file)
{
    if (file->first_secret && file->mode & S_IROTH)
        conf_file_warning(file, file->first_secret,
                          "a secret stands here, and everyone can read this file (mode %04o): "
                          "chmod 600 it",
                          file->mode);
}

/* Reads to the end, from a pipe as well: `-m <(decrypt …)` is a fair way to keep passwords. */
static int conf_file_read_all(struct conf_file *file, int fd)
{
    struct buf *content = &file->content;
    for (;;) {
        buf_reserve(content, FILE_READ_STEP);
        ssize_t got = read(fd, content->data + content->len, FILE_READ_STEP);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            conf_file_error(file, NULL, "cannot be read: %s", err_errno_text(errno));
            return -1;
        }
        if (!got)
            return 0;
        content->len += (size_t)got;
        if (content->len > FILE_SIZE_MOST) {
            conf_file_error(file, NULL, "is larger than 64 MiB");
            return -1;
        }
    }
}

static int conf_file_slurp(struct conf_file *file)
{
    int fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    struct stat info;
    int result = -1;
    if (fd < 0 || fstat(fd, &info) < 0) {
        conf_file_error(file, NULL, "cannot be read: %s", err_errno_text(errno));
        goto out;
    }
    if (S_ISREG(info.st_mode)) {
        file->mode = info.st_mode & 07777;
        if (info.st_size > 0 && info.st_size <= FILE_SIZE_MOST)
            buf_reserve_exact(&file->content, (size_t)info.st_size + FILE_READ_STEP);
    }
    result = conf_file_read_all(file, fd);
out:
    if (fd >= 0)
        close(fd);
    return result;
}

/* Finds bytes that are no text before the YAML parser meets them, to say so plainly. */
static int conf_file_check_text(const struct conf_file *file)
{
    const uint8_t *data = file->content.data;
    size_t len = file->content.len;
    unsigned line = 1, column = 1;
    for (size_t i = 0; i < len;) {
        size_t size = text_utf8_length(data + i, len - i);
        if (!size || !data[i]) {
            conf_file_error_at(file, line, column,
                               size ? "a NUL byte, expected text in UTF-8"
                                    : "not valid UTF-8: save the file in this encoding");
            return -1;
        }
        column++;
        if (data[i] == '\n' || (data[i] == '\r' && i + 1 < len && data[i + 1] != '\n')) {
            line++;
            column = 1;
        }
        i += size;
    }
    return 0;
}

int conf_file_check(struct conf_file *file)
{
    const struct buf *content = &file->content;
    if (content->len >= 2 &&
        (!memcmp(content->data, "\xFF\xFE", 2) || !memcmp(content->data, "\xFE\xFF", 2))) {
        conf_file_error_at(file, 1, 1, "this is UTF-16: save the file as UTF-8");
        return -1;
    }
    if (content->len >= 3 && !memcmp(content->data, "\xEF\xBB\xBF", 3))
        buf_drop_front(&file->content, 3);
    return conf_file_check_text(file);
}

int conf_file_read(struct conf_file *file)
{
    if (conf_file_slurp(file) < 0)
        return -1;
    return conf_file_check(file);
}
