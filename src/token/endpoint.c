/* Tokens of an endpoint: the refresh token is read, the endpoint asked, a new refresh token stored,
 * the access token given out.
 *
 *   IDLE → READING → ASKING → [WRITING] → IDLE
 *             ↑        │ invalid_grant, once: another process may have rotated the token
 *             └────────┘
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "net/http.h"
#include "net/loop.h"
#include "oauth/oauth.h"
#include "token/source.h"
#include "token/workers.h"

enum {
    ENDPOINT_DEADLINE = 20 * 1000,
    ENDPOINT_TELL_AGAIN = 3600 * 1000, /* trouble that goes on is told again */
};

struct token_endpoint {
    struct net_loop *loop;
    struct net_http *http;
    struct token_workers *workers;
    struct token_keeper *keeper; /* who asks */
    void (*troubled)(const char *label, const struct err *err);
    char *label, *url, *host, *ca, *id, *secret, *scope, *refresh;
    uint8_t key[TOKEN_KEY];
    bool has_file;
    bool can_authorize;
    struct token_job *job;      /* READING, WRITING */
    struct net_http_call *call; /* ASKING */
    char *used;                 /* the refresh token that was sent in this round */
    char *unsaved;              /* newer than what is stored; NULL: none */
    bool told;                  /* that it could not be kept … */
    msec_t told_at;             /* … then */
    bool again;                 /* asked once more in this round */
    struct err refused;         /* why; or why `token` is without access */
    struct oauth_token token;   /* WRITING: what waits for that */
};

static void endpoint_ask(struct token_endpoint *source, const char *refresh);
static void endpoint_read(struct token_endpoint *source);

/* --- how it ends -------------------------------------------------------------------------------
 */

static void endpoint_end_round(struct token_endpoint *source)
{
    mem_free_secret(source->used);
    source->used = NULL;
    source->again = false;
}

static void endpoint_fail(struct token_endpoint *source, const struct err *why)
{
    struct err err = *why;
    endpoint_end_round(source);
    token_keeper_failed(source->keeper, &err);
}

/* What only a person can get. */
static void endpoint_needs_person(struct token_endpoint *source, const char *why)
{
    struct err err;
    char label[150];
    text_escape_utf8(label, sizeof label, source->label, strlen(source->label));
    if (source->can_authorize)
        err_set(&err, ERR_GIVE_UP, "%.300s; run: imap-collector --authorize %s", why, label);
    else
        err_set(&err, ERR_GIVE_UP, "%.300s; put a new one into %s", why,
                source->refresh ? "refresh_token" : "refresh_token_file");
    endpoint_fail(source, &err);
}

/* A provider may give a new refresh token as often as it is asked, and a server have it asked with
 * each login. */
static void endpoint_trouble(struct token_endpoint *source, const struct err *err)
{
    msec_t now = net_loop_now(source->loop);
    if (source->told && now - source->told_at < ENDPOINT_TELL_AGAIN)
        return;
    source->told = true;
    source->told_at = now;
    source->troubled(source->label, err);
}

static void endpoint_give(struct token_endpoint *source)
{
    struct oauth_token token = source->token;
    source->token = (struct oauth_token){0};
    if (token.access) {
        endpoint_end_round(source);
        token_keeper_got(source->keeper, token.access, token.has_lifetime ? &token.lifetime : NULL);
    } else {
        endpoint_fail(source, &source->refused);
    }
    oauth_token_release(&token);
}

static void endpoint_stored(void *ctx, int result, const char *token, const struct err *why)
{
    struct token_endpoint *source = ctx;
    (void)token;
    source->job = NULL;
    if (result < 0) {
        struct err err = *why;
        err_prefix(&err, "the provider gave a new refresh token, and it cannot be kept; if the "
                         "old one is void, the account is lost when this program ends");
        endpoint_trouble(source, &err);
    } else {
        mem_free_secret(source->unsaved);
        source->unsaved = NULL;
        source->told = false;
    }
    endpoint_give(source);
}

/* --- asking ------------------------------------------------------------------------------------
 */

/* The rotated token is safe before anything else happens: the old one may be void. */
static void endpoint_granted(struct token_endpoint *source)
{
    const char *given = source->token.refresh;
    if (given && strcmp(given, source->used) != 0) {
        mem_free_secret(source->unsaved);
        source->unsaved = mem_strdup(given);
    }
    if (!source->unsaved) {
        endpoint_give(source);
    } else if (source->has_file) {
        source->job = token_workers_submit(source->workers, TOKEN_WRITE, source->key,
                                           source->unsaved, endpoint_stored, source);
    } else {
        struct err err;
        err_set(&err, ERR_GIVE_UP,
                "the provider gave a new refresh token, and there is no place to keep it: give "
                "refresh_token_file");
        endpoint_trouble(source, &err);
        endpoint_give(source);
    }
}

