/* broker/client_impl.h: the inside of a client, for client.c (life), publish.c (what it sends),
 * subscribe.c (what it is sent) and reading.c (what it is sent from disk). */
#ifndef BROKER_CLIENT_IMPL_H
#define BROKER_CLIENT_IMPL_H

#include "base/buf.h"
#include "broker/accounts.h"
#include "broker/backlog.h"
#include "broker/client.h"
#include "broker/store.h"
#include "hpfeeds/server.h"
#include "net/conn.h"

/* OPEN -> ENDING: the client ended its side, was refused, or the broker goes. It is deaf and in no
 *         channel; what is queued is sent, then our side ends.
 * OPEN -> FINISHED: it was cut off. Nothing more is queued for it; frames of its own are still
 *         routed, so that its connection never ends cleanly with frames thrown away.
 * ENDING -> FINISHED: both sides have ended.
 * Only the reaper closes what is finished: somebody may be walking over a channel's members. */
enum client_state {
    CLIENT_OPEN,
    CLIENT_ENDING,
    CLIENT_FINISHED,
};

/* Where the last PUBLISH went, for the next one most likely goes there too. */
struct client_route {
    char name[256];
    size_t len;                     /* 0: none yet */
    uint64_t version;               /* of the channels */
    struct broker_channel *channel; /* NULL: nobody has subscribed */
    struct broker_channel_counts *counts;
    bool echoed; /* the identity itself has subscribed: what comes back may be a confirmation */
};

struct broker_client {
    struct broker_hub *hub;
    struct broker_client *next, *previous;
    struct net_conn *conn;
    struct hpfeeds_server *session;
    struct broker_account *account; /* NULL before AUTH */
    struct broker_ident_counts *counts;
    struct broker_lookup *lookup; /* AUTH is being looked up: nothing is read meanwhile */
    enum client_state state;
    bool deaf;       /* nothing it sends is looked at any more */
    bool published;  /* it has sent a PUBLISH */
    bool peer_ended; /* it has ended its side */
    bool in_data;    /* inside the callback */

    /* publish.c */
    const uint8_t *input; /* what was read, during its callback */
    size_t input_len;
    struct client_route route;
    /* Frames for one channel that lie behind one another in what was read, not forwarded yet.
     * Empty between callbacks. */
    const uint8_t *run;
    size_t run_len;
    size_t run_payload;
    unsigned run_count;
    struct broker_channel *run_channel;
    uint64_t ticket; /* what it published is on disk when the store has come so far */
    /* It waits for that: nothing is read meanwhile. */
    struct broker_client *wait_next, **wait_at; /* `wait_at` NULL: it does not */
    struct buf waiting;                         /* a frame that is to be forwarded then */
    size_t waiting_payload;
    bool end_waits; /* the client has ended its side */
    size_t held;    /* bytes of a frame that is not whole, counted in the hub */

    /* subscribe.c */
    struct broker_channel **joined;
    size_t joined_count;
    struct broker_backlog backlog;
    uint64_t drained; /* how much of what the kernel has was counted */
    bool dropping;    /* that messages are dropped was told */

    struct broker_reading *readings; /* reading.c */
};

/* client.c */

/* "writer at 127.0.0.1:4711", for logs. */
const char *client_name(const struct broker_client *client, char *out, size_t cap);
/* Answers ERROR and ends it; the category is for the log and the metrics, `ident` whom it is
 * counted for. */
void client_refuse(struct broker_client *client, const char *category, const char *ident,
                   size_t ident_len, const char *text);
/* Sends what is queued, then ends our side; lets the client read it and end its own. */
void client_end(struct broker_client *client);
/* Cuts it off: it is closed at the end of the turn. */
void client_finish(struct broker_client *client);
/* Finishes it when both sides have ended and nothing is under way. */
void client_check_over(struct broker_client *client);
/* Is it the channel confirm.<identity>, the client's own? */
bool client_owns(const struct broker_client *client, const char *channel, size_t len);
bool client_is_waiting(const struct broker_client *client);
/* What it waited for has come: reads on. */
void client_go_on(struct broker_client *client);

/* publish.c */

void client_handle_publish(struct broker_client *client, const struct hpfeeds_frame *frame);
/* Hands the frames that were gathered to the channel's subscribers, as one block for all. */
void client_forward(struct broker_client *client);
/* Is all it published on disk, as far as it has to be? */
bool client_is_durable(const struct broker_client *client);
/* Waits until it is. */
void client_wait(struct broker_client *client);
void client_stop_waiting(struct broker_client *client);

/* subscribe.c */

void client_handle_subscribe(struct broker_client *client, const struct hpfeeds_frame *frame);
void client_handle_unsubscribe(struct broker_client *client, const struct hpfeeds_frame *frame);
void client_leave_all(struct broker_client *client);
/* False: it has not joined it. */
bool client_leave_channel(struct broker_client *client, const char *name, size_t len);
/* Nobody waits for one who does not read: its queue is bounded, and when it is full the oldest go
 * or the client does. */
void client_send_run(struct broker_client *client, struct broker_run *run);
/* Hands the connection what it has room for. */
void client_pump(struct broker_client *client);
/* Whoever holds most gives way until all together hold no more than they may. */
void client_enforce_memory(struct broker_hub *hub);
void client_count_drained(struct broker_client *client);

/* reading.c */

/* True when the subscription is a durable one, and this client is its reader from now on. */
bool client_read_durable(struct broker_client *client, const char *channel, size_t len);
/* True when the channel is read from disk by it: it stops after what is under way. */
bool client_stop_durable(struct broker_client *client, const char *channel, size_t len);
/* Asks for what there is room for; for nothing when the client is not open. */
void client_pump_durable(struct broker_client *client);
/* The client goes; `clean`: its side ended in good order. */
void client_leave_durable(struct broker_client *client, bool clean);
/* Does the client's kernel have all that was read from disk for it? */
bool client_has_acknowledged(const struct broker_client *client);

#endif
