/* imapsim/sim.h: the whole simulated server: its boxes, who is connected, what was counted, and the
 * faults that can be asked of it. */
#ifndef IMAPSIM_SIM_H
#define IMAPSIM_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "imapsim/box.h"
#include "imapsim/mail.h"

struct net_listener;
struct net_loop;
struct net_timer;
struct net_tls;

enum sim_capability {
    SIM_CAP_IDLE = 1,
    SIM_CAP_UIDPLUS = 2,
    SIM_CAP_ESEARCH = 4,
    SIM_CAP_ID = 8,
    SIM_CAP_SASL_IR = 16,
    SIM_CAP_MOVE = 32,
    SIM_CAP_SPECIAL_USE = 64,
    SIM_CAP_PLAIN = 128,
};

enum sim_port {
    SIM_PORT_TLS,
    SIM_PORT_PLAIN,
    SIM_PORTS
};

struct sim_settings {
    const char *host;
    bool listens[SIM_PORTS];
    uint16_t ports[SIM_PORTS]; /* 0: any */
    const char *cert, *key;    /* key NULL: in cert */
    uint32_t boxes;
    const char *capabilities;
    uint64_t seed;
};

/* Each is shown by `stat` under its name. */
struct sim_stats {
    uint64_t listening;   /* 0 in the midst of a restart */
    uint64_t connected;   /* connections that are open; TLS stands */
    uint64_t logged_in;   /* of these */
    uint64_t idling;      /* of these */
    uint64_t connections; /* so far, as the following */
    uint64_t logins, refused;
    uint64_t commands;
    uint64_t idles;     /* IDLE commands */
    uint64_t delivered; /* mails that `mail` and `rate` made */
    uint64_t fetched;   /* mails whose body went out; each once */
    uint64_t refetched; /* bodies that went out again */
    uint64_t seen;      /* mails that became \Seen; each once */
    uint64_t expunged;
};

struct sim {
    struct net_loop *loop;
    struct sim_settings settings;
    struct sim_mails mails;
    struct sim_stats stats;
    struct sim_box *boxes;
    struct sim_session *sessions; /* all; linked by next */
    struct net_tls *tls;
    struct net_listener *listeners[SIM_PORTS];
    struct net_timer *restart;
    struct net_timer *rate;
    uint32_t rate_per_second;
    uint64_t rate_left, rate_due; /* mails; thousandths of one */
    uint64_t rate_at;             /* when rate_due was counted */
    uint64_t dice;
    unsigned caps;
    bool frozen;             /* also who is not logged in */
    char *refusal;           /* what LOGIN is answered with, or NULL */
    void (*counted)(void *); /* called when something was counted, or NULL */
    void *counted_ctx;
    struct buf line, body; /* where answers and bodies are put together */
};

/* Listens. */
int sim_start(struct sim *sim, struct net_loop *loop, const struct sim_settings *settings,
              uint32_t mails, struct err *err);
void sim_release(struct sim *sim);
/* The port listened on; 0: none. */
uint16_t sim_port(const struct sim *sim, enum sim_port port);

/* The box called `name`, or NULL. */
struct sim_box *sim_find_box(struct sim *sim, const char *name, size_t len);
void sim_counted(struct sim *sim);

/* A new mail, told to whoever idles there. Its UID. *ret_told: to how many. */
uint32_t sim_deliver(struct sim *sim, struct sim_box *box, unsigned *ret_told);
/* `count` mails at random boxes, so many a second. */
void sim_set_rate(struct sim *sim, uint32_t per_second, uint64_t count);

/* Cuts connections: those of `box`, of all (NULL), or each with a chance of `percent`. With a
 * reset, or else with close_notify and FIN. Returns how many. */
unsigned sim_drop(struct sim *sim, const struct sim_box *box, unsigned percent, bool reset);
/* Says "* BYE text" and ends. */
unsigned sim_bye(struct sim *sim, const struct sim_box *box, const char *text);
void sim_freeze(struct sim *sim, struct sim_box *box, bool frozen);
void sim_mute(struct sim *sim, struct sim_box *box, bool mute);
void sim_slow(struct sim *sim, struct sim_box *box, uint32_t ms);
/* Ends the box's connections and makes its INBOX anew. */
void sim_renew(struct sim *sim, struct sim_box *box);
/* Stops listening, resets all connections, and listens again after so many ms. */
void sim_restart(struct sim *sim, uint32_t after);

#endif
