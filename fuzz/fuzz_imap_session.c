/* An IMAP session against a server that says what it likes.
 *
 * Input: a byte that chooses security, authentication and strings (FUZZ_…, fuzz_ways), a byte for
 * the size of the chunks (0: line by line), then the server's side. In it stand for themselves all
 * bytes but: 0x01..0x08  the tag of the last command sent, of the one before it, … 0x0E        the
 * caller ends IDLE 0x10..0x1F  the caller issues a command, if it is logged in SCRAM has a known
 * nonce and a known key, so that an input can prove itself. Checked: no credentials before TLS; no
 * password where SCRAM or a token logs in, nor a weaker proof than before where that counts; one
 * DONE for a command at most, and only for one that was issued; texts fit for a log and without the
 * password; once over, always over. What comes line by line means the same when it comes byte by
 * byte. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../tests/unit/imap/response_dump.h"
#include "base/base64.h"
#include "base/buf.h"
#include "base/random.h"
#include "imap/session.h"

enum {
    FUZZ_SECURITY = 3,      /* enum imap_security; 3 is implicit too */
    FUZZ_LOGIN = 4,         /* `auth` is login */
    FUZZ_8BIT = 8,          /* user and password want literals */
    FUZZ_NO_HANDSHAKE = 16, /* TLS is never started: no byte may follow */
    FUZZ_WAY = 5,           /* shift: what is above is one of fuzz_ways */
    FUZZ_TAGS = 8,
    FUZZ_COMMANDS = 64,
    FUZZ_ACT = 1 << 30, /* on the tape, and the byte: else it is a length */
};

static const struct fuzz_way {
    enum imap_auth auth; /* AUTO: as FUZZ_LOGIN says */
    bool token;
    bool bound;
    enum imap_proof before;
    bool verified;
} fuzz_ways[8] = {
    {.auth = IMAP_AUTH_AUTO},
    {.auth = IMAP_AUTH_SCRAM_SHA_256},
    {.auth = IMAP_AUTH_XOAUTH2, .token = true},
    {.auth = IMAP_AUTH_OAUTHBEARER, .token = true},
    {.auth = IMAP_AUTH_AUTO, .token = true},
    {.auth = IMAP_AUTH_AUTO, .bound = true},
    {.auth = IMAP_AUTH_AUTO, .before = IMAP_PROOF_BOUND, .verified = true},
    {.auth = IMAP_AUTH_AUTO, .bound = true, .before = IMAP_PROOF_BOUND, .verified = true},
};

struct fuzz {
    struct imap_session *session;
    const struct fuzz_way *way;
    enum imap_auth auth;
    const char *user, *password, *token;
    bool may_speak; /* credentials may leave */
    bool told;      /* credentials have left */
    bool handshake;
    bool hushed; /* STARTTLS was answered, and no TLS follows */
    bool ready, over;
    char tags[FUZZ_TAGS][32]; /* the last one first */
    uint32_t issued[FUZZ_COMMANDS];
    bool done[FUZZ_COMMANDS];
    size_t issued_count;
    unsigned done_count;
    struct buf log;   /* what happened */
    struct buf *tape; /* what was fed and done, to be played again; NULL: not kept */
};

/* In place of the room's own: the tags of a session played again are the same ones. */
void random_bytes(void *out, size_t len)
{
    memset(out, 0x5A, len);
}

int gsasl_nonce(char *data, size_t datalen);

/* In place of libgsasl's: "MTIzNDU2Nzg5MDEyMzQ1Njc4" in base64. */
int gsasl_nonce(char *data, size_t datalen)
{
    for (size_t i = 0; i < datalen; i++)
        data[i] = (char)('0' + (i + 1) % 10);
    return 0;
}

static void fuzz_check(bool holds)
{
    if (!holds)
        abort();
}

static bool fuzz_holds(const struct buf *buf, const char *text)
{
    return buf->len && memmem(buf->data, buf->len, text, strlen(text));
}

static bool fuzz_holds_coded(const struct buf *buf, const char *text)
{
    struct buf coded = {0};
    base64_encode(&coded, text, strlen(text));
    bool holds = fuzz_holds(buf, buf_cstr(&coded));
    buf_release(&coded);
    return holds;
}

