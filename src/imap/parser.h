/* imap/parser.h: the parser's state, for the files it is made of.
 *
 *   lexer.c     bytes → tokens           response.c  which response it is, the small ones
 *   fetch.c     FETCH                    mailbox.c   LIST, STATUS, FLAGS, CAPABILITY
 *   search.c    SEARCH, ESEARCH          code.c      response codes       names.c  name tables
 *
 * A response is taken token by token by one function, which keeps in the parser what it must
 * remember between two of them. */
#ifndef IMAP_PARSER_H
#define IMAP_PARSER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "imap/lexer.h"
#include "imap/response.h"

struct imap_parser;

/* Takes a token: 0: more are wanted; 1: parser->response is to be given out; -1. `depth` is
 * already that behind an OPEN or CLOSE. Before it returns it may set parser->lex, how the next
 * token is read, and parser->take. It sets take to NULL when the response is over. */
typedef int imap_take(struct imap_parser *parser, const struct imap_token *token, struct err *err);

/* FETCH: the item whose value is awaited. */
enum imap_item {
    IMAP_ITEM_NONE, /* a name is awaited */
    IMAP_ITEM_UNKNOWN,
    IMAP_ITEM_UID,
    IMAP_ITEM_FLAGS,
    IMAP_ITEM_INTERNALDATE,
    IMAP_ITEM_SIZE,
    IMAP_ITEM_BODY,
};

struct imap_parser {
    struct imap_limits limits;
    struct imap_lexer lexer;
    enum imap_lex lex;
    imap_take *take; /* NULL between responses */
    bool over;       /* the response given out last was whole: forget it before the next */
    bool broken;
    unsigned depth; /* of parentheses */
    unsigned step;  /* of a response with an order of its own, see its function */
    char word[32];  /* the response's name in upper case, cut */
    struct buf name;
    union {
        uint32_t *numbers;         /* SEARCH: IMAP_NUMBERS of them, while there are any */
        struct imap_range *ranges; /* ESEARCH */
    } found;
    uint64_t found_count; /* in the whole response */
    enum imap_item item;
    unsigned value_depth; /* FETCH: of the list that is the item's value, 0 outside of one */
    bool body_named;      /* FETCH: a body item was there */
    bool body_open;       /* FETCH: a body came, and no ")" behind it yet */
    struct imap_response response;
};

/* The response is whole, of the type that is set: 1. */
int imap_parser_finish(struct imap_parser *parser);
/* What came is not of the response's grammar: the rest of it is skipped, and it becomes OTHER. */
int imap_parser_skip(struct imap_parser *parser);
/* Skips the rest of a response that has all it needs. */
imap_take imap_parser_take_rest;

imap_take imap_fetch_take;
imap_take imap_list_take;
imap_take imap_mailbox_status_take;
imap_take imap_flags_take;
imap_take imap_capability_take;
imap_take imap_search_take;
imap_take imap_esearch_take;

/* The response code at the beginning of *text, if there is one; moves *text behind it. */
void imap_code_take(struct imap_response *response, const char **text, size_t *len);

/* names.c; all in any case, `ret_x` untouched when false. */
bool imap_name_is(const char *text, size_t len, const char *name);
bool imap_status_parse(const char *name, size_t len, enum imap_status *ret_status);
enum imap_code imap_code_parse(const char *name, size_t len);
/* "\Seen" → IMAP_FLAG_SEEN; 0 for keywords. */
unsigned imap_flag_parse(const char *name, size_t len);

#endif
