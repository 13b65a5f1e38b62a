#include "peer.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/mem.h"

enum {
    PEER_WHOLE = -1,
    PEER_BYTEWISE = -2,
    PEER_EVENTS = 64,
    PEER_TAGS = 10,
};

struct peer {
    const struct peer_script *script;
    const char *step; /* the one at hand, for messages */
    int split;        /* PEER_WHOLE, PEER_BYTEWISE, or where the bytes are cut */
    struct imap_session *session;
    bool secured;
    bool failed;
    struct buf sent; /* by the session, since the last C */
    char *tags[PEER_TAGS];
    char *events[PEER_EVENTS];
    size_t event_count, event_next;
    uint32_t commands[PEER_STEPS]; /* numbers, in the order of the D steps */
    size_t command_count;
    struct sasl_derivation derivation;
};

static const struct sasl_binding peer_binding = {
    .len = 12,
    .data = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11},
};

static const char *peer_user(const struct peer *peer)
{
    return peer->script->user ? peer->script->user : "trap@example.org";
}

static const char *peer_password(const struct peer *peer)
{
    return peer->script->password ? peer->script->password : "open sesame";
}

static void peer_fail(const struct peer *peer, const char *what, const char *got)
{
    fail_msg("script \"%s\" (split %d), step \"%s\": %s: \"%s\"", peer->script->name, peer->split,
             peer->step, what, got);
}

static void peer_check_absent(struct peer *peer, const void *secret, size_t len)
{
    if (len && peer->sent.len && memmem(peer->sent.data, peer->sent.len, secret, len))
        peer_fail(peer, "a secret left in the clear", buf_cstr(&peer->sent));
}

/* No byte of user or password, in any coding, unless it may. */
static void peer_check_secrets(struct peer *peer)
{
    if (peer->script->security != IMAP_SECURITY_STARTTLS || peer->secured)
        return;
    const char *token = peer->script->access_token;
    const char *secrets[] = {peer_user(peer), peer_password(peer), token ? token : ""};
    for (size_t i = 0; i < sizeof secrets / sizeof *secrets; i++) {
        struct buf coded = {0};
        peer_check_absent(peer, secrets[i], strlen(secrets[i]));
        base64_encode(&coded, secrets[i], strlen(secrets[i]));
        peer_check_absent(peer, coded.data, coded.len);
        buf_release(&coded);
    }
    peer_check_absent(peer, "AUTHENTICATE", 12);
    peer_check_absent(peer, "LOGIN", 5);
}

/* As a caller does after each round: sends what is to be sent. */
static void peer_take_output(struct peer *peer)
{
    struct buf *output = imap_session_output(peer->session);
    buf_add(&peer->sent, output->data, output->len);
    buf_clear(output);
    peer_check_secrets(peer);
}

static void peer_describe_status(struct buf *out, enum imap_status status, enum imap_code code,
                                 const char *text)
{
    buf_printf(out, " %s ", imap_status_name(status));
    if (code != IMAP_CODE_NONE)
        buf_printf(out, "[%s] ", imap_code_name(code));
    buf_add_str(out, text);
}

static void peer_describe_data(struct buf *out, const struct imap_response *response)
{
    buf_add_str(out, "DATA");
    switch (response->type) {
    case IMAP_RESPONSE_STATUS:
        peer_describe_status(out, response->status, response->code, response->text);
        break;
    case IMAP_RESPONSE_EXISTS:
        buf_printf(out, " EXISTS %u", (unsigned)response->number);
        break;
    case IMAP_RESPONSE_EXPUNGE:
        buf_printf(out, " EXPUNGE %u", (unsigned)response->number);
        break;
    case IMAP_RESPONSE_CAPABILITY:
        buf_add_str(out, " CAPABILITY");
        break;
    case IMAP_RESPONSE_FETCH:
        buf_printf(out, " FETCH %u", (unsigned)response->fetch.uid);
        break;
    case IMAP_RESPONSE_LIST:
        buf_add_str(out, " LIST ");
        buf_add(out, response->name, response->name_len);
        break;
    case IMAP_RESPONSE_MAILBOX_STATUS:
        buf_printf(out, " STATUS %s", response->name);
        if (response->has_messages)
            buf_printf(out, " messages %u", (unsigned)response->messages);
        if (response->has_uidnext)
            buf_printf(out, " uidnext %u", (unsigned)response->uidnext);
        if (response->has_uidvalidity)
            buf_printf(out, " uidvalidity %u", (unsigned)response->uidvalidity);
        break;
    case IMAP_RESPONSE_OTHER:
        buf_printf(out, " OTHER %s", response->text);
        break;
    default:
        buf_printf(out, " type %d", (int)response->type);
    }
}

