/* What is counted, and how it is told: the text format of Prometheus. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "broker/metrics.h"

static void assert_tells(const struct broker_metrics *metrics, const char *line)
{
    struct buf out = {0};
    char whole[400];
    broker_metrics_render(metrics, &out);
    snprintf(whole, sizeof whole, "\n%s\n", line);
    if (!strstr(buf_cstr(&out), whole))
        fail_msg("not there: %s\n%s", line, buf_cstr(&out));
    buf_release(&out);
}

static void assert_tells_not(const struct broker_metrics *metrics, const char *text)
{
    struct buf out = {0};
    broker_metrics_render(metrics, &out);
    if (strstr(buf_cstr(&out), text))
        fail_msg("there: %s\n%s", text, buf_cstr(&out));
    buf_release(&out);
}

static struct broker_channel_counts *channel(struct broker_metrics *metrics, const char *ident,
                                             const char *name)
{
    return broker_metrics_channel(metrics, ident, name, strlen(name));
}

static void test_nothing(void **state)
{
    (void)state;
    struct broker_metrics metrics = {0};
    assert_tells(&metrics, "hpfeeds_broker_client_connections 0.0");
    assert_tells(&metrics, "hpfeeds_broker_connection_made_total 0.0");
    assert_tells(&metrics, "# TYPE hpfeeds_broker_receive_publish_size histogram");
    assert_tells_not(&metrics, "{");
    broker_metrics_release(&metrics);
}

/* Asked for again they are the same ones, also after others have come. */
static void test_counts_stay_where_they_are(void **state)
{
    (void)state;
    struct broker_metrics metrics = {0};
    struct broker_ident_counts *ident = broker_metrics_ident(&metrics, "reader");
    struct broker_channel_counts *counts = channel(&metrics, "reader", "spam.mails");
    char name[32];
    for (unsigned i = 0; i < 200; i++) {
        snprintf(name, sizeof name, "%u", i);
        broker_metrics_ident(&metrics, name);
        channel(&metrics, "reader", name);
        channel(&metrics, name, "spam.mails");
    }
    assert_ptr_equal(broker_metrics_ident(&metrics, "reader"), ident);
    assert_ptr_equal(channel(&metrics, "reader", "spam.mails"), counts);
    assert_string_equal(ident->ident, "reader");
    assert_string_equal(counts->ident, "reader");
    assert_string_equal(counts->channel, "spam.mails");
    broker_metrics_release(&metrics);
}

/* "ab" on "c" and "a" on "bc" are two. */
static void test_ident_and_channel_do_not_run_together(void **state)
{
    (void)state;
    struct broker_metrics metrics = {0};
    struct broker_channel_counts *one = channel(&metrics, "ab", "c");
    struct broker_channel_counts *other = channel(&metrics, "a", "bc");
    assert_ptr_not_equal(one, other);
    one->has_subscribed = other->has_subscribed = true;
    one->subscriptions = 2;
    assert_tells(&metrics, "hpfeeds_broker_subscriptions{chan=\"c\",ident=\"ab\"} 2.0");
    assert_tells(&metrics, "hpfeeds_broker_subscriptions{chan=\"bc\",ident=\"a\"} 0.0");
    broker_metrics_release(&metrics);
}

/* Each payload is in one bucket, and told in all from there on; at a border in the lower one. */
static void test_sizes(void **state)
{
    static const struct {
        size_t len;
        size_t bucket; /* BROKER_METRICS_BUCKETS: larger than all */
    } rows[] = {
        {0, 0},
        {1, 0},
        {1024, 0},
        {1025, 1},
        {2048, 1},
        {2049, 2},
        {4194304, 12},
        {4194305, BROKER_METRICS_BUCKETS},
        {UINT32_MAX, BROKER_METRICS_BUCKETS},
    };
    enum {
        ROWS = sizeof rows / sizeof *rows
    };
    (void)state;
    struct broker_metrics metrics = {0};
    struct broker_channel_counts *counts = channel(&metrics, "writer", "c");
    uint64_t sum = 0;
    for (size_t i = 0; i < ROWS; i++) {
        uint64_t before[BROKER_METRICS_BUCKETS];
        memcpy(before, counts->buckets, sizeof before);
        broker_metrics_count_publish(counts, rows[i].len);
        for (size_t b = 0; b < BROKER_METRICS_BUCKETS; b++)
            assert_int_equal(counts->buckets[b] - before[b], b == rows[i].bucket);
        sum += rows[i].len;
    }
    assert_int_equal(counts->published, ROWS);
    assert_int_equal(counts->published_bytes, sum);
    assert_tells(&metrics, "hpfeeds_broker_receive_publish_size_bucket"
                           "{chan=\"c\",ident=\"writer\",le=\"1024.0\"} 3.0");
    assert_tells(&metrics, "hpfeeds_broker_receive_publish_size_bucket"
                           "{chan=\"c\",ident=\"writer\",le=\"2048.0\"} 5.0");
    assert_tells(&metrics, "hpfeeds_broker_receive_publish_size_bucket"
                           "{chan=\"c\",ident=\"writer\",le=\"4.194304e+06\"} 7.0");
    assert_tells(&metrics, "hpfeeds_broker_receive_publish_size_bucket"
                           "{chan=\"c\",ident=\"writer\",le=\"+Inf\"} 9.0");
    assert_tells(&metrics,
                 "hpfeeds_broker_receive_publish_size_count{chan=\"c\",ident=\"writer\"} 9.0");
    assert_tells(&metrics,
                 "hpfeeds_broker_receive_publish_count_total{chan=\"c\",ident=\"writer\"} 9.0");
    broker_metrics_release(&metrics);
}

