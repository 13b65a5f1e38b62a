/* The other side of a sink: offers mails, offers again what comes back, and checks at each
 * settlement what the contract of sink.h promises. */
#ifndef TEST_SINK_OWNER_H
#define TEST_SINK_OWNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "peer.h"
#include "sink/hpfeeds.h"
#include "sink/tuning.h"

enum {
    OWNER_MAILS = 64,
    OWNER_PAUSES = 256,
};

struct owner_mail {
    struct buf payload;
    size_t offers;
    size_t sents;
    size_t retries;
    size_t takens;
    size_t refusals;
    bool waiting; /* to be offered when the sink is up */
    bool out;     /* offered and not settled */
    bool sent;    /* told so, of this offer */
    struct err err;
};

struct owner {
    struct peer peer; /* script it before owner_start() */
    struct net_loop *loop;
    struct sink *sink;
    struct sink_hpfeeds_settings settings;
    struct sink_hpfeeds_tuning tuning;
    const char *channels[4];
    bool lies; /* TAKEN need not mean that the peer handled it */
    bool keep; /* does not offer again what came back */
    struct owner_mail mails[OWNER_MAILS];
    size_t mail_count;

    bool up;
    size_t ups;
    size_t downs;
    struct err err; /* of the last down */
    size_t settled;
    size_t free_at; /* frees the sink in its event number so-and-so; 0: never */
    size_t events;
    msec_t pauses[OWNER_PAUSES];
    size_t pause_count;
};

/* Times of a few milliseconds, a broker that takes and echoes everything, one channel. */
void owner_init(struct owner *owner);
/* Starts the peer, if that was not done, and the sink, which connects to settings.port (0: to the
 * peer). */
void owner_start(struct owner *owner);
/* Offers it now if the sink is up, else when it is. Returns its number. */
size_t owner_mail(struct owner *owner, const char *payload);
/* The same of `len` bytes that begin with `payload`. */
size_t owner_large_mail(struct owner *owner, const char *payload, size_t len);
/* Runs the loop until it holds; fails the test when it does not within a day of its clock, which
 * jumps to what is due next (driven.h). */
void owner_run_until(struct owner *owner, bool (*holds)(const struct owner *owner));
/* Lets `by` ms pass, with all that happens in them. */
void owner_pass(struct owner *owner, msec_t by);
void owner_release(struct owner *owner);

/* For owner_run_until(). */
bool owner_is_up(const struct owner *owner);
bool owner_is_down(const struct owner *owner);
bool owner_all_sent(const struct owner *owner);    /* what is out is with the kernel */
bool owner_all_settled(const struct owner *owner); /* nothing waits, nothing is out */

#endif
