/* broker/channels.h: which clients have subscribed to which channel, and which queues on disk.
 *
 * A channel exists while somebody is subscribed to it; one with a queue always does. */
#ifndef BROKER_CHANNELS_H
#define BROKER_CHANNELS_H

#include <stddef.h>
#include <stdint.h>

#include "broker/map.h"

struct broker_client;
struct broker_queue;

struct broker_channel {
    const char *name; /* `len` bytes, any */
    size_t len;
    struct broker_client **members; /* in no order */
    size_t count;
    size_t cap;
    struct broker_queue **queues;
    size_t queue_count;
};

/* All zero is a valid empty table. */
struct broker_channels {
    struct broker_map map;
    uint64_t version; /* changes with every change of who is subscribed to what */
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
/* For good. */
void broker_channels_add_queue(struct broker_channels *channels, const char *name, size_t len,
                               struct broker_queue *queue);

#endif
