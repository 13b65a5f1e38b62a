/* bench: how many messages a broker carries, and how long one takes. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/block.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/loop.h"
#include "programs/feed/feed.h"

enum {
    BENCH_PIECE = 1 << 18,    /* bytes of frames that are handed to the connection at once */
    BENCH_ROUNDS_MOST = 2000, /* messages that are timed … */
    BENCH_ROUNDS_LEAST = 10,
    BENCH_ROUNDS_BYTES = 1 << 30, /* … but of so many bytes in all, if that is enough */
    BENCH_HANG_MS = 120000,
};

/* CONNECTING until all connections stand and a first message came to each subscriber; SENDING until
 * all messages have come to all; TIMING one message after the other; IDLE until a signal. */
enum bench_phase {
    BENCH_CONNECTING,
    BENCH_SENDING,
    BENCH_TIMING,
    BENCH_IDLE,
};

struct bench_reader {
    struct bench *bench;
    struct feed_link *link;
    bool ready;
    bool joined;
    uint64_t got;
};

struct bench {
    const struct feed_options *options;
    const char *channel;
    struct net_loop *loop;
    struct net_timer *hang;
    struct net_signal *signals[2];
    enum bench_phase phase;
    struct feed_link *publisher;
    bool publisher_ready;
    struct bench_reader *readers;
    size_t joined, done;
    struct bench_reader *idle;
    size_t idle_ready;

    struct block *piece; /* some frames */
    uint64_t piece_count;
    uint64_t sent;
    struct timespec began;
    double seconds;

    double *times; /* microseconds */
    size_t rounds, rounds_wanted;
    size_t awaited; /* readers that have not had the timed message */
    int result;
};

static double bench_since(const struct timespec *began)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - began->tv_sec) + (double)(now.tv_nsec - began->tv_nsec) / 1e9;
}

static void bench_finish(struct bench *bench, int result)
{
    bench->result = result;
    net_loop_stop(bench->loop);
}

static void bench_add_frame(const struct bench *bench, struct buf *frames)
{
    uint8_t *payload = mem_zalloc(bench->options->size + 1);
    memset(payload, 'x', bench->options->size);
    hpfeeds_add_publish(frames, bench->options->target.ident, bench->channel, payload,
                        bench->options->size);
    free(payload);
}

static void bench_publish_one(struct bench *bench)
{
    struct buf frame = {0};
    bench_add_frame(bench, &frame);
    feed_link_send(bench->publisher, &frame);
}

static void bench_make_piece(struct bench *bench)
{
    struct buf frames = {0};
    while (bench->piece_count < bench->options->count &&
           (!bench->piece_count || frames.len + frames.len / bench->piece_count <= BENCH_PIECE)) {
        bench_add_frame(bench, &frames);
        bench->piece_count++;
    }
    bench->piece = block_from_buf(&frames);
}

static void bench_time_next(struct bench *bench)
{
    bench->awaited = bench->options->subscribers;
    clock_gettime(CLOCK_MONOTONIC, &bench->began);
    bench_publish_one(bench);
}

static int bench_compare(const void *a, const void *b)
{
    double one = *(const double *)a, other = *(const double *)b;
    return one < other ? -1 : one > other;
}

static void bench_report(struct bench *bench)
{
    const struct feed_options *options = bench->options;
    double rate = (double)options->count / bench->seconds;
    qsort(bench->times, bench->rounds, sizeof *bench->times, bench_compare);
    printf("%" PRIu64 " messages of %zu bytes to %" PRIu64 " subscriber%s: %.0f messages/s, "
           "%.0f deliveries/s, %.1f MB/s delivered, latency p50 %.0f us, p99 %.0f us\n",
           options->count, options->size, options->subscribers,
           options->subscribers == 1 ? "" : "s", rate, rate * (double)options->subscribers,
           rate * (double)options->subscribers * (double)options->size / 1e6,
           bench->times[bench->rounds / 2], bench->times[bench->rounds - 1 - bench->rounds / 100]);
    bench_finish(bench, 0);
}

