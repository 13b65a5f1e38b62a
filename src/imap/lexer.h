/* imap/lexer.h: a server's bytes as tokens, resumable at every byte; for the parser alone.
 *
 * How bytes group depends on where in the grammar they stand, so the parser says with each call
 * what it is after; it must say the same again until a token has come. */
#ifndef IMAP_LEXER_H
#define IMAP_LEXER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum imap_lex {
    IMAP_LEX_WORD,    /* keywords: an atom ends at "[" too, and is empty when it begins with one */
    IMAP_LEX_PLAIN,   /* atoms and strings as everywhere */
    IMAP_LEX_NUMBERS, /* "," separates too */
    IMAP_LEX_ITEM,    /* FETCH items: "BODY[HEADER.FIELDS (From)]<0>" is one atom */
    IMAP_LEX_NAME,    /* mailbox names: an atom goes on to the line's end or to a blank and "(" */
    IMAP_LEX_TEXT,    /* all to the line's end is one token, TEXT */
    IMAP_LEX_BODY,    /* strings come in pieces: BODY_BEGIN, BODY_DATA …, BODY_END */
    IMAP_LEX_SKIP,    /* as PLAIN, but nothing is kept */
};

enum imap_token_type {
    IMAP_TOKEN_ATOM,
    IMAP_TOKEN_STRING, /* quoted, literal or literal8 */
    IMAP_TOKEN_OPEN,
    IMAP_TOKEN_CLOSE,
    IMAP_TOKEN_EOL,
    IMAP_TOKEN_TEXT, /* its line end is taken as well */
    IMAP_TOKEN_BODY_BEGIN,
    IMAP_TOKEN_BODY_DATA, /* points into the input (or to a constant) */
    IMAP_TOKEN_BODY_END,
};

struct imap_token {
    enum imap_token_type type;
    const char *text; /* ATOM, STRING, TEXT: NUL-terminated; valid until the next call */
    size_t len;
    bool cut;      /* there was more than is kept */
    bool torn;     /* EOL: inside of a quoted string */
    uint64_t size; /* BODY_BEGIN: of a literal, 0 for a quoted string */
};

enum imap_lexer_state {
    IMAP_LEXER_BETWEEN, /* tokens */
    IMAP_LEXER_TILDE,   /* "~" of a literal8, or of an atom */
    IMAP_LEXER_ATOM,
    IMAP_LEXER_TEXT,
    IMAP_LEXER_QUOTED,
    IMAP_LEXER_SIZE,     /* between the braces of a literal's size */
    IMAP_LEXER_SIZE_END, /* between them and the line's end */
    IMAP_LEXER_LITERAL,
};

struct imap_lexer {
    const uint8_t *in;
    size_t in_len;
    enum imap_lexer_state state;
    bool escaped;       /* QUOTED: a backslash was the last byte */
    bool section;       /* ATOM of ITEM: between "[" and "]" */
    bool after_blank;   /* ATOM of NAME: a blank was the last byte */
    bool body;          /* QUOTED, LITERAL: it comes in pieces */
    bool behind_body;   /* BETWEEN: one has just ended */
    bool cut;           /* the token is longer than `text` */
    struct buf text;    /* of the token, at most `keep` bytes */
    size_t keep;        /* how much of the token is kept */
    uint64_t left;      /* LITERAL: bytes to come */
    uint64_t body_size; /* QUOTED: bytes that came of a body */
    uint64_t spent;     /* bytes of this response, but for bodies */
    size_t text_max;
    uint64_t body_max;
    uint64_t skip_max;
};

/* The limits are those of struct imap_limits. */
void imap_lexer_init(struct imap_lexer *lexer, size_t text_max, uint64_t body_max,
                     uint64_t skip_max);
void imap_lexer_release(struct imap_lexer *lexer);
void imap_lexer_feed(struct imap_lexer *lexer, const uint8_t *data, size_t len);
/* A response is over: forgets its text and its count of bytes. */
void imap_lexer_reset(struct imap_lexer *lexer);

/* Between responses: skips empty lines and blanks, and gives the first byte behind them without
 * taking it; -1 when there is none yet. */
int imap_lexer_peek(struct imap_lexer *lexer);
/* Takes the byte imap_lexer_peek() gave. */
void imap_lexer_drop(struct imap_lexer *lexer);
/* 1 and a token; 0: all input is taken; -1: a limit or the grammar is broken. */
int imap_lexer_next(struct imap_lexer *lexer, enum imap_lex lex, struct imap_token *ret_token,
                    struct err *err);
/* The atom just given was the beginning of the line's text: IMAP_LEX_TEXT gives both. */
void imap_lexer_atom_to_text(struct imap_lexer *lexer);
/* The last token doesn't count towards skip_max: the parser has a limit of its own for it. */
void imap_lexer_forgive(struct imap_lexer *lexer, size_t len);

#endif
