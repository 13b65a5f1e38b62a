#include "programs/collector_report.h"

#include <stdarg.h>
#include <string.h>

#include "base/text.h"

enum {
    REPORT_LABEL = 200,
    REPORT_NAMED = 3,   /* failing mailboxes that a summary names … */
    REPORT_CAUSE = 100, /* … and the bytes of each one's cause */
};

static bool report_is_failing(const struct collect_report *report)
{
    return report->phase == COLLECT_FAILED || report->phase == COLLECT_RETRYING ||
           report->failing_since;
}

static bool report_is_ok(const struct collect_report *report)
{
    return (report->phase == COLLECT_DONE || report->phase == COLLECT_WATCHING) &&
           !report_is_failing(report) && !report->err;
}

struct report_sum report_add_up(const struct collector *collector)
{
    struct collect_counts gone = collector_gone(collector);
    struct report_sum sum = {
        .count = collector_count(collector),
        .found = gone.found,
        .delivered = gone.delivered,
        .held = gone.held,
        .bytes = gone.bytes,
    };
    for (size_t i = 0; i < sum.count; i++) {
        const struct collect_report *report = collector_report(collector, i);
        bool failing = report_is_failing(report);
        sum.ok += report_is_ok(report);
        sum.failed += report->phase == COLLECT_FAILED;
        sum.watched +=
            !failing && (report->phase == COLLECT_WATCHING || report->phase == COLLECT_COLLECTING);
        sum.failing += failing;
        sum.found += report->found;
        sum.delivered += report->delivered;
        sum.held += report->held;
        sum.bytes += report->bytes;
    }
    return sum;
}

static const char *report_label(char out[REPORT_LABEL], const struct collector *collector,
                                size_t index)
{
    const char *label = collector_account(collector, index)->label;
    return text_escape_utf8(out, REPORT_LABEL, label, strlen(label));
}

/* The first mailbox with trouble, for the progress line; NULL when there is none. */
static const char *report_troubled(char out[REPORT_LABEL], const struct collector *collector)
{
    for (size_t i = 0; i < collector_count(collector); i++)
        if (report_is_failing(collector_report(collector, i)))
            return report_label(out, collector, i);
    return NULL;
}

