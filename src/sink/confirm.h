/* sink/confirm.h: the ways a delivery can be known, behind one small interface.
 *
 * A way owns its connections and the mails it was given until it names their fate. The sink
 * (hpfeeds.c) decides when to connect, what goes out and with how much company. */
#ifndef SINK_CONFIRM_H
#define SINK_CONFIRM_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/num.h"
#include "sink/mail.h"
#include "sink/publisher.h"
#include "sink/tuning.h"

struct confirm;
struct net_loop;

/* What a way tells the sink. None comes from inside a call of confirm_ops. A way is done with its
 * own work when it calls one of these, as the sink may call it again from there. */
struct confirm_events {
    /* Answers open(): a fresh connection works, as far as can be known; mails may be given. */
    void (*opened)(void *ctx);
    /* Answers open(): no connection, or it was refused. */
    void (*open_failed)(void *ctx, enum publisher_end how, const struct err *err);
    /* Answers open() of `echo`: there are logins, but no marker came back. That may be a missing
     * right or a wrong secret. */
    void (*no_echo)(void *ctx, enum publisher_end how, const struct err *err);
    /* The kernel has all of the mail. */
    void (*sent)(void *ctx, struct sink_mail *mail);
    /* The sink owns it again, and it is known to be taken. */
    void (*taken)(void *ctx, struct sink_mail *mail);
    /* A connection is lost, and with it these mails (may be none), which the sink owns again. */
    void (*lost)(void *ctx, struct sink_mail_list *mails, enum publisher_end how,
                 const struct err *err);
};

/* What all ways are made of; owned by the sink. */
struct confirm_setup {
    struct net_loop *loop;
    struct publisher_settings publisher;
    struct sink_hpfeeds_tuning tuning;
    char *channel; /* `echo` */
    msec_t grace;
    const struct confirm_events *events;
    void *ctx;
};

/* Copies the settings; `events` and `ctx` are the caller's to set. */
void confirm_setup_init(struct confirm_setup *setup, struct net_loop *loop,
                        const struct sink_hpfeeds_settings *settings,
                        const struct sink_hpfeeds_tuning *tuning);
void confirm_setup_release(struct confirm_setup *setup);

struct confirm_ops {
    const char *name;
    /* `opened` means that the broker handled frames of ours: nobody refuses the login any more. */
    bool proves_login;
    /* Connects anew; standing connections without mails are dropped. Answered by an event. */
    void (*open)(struct confirm *confirm);
    /* May become true again only by an event that gives mails back. */
    bool (*has_room)(const struct confirm *confirm);
    /* Takes the mail. After `opened` and until a `lost`; only with room. */
    void (*publish)(struct confirm *confirm, struct sink_mail *mail);
    /* Drops connections and mails. */
    void (*free)(struct confirm *confirm);
};

/* The first member of every way. */
struct confirm {
    const struct confirm_ops *ops;
    const struct confirm_setup *setup;
};

struct confirm *confirm_echo_new(const struct confirm_setup *setup);
struct confirm *confirm_close_new(const struct confirm_setup *setup);
struct confirm *confirm_sent_new(const struct confirm_setup *setup);

/* Has anything moved? `value` grows with every sign of life. */
struct confirm_progress {
    uint64_t value;
    msec_t since;
};
void confirm_progress_start(struct confirm_progress *progress, uint64_t value, msec_t now);
/* True when `value` is what it was `limit` ago. */
bool confirm_progress_stalled(struct confirm_progress *progress, uint64_t value, msec_t now,
                              msec_t limit);
/* The error for it. Returns `err`. */
struct err *confirm_stall_error(const struct confirm_setup *setup, struct err *err);

/* Says more of a connection that came to its end right after AUTH. */
struct err *confirm_login_error(const struct confirm_setup *setup, enum publisher_end how,
                                struct err *err);

#endif
