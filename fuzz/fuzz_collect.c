/* A collector and two mailboxes, one of them on a server that tells what the input wants, on a
 * clock that jumps (tests/unit/collect/stage.h): a pass ends and a stay goes on, no server has the
 * collector ask without an end, the other mailbox gets its mail at once, and so does the first one
 * once it got one from its server, which is honest again, and its mails have new numbers.
 * Input: a line for the settings, then a line for each fault: command, act, two digits (so many
 * times before it nothing happens, so often it does; 0: always), text, in which "|" is a line's end
 * and "$" the command's tag. "~/old/new" replaces in what an honest server would say. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../tests/unit/collect/stage.h"
#include "base/mem.h"

enum {
    FAULTS_MAX = 12,
    MAILS_MAX = 50,
    TEXT_MAX = 200,
    DELAY = 50 * SECOND, /* what is delayed goes on after so long */
    STAY = 20 * MINUTE,
    COMMANDS_MAX =
        6000, /* in all that time; the most that an honest server is asked for is fewer */
    HEAL = 3 * HOUR,
    SOON = 3 * SECOND,
};

static const struct {
    char letter;
    const char *on;
} fuzz_commands[] = {
    {'g', "greeting"},  {'l', "LOGIN"},  {'i', "ID ("},    {'c', "CAPABILITY"},
    {'L', "LIST"},      {'N', "NOTIFY"}, {'T', "STATUS"},  {'S', "SELECT"},
    {'E', "EXAMINE"},   {'s', "SEARCH"}, {'u', "UID "},    {'z', "RFC822.SIZE"},
    {'b', "BODY.PEEK"}, {'t', "STORE"},  {'e', "EXPUNGE"}, {'m', "MOVE"},
    {'C', "COPY"},      {'I', "IDLE"},   {'D', "DONE"},    {'O', "LOGOUT"},
};

static const char *const fuzz_caps[] = {
    "",
    "IDLE",
    "IDLE UIDPLUS ESEARCH",
    "IDLE UIDPLUS MOVE NOTIFY",
    "UIDPLUS SPECIAL-USE",
    "IDLE ESEARCH NOTIFY SPECIAL-USE MESSAGELIMIT=2",
    "IDLE MOVE LITERAL+ ID",
};

/* What an honest server's words become. */
static struct {
    char *old, *new;
} fuzz_changes[FAULTS_MAX];
static size_t fuzz_change_count;
static char *fuzz_texts[FAULTS_MAX];
static size_t fuzz_text_count;

static void fuzz_change(struct trap_conn *conn)
{
    for (size_t i = 0; i < fuzz_change_count; i++) {
        const char *old = fuzz_changes[i].old, *new = fuzz_changes[i].new;
        const char *at = *old ? memmem(conn->out.data, conn->out.len, old, strlen(old)) : NULL;
        if (!at)
            continue;
        struct buf out = {0};
        size_t before = (size_t)(at - (const char *)conn->out.data);
        buf_add(&out, conn->out.data, before);
        buf_add_str(&out, new);
        buf_add(&out, at + strlen(old), conn->out.len - before - strlen(old));
        buf_release(&conn->out);
        conn->out = out;
    }
}

/* What others do meanwhile: another client, whoever sends mail, the broker. */

static void fuzz_deliver(struct trap_conn *conn)
{
    if (trap_box(conn->trap, "INBOX")->uidnext < MAILS_MAX)
        trap_deliver(conn->trap, "INBOX", "one more");
}

static void fuzz_expunge(struct trap_conn *conn)
{
    const struct box *box = trap_box(conn->trap, "INBOX");
    if (box->count)
        trap_expunge(conn->trap, "INBOX", box->letters[0].uid);
}

static void fuzz_flag(struct trap_conn *conn)
{
    const struct box *box = trap_box(conn->trap, "INBOX");
    if (box->count)
        trap_store(conn->trap, "INBOX", box->letters[0].uid, "\\Seen \\Deleted");
}

static struct fake_sink *fuzz_sink;
static bool fuzz_loses; /* it is lost at some time, or again and again */

static void fuzz_lose_sink(struct trap_conn *conn)
{
    (void)conn;
    fake_sink_lose(fuzz_sink);
}

/* A line's text, with its line ends. */
static char *fuzz_text(const char *line)
{
    struct buf text = {0};
    for (; *line && text.len < TEXT_MAX; line++)
        buf_add_str(&text, *line == '|' ? "\r\n" : (char[]){*line, '\0'});
    char *copy = mem_strdup(buf_cstr(&text));
    buf_release(&text);
    fuzz_texts[fuzz_text_count++] = copy;
    return copy;
}

static bool fuzz_add_change(char *text)
{
    char *middle = *text == '/' ? strchr(text + 1, '/') : NULL;
    if (!middle)
        return false;
    *middle = '\0';
    fuzz_changes[fuzz_change_count].old = text + 1;
    fuzz_changes[fuzz_change_count++].new = middle + 1;
    return true;
}

