#include "imap/session.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "imap/command.h"
#include "imap/login.h"
#include "imap/refusal.h"

struct imap_session {
    struct imap_parser *parser;
    struct imap_login login;
    struct sasl_credentials credentials;
    struct imap_commands commands;
    uint64_t pause;
    bool limited;
    bool over;     /* refused, attacked or broken: only failures from here on */
    bool injected; /* bytes came in the clear where TLS was to begin */
    bool bye;
    const struct imap_response *response; /* the parser's, being looked at */
};

struct imap_session *imap_session_new(const struct imap_session_settings *settings)
{
    struct imap_session *session = mem_new(struct imap_session);
    session->parser = imap_parser_new(&settings->limits);
    session->credentials = settings->credentials;
    imap_login_init(&session->login, settings, &session->credentials);
    return session;
}

void imap_session_free(struct imap_session *session)
{
    if (!session)
        return;
    imap_parser_free(session->parser);
    imap_login_release(&session->login);
    imap_commands_release(&session->commands);
    free(session);
}

void imap_session_feed(struct imap_session *session, const uint8_t *data, size_t len)
{
    imap_commands_tidy(&session->commands);
    if (session->login.state == IMAP_LOGIN_TLS)
        session->injected = session->injected || len;
    else
        imap_parser_feed(session->parser, data, len);
}

size_t imap_session_rest(const struct imap_session *session)
{
    return imap_parser_rest(session->parser);
}

static int imap_session_event(struct imap_event *event, enum imap_event_type type)
{
    event->type = type;
    event->command = 0;
    event->status = IMAP_OK;
    event->code = IMAP_CODE_NONE;
    event->code_number = 0;
    event->code_uid = 0;
    event->text[0] = '\0';
    event->action = ERR_RETRY_LATER;
    event->response = NULL;
    event->derivation = NULL;
    return 1;
}

/* An event that carries a status response's code and words. */
static int imap_session_status_event(const struct imap_session *session, struct imap_event *event,
                                     enum imap_event_type type,
                                     const struct imap_response *response)
{
    imap_session_event(event, type);
    event->status = response->status;
    event->code = response->code;
    event->code_number = response->number;
    event->code_uid = response->code_uid;
    event->action = imap_refusal_action(response);
    imap_refusal_words(event->text, sizeof event->text, response, &session->credentials);
    return 1;
}

static int imap_session_data_event(struct imap_event *event, const struct imap_response *response)
{
    imap_session_event(event, IMAP_EVENT_DATA);
    event->response = response;
    return 1;
}

/* TLS begins with the next byte, so this must have been the last one in the clear: what follows
 * in the same input was put there by somebody else, or by a broken server. */
static int imap_session_tls_event(struct imap_session *session, struct imap_event *event,
                                  struct err *err)
{
    if (imap_parser_rest(session->parser))
        return err_set(err, ERR_RETRY_LATER,
                       "bytes in the clear follow the answer to STARTTLS: an attack, or a broken "
                       "server");
    return imap_session_event(event, IMAP_EVENT_STARTTLS);
}

/* From a step of the login to an event: 1, 0 or -1 as imap_session_next() returns. */
static int imap_session_step(struct imap_session *session, int step, struct imap_event *event,
                             struct err *err)
{
    switch (step) {
    case IMAP_LOGIN_MORE:
        return 0;
    case IMAP_LOGIN_STEP_TLS:
        return imap_session_tls_event(session, event, err);
    case IMAP_LOGIN_STEP_DERIVE:
        imap_session_event(event, IMAP_EVENT_DERIVE);
        event->derivation = sasl_client_derivation(session->login.sasl);
        return 1;
    case IMAP_LOGIN_STEP_READY:
        return imap_session_event(event, IMAP_EVENT_READY);
    default:
        return -1;
    }
}

/* What every status response may bring, tagged or not. */
static void imap_session_note(struct imap_session *session, const struct imap_response *response)
{
    if (response->status == IMAP_OK || response->status == IMAP_PREAUTH) {
        if (response->code == IMAP_CODE_CAPABILITY)
            imap_login_learn(&session->login, response->caps);
        if (response->tagged) {
            session->pause = 0;
            session->limited = false;
        }
        return;
    }
    /* What went out behind a refused SELECT is refused, too, in words that say nothing. */
    session->limited = session->limited || imap_refusal_limited(response);
    uint64_t pause = imap_refusal_pause(response);
    if (pause)
        session->pause = pause;
}

/* The server ended IDLE by itself while our DONE was on its way, and took that for a command. */
static bool imap_session_crossed(const struct imap_session *session)
{
    return session->login.state == IMAP_LOGIN_READY && session->response->status != IMAP_OK &&
           strcmp(session->response->tag, "DONE") == 0;
}