static unsigned peer_command_index(const struct peer *peer, uint32_t number)
{
    for (size_t i = 0; i < peer->command_count; i++)
        if (peer->commands[i] == number)
            return (unsigned)i + 1;
    return 0;
}

static void peer_describe(struct peer *peer, struct buf *out, const struct imap_event *event)
{
    unsigned command = peer_command_index(peer, event->command);
    switch (event->type) {
    case IMAP_EVENT_STARTTLS:
        buf_add_str(out, "STARTTLS");
        break;
    case IMAP_EVENT_DERIVE:
        peer->derivation = *event->derivation;
        buf_printf(out, "DERIVE %u", (unsigned)peer->derivation.iterations);
        break;
    case IMAP_EVENT_READY:
        buf_add_str(out, "READY");
        break;
    case IMAP_EVENT_DONE:
        buf_printf(out, "DONE %u", command);
        peer_describe_status(out, event->status, event->code, event->text);
        break;
    case IMAP_EVENT_DATA:
        peer_describe_data(out, event->response);
        break;
    case IMAP_EVENT_BYE:
        buf_add_str(out, "BYE");
        peer_describe_status(out, event->status, event->code, event->text);
        break;
    case IMAP_EVENT_IDLING:
        buf_printf(out, "IDLING %u", command);
        break;
    }
}

static void peer_add_event(struct peer *peer, struct buf *text)
{
    if (peer->event_count == PEER_EVENTS)
        peer_fail(peer, "too many events", buf_cstr(text));
    peer->events[peer->event_count++] = mem_strdup(buf_cstr(text));
    buf_release(text);
}

static void peer_feed(struct peer *peer, const char *bytes, size_t len)
{
    static const char *const actions[] = {"now", "later", "giveup"};
    struct imap_event event;
    struct err err = {0};
    int got;
    if (peer->failed)
        return;
    /* A copy of its own size, so that reading on behind it is seen. */
    char *copy = mem_strndup(bytes, len);
    imap_session_feed(peer->session, (uint8_t *)copy, len);
    while ((got = imap_session_next(peer->session, &event, &err)) == 1) {
        struct buf text = {0};
        peer_describe(peer, &text, &event);
        peer_add_event(peer, &text);
    }
    if (got < 0) {
        struct buf text = {0};
        buf_printf(&text, "FAIL %s %s", actions[err.action], err.text);
        peer_add_event(peer, &text);
        peer->failed = true;
        assert_int_equal(imap_session_next(peer->session, &event, &err), -1);
        if (*peer_password(peer) &&
            strstr(peer->events[peer->event_count - 1], peer_password(peer)))
            peer_fail(peer, "the password is in the error", err.text);
    }
    free(copy);
    peer_take_output(peer);
}

/* With the tags in place of their variables. */
static void peer_server(struct peer *peer, const char *bytes)
{
    struct buf text = {0};
    for (const char *at = bytes; *at; at++) {
        bool variable = at[0] == '$' && at[1] >= '1' && at[1] <= '9';
        if (variable && !peer->tags[at[1] - '0'])
            peer_fail(peer, "no such tag", at);
        if (variable)
            buf_add_str(&text, peer->tags[*++at - '0']);
        else
            buf_add_byte(&text, (uint8_t)*at);
    }
    const char *data = (const char *)text.data;
    size_t cut = peer->split >= 0 && (size_t)peer->split < text.len ? (size_t)peer->split : 0;
    if (peer->split == PEER_BYTEWISE) {
        for (size_t i = 0; i < text.len; i++)
            peer_feed(peer, data + i, 1);
    } else {
        if (cut)
            peer_feed(peer, data, cut);
        peer_feed(peer, data + cut, text.len - cut);
    }
    buf_release(&text);
}

static size_t peer_tag_length(const char *text)
{
    size_t letters = strspn(text, "abcdefghijklmnopqrstuvwxyz");
    size_t digits = strspn(text + letters, "0123456789");
    return letters >= 4 && digits ? letters + digits : 0;
}