static void fuzz_add_fault(struct trap *trap, const char *line)
{
    struct trap_fault fault = {0};
    if (strlen(line) < 4)
        return;
    for (size_t i = 0; i < COUNT(fuzz_commands); i++)
        if (line[0] == fuzz_commands[i].letter)
            fault.on = fuzz_commands[i].on;
    if (!fault.on)
        return;
    fault.skip = (unsigned char)line[2] % 10;
    fault.times = (unsigned char)line[3] % 10;
    char *text = fuzz_text(line + 4);
    fault.text = text;
    switch (line[1]) {
    case '=':
        fault.act = TRAP_ANSWER;
        break;
    case '<':
        fault.act = TRAP_BEFORE;
        break;
    case '>':
        fault.act = TRAP_AFTER;
        break;
    case '.':
        fault.act = TRAP_SILENCE;
        break;
    case '!':
        fault.act = TRAP_CLOSE;
        break;
    case '*':
        fault.act = TRAP_RESET;
        break;
    case ';':
        fault.act = TRAP_CUT;
        fault.text = "";
        break;
    case 'd':
        fault.call = fuzz_deliver;
        break;
    case 'x':
        fault.call = fuzz_expunge;
        break;
    case 'f':
        fault.call = fuzz_flag;
        break;
    case 'k':
        fault.call = fuzz_lose_sink;
        fuzz_loses = true;
        break;
    case '~':
        if (!fuzz_add_change(text))
            return;
        fault.call = fuzz_change;
        fault.late = true;
        break;
    default:
        return;
    }
    if (fault.call)
        fault.act = TRAP_CALL;
    trap_fault(trap, fault);
}

/* Letters: what is done to delivered mail, what the server can, whether it is a pass, how many
 * mails there are. */
static void fuzz_settings(struct stage *stage, struct trap *trap, const char *line)
{
    unsigned char letters[4] = {0};
    memcpy(letters, line, strlen(line) < 4 ? strlen(line) : 4);
    trap->account.after = letters[0] % 5;
    if (trap->account.after == COLLECT_AFTER_MOVE)
        trap->account.after_name = letters[0] % 2 ? "more" : "\\Trash";
    else if (trap->account.after == COLLECT_AFTER_KEYWORD)
        trap->account.after_name = "$Taken";
    trap->caps = fuzz_caps[letters[1] % COUNT(fuzz_caps)];
    stage->settings.continuous = letters[2] & 1;
    trap->account.idle = !(letters[2] & 2);
    if (letters[2] & 4) {
        trap->folders[1] = "\\Junk";
        trap->account.folder_count = 2;
        trap_deliver(trap, "Spam", "junk");
    }
    trap->account.max_connections = letters[2] & 8 ? 2 : 1;
    stage->settings.fetch_all = letters[2] & 16;
    stage_mail(stage, trap, letters[3] % 7, letters[3] & 64 ? 5000 : 0);
}

static void fuzz_pass(struct stage *stage, struct trap *trap, msec_t span)
{
    for (msec_t passed = 0; passed < span && !stage->finished; passed += DELAY) {
        stage_pass(stage, DELAY);
        trap_go_on(trap);
        if (stage->sink.down)
            fake_sink_return(&stage->sink);
    }
}

static void fuzz_heal(struct stage *stage, struct trap *trap)
{
    bool idles = trap->account.idle && strstr(trap->caps, "IDLE");
    trap_mend(trap);
    trap_cut_off(trap, false);
    box_renumber(trap_box(trap, "INBOX"), 0x5eedfeed);
    stage_expect_mail(stage, trap, "INBOX", HEAL);
    stage_expect_mail(stage, trap, "INBOX", idles ? SOON : 2 * trap->account.poll_interval);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct stage stage;
    char *input = mem_strndup((const char *)data, size), *rest = input;
    fuzz_change_count = fuzz_text_count = 0;
    fuzz_loses = false;
    stage_init(&stage);
    stage.settings.memory_budget = 4 << 20;
    struct trap *trap = stage_add_trap(&stage, "bad"), *good = stage_add_trap(&stage, "good");
    trap_add_box(trap, "Spam", "\\Junk");
    trap_add_box(trap, "more", "\\Trash");
    fuzz_sink = &stage.sink;
    fuzz_settings(&stage, trap, strsep(&rest, "\n"));
    for (size_t i = 0; rest && i < FAULTS_MAX; i++)
        fuzz_add_fault(trap, strsep(&rest, "\n"));
    trap_deliver(good, "INBOX", "honest");
    stage_start(&stage);
    stage_pass(&stage, 5 * SECOND);
    if (!fuzz_loses && fake_sink_taken(&stage.sink, "honest") != 1)
        stage_fail(&stage, "the other mailbox waits");
    fuzz_pass(&stage, trap, stage.settings.continuous ? STAY : 3 * HOUR);
    if (trap_count(trap, "") > COMMANDS_MAX)
        stage_fail(&stage, "the server is asked without an end");
    if (stage.settings.continuous)
        fuzz_heal(&stage, trap);
    else if (!stage.finished)
        stage_fail(&stage, "the pass does not end");
    stage_release(&stage);
    for (size_t i = 0; i < fuzz_text_count; i++)
        free(fuzz_texts[i]);
    free(input);
    return 0;
}
