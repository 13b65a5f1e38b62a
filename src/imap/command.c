#include "imap/command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/random.h"
#include "imap/encode.h"

enum {
    IMAP_LITERAL_MINUS_MAX = 4096 /* RFC 7888 section 5 */
};

struct imap_command_row {
    const char *name;
    const char *waiting;
};

static const struct imap_command_row imap_command_rows[] = {
    [IMAP_COMMAND_CAPABILITY] = {"CAPABILITY", "the answer to CAPABILITY"},
    [IMAP_COMMAND_STARTTLS] = {"STARTTLS", "the answer to STARTTLS"},
    [IMAP_COMMAND_AUTHENTICATE] = {"AUTHENTICATE", "the answer to AUTHENTICATE"},
    [IMAP_COMMAND_LOGIN] = {"LOGIN", "the answer to LOGIN"},
    [IMAP_COMMAND_ID] = {"ID", "the answer to ID"},
    [IMAP_COMMAND_SELECT] = {"SELECT", "the answer to SELECT"},
    [IMAP_COMMAND_EXAMINE] = {"EXAMINE", "the answer to EXAMINE"},
    [IMAP_COMMAND_UID_SEARCH] = {"UID SEARCH", "the answer to UID SEARCH"},
    [IMAP_COMMAND_UID_FETCH] = {"UID FETCH", "the answer to UID FETCH"},
    [IMAP_COMMAND_UID_STORE] = {"UID STORE", "the answer to UID STORE"},
    [IMAP_COMMAND_UID_COPY] = {"UID COPY", "the answer to UID COPY"},
    [IMAP_COMMAND_UID_MOVE] = {"UID MOVE", "the answer to UID MOVE"},
    [IMAP_COMMAND_UID_EXPUNGE] = {"UID EXPUNGE", "the answer to UID EXPUNGE"},
    [IMAP_COMMAND_EXPUNGE] = {"EXPUNGE", "the answer to EXPUNGE"},
    [IMAP_COMMAND_LIST] = {"LIST", "the answer to LIST"},
    [IMAP_COMMAND_XLIST] = {"XLIST", "the answer to XLIST"},
    [IMAP_COMMAND_STATUS] = {"STATUS", "the answer to STATUS"},
    [IMAP_COMMAND_NOTIFY] = {"NOTIFY", "the answer to NOTIFY"},
    [IMAP_COMMAND_CREATE] = {"CREATE", "the answer to CREATE"},
    [IMAP_COMMAND_NOOP] = {"NOOP", "the answer to NOOP"},
    [IMAP_COMMAND_LOGOUT] = {"LOGOUT", "the answer to LOGOUT"},
    [IMAP_COMMAND_IDLE] = {"IDLE", "the end of IDLE"},
};

static void imap_buf_wipe(struct buf *buf)
{
    mem_wipe(buf->data, buf->cap);
    buf_release(buf);
}

void imap_commands_release(struct imap_commands *commands)
{
    for (size_t i = 0; i < commands->count; i++)
        imap_buf_wipe(&commands->list[i].rest);
    free(commands->list);
    imap_buf_wipe(&commands->output);
    *commands = (struct imap_commands){0};
}

void imap_commands_tidy(struct imap_commands *commands)
{
    if (!commands->output.len && commands->output.data)
        imap_buf_wipe(&commands->output);
}

static void imap_args_add_bare_string(struct buf *args, unsigned caps, const char *text)
{
    size_t len = strlen(text);
    if (imap_string_form(text, len) == IMAP_STRING_QUOTED) {
        imap_add_quoted(args, text, len);
        return;
    }
    bool no_wait = caps & IMAP_CAP_LITERAL_PLUS ||
                   (caps & IMAP_CAP_LITERAL_MINUS && len <= IMAP_LITERAL_MINUS_MAX);
    buf_printf(args, no_wait ? "{%zu+}\r\n" : "{%zu}\r\n", len);
    if (!no_wait)
        buf_add_byte(args, '\0');
    buf_reserve(args, len);
    buf_add(args, text, len);
}

void imap_args_add_string(struct buf *args, unsigned caps, const char *text)
{
    buf_add_byte(args, ' ');
    imap_args_add_bare_string(args, caps, text);
}

void imap_args_add_strings(struct buf *args, unsigned caps, const char *const *texts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        buf_add_str(args, i ? " " : " (");
        imap_args_add_bare_string(args, caps, texts[i]);
    }
    buf_add_byte(args, ')');
}

/* Five random letters and the number. The number makes it unique; the letters keep a server (or
 * whoever injects bytes before TLS stands) from answering what it has not read. */
static void imap_command_make_tag(char *tag, size_t cap, uint32_t number)
{
    uint8_t dice[5];
    random_bytes(dice, sizeof dice);
    for (size_t i = 0; i < sizeof dice; i++)
        tag[i] = (char)('a' + dice[i] % 26);
    snprintf(tag + sizeof dice, cap - sizeof dice, "%u", (unsigned)number);
}

