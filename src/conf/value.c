#include "conf/value.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/text.h"
#include "conf/conf.h"
#include "conf/file.h"
#include "conf/integer.h"
#include "conf/pool.h"
#include "conf/secret.h"
#include "conf/yaml.h"

bool conf_value_scalar(struct conf_file *file, const struct conf_entry *entry, const char *expected)
{
    const struct conf_yaml *value = entry->value;
    if (conf_yaml_is_null(value)) {
        conf_file_error(file, value, "\"%s\" has no value, expected %s%s", entry->name, expected,
                        value->len ? " (quote the text \"null\" or \"~\")" : "");
        return false;
    }
    if (value->kind != CONF_YAML_SCALAR) {
        conf_file_error(file, value, "\"%s\" is %s, expected %s", entry->name,
                        conf_yaml_kind_name(value), expected);
        return false;
    }
    return true;
}

static bool conf_value_fits(struct conf_file *file, const struct conf_entry *entry)
{
    const struct conf_yaml *value = entry->value;
    if (!conf_value_scalar(file, entry, "text"))
        return false;
    const char *wrong = NULL;
    if (!value->len)
        wrong = "is empty";
    else if (value->len > CONF_VALUE_TEXT_MOST)
        wrong = "is longer than 4096 bytes";
    else if (memchr(value->text, '\0', value->len))
        wrong = "has a NUL in it";
    else if (memchr(value->text, '\n', value->len) || memchr(value->text, '\r', value->len))
        wrong = "has a line break in it";
    if (wrong)
        conf_file_error(file, value, "\"%s\" %s, expected one line of text", entry->name, wrong);
    return !wrong;
}

bool conf_value_text(struct conf_file *file, const struct conf_entry *entry, char **ret_text)
{
    if (!conf_value_fits(file, entry))
        return false;
    *ret_text = conf_pool_intern(file->pool, entry->value->text, entry->value->len);
    return true;
}

bool conf_value_label(struct conf_file *file, const struct conf_entry *entry, char **ret_text)
{
    if (!conf_value_fits(file, entry))
        return false;
    const struct conf_yaml *value = entry->value;
    for (size_t i = 0; i < value->len; i++) {
        unsigned char byte = (unsigned char)value->text[i];
        if (byte < 0x20 || byte == 0x7F) {
            conf_file_error(file, value, "\"%s\" has a control character in it", entry->name);
            return false;
        }
    }
    return conf_value_text(file, entry, ret_text);
}

bool conf_value_secret(struct conf_file *file, const struct conf_entry *entry, char **ret_text)
{
    if (!file->first_secret)
        file->first_secret = entry->value;
    if (!conf_value_fits(file, entry))
        return false;
    *ret_text = conf_pool_strndup(file->pool, entry->value->text, entry->value->len);
    return true;
}

/* Compares with a word in any case. */
static bool conf_value_is_word(const struct conf_yaml *value, const char *word)
{
    return value->len == strlen(word) && !strncasecmp(value->text, word, value->len);
}

bool conf_value_switch(struct conf_file *file, const struct conf_entry *entry, bool *ret_on)
{
    static const char *const on_words[] = {"true", "yes", "on"};
    static const char *const off_words[] = {"false", "no", "off"};
    const char *expected = "true or false";
    if (!conf_value_scalar(file, entry, expected))
        return false;
    for (size_t i = 0; i < sizeof on_words / sizeof *on_words; i++) {
        bool on = conf_value_is_word(entry->value, on_words[i]);
        if (on || conf_value_is_word(entry->value, off_words[i])) {
            *ret_on = on;
            return true;
        }
    }
    conf_file_error(file, entry->value, "\"%s\" is not a switch, expected %s", entry->name,
                    expected);
    return false;
}

