#include "collect/connection.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "base/mem.h"
#include "collect/account.h"
#include "collect/deriver.h"
#include "collect/env.h"
#include "collect/journal.h"
#include "imap/refusal.h"
#include "net/conn.h"

enum {
    CONNECTION_LEAVE_DEADLINE = 5000,
    CONNECTION_PIECE = 65536, /* bytes that are a sign of life: so many within a deadline */
    /* Between two answers or pieces of bodies, these are believed: */
    CONNECTION_PIECES = 1024,
    CONNECTION_TALK = 20, /* untagged lines */
    CONNECTION_ALERTS = 3,
};

static void connection_had_token(struct token_wait *wait, struct token *moved_token, bool fresh,
                                 const struct err *err);

void connection_init(struct connection *connection, struct collect_env *env,
                     const struct collect_account *account, const struct log_scope *scope,
                     struct derived_key **kept, const struct connection_events *events, void *ctx)
{
    *connection = (struct connection){
        .env = env,
        .account = account,
        .scope = scope,
        .kept = kept,
        .events = events,
        .ctx = ctx,
        .wait.had = connection_had_token,
    };
}

void connection_close(struct connection *connection)
{
    token_wait_cancel(&connection->wait);
    derive_job_cancel(connection->deriving);
    connection->deriving = NULL;
    net_conn_close(connection->conn);
    connection->conn = NULL;
    imap_session_free(connection->session);
    connection->session = NULL;
    token_unref(connection->token);
    connection->token = NULL;
    connection->stalled = connection->securing = false;
    connection->ready = connection->leaving = false;
    connection->pieced = connection->pieces = connection->talk = 0;
}

/* A token that was refused is not used again. If it was an old one, a new one may do, at once;
 * only when that is refused too a person has to look. */
static void connection_drop_token(struct connection *connection, struct connection_end *end,
                                  struct err *ret_renewed)
{
    if (!connection->token || !imap_session_token_refused(connection->session))
        return;
    token_keeper_refused(connection->account->tokens, connection->token);
    if (connection->token_fresh || !end->err)
        return;
    err_set(ret_renewed, ERR_RETRY_LATER, "%.400s; it may have expired: a new one is asked for",
            end->err->text);
    end->err = ret_renewed;
}

/* What the session knows of it. */
static void connection_ask_session(struct connection *connection, struct connection_end *end,
                                   struct err *ret_renewed)
{
    struct imap_session *session = connection->session;
    if (!session) /* no token was to be had */
        return;
    end->hint = imap_session_suggested_pause(session);
    end->limited = imap_session_limited(session);
    end->broke_in_fetch = end->err && imap_session_broke_in_fetch(session, &end->broke_over);
    connection_drop_token(connection, end, ret_renewed);
}

void connection_fail(struct connection *connection, const struct err *err)
{
    struct connection_end end = {.err = connection->leaving ? NULL : err};
    struct err renewed;
    connection_ask_session(connection, &end, &renewed);
    connection_close(connection);
    connection->events->ended(connection->ctx, &end);
}

/* The server has `step_deadline` for its next answer, counted from the last one. */
static void connection_set_deadline(struct connection *connection)
{
    const char *waiting_for = imap_session_waiting_for(connection->session);
    msec_t deadline =
        connection->leaving ? CONNECTION_LEAVE_DEADLINE : connection->env->settings.step_deadline;
    if (connection->stalled || !waiting_for)
        deadline = 0;
    net_conn_set_deadline(connection->conn, deadline, waiting_for);
    connection->progressed = false;
}

void connection_flush(struct connection *connection)
{
    if (!connection->session)
        return;
    struct buf *output = imap_session_output(connection->session);
    if (output->len) {
        net_conn_write(connection->conn, output->data, output->len);
        mem_wipe(output->data, output->len);
        buf_clear(output);
        connection->progressed = true;
    }
    if (connection->progressed || connection->stalled)
        connection_set_deadline(connection);
}

void connection_leave(struct connection *connection)
{
    connection->leaving = true;
    imap_session_logout(connection->session);
}

/* "Must be presented to the user" (RFC 9051 section 7.1). */
static void connection_alert(struct connection *connection, const struct imap_response *response)
{
    char words[200];
    if (connection->alerts++ < CONNECTION_ALERTS)
        log_warning(connection->scope, "the server alerts: %s",
                    imap_refusal_words(words, sizeof words, response, &connection->credentials));
}