static int imap_session_tagged(struct imap_session *session, struct imap_event *event,
                               struct err *err)
{
    const struct imap_response *response = session->response;
    struct imap_command *command = imap_commands_by_tag(&session->commands, response->tag);
    if (imap_session_crossed(session))
        return 0;
    if (!command || !imap_command_answerable(&session->commands, command, response->status))
        return err_set(err, ERR_RETRY_LATER,
                       "the server answers a command that was not sent: an attack, or a broken "
                       "server");
    enum imap_command_kind kind = command->kind;
    uint32_t number = command->number;
    imap_commands_finish(&session->commands, command);
    imap_session_note(session, response);
    if (kind == IMAP_COMMAND_ID)
        return 0;
    if (imap_command_internal(kind)) {
        int step = imap_login_answered(&session->login, &session->commands, kind, response, err);
        return imap_session_step(session, step, event, err);
    }
    imap_session_status_event(session, event, IMAP_EVENT_DONE, response);
    event->command = number;
    return 1;
}

static int imap_session_continued(struct imap_session *session, struct imap_event *event,
                                  struct err *err)
{
    struct imap_commands *commands = &session->commands;
    struct imap_command *command = imap_commands_awaiting(commands);
    /* Some servers say it again during IDLE to show that they are alive: it is not for what went
     * out behind that. */
    struct imap_command *idle = imap_commands_by_kind(commands, IMAP_COMMAND_IDLE);
    if (idle && (!command || idle->number < command->number))
        return 0;
    if (!command || !imap_command_sent(commands, command))
        return err_set(err, ERR_RETRY_LATER, "the server says \"+\" where nothing waits for it");
    if (command->kind == IMAP_COMMAND_AUTHENTICATE) {
        int step =
            imap_login_challenged(&session->login, commands, command, session->response, err);
        return imap_session_step(session, step, event, err);
    }
    bool watching = command->open;
    uint32_t number = command->number;
    imap_commands_continue(commands, command);
    if (!watching)
        return 0;
    imap_session_event(event, IMAP_EVENT_IDLING);
    event->command = number;
    return 1;
}

/* What the login has no use for, but a person may have. Words that anybody could have slipped in
 * before TLS stood are not passed on (RFC 9051 section 11.1), nor those that repeat secrets. */
static bool imap_session_alert(const struct imap_session *session)
{
    const struct imap_response *response = session->response;
    return response->type == IMAP_RESPONSE_STATUS && response->code == IMAP_CODE_ALERT &&
           imap_login_trusted(&session->login) && session->login.state != IMAP_LOGIN_AUTH;
}

static int imap_session_untagged(struct imap_session *session, struct imap_event *event,
                                 struct err *err)
{
    const struct imap_response *response = session->response;
    bool status = response->type == IMAP_RESPONSE_STATUS;
    if (status)
        imap_session_note(session, response);
    if (response->type == IMAP_RESPONSE_CAPABILITY)
        imap_login_learn(&session->login, response->caps);
    if (session->login.state != IMAP_LOGIN_READY) {
        int step = imap_login_untagged(&session->login, &session->commands, response, err);
        if (step == IMAP_LOGIN_MORE && imap_session_alert(session))
            return imap_session_data_event(event, response);
        return imap_session_step(session, step, event, err);
    }
    if (status && response->status == IMAP_PREAUTH)
        return err_set(err, ERR_RETRY_LATER, "the server says PREAUTH after its greeting");
    if (status && response->status == IMAP_BYE) {
        bool again = session->bye;
        session->bye = true;
        return again ? 0 : imap_session_status_event(session, event, IMAP_EVENT_BYE, response);
    }
    return imap_session_data_event(event, response);
}

static int imap_session_dispatch(struct imap_session *session, struct imap_event *event,
                                 struct err *err)
{
    const struct imap_response *response = session->response;
    if (session->bye && !imap_commands_by_kind(&session->commands, IMAP_COMMAND_LOGOUT))
        return 0;
    if (response->type == IMAP_RESPONSE_CONTINUE)
        return imap_session_continued(session, event, err);
    if (response->type == IMAP_RESPONSE_STATUS && response->tagged)
        return imap_session_tagged(session, event, err);
    return imap_session_untagged(session, event, err);
}

/* The parser gave up, and its error may quote the server. Who has just been told the password
 * may repeat it, in a form that cannot be known: nothing is quoted. At other times it is, but for
 * the forms that are. */
