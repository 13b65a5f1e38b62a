#include "imap/response.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/num.h"
#include "base/text.h"
#include "imap/parser.h"

enum {
    IMAP_PARSER_IDLE_CAP = 128 /* memory kept between responses */
};

const struct imap_limits imap_limits_default = {
    .text_max = 8192,
    .depth_max = 32,
    .body_max = UINT32_MAX,
    .skip_max = 16u << 20,
    .numbers_max = 4000000,
};

struct imap_parser *imap_parser_new(const struct imap_limits *limits)
{
    struct imap_parser *parser = mem_new(struct imap_parser);
    parser->limits = *limits;
    imap_lexer_init(&parser->lexer, limits->text_max, limits->body_max, limits->skip_max);
    return parser;
}

void imap_parser_free(struct imap_parser *parser)
{
    if (!parser)
        return;
    imap_lexer_release(&parser->lexer);
    buf_release(&parser->name);
    free(parser->found.numbers);
    free(parser);
}

void imap_parser_feed(struct imap_parser *parser, const uint8_t *data, size_t len)
{
    imap_lexer_feed(&parser->lexer, data, len);
}

size_t imap_parser_rest(const struct imap_parser *parser)
{
    return parser->lexer.in_len;
}

bool imap_parser_broke_in_fetch(const struct imap_parser *parser, uint32_t *ret_uid)
{
    if (!parser->broken || parser->take != imap_fetch_take)
        return false;
    *ret_uid = parser->response.fetch.uid;
    return true;
}

bool imap_parser_idle(const struct imap_parser *parser)
{
    return !parser->take;
}

/* Ten thousand idle sessions keep no memory for what they were told last. */
static void imap_parser_reset(struct imap_parser *parser)
{
    imap_lexer_reset(&parser->lexer);
    if (parser->name.cap > IMAP_PARSER_IDLE_CAP)
        buf_release(&parser->name);
    buf_clear(&parser->name);
    free(parser->found.numbers);
    parser->found.numbers = NULL;
    parser->found_count = 0;
    parser->over = false;
    parser->depth = parser->step = parser->value_depth = 0;
    parser->word[0] = '\0';
    parser->item = IMAP_ITEM_NONE;
    parser->body_named = parser->body_open = false;
    parser->response = (struct imap_response){0};
}

int imap_parser_finish(struct imap_parser *parser)
{
    parser->take = NULL;
    parser->over = true;
    return 1;
}

int imap_parser_take_rest(struct imap_parser *parser, const struct imap_token *token,
                          struct err *err)
{
    (void)err;
    return token->type == IMAP_TOKEN_EOL ? imap_parser_finish(parser) : 0;
}

static void imap_parser_await(struct imap_parser *parser, imap_take *take, enum imap_lex lex)
{
    parser->take = take;
    parser->lex = lex;
}

int imap_parser_skip(struct imap_parser *parser)
{
    parser->response = (struct imap_response){
        .type = IMAP_RESPONSE_OTHER, .text = parser->word, .text_len = strlen(parser->word)};
    imap_parser_await(parser, imap_parser_take_rest, IMAP_LEX_SKIP);
    return 0;
}

static int imap_text_finish(struct imap_parser *parser, const char *text, size_t len)
{
    struct imap_response *response = &parser->response;
    if (response->type == IMAP_RESPONSE_STATUS)
        imap_code_take(response, &text, &len);
    response->text = text;
    response->text_len = len;
    return imap_parser_finish(parser);
}

static int imap_text_take(struct imap_parser *parser, const struct imap_token *token,
                          struct err *err)
{
    (void)err;
    return imap_text_finish(parser, token->text, token->len);
}

static int imap_status_begin(struct imap_parser *parser, enum imap_status status)
{
    parser->response.type = IMAP_RESPONSE_STATUS;
    parser->response.status = status;
    imap_parser_await(parser, imap_text_take, IMAP_LEX_TEXT);
    return 0;
}

static int imap_tag_error(const struct imap_parser *parser, struct err *err)
{
    char shown[4 * sizeof parser->response.tag];
    size_t len = strlen(parser->response.tag);
    if (len == sizeof parser->response.tag - 1) /* whatever it is, it may be a part only */
        return err_set(err, ERR_RETRY_LATER,
                       "a line that is no response, beginning with a long word");
    text_escape(shown, sizeof shown, parser->response.tag, len);
    return err_set(err, ERR_RETRY_LATER, "a line that is no response, beginning with \"%s\"",
                   shown);
}

