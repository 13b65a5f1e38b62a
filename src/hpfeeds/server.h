/* hpfeeds/server.h: a broker's session with one client: INFO out, AUTH checked, then frames.
 * No I/O. The broker room decides who may do what. */
#ifndef HPFEEDS_SERVER_H
#define HPFEEDS_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "hpfeeds/frame.h"

enum hpfeeds_server_event_type {
    HPFEEDS_SERVER_AUTH,    /* look the ident up, then call hpfeeds_server_check() */
    HPFEEDS_SERVER_PUBLISH, /* frame.ident may differ from the authenticated one: refuse it */
    HPFEEDS_SERVER_SUBSCRIBE,
    HPFEEDS_SERVER_UNSUBSCRIBE,
};

struct hpfeeds_server_event {
    enum hpfeeds_server_event_type type;
    struct hpfeeds_frame frame; /* valid until the next call */
};

struct hpfeeds_server;

/* Until the client is authenticated only frames of AUTH's size are taken, `frame_max` counts after
 * that. The name has at most 255 bytes. INFO, with a nonce of `nonce_len` (4..64) random bytes, is
 * at once in the output. */
struct hpfeeds_server *hpfeeds_server_new(const char *name, const uint8_t *nonce, size_t nonce_len,
                                          size_t frame_max);
void hpfeeds_server_free(struct hpfeeds_server *server);
/* `data` stays where it is until hpfeeds_server_next() has returned 0 or -1; only then more may be
 * given. */
void hpfeeds_server_feed(struct hpfeeds_server *server, const uint8_t *data, size_t len);
/* 1 and an event; 0: needs more; -1: protocol broken, with the text the client may be told
 * (also: anything but AUTH first, anything after an AUTH that was not found right, a second AUTH,
 * names that are empty, over 255 bytes, not valid UTF-8, or hold a NUL). After -1 it stays so. */
int hpfeeds_server_next(struct hpfeeds_server *server, struct hpfeeds_server_event *ret_event,
                        struct err *err);
/* Answers HPFEEDS_SERVER_AUTH, at once or later: is the digest that came right for `secret` (NULL:
 * unknown ident, false after the same work)? Compared in constant time. True makes the session
 * authenticated. Until then hpfeeds_server_next() is not called: the frames behind AUTH are taken
 * back with hpfeeds_server_take_back(). */
bool hpfeeds_server_check(struct hpfeeds_server *server, const char *secret);
/* How many of the bytes fed last were not looked at. They are forgotten: the caller gives them
 * again. */
size_t hpfeeds_server_take_back(struct hpfeeds_server *server);
/* The bytes held of a frame that has not come whole. */
size_t hpfeeds_server_held(const struct hpfeeds_server *server);
/* Gives them up: nothing more is to be fed. */
void hpfeeds_server_forget(struct hpfeeds_server *server);
/* The ident that AUTH claimed, right or not; NULL before it. */
const char *hpfeeds_server_claimed(const struct hpfeeds_server *server);
/* The authenticated ident, or NULL. */
const char *hpfeeds_server_ident(const struct hpfeeds_server *server);
/* What must be sent; the caller sends and clears it. */
struct buf *hpfeeds_server_output(struct hpfeeds_server *server);

#endif