static void connection_data(struct connection *connection, const struct imap_response *response)
{
    if (response->type == IMAP_RESPONSE_STATUS && response->code == IMAP_CODE_ALERT)
        connection_alert(connection, response);
    if (!connection->events->data(connection->ctx, response))
        connection->stalled = true;
}

/* Nothing follows it but the end, and some servers leave even that to us. */
static void connection_goodbye(struct connection *connection, const struct imap_event *event)
{
    struct err err;
    if (connection->leaving)
        return;
    err_set(&err, ERR_RETRY_LATER, "the server said goodbye: %s", event->text);
    connection_fail(connection, &err);
}

/* An answer is progress. Of anything else that a server says the first words are a sign of life;
 * more of them, as single bytes now and then, are not, or a hostile server could hold a connection
 * for ever. */
static void connection_note_progress(struct connection *connection, const struct imap_event *event)
{
    bool body = event->type == IMAP_EVENT_DATA && event->response->type == IMAP_RESPONSE_BODY_DATA;
    if (event->type != IMAP_EVENT_DATA || body)
        connection->talk = connection->pieces = 0;
    if (event->type != IMAP_EVENT_DATA) {
        connection->progressed = true;
    } else if (!body && connection->talk < CONNECTION_TALK) {
        connection->talk++;
        connection->progressed = true;
    }
}

/* And so is a fair piece of what it says: a long list or search result may come over a slow line.
 */
static void connection_note_input(struct connection *connection, size_t len)
{
    connection->pieced += len;
    if (connection->pieced < CONNECTION_PIECE)
        return;
    connection->pieced = 0;
    connection->pieces++;
    connection->progressed = true;
}

/* The mailbox keeps the key, so that the next login costs nothing. */
static void connection_derived(void *ctx, const struct derived_key *key)
{
    struct connection *connection = ctx;
    connection->deriving = NULL;
    derived_key_keep(connection->kept, key);
    imap_session_derived(connection->session, key->key);
    connection->progressed = true;
    connection_flush(connection);
}

static void connection_derive(struct connection *connection,
                              const struct sasl_derivation *derivation)
{
    const struct derived_key *kept = *connection->kept;
    if (kept && sasl_derivation_equal(&kept->of, derivation))
        imap_session_derived(connection->session, kept->key);
    else
        connection->deriving =
            deriver_submit(connection->env->deriver, connection->account->host, derivation,
                           connection->credentials.password, connection_derived, connection);
}

/* What was proven is not asked for in a weaker way from now on, in later runs neither: unless
 * somebody writes that it is to be. A connection that cannot be bound to takes nothing from what is
 * asked of those that can. */
static void connection_note_login(struct connection *connection)
{
    struct collect_env *env = connection->env;
    const char *account = connection->account->label;
    enum imap_proof before = (enum imap_proof)state_proofs_get(&env->proofs, account), proof;
    const char *name = imap_session_mechanism(connection->session, &proof);
    log_debug(connection->scope, "logged in by %s", *name ? name : "PREAUTH");
    if (!*name || connection->credentials.access_token || proof == before ||
        (proof < before && connection->account->auth == IMAP_AUTH_AUTO))
        return;
    state_proofs_set(&env->proofs, account, proof);
    journal_add(
        env->journal, NULL,
        &(struct state_change){.type = STATE_SET_PROOF, .account = account, .proof = proof});
}

/* TLS stands: what tells it apart goes into the login (RFC 5056). */
static void connection_bind(struct connection *connection)
{
    struct net_tls_binding tls;
    if (!net_conn_tls_binding(connection->conn, &tls))
        return;
    struct sasl_binding binding = {.len = tls.len};
    static_assert(sizeof binding.data == sizeof tls.data, "one size");
    memcpy(binding.data, tls.data, sizeof binding.data);
    imap_session_bind(connection->session, &binding);
}

