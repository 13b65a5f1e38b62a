#include "broker/channels.h"

#include <stdlib.h>

#include "base/mem.h"

static void channels_free(struct broker_channel *channel)
{
    free(channel->members);
    free(channel->queues);
    free(channel);
}

void broker_channels_release(struct broker_channels *channels)
{
    for (size_t i = 0; i < channels->map.count; i++)
        channels_free(channels->map.entries[i].value);
    broker_map_release(&channels->map);
    *channels = (struct broker_channels){0};
}

struct broker_channel *broker_channels_find(const struct broker_channels *channels,
                                            const char *name, size_t len)
{
    return broker_map_get(&channels->map, name, len);
}

static struct broker_channel *channels_obtain(struct broker_channels *channels, const char *name,
                                              size_t len)
{
    struct broker_channel *channel = broker_map_get(&channels->map, name, len);
    if (channel)
        return channel;
    channel = mem_new(struct broker_channel);
    channel->name = broker_map_add(&channels->map, name, len, channel);
    channel->len = len;
    return channel;
}

struct broker_channel *broker_channels_join(struct broker_channels *channels, const char *name,
                                            size_t len, struct broker_client *member)
{
    struct broker_channel *channel = channels_obtain(channels, name, len);
    if (channel->count == channel->cap) {
        channel->cap = channel->cap ? channel->cap * 2 : 4;
        channel->members =
            mem_realloc_array(channel->members, channel->cap, sizeof(struct broker_client *));
    }
    channel->members[channel->count++] = member;
    channels->version++;
    return channel;
}

void broker_channels_leave(struct broker_channels *channels, struct broker_channel *channel,
                           const struct broker_client *member)
{
    size_t i = 0;
    while (i < channel->count && channel->members[i] != member)
        i++;
    if (i < channel->count)
        channel->members[i] = channel->members[--channel->count];
    channels->version++;
    if (channel->count || channel->queue_count)
        return;
    broker_map_remove(&channels->map, channel->name, channel->len);
    channels_free(channel);
}

void broker_channels_add_queue(struct broker_channels *channels, const char *name, size_t len,
                               struct broker_queue *queue)
{
    struct broker_channel *channel = channels_obtain(channels, name, len);
    channel->queues =
        mem_realloc_array(channel->queues, channel->queue_count + 1, sizeof(struct broker_queue *));
    channel->queues[channel->queue_count++] = queue;
    channels->version++;
}
