/* hpfeeds/frame.h: hpfeeds frames on the wire. No I/O.
 *
 * A frame is u32 big-endian length (of all of it, these 4 bytes included), u8 opcode, body.
 * Strings are a u8 length and the bytes; a body's last field has no length of its own. */
#ifndef HPFEEDS_FRAME_H
#define HPFEEDS_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum hpfeeds_opcode {
    HPFEEDS_ERROR = 0,       /* text; broker to client */
    HPFEEDS_INFO = 1,        /* s8 broker name, nonce; broker to client, first of all */
    HPFEEDS_AUTH = 2,        /* s8 ident, 20 bytes SHA-1(nonce, secret); client to broker */
    HPFEEDS_PUBLISH = 3,     /* s8 ident, s8 channel, payload; both ways */
    HPFEEDS_SUBSCRIBE = 4,   /* s8 ident, channel */
    HPFEEDS_UNSUBSCRIBE = 5, /* s8 ident, channel */
};

enum {
    HPFEEDS_HEADER = 5,
    HPFEEDS_DIGEST = 20,
    HPFEEDS_NAME_MAX = 127,  /* of an ident or a channel, to be safe with every broker … */
    HPFEEDS_NAMES_MAX = 252, /* … and of the two together */
    HPFEEDS_FRAME_MAX_DEFAULT = 1048576,
};

/* An ERROR with these words in it is about the broker's own state, not about what a client may do:
 * what was not taken may be sent again. This project's broker keeps to it. */
#define HPFEEDS_TRY_LATER "try again later"

/* One decoded frame; all pointers go into the decoder's input or buffer and are valid until the
 * next call of hpfeeds_decoder_next() or _feed(). Absent fields are empty. */
struct hpfeeds_frame {
    enum hpfeeds_opcode opcode;
    const char *ident; /* of AUTH, PUBLISH, SUBSCRIBE, UNSUBSCRIBE; broker's name of INFO */
    size_t ident_len;
    const char *channel; /* of PUBLISH, SUBSCRIBE, UNSUBSCRIBE */
    size_t channel_len;
    const uint8_t *payload; /* of PUBLISH; INFO's nonce, AUTH's digest, ERROR's text */
    size_t payload_len;
    const uint8_t *whole; /* the frame as it came, header included */
    size_t whole_len;
};

struct hpfeeds_decoder {
    struct buf partial; /* the beginning of a frame that is not whole yet */
    const uint8_t *input;
    size_t input_len;
    size_t frame_max;
    size_t partial_used; /* the partial's frame was handed out */
    bool failed;
};

/* Frames longer than `frame_max` bytes are refused as soon as their length has come; _set_max()
 * holds for the next frame that begins. Memory grows with the bytes that came, not with the length
 * that was announced, and only for a frame that does not lie whole in one piece of input. */
void hpfeeds_decoder_init(struct hpfeeds_decoder *decoder, size_t frame_max);
void hpfeeds_decoder_release(struct hpfeeds_decoder *decoder);
void hpfeeds_decoder_set_max(struct hpfeeds_decoder *decoder, size_t frame_max);
/* Gives it input, which stays where it is until hpfeeds_decoder_next() has returned 0 (then all of
 * it is taken) or -1; only then more may be given. */
void hpfeeds_decoder_feed(struct hpfeeds_decoder *decoder, const uint8_t *data, size_t len);
/* 1 and a frame; 0: needs more input; -1: a length below 5 or above the maximum, an unknown
 * opcode, or a body its fields do not fit in (ERR_GIVE_UP). After -1 the decoder stays failed. */
int hpfeeds_decoder_next(struct hpfeeds_decoder *decoder, struct hpfeeds_frame *ret_frame,
                         struct err *err);
/* How many bytes of the input were not taken yet; it forgets them. */
size_t hpfeeds_decoder_take_back(struct hpfeeds_decoder *decoder);
/* After hpfeeds_decoder_next() returned 0: is it in the middle of a frame? */
bool hpfeeds_decoder_partial(const struct hpfeeds_decoder *decoder);

/* Encoders append one whole frame. Idents and channels are at most 255 bytes here; the caller has
 * checked them with hpfeeds_names_valid() where they come from a configuration. */
void hpfeeds_add_error(struct buf *out, const char *text);
void hpfeeds_add_info(struct buf *out, const char *name, const uint8_t *nonce, size_t nonce_len);
void hpfeeds_add_auth(struct buf *out, const char *ident, const uint8_t *nonce, size_t nonce_len,
                      const char *secret);
void hpfeeds_add_publish(struct buf *out, const char *ident, const char *channel,
                         const void *payload, size_t len);
void hpfeeds_add_subscribe(struct buf *out, const char *ident, const char *channel);
void hpfeeds_add_unsubscribe(struct buf *out, const char *ident, const char *channel);

/* The size of a PUBLISH frame's header, ident and channel included. */
size_t hpfeeds_publish_prefix(const char *ident, const char *channel);
/* Writes that prefix to `out` for a payload of `payload_len` bytes that follows it. */
void hpfeeds_put_publish_prefix(uint8_t *out, const char *ident, const char *channel,
                                size_t payload_len);

/* SHA-1(nonce, secret), AUTH's proof. */
void hpfeeds_digest(uint8_t out[HPFEEDS_DIGEST], const uint8_t *nonce, size_t nonce_len,
                    const char *secret);

/* May this ident and channel be used with every broker: not empty, valid UTF-8, at most
 * HPFEEDS_NAME_MAX each and HPFEEDS_NAMES_MAX together? Else false and why. */
bool hpfeeds_names_valid(const char *ident, const char *channel, struct err *err);

#endif
