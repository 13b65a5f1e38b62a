#include "imap/parser.h"

#include <ctype.h>
#include <string.h>

#include "base/num.h"

/* The order of LIST's and STATUS' parts, in parser->step. */
enum {
    IMAP_LIST_ATTRS,
    IMAP_LIST_DELIMITER,
    IMAP_LIST_NAME,
    IMAP_LIST_EXTENDED,
};
enum {
    IMAP_MAILBOX_STATUS_NAME,
    IMAP_MAILBOX_STATUS_ITEMS,
};

static bool imap_token_is_word(const struct imap_token *token)
{
    return token->type == IMAP_TOKEN_ATOM || token->type == IMAP_TOKEN_STRING;
}

/* Keeps the mailbox's name. One that is longer than is kept, or holds a NUL, could be no argument
 * of a command: its response is skipped. */
static bool imap_mailbox_keep_name(struct imap_parser *parser, const struct imap_token *token)
{
    if (!imap_token_is_word(token) || token->cut || memchr(token->text, '\0', token->len))
        return false;
    buf_add(&parser->name, token->text, token->len);
    parser->response.name = buf_cstr(&parser->name);
    parser->response.name_len = token->len;
    return true;
}

static unsigned imap_list_attr(const struct imap_token *token)
{
    if (imap_name_is(token->text, token->len, "\\Noselect") ||
        imap_name_is(token->text, token->len, "\\NonExistent"))
        return IMAP_ATTR_NOSELECT;
    return imap_attr_parse(token->text, token->len);
}

static int imap_list_take_attr(struct imap_parser *parser, const struct imap_token *token)
{
    if (token->type == IMAP_TOKEN_ATOM && parser->depth)
        parser->response.attrs |= imap_list_attr(token);
    else if (imap_token_is_word(token) && !parser->depth)
        return imap_parser_skip(parser);
    if (token->type == IMAP_TOKEN_CLOSE && !parser->depth)
        parser->step = IMAP_LIST_DELIMITER;
    return 0;
}

static void imap_list_take_delimiter(struct imap_parser *parser, const struct imap_token *token)
{
    if (token->len == 1)
        parser->response.delimiter = *token->text;
    parser->step = IMAP_LIST_NAME;
    parser->lex = IMAP_LEX_NAME;
}

/* mailbox-list = "(" [mbx-list-flags] ")" SP (DQUOTE QUOTED-CHAR DQUOTE / nil) SP mailbox
 * [SP mbox-list-extended] */
int imap_list_take(struct imap_parser *parser, const struct imap_token *token, struct err *err)
{
    if (token->type == IMAP_TOKEN_EOL) {
        if (token->torn || parser->step != IMAP_LIST_EXTENDED)
            imap_parser_skip(parser);
        return imap_parser_take_rest(parser, token, err);
    }
    if (parser->step == IMAP_LIST_ATTRS)
        return imap_list_take_attr(parser, token);
    if (parser->step == IMAP_LIST_EXTENDED || token->type == IMAP_TOKEN_CLOSE)
        return 0;
    if (!imap_token_is_word(token))
        return imap_parser_skip(parser);
    if (parser->step == IMAP_LIST_DELIMITER) {
        imap_list_take_delimiter(parser, token);
        return 0;
    }
    if (!imap_mailbox_keep_name(parser, token))
        return imap_parser_skip(parser);
    parser->step = IMAP_LIST_EXTENDED;
    parser->lex = IMAP_LEX_SKIP;
    return 0;
}

/* Numbers follow the name they belong to; what is no number is a name, or the value of one that
 * is not known, and then belongs to none either. */
static void imap_mailbox_status_item(struct imap_parser *parser, const struct imap_token *token)
{
    struct imap_response *response = &parser->response;
    const struct {
        const char *name;
        bool *has;
        uint32_t *value;
    } items[] = {
        {"MESSAGES", &response->has_messages, &response->messages},
        {"UNSEEN", &response->has_unseen, &response->unseen},
        {"UIDNEXT", &response->has_uidnext, &response->uidnext},
        {"UIDVALIDITY", &response->has_uidvalidity, &response->uidvalidity},
    };
    enum {
        KNOWN = sizeof items / sizeof *items
    };
    unsigned named = parser->step - IMAP_MAILBOX_STATUS_ITEMS;
    if (isalpha((unsigned char)*token->text)) {
        unsigned item = 0;
        while (item < KNOWN && !imap_name_is(token->text, token->len, items[item].name))
            item++;
        parser->step = IMAP_MAILBOX_STATUS_ITEMS + (item < KNOWN ? item + 1 : 0);
        return;
    }
    if (named && num_parse_u32(token->text, token->len, items[named - 1].value))
        *items[named - 1].has = true;
    parser->step = IMAP_MAILBOX_STATUS_ITEMS;
}

/* "STATUS" SP mailbox SP "(" [status-att-list] ")". In parser->step, beyond ITEMS: the number of
 * the item whose value is awaited. */
int imap_mailbox_status_take(struct imap_parser *parser, const struct imap_token *token,
                             struct err *err)
{
    if (token->type == IMAP_TOKEN_EOL) {
        if (token->torn || parser->step == IMAP_MAILBOX_STATUS_NAME)
            imap_parser_skip(parser);
        return imap_parser_take_rest(parser, token, err);
    }
    if (parser->step == IMAP_MAILBOX_STATUS_NAME) {
        if (!imap_mailbox_keep_name(parser, token))
            return imap_parser_skip(parser);
        parser->step = IMAP_MAILBOX_STATUS_ITEMS;
        parser->lex = IMAP_LEX_PLAIN;
    } else if (token->type == IMAP_TOKEN_ATOM) {
        imap_mailbox_status_item(parser, token);
    }
    return 0;
}

int imap_flags_take(struct imap_parser *parser, const struct imap_token *token, struct err *err)
{
    if (token->type == IMAP_TOKEN_ATOM)
        parser->response.flags |= imap_flag_parse(token->text, token->len);
    return imap_parser_take_rest(parser, token, err);
}

int imap_capability_take(struct imap_parser *parser, const struct imap_token *token,
                         struct err *err)
{
    if (token->type == IMAP_TOKEN_ATOM)
        parser->response.caps |= imap_cap_parse(token->text, token->len);
    return imap_parser_take_rest(parser, token, err);
}
