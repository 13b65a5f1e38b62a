#include "imap/lexer.h"

#include <inttypes.h>
#include <string.h>

#include "imap/lexer_impl.h"

enum {
    IMAP_LEXER_IDLE_CAP = 128, /* memory kept between responses */
};

const uint8_t imap_bytes[256] = {
    ['\0'] = IMAP_BYTE_BLANK, [' '] = IMAP_BYTE_BLANK,   ['\t'] = IMAP_BYTE_BLANK,
    ['\r'] = IMAP_BYTE_BLANK, ['('] = IMAP_BYTE_PAREN,   [')'] = IMAP_BYTE_PAREN,
    ['{'] = IMAP_BYTE_BRACE,  [','] = IMAP_BYTE_COMMA,   ['['] = IMAP_BYTE_BRACKET,
    ['"'] = IMAP_BYTE_QUOTED, ['\\'] = IMAP_BYTE_QUOTED, ['\n'] = IMAP_BYTE_LF | IMAP_BYTE_QUOTED,
};

void imap_lexer_init(struct imap_lexer *lexer, size_t text_max, uint64_t body_max,
                     uint64_t skip_max)
{
    *lexer = (struct imap_lexer){.text_max = text_max, .body_max = body_max, .skip_max = skip_max};
}

void imap_lexer_release(struct imap_lexer *lexer)
{
    buf_release(&lexer->text);
}

void imap_lexer_feed(struct imap_lexer *lexer, const uint8_t *data, size_t len)
{
    lexer->in = data;
    lexer->in_len = len;
}

void imap_lexer_reset(struct imap_lexer *lexer)
{
    if (lexer->text.cap > IMAP_LEXER_IDLE_CAP)
        buf_release(&lexer->text);
    buf_clear(&lexer->text);
    lexer->spent = 0;
}

void imap_lexer_take(struct imap_lexer *lexer, size_t len)
{
    lexer->in += len;
    lexer->in_len -= len;
    if (!lexer->body)
        lexer->spent += len;
}

int imap_lexer_peek(struct imap_lexer *lexer)
{
    for (; lexer->in_len; lexer->in++, lexer->in_len--)
        if (!(imap_bytes[*lexer->in] & (IMAP_BYTE_BLANK | IMAP_BYTE_LF)))
            return *lexer->in;
    return -1;
}

void imap_lexer_drop(struct imap_lexer *lexer)
{
    imap_lexer_take(lexer, 1);
}

void imap_lexer_atom_to_text(struct imap_lexer *lexer)
{
    lexer->state = IMAP_LEXER_TEXT;
    lexer->keep = lexer->text_max;
}

void imap_lexer_forgive(struct imap_lexer *lexer, size_t len)
{
    lexer->spent -= len < lexer->spent ? len : lexer->spent;
}

/* What is kept of the token that begins. */
void imap_lexer_start(struct imap_lexer *lexer, enum imap_lexer_state state, enum imap_lex lex)
{
    lexer->state = state;
    lexer->cut = false;
    buf_clear(&lexer->text);
    lexer->keep = lex == IMAP_LEX_SKIP ? 0 : lexer->text_max;
}

/* Takes `len` bytes of input into the token's text, as far as there is room. */
void imap_lexer_keep(struct imap_lexer *lexer, size_t len)
{
    size_t room = lexer->keep > lexer->text.len ? lexer->keep - lexer->text.len : 0;
    buf_add(&lexer->text, lexer->in, len < room ? len : room);
    lexer->cut |= len > room;
    imap_lexer_take(lexer, len);
}

int imap_lexer_give(struct imap_lexer *lexer, enum imap_token_type type,
                    struct imap_token *ret_token)
{
    lexer->state = IMAP_LEXER_BETWEEN;
    *ret_token = (struct imap_token){
        .type = type, .text = buf_cstr(&lexer->text), .len = lexer->text.len, .cut = lexer->cut};
    return 1;
}

int imap_lexer_give_byte(struct imap_lexer *lexer, enum imap_token_type type, bool torn,
                         struct imap_token *ret_token)
{
    imap_lexer_take(lexer, 1);
    lexer->state = IMAP_LEXER_BETWEEN;
    *ret_token = (struct imap_token){.type = type, .text = "", .torn = torn};
    return 1;
}

