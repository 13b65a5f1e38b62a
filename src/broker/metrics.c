#include "broker/metrics.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"

enum {
    METRICS_ERRORS_MAX = 1000,
    METRICS_FIRST_BUCKET = 1024,
};

static void metrics_release_map(struct broker_map *map)
{
    for (size_t i = 0; i < map->count; i++)
        free(map->entries[i].value);
    broker_map_release(map);
}

void broker_metrics_release(struct broker_metrics *metrics)
{
    metrics_release_map(&metrics->idents);
    metrics_release_map(&metrics->channels);
    metrics_release_map(&metrics->errors);
}

struct broker_ident_counts *broker_metrics_ident(struct broker_metrics *metrics, const char *ident)
{
    size_t len = strlen(ident);
    struct broker_ident_counts *counts = broker_map_get(&metrics->idents, ident, len);
    if (counts)
        return counts;
    counts = mem_new(struct broker_ident_counts);
    counts->ident = broker_map_add(&metrics->idents, ident, len, counts);
    return counts;
}

/* "one\0other": neither holds a NUL. */
static void metrics_key(struct buf *key, const char *one, size_t one_len, const char *other,
                        size_t other_len)
{
    buf_add(key, one, one_len);
    buf_add_byte(key, '\0');
    buf_add(key, other, other_len);
}

struct broker_channel_counts *broker_metrics_channel(struct broker_metrics *metrics,
                                                     const char *ident, const char *channel,
                                                     size_t channel_len)
{
    struct buf key = {0};
    metrics_key(&key, ident, strlen(ident), channel, channel_len);
    struct broker_channel_counts *counts =
        broker_map_get(&metrics->channels, (const char *)key.data, key.len);
    if (!counts) {
        counts = mem_new(struct broker_channel_counts);
        counts->ident = broker_map_add(&metrics->channels, (const char *)key.data, key.len, counts);
        counts->channel = counts->ident + strlen(ident) + 1;
    }
    buf_release(&key);
    return counts;
}

void broker_metrics_count_publish(struct broker_channel_counts *counts, size_t payload_len)
{
    size_t i = 0;
    while (i < BROKER_METRICS_BUCKETS && payload_len > (size_t)METRICS_FIRST_BUCKET << i)
        i++;
    if (i < BROKER_METRICS_BUCKETS)
        counts->buckets[i]++;
    counts->has_published = true;
    counts->published++;
    counts->published_bytes += payload_len;
}

void broker_metrics_count_error(struct broker_metrics *metrics, const char *ident, size_t ident_len,
                                const char *category)
{
    struct buf key = {0};
    metrics_key(&key, ident, ident_len, category, strlen(category));
    uint64_t *count = broker_map_get(&metrics->errors, (const char *)key.data, key.len);
    if (!count && metrics->errors.count >= METRICS_ERRORS_MAX) {
        static const char others[] = "(others)";
        buf_clear(&key);
        metrics_key(&key, others, sizeof others - 1, category, strlen(category));
        count = broker_map_get(&metrics->errors, (const char *)key.data, key.len);
    }
    if (!count) {
        count = mem_new(uint64_t);
        broker_map_add(&metrics->errors, (const char *)key.data, key.len, count);
    }
    ++*count;
    buf_release(&key);
}

void broker_metrics_head(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP hpfeeds_%s %s\n# TYPE hpfeeds_%s %s\n", name, help, name, type);
}

/* Quoted as the format wants it; what is no UTF-8 would spoil the whole answer. */
static void metrics_add_label(struct buf *out, struct broker_label label)
{
    buf_printf(out, "%s=\"", label.name);
    for (size_t i = 0; i < label.len;) {
        const uint8_t *at = (const uint8_t *)label.value + i;
        size_t len = text_utf8_length(at, label.len - i);
        if (*at == '\\' || *at == '"')
            buf_add_byte(out, '\\');
        if (*at == '\n')
            buf_add_str(out, "\\n");
        else if (len)
            buf_add(out, at, len);
        else
            buf_add_byte(out, '?');
        i += len ? len : 1;
    }
    buf_add_byte(out, '"');
}

