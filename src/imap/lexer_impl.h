/* imap/lexer_impl.h: what the lexer's two halves share: lexer.c (tokens, atoms, text) and
 * lexer_string.c (quoted strings, literals). */
#ifndef IMAP_LEXER_IMPL_H
#define IMAP_LEXER_IMPL_H

#include "imap/lexer.h"

/* What a byte can mean, as bits. */
enum {
    IMAP_BYTE_BLANK = 1, /* NUL too: some servers pad lines with it */
    IMAP_BYTE_LF = 2,
    IMAP_BYTE_PAREN = 4,
    IMAP_BYTE_BRACKET = 8,
    IMAP_BYTE_COMMA = 16,
    IMAP_BYTE_QUOTED = 32, /* means something within a quoted string */
    IMAP_BYTE_BRACE = 64,
    IMAP_BYTE_ENDS_ATOM = IMAP_BYTE_BLANK | IMAP_BYTE_LF | IMAP_BYTE_PAREN | IMAP_BYTE_BRACE,
};

extern const uint8_t imap_bytes[256];

/* lexer.c */

/* A token begins; `lex` says how much of it is kept. */
void imap_lexer_start(struct imap_lexer *lexer, enum imap_lexer_state state, enum imap_lex lex);
/* Takes `len` bytes of input. */
void imap_lexer_take(struct imap_lexer *lexer, size_t len);
/* Takes `len` bytes of input into the token's text, as far as there is room. */
void imap_lexer_keep(struct imap_lexer *lexer, size_t len);
/* The token is whole: 1. */
int imap_lexer_give(struct imap_lexer *lexer, enum imap_token_type type,
                    struct imap_token *ret_token);
/* A token that is its type, made of one byte of input: 1. */
int imap_lexer_give_byte(struct imap_lexer *lexer, enum imap_token_type type, bool torn,
                         struct imap_token *ret_token);

/* lexer_string.c: one step in a state. 1 and a token; 0: all input is taken; 2: go on; -1. But
 * for the end of a literal all are called with input at hand. */

/* The string is the body, of `size` bytes: from here on it comes in pieces. */
int imap_lexer_begin_body(struct imap_lexer *lexer, uint64_t size, struct imap_token *ret_token);
int imap_lexer_quoted(struct imap_lexer *lexer, struct imap_token *ret_token);
int imap_lexer_quoted_body(struct imap_lexer *lexer, struct imap_token *ret_token, struct err *err);
int imap_lexer_size(struct imap_lexer *lexer, enum imap_lex lex, struct err *err);
int imap_lexer_size_end(struct imap_lexer *lexer, enum imap_lex lex, struct imap_token *ret_token,
                        struct err *err);
int imap_lexer_literal(struct imap_lexer *lexer, struct imap_token *ret_token);
int imap_lexer_literal_body(struct imap_lexer *lexer, struct imap_token *ret_token);

#endif
