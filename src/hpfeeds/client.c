#include "hpfeeds/client.h"

#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/mem.h"
#include "base/text.h"

/* WAITING --INFO--> READY; both --broken protocol--> FAILED. The secret is there only while
 * WAITING. */
struct hpfeeds_client {
    enum hpfeeds_client_state state;
    char *ident;
    char *secret;
    struct hpfeeds_decoder decoder;
    struct buf output;
};

struct hpfeeds_client *hpfeeds_client_new(const char *ident, const char *secret, size_t frame_max)
{
    struct hpfeeds_client *client = mem_new(struct hpfeeds_client);
    client->state = HPFEEDS_CLIENT_WAITING;
    client->ident = mem_strdup(ident);
    client->secret = mem_strdup(secret);
    hpfeeds_decoder_init(&client->decoder, frame_max);
    return client;
}

static void hpfeeds_client_forget_secret(struct hpfeeds_client *client)
{
    mem_free_secret(client->secret);
    client->secret = NULL;
}

void hpfeeds_client_free(struct hpfeeds_client *client)
{
    if (!client)
        return;
    hpfeeds_client_forget_secret(client);
    free(client->ident);
    hpfeeds_decoder_release(&client->decoder);
    buf_release(&client->output);
    free(client);
}

void hpfeeds_client_feed(struct hpfeeds_client *client, const uint8_t *data, size_t len)
{
    if (client->state != HPFEEDS_CLIENT_FAILED)
        hpfeeds_decoder_feed(&client->decoder, data, len);
}

static int hpfeeds_client_ready(struct hpfeeds_client *client, const struct hpfeeds_frame *info,
                                struct hpfeeds_client_event *ret_event)
{
    hpfeeds_add_auth(&client->output, client->ident, info->payload, info->payload_len,
                     client->secret);
    hpfeeds_client_forget_secret(client);
    client->state = HPFEEDS_CLIENT_READY;
    ret_event->type = HPFEEDS_CLIENT_READY_EVENT;
    ret_event->frame = *info;
    text_escape(ret_event->text, sizeof ret_event->text, info->ident, info->ident_len);
    return 1;
}

static int hpfeeds_client_handle(struct hpfeeds_client *client, const struct hpfeeds_frame *frame,
                                 struct hpfeeds_client_event *ret_event, struct err *err)
{
    bool waiting = client->state == HPFEEDS_CLIENT_WAITING;
    if (frame->opcode == HPFEEDS_INFO && waiting)
        return hpfeeds_client_ready(client, frame, ret_event);
    if (frame->opcode == HPFEEDS_ERROR) {
        ret_event->type = HPFEEDS_CLIENT_ERROR;
        ret_event->frame = *frame;
        text_escape(ret_event->text, sizeof ret_event->text, frame->payload, frame->payload_len);
        ret_event->later = strstr(ret_event->text, HPFEEDS_TRY_LATER);
        return 1;
    }
    if (frame->opcode == HPFEEDS_PUBLISH && !waiting) {
        ret_event->type = HPFEEDS_CLIENT_MESSAGE;
        ret_event->frame = *frame;
        ret_event->text[0] = '\0';
        return 1;
    }
    return err_set(err, ERR_RETRY_LATER, "unexpected hpfeeds frame with opcode %u %s",
                   (unsigned)frame->opcode, waiting ? "in place of INFO" : "from the broker");
}

int hpfeeds_client_next(struct hpfeeds_client *client, struct hpfeeds_client_event *ret_event,
                        struct err *err)
{
    if (client->state == HPFEEDS_CLIENT_FAILED)
        return err_set(err, ERR_RETRY_LATER, "the broker broke the hpfeeds protocol earlier");
    struct hpfeeds_frame frame;
    int got = hpfeeds_decoder_next(&client->decoder, &frame, err);
    if (got > 0)
        got = hpfeeds_client_handle(client, &frame, ret_event, err);
    if (got < 0) {
        client->state = HPFEEDS_CLIENT_FAILED;
        hpfeeds_client_forget_secret(client);
        if (err)
            err->action = ERR_RETRY_LATER; /* another connection may find the broker mended */
    }
    return got;
}

size_t hpfeeds_client_take_back(struct hpfeeds_client *client)
{
    return hpfeeds_decoder_take_back(&client->decoder);
}

enum hpfeeds_client_state hpfeeds_client_state(const struct hpfeeds_client *client)
{
    return client->state;
}

struct buf *hpfeeds_client_output(struct hpfeeds_client *client)
{
    return &client->output;
}

const char *hpfeeds_client_words(const struct hpfeeds_client_event *event, const char *secret)
{
    const struct hpfeeds_frame *said = &event->frame;
    size_t len = strlen(secret);
    struct buf encoded = {0};
    if (!len || !strcmp(secret, "secret"))
        return event->text;
    buf_reserve_exact(&encoded, len / 3 * 4 + 5);
    base64_encode(&encoded, secret, len);
    /* Not in what is shown: where that is cut off, the beginning of one would stand. */
    bool held = memmem(said->payload, said->payload_len, secret, len) ||
                memmem(said->payload, said->payload_len, encoded.data, encoded.len);
    mem_wipe(encoded.data, encoded.cap);
    buf_release(&encoded);
    return held ? "(its words repeat the secret)" : event->text;
}