static void metrics_add_labels(struct buf *out, const struct broker_label *labels, size_t count)
{
    for (size_t i = 0; i < count && labels[i].name; i++) {
        buf_add_byte(out, i ? ',' : '{');
        metrics_add_label(out, labels[i]);
    }
    if (count && labels[0].name)
        buf_add_byte(out, '}');
}

/* As the usual broker writes numbers. */
static void metrics_add_number(struct buf *out, uint64_t value)
{
    buf_printf(out, " %" PRIu64 ".0\n", value);
}

void broker_metrics_value(struct buf *out, const char *name, struct broker_label first,
                          struct broker_label second, uint64_t value)
{
    struct broker_label labels[] = {first, second};
    buf_printf(out, "hpfeeds_%s", name);
    metrics_add_labels(out, labels, 2);
    metrics_add_number(out, value);
}

static struct broker_label metrics_label(const char *name, const char *value)
{
    return (struct broker_label){.name = name, .value = value, .len = strlen(value)};
}

struct ident_family {
    const char *name, *type, *help;
    size_t offset;
    bool gauge; /* of those that are connected */
};

#define IDENT(field) offsetof(struct broker_ident_counts, field)

static void metrics_render_idents(const struct broker_metrics *metrics, struct buf *out)
{
    static const struct ident_family families[] = {
        {"broker_connection_ready_total", "counter",
         "Number of connections established + authenticated", IDENT(ready), false},
        {"broker_connection_send_buffer_size", "gauge", "Number of bytes queued for transmission",
         IDENT(queued), true},
        {"broker_connection_receive_buffer_size", "gauge",
         "Number of bytes received but not yet parsed", IDENT(held), true},
        {"broker_connection_receive_buffer_fill_total", "counter",
         "Number of bytes queued in the parsing buffer", IDENT(received), false},
        {"broker_connection_send_buffer_fill_total", "counter",
         "Number of bytes queued in the send buffer", IDENT(filled), false},
        {"broker_connection_send_buffer_drain_total", "counter",
         "Number of bytes drained from the send buffer and sent", IDENT(drained), false},
        {"broker_subscriber_dropped_total", "counter",
         "Number of messages dropped for a subscriber that does not read", IDENT(dropped), false},
        {"broker_subscriber_cut_off_total", "counter",
         "Number of times a subscriber was cut off for not reading", IDENT(cut_off), false},
    };
    for (size_t f = 0; f < sizeof families / sizeof *families; f++) {
        broker_metrics_head(out, families[f].name, families[f].type, families[f].help);
        for (size_t i = 0; i < metrics->idents.count; i++) {
            const struct broker_ident_counts *counts = metrics->idents.entries[i].value;
            if (families[f].gauge && !counts->connected)
                continue;
            uint64_t value;
            memcpy(&value, (const char *)counts + families[f].offset, sizeof value);
            broker_metrics_value(out, families[f].name, metrics_label("ident", counts->ident),
                                 (struct broker_label){0}, value);
        }
    }
}

static void metrics_render_lost(const struct broker_metrics *metrics, struct buf *out)
{
    static const char name[] = "broker_connection_lost_total";
    broker_metrics_head(out, name, "counter", "Number of connections lost");
    /* The usual broker's name for who was never authenticated. */
    if (metrics->lost_strangers)
        broker_metrics_value(out, name, metrics_label("ident", "None"), (struct broker_label){0},
                             metrics->lost_strangers);
    for (size_t i = 0; i < metrics->idents.count; i++) {
        const struct broker_ident_counts *counts = metrics->idents.entries[i].value;
        if (counts->lost)
            broker_metrics_value(out, name, metrics_label("ident", counts->ident),
                                 (struct broker_label){0}, counts->lost);
    }
}

static void metrics_render_errors(const struct broker_metrics *metrics, struct buf *out)
{
    static const char name[] = "broker_connection_error_total";
    broker_metrics_head(out, name, "counter",
                        "Number of connections that experienced a protocol error");
    for (size_t i = 0; i < metrics->errors.count; i++) {
        const struct broker_map_entry *entry = &metrics->errors.entries[i];
        size_t ident_len = strlen(entry->key);
        broker_metrics_value(
            out, name, metrics_label("category", entry->key + ident_len + 1),
            (struct broker_label){.name = "ident", .value = entry->key, .len = ident_len},
            *(const uint64_t *)entry->value);
    }
}

