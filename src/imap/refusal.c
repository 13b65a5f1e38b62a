#include "imap/refusal.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"
#include "imap/encode.h"

enum {
    IMAP_PAUSE_MAX = 3600 * 1000,
    IMAP_SECRET_BEGIN = 8, /* bytes of a secret that are its beginning */
};

/* As Gmail, Outlook, Yahoo, Dovecot and Courier put it when waiting helps. */
static const char *const imap_passing_words[] = {
    "too many", "simultaneous",   "throttl",       "try again", "try later",
    "temporar", "unavailab",      "rate limit",    "exceeded",  "backoff",
    "overload", "busy",           "timed out",     "timeout",   "later",
    "internal", "not responding", "not connected", NULL,
};

/* Of these, what speaks of a limit. */
static const char *const imap_limit_words[] = {
    "too many", "simultaneous", "throttl", "rate limit", "exceeded", "backoff", "overload", NULL,
};

static bool imap_words_among(const char *text, const char *const *words)
{
    for (size_t i = 0; words[i]; i++)
        if (strcasestr(text, words[i]))
            return true;
    return false;
}

bool imap_refusal_final(const struct imap_response *response)
{
    switch (response->code) {
    case IMAP_CODE_AUTHENTICATIONFAILED:
    case IMAP_CODE_AUTHORIZATIONFAILED:
    case IMAP_CODE_EXPIRED:
    case IMAP_CODE_PRIVACYREQUIRED:
    case IMAP_CODE_CONTACTADMIN:
        return true;
    default:
        return false;
    }
}

enum err_action imap_refusal_action(const struct imap_response *response)
{
    if (imap_refusal_final(response))
        return ERR_GIVE_UP;
    switch (response->code) {
    case IMAP_CODE_UNAVAILABLE:
    case IMAP_CODE_LIMIT:
    case IMAP_CODE_THROTTLED:
    case IMAP_CODE_INUSE:
    case IMAP_CODE_SERVERBUG:
        return ERR_RETRY_LATER;
    default:
        return imap_words_among(response->text, imap_passing_words) ? ERR_RETRY_LATER : ERR_GIVE_UP;
    }
}

bool imap_refusal_limited(const struct imap_response *response)
{
    return response->code == IMAP_CODE_UNAVAILABLE || response->code == IMAP_CODE_LIMIT ||
           response->code == IMAP_CODE_THROTTLED ||
           imap_words_among(response->text, imap_limit_words);
}

msec_t imap_refusal_pause(const struct imap_response *response)
{
    static const char label[] = "backoff time:";
    const char *at = strcasestr(response->text, label);
    if (!at)
        return 0;
    at += sizeof label - 1;
    at += strspn(at, " ");
    size_t digits = strspn(at, "0123456789");
    uint64_t value;
    if (!digits)
        return 0;
    if (!num_parse_u64(at, digits, IMAP_PAUSE_MAX, &value))
        return IMAP_PAUSE_MAX;
    const char *unit = at + digits + strspn(at + digits, " ");
    if (strncasecmp(unit, "sec", 3) == 0)
        value *= 1000;
    return value < IMAP_PAUSE_MAX ? value : IMAP_PAUSE_MAX;
}

/* Where secrets are looked for. */
struct imap_words {
    const char *text;
    size_t len;
    bool shown; /* it was escaped, and perhaps cut or put in capitals */
};

static bool imap_shown_begin(const char *text, const struct buf *form)
{
    char begin[4 * IMAP_SECRET_BEGIN + 1];
    size_t len = form->len < IMAP_SECRET_BEGIN ? form->len : IMAP_SECRET_BEGIN;
    text_escape(begin, sizeof begin, form->data, len);
    bool found = strcasestr(text, begin);
    mem_wipe(begin, sizeof begin);
    return found;
}

/* Is `form` in the text? Wipes it. */
static bool imap_words_hold(const struct imap_words *words, struct buf *form)
{
    bool found = false;
    if (form->len)
        found = words->shown ? imap_shown_begin(words->text, form)
                             : memmem(words->text, words->len, form->data, form->len) != NULL;
    mem_wipe(form->data, form->cap);
    buf_clear(form);
    return found;
}

/* As it is, as the LOGIN command quotes it, as AUTHENTICATE LOGIN and PLAIN encode it. */
static bool imap_words_hold_password(const struct imap_words *words, const char *user,
                                     const char *password)
{
    size_t len = strlen(password), user_len = strlen(user);
    struct buf form = {0}, plain = {0};
    buf_reserve_exact(&form, 2 * (user_len + len) + 16);
    buf_reserve_exact(&plain, user_len + len + 2);

    buf_add(&form, password, len);
    bool found = imap_words_hold(words, &form);
    imap_add_quoted(&form, password, len);
    found = imap_words_hold(words, &form) || found;
    base64_encode(&form, password, len);
    found = imap_words_hold(words, &form) || found;
    buf_add_byte(&plain, '\0');
    buf_add(&plain, user, user_len);
    buf_add_byte(&plain, '\0');
    buf_add(&plain, password, len);
    base64_encode(&form, plain.data, plain.len);
    found = imap_words_hold(words, &form) || found;

    mem_wipe(plain.data, plain.cap);
    buf_release(&plain);
    buf_release(&form);
    return found;
}

/* As it is, or as a mechanism sent it: whatever stands around it, a base64 text of it has one of
 * three forms in its midst, one for each place in a group of three bytes at which it may begin. */
static bool imap_words_hold_token(const struct imap_words *words, const char *token)
{
    size_t len = strlen(token);
    struct buf form = {0};
    buf_reserve_exact(&form, (len + 3) / 3 * 4 + 4);
    buf_add(&form, token, len);
    bool found = imap_words_hold(words, &form);
    for (size_t skip = 0; skip < 3 && len >= skip + 6; skip++) {
        base64_encode(&form, token + skip, (len - skip) / 3 * 3);
        found = imap_words_hold(words, &form) || found;
    }
    buf_release(&form);
    return found;
}

/* What of the secrets its words repeat, or NULL. */
static const char *imap_words_secret(const struct imap_words *words,
                                     const struct sasl_credentials *credentials)
{
    const char *password = credentials->password, *token = credentials->access_token;
    if (password && *password &&
        imap_words_hold_password(words, credentials->user ? credentials->user : "", password))
        return "password";
    if (token && *token && imap_words_hold_token(words, token))
        return "access token";
    return NULL;
}

char *imap_refusal_words(char *out, size_t cap, const struct imap_response *response,
                         const struct sasl_credentials *credentials)
{
    const struct imap_words words = {.text = response->text, .len = response->text_len};
    const char *secret = imap_words_secret(&words, credentials);
    if (secret) {
        snprintf(out, cap, "(its words repeat the %s)", secret);
        return out;
    }
    if (!response->text_len) {
        snprintf(out, cap, "(no words)");
        return out;
    }
    return text_escape(out, cap, response->text, response->text_len);
}

const char *imap_refusal_shows(const char *shown, const struct sasl_credentials *credentials)
{
    const struct imap_words words = {.text = shown, .len = strlen(shown), .shown = true};
    return imap_words_secret(&words, credentials);
}
