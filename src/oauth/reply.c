#include "oauth/reply.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "oauth/form.h"

enum {
    REPLY_WORDS = 160, /* bytes of a provider's words that are shown */
    REPLY_NAME = 60,
    REPLY_YEAR = 365 * 24 * 60 * 60, /* seconds */
};

/* The errors of RFC 6749 section 5.2, RFC 8628 section 3.5, and those that providers add. */
static const struct oauth_reply_code {
    const char *name;
    enum oauth_refusal refusal;
    enum err_action action;
    const char *words; /* what it means here, or NULL */
} reply_codes[] = {
    {"invalid_grant", OAUTH_NO_GRANT, ERR_GIVE_UP,
     "the refresh token was revoked, has expired, or belongs to another client_id"},
    {"interaction_required", OAUTH_NO_GRANT, ERR_GIVE_UP, "the provider wants to see a person"},
    {"login_required", OAUTH_NO_GRANT, ERR_GIVE_UP, "the provider wants to see a person"},
    {"consent_required", OAUTH_NO_GRANT, ERR_GIVE_UP, "the provider wants a person's consent"},
    {"invalid_client", OAUTH_FAILED, ERR_GIVE_UP, "check client_id and client_secret"},
    {"unauthorized_client", OAUTH_FAILED, ERR_GIVE_UP,
     "this client_id may not do that: check how it is registered"},
    {"unsupported_grant_type", OAUTH_FAILED, ERR_GIVE_UP, "the provider does not have this way"},
    {"invalid_scope", OAUTH_FAILED, ERR_GIVE_UP, "check scope"},
    {"invalid_request", OAUTH_FAILED, ERR_GIVE_UP, "check token_url, client_id and scope"},
    {"authorization_pending", OAUTH_PENDING, ERR_RETRY_LATER, NULL},
    {"slow_down", OAUTH_SLOW_DOWN, ERR_RETRY_LATER, NULL},
    {"access_denied", OAUTH_DENIED, ERR_GIVE_UP, "access was denied"},
    {"expired_token", OAUTH_CODE_EXPIRED, ERR_GIVE_UP, "the code has expired"},
    {"temporarily_unavailable", OAUTH_FAILED, ERR_RETRY_LATER, NULL},
    {"server_error", OAUTH_FAILED, ERR_RETRY_LATER, NULL},
};

static void reply_strike(char *text, size_t len, const char *secret)
{
    if (!secret)
        return;
    struct buf form = {0};
    buf_reserve_exact(&form, 3 * strlen(secret) + 1);
    oauth_form_encode(&form, secret);
    text_strike(text, len, secret, strlen(secret));
    text_strike(text, len, form.data, form.len);
    if (form.data)
        mem_wipe(form.data, form.cap);
    buf_release(&form);
}

/* What a provider says, fit to be shown; "" for NULL. */
static void reply_show(const char *text, const struct oauth_secrets *secrets, char *out, size_t cap)
{
    char *copy = mem_strdup(text ? text : "");
    size_t len = strlen(copy);
    reply_strike(copy, len, secrets->client->secret);
    reply_strike(copy, len, secrets->used);
    for (char *at = copy; *at; at++)
        if (*at == '\r' || *at == '\n' || *at == '\t')
            *at = ' ';
    text_escape_utf8(out, cap, copy, len);
    mem_free_secret(copy);
}

/* A member's text. */
static void reply_shown(const json_t *object, const char *name, const struct oauth_secrets *secrets,
                        char *out, size_t cap)
{
    reply_show(json_string_value(json_object_get(object, name)), secrets, out, cap);
}

static bool reply_passes(unsigned status)
{
    return status == 408 || status == 425 || status == 429 || status >= 500;
}

static const struct oauth_reply_code *reply_code(const char *name)
{
    for (size_t i = 0; i < sizeof reply_codes / sizeof *reply_codes; i++)
        if (!strcmp(reply_codes[i].name, name))
            return &reply_codes[i];
    return NULL;
}