static void metrics_add_bucket(struct buf *out, const struct broker_channel_counts *counts,
                               const char *le, uint64_t value)
{
    struct broker_label labels[] = {
        metrics_label("chan", counts->channel),
        metrics_label("ident", counts->ident),
        metrics_label("le", le),
    };
    buf_add_str(out, "hpfeeds_broker_receive_publish_size_bucket");
    metrics_add_labels(out, labels, 3);
    metrics_add_number(out, value);
}

static void metrics_render_sizes(struct buf *out, const struct broker_channel_counts *counts)
{
    /* As the usual broker spells them: they are names. */
    static const char *const limits[BROKER_METRICS_BUCKETS] = {
        "1024.0",       "2048.0",       "4096.0",       "8192.0",   "16384.0",
        "32768.0",      "65536.0",      "131072.0",     "262144.0", "524288.0",
        "1.048576e+06", "2.097152e+06", "4.194304e+06",
    };
    uint64_t sum = 0;
    for (size_t i = 0; i < BROKER_METRICS_BUCKETS; i++) {
        sum += counts->buckets[i];
        metrics_add_bucket(out, counts, limits[i], sum);
    }
    metrics_add_bucket(out, counts, "+Inf", counts->published);
    broker_metrics_value(out, "broker_receive_publish_size_count",
                         metrics_label("chan", counts->channel),
                         metrics_label("ident", counts->ident), counts->published);
    broker_metrics_value(out, "broker_receive_publish_size_sum",
                         metrics_label("chan", counts->channel),
                         metrics_label("ident", counts->ident), counts->published_bytes);
}

static void metrics_render_channels(const struct broker_metrics *metrics, struct buf *out)
{
    const struct broker_map *channels = &metrics->channels;
    broker_metrics_head(out, "broker_subscriptions", "gauge",
                        "Number of subscriptions to a channel");
    for (size_t i = 0; i < channels->count; i++) {
        const struct broker_channel_counts *counts = channels->entries[i].value;
        if (counts->has_subscribed)
            broker_metrics_value(out, "broker_subscriptions",
                                 metrics_label("chan", counts->channel),
                                 metrics_label("ident", counts->ident), counts->subscriptions);
    }
    broker_metrics_head(out, "broker_receive_publish_count_total", "counter",
                        "Number of events received by broker for a channel");
    for (size_t i = 0; i < channels->count; i++) {
        const struct broker_channel_counts *counts = channels->entries[i].value;
        if (counts->has_published)
            broker_metrics_value(out, "broker_receive_publish_count_total",
                                 metrics_label("chan", counts->channel),
                                 metrics_label("ident", counts->ident), counts->published);
    }
    broker_metrics_head(out, "broker_receive_publish_size", "histogram",
                        "Sizes of messages received by broker for a channel");
    for (size_t i = 0; i < channels->count; i++) {
        const struct broker_channel_counts *counts = channels->entries[i].value;
        if (counts->has_published)
            metrics_render_sizes(out, counts);
    }
}

void broker_metrics_render(const struct broker_metrics *metrics, struct buf *out)
{
    static const struct broker_label none = {0};
    broker_metrics_head(out, "broker_client_connections", "gauge",
                        "Number of clients connected to broker");
    broker_metrics_value(out, "broker_client_connections", none, none, metrics->connections);
    broker_metrics_head(out, "broker_connection_made_total", "counter",
                        "Number of connections established");
    broker_metrics_value(out, "broker_connection_made_total", none, none, metrics->made);
    metrics_render_errors(metrics, out);
    metrics_render_lost(metrics, out);
    metrics_render_idents(metrics, out);
    metrics_render_channels(metrics, out);
    /* The usual broker gives a subscriber that does not read a minute; this one has no such timer,
     * and never counts any. */
    broker_metrics_head(out, "broker_connection_send_buffer_deadline_start_total", "counter",
                        "High watermark was exceeded and this connection was put on a deadline "
                        "timer");
    broker_metrics_head(out, "broker_connection_send_buffer_deadline_recover_total", "counter",
                        "Buffer recovered to low watermark or better and deadline timer was "
                        "cancelled");
}
