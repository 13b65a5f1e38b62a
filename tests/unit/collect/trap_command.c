/* What a trap's server answers when nothing is wrong with it. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "trap.h"

enum {
    WORD_MAX = 256
};

/* The next argument, whatever its form; moves behind it and its blank. */
static void next_word(const char **at, char word[WORD_MAX])
{
    size_t len = 0, limit = WORD_MAX - 1;
    const char *from = *at;
    if (*from == '"') {
        for (from++; *from && *from != '"' && len < limit; from++)
            word[len++] = *(from += *from == '\\');
        from += *from == '"';
    } else if (*from == '{') {
        size_t size = strtoul(from + 1, NULL, 10);
        from = strchr(from, '\n');
        assert_non_null(from);
        assert_true(size <= limit && size <= strlen(from + 1));
        memcpy(word, from + 1, len = size);
        from += 1 + size;
    } else {
        len = strcspn(from, " ()");
        assert_true(len <= limit);
        memcpy(word, from, len);
        from += len;
    }
    word[len] = '\0';
    *at = from + (*from == ' ');
}

static void say(struct trap_conn *conn, const char *status, const char *words)
{
    buf_printf(&conn->out, "%s %s %s\r\n", conn->tag, status, words);
}

/* Said of a command that went well; before it comes what is new in the selected box. */
static void say_done(struct trap_conn *conn)
{
    if (conn->box && !conn->trap->dull)
        view_sync(&conn->view, conn->box, &conn->out);
    say(conn, "OK", "done");
}

static bool has_box(struct trap_conn *conn, const struct box *box)
{
    if (!box)
        say(conn, "NO", "[NONEXISTENT] no such mailbox");
    return box;
}

static struct box *named_box(struct trap_conn *conn, const char **args)
{
    char name[WORD_MAX];
    next_word(args, name);
    return trap_box(conn->trap, name);
}

static void run_capability(struct trap_conn *conn, const char *args)
{
    (void)args;
    buf_printf(&conn->out, "* CAPABILITY IMAP4rev1 %s\r\n", conn->trap->caps);
    say_done(conn);
}

static void run_login(struct trap_conn *conn, const char *args)
{
    char user[WORD_MAX], password[WORD_MAX];
    next_word(&args, user);
    next_word(&args, password);
    if (strcmp(user, conn->trap->account.user) != 0 ||
        strcmp(password, conn->trap->account.password) != 0) {
        say(conn, "NO", "[AUTHENTICATIONFAILED] no");
        return;
    }
    conn->logged_in = true;
    conn->trap->logins++;
    buf_printf(&conn->out, "%s OK [CAPABILITY IMAP4rev1 %s] in\r\n", conn->tag, conn->trap->caps);
}

static void run_authenticate(struct trap_conn *conn, const char *args)
{
    conn->asked = true;
    if (strchr(args, ' '))
        trap_authenticated(conn);
    else
        buf_add_str(&conn->out, "+ \r\n");
}

void trap_authenticated(struct trap_conn *conn)
{
    conn->asked = false;
    conn->logged_in = true;
    conn->trap->logins++;
    say_done(conn);
}

static void run_select(struct trap_conn *conn, const char *args)
{
    struct box *box = named_box(conn, &args);
    conn->box = NULL;
    view_clear(&conn->view);
    if (!has_box(conn, box))
        return;
    struct buf unsaid = {0};
    view_sync(&conn->view, box, &unsaid);
    buf_release(&unsaid);
    conn->box = box;
    buf_printf(&conn->out,
               "* FLAGS (\\Seen \\Deleted)\r\n* OK [PERMANENTFLAGS (\\Seen \\Deleted \\*)] ok\r\n"
               "* %zu EXISTS\r\n* OK [UIDVALIDITY %u] ok\r\n* OK [UIDNEXT %u] ok\r\n",
               conn->view.count, (unsigned)box->uidvalidity, (unsigned)box->uidnext);
    say(conn, "OK", box->read_only ? "[READ-ONLY] selected" : "[READ-WRITE] selected");
}

static void run_status(struct trap_conn *conn, const char *args)
{
    const struct box *box = named_box(conn, &args);
    if (!has_box(conn, box))
        return;
    buf_printf(&conn->out,
               "* STATUS \"%s\" (MESSAGES %zu UNSEEN %zu UIDNEXT %u UIDVALIDITY %u)\r\n", box->name,
               box->count, box_unseen(box), (unsigned)box->uidnext, (unsigned)box->uidvalidity);
    say_done(conn);
}

