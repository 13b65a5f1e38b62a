/* programs/collector_desk.h: the clerk's own process (collector_clerk.h), and how it is spoken
 * with. */
#ifndef PROGRAMS_COLLECTOR_DESK_H
#define PROGRAMS_COLLECTOR_DESK_H

#include "base/err.h"
#include "conf/conf.h"
#include "conf/place.h"
#include "oauth/oauth.h"
#include "programs/collector_options.h"
#include "token/deed.h"

/* On the line for loading, a stream: a byte. On a lane, a packet each: the deed, or the byte that
 * cancels it. Each line has one request at a time, of which only the first has no answer. */
enum desk_request {
    DESK_TAKEN = 'T', /* what was loaded last is in use; what was before it is not */
    DESK_LOAD = 'L',
    DESK_CANCEL = 'X', /* what this line is busy with; nothing, when it is not */
};

enum {
    DESK_LANES = TOKEN_DEEDS_AT_ONCE,
};

/* What goes before the `used` bytes of the place; the problems come behind them. */
struct desk_loaded {
    struct conf *conf; /* in the place; NULL: there are errors */
    size_t used;
    size_t problems;
    size_t errors;
};

struct desk_problem {
    bool warning;
    size_t len;
};

/* Of a packet only as much is sent as the token takes, without a NUL. */
struct desk_deed {
    uint8_t kind; /* enum token_deed_kind */
    uint8_t key[TOKEN_KEY];
    char token[OAUTH_TOKEN_MOST];
};

struct desk_done {
    bool done;
    struct err err; /* it is not */
    char token[OAUTH_TOKEN_MOST];
};

struct desk_settings {
    const struct collector_options *options;
    const char *directory;   /* of refresh tokens, as in collector_tokens.h */
    struct conf_place place; /* at the same address in all of these processes */
    int load;
    int lanes[DESK_LANES];
};

/* Whole, or -1. */
int desk_send(int fd, const void *data, size_t len);
int desk_receive(int fd, void *data, size_t len);

/* Serves until the other end of the line for loading is closed, and all that was begun has ended.
 */
_Noreturn void desk_run(const struct desk_settings *settings);

#endif
