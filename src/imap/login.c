#include "imap/login.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/mem.h"
#include "base/text.h"
#include "imap/refusal.h"

enum {
    /* A server that talks on and on without letting anybody in is no mail server. */
    IMAP_LOGIN_UNTAGGED_MAX = 1000
};

void imap_login_init(struct imap_login *login, const struct imap_session_settings *settings,
                     const struct sasl_credentials *credentials)
{
    *login = (struct imap_login){
        .state = IMAP_LOGIN_GREETING,
        .security = settings->security,
        .auth = settings->auth,
        .before = settings->before,
        .verified = settings->verified,
        .secured = settings->security == IMAP_SECURITY_IMPLICIT,
        .credentials = credentials,
    };
}

/* The mechanism's copies of secrets have done their work. */
static void imap_login_forget(struct imap_login *login)
{
    sasl_client_free(login->sasl);
    login->sasl = NULL;
    free(login->binding);
    login->binding = NULL;
    login->deriving = false;
}

void imap_login_release(struct imap_login *login)
{
    imap_login_forget(login);
    free(login->why);
}

void imap_login_learn(struct imap_login *login, unsigned caps)
{
    login->caps = imap_caps_complete(caps);
    login->caps_known = true;
}

bool imap_login_trusted(const struct imap_login *login)
{
    return login->secured || login->security == IMAP_SECURITY_NONE;
}

static void imap_login_issue(struct imap_login *login, struct imap_commands *commands,
                             enum imap_login_state state, enum imap_command_kind kind)
{
    struct buf none = {0};
    imap_commands_issue(commands, kind, &none);
    login->state = state;
}

/* RFC 2971; some servers let only those in who say who they are ("NO SELECT Unsafe Login"). Its
 * answer is not waited for: what matters is that it comes before SELECT. */
static void imap_login_issue_id(const struct imap_login *login, struct imap_commands *commands)
{
    if (!(login->caps & IMAP_CAP_ID) || imap_commands_by_kind(commands, IMAP_COMMAND_ID))
        return;
    struct buf args = {0};
    buf_add_str(&args, " (\"name\" \"imap-collector\" \"version\" \"" PROJECT_VERSION "\")");
    imap_commands_issue(commands, IMAP_COMMAND_ID, &args);
}

static int imap_login_ready(struct imap_login *login)
{
    imap_login_forget(login);
    login->state = IMAP_LOGIN_READY;
    return IMAP_LOGIN_STEP_READY;
}

/* Logged in. Capabilities may differ from those before (RFC 9051 section 6.2), so only those said
 * since then count. */
static int imap_login_entered(struct imap_login *login, struct imap_commands *commands)
{
    if (!login->caps_known)
        imap_login_issue(login, commands, IMAP_LOGIN_CAPABILITY_AGAIN, IMAP_COMMAND_CAPABILITY);
    imap_login_issue_id(login, commands);
    return login->caps_known ? imap_login_ready(login) : IMAP_LOGIN_MORE;
}

/* "AUTHENTICATE PLAIN", with the first answer on the same line where SASL-IR allows. */
static int imap_login_authenticate(struct imap_login *login, struct imap_commands *commands,
                                   struct err *err)
{
    struct buf args = {0}, answer = {0};
    bool at_once = login->caps & IMAP_CAP_SASL_IR && sasl_client_first(login->sasl);
    int result = 0;
    if (at_once)
        result = sasl_client_step(login->sasl, NULL, 0, &answer, err);
    if (result < 0)
        goto out;
    buf_reserve_exact(&args, 32 + answer.len / 3 * 4 + 4);
    buf_add_byte(&args, ' ');
    buf_add_str(&args, sasl_mechanism_name(login->way->mechanism));
    if (at_once) {
        buf_add_byte(&args, ' ');
        base64_encode(&args, answer.data, answer.len);
    }
    imap_commands_issue(commands, IMAP_COMMAND_AUTHENTICATE, &args);
out:
    mem_wipe(answer.data, answer.cap);
    buf_release(&answer);
    return result;
}

static const char *imap_login_text(const char *text)
{
    return text ? text : "";
}