static void peer_client(struct peer *peer, const char *expected)
{
    const char *got = buf_cstr(&peer->sent);
    size_t at = 0;
    for (const char *want = expected; *want; want++) {
        if (want[0] != '$' || want[1] < '1' || want[1] > '9') {
            if (at == peer->sent.len || got[at++] != *want)
                peer_fail(peer, "sent", got);
            continue;
        }
        char **tag = &peer->tags[*++want - '0'];
        if (!*tag)
            *tag = mem_strndup(got + at, peer_tag_length(got + at));
        if (!**tag || strncmp(got + at, *tag, strlen(*tag)) != 0)
            peer_fail(peer, "no tag, or another one", got);
        at += strlen(*tag);
    }
    if (at != peer->sent.len)
        peer_fail(peer, "sent too much", got);
    buf_clear(&peer->sent);
}

static void peer_event(struct peer *peer, const char *expected)
{
    size_t len = strlen(expected);
    if (peer->event_next == peer->event_count)
        peer_fail(peer, "no event", "");
    const char *got = peer->events[peer->event_next++];
    bool prefix = len && expected[len - 1] == '*';
    if (prefix ? strncmp(got, expected, len - 1) != 0 : strcmp(got, expected) != 0)
        peer_fail(peer, "event", got);
}

static void peer_optional_event(struct peer *peer, const char *expected)
{
    bool there = peer->event_next < peer->event_count;
    if (there && strcmp(peer->events[peer->event_next], expected) == 0)
        peer->event_next++;
}

static void peer_no_event(const struct peer *peer)
{
    if (peer->event_next != peer->event_count)
        peer_fail(peer, "an event nobody expects", peer->events[peer->event_next]);
}

/* "word rest": the word's length; *rest is what is behind the blank. */
static bool peer_verb(const char *step, const char *verb, const char **rest)
{
    size_t len = strlen(verb);
    if (strncmp(step, verb, len) != 0 || (step[len] && step[len] != ' '))
        return false;
    *rest = step[len] ? step + len + 1 : "";
    return true;
}

/* "a|b": two mailboxes. */
static uint32_t peer_notify(struct imap_session *session, const char *list)
{
    char *copy = mem_strdup(list), *rest = NULL;
    const char *names[PEER_STEPS];
    size_t count = 0;
    for (char *name = strtok_r(copy, "|", &rest); name; name = strtok_r(NULL, "|", &rest))
        names[count++] = name;
    uint32_t number = imap_session_notify(session, names, count);
    free(copy);
    return number;
}

static uint32_t peer_issue(struct peer *peer, const char *step)
{
    struct imap_session *session = peer->session;
    const char *rest;
    if (peer_verb(step, "select", &rest))
        return imap_session_select(session, rest, false);
    if (peer_verb(step, "examine", &rest))
        return imap_session_select(session, rest, true);
    if (peer_verb(step, "search", &rest))
        return imap_session_uid_search(session, rest);
    if (peer_verb(step, "fetch", &rest))
        return imap_session_uid_fetch(session, "1:3,7", rest);
    if (peer_verb(step, "store", &rest))
        return imap_session_uid_store(session, "1:3,7", rest);
    if (peer_verb(step, "copy", &rest))
        return imap_session_uid_copy(session, "1:3,7", rest);
    if (peer_verb(step, "move", &rest))
        return imap_session_uid_move(session, "1:3,7", rest);
    if (peer_verb(step, "uid-expunge", &rest))
        return imap_session_uid_expunge(session, rest);
    if (peer_verb(step, "expunge", &rest))
        return imap_session_expunge(session);
    if (peer_verb(step, "list", &rest))
        return imap_session_list(session, strcmp(rest, "plain") == 0);
    if (peer_verb(step, "status", &rest))
        return imap_session_status(session, rest);
    if (peer_verb(step, "notify", &rest))
        return peer_notify(peer->session, rest);
    if (peer_verb(step, "create", &rest))
        return imap_session_create(session, rest);
    if (peer_verb(step, "noop", &rest))
        return imap_session_noop(session);
    if (peer_verb(step, "logout", &rest))
        return imap_session_logout(session);
    if (peer_verb(step, "idle", &rest))
        return imap_session_idle(session);
    peer_fail(peer, "no such verb", step);
    return 0;
}

static void peer_do(struct peer *peer, const char *step)
{
    if (strcmp(step, "idle-end") == 0) {
        imap_session_idle_end(peer->session);
    } else {
        uint32_t number = peer_issue(peer, step);
        assert_int_not_equal(number, 0);
        assert_int_equal(peer_command_index(peer, number), 0);
        peer->commands[peer->command_count++] = number;
    }
    peer_take_output(peer);
}

