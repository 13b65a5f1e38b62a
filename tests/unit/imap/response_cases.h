/* Tables of what a server says and what the parser makes of it. Each row is fed whole, byte by
 * byte, and cut in two at every position. */
#ifndef RESPONSE_CASES_H
#define RESPONSE_CASES_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "response_dump.h"

struct response_case {
    const char *in; /* \1 stands for NUL */
    const char *out;
};

static inline void case_check(const struct imap_limits *limits, const struct response_case *row,
                              size_t first, size_t step)
{
    struct buf out = {0};
    struct imap_parser *parser = imap_parser_new(limits);
    size_t len = strlen(row->in);
    char *in = mem_strdup(row->in);
    for (size_t i = 0; i < len; i++)
        in[i] = in[i] == '\1' ? '\0' : in[i];
    bool going = true;
    for (size_t i = 0, piece = first; going && i < len; i += piece, piece = step) {
        piece = piece < len - i ? piece : len - i;
        going = dump_feed(&out, parser, in + i, piece);
    }
    if (going && !imap_parser_idle(parser))
        buf_add_str(&out, "unfinished\n");
    if (strcmp(buf_cstr(&out), row->out) != 0)
        fail_msg("%s\nfed %zu, then %zu at a time, gives\n%swhere\n%swas expected", row->in, first,
                 step, (const char *)out.data, row->out);
    buf_release(&out);
    imap_parser_free(parser);
    free(in);
}

static inline void cases_check_within(const struct imap_limits *limits,
                                      const struct response_case *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(rows[i].in);
        case_check(limits, &rows[i], 1, 1);
        for (size_t split = 1; split <= len; split++)
            case_check(limits, &rows[i], split, len);
    }
}

#define CASES_CHECK(rows)                                                                          \
    cases_check_within(&imap_limits_default, (rows), sizeof(rows) / sizeof *(rows))

#endif