static int imap_login_command(struct imap_login *login, struct imap_commands *commands)
{
    struct buf args = {0};
    /* Enough for both in any form: growing would leave copies behind. */
    const char *user = imap_login_text(login->credentials->user);
    const char *password = imap_login_text(login->credentials->password);
    buf_reserve_exact(&args, 2 * (strlen(user) + strlen(password)) + 64);
    imap_args_add_string(&args, login->caps, user);
    imap_args_add_string(&args, login->caps, password);
    imap_commands_issue(commands, IMAP_COMMAND_LOGIN, &args);
    return 0;
}

/* Takes the best way that can carry the credentials. 1: none is offered. */
static int imap_login_choose(struct imap_login *login, const struct imap_way_choice *choice,
                             struct err *err)
{
    int result = 1;
    login->way = NULL;
    while ((login->way = imap_way_next(choice, login->way))) {
        result = sasl_client_new(login->way->mechanism, login->credentials,
                                 login->way->proof == IMAP_PROOF_BOUND ? login->binding : NULL,
                                 &login->sasl, err);
        /* Passwords that SASLprep does not take are nothing for SCRAM, but may be for the rest. */
        if (result == 0 || !login->way->proof || login->auth != IMAP_AUTH_AUTO)
            return result;
    }
    return result < 0 && !imap_way_command(choice) ? result : 1;
}

/* The best way in that both sides have. The only place from which credentials leave. */
static int imap_login_enter(struct imap_login *login, struct imap_commands *commands,
                            struct err *err)
{
    struct imap_way_choice choice = {
        .auth = login->auth,
        .caps = login->caps,
        .token = login->credentials->access_token,
        .binding = login->binding,
        .before = login->before,
        .verified = login->verified,
    };
    if (!imap_login_trusted(login))
        return err_set(err, ERR_GIVE_UP, "no TLS: the password is not sent in the clear");
    int result = imap_login_choose(login, &choice, err);
    if (result > 0 && !imap_way_command(&choice))
        return imap_way_none(&choice, login->secured, err);
    if (result >= 0)
        result = login->way ? imap_login_authenticate(login, commands, err)
                            : imap_login_command(login, commands);
    if (result < 0)
        return result;
    login->entered = true;
    login->state = IMAP_LOGIN_AUTH;
    login->caps_known = false;
    return IMAP_LOGIN_MORE;
}

/* Capabilities are known, nobody is logged in. */
static int imap_login_proceed(struct imap_login *login, struct imap_commands *commands,
                              struct err *err)
{
    if (login->security != IMAP_SECURITY_STARTTLS || login->secured)
        return imap_login_enter(login, commands, err);
    if (!(login->caps & IMAP_CAP_STARTTLS))
        return err_set(err, ERR_GIVE_UP,
                       "the server does not offer STARTTLS (or somebody in between hides it): "
                       "nothing is sent in the clear");
    imap_login_issue(login, commands, IMAP_LOGIN_STARTTLS, IMAP_COMMAND_STARTTLS);
    return IMAP_LOGIN_MORE;
}

static int imap_login_greeted(struct imap_login *login, struct imap_commands *commands,
                              const struct imap_response *response, struct err *err)
{
    char words[200];
    if (response->type != IMAP_RESPONSE_STATUS)
        return err_set(err, ERR_RETRY_LATER, "the server does not greet as IMAP servers do");
    if (response->status == IMAP_NO || response->status == IMAP_BAD)
        return err_set(err, ERR_RETRY_LATER, "the server greets with a refusal: %s",
                       imap_refusal_words(words, sizeof words, response, login->credentials));
    if (response->status == IMAP_PREAUTH) {
        /* STARTTLS is not possible any more then: an attacker's way around it. */
        if (!imap_login_trusted(login))
            return err_set(err, ERR_GIVE_UP,
                           "the server says PREAUTH in the clear, which rules out STARTTLS: "
                           "not trusted");
        return imap_login_entered(login, commands);
    }
    if (login->caps_known)
        return imap_login_proceed(login, commands, err);
    imap_login_issue(login, commands, IMAP_LOGIN_CAPABILITY, IMAP_COMMAND_CAPABILITY);
    return IMAP_LOGIN_MORE;
}

/* A goodbye means to come back later, unless its code says that this will not help. */
static int imap_login_ended(const struct imap_login *login, const struct imap_response *response,
                            struct err *err)
{
    char words[256];
    imap_refusal_words(words, sizeof words, response, login->credentials);
    return err_set(err, imap_refusal_final(response) ? ERR_GIVE_UP : ERR_RETRY_LATER,
                   "the server ends the connection %s: %s",
                   login->state == IMAP_LOGIN_GREETING ? "at once" : "before the login is done",
                   words);
}