static void peer_waiting(struct peer *peer, const char *expected)
{
    const char *words = imap_session_waiting_for(peer->session);
    if (strcmp(words ? words : "-", expected) != 0)
        peer_fail(peer, "waiting for", words ? words : "-");
}

static void peer_number(struct peer *peer, uint64_t got, const char *expected)
{
    char text[32];
    snprintf(text, sizeof text, "%llu", (unsigned long long)got);
    if (strcmp(text, expected) != 0)
        peer_fail(peer, "number", text);
}

static void peer_derive(struct peer *peer)
{
    /* Scripts are run hundreds of times: once will do. */
    static struct sasl_derivation last;
    static uint8_t key[SASL_KEY_MAX];
    if (!sasl_derivation_equal(&last, &peer->derivation))
        sasl_derive(&peer->derivation, "open sesame", key);
    last = peer->derivation;
    imap_session_derived(peer->session, key);
    peer_take_output(peer);
}

static void peer_mechanism(struct peer *peer, const char *expected)
{
    static const char *const proofs[] = {"none", "scram", "bound"};
    enum imap_proof proof;
    const char *name = imap_session_mechanism(peer->session, &proof);
    struct buf text = {0};
    buf_printf(&text, "%s %s", name, proofs[proof]);
    if (strcmp(buf_cstr(&text), expected) != 0)
        peer_fail(peer, "another mechanism", buf_cstr(&text));
    buf_release(&text);
}

static void peer_step(struct peer *peer, const char *step)
{
    const char *argument = step + 2;
    peer->step = step;
    switch (step[0]) {
    case 'S':
        peer_no_event(peer);
        peer_server(peer, argument);
        break;
    case 'C':
        peer_client(peer, argument);
        break;
    case 'E':
        peer_event(peer, argument);
        break;
    case 'O':
        peer_optional_event(peer, argument);
        break;
    case 'W':
        peer_waiting(peer, argument);
        break;
    case 'D':
        peer_no_event(peer);
        peer_do(peer, argument);
        break;
    case 'T':
        peer->secured = true;
        imap_session_secured(peer->session);
        peer_take_output(peer);
        break;
    case 'P':
        peer_number(peer, imap_session_suggested_pause(peer->session), argument);
        break;
    case 'K':
        peer_derive(peer);
        break;
    case 'M':
        peer_mechanism(peer, argument);
        break;
    case 'A':
        peer_number(peer, imap_session_token_refused(peer->session), argument);
        break;
    case 'N':
        peer_number(peer, imap_session_pending(peer->session), argument);
        break;
    default:
        peer_fail(peer, "no such step", step);
    }
}

static void peer_run_once(const struct peer_script *script, int split)
{
    struct peer peer = {.script = script, .split = split, .step = "start"};
    struct imap_session_settings settings = {
        .security = script->security,
        .auth = script->auth,
        .credentials = {.user = peer_user(&peer),
                        .password = peer_password(&peer),
                        .access_token = script->access_token,
                        .host = "mx.example",
                        .port = 993},
        .before = script->before,
        .verified = script->verified,
        .limits = imap_limits_default,
    };
    peer.session = imap_session_new(&settings);
    if (script->bound)
        imap_session_bind(peer.session, &peer_binding);
    for (size_t i = 0; i < PEER_STEPS && script->steps[i]; i++)
        peer_step(&peer, script->steps[i]);
    peer.step = "end";
    peer_no_event(&peer);
    peer_client(&peer, "");
    imap_session_free(peer.session);
    buf_release(&peer.sent);
    for (size_t i = 0; i < PEER_TAGS; i++)
        free(peer.tags[i]);
    for (size_t i = 0; i < peer.event_count; i++)
        free(peer.events[i]);
}

void peer_run(const struct peer_script *script)
{
    size_t longest = 0;
    for (size_t i = 0; i < PEER_STEPS && script->steps[i]; i++)
        if (script->steps[i][0] == 'S' && strlen(script->steps[i]) > longest)
            longest = strlen(script->steps[i]);
    peer_run_once(script, PEER_WHOLE);
    peer_run_once(script, PEER_BYTEWISE);
    for (int split = 1; split < (int)longest + 30; split++)
        peer_run_once(script, split);
}

void peer_run_all(const struct peer_script *scripts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        peer_run(&scripts[i]);
}
