/* collect/pace.h: when a connection may be made, so that no server is stormed. Internal.
 *
 * Each host has a rule: how many connections at a time, how many logins a second. Over all hosts
 * only so many connections are between connect and login at a time. Who may not begin waits in
 * its host's line. A host's connections all taken and somebody waiting: whoever holds one the
 * longest and can spare it is asked to make room. */
#ifndef COLLECT_PACE_H
#define COLLECT_PACE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/num.h"

struct budget_host;
struct net_loop;
struct pace;
struct pace_host;

/* The first rule whose `host` fits is a host's: equal, or with a leading dot a suffix
 * (".example.org" fits a.example.org and example.org), NULL fits all. Case does not matter. */
struct pace_rule {
    const char *host;
    unsigned connections;     /* 0: any number */
    double logins_per_second; /* 0: any number */
};

enum pace_state {
    PACE_NONE,
    PACE_WAITING, /* in its host's line */
    PACE_LOGIN,   /* granted: between connect and login */
    PACE_HOLDING, /* logged in */
};

/* A connection's place; embedded in its owner, all zero but for the callbacks at first. */
struct pace_ticket {
    void (*granted)(struct pace_ticket *ticket);
    /* Somebody waits for the connection: pace_release() when it can be spared. May be NULL. */
    void (*wanted)(struct pace_ticket *ticket);
    bool further; /* of a mailbox's further connections, which come behind the first ones of all */
    struct pace_host *host;
    enum pace_state state;
    bool asked;                               /* `wanted` was called */
    struct pace_ticket *previous, *following; /* in the line, or among the holders */
};

/* `rules` are copied; `connections_max`: connections at a time, of which each host has a share
 * (share.h), 0: any number; `logins_max`: those of them between connect and login. `granted` comes
 * from the loop, never from inside a call of this header; `wanted` may come from a call about
 * another ticket, and must do nothing but remember it. */
struct pace *pace_new(struct net_loop *loop, const struct pace_rule *rules, size_t count,
                      unsigned connections_max, unsigned logins_max);
/* Without hosts in use. NULL does nothing. */
void pace_free(struct pace *pace);
/* Replaces the rules; they hold for what is granted from now on. */
void pace_set_rules(struct pace *pace, const struct pace_rule *rules, size_t count);

/* A host is known as long as somebody uses it. */
struct pace_host *pace_host_use(struct pace *pace, const char *name);
void pace_host_unuse(struct pace_host *host);

/* What it has of the memory; nobody else's affair here. */
struct budget_host *pace_host_budget(struct pace_host *host);

/* Stands in the host's line. */
void pace_request(struct pace_host *host, struct pace_ticket *ticket);
/* The login is through. */
void pace_logged_in(struct pace_ticket *ticket);
/* The connection is gone, or not wanted any more. No effect with PACE_NONE. */
void pace_release(struct pace_ticket *ticket);

/* Has IDLE ever told of new mail at this host? Until then it is not relied upon. */
bool pace_host_idle_proven(const struct pace_host *host);
void pace_host_prove_idle(struct pace_host *host);

/* Trouble that a host's mailboxes share is told once: true, if it was not of late. */
bool pace_host_tells(struct pace_host *host, const char *trouble);

#endif