/* "A1OK done": a status word at the tag's end is split off. */
static bool imap_tag_split(struct imap_parser *parser)
{
    char *tag = parser->response.tag;
    size_t len = strlen(tag);
    for (size_t word = 2; word <= 3 && word < len; word++)
        if (imap_status_parse(tag + len - word, word, &parser->response.status)) {
            tag[len - word] = '\0';
            return true;
        }
    return false;
}

/* response-tagged = tag SP resp-cond-state CRLF, behind the tag */
static int imap_tagged_take(struct imap_parser *parser, const struct imap_token *token,
                            struct err *err)
{
    enum imap_status status;
    if (token->type == IMAP_TOKEN_ATOM && imap_status_parse(token->text, token->len, &status) &&
        status <= IMAP_BAD)
        return imap_status_begin(parser, status);
    bool word = token->type == IMAP_TOKEN_ATOM;
    if ((!word && token->type != IMAP_TOKEN_EOL) || !imap_tag_split(parser))
        return imap_tag_error(parser, err);
    imap_status_begin(parser, parser->response.status);
    if (!word)
        return imap_text_finish(parser, "", 0);
    if (token->len)
        imap_lexer_atom_to_text(&parser->lexer);
    return 0;
}

static int imap_tag_take(struct imap_parser *parser, const struct imap_token *token,
                         struct err *err)
{
    if (token->type != IMAP_TOKEN_ATOM)
        return err_set(err, ERR_RETRY_LATER, "a line that is no response");
    parser->response.tagged = true;
    snprintf(parser->response.tag, sizeof parser->response.tag, "%s", token->text);
    imap_parser_await(parser, imap_tagged_take, IMAP_LEX_WORD);
    return 0;
}

static void imap_word_set(struct imap_parser *parser, const struct imap_token *token)
{
    snprintf(parser->word, sizeof parser->word, "%s", token->text);
    for (char *c = parser->word; *c; c++)
        *c = (char)toupper((unsigned char)*c);
}

/* message-data = nz-number SP ("EXPUNGE" / ("FETCH" SP msg-att)), EXISTS and RECENT alike */
static int imap_numbered_take(struct imap_parser *parser, const struct imap_token *token,
                              struct err *err)
{
    static const struct {
        const char *name;
        enum imap_response_type type;
    } numbered[] = {
        {"FETCH", IMAP_RESPONSE_FETCH}, /* there are two for each mail */
        {"EXISTS", IMAP_RESPONSE_EXISTS},
        {"RECENT", IMAP_RESPONSE_RECENT},
        {"EXPUNGE", IMAP_RESPONSE_EXPUNGE},
    };
    if (token->type != IMAP_TOKEN_ATOM) {
        imap_parser_skip(parser);
        return parser->take(parser, token, err);
    }
    imap_word_set(parser, token);
    for (size_t i = 0; i < sizeof numbered / sizeof *numbered; i++) {
        if (strcmp(parser->word, numbered[i].name) != 0)
            continue;
        parser->response.type = numbered[i].type;
        if (numbered[i].type == IMAP_RESPONSE_FETCH) {
            parser->response.fetch.seq = (uint32_t)parser->response.number;
            parser->response.number = 0;
            imap_parser_await(parser, imap_fetch_take, IMAP_LEX_ITEM);
        } else {
            imap_parser_await(parser, imap_parser_take_rest, IMAP_LEX_SKIP);
        }
        return 0;
    }
    return imap_parser_skip(parser);
}