/* Moves what may go out now, up to the first pause. */
static void imap_command_release_part(struct imap_commands *commands, struct imap_command *command)
{
    struct buf *rest = &command->rest;
    const uint8_t *mark = memchr(rest->data, '\0', rest->len);
    size_t len = mark ? (size_t)(mark - rest->data) : rest->len;
    buf_reserve(&commands->output, len);
    buf_add(&commands->output, rest->data, len);
    commands->released += len;
    command->released = commands->released;
    command->awaits = mark != NULL;
    buf_drop_front(rest, mark ? len + 1 : len);
    if (!rest->len)
        imap_buf_wipe(rest);
}

static void imap_commands_pump(struct imap_commands *commands)
{
    for (size_t i = 0; i < commands->count; i++) {
        struct imap_command *command = &commands->list[i];
        if (!command->awaits && command->rest.len)
            imap_command_release_part(commands, command);
        if (command->awaits || command->open)
            return;
    }
}

static struct imap_command *imap_commands_append(struct imap_commands *commands)
{
    if (commands->count == commands->cap) {
        commands->cap = commands->cap ? 2 * commands->cap : 2;
        commands->list = mem_realloc_array(commands->list, commands->cap, sizeof *commands->list);
    }
    struct imap_command *command = &commands->list[commands->count++];
    *command = (struct imap_command){.number = ++commands->last};
    if (!command->number)
        command->number = ++commands->last;
    return command;
}

uint32_t imap_commands_issue(struct imap_commands *commands, enum imap_command_kind kind,
                             struct buf *moved_args)
{
    struct imap_command *command = imap_commands_append(commands);
    const char *name = imap_command_rows[kind].name;
    uint32_t number = command->number;
    command->kind = kind;
    command->open = kind == IMAP_COMMAND_IDLE;
    imap_command_make_tag(command->tag, sizeof command->tag, number);
    /* Room for all at once, as the arguments may be secret and growing leaves copies behind. */
    buf_reserve_exact(&command->rest, strlen(command->tag) + strlen(name) + moved_args->len + 4);
    buf_add_str(&command->rest, command->tag);
    buf_add_byte(&command->rest, ' ');
    buf_add_str(&command->rest, name);
    buf_add(&command->rest, moved_args->data, moved_args->len);
    buf_add(&command->rest, "\r\n", 2);
    if (kind == IMAP_COMMAND_IDLE || kind == IMAP_COMMAND_AUTHENTICATE)
        buf_add_byte(&command->rest, '\0');
    imap_buf_wipe(moved_args);
    imap_commands_pump(commands);
    return number;
}

struct imap_command *imap_commands_by_tag(struct imap_commands *commands, const char *tag)
{
    for (size_t i = 0; i < commands->count; i++)
        if (strcmp(commands->list[i].tag, tag) == 0)
            return &commands->list[i];
    return NULL;
}

struct imap_command *imap_commands_by_kind(struct imap_commands *commands,
                                           enum imap_command_kind kind)
{
    for (size_t i = 0; i < commands->count; i++)
        if (commands->list[i].kind == kind)
            return &commands->list[i];
    return NULL;
}

struct imap_command *imap_commands_awaiting(struct imap_commands *commands)
{
    for (size_t i = 0; i < commands->count; i++)
        if (commands->list[i].awaits)
            return &commands->list[i];
    return NULL;
}

struct imap_command *imap_commands_open(struct imap_commands *commands)
{
    for (size_t i = 0; i < commands->count; i++)
        if (commands->list[i].open)
            return &commands->list[i];
    return NULL;
}

bool imap_command_sent(const struct imap_commands *commands, const struct imap_command *command)
{
    return command->released && command->released <= commands->released - commands->output.len;
}

bool imap_command_answerable(const struct imap_commands *commands,
                             const struct imap_command *command, enum imap_status status)
{
    if (!imap_command_sent(commands, command))
        return false;
    return status != IMAP_OK || !command->rest.len || command->kind == IMAP_COMMAND_IDLE;
}

void imap_commands_continue(struct imap_commands *commands, struct imap_command *command)
{
    command->awaits = false;
    imap_commands_pump(commands);
}

void imap_commands_add(struct imap_commands *commands, struct imap_command *command,
                       struct buf *moved)
{
    buf_reserve(&command->rest, moved->len);
    buf_add(&command->rest, moved->data, moved->len);
    imap_buf_wipe(moved);
    imap_commands_pump(commands);
}

void imap_commands_finish(struct imap_commands *commands, struct imap_command *command)
{
    imap_buf_wipe(&command->rest);
    size_t at = (size_t)(command - commands->list);
    commands->count--;
    memmove(command, command + 1, (commands->count - at) * sizeof *command);
    if (!commands->count) {
        free(commands->list);
        commands->list = NULL;
        commands->cap = 0;
    }
    imap_commands_pump(commands);
}

bool imap_command_internal(enum imap_command_kind kind)
{
    return kind <= IMAP_COMMAND_ID;
}

const char *imap_command_name(enum imap_command_kind kind)
{
    return imap_command_rows[kind].name;
}

const char *imap_commands_waiting_for(const struct imap_commands *commands)
{
    if (!commands->count)
        return NULL;
    const struct imap_command *oldest = &commands->list[0];
    if (oldest->kind == IMAP_COMMAND_IDLE && oldest->awaits)
        return "the server's + for IDLE";
    return oldest->open ? NULL : imap_command_rows[oldest->kind].waiting;
}
