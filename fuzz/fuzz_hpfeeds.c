/* A stream of hpfeeds bytes through the decoder, a client or a server session, once whole and once
 * in chunks: both must say the same, and the decoder what a plain reading of the bytes says.
 * Input: what it is fed to, chunk size, the stream. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "hpfeeds/client.h"
#include "hpfeeds/frame.h"
#include "hpfeeds/server.h"

enum {
    FRAME_MAX = 600
};

static void fuzz_check(bool holds)
{
    if (!holds)
        abort();
}

/* All that a frame says, unambiguously. */
static void fuzz_log_frame(struct buf *log, const struct hpfeeds_frame *frame)
{
    buf_printf(log, "%d %zu %zu %zu %zu:", (int)frame->opcode, frame->ident_len, frame->channel_len,
               frame->payload_len, frame->whole_len);
    buf_add(log, frame->ident, frame->ident_len);
    buf_add(log, frame->channel, frame->channel_len);
    buf_add(log, frame->payload, frame->payload_len);
    buf_add(log, frame->whole, frame->whole_len);
}

static int fuzz_feed_decoder(void *session, struct buf *log, const uint8_t *data, size_t len)
{
    struct hpfeeds_decoder *decoder = session;
    struct hpfeeds_frame frame;
    hpfeeds_decoder_feed(decoder, data, len);
    int got;
    while ((got = hpfeeds_decoder_next(decoder, &frame, NULL)) > 0)
        fuzz_log_frame(log, &frame);
    fuzz_check(decoder->partial.cap <= FRAME_MAX);
    return got;
}

static int fuzz_feed_client(void *session, struct buf *log, const uint8_t *data, size_t len)
{
    struct hpfeeds_client *client = session;
    struct hpfeeds_client_event event;
    hpfeeds_client_feed(client, data, len);
    int got;
    while ((got = hpfeeds_client_next(client, &event, NULL)) > 0) {
        buf_printf(log, "%d(%s)", (int)event.type, event.text);
        fuzz_log_frame(log, &event.frame);
    }
    fuzz_check((got < 0) == (hpfeeds_client_state(client) == HPFEEDS_CLIENT_FAILED));
    return got;
}

static int fuzz_feed_server(void *session, struct buf *log, const uint8_t *data, size_t len)
{
    struct hpfeeds_server *server = session;
    struct hpfeeds_server_event event;
    hpfeeds_server_feed(server, data, len);
    int got;
    while ((got = hpfeeds_server_next(server, &event, NULL)) > 0) {
        buf_printf(log, "%d", (int)event.type);
        fuzz_log_frame(log, &event.frame);
        fuzz_check((event.type == HPFEEDS_SERVER_AUTH) == !hpfeeds_server_ident(server));
        /* The corpus holds the right digest for it. */
        if (event.type == HPFEEDS_SERVER_AUTH)
            fuzz_check(hpfeeds_server_check(server, "secret") == !!hpfeeds_server_ident(server));
    }
    return got;
}

static void fuzz_feed_chunks(int (*feed)(void *, struct buf *, const uint8_t *, size_t),
                             void *session, struct buf *log, const uint8_t *data, size_t len,
                             size_t chunk)
{
    int got = 0;
    for (size_t i = 0; i < len && !got; i += chunk) {
        size_t now = chunk < len - i ? chunk : len - i;
        uint8_t *copy = malloc(now); /* of its own size: reading beyond it is seen */
        fuzz_check(copy);
        memcpy(copy, data + i, now);
        got = feed(session, log, copy, now);
        free(copy);
    }
    buf_printf(log, "end %d", got);
}

static void fuzz_run(unsigned kind, struct buf *log, const uint8_t *data, size_t len, size_t chunk)
{
    struct hpfeeds_decoder decoder;
    hpfeeds_decoder_init(&decoder, FRAME_MAX);
    struct hpfeeds_client *client = hpfeeds_client_new("writer", "secret", FRAME_MAX);
    struct hpfeeds_server *server =
        hpfeeds_server_new("broker", (const uint8_t *)"0123", 4, FRAME_MAX);
    if (kind == 0)
        fuzz_feed_chunks(fuzz_feed_decoder, &decoder, log, data, len, chunk);
    else if (kind == 1)
        fuzz_feed_chunks(fuzz_feed_client, client, log, data, len, chunk);
    else
        fuzz_feed_chunks(fuzz_feed_server, server, log, data, len, chunk);
    buf_add(log, hpfeeds_client_output(client)->data, hpfeeds_client_output(client)->len);
    hpfeeds_decoder_release(&decoder);
    hpfeeds_client_free(client);
    hpfeeds_server_free(server);
}

/* The frame at `data` when it is whole, else false. The fields must not be checked here too: how
 * many there are is what is compared. */
static bool fuzz_plain_frame(const uint8_t *data, size_t len, struct hpfeeds_frame *ret_frame)
{
    struct hpfeeds_frame frame = {.whole = data};
    if (len < 5)
        return false;
    frame.whole_len = data[0] * 0x1000000ul + data[1] * 0x10000ul + data[2] * 0x100ul + data[3];
    if (frame.whole_len < 5 || frame.whole_len > FRAME_MAX || frame.whole_len > len || data[4] > 5)
        return false;
    frame.opcode = (enum hpfeeds_opcode)data[4];
    size_t at = 5;
    if (frame.opcode != HPFEEDS_ERROR) {
        if (at >= frame.whole_len || at + 1 + data[at] > frame.whole_len)
            return false;
        frame.ident = (const char *)data + at + 1;
        frame.ident_len = data[at];
        at += 1 + frame.ident_len;
    }
    if (frame.opcode == HPFEEDS_PUBLISH) {
        if (at >= frame.whole_len || at + 1 + data[at] > frame.whole_len)
            return false;
        frame.channel = (const char *)data + at + 1;
        frame.channel_len = data[at];
        at += 1 + frame.channel_len;
    }
    if (frame.opcode == HPFEEDS_SUBSCRIBE || frame.opcode == HPFEEDS_UNSUBSCRIBE) {
        frame.channel = (const char *)data + at;
        frame.channel_len = frame.whole_len - at;
    } else {
        frame.payload = data + at;
        frame.payload_len = frame.whole_len - at;
    }
    *ret_frame = frame;
    return true;
}

/* The decoder's log begins with every frame that a plain reading finds. */
static void fuzz_check_plain(const struct buf *log, const uint8_t *data, size_t len)
{
    struct buf plain = {0};
    struct hpfeeds_frame frame;
    while (fuzz_plain_frame(data, len, &frame)) {
        fuzz_log_frame(&plain, &frame);
        data += frame.whole_len;
        len -= frame.whole_len;
    }
    fuzz_check(log->len >= plain.len && (!plain.len || !memcmp(log->data, plain.data, plain.len)));
    fuzz_check(log->len <= plain.len + sizeof "end -1");
    buf_release(&plain);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    unsigned kind = data[0] % 3;
    size_t chunk = data[1] + 1u;
    struct buf whole = {0}, parts = {0};
    fuzz_run(kind, &whole, data + 2, size - 2, size);
    fuzz_run(kind, &parts, data + 2, size - 2, chunk);
    fuzz_check(whole.len == parts.len && !memcmp(whole.data, parts.data, whole.len));
    if (kind == 0)
        fuzz_check_plain(&whole, data + 2, size - 2);
    buf_release(&whole);
    buf_release(&parts);
    return 0;
}