static void connection_event(struct connection *connection, const struct imap_event *event)
{
    connection_note_progress(connection, event);
    switch (event->type) {
    case IMAP_EVENT_STARTTLS:
        connection->securing = true;
        net_conn_start_tls(connection->conn, connection->account->tls, connection->account->host,
                           connection->env->settings.step_deadline);
        break;
    case IMAP_EVENT_DERIVE:
        connection_derive(connection, event->derivation);
        break;
    case IMAP_EVENT_READY:
        connection->ready = true;
        connection_note_login(connection);
        connection->events->ready(connection->ctx);
        break;
    case IMAP_EVENT_DONE:
        if (!connection->leaving)
            connection->events->done(connection->ctx, event);
        else if (!imap_session_pending(connection->session))
            connection_fail(connection, NULL); /* LOGOUT, the last one, is answered */
        break;
    case IMAP_EVENT_DATA:
        connection_data(connection, event->response);
        break;
    case IMAP_EVENT_BYE:
        connection_goodbye(connection, event);
        break;
    case IMAP_EVENT_IDLING:
        connection->events->idling(connection->ctx);
        break;
    }
}

/* Works on input until it is used up, the owner stalls or the connection is given up. Returns how
 * much of it was taken. */
static size_t connection_conn_data(void *ctx, const uint8_t *data, size_t len)
{
    struct connection *connection = ctx;
    struct imap_event event;
    struct err err;
    int got = 0;
    connection_note_input(connection, len);
    imap_session_feed(connection->session, data, len);
    while (connection->session && !connection->stalled &&
           (got = imap_session_next(connection->session, &event, &err)) > 0)
        connection_event(connection, &event);
    if (!connection->session)
        return len;
    if (got >= 0 && connection->pieces > CONNECTION_PIECES)
        got = err_set(&err, ERR_RETRY_LATER, "the server talks on and does not answer");
    if (got < 0) {
        connection_fail(connection, &err);
        return len;
    }
    size_t rest = imap_session_rest(connection->session);
    if (connection->stalled)
        net_conn_pause(connection->conn);
    else if (connection->ready && !connection->leaving)
        connection->events->pumped(connection->ctx);
    connection_flush(connection);
    return len - rest;
}

static void connection_conn_ready(void *ctx)
{
    struct connection *connection = ctx;
    connection_bind(connection);
    if (connection->securing)
        imap_session_secured(connection->session);
    else
        connection->events->connected(connection->ctx);
    connection->progressed = true;
    connection_flush(connection);
}

static void connection_conn_failed(void *ctx, const struct err *err)
{
    connection_fail(ctx, err);
}

static const struct net_conn_events connection_conn_events = {
    .ready = connection_conn_ready,
    .data = connection_conn_data,
    .failed = connection_conn_failed,
};

static void connection_connect(struct connection *connection)
{
    const struct collect_account *account = connection->account;
    connection->credentials = (struct sasl_credentials){
        .user = account->user,
        .password = account->password,
        .access_token = connection->token ? connection->token->text : NULL,
        .host = account->host,
        .port = account->port,
    };
    connection->session = imap_session_new(&(struct imap_session_settings){
        .security = account->security,
        .auth = account->auth,
        .credentials = connection->credentials,
        .before = (enum imap_proof)state_proofs_get(&connection->env->proofs, account->label),
        .verified = account->tls && net_tls_verifies(account->tls),
        .limits = imap_limits_default,
    });
    connection->conn =
        net_conn_open(connection->env->loop,
                      &(struct net_conn_target){
                          .host = account->host,
                          .port = account->port,
                          .tls = account->security == IMAP_SECURITY_IMPLICIT ? account->tls : NULL,
                          .deadline = connection->env->settings.step_deadline,
                      },
                      &connection_conn_events, connection);
}

static void connection_had_token(struct token_wait *wait, struct token *moved_token, bool fresh,
                                 const struct err *err)
{
    struct connection *connection =
        (struct connection *)((char *)wait - offsetof(struct connection, wait));
    if (!moved_token) {
        connection_fail(connection, err);
        return;
    }
    connection->token = moved_token;
    connection->token_fresh = fresh;
    connection_connect(connection);
}

void connection_open(struct connection *connection)
{
    if (connection->account->tokens)
        token_keeper_ask(connection->account->tokens, &connection->wait);
    else
        connection_connect(connection);
}

void connection_resume(struct connection *connection)
{
    if (!connection->session)
        return;
    connection->stalled = false;
    connection->progressed = true;
    net_conn_resume(connection->conn);
    connection_flush(connection);
}