/* How many bytes of input belong to the atom. A "{" always ends it: were a literal overlooked
 * because the blank before it is missing, its content would be taken for responses. */
static size_t imap_lexer_atom_run(struct imap_lexer *lexer, enum imap_lex lex)
{
    unsigned ends = IMAP_BYTE_ENDS_ATOM;
    if (lex == IMAP_LEX_WORD)
        ends |= IMAP_BYTE_BRACKET;
    else if (lex == IMAP_LEX_NUMBERS)
        ends |= IMAP_BYTE_COMMA;
    size_t run = 0;
    while (run < lexer->in_len && !(imap_bytes[lexer->in[run]] & ends))
        run++;
    return run;
}

/* fetch-att's section may hold blanks and parentheses, but no line end. */
static size_t imap_lexer_item_run(struct imap_lexer *lexer)
{
    static const uint8_t ends[] = {IMAP_BYTE_ENDS_ATOM, IMAP_BYTE_LF};
    size_t run = 0;
    for (; run < lexer->in_len; run++) {
        uint8_t byte = lexer->in[run];
        if (imap_bytes[byte] & ends[lexer->section] || (byte == '"' && !lexer->section))
            break;
        if (byte == '[' || byte == ']')
            lexer->section = byte == '[';
    }
    return run;
}

/* Some servers forget to quote names with blanks and parentheses; what may follow a name, in
 * LIST's extended data and STATUS' list, begins with " (". */
static size_t imap_lexer_name_run(struct imap_lexer *lexer)
{
    size_t run = 0;
    for (; run < lexer->in_len; run++) {
        uint8_t byte = lexer->in[run];
        if (byte == '\n' || (byte == '(' && lexer->after_blank))
            break;
        lexer->after_blank = imap_bytes[byte] & IMAP_BYTE_BLANK;
    }
    return run;
}

static void imap_lexer_trim(struct imap_lexer *lexer)
{
    while (lexer->text.len && imap_bytes[lexer->text.data[lexer->text.len - 1]] & IMAP_BYTE_BLANK)
        lexer->text.len--;
}

static int imap_lexer_atom(struct imap_lexer *lexer, enum imap_lex lex,
                           struct imap_token *ret_token, struct err *err)
{
    size_t run;
    if (lex == IMAP_LEX_ITEM)
        run = imap_lexer_item_run(lexer);
    else if (lex == IMAP_LEX_NAME)
        run = imap_lexer_name_run(lexer);
    else
        run = imap_lexer_atom_run(lexer, lex);
    imap_lexer_keep(lexer, run);
    if (!lexer->in_len)
        return 0;
    if (lexer->section)
        return err_set(err, ERR_RETRY_LATER, "the line ends within the brackets of an item");
    if (lex == IMAP_LEX_NAME && !lexer->cut)
        imap_lexer_trim(lexer);
    return imap_lexer_give(lexer, IMAP_TOKEN_ATOM, ret_token);
}

/* NULs are left out: they pad lines, and no word needs them. */
static int imap_lexer_text(struct imap_lexer *lexer, struct imap_token *ret_token)
{
    const uint8_t *end = memchr(lexer->in, '\n', lexer->in_len);
    size_t left = end ? (size_t)(end - lexer->in) : lexer->in_len;
    while (left) {
        const uint8_t *nul = memchr(lexer->in, '\0', left);
        size_t run = nul ? (size_t)(nul - lexer->in) : left;
        imap_lexer_keep(lexer, run);
        if (nul)
            imap_lexer_take(lexer, 1);
        left -= run + (nul ? 1 : 0);
    }
    if (!end)
        return 0;
    imap_lexer_take(lexer, 1);
    while (lexer->text.len && lexer->text.data[lexer->text.len - 1] == '\r')
        lexer->text.len--;
    return imap_lexer_give(lexer, IMAP_TOKEN_TEXT, ret_token);
}

/* A body is followed by a blank, or by what ends the FETCH. Anything else says that the server
 * announced fewer bytes than it sent: what is there of the mail is not the mail. */
static bool imap_lexer_body_is_whole(struct imap_lexer *lexer)
{
    uint8_t byte = *lexer->in;
    lexer->behind_body = false;
    return imap_bytes[byte] & (IMAP_BYTE_BLANK | IMAP_BYTE_LF) || byte == ')';
}