/* Is the password something that nobody needs? */
static bool fuzz_keeps_password(const struct fuzz *fuzz)
{
    return fuzz->way->token || fuzz->auth == IMAP_AUTH_SCRAM_SHA_256 ||
           (fuzz->auth == IMAP_AUTH_AUTO && fuzz->way->before);
}

static void fuzz_check_secrets(const struct fuzz *fuzz, const struct buf *output)
{
    if (fuzz_keeps_password(fuzz))
        fuzz_check(!fuzz_holds(output, fuzz->password) &&
                   !fuzz_holds_coded(output, fuzz->password) && !fuzz_holds(output, "LOGIN"));
    if (fuzz->may_speak)
        return;
    fuzz_check(!fuzz_holds(output, fuzz->token) && !fuzz_holds_coded(output, fuzz->token));
    fuzz_check(!fuzz_holds(output, fuzz->user) && !fuzz_holds_coded(output, fuzz->user));
    fuzz_check(!fuzz_holds(output, fuzz->password) && !fuzz_holds_coded(output, fuzz->password));
    fuzz_check(!fuzz_holds(output, "AUTHENTICATE") && !fuzz_holds(output, "LOGIN"));
}

/* Keeps the tag of a line that begins with one. */
static void fuzz_keep_tag(struct fuzz *fuzz, const uint8_t *line, size_t len)
{
    size_t at = 0;
    while (at < len && at < 31 && line[at] >= 'a' && line[at] <= 'z')
        at++;
    size_t digits = at;
    while (at < len && at < 31 && line[at] >= '0' && line[at] <= '9')
        at++;
    if (digits != 5 || at == digits || at == len || line[at] != ' ')
        return;
    memmove(fuzz->tags[1], fuzz->tags[0], sizeof fuzz->tags - sizeof fuzz->tags[0]);
    memcpy(fuzz->tags[0], line, at);
    fuzz->tags[0][at] = '\0';
}

static void fuzz_take_output(struct fuzz *fuzz)
{
    struct buf *output = imap_session_output(fuzz->session);
    fuzz_check_secrets(fuzz, output);
    fuzz->told = fuzz->told || fuzz_holds(output, "AUTHENTICATE") || fuzz_holds(output, "LOGIN");
    for (size_t at = 0; at < output->len;) {
        const uint8_t *line = output->data + at;
        const uint8_t *end = memchr(line, '\n', output->len - at);
        size_t len = end ? (size_t)(end - line) + 1 : output->len - at;
        fuzz_keep_tag(fuzz, line, len);
        at += len;
    }
    buf_clear(output);
}

static void fuzz_check_text(const char *text, size_t cap)
{
    size_t len = strnlen(text, cap);
    fuzz_check(len < cap);
    for (size_t i = 0; i < len; i++)
        fuzz_check(text[i] >= 0x20 && text[i] < 0x7F);
}

static void fuzz_check_done(struct fuzz *fuzz, uint32_t number)
{
    for (size_t i = 0; i < fuzz->issued_count; i++) {
        if (fuzz->issued[i] != number)
            continue;
        fuzz_check(!fuzz->done[i]);
        fuzz->done[i] = true;
        fuzz->done_count++;
        return;
    }
    fuzz_check(false);
}

/* TLS stands. */
static void fuzz_bind(const struct fuzz *fuzz)
{
    static const struct sasl_binding binding = {4, {1, 2, 3, 4}};
    if (fuzz->way->bound)
        imap_session_bind(fuzz->session, &binding);
}

/* Logged in, in the way that is asked for; what was proven before is proven now. */
static void fuzz_check_way(const struct fuzz *fuzz)
{
    enum imap_proof proof;
    const char *name = imap_session_mechanism(fuzz->session, &proof);
    const struct fuzz_way *way = fuzz->way;
    if (!*name) /* PREAUTH */
        return;
    fuzz_check(way->token == (strstr(name, "OAUTH") != NULL));
    fuzz_check(fuzz->auth != IMAP_AUTH_SCRAM_SHA_256 || !strcmp(name, "SCRAM-SHA-256"));
    fuzz_check(proof != IMAP_PROOF_BOUND || way->bound);
    fuzz_check(fuzz->auth != IMAP_AUTH_AUTO || !way->before || proof == IMAP_PROOF_BOUND ||
               (!way->bound && proof == IMAP_PROOF_SCRAM));
}

