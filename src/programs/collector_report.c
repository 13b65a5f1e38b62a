#include "programs/collector_report.h"

#include <string.h>

#include "base/text.h"

struct report_sum {
    size_t done;
    size_t failed;
    uint64_t found, delivered, held, bytes;
};

static struct report_sum report_add_up(const struct collector *collector)
{
    struct report_sum sum = {0};
    for (size_t i = 0; i < collector_count(collector); i++) {
        const struct collect_report *report = collector_report(collector, i);
        sum.done += report->phase == COLLECT_DONE;
        sum.failed += report->phase == COLLECT_FAILED;
        sum.found += report->found;
        sum.delivered += report->delivered;
        sum.held += report->held;
        sum.bytes += report->bytes;
    }
    return sum;
}

/* The first mailbox with trouble, for the progress line; NULL when there is none. */
static const char *report_troubled(const struct collector *collector)
{
    for (size_t i = 0; i < collector_count(collector); i++) {
        enum collect_phase phase = collector_report(collector, i)->phase;
        if (phase == COLLECT_FAILED || phase == COLLECT_RETRYING)
            return collector_account(collector, i)->label;
    }
    return NULL;
}

char *report_progress(char *out, size_t cap, const struct collector *collector, msec_t elapsed)
{
    struct report_sum sum = report_add_up(collector);
    char bytes[16], label[60];
    unsigned long long rate = sum.delivered * 1000 / (elapsed ? elapsed : 1);
    size_t used = (size_t)snprintf(out, cap, "%zu of %zu mailboxes, %llu of %llu mails, %s, %llu/s",
                                   sum.done + sum.failed, collector_count(collector),
                                   (unsigned long long)sum.delivered, (unsigned long long)sum.found,
                                   num_format_bytes(bytes, sizeof bytes, sum.bytes), rate);
    if (sum.held && used < cap)
        used +=
            (size_t)snprintf(out + used, cap - used, ", %llu held", (unsigned long long)sum.held);
    const char *troubled = report_troubled(collector);
    if (troubled && used < cap)
        snprintf(out + used, cap - used, ", %zu failed, trouble with %s", sum.failed,
                 text_escape_utf8(label, sizeof label, troubled, strlen(troubled)));
    return out;
}

/* Columns on a screen that a UTF-8 text takes, near enough: one for each character. */
static int report_columns(const char *text)
{
    int columns = 0;
    for (; *text; text++)
        columns += ((unsigned char)*text & 0xC0) != 0x80;
    return columns;
}

enum {
    REPORT_LABEL = 200
};

static char *report_label(char out[REPORT_LABEL], const struct collect_account *account)
{
    return text_escape_utf8(out, REPORT_LABEL, account->label, strlen(account->label));
}

/* The widest label, for the first column. */
static int report_width(const struct collector *collector, const char *heading)
{
    char label[REPORT_LABEL];
    int width = report_columns(heading);
    for (size_t i = 0; i < collector_count(collector); i++) {
        int columns = report_columns(report_label(label, collector_account(collector, i)));
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
    if (report->phase == COLLECT_DONE)
        return "ok";
    return report->err ? report->err->text : "not reached";
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
        report_row(out, report_label(label, collector_account(collector, i)), width, &one,
                   report_result(report));
    }
    struct report_sum sum = report_add_up(collector);
    char result[80];
    snprintf(result, sizeof result, "%zu of %zu mailboxes ok", sum.done,
             collector_count(collector));
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
        report_pad(out, report_label(label, collector_account(collector, i)), width);
        report_check_row(out, collector_report(collector, i));
    }
    struct report_sum sum = report_add_up(collector);
    fprintf(out, "%zu of %zu mailboxes ok\n", sum.done, collector_count(collector));
    fprintf(out, "broker: %s: ", broker);
    report_put(out, broker_err ? broker_err->text : "ok");
    fputc('\n', out);
}
