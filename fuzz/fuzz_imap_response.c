/* What a server says, in pieces as chance cuts it: the parser gives the same responses as when it
 * is fed whole, a body has the length announced, and memory stays within the limits. */
#include <sanitizer/allocator_interface.h>

#include <stdio.h>

#include "../tests/unit/imap/response_dump.h"

static const struct imap_limits fuzz_limits[] = {
    {.text_max = 65536,
     .depth_max = 32,
     .body_max = UINT32_MAX,
     .skip_max = 16u << 20,
     .numbers_max = 4000000},
    {.text_max = 40, .depth_max = 3, .body_max = 20, .skip_max = 300, .numbers_max = 300},
    {.text_max = 1, .depth_max = 1, .body_max = 1, .skip_max = 100, .numbers_max = 1},
    {.text_max = 300, .depth_max = 5, .body_max = 0, .skip_max = 10000, .numbers_max = 0},
};

static void fuzz_check(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "%s\n", what);
    abort();
}

/* What must be true of a sequence of responses. */
struct fuzz_watch {
    bool in_body;
    uint64_t announced;
    uint64_t came;
};

static void fuzz_watch_response(struct fuzz_watch *watch, const struct imap_limits *limits,
                                const struct imap_response *r)
{
    switch (r->type) {
    case IMAP_RESPONSE_BODY_BEGIN:
        fuzz_check(!watch->in_body, "a body within a body");
        *watch = (struct fuzz_watch){.in_body = true, .announced = r->number};
        break;
    case IMAP_RESPONSE_BODY_DATA:
        fuzz_check(watch->in_body && r->data_len, "a piece of no body");
        watch->came += r->data_len;
        fuzz_check(watch->came <= limits->body_max, "a body over its limit");
        break;
    case IMAP_RESPONSE_BODY_END:
        fuzz_check(watch->in_body, "the end of no body");
        fuzz_check(!watch->announced || watch->announced == watch->came, "a body of wrong length");
        watch->in_body = false;
        break;
    default:
        fuzz_check(!watch->in_body, "a response within a body");
        fuzz_check(r->count <= IMAP_NUMBERS, "too many numbers");
        fuzz_check(!r->text || strlen(r->text) == r->text_len, "a NUL in a text");
        fuzz_check(!r->name || strlen(r->name) == r->name_len, "a NUL in a name");
        fuzz_check(r->text_len <= limits->text_max || r->type == IMAP_RESPONSE_OTHER,
                   "a text over its limit");
        fuzz_check(r->name_len <= limits->text_max, "a name over its limit");
    }
}

/* One piece, from memory of its own; false after an error. */
static bool fuzz_feed(struct buf *out, struct imap_parser *parser, struct fuzz_watch *watch,
                      const struct imap_limits *limits, const uint8_t *data, size_t len)
{
    uint8_t *piece = mem_alloc(len);
    memcpy(piece, data, len);
    size_t before = __sanitizer_get_current_allocated_bytes();
    imap_parser_feed(parser, piece, len);
    const struct imap_response *response;
    int result;
    size_t dumped = out->cap;
    while ((result = imap_parser_next(parser, &response, NULL)) > 0) {
        fuzz_watch_response(watch, limits, response);
        dump_response(out, response);
    }
    fuzz_check(imap_parser_rest(parser) == 0 || result < 0, "input is left");
    size_t after = __sanitizer_get_current_allocated_bytes() - (out->cap - dumped);
    fuzz_check(after < before + 5 * limits->text_max + 8192, "too much memory");
    free(piece);
    if (result < 0)
        buf_add_str(out, "error");
    return result == 0;
}

/* Feeds it all in pieces of 1 to `most` bytes; the sizes come from `seed`. */
static void fuzz_run(struct buf *out, const struct imap_limits *limits, const uint8_t *data,
                     size_t len, unsigned seed, size_t most)
{
    size_t before = __sanitizer_get_current_allocated_bytes();
    struct imap_parser *parser = imap_parser_new(limits);
    struct fuzz_watch watch = {0};
    bool going = true;
    for (size_t i = 0; going && i < len;) {
        size_t piece = 1 + (size_t)rand_r(&seed) % most;
        piece = piece < len - i ? piece : len - i;
        going = fuzz_feed(out, parser, &watch, limits, data + i, piece);
        i += piece;
        if (going && imap_parser_idle(parser))
            fuzz_check(__sanitizer_get_current_allocated_bytes() - before - out->cap < 1024,
                       "an idle parser holds on to memory");
    }
    if (going)
        buf_add_str(out, imap_parser_idle(parser) ? "idle" : "unfinished");
    imap_parser_free(parser);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len < 2)
        return 0;
    /* The last two bytes choose, so that a corpus file begins as a server's output does. */
    const struct imap_limits *limits = &fuzz_limits[data[len - 1] % 4];
    unsigned seed = data[len - 2];
    len -= 2;
    struct buf whole = {0}, pieces = {0}, bytes = {0};
    fuzz_run(&whole, limits, data, len, seed, SIZE_MAX);
    fuzz_run(&pieces, limits, data, len, seed, 1 + seed % 32);
    fuzz_run(&bytes, limits, data, len, seed, 1);
    fuzz_check(!strcmp(buf_cstr(&whole), buf_cstr(&pieces)), "pieces make a difference");
    fuzz_check(!strcmp(buf_cstr(&whole), buf_cstr(&bytes)), "single bytes make a difference");
    buf_release(&whole);
    buf_release(&pieces);
    buf_release(&bytes);
    return 0;
}