static void run_list(struct trap_conn *conn, const char *args)
{
    (void)args;
    for (const struct box *box = conn->trap->boxes; box; box = box->next)
        buf_printf(&conn->out, "* LIST (%s) \"/\" \"%s\"\r\n", box->attrs, box->name);
    say_done(conn);
}

static void run_create(struct trap_conn *conn, const char *args)
{
    char name[WORD_MAX];
    next_word(&args, name);
    if (trap_box(conn->trap, name)) {
        say(conn, "NO", "[ALREADYEXISTS] it is there");
        return;
    }
    trap_add_box(conn->trap, name, "");
    say_done(conn);
}

static uint32_t last_uid(const struct box *box)
{
    return box->count ? box->letters[box->count - 1].uid : 0;
}

static void run_search(struct trap_conn *conn, const char *args)
{
    static const char esearch[] = "RETURN (ALL) ";
    const struct box *box = conn->box;
    bool extended = strncmp(args, esearch, sizeof esearch - 1) == 0;
    args += extended ? sizeof esearch - 1 : 0;
    struct buf found = {0};
    for (size_t i = 0; i < box->count; i++) {
        const struct letter *letter = &box->letters[i];
        int matches = letter_matches(letter, args, last_uid(box));
        if (matches < 0)
            fail_msg("criteria of no use to a collector: %s", args);
        /* Nobody can find what has not been announced. */
        if (matches && view_number(&conn->view, letter->uid))
            buf_printf(&found, "%s%u", found.len ? (extended ? "," : " ") : "",
                       (unsigned)letter->uid);
    }
    if (!extended)
        buf_printf(&conn->out, "* SEARCH %s\r\n", buf_cstr(&found));
    else if (found.len)
        buf_printf(&conn->out, "* ESEARCH (TAG \"%s\") UID ALL %s\r\n", conn->tag,
                   buf_cstr(&found));
    else
        buf_printf(&conn->out, "* ESEARCH (TAG \"%s\") UID\r\n", conn->tag);
    buf_release(&found);
    say_done(conn);
}

static void fetch_one(struct trap_conn *conn, const struct letter *letter, const char *items)
{
    size_t number = view_number(&conn->view, letter->uid);
    if (!number)
        return;
    buf_printf(&conn->out, "* %zu FETCH (UID %u", number, (unsigned)letter->uid);
    if (strstr(items, "FLAGS"))
        buf_printf(&conn->out, " FLAGS (%s)", letter->flags);
    if (strstr(items, "RFC822.SIZE"))
        buf_printf(&conn->out, " RFC822.SIZE %zu", strlen(letter->body));
    if (strstr(items, "BODY.PEEK[]"))
        buf_printf(&conn->out, " BODY[] {%zu}\r\n%s", strlen(letter->body), letter->body);
    buf_add_str(&conn->out, ")\r\n");
}

static void run_fetch(struct trap_conn *conn, const char *args)
{
    const struct box *box = conn->box;
    for (size_t i = 0; i < box->count; i++)
        if (set_holds(args, box->letters[i].uid, last_uid(box)))
            fetch_one(conn, &box->letters[i], strchr(args, ' '));
    say_done(conn);
}

static void run_store(struct trap_conn *conn, const char *args)
{
    const struct box *box = conn->box;
    if (box->read_only) {
        say(conn, "NO", "[NOPERM] it is read-only");
        return;
    }
    const char *how = strchr(args, ' ') + 1, *open = strchr(how, '(') + 1;
    char flags[WORD_MAX];
    snprintf(flags, sizeof flags, "%.*s", (int)strcspn(open, ")"), open);
    for (size_t i = 0; i < box->count; i++)
        if (set_holds(args, box->letters[i].uid, last_uid(box)))
            letter_store(&box->letters[i], *how, flags);
    say_done(conn);
}

/* COPY and MOVE. */
static void transfer(struct trap_conn *conn, const char *args, bool move)
{
    const char *name = strchr(args, ' ') + 1;
    struct box *from = conn->box, *to = named_box(conn, &name);
    if (!to) {
        say(conn, "NO", "[TRYCREATE] no such mailbox");
        return;
    }
    uint32_t last = last_uid(from);
    for (size_t i = 0; i < from->count;) {
        const struct letter *letter = &from->letters[i];
        bool hit = set_holds(args, letter->uid, last);
        if (hit)
            box_add(to, letter->body, letter->flags);
        if (hit && move)
            box_remove(from, letter->uid);
        else
            i++;
    }
    say_done(conn);
}

