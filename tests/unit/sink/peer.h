/* A scripted broker on loopback: answers as the table of brokers says, and remembers every frame
 * it handled. */
#ifndef TEST_SINK_PEER_H
#define TEST_SINK_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/num.h"

struct net_listener;
struct net_loop;
struct net_timer;
struct net_tls;
struct peer_link;

enum peer_answer {
    PEER_TAKE,
    PEER_IGNORE,
    PEER_ERROR_OPEN,       /* an ERROR frame; stays open */
    PEER_ERROR_CLOSE,      /* an ERROR frame, then closes */
    PEER_ERROR_DROP_CLOSE, /* an ERROR frame, drops the next one, then closes */
    PEER_LONG_ERROR_CLOSE, /* an ERROR frame with one byte more than it says, then closes */
    PEER_TORN_ERROR_CLOSE, /* an ERROR frame with less than it says, then closes */
    PEER_BAD_ERROR_CLOSE,  /* an ERROR frame that says it has four bytes, then closes */
    PEER_CLOSE,            /* not a word */
    PEER_RESET,            /* the same, the hard way */
    PEER_HANG,             /* reads and says nothing more */
    PEER_STOP_READING,     /* its window fills */
    PEER_PAUSE,            /* handles the frame at hand; then nothing is read or said on any
                              connection, new ones included, until peer_go_on() */
    PEER_CRASH,            /* all connections are reset, and it is away for `away` ms */
};

/* One handled PUBLISH that was no marker. */
struct peer_record {
    char *channel;
    struct buf whole;
    uint8_t *payload; /* into whole */
    size_t payload_len;
};

struct peer {
    struct net_loop *loop;
    struct net_tls *tls;
    struct net_listener *listener;
    uint16_t port;
    int hold; /* keeps the port for the peer while nothing listens there */

    /* the script */
    const char *secret;
    const char *confirm_channel;
    const char *words;       /* of its ERRORs; NULL: "not \x1b[31mallowed" */
    const char *other_ident; /* when set, all echoes come under this name … */
    bool wrong_echo;         /* … or with another content */
    bool echo_same;          /* echoes to the connection that published … */
    bool echo_second;        /* … and to others */
    size_t frame_max;
    enum peer_answer on_connect;
    enum peer_answer on_auth; /* when it is wrong; PEER_TAKE: ERROR, close */
    enum peer_answer on_good_auth;
    enum peer_answer on_subscribe;
    enum peer_answer on_publish;
    enum peer_answer on_marker;
    enum peer_answer on_excess;
    enum peer_answer on_end;    /* PEER_TAKE: closes */
    const char *poison;         /* a payload with this in it … */
    enum peer_answer on_poison; /* … is answered so … */
    size_t poisoned;            /* … so often; SIZE_MAX by owner_init() */
    /* From this many handled mails on (0: never) each connection gets `kill` at its next frame, as
     * often as `kills` says. */
    size_t kill_after;
    size_t kills;
    enum peer_answer kill;
    msec_t away;
    /* PEER_CRASH when so many bytes have come, in the midst of whatever they are; 0: never. */
    size_t cut_after;
    /* A refused PUBLISH is answered by an ERROR this much after the next marker was echoed. */
    msec_t late_error;

    /* what happened */
    struct peer_link *links;
    struct net_timer *back; /* after PEER_CRASH */
    size_t open;
    size_t accepted;
    size_t bytes; /* read */
    bool paused;
    size_t logins;
    size_t refused_logins;
    size_t subscribes;
    size_t markers;
    size_t ends; /* half-closes by the other side */
    struct peer_record *records;
    size_t record_count;
};

void peer_start(struct peer *peer, struct net_loop *loop);
/* All connections and the listener; a peer that is away. May be started again on its port. */
void peer_stop(struct peer *peer, enum peer_answer how);
void peer_drop_links(struct peer *peer, enum peer_answer how);
/* So many bytes more to all connections. */
void peer_say(struct peer *peer, const void *data, size_t len);
/* To all connections, which then are closed. */
void peer_say_error(struct peer *peer);
/* The connection that was made last. */
void peer_drop_newest(struct peer *peer, enum peer_answer how);
/* What it was sent since PEER_PAUSE is read, and handled. */
void peer_go_on(struct peer *peer);
void peer_release(struct peer *peer);

/* How often it handled this payload on this channel. */
size_t peer_handled(const struct peer *peer, const char *channel, const void *payload, size_t len);

#endif
