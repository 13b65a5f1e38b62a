#include "imap/login.h"

#include <stdio.h>
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
        .secured = settings->security == IMAP_SECURITY_IMPLICIT,
        .credentials = credentials,
    };
}

/* The mechanism's copies of secrets have done their work. */
static void imap_login_forget(struct imap_login *login)
{
    sasl_client_free(login->sasl);
    login->sasl = NULL;
}

void imap_login_release(struct imap_login *login)
{
    imap_login_forget(login);
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
                                   enum sasl_mechanism mechanism, struct err *err)
{
    struct buf args = {0}, answer = {0};
    int result = sasl_client_new(mechanism, login->credentials, &login->sasl, err);
    if (result < 0)
        goto out;
    bool at_once = login->caps & IMAP_CAP_SASL_IR && sasl_client_first(login->sasl);
    if (at_once)
        result = sasl_client_step(login->sasl, NULL, 0, &answer, err);
    if (result < 0)
        goto out;
    buf_reserve_exact(&args, 32 + answer.len / 3 * 4 + 4);
    buf_add_byte(&args, ' ');
    buf_add_str(&args, sasl_mechanism_name(mechanism));
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

/* The mechanisms, the best first. */
static const struct imap_login_way {
    enum imap_auth auth; /* what asks for it by name */
    unsigned cap;
    enum sasl_mechanism mechanism;
    bool token; /* with an access token */
} imap_login_ways[] = {
    {IMAP_AUTH_OAUTHBEARER, IMAP_CAP_AUTH_OAUTHBEARER, SASL_OAUTHBEARER, true},
    {IMAP_AUTH_XOAUTH2, IMAP_CAP_AUTH_XOAUTH2, SASL_XOAUTH2, true},
    {IMAP_AUTH_PLAIN, IMAP_CAP_AUTH_PLAIN, SASL_PLAIN, false},
    {IMAP_AUTH_LOGIN, IMAP_CAP_AUTH_LOGIN, SASL_LOGIN, false},
};

/* Is it one that the configuration lets us go? */
static bool imap_login_way_fits(const struct imap_login *login, const struct imap_login_way *way)
{
    return login->auth == IMAP_AUTH_AUTO ? way->token == !!login->credentials->access_token
                                         : way->auth == login->auth;
}

/* NULL: the server offers none that fits. */
static const struct imap_login_way *imap_login_best_way(const struct imap_login *login)
{
    for (size_t i = 0; i < sizeof imap_login_ways / sizeof *imap_login_ways; i++)
        if (imap_login_way_fits(login, &imap_login_ways[i]) && login->caps & imap_login_ways[i].cap)
            return &imap_login_ways[i];
    return NULL;
}

static bool imap_login_may_command(const struct imap_login *login)
{
    return !(login->caps & IMAP_CAP_LOGINDISABLED) &&
           (login->auth == IMAP_AUTH_LOGIN ||
            (login->auth == IMAP_AUTH_AUTO && !login->credentials->access_token));
}

static int imap_login_no_way(const struct imap_login *login, struct err *err)
{
    if (login->auth == IMAP_AUTH_AUTO || login->auth == IMAP_AUTH_LOGIN)
        return err_set(err, ERR_GIVE_UP, "the server offers no known way to log in%s: neither %s",
                       login->secured ? "" : " without TLS",
                       login->credentials->access_token
                           ? "AUTH=OAUTHBEARER nor AUTH=XOAUTH2"
                           : "AUTH=PLAIN nor AUTH=LOGIN, and LOGIN is disabled");
    const struct imap_login_way *way = imap_login_ways;
    while (way->auth != login->auth)
        way++;
    return err_set(err, ERR_GIVE_UP, "the server does not offer AUTH=%s, which is asked for",
                   sasl_mechanism_name(way->mechanism));
}

/* The best way in that both sides have. The only place from which credentials leave. */
static int imap_login_enter(struct imap_login *login, struct imap_commands *commands,
                            struct err *err)
{
    if (!imap_login_trusted(login))
        return err_set(err, ERR_GIVE_UP, "no TLS: the password is not sent in the clear");
    const struct imap_login_way *way = login->way = imap_login_best_way(login);
    if (!way && !imap_login_may_command(login))
        return imap_login_no_way(login, err);
    int result = way ? imap_login_authenticate(login, commands, way->mechanism, err)
                     : imap_login_command(login, commands);
    if (result < 0)
        return result;
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
                       imap_refusal_words(words, sizeof words, response, NULL));
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

/* NO or BAD, when neither waiting nor another mechanism would help. */
static int imap_login_wrong(struct imap_login *login, const char *words, struct err *err)
{
    char user[100], why[200];
    const char *name = imap_login_text(login->credentials->user);
    text_escape_utf8(user, sizeof user, name, strlen(name));
    login->token_refused = login->way && login->way->token;
    if (!login->token_refused)
        return err_set(err, ERR_GIVE_UP,
                       "the server refused the login of %s: %s; check username and password", user,
                       words);
    const char *refusal = sasl_client_refusal(login->sasl);
    struct imap_response said = {.text = refusal, .text_len = strlen(refusal)};
    imap_refusal_words(why, sizeof why, &said, login->credentials);
    return err_set(err, ERR_GIVE_UP, "the server refused the access token of %s: %s%s%s", user,
                   words, *refusal ? "; its status is " : "", *refusal ? why : "");
}

/* NO or BAD to LOGIN or AUTHENTICATE. */
static int imap_login_refused(struct imap_login *login, enum imap_command_kind kind,
                              const struct imap_response *response, struct err *err)
{
    char words[256];
    imap_refusal_words(words, sizeof words, response, login->credentials);
    if (login->cancelled)
        return err_set(err, ERR_GIVE_UP,
                       "the server asked for more than the chosen way to log in has to say: %s",
                       words);
    if (imap_refusal_action(response) != ERR_GIVE_UP)
        return err_set(err, ERR_RETRY_LATER, "the server does not log us in now: %s", words);
    if (response->status == IMAP_BAD)
        return err_set(err, ERR_GIVE_UP,
                       "the server does not understand %s: %s; another `auth` may help",
                       imap_command_name(kind), words);
    return imap_login_wrong(login, words, err);
}

static int imap_login_no_tls(const struct imap_response *response, struct err *err)
{
    char words[256];
    return err_set(err, imap_refusal_action(response), "the server refused STARTTLS: %s",
                   imap_refusal_words(words, sizeof words, response, NULL));
}

static int imap_login_no_caps(const struct imap_response *response, struct err *err)
{
    char words[256];
    return err_set(err, ERR_RETRY_LATER, "the server refused CAPABILITY: %s",
                   imap_refusal_words(words, sizeof words, response, NULL));
}

int imap_login_answered(struct imap_login *login, struct imap_commands *commands,
                        enum imap_command_kind kind, const struct imap_response *response,
                        struct err *err)
{
    bool ok = response->status == IMAP_OK;
    int result;
    switch (login->state) {
    case IMAP_LOGIN_CAPABILITY:
        return ok ? imap_login_proceed(login, commands, err) : imap_login_no_caps(response, err);
    case IMAP_LOGIN_STARTTLS:
        if (!ok)
            return imap_login_no_tls(response, err);
        login->state = IMAP_LOGIN_TLS;
        return IMAP_LOGIN_STEP_TLS;
    case IMAP_LOGIN_AUTH:
        if (ok && !login->cancelled)
            return imap_login_entered(login, commands);
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

int imap_login_challenged(struct imap_login *login, struct imap_commands *commands,
                          struct imap_command *command, const struct imap_response *response,
                          struct err *err)
{
    if (login->cancelled)
        return err_set(err, ERR_RETRY_LATER, "the server asks on after AUTHENTICATE was cancelled");
    struct buf challenge = {0}, answer = {0}, line = {0};
    /* Words that are not base64 ("+ go ahead") count as an empty challenge: neither PLAIN nor
     * LOGIN reads it. */
    base64_decode(&challenge, response->text, response->text_len);
    if (sasl_client_step(login->sasl, challenge.data, challenge.len, &answer, NULL) < 0) {
        /* RFC 9051 section 6.2.2: "*" cancels; the server answers BAD. */
        login->cancelled = true;
        buf_add_byte(&line, '*');
    }
    buf_reserve_exact(&line, answer.len / 3 * 4 + 8);
    base64_encode(&line, answer.data, answer.len);
    buf_add(&line, "\r\n", 3); /* with its NUL: the next word is the server's */
    command->awaits = false;
    imap_commands_add(commands, command, &line);
    mem_wipe(answer.data, answer.cap);
    buf_release(&answer);
    buf_release(&challenge);
    return IMAP_LOGIN_MORE;
}

void imap_login_secured(struct imap_login *login, struct imap_commands *commands)
{
    login->secured = true;
    login->caps = 0;
    login->caps_known = false;
    login->untagged = 0;
    imap_login_issue(login, commands, IMAP_LOGIN_CAPABILITY, IMAP_COMMAND_CAPABILITY);
}