bool conf_value_number(struct conf_file *file, const struct conf_entry *entry, uint64_t least,
                       uint64_t most, uint64_t *ret_number)
{
    char expected[80];
    snprintf(expected, sizeof expected, "a number from %llu to %llu", (unsigned long long)least,
             (unsigned long long)most);
    if (!conf_value_scalar(file, entry, expected))
        return false;
    uint64_t number = 0;
    const char *wrong = NULL;
    switch (conf_integer_parse(entry->value->text, entry->value->len, &number)) {
    case CONF_INTEGER_GOOD:
        if (number < least || number > most)
            wrong = "is out of range";
        break;
    case CONF_INTEGER_BEYOND:
        wrong = "is out of range";
        break;
    case CONF_INTEGER_OCTAL:
        wrong = "begins with 0, which makes it octal to some readers of YAML";
        break;
    case CONF_INTEGER_NONE:
        wrong = "is not a number";
        break;
    }
    if (wrong) {
        conf_file_error(file, entry->value, "\"%s\" %s, expected %s", entry->name, wrong, expected);
        return false;
    }
    *ret_number = number;
    return true;
}

/* A quantity as it is written, with what is said about it when it is none. */
struct conf_value_quantity {
    const char *what;    /* "a size" */
    const char *range;   /* as the caller names it */
    const char *example; /* "\"64MiB\"" */
    char text[64];       /* digits in groups, as YAML 1.1 has them, without the underscores */
    size_t len;          /* 0: too long to be any quantity */
};

static bool conf_value_quantity_read(struct conf_file *file, const struct conf_entry *entry,
                                     struct conf_value_quantity *quantity)
{
    const struct conf_yaml *value = entry->value;
    if (!conf_value_scalar(file, entry, quantity->what))
        return false;
    bool digits = value->len && value->text[0] != '_';
    for (size_t i = 0; i < value->len; i++)
        digits = digits && memchr("0123456789_", value->text[i], 11);
    for (size_t i = 0; i < value->len && value->len < sizeof quantity->text; i++)
        if (!digits || value->text[i] != '_')
            quantity->text[quantity->len++] = value->text[i];
    return true;
}

/* Returns false. */
static bool conf_value_quantity_wrong(struct conf_file *file, const struct conf_entry *entry,
                                      const struct conf_value_quantity *quantity)
{
    conf_file_error(file, entry->value, "\"%s\" is not %s %s, such as %s", entry->name,
                    quantity->what, quantity->range, quantity->example);
    return false;
}

bool conf_value_size(struct conf_file *file, const struct conf_entry *entry, uint64_t least,
                     uint64_t most, const char *range, uint64_t *ret_bytes)
{
    struct conf_value_quantity quantity = {
        .what = "a size", .range = range, .example = "\"64MiB\""};
    uint64_t bytes;
    if (!conf_value_quantity_read(file, entry, &quantity))
        return false;
    if (!num_parse_size(quantity.text, quantity.len, most, &bytes) || bytes < least)
        return conf_value_quantity_wrong(file, entry, &quantity);
    *ret_bytes = bytes;
    return true;
}

/* Digits, perhaps with up to three behind a point. */
static bool conf_value_parse_decimal(const char *text, size_t len, double *ret_value)
{
    const char *point = memchr(text, '.', len);
    size_t whole_len = point ? (size_t)(point - text) : len;
    size_t rest_len = point ? len - whole_len - 1 : 0;
    uint64_t whole, rest = 0;
    if (!num_parse_u64(text, whole_len, UINT32_MAX, &whole))
        return false;
    if (point && (rest_len > 3 || !num_parse_u64(point + 1, rest_len, 999, &rest)))
        return false;
    for (; rest_len < 3; rest_len++)
        rest *= 10;
    *ret_value = (double)whole + (double)rest / 1000;
    return true;
}

bool conf_value_rate(struct conf_file *file, const struct conf_entry *entry, double least,
                     double most, const char *range, double *ret_rate)
{
    struct conf_value_quantity quantity = {
        .what = "a number", .range = range, .example = "\"20\" or \"0.5\""};
    double rate;
    if (!conf_value_quantity_read(file, entry, &quantity))
        return false;
    if (!conf_value_parse_decimal(quantity.text, quantity.len, &rate) || rate < least ||
        rate > most)
        return conf_value_quantity_wrong(file, entry, &quantity);
    *ret_rate = rate;
    return true;
}