/* The first word behind "*", which is a name. */
static int imap_named_begin(struct imap_parser *parser)
{
    static const struct {
        const char *name;
        enum imap_response_type type;
        imap_take *take;
        enum imap_lex lex;
    } named[] = {
        {"CAPABILITY", IMAP_RESPONSE_CAPABILITY, imap_capability_take, IMAP_LEX_PLAIN},
        {"LIST", IMAP_RESPONSE_LIST, imap_list_take, IMAP_LEX_PLAIN},
        {"LSUB", IMAP_RESPONSE_LIST, imap_list_take, IMAP_LEX_PLAIN},
        {"XLIST", IMAP_RESPONSE_LIST, imap_list_take, IMAP_LEX_PLAIN},
        {"STATUS", IMAP_RESPONSE_MAILBOX_STATUS, imap_mailbox_status_take, IMAP_LEX_NAME},
        {"FLAGS", IMAP_RESPONSE_FLAGS, imap_flags_take, IMAP_LEX_PLAIN},
        {"SEARCH", IMAP_RESPONSE_SEARCH, imap_search_take, IMAP_LEX_NUMBERS},
        {"ESEARCH", IMAP_RESPONSE_ESEARCH, imap_esearch_take, IMAP_LEX_NUMBERS},
    };
    for (size_t i = 0; i < sizeof named / sizeof *named; i++)
        if (!strcmp(parser->word, named[i].name)) {
            parser->response.type = named[i].type;
            imap_parser_await(parser, named[i].take, named[i].lex);
            return 0;
        }
    return imap_parser_skip(parser);
}

/* The first word behind "*". It is empty before a "[": a code whose "OK" the server forgot. */
static int imap_untagged_take(struct imap_parser *parser, const struct imap_token *token,
                              struct err *err)
{
    enum imap_status status;
    uint32_t number;
    if (token->type != IMAP_TOKEN_ATOM) {
        imap_parser_skip(parser);
        return parser->take(parser, token, err);
    }
    if (!token->len)
        return imap_status_begin(parser, IMAP_OK);
    imap_word_set(parser, token);
    if (imap_status_parse(token->text, token->len, &status))
        return imap_status_begin(parser, status);
    if (num_parse_u32(token->text, token->len, &number)) {
        parser->response.number = number;
        imap_parser_await(parser, imap_numbered_take, IMAP_LEX_WORD);
        return 0;
    }
    return imap_named_begin(parser);
}

/* The first byte of a response; false when there is none yet. */
static bool imap_parser_begin(struct imap_parser *parser)
{
    int byte = imap_lexer_peek(&parser->lexer);
    if (byte < 0)
        return false;
    if (byte == '*' || byte == '+')
        imap_lexer_drop(&parser->lexer);
    if (byte == '+') {
        parser->response.type = IMAP_RESPONSE_CONTINUE;
        imap_parser_await(parser, imap_text_take, IMAP_LEX_TEXT);
    } else {
        bool untagged = byte == '*' || byte == '[';
        imap_parser_await(parser, untagged ? imap_untagged_take : imap_tag_take, IMAP_LEX_WORD);
    }
    return true;
}

/* A ")" too many is ignored: some servers send one. */
static int imap_parser_nest(struct imap_parser *parser, const struct imap_token *token,
                            struct err *err)
{
    if (token->type == IMAP_TOKEN_CLOSE && parser->depth)
        parser->depth--;
    if (token->type == IMAP_TOKEN_OPEN && ++parser->depth > parser->limits.depth_max)
        return err_set(err, ERR_RETRY_LATER, "more than %u nested parentheses",
                       parser->limits.depth_max);
    return 0;
}

static int imap_parser_run(struct imap_parser *parser, struct err *err)
{
    if (!parser->take && !imap_parser_begin(parser))
        return 0;
    for (;;) {
        struct imap_token token;
        int result = imap_lexer_next(&parser->lexer, parser->lex, &token, err);
        if (result <= 0)
            return result;
        result = imap_parser_nest(parser, &token, err);
        if (!result)
            result = parser->take(parser, &token, err);
        if (result)
            return result;
    }
}

static int imap_parser_break(struct imap_parser *parser, const struct err *why, struct err *err)
{
    char word[4 * sizeof parser->word];
    text_escape(word, sizeof word, parser->word, strlen(parser->word));
    parser->broken = true;
    return err_set(err, ERR_RETRY_LATER, "the server broke the IMAP protocol: %s%s%s%s", why->text,
                   *word ? " (in " : "", word, *word ? ")" : "");
}

int imap_parser_next(struct imap_parser *parser, const struct imap_response **ret_response,
                     struct err *err)
{
    if (parser->broken)
        return err_set(err, ERR_RETRY_LATER, "the server broke the IMAP protocol before");
    if (parser->over)
        imap_parser_reset(parser);
    struct err why;
    int result = imap_parser_run(parser, &why);
    if (result < 0)
        return imap_parser_break(parser, &why, err);
    if (result > 0)
        *ret_response = &parser->response;
    return result;
}
