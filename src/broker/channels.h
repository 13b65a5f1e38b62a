/* broker/channels.h: which clients have subscribed to which channel.
 *
 * A channel exists while somebody is subscribed to it. */
#ifndef BROKER_CHANNELS_H
#define BROKER_CHANNELS_H

#include <stddef.h>

struct broker_client;

struct broker_channel {
    char *name; /* `len` bytes, any */
    size_t len;
    struct broker_client **members; /* in no order */
    size_t count;
    size_t cap;
};

/* All zero is a valid empty table. */
struct broker_channels {
    struct broker_channel **sorted; /* by length, then bytes */
    size_t count;
    size_t cap;
};

/* Frees the table's memory; all members must have left. */
void broker_channels_release(struct broker_channels *channels);
/* NULL: nobody has subscribed to it. Valid until its last member leaves. */
struct broker_channel *broker_channels_find(const struct broker_channels *channels,
                                            const char *name, size_t len);
/* Adds a member that is not one yet. */
struct broker_channel *broker_channels_join(struct broker_channels *channels, const char *name,
                                            size_t len, struct broker_client *member);
/* Takes a member out; the last one's going frees the channel. */
void broker_channels_leave(struct broker_channels *channels, struct broker_channel *channel,
                           const struct broker_client *member);

#endif
