/* sink/hpfeeds.h: the sink that publishes to an hpfeeds broker.
 *
 * hpfeeds has no acknowledgement; `confirm` chooses how a delivery is known (docs/reliability.md):
 * echo   a marker is published on a private channel by the connection that carried the mails, and
 *        comes back, on that connection where the broker does so, else on a second one:
 *        everything before it was handled.
 * close  each batch has its own connection; when the peer's kernel has acknowledged it, it rests
 *        for `grace`, is half-closed, and must end cleanly after that.
 * sent   the peer's kernel has acknowledged the bytes.
 * auto   echo where the broker allows it (probed once per run), else close. */
#ifndef SINK_HPFEEDS_H
#define SINK_HPFEEDS_H

#include <stddef.h>
#include <stdint.h>

#include "base/num.h"
#include "net/tls.h"
#include "sink/sink.h"

enum sink_confirm {
    SINK_CONFIRM_AUTO,
    SINK_CONFIRM_ECHO,
    SINK_CONFIRM_CLOSE,
    SINK_CONFIRM_SENT,
};

struct net_loop;

/* Strings are copied. */
struct sink_hpfeeds_settings {
    const char *host;
    uint16_t port;
    struct net_tls *tls; /* a reference is taken; NULL: plain TCP */
    const char *ident;
    const char *secret;
    const char *const *channels; /* each payload goes to each of them */
    size_t channel_count;        /* >= 1 */
    enum sink_confirm confirm;
    const char *confirm_channel; /* NULL: "confirm.<ident>" */
    msec_t confirm_grace;
    size_t max_frame;
};

struct sink *sink_hpfeeds_new(struct net_loop *loop, const struct sink_hpfeeds_settings *settings);

#endif