bool conf_value_duration(struct conf_file *file, const struct conf_entry *entry, msec_t least,
                         msec_t most, const char *range, msec_t *ret_ms)
{
    struct conf_value_quantity quantity = {
        .what = "a duration", .range = range, .example = "\"500ms\", \"30s\" or \"5min\""};
    msec_t ms;
    if (!conf_value_quantity_read(file, entry, &quantity))
        return false;
    if (!num_parse_duration(quantity.text, quantity.len, most, &ms) || ms < least)
        return conf_value_quantity_wrong(file, entry, &quantity);
    *ret_ms = ms;
    return true;
}

/* "a, b or c" */
static void conf_value_list(struct buf *out, const char *const *names)
{
    for (size_t i = 0; names[i]; i++)
        buf_printf(out, "%s%s", !i ? "" : names[i + 1] ? ", " : " or ", names[i]);
}

bool conf_value_choice(struct conf_file *file, const struct conf_entry *entry,
                       const char *const *names, unsigned *ret_index)
{
    struct buf expected = {0};
    conf_value_list(&expected, names);
    bool found = false;
    if (!conf_value_scalar(file, entry, buf_cstr(&expected)))
        goto out;
    for (unsigned i = 0; names[i] && !found; i++) {
        found = conf_value_is_word(entry->value, names[i]);
        if (found)
            *ret_index = i;
    }
    if (!found)
        conf_file_error(file, entry->value, "\"%s\" is none of its values, expected %s",
                        entry->name, buf_cstr(&expected));
out:
    buf_release(&expected);
    return found;
}

/* Why a path can't be opened as a file, or NULL. */
static const char *conf_value_unreadable(const char *path)
{
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return err_errno_text(errno);
    const char *why = NULL;
    if (fstat(fd, &info) < 0)
        why = err_errno_text(errno);
    else if (!S_ISREG(info.st_mode))
        why = "not a file";
    close(fd);
    return why;
}

bool conf_value_path(struct conf_file *file, const struct conf_entry *entry, const char *what,
                     char **ret_path)
{
    char *written;
    if (!conf_value_text(file, entry, &written))
        return false;
    char *path = conf_file_resolve(file, entry->value, written);
    if (!path)
        return false;
    const char *why = conf_value_unreadable(path);
    if (why)
        conf_file_error(file, entry->value, "\"%s\" cannot be read: %s, expected %s", entry->name,
                        why, what);
    else
        *ret_path = conf_pool_intern(file->pool, path, strlen(path));
    free(path);
    return !why;
}

enum {
    VALUE_PEM_MOST = 16 << 20, /* bytes: a hundred times the authorities of a system */
};

/* Returns false with errno. */
static bool conf_value_read_pem(struct conf_file *file, int fd, struct conf_pem *pem)
{
    struct stat info;
    if (fstat(fd, &info) < 0)
        return false;
    errno = EFBIG;
    if (info.st_size < 0 || info.st_size > VALUE_PEM_MOST)
        return false;
    pem->text = conf_pool_alloc(file->pool, (size_t)info.st_size + 1);
    pem->seconds = info.st_mtim.tv_sec;
    pem->nanoseconds = info.st_mtim.tv_nsec;
    while (pem->len < (size_t)info.st_size) {
        ssize_t got = read(fd, pem->text + pem->len, (size_t)info.st_size - pem->len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got == 0;
        pem->len += (size_t)got;
    }
    return true;
}

bool conf_value_pem(struct conf_file *file, const struct conf_entry *entry, const char *what,
                    char **ret_path, const struct conf_pem **ret_pem)
{
    char *path;
    if (!conf_value_path(file, entry, what, &path))
        return false;
    struct conf_pem *pem = conf_table_get(&file->secrets->pems, path, strlen(path));
    if (!pem) {
        pem = conf_pool_alloc(file->pool, sizeof *pem);
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        bool read = fd >= 0 && conf_value_read_pem(file, fd, pem);
        if (!read)
            conf_file_error(file, entry->value, "\"%s\" cannot be read: %s, expected %s",
                            entry->name, err_errno_text(errno), what);
        if (fd >= 0)
            close(fd);
        conf_table_put(&file->secrets->pems, path, strlen(path), pem);
    }
    *ret_path = path;
    *ret_pem = pem;
    return true;
}
