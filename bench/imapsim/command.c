/* Commands on the connection and on folders. */
#include "imapsim/command.h"

#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/mem.h"
#include "imapsim/session.h"
#include "net/conn.h"

enum {
    SIM_TAG = 64,
    SIM_NAME = 128,
};

/* When a command may come. */
enum sim_when {
    SIM_WHEN_ANY,
    SIM_WHEN_STRANGER,
    SIM_WHEN_LOGGED_IN,
    SIM_WHEN_SELECTED,
};

struct sim_command {
    const char *name;
    enum sim_when when;
    unsigned cap; /* it must be announced; 0: always there */
    void (*run)(struct sim_session *session, const char *tag, struct sim_words *words);
};

static void sim_bad(struct sim_session *session, const char *tag)
{
    sim_session_answer(session, tag, "BAD", "not understood");
}

static void sim_command_capability(struct sim_session *session, const char *tag,
                                   struct sim_words *words)
{
    (void)words;
    sim_session_say(session, "* CAPABILITY %s\r\n", session->sim->settings.capabilities);
    sim_session_answer(session, tag, "OK", "done");
}

static void sim_command_noop(struct sim_session *session, const char *tag, struct sim_words *words)
{
    (void)words;
    sim_session_tell(session);
    sim_session_answer(session, tag, "OK", "done");
}

static void sim_command_id(struct sim_session *session, const char *tag, struct sim_words *words)
{
    (void)words;
    sim_session_say(session, "* ID (\"name\" \"imapsim\")\r\n");
    sim_session_answer(session, tag, "OK", "done");
}

static void sim_command_logout(struct sim_session *session, const char *tag,
                               struct sim_words *words)
{
    (void)words;
    sim_session_say(session, "* BYE good bye\r\n%s OK done\r\n", tag);
    session->over = true;
    net_conn_end(session->conn);
}

/* The password of box7 is secret-box7. */
static void sim_login(struct sim_session *session, const char *tag, const char *user,
                      const char *password)
{
    struct sim *sim = session->sim;
    struct sim_box *box = sim_find_box(sim, user, strlen(user));
    bool right = box && strncmp(password, "secret-", 7) == 0 && strcmp(password + 7, user) == 0;
    if (sim->refusal || !right) {
        sim->stats.refused++;
        sim_session_answer(session, tag, "NO",
                           sim->refusal ? sim->refusal
                                        : "[AUTHENTICATIONFAILED] no such user or password");
        return;
    }
    session->box = box;
    sim->stats.logins++;
    sim->stats.logged_in++;
    sim_session_say(session, "%s OK [CAPABILITY %s] logged in\r\n", tag,
                    sim->settings.capabilities);
}

static void sim_command_login(struct sim_session *session, const char *tag, struct sim_words *words)
{
    struct sim_word word;
    char user[SIM_NAME], password[SIM_NAME];
    if (sim_words_next(words, &word) && sim_word_copy(&word, user, sizeof user) &&
        sim_words_next(words, &word) && sim_word_copy(&word, password, sizeof password))
        sim_login(session, tag, user, password);
    else
        sim_bad(session, tag);
}

/* RFC 4616: authorization identity NUL user NUL password. */
static void sim_authenticate(struct sim_session *session, const char *tag, const char *text,
                             size_t len)
{
    struct buf plain = {0};
    const char *end = NULL, *user = NULL, *password = NULL;
    if (base64_decode(&plain, text, len)) {
        end = buf_cstr(&plain) + plain.len;
        user = memchr(plain.data, '\0', plain.len);
        password = user ? memchr(user + 1, '\0', (size_t)(end - user - 1)) : NULL;
    }
    if (password)
        sim_login(session, tag, user + 1, password + 1);
    else
        sim_bad(session, tag);
    buf_release(&plain);
}

void sim_command_authenticate(struct sim_session *session, const char *text, size_t len)
{
    session->expect = SIM_EXPECT_COMMAND;
    sim_authenticate(session, session->tag, text, len);
    free(session->tag);
    session->tag = NULL;
}

static void sim_command_begin_authenticate(struct sim_session *session, const char *tag,
                                           struct sim_words *words)
{
    struct sim_word word;
    if (!sim_words_take(words, SIM_WORD_ATOM, &word) || !sim_word_is(&word, "PLAIN")) {
        sim_session_answer(session, tag, "NO", "PLAIN is all there is");
    } else if (sim_words_next(words, &word)) {
        if (session->sim->caps & SIM_CAP_SASL_IR)
            sim_authenticate(session, tag, word.text, word.len);
        else
            sim_bad(session, tag);
    } else {
        session->tag = mem_strdup(tag);
        session->expect = SIM_EXPECT_PASSWORD;
        sim_session_say(session, "+ \r\n");
    }
}

