#include "conf/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "conf/command.h"
#include "conf/file.h"
#include "conf/pool.h"
#include "conf/words.h"
#include "conf/yaml.h"

enum {
    SECRET_FILE_READ = 2 * CONF_VALUE_TEXT_MOST, /* more than the longest first line */
};

void conf_secrets_release(struct conf_secrets *secrets)
{
    for (size_t i = 0; i < secrets->count; i++) {
        mem_wipe(secrets->items[i]->source, secrets->items[i]->len); /* may hold arguments */
        free(secrets->items[i]->source);
        free(secrets->items[i]);
    }
    free(secrets->items);
    conf_table_release(&secrets->known);
    conf_table_release(&secrets->pems);
    *secrets = (struct conf_secrets){0};
}

/* Finds or adds the secret of this source, which is moved. *ret_new says which. */
static struct conf_secret *conf_secret_add(struct conf_file *file, const struct conf_entry *entry,
                                           bool command, struct buf *source, bool *ret_new)
{
    struct conf_secrets *secrets = file->secrets;
    struct conf_secret *secret =
        conf_table_get(&secrets->known, (const char *)source->data, source->len);
    *ret_new = !secret;
    if (secret) {
        buf_release(source);
        return secret;
    }
    secret = mem_alloc(sizeof *secret);
    *secret = (struct conf_secret){.source = (char *)source->data,
                                   .len = source->len,
                                   .file = file,
                                   .entry = *entry,
                                   .command = command};
    if (secrets->count == secrets->cap) {
        secrets->cap = secrets->cap ? secrets->cap * 2 : 16;
        secrets->items = mem_realloc_array(secrets->items, secrets->cap, sizeof(void *));
    }
    secrets->items[secrets->count++] = secret;
    conf_table_put(&secrets->known, secret->source, secret->len, secret);
    return secret;
}

static size_t conf_secret_line_len(const struct buf *from)
{
    const uint8_t *newline = from->len ? memchr(from->data, '\n', from->len) : NULL;
    size_t len = newline ? (size_t)(newline - from->data) : from->len;
    return len && from->data[len - 1] == '\r' ? len - 1 : len;
}

/* Takes the first line of what a file or a command gave. */
static void conf_secret_take(struct conf_secret *secret, const struct buf *from)
{
    size_t len = conf_secret_line_len(from);
    const char *wrong = NULL;
    if (!len)
        wrong = "is empty";
    else if (len > CONF_VALUE_TEXT_MOST)
        wrong = "is longer than 4096 bytes";
    else if (memchr(from->data, '\0', len) || memchr(from->data, '\r', len))
        wrong = "has a control character in it";
    if (wrong)
        conf_file_error(secret->file, secret->entry.value,
                        "the first line of \"%s\" %s, expected the secret", secret->entry.name,
                        wrong);
    else
        secret->value = conf_pool_strndup(secret->file->pool, (const char *)from->data, len);
}

