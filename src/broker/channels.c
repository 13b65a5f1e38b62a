#include "broker/channels.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

void broker_channels_release(struct broker_channels *channels)
{
    free(channels->sorted);
    *channels = (struct broker_channels){0};
}

static int channels_compare(const struct broker_channel *channel, const char *name, size_t len)
{
    if (channel->len != len)
        return channel->len < len ? -1 : 1;
    return memcmp(channel->name, name, len);
}

/* The index of the channel, or of the place where it would stand. */
static size_t channels_place(const struct broker_channels *channels, const char *name, size_t len)
{
    size_t low = 0, high = channels->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (channels_compare(channels->sorted[middle], name, len) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool channels_is_at(const struct broker_channels *channels, size_t place, const char *name,
                           size_t len)
{
    return place < channels->count && !channels_compare(channels->sorted[place], name, len);
}

struct broker_channel *broker_channels_find(const struct broker_channels *channels,
                                            const char *name, size_t len)
{
    size_t place = channels_place(channels, name, len);
    return channels_is_at(channels, place, name, len) ? channels->sorted[place] : NULL;
}

static struct broker_channel *channels_insert(struct broker_channels *channels, size_t place,
                                              const char *name, size_t len)
{
    if (channels->count == channels->cap) {
        channels->cap = channels->cap ? channels->cap * 2 : 8;
        channels->sorted =
            mem_realloc_array(channels->sorted, channels->cap, sizeof *channels->sorted);
    }
    struct broker_channel **at = channels->sorted + place;
    memmove(at + 1, at, (channels->count - place) * sizeof *at);
    channels->count++;
    *at = mem_new(struct broker_channel);
    (*at)->name = mem_strndup(name, len);
    (*at)->len = len;
    return *at;
}

struct broker_channel *broker_channels_join(struct broker_channels *channels, const char *name,
                                            size_t len, struct broker_client *member)
{
    size_t place = channels_place(channels, name, len);
    struct broker_channel *channel = channels_is_at(channels, place, name, len)
                                         ? channels->sorted[place]
                                         : channels_insert(channels, place, name, len);
    if (channel->count == channel->cap) {
        channel->cap = channel->cap ? channel->cap * 2 : 4;
        channel->members =
            mem_realloc_array(channel->members, channel->cap, sizeof(struct broker_client *));
    }
    channel->members[channel->count++] = member;
    return channel;
}

static void channels_remove(struct broker_channels *channels, struct broker_channel *channel)
{
    size_t place = channels_place(channels, channel->name, channel->len);
    struct broker_channel **at = channels->sorted + place;
    channels->count--;
    memmove(at, at + 1, (channels->count - place) * sizeof *at);
    free(channel->name);
    free(channel->members);
    free(channel);
}

void broker_channels_leave(struct broker_channels *channels, struct broker_channel *channel,
                           const struct broker_client *member)
{
    size_t i = 0;
    while (i < channel->count && channel->members[i] != member)
        i++;
    if (i < channel->count)
        channel->members[i] = channel->members[--channel->count];
    if (!channel->count)
        channels_remove(channels, channel);
}