/* RFC 6749 section 5.2. */
static enum oauth_refusal reply_refused(const struct oauth_reply *reply, const json_t *object,
                                        const struct oauth_secrets *secrets, struct err *err)
{
    char name[REPLY_NAME], words[REPLY_WORDS], address[REPLY_WORDS];
    reply_shown(object, "error", secrets, name, sizeof name);
    reply_shown(object, "error_description", secrets, words, sizeof words);
    reply_shown(object, "error_uri", secrets, address, sizeof address);
    const struct oauth_reply_code *code =
        reply_code(json_string_value(json_object_get(object, "error")));
    enum err_action action = reply_passes(reply->status) ? ERR_RETRY_LATER : ERR_GIVE_UP;
    const char *meaning = code && code->words ? code->words : "";
    err_set(err, code && action == ERR_GIVE_UP ? code->action : action, "%s%s%s%s%s%s%s%s", name,
            *meaning ? ": " : "", meaning, *words ? "; the provider says: " : "", words,
            *address ? " (see " : "", address, *address ? ")" : "");
    return code ? code->refusal : OAUTH_FAILED;
}

/* A reply that says nothing in OAuth's words. */
static void reply_foreign(const struct oauth_reply *reply, const struct oauth_secrets *secrets,
                          struct err *err)
{
    char type[REPLY_NAME];
    reply_show(reply->content_type, secrets, type, sizeof type);
    const char *of = *type ? " of type " : "";
    if (reply->status >= 300 && reply->status < 400)
        err_set(err, ERR_GIVE_UP,
                "it redirects (HTTP status %u), which is not followed: check its address",
                reply->status);
    else if (reply->status >= 200 && reply->status < 300)
        err_set(err, ERR_RETRY_LATER, "its reply%s%s is no OAuth 2.0 (RFC 6749): check its address",
                of, type);
    else if (reply_passes(reply->status))
        err_set(err, ERR_RETRY_LATER, "it does not work for now: HTTP status %u", reply->status);
    else
        err_set(err, ERR_GIVE_UP, "HTTP status %u, with a reply%s%s: check its address",
                reply->status, of, type);
}

json_t *oauth_reply_object(const struct oauth_reply *reply, const struct oauth_secrets *secrets,
                           enum oauth_refusal *ret_refusal, struct err *err)
{
    json_t *object = json_loadb(reply->len ? (const char *)reply->body : "", reply->len,
                                JSON_REJECT_DUPLICATES, NULL);
    *ret_refusal = OAUTH_FAILED;
    if (json_is_object(object) && json_string_length(json_object_get(object, "error")))
        *ret_refusal = reply_refused(reply, object, secrets, err);
    else if (json_is_object(object) && reply->status >= 200 && reply->status < 300)
        return object;
    else
        reply_foreign(reply, secrets, err);
    json_decref(object);
    return NULL;
}

char *oauth_reply_text(const json_t *object, const char *name, size_t most)
{
    const json_t *member = json_object_get(object, name);
    const char *text = json_string_value(member);
    size_t len = json_string_length(member);
    bool good = text && len && len <= most && strlen(text) == len;
    for (size_t i = 0; good && i < len; i++)
        good = (unsigned char)text[i] >= ' ' && text[i] != 0x7F;
    return good ? mem_strndup(text, len) : NULL;
}

bool oauth_reply_seconds(const json_t *object, const char *name, msec_t *ret_span)
{
    const json_t *member = json_object_get(object, name);
    const char *text = json_string_value(member);
    uint64_t seconds;
    if (json_is_number(member)) {
        double value = json_number_value(member);
        if (!(value >= 0))
            return false;
        seconds = value < REPLY_YEAR ? (uint64_t)value : REPLY_YEAR;
    } else if (!text || !num_parse_u64(text, strlen(text), UINT64_MAX, &seconds)) {
        return false;
    }
    *ret_span = 1000 * (seconds < REPLY_YEAR ? seconds : REPLY_YEAR);
    return true;
}