static void bench_on_timed(struct bench *bench)
{
    if (--bench->awaited)
        return;
    bench->times[bench->rounds++] = bench_since(&bench->began) * 1e6;
    if (bench->rounds < bench->rounds_wanted)
        bench_time_next(bench);
    else
        bench_report(bench);
}

/* At least one piece: the kernel has all that was sent before, and nobody calls again otherwise. */
static void bench_send_more(struct bench *bench)
{
    const struct feed_options *options = bench->options;
    if (bench->phase != BENCH_SENDING || bench->sent == options->count)
        return;
    do {
        if (options->count - bench->sent >= bench->piece_count) {
            feed_link_send_block(bench->publisher, block_ref(bench->piece));
            bench->sent += bench->piece_count;
        } else {
            bench_publish_one(bench);
            bench->sent++;
        }
    } while (bench->sent < options->count && feed_link_pending(bench->publisher) < 4 * BENCH_PIECE);
}

static void bench_begin(struct bench *bench)
{
    bool idle = bench->idle_ready < bench->options->idle;
    if (bench->phase != BENCH_CONNECTING || idle || !bench->publisher_ready ||
        bench->joined < bench->options->subscribers)
        return;
    if (bench->options->idle) {
        bench->phase = BENCH_IDLE;
        net_timer_stop(bench->hang);
        printf("%" PRIu64 " idle connections\n", bench->options->idle);
        fflush(stdout);
        return;
    }
    bench->phase = BENCH_SENDING;
    bench_make_piece(bench);
    clock_gettime(CLOCK_MONOTONIC, &bench->began);
    bench_send_more(bench);
}

static void bench_on_got_all(struct bench *bench)
{
    if (++bench->done < bench->options->subscribers)
        return;
    bench->seconds = bench_since(&bench->began);
    bench->phase = BENCH_TIMING;
    bench_time_next(bench);
}

/* The first that comes is the reader's own: it is subscribed. */
static bool reader_on_message(void *ctx, const struct hpfeeds_frame *frame)
{
    struct bench_reader *reader = ctx;
    struct bench *bench = reader->bench;
    bool counted = frame->payload_len == bench->options->size;
    if (bench->phase == BENCH_TIMING && counted) {
        bench_on_timed(bench);
    } else if (bench->phase == BENCH_SENDING && counted) {
        if (++reader->got == bench->options->count)
            bench_on_got_all(bench);
    } else if (!reader->joined) {
        reader->joined = true;
        bench->joined++;
        bench_begin(bench);
    }
    return true;
}

static void reader_on_ready(void *ctx)
{
    struct bench_reader *reader = ctx;
    struct bench *bench = reader->bench;
    struct buf frames = {0};
    const char *ident = bench->options->target.ident;
    hpfeeds_add_subscribe(&frames, ident, bench->channel);
    /* Nobody else's may be taken for it: its size is another than that of what is counted. */
    hpfeeds_add_publish(&frames, ident, bench->channel, "", bench->options->size ? 0 : (size_t)1);
    feed_link_send(reader->link, &frames);
}

static void idle_on_ready(void *ctx)
{
    struct bench_reader *reader = ctx;
    reader->bench->idle_ready++;
    bench_begin(reader->bench);
}

static void publisher_on_ready(void *ctx)
{
    struct bench *bench = ctx;
    bench->publisher_ready = true;
    bench_begin(bench);
}

static void publisher_on_drained(void *ctx)
{
    bench_send_more(ctx);
}

static void bench_on_over(struct bench *bench, enum feed_end end, const char *text)
{
    log_error(NULL, "%s", text);
    bench_finish(bench, end == FEED_END_FAILED ? FEED_EXIT_UNREACHABLE : FEED_EXIT_FAILED);
}