static int imap_session_broken(const struct imap_session *session, struct err *err)
{
    enum imap_login_state state = session->login.state;
    const char *secret = imap_refusal_shows(err->text, &session->credentials);
    if (state == IMAP_LOGIN_AUTH || state == IMAP_LOGIN_CAPABILITY_AGAIN)
        err_set(err, ERR_RETRY_LATER, "the server breaks the protocol during the login");
    else if (secret)
        err_set(err, ERR_RETRY_LATER,
                "the server broke the IMAP protocol (its words repeat the %s)", secret);
    return -1;
}

int imap_session_next(struct imap_session *session, struct imap_event *ret_event, struct err *err)
{
    if (session->over)
        return err_set(err, ERR_RETRY_LATER, "the session is over");
    int got = 0;
    if (session->injected)
        got = err_set(err, ERR_RETRY_LATER,
                      "bytes in the clear where TLS was to begin: an attack, or a broken server");
    while (got == 0) {
        got = imap_parser_next(session->parser, &session->response, err);
        if (got == 0)
            return 0;
        got = got > 0 ? imap_session_dispatch(session, ret_event, err)
                      : imap_session_broken(session, err);
    }
    session->over = got < 0;
    return got;
}

struct buf *imap_session_output(struct imap_session *session)
{
    return &session->commands.output;
}

const char *imap_session_waiting_for(const struct imap_session *session)
{
    switch (session->login.state) {
    case IMAP_LOGIN_GREETING:
        return "the greeting";
    case IMAP_LOGIN_TLS:
        return "the TLS handshake";
    default:
        return session->login.deriving ? NULL : imap_commands_waiting_for(&session->commands);
    }
}

void imap_session_secured(struct imap_session *session)
{
    if (session->login.state == IMAP_LOGIN_TLS && !session->injected && !session->over)
        imap_login_secured(&session->login, &session->commands);
}

void imap_session_bind(struct imap_session *session, const struct sasl_binding *binding)
{
    imap_login_bind(&session->login, binding);
}

void imap_session_derived(struct imap_session *session, const uint8_t *key)
{
    if (!session->over)
        imap_login_derived(&session->login, &session->commands, key);
}

const char *imap_session_mechanism(const struct imap_session *session, enum imap_proof *ret_proof)
{
    const struct imap_login *login = &session->login;
    *ret_proof = login->way ? login->way->proof : IMAP_PROOF_NONE;
    if (login->way)
        return sasl_mechanism_name(login->way->mechanism);
    return login->entered ? "LOGIN" : "";
}

unsigned imap_session_caps(const struct imap_session *session)
{
    return session->login.caps;
}

bool imap_session_broke_in_fetch(const struct imap_session *session, uint32_t *ret_uid)
{
    return imap_parser_broke_in_fetch(session->parser, ret_uid);
}

unsigned imap_session_pending(const struct imap_session *session)
{
    unsigned pending = 0;
    for (size_t i = 0; i < session->commands.count; i++)
        pending += !imap_command_internal(session->commands.list[i].kind);
    return pending;
}

uint64_t imap_session_suggested_pause(const struct imap_session *session)
{
    return session->pause;
}

bool imap_session_limited(const struct imap_session *session)
{
    return session->limited;
}

bool imap_session_token_refused(const struct imap_session *session)
{
    return session->login.token_refused;
}

/* "NAME argument", or "NAME" alone. */
static uint32_t imap_session_issue(struct imap_session *session, enum imap_command_kind kind,
                                   const char *argument)
{
    struct buf args = {0};
    if (argument)
        buf_add_byte(&args, ' ');
    buf_add_str(&args, argument ? argument : "");
    return imap_commands_issue(&session->commands, kind, &args);
}

/* A command about one mailbox: "NAME mailbox more". */
static uint32_t imap_session_issue_mailbox(struct imap_session *session,
                                           enum imap_command_kind kind, const char *mailbox,
                                           const char *more)
{
    struct buf args = {0};
    imap_args_add_string(&args, session->login.caps, mailbox);
    buf_add_str(&args, more);
    return imap_commands_issue(&session->commands, kind, &args);
}

/* A command about a set of messages: "NAME set more". */
static uint32_t imap_session_issue_set(struct imap_session *session, enum imap_command_kind kind,
                                       const char *set, const char *more)
{
    struct buf args = {0};
    buf_add_byte(&args, ' ');
    buf_add_str(&args, set);
    buf_add_byte(&args, ' ');
    buf_add_str(&args, more);
    return imap_commands_issue(&session->commands, kind, &args);
}

/* "NAME set mailbox" */
static uint32_t imap_session_issue_transfer(struct imap_session *session,
                                            enum imap_command_kind kind, const char *set,
                                            const char *mailbox)
{
    struct buf args = {0};
    buf_add_byte(&args, ' ');
    buf_add_str(&args, set);
    imap_args_add_string(&args, session->login.caps, mailbox);
    return imap_commands_issue(&session->commands, kind, &args);
}