static ssize_t conf_secret_read(int fd, struct buf *content)
{
    buf_reserve_exact(content, SECRET_FILE_READ);
    while (content->len < SECRET_FILE_READ) {
        ssize_t got = read(fd, content->data + content->len, SECRET_FILE_READ - content->len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got;
        content->len += (size_t)got;
    }
    return 0;
}

static void conf_secret_read_file(struct conf_secret *secret, const char *path)
{
    const struct conf_entry *entry = &secret->entry;
    struct buf content = {0};
    struct stat info = {0};
    /* O_NONBLOCK: a FIFO would wait for ever. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &info) < 0) {
        conf_file_error(secret->file, entry->value, "\"%s\" cannot be read: %s", entry->name,
                        err_errno_text(errno));
    } else if (!S_ISREG(info.st_mode)) {
        conf_file_error(secret->file, entry->value, "\"%s\" is not a file", entry->name);
    } else if (conf_secret_read(fd, &content) < 0) {
        conf_file_error(secret->file, entry->value, "\"%s\" cannot be read: %s", entry->name,
                        err_errno_text(errno));
    } else {
        conf_secret_take(secret, &content);
    }
    if (S_ISREG(info.st_mode) && info.st_mode & S_IROTH)
        conf_file_warning(secret->file, entry->value,
                          "everyone can read the file of \"%s\" (mode %04o): chmod 600 it",
                          entry->name, (unsigned)info.st_mode & 07777);
    if (fd >= 0)
        close(fd);
    if (content.data)
        mem_wipe(content.data, content.cap);
    buf_release(&content);
}

const struct conf_secret *conf_secret_from_file(struct conf_file *file,
                                                const struct conf_entry *entry)
{
    char *written;
    if (!conf_value_text(file, entry, &written))
        return NULL;
    char *path = conf_file_resolve(file, entry->value, written);
    if (!path)
        return NULL;
    struct buf source = {0};
    buf_printf(&source, "file:%s", path);
    bool is_new;
    struct conf_secret *secret = conf_secret_add(file, entry, false, &source, &is_new);
    if (is_new)
        conf_secret_read_file(secret, path);
    free(path);
    return secret;
}

static bool conf_secret_words_list(struct conf_file *file, const struct conf_entry *entry,
                                   struct buf *words)
{
    bool good = entry->value->len;
    if (!good)
        conf_file_error(file, entry->value, "\"%s\" is an empty list, expected a command",
                        entry->name);
    for (const struct conf_yaml_item *item = entry->value->items; item && good; item = item->next) {
        const struct conf_yaml *word = item->value;
        good = word->kind == CONF_YAML_SCALAR && !conf_yaml_is_null(word) &&
               !(word->len && memchr(word->text, '\0', word->len)) &&
               (word->len || item != entry->value->items);
        if (!good) {
            conf_file_error(file, word, "\"%s\" is a list of something else, expected text only",
                            entry->name);
            break;
        }
        if (word->len)
            buf_add(words, word->text, word->len);
        buf_add_byte(words, '\0');
    }
    return good;
}

static bool conf_secret_words_line(struct conf_file *file, const struct conf_entry *entry,
                                   struct buf *words)
{
    char *line;
    if (!conf_value_text(file, entry, &line))
        return false;
    switch (conf_words_split(line, strlen(line), words)) {
    case CONF_WORDS_GOOD:
        return true;
    case CONF_WORDS_EMPTY:
        conf_file_error(file, entry->value, "\"%s\" is empty, expected a command", entry->name);
        break;
    case CONF_WORDS_QUOTE:
        conf_file_error(file, entry->value, "\"%s\" has a quote that is not closed", entry->name);
        break;
    case CONF_WORDS_SHELL:
        conf_file_error(file, entry->value,
                        "\"%s\" is run without a shell, but has one of | & ; < > $ ` in it: put "
                        "it in single quotes, or write [sh, -c, \"…\"]",
                        entry->name);
        break;
    }
    return false;
}

bool conf_secret_words(struct conf_file *file, const struct conf_entry *entry, struct buf *words)
{
    return entry->value->kind == CONF_YAML_LIST ? conf_secret_words_list(file, entry, words)
                                                : conf_secret_words_line(file, entry, words);
}

const struct conf_secret *conf_secret_from_command(struct conf_file *file,
                                                   const struct conf_entry *entry)
{
    struct buf source = {0};
    /* The same words are another command in another directory. */
    buf_printf(&source, "run%u:", file->order);
    if (!conf_secret_words(file, entry, &source)) {
        buf_release(&source);
        return NULL;
    }
    bool is_new;
    return conf_secret_add(file, entry, true, &source, &is_new);
}

static void conf_secret_finish(struct conf_secret *secret, struct conf_command *command)
{
    char *trouble = conf_command_trouble(command);
    if (trouble)
        conf_file_error(secret->file, secret->entry.value, "\"%s\" %s", secret->entry.name,
                        trouble);
    else
        conf_secret_take(secret, &command->out);
    free(trouble);
    conf_command_release(command);
}

void conf_secrets_run(struct conf_secrets *secrets, msec_t time_limit, const atomic_bool *cancelled)
{
    struct conf_command *commands = mem_realloc_array(NULL, secrets->count + 1, sizeof *commands);
    size_t count = 0;
    for (size_t i = 0; i < secrets->count; i++) {
        const struct conf_secret *secret = secrets->items[i];
        if (!secret->command)
            continue;
        size_t prefix = (size_t)(strchr(secret->source, ':') - secret->source) + 1;
        commands[count++] = (struct conf_command){
            .words = secret->source + prefix,
            .words_len = secret->len - prefix,
            .directory = secret->file->directory,
        };
    }
    conf_command_run(commands, count, time_limit, cancelled);
    for (size_t i = 0, done = 0; i < secrets->count; i++)
        if (secrets->items[i]->command)
            conf_secret_finish(secrets->items[i], &commands[done++]);
    free(commands);
}