/* The first byte of a token decides what it is. */
static int imap_lexer_begin(struct imap_lexer *lexer, enum imap_lex lex,
                            struct imap_token *ret_token, struct err *err)
{
    if (lexer->behind_body && !imap_lexer_body_is_whole(lexer))
        return err_set(err, ERR_RETRY_LATER, "a body that goes on behind its announced end");
    uint8_t skipped = IMAP_BYTE_BLANK | (lex == IMAP_LEX_NUMBERS ? IMAP_BYTE_COMMA : 0);
    while (lexer->in_len && imap_bytes[*lexer->in] & skipped)
        imap_lexer_take(lexer, 1);
    lexer->body = lexer->escaped = lexer->section = lexer->after_blank = false;
    if (!lexer->in_len)
        return 0;
    uint8_t byte = *lexer->in;
    if (lex == IMAP_LEX_TEXT) {
        imap_lexer_start(lexer, IMAP_LEXER_TEXT, lex);
        return 2;
    }
    if (byte == '\n')
        return imap_lexer_give_byte(lexer, IMAP_TOKEN_EOL, false, ret_token);
    if (byte == '(' || byte == ')')
        return imap_lexer_give_byte(lexer, byte == '(' ? IMAP_TOKEN_OPEN : IMAP_TOKEN_CLOSE, false,
                                    ret_token);
    imap_lexer_start(lexer, IMAP_LEXER_ATOM, lex);
    if (byte == '"' || byte == '{' || byte == '~') {
        imap_lexer_take(lexer, 1);
        lexer->state =
            byte == '"' ? IMAP_LEXER_QUOTED : (byte == '{' ? IMAP_LEXER_SIZE : IMAP_LEXER_TILDE);
        if (byte == '"' && lex == IMAP_LEX_BODY)
            return imap_lexer_begin_body(lexer, 0, ret_token);
    }
    return 2;
}

/* literal8 (RFC 3516): "~{". */
static int imap_lexer_tilde(struct imap_lexer *lexer)
{
    lexer->state = IMAP_LEXER_ATOM;
    if (*lexer->in == '{') {
        imap_lexer_take(lexer, 1);
        lexer->state = IMAP_LEXER_SIZE;
    } else if (lexer->keep) {
        buf_add_byte(&lexer->text, '~');
    }
    return 2;
}

static int imap_lexer_step(struct imap_lexer *lexer, enum imap_lex lex,
                           struct imap_token *ret_token, struct err *err)
{
    /* Only the end of a literal needs no byte. */
    if (!lexer->in_len && (lexer->state != IMAP_LEXER_LITERAL || lexer->left))
        return 0;
    switch (lexer->state) {
    case IMAP_LEXER_TILDE:
        return imap_lexer_tilde(lexer);
    case IMAP_LEXER_ATOM:
        return imap_lexer_atom(lexer, lex, ret_token, err);
    case IMAP_LEXER_TEXT:
        return imap_lexer_text(lexer, ret_token);
    case IMAP_LEXER_QUOTED:
        return lexer->body ? imap_lexer_quoted_body(lexer, ret_token, err)
                           : imap_lexer_quoted(lexer, ret_token);
    case IMAP_LEXER_SIZE:
        return imap_lexer_size(lexer, lex, err);
    case IMAP_LEXER_SIZE_END:
        return imap_lexer_size_end(lexer, lex, ret_token, err);
    case IMAP_LEXER_LITERAL:
        return lexer->body ? imap_lexer_literal_body(lexer, ret_token)
                           : imap_lexer_literal(lexer, ret_token);
    default:
        return imap_lexer_begin(lexer, lex, ret_token, err);
    }
}

int imap_lexer_next(struct imap_lexer *lexer, enum imap_lex lex, struct imap_token *ret_token,
                    struct err *err)
{
    int result;
    do {
        result = imap_lexer_step(lexer, lex, ret_token, err);
    } while (result == 2);
    if (result >= 0 && lexer->spent > lexer->skip_max)
        return err_set(err, ERR_RETRY_LATER, "a response of more than %" PRIu64 " bytes",
                       lexer->skip_max);
    return result;
}
