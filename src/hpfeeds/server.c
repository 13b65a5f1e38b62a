#include "hpfeeds/server.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "base/mem.h"
#include "base/text.h"

enum {
    HPFEEDS_NONCE_MAX = 64,
    HPFEEDS_STRING_MAX = 255,
    HPFEEDS_AUTH_MAX = HPFEEDS_HEADER + 1 + HPFEEDS_STRING_MAX + HPFEEDS_DIGEST,
};

/* GREETED --AUTH--> CHECKING --hpfeeds_server_check() true--> READY; all --broken--> FAILED. */
enum hpfeeds_server_state {
    HPFEEDS_SERVER_GREETED,  /* INFO is in the output: AUTH has to come */
    HPFEEDS_SERVER_CHECKING, /* AUTH was handed out; `ident` and `digest` are set */
    HPFEEDS_SERVER_READY,    /* `ident` is set */
    HPFEEDS_SERVER_FAILED,
};

struct hpfeeds_server {
    enum hpfeeds_server_state state;
    char *ident;
    bool authenticated;
    uint8_t digest[HPFEEDS_DIGEST]; /* AUTH's; all zero when it was of another length */
    bool digest_fits;
    uint8_t nonce[HPFEEDS_NONCE_MAX];
    size_t nonce_len;
    size_t frame_max;
    struct hpfeeds_decoder decoder;
    struct buf output;
};

struct hpfeeds_server *hpfeeds_server_new(const char *name, const uint8_t *nonce, size_t nonce_len,
                                          size_t frame_max)
{
    assert(nonce_len >= 4 && nonce_len <= HPFEEDS_NONCE_MAX);
    struct hpfeeds_server *server = mem_new(struct hpfeeds_server);
    server->state = HPFEEDS_SERVER_GREETED;
    memcpy(server->nonce, nonce, nonce_len);
    server->nonce_len = nonce_len;
    server->frame_max = frame_max;
    /* Who has not shown a secret gets no memory for large frames. */
    hpfeeds_decoder_init(&server->decoder,
                         frame_max < HPFEEDS_AUTH_MAX ? frame_max : HPFEEDS_AUTH_MAX);
    hpfeeds_add_info(&server->output, name, nonce, nonce_len);
    return server;
}

void hpfeeds_server_free(struct hpfeeds_server *server)
{
    if (!server)
        return;
    free(server->ident);
    hpfeeds_decoder_release(&server->decoder);
    buf_release(&server->output);
    free(server);
}

void hpfeeds_server_feed(struct hpfeeds_server *server, const uint8_t *data, size_t len)
{
    if (server->state != HPFEEDS_SERVER_FAILED)
        hpfeeds_decoder_feed(&server->decoder, data, len);
}

/* A NUL would cut the name short wherever it is kept as a C string; a longer channel than 255
 * bytes cannot be published to. */
static int hpfeeds_server_check_name(const char *what, const char *name, size_t len,
                                     struct err *err)
{
    if (!len || len > HPFEEDS_STRING_MAX)
        return err_set(err, ERR_GIVE_UP, "%s of %zu bytes", what, len);
    if (memchr(name, '\0', len) || !text_is_utf8(name, len))
        return err_set(err, ERR_GIVE_UP, "%s is not valid UTF-8 text", what);
    return 0;
}

static int hpfeeds_server_check_names(const struct hpfeeds_frame *frame, struct err *err)
{
    if (hpfeeds_server_check_name("ident", frame->ident, frame->ident_len, err))
        return -1;
    if (frame->opcode == HPFEEDS_AUTH)
        return 0;
    return hpfeeds_server_check_name("channel", frame->channel, frame->channel_len, err);
}

/* The answer may be asked for when the frame is long gone. */
static void hpfeeds_server_keep_auth(struct hpfeeds_server *server,
                                     const struct hpfeeds_frame *frame)
{
    server->state = HPFEEDS_SERVER_CHECKING;
    server->ident = mem_strndup(frame->ident, frame->ident_len);
    server->digest_fits = frame->payload_len == sizeof server->digest;
    if (server->digest_fits)
        memcpy(server->digest, frame->payload, sizeof server->digest);
}

