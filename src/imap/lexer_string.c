#include "imap/lexer_impl.h"

#include <inttypes.h>
#include <string.h>

#include "base/num.h"
#include "base/text.h"

enum {
    IMAP_LEXER_SIZE_MAX = 24 /* 2^64 has 20 digits */
};

static int imap_lexer_give_body(enum imap_token_type type, const void *data, size_t len,
                                struct imap_token *ret_token)
{
    *ret_token = (struct imap_token){.type = type, .text = data, .len = len};
    return 1;
}

int imap_lexer_begin_body(struct imap_lexer *lexer, uint64_t size, struct imap_token *ret_token)
{
    lexer->body = true;
    lexer->body_size = 0;
    *ret_token = (struct imap_token){.type = IMAP_TOKEN_BODY_BEGIN, .text = "", .size = size};
    return 1;
}

static int imap_lexer_end_body(struct imap_lexer *lexer, struct imap_token *ret_token)
{
    lexer->state = IMAP_LEXER_BETWEEN;
    lexer->body = false;
    lexer->behind_body = true;
    return imap_lexer_give_body(IMAP_TOKEN_BODY_END, "", 0, ret_token);
}

static size_t imap_lexer_quoted_run(const struct imap_lexer *lexer)
{
    size_t run = 0;
    while (run < lexer->in_len && !(imap_bytes[lexer->in[run]] & IMAP_BYTE_QUOTED))
        run++;
    return run;
}

/* RFC 9051: only '"' and "\" may be escaped. A backslash before anything else stands for itself,
 * as servers mean it that do not escape at all. */
static bool imap_lexer_escapes(uint8_t byte)
{
    return byte == '"' || byte == '\\';
}

int imap_lexer_quoted(struct imap_lexer *lexer, struct imap_token *ret_token)
{
    while (lexer->in_len) {
        uint8_t byte = *lexer->in;
        if (lexer->escaped) {
            lexer->escaped = false;
            if (!imap_lexer_escapes(byte)) {
                if (lexer->text.len < lexer->keep)
                    buf_add_byte(&lexer->text, '\\');
                else
                    lexer->cut = true;
                continue;
            }
            imap_lexer_keep(lexer, 1);
        } else if (byte == '\\') {
            lexer->escaped = true;
            imap_lexer_take(lexer, 1);
        } else if (byte == '"') {
            imap_lexer_take(lexer, 1);
            return imap_lexer_give(lexer, IMAP_TOKEN_STRING, ret_token);
        } else if (byte == '\n') {
            return imap_lexer_give_byte(lexer, IMAP_TOKEN_EOL, true, ret_token);
        } else {
            imap_lexer_keep(lexer, imap_lexer_quoted_run(lexer));
        }
    }
    return 0;
}

/* A piece of a quoted body: as far as possible a run of the input, and never more of it than the
 * limit allows, wherever the input is cut. */
static int imap_lexer_quoted_piece(struct imap_lexer *lexer, struct imap_token *ret_token,
                                   struct err *err)
{
    uint64_t room = lexer->body_max - lexer->body_size;
    if (!room)
        return err_set(err, ERR_RETRY_LATER, "a body of more than %" PRIu64 " bytes",
                       lexer->body_max);
    const uint8_t *data = lexer->in;
    size_t len = 1;
    bool escaped = lexer->escaped;
    lexer->escaped = false;
    if (escaped && !imap_lexer_escapes(*data)) {
        lexer->body_size++;
        return imap_lexer_give_body(IMAP_TOKEN_BODY_DATA, "\\", 1, ret_token);
    }
    if (!escaped)
        len = imap_lexer_quoted_run(lexer);
    if (len > room)
        len = (size_t)room;
    imap_lexer_take(lexer, len);
    lexer->body_size += len;
    return imap_lexer_give_body(IMAP_TOKEN_BODY_DATA, data, len, ret_token);
}

int imap_lexer_quoted_body(struct imap_lexer *lexer, struct imap_token *ret_token, struct err *err)
{
    uint8_t byte = lexer->escaped ? 0 : *lexer->in;
    if (byte == '\\') {
        lexer->escaped = true;
        imap_lexer_take(lexer, 1);
        return 2;
    }
    if (byte == '\n')
        return err_set(err, ERR_RETRY_LATER, "a line end within a quoted body");
    if (byte == '"') {
        imap_lexer_take(lexer, 1);
        return imap_lexer_end_body(lexer, ret_token);
    }
    return imap_lexer_quoted_piece(lexer, ret_token, err);
}