uint32_t imap_session_select(struct imap_session *session, const char *mailbox, bool read_only)
{
    return imap_session_issue_mailbox(
        session, read_only ? IMAP_COMMAND_EXAMINE : IMAP_COMMAND_SELECT, mailbox, "");
}

uint32_t imap_session_uid_search(struct imap_session *session, const char *criteria)
{
    /* RFC 4731: ranges instead of every number, which is what a full mailbox needs. */
    if (session->login.caps & IMAP_CAP_ESEARCH)
        return imap_session_issue_set(session, IMAP_COMMAND_UID_SEARCH, "RETURN (ALL)", criteria);
    return imap_session_issue(session, IMAP_COMMAND_UID_SEARCH, criteria);
}

uint32_t imap_session_uid_fetch(struct imap_session *session, const char *set, const char *items)
{
    return imap_session_issue_set(session, IMAP_COMMAND_UID_FETCH, set, items);
}

uint32_t imap_session_uid_store(struct imap_session *session, const char *set, const char *change)
{
    return imap_session_issue_set(session, IMAP_COMMAND_UID_STORE, set, change);
}

uint32_t imap_session_uid_copy(struct imap_session *session, const char *set, const char *mailbox)
{
    return imap_session_issue_transfer(session, IMAP_COMMAND_UID_COPY, set, mailbox);
}

uint32_t imap_session_uid_move(struct imap_session *session, const char *set, const char *mailbox)
{
    return imap_session_issue_transfer(session, IMAP_COMMAND_UID_MOVE, set, mailbox);
}

uint32_t imap_session_uid_expunge(struct imap_session *session, const char *set)
{
    return imap_session_issue(session, IMAP_COMMAND_UID_EXPUNGE, set);
}

uint32_t imap_session_expunge(struct imap_session *session)
{
    return imap_session_issue(session, IMAP_COMMAND_EXPUNGE, NULL);
}

uint32_t imap_session_list(struct imap_session *session, bool plain)
{
    unsigned caps = session->login.caps;
    unsigned extended = IMAP_CAP_LIST_EXTENDED | IMAP_CAP_SPECIAL_USE;
    if (!plain && (caps & extended) == extended)
        return imap_session_issue(session, IMAP_COMMAND_LIST, "\"\" \"*\" RETURN (SPECIAL-USE)");
    bool xlist = !plain && caps & IMAP_CAP_XLIST && !(caps & IMAP_CAP_SPECIAL_USE);
    return imap_session_issue(session, xlist ? IMAP_COMMAND_XLIST : IMAP_COMMAND_LIST,
                              "\"\" \"*\"");
}

uint32_t imap_session_status(struct imap_session *session, const char *mailbox)
{
    return imap_session_issue_mailbox(session, IMAP_COMMAND_STATUS, mailbox,
                                      " (MESSAGES UNSEEN UIDNEXT UIDVALIDITY)");
}

uint32_t imap_session_notify(struct imap_session *session, const char *const *mailboxes,
                             size_t count)
{
    /* RFC 5465 section 8: "notify-add". Of new mails nothing is fetched with the event. */
    static const char events[] = " (MessageNew MessageExpunge))";
    struct buf args = {0};
    buf_add_str(&args, " SET (selected");
    buf_add_str(&args, events);
    if (count) {
        buf_add_str(&args, " (mailboxes");
        imap_args_add_strings(&args, session->login.caps, mailboxes, count);
        buf_add_str(&args, events);
    }
    return imap_commands_issue(&session->commands, IMAP_COMMAND_NOTIFY, &args);
}

uint32_t imap_session_create(struct imap_session *session, const char *mailbox)
{
    return imap_session_issue_mailbox(session, IMAP_COMMAND_CREATE, mailbox, "");
}

uint32_t imap_session_noop(struct imap_session *session)
{
    return imap_session_issue(session, IMAP_COMMAND_NOOP, NULL);
}

uint32_t imap_session_logout(struct imap_session *session)
{
    return imap_session_issue(session, IMAP_COMMAND_LOGOUT, NULL);
}

uint32_t imap_session_idle(struct imap_session *session)
{
    return imap_session_issue(session, IMAP_COMMAND_IDLE, NULL);
}

void imap_session_idle_end(struct imap_session *session)
{
    struct imap_command *idle = imap_commands_open(&session->commands);
    if (!idle)
        return;
    struct buf done = {0};
    buf_add_str(&done, "DONE\r\n");
    idle->open = false;
    imap_commands_add(&session->commands, idle, &done);
}