/* Gauges are told of who is connected, counters of everybody. */
static void test_idents(void **state)
{
    (void)state;
    struct broker_metrics metrics = {.lost_strangers = 3};
    struct broker_ident_counts *here = broker_metrics_ident(&metrics, "here");
    struct broker_ident_counts *gone = broker_metrics_ident(&metrics, "gone");
    here->connected = 1;
    here->queued = 17;
    gone->queued = 18;
    here->dropped = 5;
    gone->lost = 2;
    gone->cut_off = UINT64_MAX;
    assert_tells(&metrics, "hpfeeds_broker_connection_send_buffer_size{ident=\"here\"} 17.0");
    assert_tells_not(&metrics, "send_buffer_size{ident=\"gone\"}");
    assert_tells(&metrics, "hpfeeds_broker_subscriber_dropped_total{ident=\"here\"} 5.0");
    assert_tells(&metrics, "hpfeeds_broker_subscriber_cut_off_total{ident=\"gone\"} "
                           "18446744073709551615.0");
    assert_tells(&metrics, "hpfeeds_broker_connection_lost_total{ident=\"None\"} 3.0");
    assert_tells(&metrics, "hpfeeds_broker_connection_lost_total{ident=\"gone\"} 2.0");
    assert_tells_not(&metrics, "lost_total{ident=\"here\"}");
    broker_metrics_release(&metrics);
}

/* Anybody may claim to be anyone: the names are quoted, and there is an end of them. */
static void test_errors(void **state)
{
    (void)state;
    struct broker_metrics metrics = {0};
    char name[32];
    static const char hostile[] = "a\"\\\n\xFF\xC3\xA4} 7.0";
    broker_metrics_count_error(&metrics, hostile, sizeof hostile - 1, "invalid-ident");
    broker_metrics_count_error(&metrics, hostile, sizeof hostile - 1, "invalid-ident");
    assert_tells(&metrics, "hpfeeds_broker_connection_error_total{category=\"invalid-ident\","
                           "ident=\"a\\\"\\\\\\n?\xC3\xA4} 7.0\"} 2.0");
    for (unsigned i = 0; i < 5000; i++) {
        int len = snprintf(name, sizeof name, "nobody%u", i);
        broker_metrics_count_error(&metrics, name, (size_t)len, "invalid-ident");
    }
    broker_metrics_count_error(&metrics, "nobody", 6, "invalid-secret");
    assert_in_range(metrics.errors.count, 1000, 1010);
    assert_tells(&metrics, "hpfeeds_broker_connection_error_total{category=\"invalid-ident\","
                           "ident=\"nobody998\"} 1.0");
    assert_tells(&metrics, "hpfeeds_broker_connection_error_total{category=\"invalid-ident\","
                           "ident=\"(others)\"} 4001.0");
    assert_tells(&metrics, "hpfeeds_broker_connection_error_total{category=\"invalid-secret\","
                           "ident=\"(others)\"} 1.0");
    broker_metrics_release(&metrics);
}

static void test_figures_of_others(void **state)
{
    (void)state;
    struct buf out = {0};
    struct broker_label none = {0};
    broker_metrics_head(&out, "x_total", "counter", "What it is");
    broker_metrics_value(&out, "x_total", none, none, 1);
    broker_metrics_value(&out, "x_total", (struct broker_label){"a", "\0b", 2}, none, 2);
    broker_metrics_value(&out, "x_total", (struct broker_label){"a", "", 0},
                         (struct broker_label){"b", "c", 1}, 0);
    assert_string_equal(buf_cstr(&out), "# HELP hpfeeds_x_total What it is\n"
                                        "# TYPE hpfeeds_x_total counter\n"
                                        "hpfeeds_x_total 1.0\n"
                                        "hpfeeds_x_total{a=\"");
    assert_memory_equal(out.data + strlen(buf_cstr(&out)), "\0b\"} 2.0\n", 9);
    assert_non_null(strstr((const char *)out.data + strlen(buf_cstr(&out)) + 1,
                           "hpfeeds_x_total{a=\"\",b=\"c\"} 0.0\n"));
    buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_counts_stay_where_they_are),
        cmocka_unit_test(test_ident_and_channel_do_not_run_together),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_idents),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_figures_of_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