static int imap_lexer_bad_size(struct imap_lexer *lexer, struct err *err)
{
    char shown[4 * IMAP_LEXER_SIZE_MAX + 1];
    text_escape(shown, sizeof shown, lexer->text.data, lexer->text.len);
    if (lexer->text.len && strspn(buf_cstr(&lexer->text), "0123456789") == lexer->text.len)
        return err_set(err, ERR_RETRY_LATER, "a literal of %s%s bytes", shown,
                       lexer->cut ? "..." : "");
    return err_set(err, ERR_RETRY_LATER, "a literal's size that is none: {%s%s", shown,
                   lexer->cut ? "..." : "}");
}

/* Is a literal of lexer->left bytes within limits? Nothing is allocated for it before it comes. */
static int imap_lexer_admit(const struct imap_lexer *lexer, enum imap_lex lex, struct err *err)
{
    if (lex == IMAP_LEX_BODY && lexer->left > lexer->body_max)
        return err_set(err, ERR_RETRY_LATER,
                       "a body of %" PRIu64 " bytes, where the most is %" PRIu64, lexer->left,
                       lexer->body_max);
    uint64_t budget =
        lexer->skip_max - (lexer->spent < lexer->skip_max ? lexer->spent : lexer->skip_max);
    if (lex != IMAP_LEX_BODY && lexer->left > budget)
        return err_set(err, ERR_RETRY_LATER,
                       "a literal of %" PRIu64 " bytes in a response of at most %" PRIu64,
                       lexer->left, lexer->skip_max);
    return 0;
}

/* "{" number ["+"] "}" of a literal, behind its "{". */
int imap_lexer_size(struct imap_lexer *lexer, enum imap_lex lex, struct err *err)
{
    lexer->keep = IMAP_LEXER_SIZE_MAX;
    while (lexer->in_len && *lexer->in != '}' && *lexer->in != '\n' && !lexer->cut)
        imap_lexer_keep(lexer, 1);
    if (!lexer->in_len && !lexer->cut)
        return 0;
    const char *digits = buf_cstr(&lexer->text);
    size_t len = lexer->text.len;
    if (len && digits[len - 1] == '+')
        len--;
    if (lexer->cut || *lexer->in != '}' || !num_parse_u64(digits, len, UINT64_MAX, &lexer->left))
        return imap_lexer_bad_size(lexer, err);
    if (imap_lexer_admit(lexer, lex, err) < 0)
        return -1;
    imap_lexer_take(lexer, 1);
    lexer->state = IMAP_LEXER_SIZE_END;
    return 2;
}

/* The line end behind a literal's size; then the literal begins. */
int imap_lexer_size_end(struct imap_lexer *lexer, enum imap_lex lex, struct imap_token *ret_token,
                        struct err *err)
{
    while (lexer->in_len && imap_bytes[*lexer->in] & IMAP_BYTE_BLANK)
        imap_lexer_take(lexer, 1);
    if (!lexer->in_len)
        return 0;
    if (*lexer->in != '\n')
        return err_set(err, ERR_RETRY_LATER, "a literal's size with more behind it");
    imap_lexer_take(lexer, 1);
    imap_lexer_start(lexer, IMAP_LEXER_LITERAL, lex);
    return lex == IMAP_LEX_BODY ? imap_lexer_begin_body(lexer, lexer->left, ret_token) : 2;
}

int imap_lexer_literal(struct imap_lexer *lexer, struct imap_token *ret_token)
{
    size_t len = lexer->left < lexer->in_len ? (size_t)lexer->left : lexer->in_len;
    lexer->left -= len;
    imap_lexer_keep(lexer, len);
    return lexer->left ? 0 : imap_lexer_give(lexer, IMAP_TOKEN_STRING, ret_token);
}

int imap_lexer_literal_body(struct imap_lexer *lexer, struct imap_token *ret_token)
{
    if (!lexer->left)
        return imap_lexer_end_body(lexer, ret_token);
    const uint8_t *data = lexer->in;
    size_t len = lexer->left < lexer->in_len ? (size_t)lexer->left : lexer->in_len;
    lexer->left -= len;
    imap_lexer_take(lexer, len);
    return imap_lexer_give_body(IMAP_TOKEN_BODY_DATA, data, len, ret_token);
}