int imap_login_untagged(struct imap_login *login, struct imap_commands *commands,
                        const struct imap_response *response, struct err *err)
{
    bool status = response->type == IMAP_RESPONSE_STATUS;
    if (status && response->status == IMAP_BYE)
        return imap_login_ended(login, response, err);
    if (login->state == IMAP_LOGIN_GREETING)
        return imap_login_greeted(login, commands, response, err);
    if (status && response->status == IMAP_PREAUTH)
        return err_set(err, ERR_RETRY_LATER, "the server says PREAUTH after its greeting");
    if (++login->untagged > IMAP_LOGIN_UNTAGGED_MAX)
        return err_set(err, ERR_RETRY_LATER, "the server talks on without letting anybody in");
    return IMAP_LOGIN_MORE;
}

/* "; its status is invalid_token", or "". */
static char *imap_login_reason(const struct imap_login *login, char *out, size_t cap)
{
    char why[200];
    const char *refusal = login->sasl ? sasl_client_refusal(login->sasl) : "";
    struct imap_response said = {.text = refusal, .text_len = strlen(refusal)};
    imap_refusal_words(why, sizeof why, &said, login->credentials);
    snprintf(out, cap, "%s%s", *refusal ? "; its status is " : "", *refusal ? why : "");
    return out;
}

/* RFC 5802 section 7: server-error-value. */
static bool imap_login_says(const struct imap_login *login, const char *words)
{
    return login->sasl && strstr(sasl_client_refusal(login->sasl), words);
}

/* NO or BAD, when neither waiting nor another mechanism would help. */
static int imap_login_wrong(struct imap_login *login, const char *words, struct err *err)
{
    char user[100], reason[240];
    const char *name = imap_login_text(login->credentials->user);
    text_escape_utf8(user, sizeof user, name, strlen(name));
    imap_login_reason(login, reason, sizeof reason);
    if (imap_login_says(login, "channel-binding"))
        return err_set(err, ERR_GIVE_UP,
                       "the server refused the channel binding: %s%s; somebody is in between, or a "
                       "proxy that ends TLS: if it is meant to be there, write `auth: "
                       "scram-sha-256`",
                       words, reason);
    login->token_refused = login->way && login->way->token;
    if (login->token_refused)
        return err_set(err, ERR_GIVE_UP, "the server refused the access token of %s: %s%s", user,
                       words, reason);
    return err_set(err, ERR_GIVE_UP,
                   "the server refused the login of %s: %s%s; check username and password", user,
                   words, reason);
}

/* NO or BAD to LOGIN or AUTHENTICATE, or any answer when it was cancelled. */
static int imap_login_refused(struct imap_login *login, enum imap_command_kind kind,
                              const struct imap_response *response, struct err *err)
{
    char words[256];
    imap_refusal_words(words, sizeof words, response, login->credentials);
    if (login->cancelled)
        return err_set(err, login->why->action, "%s", login->why->text);
    if (imap_refusal_action(response) != ERR_GIVE_UP || imap_login_says(login, "no-resources"))
        return err_set(err, ERR_RETRY_LATER, "the server does not log us in now: %s", words);
    if (response->status == IMAP_BAD)
        return err_set(err, ERR_GIVE_UP,
                       "the server does not understand %s: %s; another `auth` may help",
                       imap_command_name(kind), words);
    return imap_login_wrong(login, words, err);
}

/* OK to LOGIN or AUTHENTICATE. */
static int imap_login_accepted(struct imap_login *login, struct imap_commands *commands,
                               struct err *err)
{
    if (!login->sasl || sasl_client_convinced(login->sasl))
        return imap_login_entered(login, commands);
    return err_set(err, ERR_GIVE_UP,
                   "the server lets us in without a proof that it knows the password: somebody in "
                   "between, or a broken server");
}

static int imap_login_no_tls(const struct imap_login *login, const struct imap_response *response,
                             struct err *err)
{
    char words[256];
    return err_set(err, imap_refusal_action(response), "the server refused STARTTLS: %s",
                   imap_refusal_words(words, sizeof words, response, login->credentials));
}

