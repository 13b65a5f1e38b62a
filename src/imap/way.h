/* imap/way.h: which way to log in is taken. Internal. */
#ifndef IMAP_WAY_H
#define IMAP_WAY_H

#include <stdbool.h>

#include "base/err.h"
#include "imap/session.h"
#include "sasl/sasl.h"

/* AUTHENTICATE with a mechanism. */
struct imap_way {
    enum imap_auth auth; /* what asks for it by name */
    unsigned cap;        /* its announcement */
    enum sasl_mechanism mechanism;
    bool token; /* with an access token */
    enum imap_proof proof;
};

/* What decides. */
struct imap_way_choice {
    enum imap_auth auth;
    unsigned caps;
    bool token;             /* an access token is there, and is what logs in */
    bool binding;           /* the connection can be bound to */
    enum imap_proof before; /* see struct imap_session_settings */
    bool verified;          /* the same */
};

/* The best of those that both sides have; with `after`, the best of those behind it. NULL: none. */
const struct imap_way *imap_way_next(const struct imap_way_choice *choice,
                                     const struct imap_way *after);
/* May the LOGIN command be sent where there is no other way? */
bool imap_way_command(const struct imap_way_choice *choice);
/* Says why there is none, and what may be written to have one. Returns -1. */
int imap_way_none(const struct imap_way_choice *choice, bool secured, struct err *err);

#endif