/* Appends to what is in `out`, as far as there is room. */
static void report_append(char *out, size_t cap, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void report_append(char *out, size_t cap, const char *format, ...)
{
    size_t used = strlen(out);
    va_list args;
    va_start(args, format);
    vsnprintf(out + used, cap - used, format, args);
    va_end(args);
}

char *report_progress(char *out, size_t cap, const struct collector *collector, msec_t elapsed)
{
    struct report_sum sum = report_add_up(collector);
    char bytes[16], label[REPORT_LABEL];
    unsigned long long rate = sum.delivered * 1000 / (elapsed ? elapsed : 1);
    const char *troubled = report_troubled(label, collector);
    snprintf(out, cap, "%zu of %zu mailboxes, %llu of %llu mails, %s, %llu/s", sum.ok + sum.failed,
             sum.count, (unsigned long long)sum.delivered, (unsigned long long)sum.found,
             num_format_bytes(bytes, sizeof bytes, sum.bytes), rate);
    if (sum.held)
        report_append(out, cap, ", %llu held", (unsigned long long)sum.held);
    if (troubled)
        report_append(out, cap, ", %zu failed, trouble with %s", sum.failed, troubled);
    return out;
}

char *report_live(char *out, size_t cap, const struct collector *collector)
{
    struct report_sum sum = report_add_up(collector);
    char bytes[16], label[REPORT_LABEL];
    const char *broker;
    const char *troubled = sum.failing ? report_troubled(label, collector) : NULL;
    snprintf(out, cap, "%s%s%zu of %zu mailboxes watched",
             collector_state_written(collector) ? "" : "the state cannot be written, ",
             collector_sink_up(collector, &broker) ? "" : "the broker is away, ", sum.watched,
             sum.count);
    if (sum.failing)
        report_append(out, cap, ", %zu failing", sum.failing);
    report_append(out, cap, ", %llu mails, %s", (unsigned long long)sum.delivered,
                  num_format_bytes(bytes, sizeof bytes, sum.bytes));
    if (sum.held)
        report_append(out, cap, ", %llu held", (unsigned long long)sum.held);
    if (troubled)
        report_append(out, cap, ", trouble with %s", troubled);
    return out;
}

static const char *report_cause(const struct collect_report *report)
{
    return report->err && *report->err->text ? report->err->text : "not reached";
}

/* The first of those that fail, with their causes. */
static void report_name_failing(struct buf *out, const struct collector *collector)
{
    unsigned named = 0;
    for (size_t i = 0; i < collector_count(collector) && named < REPORT_NAMED; i++) {
        const struct collect_report *report = collector_report(collector, i);
        char label[REPORT_LABEL];
        if (report_is_failing(report))
            buf_printf(out, "%s%s (%.*s)", named++ ? ", " : ": ", report_label(label, collector, i),
                       REPORT_CAUSE, report_cause(report));
    }
}

void report_summary(struct buf *out, const struct collector *collector,
                    const struct report_sum *before, msec_t span)
{
    struct report_sum sum = report_add_up(collector);
    const char *broker;
    bool up = collector_sink_up(collector, &broker);
    char bytes[16], all[16];
    buf_printf(out, "in the last %llu min %llu mails (%s) delivered and %llu held, ",
               (unsigned long long)(span / 60000),
               (unsigned long long)(sum.delivered - before->delivered),
               num_format_bytes(bytes, sizeof bytes, sum.bytes - before->bytes),
               (unsigned long long)(sum.held - before->held));
    buf_printf(out, "in all %llu (%s) and %llu; ", (unsigned long long)sum.delivered,
               num_format_bytes(all, sizeof all, sum.bytes), (unsigned long long)sum.held);
    buf_printf(out, "%s is %s; ", broker, up ? "up" : "away");
    if (!collector_state_written(collector))
        buf_printf(out, "the state cannot be written; ");
    buf_printf(out, "%zu of %zu mailboxes watched, %zu failing", sum.watched, sum.count,
               sum.failing);
    report_name_failing(out, collector);
    if (sum.failing > REPORT_NAMED)
        buf_printf(out, " and %zu more", sum.failing - REPORT_NAMED);
}

/* Columns on a screen that a UTF-8 text takes, near enough: one for each character. */
static int report_columns(const char *text)
{
    int columns = 0;
    for (; *text; text++)
        columns += ((unsigned char)*text & 0xC0) != 0x80;
    return columns;
}

/* The widest label, for the first column. */
static int report_width(const struct collector *collector, const char *heading)
{
    char label[REPORT_LABEL];
    int width = report_columns(heading);
    for (size_t i = 0; i < collector_count(collector); i++) {
        int columns = report_columns(report_label(label, collector, i));
        width = columns > width ? columns : width;
    }
    return width;
}

static void report_pad(FILE *out, const char *text, int width)
{
    fprintf(out, "%s%*s", text, width - report_columns(text), "");
}

/* The last fence before a terminal: errors carry peers' words, escaped where they came in. */
static void report_put(FILE *out, const char *text)
{
    for (; *text; text++)
        fputc((unsigned char)*text < 0x20 || *text == 0x7F ? '?' : *text, out);
}

static void report_row(FILE *out, const char *label, int width, const struct report_sum *sum,
                       const char *result)
{
    char bytes[16];
    report_pad(out, label, width);
    fprintf(out, " %10llu %10llu %6llu %9s  ", (unsigned long long)sum->found,
            (unsigned long long)sum->delivered, (unsigned long long)sum->held,
            num_format_bytes(bytes, sizeof bytes, sum->bytes));
    report_put(out, result);
    fputc('\n', out);
}

static const char *report_result(const struct collect_report *report)
{
    return report_is_ok(report) ? "ok" : report_cause(report);
}

void report_table(FILE *out, const struct collector *collector)
{
    int width = report_width(collector, "mailbox");
    report_pad(out, "mailbox", width);
    fprintf(out, " %10s %10s %6s %9s  %s\n", "new", "delivered", "held", "bytes", "result");
    for (size_t i = 0; i < collector_count(collector); i++) {
        char label[REPORT_LABEL];
        const struct collect_report *report = collector_report(collector, i);
        struct report_sum one = {.found = report->found,
                                 .delivered = report->delivered,
                                 .held = report->held,
                                 .bytes = report->bytes};
        report_row(out, report_label(label, collector, i), width, &one, report_result(report));
    }
    struct report_sum sum = report_add_up(collector);
    char result[80];
    snprintf(result, sizeof result, "%zu of %zu mailboxes ok", sum.ok, sum.count);
    report_row(out, "total", width, &sum, result);
}

/* The capabilities that matter to a collector, in the order of their weight. */
static void report_caps(char *out, size_t cap, unsigned caps)
{
    static const struct {
        unsigned bit;
        const char *name;
    } names[] = {
        {IMAP_CAP_IDLE, "IDLE"},       {IMAP_CAP_NOTIFY, "NOTIFY"},
        {IMAP_CAP_UIDPLUS, "UIDPLUS"}, {IMAP_CAP_MOVE, "MOVE"},
        {IMAP_CAP_ESEARCH, "ESEARCH"}, {IMAP_CAP_SPECIAL_USE, "SPECIAL-USE"},
        {IMAP_CAP_QRESYNC, "QRESYNC"},
    };
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < sizeof names / sizeof *names && used < cap; i++)
        if (caps & names[i].bit)
            used +=
                (size_t)snprintf(out + used, cap - used, "%s%s", used ? " " : "", names[i].name);
}

static void report_check_row(FILE *out, const struct collect_report *report)
{
    const struct collect_check *check = report->check;
    char caps[120], issuer[48];
    if (report->phase != COLLECT_DONE) {
        fputs("  ", out);
        report_put(out, report_result(report));
        fputc('\n', out);
        return;
    }
    report_caps(caps, sizeof caps, check->caps);
    if (check->has_tls)
        fprintf(
            out, "  %-8s %8u %8u  until %s by %s; %s\n", check->tls.version, check->messages,
            check->unseen, check->tls.not_after,
            text_escape_utf8(issuer, sizeof issuer, check->tls.issuer, strlen(check->tls.issuer)),
            caps);
    else
        fprintf(out, "  %-8s %8u %8u  in the clear; %s\n", "none", check->messages, check->unseen,
                caps);
}

void report_check(FILE *out, const struct collector *collector, const char *broker,
                  const struct err *broker_err)
{
    int width = report_width(collector, "mailbox");
    report_pad(out, "mailbox", width);
    fprintf(out, "  %-8s %8s %8s  %s\n", "TLS", "mails", "unseen",
            "certificate; capabilities that matter");
    for (size_t i = 0; i < collector_count(collector); i++) {
        char label[REPORT_LABEL];
        report_pad(out, report_label(label, collector, i), width);
        report_check_row(out, collector_report(collector, i));
    }
    struct report_sum sum = report_add_up(collector);
    fprintf(out, "%zu of %zu mailboxes ok\n", sum.ok, sum.count);
    fprintf(out, "broker: %s: ", broker);
    report_put(out, broker_err ? broker_err->text : "ok");
    fputc('\n', out);
}