static void reader_on_over(void *ctx, enum feed_end end, const char *text)
{
    struct bench_reader *reader = ctx;
    bench_on_over(reader->bench, end, text);
}

static void publisher_on_over(void *ctx, enum feed_end end, const char *text)
{
    bench_on_over(ctx, end, text);
}

static void nothing_on_drained(void *ctx)
{
    (void)ctx;
}

static void bench_on_hang(void *ctx)
{
    struct bench *bench = ctx;
    log_error(NULL, "not all messages came back within %d s", BENCH_HANG_MS / 1000);
    bench_finish(bench, FEED_EXIT_FAILED);
}

static void bench_on_signal(void *ctx)
{
    struct bench *bench = ctx;
    bench_finish(bench, bench->phase == BENCH_IDLE ? 0 : FEED_EXIT_FAILED);
}

static struct bench_reader *bench_open(struct bench *bench, uint64_t count,
                                       const struct feed_link_events *events)
{
    struct bench_reader *readers = mem_realloc_array(NULL, count + 1, sizeof *readers);
    for (uint64_t i = 0; i < count; i++) {
        readers[i] = (struct bench_reader){.bench = bench};
        readers[i].link = feed_link_open(bench->loop, &bench->options->target, events, &readers[i]);
    }
    return readers;
}

static void bench_close(struct bench_reader *readers, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        feed_link_close(readers[i].link);
    free(readers);
}

static void bench_run(struct bench *bench)
{
    static const struct feed_link_events publisher = {
        .ready = publisher_on_ready,
        .drained = publisher_on_drained,
        .over = publisher_on_over,
    };
    static const struct feed_link_events reader = {
        .ready = reader_on_ready,
        .message = reader_on_message,
        .drained = nothing_on_drained,
        .over = reader_on_over,
    };
    static const struct feed_link_events idle = {
        .ready = idle_on_ready,
        .drained = nothing_on_drained,
        .over = reader_on_over,
    };
    const struct feed_options *options = bench->options;
    bench->loop = net_loop_new();
    bench->hang = net_timer_new(bench->loop, bench_on_hang, bench);
    bench->signals[0] = net_signal_new(bench->loop, SIGINT, bench_on_signal, bench);
    bench->signals[1] = net_signal_new(bench->loop, SIGTERM, bench_on_signal, bench);
    net_timer_start(bench->hang, BENCH_HANG_MS);
    bench->publisher = feed_link_open(bench->loop, &options->target, &publisher, bench);
    bench->readers = bench_open(bench, options->subscribers, &reader);
    bench->idle = bench_open(bench, options->idle, &idle);
    net_loop_run(bench->loop);

    bench_close(bench->idle, options->idle);
    bench_close(bench->readers, options->subscribers);
    feed_link_close(bench->publisher);
    net_signal_free(bench->signals[0]);
    net_signal_free(bench->signals[1]);
    net_timer_free(bench->hang);
    net_loop_free(bench->loop);
}

static size_t bench_rounds(const struct feed_options *options)
{
    uint64_t rounds = BENCH_ROUNDS_BYTES / ((options->size + 1) * options->subscribers);
    if (rounds > BENCH_ROUNDS_MOST)
        return BENCH_ROUNDS_MOST;
    return rounds < BENCH_ROUNDS_LEAST ? BENCH_ROUNDS_LEAST : (size_t)rounds;
}

int feed_bench(const struct feed_options *options)
{
    struct bench bench = {.options = options};
    char *own = mem_printf("confirm.%s", options->target.ident);
    bench.channel = options->channel_count ? options->channels[0] : own;
    bench.rounds_wanted = bench_rounds(options);
    bench.times = mem_realloc_array(NULL, bench.rounds_wanted, sizeof *bench.times);
    bench_run(&bench);
    block_unref(bench.piece);
    free(bench.times);
    free(own);
    return bench.result;
}