static int imap_login_no_caps(const struct imap_login *login, const struct imap_response *response,
                              struct err *err)
{
    char words[256];
    return err_set(err, ERR_RETRY_LATER, "the server refused CAPABILITY: %s",
                   imap_refusal_words(words, sizeof words, response, login->credentials));
}

int imap_login_answered(struct imap_login *login, struct imap_commands *commands,
                        enum imap_command_kind kind, const struct imap_response *response,
                        struct err *err)
{
    bool ok = response->status == IMAP_OK;
    int result;
    switch (login->state) {
    case IMAP_LOGIN_CAPABILITY:
        return ok ? imap_login_proceed(login, commands, err)
                  : imap_login_no_caps(login, response, err);
    case IMAP_LOGIN_STARTTLS:
        if (!ok)
            return imap_login_no_tls(login, response, err);
        login->state = IMAP_LOGIN_TLS;
        return IMAP_LOGIN_STEP_TLS;
    case IMAP_LOGIN_AUTH:
        if (ok && !login->cancelled)
            return imap_login_accepted(login, commands, err);
        result = imap_login_refused(login, kind, response, err);
        imap_login_forget(login);
        return result;
    case IMAP_LOGIN_CAPABILITY_AGAIN:
        /* Without an answer worth the name, what was known before has to do. */
        imap_login_issue_id(login, commands);
        return imap_login_ready(login);
    default:
        return err_set(err, ERR_RETRY_LATER, "the server answers what was not asked");
    }
}

/* What goes on in AUTHENTICATE: the answer, or "*", which cancels (RFC 9051 section 6.2.2); the
 * server answers that with BAD. `answer` is wiped. */
static void imap_login_answer(struct imap_login *login, struct imap_commands *commands,
                              struct imap_command *command, int result, const struct err *why,
                              struct buf *answer)
{
    struct buf line = {0};
    if (result < 0) {
        login->cancelled = true;
        err_keep(&login->why, why);
        buf_add_byte(&line, '*');
    } else {
        buf_reserve_exact(&line, answer->len / 3 * 4 + 8);
        base64_encode(&line, answer->data, answer->len);
    }
    buf_add(&line, "\r\n", 3); /* with its NUL: the next word is the server's */
    command->awaits = false;
    imap_commands_add(commands, command, &line);
    mem_wipe(answer->data, answer->cap);
    buf_release(answer);
}

int imap_login_challenged(struct imap_login *login, struct imap_commands *commands,
                          struct imap_command *command, const struct imap_response *response,
                          struct err *err)
{
    if (login->cancelled)
        return err_set(err, ERR_RETRY_LATER, "the server asks on after AUTHENTICATE was cancelled");
    if (login->deriving)
        return err_set(err, ERR_RETRY_LATER, "the server asks on before it was answered");
    struct buf challenge = {0}, answer = {0};
    struct err why;
    /* Words that are not base64 ("+ go ahead") count as an empty challenge: neither PLAIN nor
     * LOGIN reads it. */
    base64_decode(&challenge, response->text, response->text_len);
    int result = sasl_client_step(login->sasl, challenge.data, challenge.len, &answer, &why);
    buf_release(&challenge);
    login->deriving = result == SASL_DERIVE;
    if (login->deriving)
        return IMAP_LOGIN_STEP_DERIVE;
    imap_login_answer(login, commands, command, result, &why, &answer);
    return IMAP_LOGIN_MORE;
}

void imap_login_derived(struct imap_login *login, struct imap_commands *commands,
                        const uint8_t *key)
{
    struct buf answer = {0};
    struct err why;
    if (!login->deriving)
        return;
    login->deriving = false;
    int result = sasl_client_derived(login->sasl, key, &answer, &why);
    imap_login_answer(login, commands, imap_commands_by_kind(commands, IMAP_COMMAND_AUTHENTICATE),
                      result, &why, &answer);
}

void imap_login_bind(struct imap_login *login, const struct sasl_binding *binding)
{
    if (!login->binding)
        login->binding = mem_new(struct sasl_binding);
    *login->binding = *binding;
}

void imap_login_secured(struct imap_login *login, struct imap_commands *commands)
{
    login->secured = true;
    login->caps = 0;
    login->caps_known = false;
    login->untagged = 0;
    imap_login_issue(login, commands, IMAP_LOGIN_CAPABILITY, IMAP_COMMAND_CAPABILITY);
}