static void fuzz_event(struct fuzz *fuzz, const struct imap_event *event)
{
    if (event->type == IMAP_EVENT_DATA)
        dump_response(&fuzz->log, event->response);
    else
        buf_printf(&fuzz->log, "event %d of %u\n", (int)event->type, event->command);
    switch (event->type) {
    case IMAP_EVENT_STARTTLS:
        fuzz_check(!fuzz->may_speak && !imap_session_rest(fuzz->session));
        fuzz_take_output(fuzz);
        fuzz->hushed = !fuzz->handshake;
        if (fuzz->handshake) {
            fuzz->may_speak = true;
            fuzz_bind(fuzz);
            imap_session_secured(fuzz->session);
            fuzz_check(imap_session_caps(fuzz->session) == 0);
        }
        break;
    case IMAP_EVENT_DERIVE:
        fuzz_check(!fuzz->ready && fuzz->may_speak && !imap_session_waiting_for(fuzz->session));
        imap_session_derived(fuzz->session, (const uint8_t[SASL_KEY_MAX]){7});
        break;
    case IMAP_EVENT_READY:
        fuzz_check(!fuzz->ready && fuzz->may_speak);
        fuzz_check_way(fuzz);
        fuzz->ready = true;
        break;
    case IMAP_EVENT_DONE:
        buf_printf(&fuzz->log, "%d %d %s\n", (int)event->status, (int)event->code, event->text);
        fuzz_check_text(event->text, sizeof event->text);
        fuzz_check_done(fuzz, event->command);
        break;
    case IMAP_EVENT_DATA:
        fuzz_check(event->response != NULL);
        break;
    case IMAP_EVENT_BYE:
        fuzz_check_text(event->text, sizeof event->text);
        fuzz_check(fuzz->ready);
        break;
    case IMAP_EVENT_IDLING:
        fuzz_check(event->command != 0);
        break;
    }
}

static void fuzz_feed(struct fuzz *fuzz, const uint8_t *data, size_t len)
{
    struct imap_event event;
    struct err err = {0};
    int got;
    if (fuzz->over || !len)
        return;
    if (fuzz->tape) {
        uint32_t kept = (uint32_t)len;
        buf_add(fuzz->tape, &kept, sizeof kept);
        buf_add(fuzz->tape, data, len);
    }
    bool hushed = fuzz->hushed;
    imap_session_feed(fuzz->session, data, len);
    while ((got = imap_session_next(fuzz->session, &event, &err)) == 1)
        fuzz_event(fuzz, &event);
    fuzz_check(got < 0 || (!hushed && !imap_session_rest(fuzz->session)));
    if (got < 0) {
        fuzz->over = true;
        buf_printf(&fuzz->log, "over: %s\n", err.text);
        fuzz_check(!fuzz->told || fuzz->ready ||
                   (!strstr(err.text, fuzz->password) &&
                    (!fuzz->way->token || !strstr(err.text, fuzz->token))));
        fuzz_check(imap_session_next(fuzz->session, &event, &err) < 0);
    }
    fuzz_check(imap_session_pending(fuzz->session) == fuzz->issued_count - fuzz->done_count);
    fuzz_take_output(fuzz);
}

static uint32_t fuzz_verb(struct imap_session *session, unsigned verb)
{
    switch (verb) {
    case 0:
        return imap_session_select(session, "INBOX", false);
    case 1:
        return imap_session_select(session, "8\x80", true);
    case 2:
        return imap_session_uid_search(session, "UNSEEN");
    case 3:
        return imap_session_uid_fetch(session, "1:9", "(UID BODY.PEEK[])");
    case 4:
        return imap_session_uid_store(session, "1:9", "+FLAGS.SILENT (\\Seen)");
    case 5:
        return imap_session_uid_copy(session, "1", "a\r\nb");
    case 6:
        return imap_session_uid_move(session, "1", "Trash");
    case 7:
        return imap_session_uid_expunge(session, "1");
    case 8:
        return imap_session_expunge(session);
    case 9:
        return imap_session_list(session, false);
    case 10:
        return imap_session_status(session, "8\x80");
    case 11:
        return imap_session_create(session, "\x80");
    case 12:
        return imap_session_noop(session);
    case 13:
        return imap_session_logout(session);
    case 14:
        return imap_session_idle(session);
    default:
        return imap_session_notify(session, (const char *const[]){"a b", "8\x80"}, 2);
    }
}

