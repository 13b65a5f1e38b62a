/* A trap's connections and faults. */
#include "trap.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "net/conn.h"
#include "net/conn_impl.h"
#include "net/loop.h"

/* --- connections ------------------------------------------------------------------------------ */

static void trap_conn_free(struct trap_conn *conn)
{
    struct trap_conn **at = &conn->trap->conns;
    while (*at != conn)
        at = &(*at)->next;
    *at = conn->next;
    conn->trap->open--;
    buf_release(&conn->line);
    buf_release(&conn->unsaid);
    buf_release(&conn->unheard);
    buf_release(&conn->out);
    view_clear(&conn->view);
    free(conn->notify);
    free(conn);
}

static void trap_conn_close(struct trap_conn *conn, bool reset)
{
    struct linger now = {.l_onoff = 1};
    if (reset)
        setsockopt(conn->conn->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    net_conn_close(conn->conn);
    trap_conn_free(conn);
}

static void trap_conn_flush(struct trap_conn *conn)
{
    if (!conn->silent)
        net_conn_write(conn->conn, conn->out.data, conn->out.len);
    buf_release(&conn->out);
}

/* With the tag in place of "$". */
static void trap_add_text(struct trap_conn *conn, const char *text)
{
    for (const char *at = text ? text : ""; *at; at++)
        if (*at == '$')
            buf_add_str(&conn->out, conn->tag);
        else
            buf_add_byte(&conn->out, (uint8_t)*at);
}

/* --- faults ----------------------------------------------------------------------------------- */

void trap_fault(struct trap *trap, struct trap_fault fault)
{
    trap->faults = mem_realloc_array(trap->faults, trap->fault_count + 1, sizeof fault);
    trap->faults[trap->fault_count++] = fault;
}

void trap_mend(struct trap *trap)
{
    free(trap->faults);
    trap->faults = NULL;
    trap->fault_count = 0;
}

/* What is to go wrong with this line, as a copy: the calls may mend. False: nothing. */
static bool trap_find_fault(struct trap *trap, const char *line, struct trap_fault *ret_fault)
{
    for (size_t i = 0; i < trap->fault_count; i++) {
        struct trap_fault *fault = &trap->faults[i];
        if (!fault->on || !strstr(line, fault->on))
            continue;
        if (fault->skip) {
            fault->skip--;
            continue;
        }
        *ret_fault = *fault;
        if (fault->times && !--fault->times)
            fault->on = NULL;
        return true;
    }
    return false;
}

/* Only what is before `text` in the answer. */
static void trap_cut_answer(struct trap_conn *conn, const char *text)
{
    const uint8_t *at = memmem(conn->out.data, conn->out.len, text, strlen(text));
    if (!at)
        fail_msg("%s: \"%s\" is not in the answer: %s", conn->trap->account.label, text,
                 buf_cstr(&conn->out));
    size_t len = (size_t)(at - conn->out.data);
    buf_add(&conn->unsaid, at, conn->out.len - len);
    conn->out.len = len;
}

/* Says `line`'s answer, which `run` gives, or what goes wrong with it. False: the connection is
 * gone. */
static bool trap_act(struct trap_conn *conn, const char *line,
                     void (*run)(struct trap_conn *conn, const char *line))
{
    struct trap_fault fault;
    if (!trap_find_fault(conn->trap, line, &fault)) {
        run(conn, line);
        trap_conn_flush(conn);
        return true;
    }
    if (fault.call && !fault.late)
        fault.call(conn);
    bool answered = fault.act == TRAP_BEFORE || fault.act == TRAP_AFTER || fault.act == TRAP_CALL ||
                    fault.act == TRAP_CUT || fault.act == TRAP_CUT_CLOSE;
    if (fault.act == TRAP_BEFORE || fault.act == TRAP_ANSWER)
        trap_add_text(conn, fault.text);
    if (answered)
        run(conn, line);
    if (fault.call && fault.late)
        fault.call(conn);
    if (fault.act == TRAP_AFTER)
        trap_add_text(conn, fault.text);
    if (fault.act == TRAP_CUT || fault.act == TRAP_CUT_CLOSE)
        trap_cut_answer(conn, fault.text);
    trap_conn_flush(conn);
    conn->silent = fault.act == TRAP_SILENCE || fault.act == TRAP_CUT;
    if (fault.act != TRAP_CLOSE && fault.act != TRAP_RESET && fault.act != TRAP_CUT_CLOSE)
        return true;
    trap_conn_close(conn, fault.act == TRAP_RESET);
    return false;
}

/* --- lines ------------------------------------------------------------------------------------ */

/* The line ends in "{5}" or "{5+}": that many bytes belong to it, too. */
static bool trap_awaits_literal(struct trap_conn *conn)
{
    const char *line = buf_cstr(&conn->line), *brace = strrchr(line, '{');
    char *end;
    if (!brace)
        return false;
    conn->literal = strtoul(brace + 1, &end, 10);
    bool waits = *end == '}';
    if (strcmp(end, waits ? "}\r\n" : "+}\r\n") != 0) {
        conn->literal = 0;
        return false;
    }
    if (waits) {
        buf_add_str(&conn->out, "+ go on\r\n");
        trap_conn_flush(conn);
    }
    return true;
}

static void trap_run_line(struct trap_conn *conn, const char *line)
{
    if (conn->asked)
        trap_authenticated(conn);
    else if (conn->idling && strcmp(line, "DONE") == 0)
        trap_idle_end(conn);
    else
        trap_command(conn, line);
}

/* A whole command, with its end. False: the connection is gone. */
static bool trap_take_line(struct trap_conn *conn)
{
    char *line = mem_strdup(buf_cstr(&conn->line));
    line[conn->line.len - (conn->line.len > 1 && line[conn->line.len - 2] == '\r' ? 2 : 1)] = '\0';
    buf_clear(&conn->line);
    const char *rest = line;
    if (!conn->asked && !conn->idling) {
        size_t len = strcspn(line, " ");
        snprintf(conn->tag, sizeof conn->tag, "%.*s", (int)len, line);
        rest += len + (line[len] == ' ');
    }
    buf_printf(&conn->trap->log, "%u %s\n", conn->number, conn->asked ? "(secret)" : rest);
    bool stands = trap_act(conn, rest, trap_run_line);
    free(line);
    return stands;
}

static size_t trap_data(void *ctx, const uint8_t *data, size_t len)
{
    struct trap_conn *conn = ctx;
    for (size_t i = 0; i < len; i++) {
        if (conn->silent) {
            buf_add(&conn->unheard, data + i, len - i);
            return len;
        }
        buf_add_byte(&conn->line, data[i]);
        bool hasty = conn->idling && conn->trap->hasty;
        if (conn->literal)
            conn->literal--;
        else if (data[i] == '\n' && !trap_awaits_literal(conn) && !trap_take_line(conn))
            return len;
        if (hasty && !conn->idling) {
            conn->trap->unread += i + 1 < len;
            return len;
        }
    }
    return len;
}

static void trap_failed(void *ctx, const struct err *err)
{
    struct trap_conn *conn = ctx;
    (void)err;
    net_conn_close(conn->conn);
    trap_conn_free(conn);
}

static const struct net_conn_events trap_events = {.data = trap_data, .failed = trap_failed};

static void trap_greet(struct trap_conn *conn, const char *line)
{
    (void)line;
    buf_printf(&conn->out, "* OK [CAPABILITY IMAP4rev1 %s] ready\r\n", conn->trap->caps);
}

static void trap_accepted(void *ctx, struct net_conn *net)
{
    struct trap *trap = ctx;
    struct trap_conn *conn = mem_new(struct trap_conn);
    *conn = (struct trap_conn){
        .trap = trap, .conn = net, .next = trap->conns, .number = ++trap->connections};
    trap->conns = conn;
    trap->came = mem_realloc_array(trap->came, conn->number, sizeof *trap->came);
    trap->came[conn->number - 1] = net_loop_now(trap->loop);
    if (++trap->open > trap->open_most)
        trap->open_most = trap->open;
    net_conn_set_events(net, &trap_events, conn);
    trap_act(conn, "greeting", trap_greet);
}

static const struct net_listener_events trap_listener_events = {.accepted = trap_accepted};

/* --- the trap --------------------------------------------------------------------------------- */

void trap_return(struct trap *trap)
{
    struct err err;
    if (net_listener_new(trap->loop, "127.0.0.1", trap->port, trap->tls, &trap_listener_events,
                         trap, &trap->listener, &err))
        fail_msg("%s", err.text);
    trap->port = net_listener_port(trap->listener);
}

void trap_leave(struct trap *trap)
{
    net_listener_free(trap->listener);
    trap->listener = NULL;
}

struct trap *trap_new(struct net_loop *loop, const char *label)
{
    struct trap *trap = mem_new(struct trap);
    trap->loop = loop;
    trap->caps = "IDLE UIDPLUS MOVE ESEARCH SPECIAL-USE";
    trap_return(trap);
    trap_add_box(trap, "INBOX", "");
    trap->folders[0] = "INBOX";
    trap->account = (struct collect_account){
        .label = label,
        .host = "127.0.0.1",
        .port = trap->port,
        .security = IMAP_SECURITY_NONE,
        .user = "user",
        .password = "password",
        .folders = trap->folders,
        .folder_count = 1,
        .idle = true,
        .poll_interval = 60 * 1000,
        .idle_refresh = 5 * 60 * 1000,
        .max_connections = 2,
    };
    return trap;
}

void trap_free(struct trap *trap)
{
    trap_leave(trap);
    while (trap->conns)
        trap_conn_close(trap->conns, false);
    for (struct box *box = trap->boxes, *next; box; box = next) {
        next = box->next;
        box_free(box);
    }
    trap_mend(trap);
    buf_release(&trap->log);
    free(trap->came);
    free(trap);
}

struct box *trap_box(const struct trap *trap, const char *name)
{
    for (struct box *box = trap->boxes; box; box = box->next)
        if (strcmp(box->name, name) == 0)
            return box;
    return NULL;
}

struct box *trap_add_box(struct trap *trap, const char *name, const char *attrs)
{
    static uint32_t uidvalidity = 1000; /* no two boxes that ever were have the same */
    struct box *box = box_new(name, attrs, ++uidvalidity), **end = &trap->boxes;
    while (*end)
        end = &(*end)->next;
    *end = box;
    return box;
}

void trap_remove_box(struct trap *trap, const char *name)
{
    struct box **at = &trap->boxes;
    while (strcmp((*at)->name, name) != 0)
        at = &(*at)->next;
    struct box *box = *at;
    for (struct trap_conn *conn = trap->conns, *next; conn; conn = next) {
        next = conn->next;
        if (conn->box == box)
            trap_conn_close(conn, false);
    }
    *at = box->next;
    box_free(box);
}

static void trap_changed(struct trap *trap, const struct box *box)
{
    for (struct trap_conn *conn = trap->conns; conn; conn = conn->next) {
        trap_tell(conn, box);
        trap_conn_flush(conn);
    }
}

static struct box *trap_existing_box(const struct trap *trap, const char *name)
{
    struct box *box = trap_box(trap, name);
    if (!box)
        fail_msg("%s has no folder %s", trap->account.label, name);
    return box;
}

uint32_t trap_deliver(struct trap *trap, const char *name, const char *body)
{
    struct box *box = trap_existing_box(trap, name);
    uint32_t uid = box_add(box, body, "");
    trap_changed(trap, box);
    return uid;
}

void trap_expunge(struct trap *trap, const char *name, uint32_t uid)
{
    struct box *box = trap_existing_box(trap, name);
    box_remove(box, uid);
    trap_changed(trap, box);
}

void trap_empty(struct trap_conn *conn)
{
    const struct box *box = trap_box(conn->trap, "INBOX");
    while (box->count)
        trap_expunge(conn->trap, "INBOX", box->letters[0].uid);
}

void trap_store(struct trap *trap, const char *name, uint32_t uid, const char *flags)
{
    struct letter *letter = box_find(trap_existing_box(trap, name), uid);
    letter_store(letter, '+', flags);
    for (struct trap_conn *conn = trap->conns; conn; conn = conn->next) {
        size_t number = conn->box && conn->box == trap_box(trap, name) && conn->idling
                            ? view_number(&conn->view, uid)
                            : 0;
        if (number)
            buf_printf(&conn->out, "* %zu FETCH (FLAGS (%s))\r\n", number, letter->flags);
        trap_conn_flush(conn);
    }
}

void trap_say(struct trap *trap, const char *text)
{
    for (struct trap_conn *conn = trap->conns; conn; conn = conn->next) {
        buf_add_str(&conn->out, text);
        trap_conn_flush(conn);
    }
}

void trap_end_idle(struct trap *trap)
{
    for (struct trap_conn *conn = trap->conns; conn; conn = conn->next) {
        if (!conn->idling)
            continue;
        conn->idling = false;
        trap_add_text(conn, "$ OK idled enough\r\n");
        trap_conn_flush(conn);
    }
}

void trap_cut_off(struct trap *trap, bool reset)
{
    while (trap->conns)
        trap_conn_close(trap->conns, reset);
}

void trap_go_on(struct trap *trap)
{
    for (struct trap_conn *conn = trap->conns, *next; conn; conn = next) {
        struct buf heard = conn->unheard;
        next = conn->next;
        conn->unheard = (struct buf){0};
        conn->silent = false;
        buf_add(&conn->out, conn->unsaid.data, conn->unsaid.len);
        buf_release(&conn->unsaid);
        trap_conn_flush(conn);
        trap_data(conn, heard.data, heard.len);
        buf_release(&heard);
    }
}

void trap_freeze(struct trap *trap)
{
    for (struct trap_conn *conn = trap->conns; conn; conn = conn->next)
        conn->silent = true;
}

unsigned trap_idling(const struct trap *trap)
{
    unsigned idling = 0;
    for (struct trap_conn *conn = trap->conns; conn; conn = conn->next)
        idling += conn->idling && !conn->silent;
    return idling;
}

unsigned trap_count(const struct trap *trap, const char *part)
{
    struct buf copy = {0};
    unsigned count = 0;
    buf_add(&copy, trap->log.data, trap->log.len);
    char *rest = NULL;
    for (char *line = strtok_r(buf_cstr(&copy), "\n", &rest); line;
         line = strtok_r(NULL, "\n", &rest))
        count += strstr(line, part) != NULL;
    buf_release(&copy);
    return count;
}