static void sim_select(struct sim_session *session, const char *tag, struct sim_words *words,
                       bool read_only)
{
    struct sim_word name;
    struct sim_folder *folder =
        sim_words_next(words, &name) ? sim_box_folder(session->box, &name) : NULL;
    sim_session_close_folder(session);
    if (!folder) {
        sim_session_answer(session, tag, "NO", "[NONEXISTENT] no such folder");
        return;
    }
    sim_session_open(session, folder, read_only);
    sim_session_say(session,
                    "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)\r\n"
                    "* OK [PERMANENTFLAGS (%s)] kept\r\n* %u EXISTS\r\n* 0 RECENT\r\n"
                    "* OK [UIDVALIDITY %u] valid\r\n* OK [UIDNEXT %u] next\r\n"
                    "%s OK [READ-%s] open\r\n",
                    read_only ? "" : "\\Answered \\Flagged \\Deleted \\Seen \\Draft",
                    sim_folder_exists(folder, session->told_count), folder->uidvalidity,
                    folder->uidnext, tag, read_only ? "ONLY" : "WRITE");
}

static void sim_command_select(struct sim_session *session, const char *tag,
                               struct sim_words *words)
{
    sim_select(session, tag, words, false);
}

static void sim_command_examine(struct sim_session *session, const char *tag,
                                struct sim_words *words)
{
    sim_select(session, tag, words, true);
}

static void sim_command_close(struct sim_session *session, const char *tag, struct sim_words *words)
{
    (void)words;
    if (!session->read_only)
        sim_folder_expunge(session->folder, NULL, session->told_uidnext, SIM_FLAG_DELETED);
    sim_session_close_folder(session);
    sim_session_answer(session, tag, "OK", "closed");
}

static void sim_command_list(struct sim_session *session, const char *tag, struct sim_words *words)
{
    struct sim_word word = {0};
    bool any = sim_words_next(words, &word);
    if (any && word.kind == SIM_WORD_LIST) /* which folders: all that are asked for are shown */
        any = sim_words_next(words, &word);
    if (!any || !sim_words_next(words, &word)) {
        sim_bad(session, tag);
        return;
    }
    bool all = sim_word_is(&word, "*") || sim_word_is(&word, "%");
    struct sim_folder *only = all ? NULL : sim_box_folder(session->box, &word);
    if (!word.len)
        sim_session_say(session, "* LIST (\\Noselect) \"/\" \"\"\r\n");
    for (unsigned i = 0; i < SIM_FOLDERS; i++) {
        const char *use = session->sim->caps & SIM_CAP_SPECIAL_USE ? sim_folder_use(i) : NULL;
        if (all || only == &session->box->folders[i])
            sim_session_say(session, "* LIST (\\HasNoChildren%s%s) \"/\" %s\r\n", use ? " " : "",
                            use ? use : "", sim_folder_name(i));
    }
    sim_session_answer(session, tag, "OK", "done");
}

static bool sim_status_item(const struct sim_folder *folder, const struct sim_word *item,
                            uint32_t *ret_value)
{
    if (sim_word_is(item, "MESSAGES"))
        *ret_value = folder->count;
    else if (sim_word_is(item, "UNSEEN"))
        *ret_value = sim_folder_count(folder, 0, SIM_FLAG_SEEN);
    else if (sim_word_is(item, "UIDNEXT"))
        *ret_value = folder->uidnext;
    else if (sim_word_is(item, "UIDVALIDITY"))
        *ret_value = folder->uidvalidity;
    else if (sim_word_is(item, "RECENT"))
        *ret_value = 0;
    else
        return false;
    return true;
}

static void sim_command_status(struct sim_session *session, const char *tag,
                               struct sim_words *words)
{
    struct sim_word name, list, item;
    struct sim_folder *folder =
        sim_words_next(words, &name) ? sim_box_folder(session->box, &name) : NULL;
    struct buf *line = &session->sim->line;
    if (!folder || !sim_words_take(words, SIM_WORD_LIST, &list)) {
        sim_session_answer(session, tag, folder ? "BAD" : "NO", "what folder, what of it?");
        return;
    }
    buf_clear(line);
    buf_printf(line, "* STATUS %s (", sim_folder_name((unsigned)(folder - session->box->folders)));
    struct sim_words items = {list.text, list.text + list.len};
    for (const char *blank = ""; sim_words_next(&items, &item); blank = " ") {
        uint32_t value;
        if (!sim_status_item(folder, &item, &value)) {
            sim_bad(session, tag);
            return;
        }
        buf_printf(line, "%s%.*s %u", blank, (int)item.len, item.text, value);
    }
    buf_add_str(line, ")\r\n");
    net_conn_write(session->conn, line->data, line->len);
    sim_session_tell(session);
    sim_session_answer(session, tag, "OK", "done");
}