static void fuzz_act(struct fuzz *fuzz, uint8_t byte)
{
    if (!fuzz->ready || fuzz->over || fuzz->issued_count == FUZZ_COMMANDS)
        return;
    if (fuzz->tape) {
        uint32_t kept = FUZZ_ACT | byte;
        buf_add(fuzz->tape, &kept, sizeof kept);
    }
    if (byte == 0x0E)
        imap_session_idle_end(fuzz->session);
    else
        fuzz->issued[fuzz->issued_count++] = fuzz_verb(fuzz->session, byte - 0x10u);
    fuzz_take_output(fuzz);
}

static void fuzz_stream(struct fuzz *fuzz, const uint8_t *data, size_t len, size_t chunk)
{
    struct buf piece = {0};
    for (size_t i = 0; i < len; i++) {
        uint8_t byte = data[i];
        bool act = byte == 0x0E || (byte >= 0x10 && byte <= 0x1F);
        if (byte >= 0x01 && byte <= FUZZ_TAGS)
            buf_add_str(&piece, fuzz->tags[byte - 1]);
        else if (!act)
            buf_add_byte(&piece, byte);
        if (act || (chunk ? piece.len >= chunk : byte == '\n')) {
            fuzz_feed(fuzz, piece.data, piece.len);
            buf_release(&piece);
        }
        if (act)
            fuzz_act(fuzz, byte);
    }
    fuzz_feed(fuzz, piece.data, piece.len);
    buf_release(&piece);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* The tape, byte by byte. */
static void fuzz_play(struct fuzz *fuzz, const struct buf *tape)
{
    uint32_t kept;
    for (size_t at = 0; at < tape->len;) {
        memcpy(&kept, tape->data + at, sizeof kept);
        at += sizeof kept;
        if (kept & FUZZ_ACT) {
            fuzz_act(fuzz, (uint8_t)kept);
            continue;
        }
        for (; kept; kept--)
            fuzz_feed(fuzz, tape->data + at++, 1);
    }
}

static void fuzz_begin(struct fuzz *fuzz, unsigned mode)
{
    unsigned security = mode & FUZZ_SECURITY;
    const struct fuzz_way *way = &fuzz_ways[mode >> FUZZ_WAY];
    *fuzz = (struct fuzz){
        .way = way,
        .auth = way->auth == IMAP_AUTH_AUTO && !way->token && mode & FUZZ_LOGIN ? IMAP_AUTH_LOGIN
                                                                                : way->auth,
        .token = "an.access.token",
        .user = mode & FUZZ_8BIT ? "tr\xC3\xA4p\r\n" : "trapuser",
        .password = mode & FUZZ_8BIT ? "\xE4secret\n" : "se\"cret\\",
        .handshake = !(mode & FUZZ_NO_HANDSHAKE),
    };
    struct imap_session_settings settings = {
        .security = security == 3 ? IMAP_SECURITY_IMPLICIT : (enum imap_security)security,
        .auth = fuzz->auth,
        .credentials = {.user = fuzz->user,
                        .password = fuzz->password,
                        .access_token = way->token ? fuzz->token : NULL,
                        .host = "mx.example",
                        .port = 993},
        .before = way->before,
        .verified = way->verified,
        .limits = imap_limits_default,
    };
    settings.limits.text_max = 2000;
    settings.limits.skip_max = 4000;
    fuzz->may_speak = settings.security != IMAP_SECURITY_STARTTLS;
    fuzz->session = imap_session_new(&settings);
    if (settings.security == IMAP_SECURITY_IMPLICIT)
        fuzz_bind(fuzz);
}

static void fuzz_end(struct fuzz *fuzz)
{
    imap_session_free(fuzz->session);
    buf_release(&fuzz->log);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len < 2)
        return 0;
    struct fuzz fuzz, again;
    struct buf tape = {0};
    fuzz_begin(&fuzz, data[0]);
    fuzz.tape = data[1] ? NULL : &tape;
    fuzz_stream(&fuzz, data + 2, len - 2, data[1]);
    if (fuzz.tape) {
        fuzz_begin(&again, data[0]);
        fuzz_play(&again, &tape);
        fuzz_check(again.log.len == fuzz.log.len &&
                   (!fuzz.log.len || !memcmp(again.log.data, fuzz.log.data, fuzz.log.len)));
        fuzz_end(&again);
    }
    fuzz_end(&fuzz);
    buf_release(&tape);
    return 0;
}
