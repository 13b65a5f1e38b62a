#include "imap/parser.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/num.h"

/* What the numbers in an ESEARCH belong to, in parser->step. */
enum {
    IMAP_ESEARCH_NONE,
    IMAP_ESEARCH_TAG,
    IMAP_ESEARCH_ALL,
    IMAP_ESEARCH_COUNT,
};

/* Makes room for one more number or range of `size` bytes, where the last part has been given
 * out: 0, or -1 when they are too many. */
static int imap_found_reserve(struct imap_parser *parser, size_t size, size_t len, struct err *err)
{
    if (parser->found_count >= parser->limits.numbers_max)
        return err_set(err, ERR_RETRY_LATER, "more than %" PRIu64 " numbers",
                       parser->limits.numbers_max);
    if (!parser->found.numbers)
        parser->found.numbers = mem_realloc_array(NULL, IMAP_NUMBERS, size);
    if (parser->response.count == IMAP_NUMBERS)
        parser->response.count = 0;
    parser->found_count++;
    imap_lexer_forgive(&parser->lexer, len + 1);
    return 0;
}

static int imap_found_end(struct imap_parser *parser)
{
    if (parser->response.count == IMAP_NUMBERS)
        parser->response.count = 0;
    parser->response.last = true;
    return imap_parser_finish(parser);
}

/* "SEARCH" *(SP nz-number) [SP "(" "MODSEQ" SP mod-sequence-value ")"] */
int imap_search_take(struct imap_parser *parser, const struct imap_token *token, struct err *err)
{
    struct imap_response *response = &parser->response;
    uint32_t number;
    if (token->type == IMAP_TOKEN_EOL)
        return imap_found_end(parser);
    if (token->type != IMAP_TOKEN_ATOM || parser->depth ||
        !num_parse_u32(token->text, token->len, &number) || !number)
        return 0;
    if (imap_found_reserve(parser, sizeof *parser->found.numbers, token->len, err) < 0)
        return -1;
    response->numbers = parser->found.numbers;
    parser->found.numbers[response->count++] = number;
    return response->count == IMAP_NUMBERS;
}

/* nz-number [":" nz-number]; the lexer took the set apart at its commas. */
static int imap_esearch_take_range(struct imap_parser *parser, const struct imap_token *token,
                                   struct err *err)
{
    struct imap_response *response = &parser->response;
    struct imap_range range;
    if (token->cut || !imap_range_parse(token->text, token->len, &range))
        return 0;
    if (imap_found_reserve(parser, sizeof *parser->found.ranges, token->len, err) < 0)
        return -1;
    response->ranges = parser->found.ranges;
    parser->found.ranges[response->count++] = range;
    return response->count == IMAP_NUMBERS;
}

static void imap_esearch_take_name(struct imap_parser *parser, const struct imap_token *token)
{
    static const char *const names[] = {[IMAP_ESEARCH_NONE] = "",
                                        [IMAP_ESEARCH_TAG] = "TAG",
                                        [IMAP_ESEARCH_ALL] = "ALL",
                                        [IMAP_ESEARCH_COUNT] = "COUNT"};
    parser->step = IMAP_ESEARCH_NONE;
    for (unsigned i = IMAP_ESEARCH_TAG; i <= IMAP_ESEARCH_COUNT; i++)
        if (imap_name_is(token->text, token->len, names[i]))
            parser->step = i;
}

/* "ESEARCH" [SP "(" "TAG" SP string ")"] [SP "UID"] *(SP name SP value). All names begin with a
 * letter, all values that matter with a digit. */
int imap_esearch_take(struct imap_parser *parser, const struct imap_token *token, struct err *err)
{
    struct imap_response *response = &parser->response;
    if (token->type == IMAP_TOKEN_EOL)
        return imap_found_end(parser);
    if (token->type != IMAP_TOKEN_ATOM && token->type != IMAP_TOKEN_STRING)
        return 0;
    if (parser->step == IMAP_ESEARCH_TAG) {
        snprintf(response->tag, sizeof response->tag, "%s", token->text);
        parser->step = IMAP_ESEARCH_NONE;
    } else if (isalpha((unsigned char)*token->text)) {
        imap_esearch_take_name(parser, token);
    } else if (parser->step == IMAP_ESEARCH_ALL && !parser->depth) {
        return imap_esearch_take_range(parser, token, err);
    } else if (parser->step == IMAP_ESEARCH_COUNT && !parser->depth) {
        response->has_count = num_parse_u64(token->text, token->len, UINT64_MAX, &response->number);
    }
    return 0;
}