static void sim_command_idle(struct sim_session *session, const char *tag, struct sim_words *words)
{
    (void)words;
    session->tag = mem_strdup(tag);
    session->expect = SIM_EXPECT_DONE;
    session->sim->stats.idling++;
    session->sim->stats.idles++;
    sim_session_say(session, "+ idling\r\n"); /* the news come behind it, see the caller */
}

static void sim_command_expunge_all(struct sim_session *session, const char *tag,
                                    struct sim_words *words)
{
    (void)words;
    sim_command_expunge(session, tag, NULL);
}

static void sim_command_uid_expunge(struct sim_session *session, const char *tag,
                                    struct sim_words *words)
{
    struct sim_word word;
    struct sim_set set;
    if (!sim_words_next(words, &word) || !sim_set_parse(&word, UINT32_MAX, &set)) {
        sim_bad(session, tag);
        return;
    }
    sim_command_expunge(session, tag, &set);
    sim_set_release(&set);
}

static void sim_command_uid(struct sim_session *session, const char *tag, struct sim_words *words);

static const struct sim_command sim_commands[] = {
    {"CAPABILITY", SIM_WHEN_ANY, 0, sim_command_capability},
    {"NOOP", SIM_WHEN_ANY, 0, sim_command_noop},
    {"CHECK", SIM_WHEN_SELECTED, 0, sim_command_noop},
    {"ID", SIM_WHEN_ANY, SIM_CAP_ID, sim_command_id},
    {"LOGOUT", SIM_WHEN_ANY, 0, sim_command_logout},
    {"LOGIN", SIM_WHEN_STRANGER, 0, sim_command_login},
    {"AUTHENTICATE", SIM_WHEN_STRANGER, SIM_CAP_PLAIN, sim_command_begin_authenticate},
    {"SELECT", SIM_WHEN_LOGGED_IN, 0, sim_command_select},
    {"EXAMINE", SIM_WHEN_LOGGED_IN, 0, sim_command_examine},
    {"LIST", SIM_WHEN_LOGGED_IN, 0, sim_command_list},
    {"STATUS", SIM_WHEN_LOGGED_IN, 0, sim_command_status},
    {"CLOSE", SIM_WHEN_SELECTED, 0, sim_command_close},
    {"EXPUNGE", SIM_WHEN_SELECTED, 0, sim_command_expunge_all},
    {"IDLE", SIM_WHEN_LOGGED_IN, SIM_CAP_IDLE, sim_command_idle},
    {"UID", SIM_WHEN_SELECTED, 0, sim_command_uid},
    {NULL, SIM_WHEN_ANY, 0, NULL},
};

static const struct sim_command sim_uid_commands[] = {
    {"SEARCH", SIM_WHEN_SELECTED, 0, sim_command_search},
    {"FETCH", SIM_WHEN_SELECTED, 0, sim_command_fetch},
    {"STORE", SIM_WHEN_SELECTED, 0, sim_command_store},
    {"COPY", SIM_WHEN_SELECTED, 0, sim_command_copy},
    {"MOVE", SIM_WHEN_SELECTED, SIM_CAP_MOVE, sim_command_move},
    {"EXPUNGE", SIM_WHEN_SELECTED, SIM_CAP_UIDPLUS, sim_command_uid_expunge},
    {NULL, SIM_WHEN_ANY, 0, NULL},
};

static bool sim_command_timely(const struct sim_session *session, enum sim_when when)
{
    switch (when) {
    case SIM_WHEN_STRANGER:
        return !session->box;
    case SIM_WHEN_LOGGED_IN:
        return session->box;
    case SIM_WHEN_SELECTED:
        return session->folder;
    case SIM_WHEN_ANY:
        break;
    }
    return true;
}

static void sim_command_choose(struct sim_session *session, const char *tag,
                               struct sim_words *words, const struct sim_command *table)
{
    struct sim_word name;
    if (!sim_words_take(words, SIM_WORD_ATOM, &name)) {
        sim_bad(session, tag);
        return;
    }
    while (table->name && !sim_word_is(&name, table->name))
        table++;
    if (!table->name || (table->cap & session->sim->caps) != table->cap)
        sim_session_answer(session, tag, "BAD", "no such command");
    else if (!sim_command_timely(session, table->when))
        sim_session_answer(session, tag, "BAD", "not now");
    else
        table->run(session, tag, words);
}

static void sim_command_uid(struct sim_session *session, const char *tag, struct sim_words *words)
{
    sim_command_choose(session, tag, words, sim_uid_commands);
}

void sim_command_run(struct sim_session *session, char *text, size_t len)
{
    struct sim_words words = {text, text + len};
    struct sim_word word;
    char tag[SIM_TAG];
    if (!sim_words_take(&words, SIM_WORD_ATOM, &word) || !sim_word_copy(&word, tag, sizeof tag))
        sim_bad(session, "*");
    else
        sim_command_choose(session, tag, &words, sim_commands);
}
