#include "imap/parser.h"

#include <string.h>

#include "base/num.h"
#include "base/text.h"

/* The names a whole message comes under. "BODY[]<0>" is one, for that is what a server may make
 * of BODY.PEEK[]; a part of it from elsewhere is not. */
static bool imap_item_is_body(const struct imap_token *name)
{
    static const char *const names[] = {"BODY[]",         "BODY[]<0>", "BODY.PEEK[]",
                                        "BODY.PEEK[]<0>", "RFC822",    "RFC822.PEEK"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (imap_name_is(name->text, name->len, names[i]))
            return true;
    return false;
}

static enum imap_item imap_item_parse(const struct imap_token *name)
{
    static const struct {
        const char *name;
        enum imap_item item;
    } items[] = {
        {"UID", IMAP_ITEM_UID},
        {"FLAGS", IMAP_ITEM_FLAGS},
        {"INTERNALDATE", IMAP_ITEM_INTERNALDATE},
        {"RFC822.SIZE", IMAP_ITEM_SIZE},
    };
    for (size_t i = 0; i < sizeof items / sizeof *items; i++)
        if (imap_name_is(name->text, name->len, items[i].name))
            return items[i].item;
    return imap_item_is_body(name) ? IMAP_ITEM_BODY : IMAP_ITEM_UNKNOWN;
}

static void imap_fetch_await(struct imap_parser *parser, enum imap_item item)
{
    static const enum imap_lex lex[] = {
        [IMAP_ITEM_NONE] = IMAP_LEX_ITEM,  [IMAP_ITEM_UNKNOWN] = IMAP_LEX_SKIP,
        [IMAP_ITEM_UID] = IMAP_LEX_PLAIN,  [IMAP_ITEM_FLAGS] = IMAP_LEX_PLAIN,
        [IMAP_ITEM_SIZE] = IMAP_LEX_PLAIN, [IMAP_ITEM_INTERNALDATE] = IMAP_LEX_PLAIN,
        [IMAP_ITEM_BODY] = IMAP_LEX_BODY,
    };
    parser->item = item;
    parser->lex = lex[item];
    parser->value_depth = 0;
}

/* One FETCH is one mail: two bodies in it could be mixed up. */
static int imap_fetch_take_name(struct imap_parser *parser, const struct imap_token *name,
                                struct err *err)
{
    enum imap_item item = imap_item_parse(name);
    if (item == IMAP_ITEM_BODY && parser->body_named)
        return err_set(err, ERR_RETRY_LATER, "two bodies of one message");
    parser->body_named |= item == IMAP_ITEM_BODY;
    imap_fetch_await(parser, item);
    return 0;
}

/* A value that is an atom or a string. What is no number where one belongs is ignored, as if the
 * item had not been sent. */
static void imap_fetch_take_value(struct imap_parser *parser, const struct imap_token *value)
{
    struct imap_fetch *fetch = &parser->response.fetch;
    bool nil = value->type == IMAP_TOKEN_ATOM && imap_name_is(value->text, value->len, "NIL");
    switch (parser->item) {
    case IMAP_ITEM_UID:
        num_parse_u32(value->text, value->len, &fetch->uid);
        break;
    case IMAP_ITEM_SIZE:
        if (num_parse_u64(value->text, value->len, UINT64_MAX, &fetch->size))
            fetch->has_size = true;
        break;
    case IMAP_ITEM_INTERNALDATE:
        if (!nil)
            text_escape(fetch->internaldate, sizeof fetch->internaldate, value->text, value->len);
        break;
    case IMAP_ITEM_FLAGS:
        fetch->has_flags |= nil;
        break;
    case IMAP_ITEM_BODY:
        fetch->nil_body |= nil;
        break;
    default:
        break;
    }
}

static void imap_fetch_take_word(struct imap_parser *parser, const struct imap_token *token)
{
    if (!parser->value_depth) {
        imap_fetch_take_value(parser, token);
        imap_fetch_await(parser, IMAP_ITEM_NONE);
    } else if (parser->item == IMAP_ITEM_FLAGS) {
        parser->response.fetch.flags |= imap_flag_parse(token->text, token->len);
    }
}

/* A "(" where a name is awaited is the list of items, or one too many. */
static void imap_fetch_take_open(struct imap_parser *parser)
{
    if (parser->item == IMAP_ITEM_NONE || parser->value_depth)
        return;
    if (parser->item == IMAP_ITEM_FLAGS)
        parser->response.fetch.has_flags = true;
    else
        imap_fetch_await(parser, IMAP_ITEM_UNKNOWN);
    parser->value_depth = parser->depth;
}

/* A ")" ends the item's value, or the items, of which the last then has none. */
static void imap_fetch_take_close(struct imap_parser *parser)
{
    if (!parser->value_depth)
        parser->body_open = false;
    if (parser->depth < parser->value_depth || !parser->value_depth)
        imap_fetch_await(parser, IMAP_ITEM_NONE);
}

static int imap_fetch_take_body(struct imap_parser *parser, const struct imap_token *token)
{
    struct imap_response *response = &parser->response;
    response->data = NULL;
    response->data_len = 0;
    if (token->type == IMAP_TOKEN_BODY_BEGIN) {
        response->type = IMAP_RESPONSE_BODY_BEGIN;
        response->number = token->size;
    } else if (token->type == IMAP_TOKEN_BODY_DATA) {
        response->type = IMAP_RESPONSE_BODY_DATA;
        response->data = (const uint8_t *)token->text;
        response->data_len = token->len;
    } else {
        response->type = IMAP_RESPONSE_BODY_END;
        response->fetch.has_body = parser->body_open = true;
        imap_fetch_await(parser, IMAP_ITEM_NONE);
    }
    return 1;
}

/* "FETCH" SP "(" *(name SP value) ")". The bodies' events are given out as they come, all else
 * with the line's end. What follows a body is strictly looked at: it shows whether the size that
 * was announced for it was true. */
int imap_fetch_take(struct imap_parser *parser, const struct imap_token *token, struct err *err)
{
    bool closed = parser->response.fetch.has_body && !parser->depth;
    switch (token->type) {
    case IMAP_TOKEN_EOL:
        if (token->torn)
            return err_set(err, ERR_RETRY_LATER, "a line end within a quoted string");
        if (parser->body_open)
            return err_set(err, ERR_RETRY_LATER, "a line end behind a body, where \")\" belongs");
        parser->response.type = IMAP_RESPONSE_FETCH;
        parser->response.number = 0;
        return imap_parser_finish(parser);
    case IMAP_TOKEN_OPEN:
        imap_fetch_take_open(parser);
        return 0;
    case IMAP_TOKEN_CLOSE:
        imap_fetch_take_close(parser);
        return 0;
    case IMAP_TOKEN_ATOM:
        if (closed)
            return err_set(err, ERR_RETRY_LATER, "more behind the end of a FETCH with a body");
        if (parser->item == IMAP_ITEM_NONE)
            return imap_fetch_take_name(parser, token, err);
        imap_fetch_take_word(parser, token);
        return 0;
    case IMAP_TOKEN_STRING:
        if (parser->item != IMAP_ITEM_NONE)
            imap_fetch_take_word(parser, token);
        return 0;
    default:
        return imap_fetch_take_body(parser, token);
    }
}
