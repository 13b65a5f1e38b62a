/* Lines in, answers out, and news. */
#include "imapsim/session.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "imapsim/command.h"
#include "net/conn.h"
#include "net/loop.h"

enum {
    SIM_COMMAND_MAX = 1 << 20,
    SIM_CHANGES_MAX = 100000, /* that a session may leave unheard */
    SIM_LAST_WORDS = 5000,    /* ms, for a peer to end the connection too */
};

static void sim_session_free(struct sim_session *session)
{
    struct sim *sim = session->sim;
    sim_session_close_folder(session);
    *session->link = session->next;
    if (session->next)
        session->next->link = session->link;
    sim->stats.connected--;
    sim->stats.logged_in -= session->box != NULL;
    sim->stats.idling -= session->expect == SIM_EXPECT_DONE;
    sim_counted(sim);
    sim_fetch_free(session->fetch);
    net_timer_free(session->delay);
    buf_release(&session->in);
    free(session->tag);
    free(session);
}

void sim_session_drop(struct sim_session *session, bool reset)
{
    if (reset)
        net_conn_abort(session->conn);
    else
        net_conn_close(session->conn);
    sim_session_free(session);
}

void sim_session_bye(struct sim_session *session, const char *text)
{
    if (session->over)
        return;
    sim_session_say(session, "* BYE %s\r\n", text);
    session->over = true;
    net_conn_end(session->conn);
    net_conn_set_deadline(session->conn, SIM_LAST_WORDS, "the peer's end");
}

void sim_session_say(struct sim_session *session, const char *format, ...)
{
    struct buf *line = &session->sim->line;
    va_list args;
    va_start(args, format);
    buf_clear(line);
    buf_vprintf(line, format, args);
    va_end(args);
    net_conn_write(session->conn, line->data, line->len);
}

/* The log is empty when all have heard it. */
static void sim_folder_trim(struct sim_folder *folder)
{
    for (struct sim_session *other = folder->sessions; other; other = other->next_open)
        if (other->told_count < folder->change_count)
            return;
    for (struct sim_session *other = folder->sessions; other; other = other->next_open)
        other->told_count = 0;
    free(folder->changes);
    folder->changes = NULL;
    folder->change_count = folder->change_cap = 0;
}

void sim_session_close_folder(struct sim_session *session)
{
    struct sim_folder *folder = session->folder;
    if (!folder)
        return;
    struct sim_session **link = &folder->sessions;
    while (*link != session)
        link = &(*link)->next_open;
    *link = session->next_open;
    session->folder = NULL;
    sim_folder_trim(folder);
}

void sim_session_open(struct sim_session *session, struct sim_folder *folder, bool read_only)
{
    session->folder = folder;
    session->read_only = read_only;
    session->next_open = folder->sessions;
    folder->sessions = session;
    session->told_uidnext = folder->uidnext;
    session->told_count = folder->change_count;
}

static void sim_session_tell_flags(struct sim_session *session, uint32_t uid)
{
    const struct sim_folder *folder = session->folder;
    uint32_t index = sim_folder_find(folder, uid);
    struct buf *line = &session->sim->line;
    if (index == folder->count || folder->mails[index].uid != uid)
        return;
    buf_clear(line);
    buf_printf(line, "* %u FETCH (UID %u FLAGS ",
               sim_folder_sequence(folder, session->told_count, uid), uid);
    sim_flags_add(line, folder->mails[index].flags);
    buf_add_str(line, ")\r\n");
    net_conn_write(session->conn, line->data, line->len);
}

/* EXISTS first, so that what came and went at once has a number to go by. */
bool sim_session_tell(struct sim_session *session)
{
    struct sim_folder *folder = session->folder;
    if (!folder ||
        (session->told_uidnext == folder->uidnext && session->told_count == folder->change_count))
        return false;
    if (session->told_uidnext != folder->uidnext)
        sim_session_say(session, "* %u EXISTS\r\n", sim_folder_exists(folder, session->told_count));
    session->told_uidnext = folder->uidnext;
    while (session->told_count < folder->change_count) {
        struct sim_change change = folder->changes[session->told_count++];
        if (change.gone)
            sim_session_say(session, "* %u EXPUNGE\r\n",
                            sim_folder_sequence(folder, session->told_count, change.uid));
        else if (change.silent != session)
            sim_session_tell_flags(session, change.uid);
    }
    sim_folder_trim(folder);
    return true;
}

static bool sim_session_frozen(const struct sim_session *session)
{
    return session->box ? session->box->frozen : session->sim->frozen;
}

static bool sim_session_notify(struct sim_session *session)
{
    if (!session->folder)
        return false;
    if (session->folder->change_count > SIM_CHANGES_MAX)
        sim_session_bye(session, "too far behind");
    if (session->expect != SIM_EXPECT_DONE || session->over || session->box->mute ||
        sim_session_frozen(session))
        return false;
    return sim_session_tell(session);
}

