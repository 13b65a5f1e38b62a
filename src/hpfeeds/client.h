/* hpfeeds/client.h: a client's session with a broker: INFO in, AUTH out, then frames. No I/O.
 *
 * A good AUTH gets no answer, so the session is ready as soon as AUTH is in its output; a bad one
 * shows as HPFEEDS_CLIENT_ERROR or as the connection's end. */
#ifndef HPFEEDS_CLIENT_H
#define HPFEEDS_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "hpfeeds/frame.h"

enum hpfeeds_client_state {
    HPFEEDS_CLIENT_WAITING, /* for INFO: nothing may be sent */
    HPFEEDS_CLIENT_READY,   /* AUTH is sent, or in the output */
    HPFEEDS_CLIENT_FAILED,  /* the broker broke the protocol */
};

enum hpfeeds_client_event_type {
    HPFEEDS_CLIENT_READY_EVENT, /* INFO came: AUTH is in the output, frames may follow it */
    HPFEEDS_CLIENT_MESSAGE,     /* a PUBLISH came */
    HPFEEDS_CLIENT_ERROR,       /* an ERROR came; brokers differ in whether they hang up after it */
};

struct hpfeeds_client_event {
    enum hpfeeds_client_event_type type;
    struct hpfeeds_frame frame; /* MESSAGE, ERROR; valid until the next call */
    char text[300];             /* ERROR's text, or READY's broker name, escaped */
    bool later;                 /* ERROR: it says HPFEEDS_TRY_LATER */
};

struct hpfeeds_client;

/* Strings are copied; the secret is wiped as soon as AUTH is made. */
struct hpfeeds_client *hpfeeds_client_new(const char *ident, const char *secret, size_t frame_max);
void hpfeeds_client_free(struct hpfeeds_client *client);
/* `data` stays where it is until hpfeeds_client_next() has returned 0 or -1, or it is taken back;
 * only then more may be given. */
void hpfeeds_client_feed(struct hpfeeds_client *client, const uint8_t *data, size_t len);
/* 1 and an event; 0: needs more; -1: the broker broke the protocol (nothing but INFO or ERROR may
 * come first, never a second INFO, AUTH or SUBSCRIBE): ERR_RETRY_LATER. */
int hpfeeds_client_next(struct hpfeeds_client *client, struct hpfeeds_client_event *ret_event,
                        struct err *err);
/* How many of the bytes fed last were not looked at. They are forgotten: the caller gives them
 * again, or knows what it has not had. */
size_t hpfeeds_client_take_back(struct hpfeeds_client *client);
enum hpfeeds_client_state hpfeeds_client_state(const struct hpfeeds_client *client);
/* What must be sent; the caller sends it and clears it. AUTH appears here. */
struct buf *hpfeeds_client_output(struct hpfeeds_client *client);

/* What the broker says with an ERROR, unless it repeats the secret, which it knows, in plain or in
 * base64. The default secret, the word "secret", is none, but a word that may be said. */
const char *hpfeeds_client_words(const struct hpfeeds_client_event *event, const char *secret);

#endif
