/* broker/metrics.h: what the broker counts, under the usual broker's names. */
#ifndef BROKER_METRICS_H
#define BROKER_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "broker/map.h"

enum {
    BROKER_METRICS_BUCKETS = 13,
};

/* Of one identity. */
struct broker_ident_counts {
    const char *ident;
    uint64_t ready, lost;
    uint64_t received;        /* bytes */
    uint64_t filled, drained; /* bytes queued for it, and handed to the kernel */
    uint64_t dropped;         /* messages dropped to make room for newer ones */
    uint64_t cut_off;         /* times it was cut off for not reading */
    uint64_t queued, held;    /* gauges, filled in for broker_metrics_render() */
    size_t connected;
};

/* Of one identity on one channel. */
struct broker_channel_counts {
    const char *ident, *channel;
    uint64_t subscriptions; /* now */
    uint64_t published, published_bytes;
    uint64_t buckets[BROKER_METRICS_BUCKETS]; /* payloads up to 1024 << i bytes, each in one */
    bool has_published;
    bool has_subscribed;
};

/* All zero is valid: nothing has happened. */
struct broker_metrics {
    uint64_t connections; /* now */
    uint64_t made;
    uint64_t lost_strangers;
    struct broker_map idents;   /* to struct broker_ident_counts */
    struct broker_map channels; /* "ident\0channel" to struct broker_channel_counts */
    struct broker_map errors;   /* "ident\0category" to uint64_t */
};

void broker_metrics_release(struct broker_metrics *metrics);
/* Made if they are not there; valid until the release. */
struct broker_ident_counts *broker_metrics_ident(struct broker_metrics *metrics, const char *ident);
struct broker_channel_counts *broker_metrics_channel(struct broker_metrics *metrics,
                                                     const char *ident, const char *channel,
                                                     size_t channel_len);
void broker_metrics_count_publish(struct broker_channel_counts *counts, size_t payload_len);
/* Idents may be anybody's claims: beyond a thousand they are counted together. */
void broker_metrics_count_error(struct broker_metrics *metrics, const char *ident, size_t ident_len,
                                const char *category);

/* The text format of Prometheus, version 0.0.4. */
void broker_metrics_render(const struct broker_metrics *metrics, struct buf *out);
/* For figures that are kept elsewhere: the family's head, then a value with up to two labels
 * (`name` NULL: none), whose names are in alphabetical order. */
void broker_metrics_head(struct buf *out, const char *name, const char *type, const char *help);
struct broker_label {
    const char *name;
    const char *value;
    size_t len;
};
void broker_metrics_value(struct buf *out, const char *name, struct broker_label first,
                          struct broker_label second, uint64_t value);

#endif