static void run_copy(struct trap_conn *conn, const char *args)
{
    transfer(conn, args, false);
}

static void run_move(struct trap_conn *conn, const char *args)
{
    transfer(conn, args, true);
}

static void expunge(struct trap_conn *conn, const char *set)
{
    struct box *box = conn->box;
    uint32_t last = last_uid(box);
    for (size_t i = 0; i < box->count;) {
        const struct letter *letter = &box->letters[i];
        if (letter_has(letter, "\\Deleted") && (!set || set_holds(set, letter->uid, last)))
            box_remove(box, letter->uid);
        else
            i++;
    }
    view_sync(&conn->view, box, &conn->out);
    say_done(conn);
}

static void run_uid_expunge(struct trap_conn *conn, const char *args)
{
    expunge(conn, args);
}

static void run_expunge(struct trap_conn *conn, const char *args)
{
    (void)args;
    expunge(conn, NULL);
}

static void run_noop(struct trap_conn *conn, const char *args)
{
    (void)args;
    say_done(conn);
}

static void run_logout(struct trap_conn *conn, const char *args)
{
    (void)args;
    buf_add_str(&conn->out, "* BYE bye\r\n");
    say(conn, "OK", "done");
}

/* What is new is told before the "+", as real servers may. */
static void run_idle(struct trap_conn *conn, const char *args)
{
    (void)args;
    conn->idling = true;
    if (conn->box && !conn->trap->deaf)
        view_sync(&conn->view, conn->box, &conn->out);
    buf_add_str(&conn->out, "+ idling\r\n");
}

void trap_idle_end(struct trap_conn *conn)
{
    conn->idling = false;
    if (conn->trap->deaf)
        say(conn, "OK", "done");
    else
        say_done(conn);
}

/* NOTIFY SET (selected (…)) (mailboxes ("a" "b") (…)) */
static void run_notify(struct trap_conn *conn, const char *args)
{
    struct buf names = {0};
    const char *list = strstr(args, "(mailboxes (");
    buf_add_byte(&names, '|');
    if (list)
        for (const char *at = list + strlen("(mailboxes ("); *at != ')';) {
            char name[WORD_MAX];
            next_word(&at, name);
            buf_printf(&names, "%s|", name);
        }
    free(conn->notify);
    conn->notify = mem_strdup(buf_cstr(&names));
    buf_release(&names);
    say_done(conn);
}

void trap_tell(struct trap_conn *conn, const struct box *box)
{
    if (conn->box == box) {
        if ((conn->idling && !conn->trap->deaf) || (conn->notify && !conn->idling))
            view_sync(&conn->view, box, &conn->out);
        return;
    }
    char wanted[WORD_MAX];
    snprintf(wanted, sizeof wanted, "|%s|", box->name);
    if (conn->notify && strstr(conn->notify, wanted))
        buf_printf(&conn->out, "* STATUS \"%s\" (MESSAGES %zu UIDNEXT %u UNSEEN %zu)\r\n",
                   box->name, box->count, (unsigned)box->uidnext, box_unseen(box));
}

static const struct {
    const char *name;
    bool in_box; /* only with a mailbox selected */
    void (*run)(struct trap_conn *conn, const char *args);
} commands[] = {
    {"CAPABILITY", false, run_capability},
    {"LOGIN", false, run_login},
    {"AUTHENTICATE", false, run_authenticate},
    {"ID", false, run_noop},
    {"NOOP", false, run_noop},
    {"SELECT", false, run_select},
    {"EXAMINE", false, run_select},
    {"STATUS", false, run_status},
    {"LIST", false, run_list},
    {"CREATE", false, run_create},
    {"NOTIFY", false, run_notify},
    {"IDLE", false, run_idle},
    {"LOGOUT", false, run_logout},
    {"UID SEARCH", true, run_search},
    {"UID FETCH", true, run_fetch},
    {"UID STORE", true, run_store},
    {"UID COPY", true, run_copy},
    {"UID MOVE", true, run_move},
    {"UID EXPUNGE", true, run_uid_expunge},
    {"EXPUNGE", true, run_expunge},
};

void trap_command(struct trap_conn *conn, const char *line)
{
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        size_t len = strlen(commands[i].name);
        if (strncmp(line, commands[i].name, len) != 0 || (line[len] && line[len] != ' '))
            continue;
        if (commands[i].in_box && !conn->box)
            say(conn, "BAD", "no mailbox is selected");
        else
            commands[i].run(conn, line + len + (line[len] == ' '));
        return;
    }
    say(conn, "BAD", "no such command");
}