unsigned sim_folder_notify(const struct sim_folder *folder)
{
    unsigned told = 0;
    for (struct sim_session *session = folder->sessions; session; session = session->next_open)
        told += sim_session_notify(session);
    return told;
}

void sim_session_answer(struct sim_session *session, const char *tag, const char *status,
                        const char *text)
{
    sim_session_say(session, "%s %s %s\r\n", tag, status, text);
}

static void sim_session_end_idle(struct sim_session *session, const struct sim_word *line)
{
    session->expect = SIM_EXPECT_COMMAND;
    session->sim->stats.idling--;
    if (sim_word_is(line, "DONE")) {
        sim_session_tell(session);
        sim_session_answer(session, session->tag, "OK", "done");
    } else {
        sim_session_answer(session, session->tag, "BAD", "DONE was expected");
    }
    free(session->tag);
    session->tag = NULL;
}

static void sim_session_run(struct sim_session *session, char *text, size_t len)
{
    struct sim_word line = {.kind = SIM_WORD_ATOM, .text = text, .len = len};
    session->sim->stats.commands += session->expect == SIM_EXPECT_COMMAND;
    switch (session->expect) {
    case SIM_EXPECT_DONE:
        sim_session_end_idle(session, &line);
        break;
    case SIM_EXPECT_PASSWORD:
        sim_command_authenticate(session, text, len);
        break;
    case SIM_EXPECT_COMMAND:
        sim_command_run(session, text, len);
        break;
    }
    if (session->folder)
        sim_folder_notify(session->folder);
    sim_counted(session->sim);
}

static void sim_session_work(struct sim_session *session);

static void sim_session_waited(void *ctx)
{
    struct sim_session *session = ctx;
    net_timer_free(session->delay);
    session->delay = NULL;
    session->waited = true;
    sim_session_work(session);
}

/* A slow box answers each command late. True: not yet. */
static bool sim_session_delays(struct sim_session *session)
{
    if (!session->box || !session->box->slow || session->waited)
        return false;
    session->delay = net_timer_new(session->sim->loop, sim_session_waited, session);
    net_timer_start(session->delay, session->box->slow);
    return true;
}

/* The command that is next in line, if it is whole. */
static bool sim_session_step(struct sim_session *session)
{
    unsigned asked;
    char *data = (char *)session->in.data;
    size_t len = session->in.len ? sim_command_length(data, session->in.len, &asked) : 0;
    if (session->in.len && asked > session->granted) {
        session->granted = asked;
        sim_session_say(session, "+ go on\r\n");
    }
    if (!len && session->in.len > SIM_COMMAND_MAX)
        sim_session_bye(session, "command too long");
    if (!len || sim_session_delays(session))
        return false;
    session->granted = 0;
    session->waited = false;
    size_t text = len - 1;
    if (text && data[text - 1] == '\r')
        text--;
    sim_session_run(session, data, text);
    buf_drop_front(&session->in, len);
    return true;
}

/* Does what can be done now. Who has no command to wait with holds no memory for any. */
static void sim_session_work(struct sim_session *session)
{
    while (!session->over && !session->delay && !sim_session_frozen(session))
        if (session->fetch ? !sim_fetch_go_on(session) : !sim_session_step(session))
            break;
    if (session->over || !session->in.len)
        buf_release(&session->in);
    bool full = session->in.len > SIM_COMMAND_MAX;
    if (full && !session->full)
        net_conn_pause(session->conn);
    else if (!full && session->full)
        net_conn_resume(session->conn);
    session->full = full;
}

void sim_session_resume(struct sim_session *session)
{
    sim_session_notify(session);
    sim_session_work(session);
}

static size_t sim_session_data(void *ctx, const uint8_t *data, size_t len)
{
    struct sim_session *session = ctx;
    if (session->over)
        return len;
    buf_add(&session->in, data, len);
    sim_session_work(session);
    return len;
}

static void sim_session_drained(void *ctx)
{
    struct sim_session *session = ctx;
    if (session->fetch)
        sim_session_work(session);
}

static void sim_session_ended(void *ctx)
{
    sim_session_drop(ctx, false);
}

static void sim_session_failed(void *ctx, const struct err *err)
{
    (void)err;
    sim_session_drop(ctx, false);
}

static const struct net_conn_events sim_session_events = {
    .data = sim_session_data,
    .drained = sim_session_drained,
    .ended = sim_session_ended,
    .failed = sim_session_failed,
};

void sim_session_start(struct sim *sim, struct net_conn *moved)
{
    struct sim_session *session = mem_new(struct sim_session);
    session->sim = sim;
    session->conn = moved;
    session->next = sim->sessions;
    session->link = &sim->sessions;
    if (session->next)
        session->next->link = &session->next;
    sim->sessions = session;
    net_conn_set_events(moved, &sim_session_events, session);
    sim->stats.connected++;
    sim->stats.connections++;
    if (!sim->frozen)
        sim_session_say(session, "* OK [CAPABILITY %s] simulated server\r\n",
                        sim->settings.capabilities);
    sim_counted(sim);
}