static void endpoint_replied(void *ctx, const struct net_http_reply *reply, const struct err *why)
{
    struct token_endpoint *source = ctx;
    const struct oauth_client client = {source->id, source->secret, source->scope};
    enum oauth_refusal refusal = OAUTH_FAILED;
    struct err err;
    source->call = NULL;
    int result = -1;
    if (reply)
        result = oauth_token_read(&(struct oauth_reply){.status = reply->status,
                                                        .content_type = reply->content_type,
                                                        .body = reply->body,
                                                        .len = reply->len},
                                  &client, source->used, &source->token, &refusal, &err);
    else
        err = *why;
    if (result == 0) {
        endpoint_granted(source);
        return;
    }
    err_prefix(&err, "%s", source->host);
    source->refused = err;
    if (result > 0)
        endpoint_granted(source);
    else if (refusal != OAUTH_NO_GRANT || err.action != ERR_GIVE_UP)
        endpoint_fail(source, &err);
    else if (source->has_file && !source->again) {
        source->again = true;
        endpoint_read(source);
    } else {
        endpoint_needs_person(source, err.text);
    }
}

static void endpoint_ask(struct token_endpoint *source, const char *refresh)
{
    const struct oauth_client client = {source->id, source->secret, source->scope};
    struct buf form = {0};
    char *used = mem_strdup(refresh);
    mem_free_secret(source->used);
    source->used = used;
    oauth_ask_refresh(&form, &client, used);
    source->call = net_http_post(source->http,
                                 &(struct net_http_request){.url = source->url,
                                                            .ca = source->ca,
                                                            .form = form.data,
                                                            .len = form.len,
                                                            .reply_most = OAUTH_REPLY_MOST,
                                                            .deadline = ENDPOINT_DEADLINE},
                                 endpoint_replied, source);
    mem_wipe(form.data, form.cap);
    buf_release(&form);
}

/* What could not be kept and is void is worth nothing beside what may stand in the file by now. */
static void endpoint_forget_void(struct token_endpoint *source)
{
    if (!source->again || !source->unsaved || strcmp(source->unsaved, source->used) != 0)
        return;
    mem_free_secret(source->unsaved);
    source->unsaved = NULL;
}

/* The file was read, or there is none (`stored` NULL). */
static void endpoint_choose(struct token_endpoint *source, const char *stored)
{
    endpoint_forget_void(source);
    const char *refresh = source->unsaved ? source->unsaved : stored ? stored : source->refresh;
    if (!refresh)
        endpoint_needs_person(source, "there is no refresh token yet");
    else if (source->again && !strcmp(refresh, source->used))
        endpoint_needs_person(source, source->refused.text);
    else
        endpoint_ask(source, refresh);
}

static void endpoint_had(void *ctx, int result, const char *token, const struct err *err)
{
    struct token_endpoint *source = ctx;
    source->job = NULL;
    if (result < 0)
        endpoint_fail(source, err);
    else
        endpoint_choose(source, token);
}

static void endpoint_read(struct token_endpoint *source)
{
    source->job =
        token_workers_submit(source->workers, TOKEN_READ, source->key, NULL, endpoint_had, source);
}

static void endpoint_fetch(void *ctx, struct token_keeper *keeper)
{
    struct token_endpoint *source = ctx;
    source->keeper = keeper;
    if (source->has_file)
        endpoint_read(source);
    else
        endpoint_choose(source, NULL);
}

/* --- its life ----------------------------------------------------------------------------------
 */

static void endpoint_free(void *ctx)
{
    struct token_endpoint *source = ctx;
    token_job_cancel(source->job);
    net_http_cancel(source->call);
    oauth_token_release(&source->token);
    mem_free_secret(source->used);
    mem_free_secret(source->unsaved);
    mem_free_secret(source->secret);
    mem_free_secret(source->refresh);
    free(source->label);
    free(source->url);
    free(source->host);
    free(source->ca);
    free(source->id);
    free(source->scope);
    free(source);
}

/* With the access token comes a new refresh token, and the old one may be void by then. */
static const struct token_source_ops endpoint_ops = {
    .fetch = endpoint_fetch, .free = endpoint_free, .spends = true};

/* For messages: what is before it, and a query behind it, may be nobody's business. */
static char *endpoint_host(const char *url)
{
    const char *from = strstr(url, "://");
    from = from ? from + 3 : url;
    return mem_strndup(from, strcspn(from, "/?"));
}

struct token_keeper *token_endpoint_new(struct net_loop *loop, struct net_http *http,
                                        struct token_workers *workers,
                                        const struct token_endpoint_settings *settings,
                                        void (*troubled)(const char *label, const struct err *err))
{
    struct token_endpoint *source = mem_new(struct token_endpoint);
    *source = (struct token_endpoint){
        .loop = loop,
        .http = http,
        .workers = workers,
        .troubled = troubled,
        .label = mem_strdup(settings->label),
        .url = mem_strdup(settings->token_url),
        .host = endpoint_host(settings->token_url),
        .ca = mem_strdup(settings->ca),
        .id = mem_strdup(settings->client_id),
        .secret = mem_strdup(settings->client_secret),
        .scope = mem_strdup(settings->scope),
        .refresh = mem_strdup(settings->refresh_token),
        .has_file = settings->key,
        .can_authorize = settings->can_authorize,
    };
    if (settings->key)
        memcpy(source->key, settings->key, TOKEN_KEY);
    return token_keeper_new(loop, &endpoint_ops, source);
}