/* Where the usual broker refuses the same, the words are its own. */
static int hpfeeds_server_handle(struct hpfeeds_server *server, const struct hpfeeds_frame *frame,
                                 struct hpfeeds_server_event *ret_event, struct err *err)
{
    enum hpfeeds_server_event_type type = HPFEEDS_SERVER_AUTH;
    if (server->state == HPFEEDS_SERVER_CHECKING)
        return err_set(err, ERR_GIVE_UP, "not authenticated");
    if (server->state == HPFEEDS_SERVER_GREETED && frame->opcode != HPFEEDS_AUTH)
        return err_set(err, ERR_GIVE_UP, "First message was not AUTH");
    if (server->state == HPFEEDS_SERVER_READY) {
        if (frame->opcode == HPFEEDS_PUBLISH)
            type = HPFEEDS_SERVER_PUBLISH;
        else if (frame->opcode == HPFEEDS_SUBSCRIBE)
            type = HPFEEDS_SERVER_SUBSCRIBE;
        else if (frame->opcode == HPFEEDS_UNSUBSCRIBE)
            type = HPFEEDS_SERVER_UNSUBSCRIBE;
        else
            return err_set(err, ERR_GIVE_UP, "unexpected opcode %u", (unsigned)frame->opcode);
    }
    if (hpfeeds_server_check_names(frame, err))
        return -1;
    if (type == HPFEEDS_SERVER_AUTH)
        hpfeeds_server_keep_auth(server, frame);
    *ret_event = (struct hpfeeds_server_event){.type = type, .frame = *frame};
    return 1;
}

int hpfeeds_server_next(struct hpfeeds_server *server, struct hpfeeds_server_event *ret_event,
                        struct err *err)
{
    if (server->state == HPFEEDS_SERVER_FAILED)
        return err_set(err, ERR_GIVE_UP, "the protocol was broken earlier");
    struct hpfeeds_frame frame;
    int got = hpfeeds_decoder_next(&server->decoder, &frame, err);
    if (got > 0)
        got = hpfeeds_server_handle(server, &frame, ret_event, err);
    if (got < 0)
        server->state = HPFEEDS_SERVER_FAILED;
    return got;
}

bool hpfeeds_server_check(struct hpfeeds_server *server, const char *secret)
{
    uint8_t expected[HPFEEDS_DIGEST];
    hpfeeds_digest(expected, server->nonce, server->nonce_len, secret ? secret : "");
    bool right = !CRYPTO_memcmp(server->digest, expected, sizeof expected) && server->digest_fits;
    if (!secret || !right || server->state != HPFEEDS_SERVER_CHECKING)
        return false;
    server->state = HPFEEDS_SERVER_READY;
    server->authenticated = true;
    hpfeeds_decoder_set_max(&server->decoder, server->frame_max);
    return true;
}

size_t hpfeeds_server_take_back(struct hpfeeds_server *server)
{
    return hpfeeds_decoder_take_back(&server->decoder);
}

size_t hpfeeds_server_held(const struct hpfeeds_server *server)
{
    return hpfeeds_decoder_partial(&server->decoder) ? server->decoder.partial.len : 0;
}

void hpfeeds_server_forget(struct hpfeeds_server *server)
{
    if (hpfeeds_decoder_partial(&server->decoder)) /* else a frame that was handed out lies there */
        buf_release(&server->decoder.partial);
}

const char *hpfeeds_server_claimed(const struct hpfeeds_server *server)
{
    return server->ident;
}

const char *hpfeeds_server_ident(const struct hpfeeds_server *server)
{
    return server->authenticated ? server->ident : NULL;
}

struct buf *hpfeeds_server_output(struct hpfeeds_server *server)
{
    return &server->output;
}
