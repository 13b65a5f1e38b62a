#include "imap/parser.h"

#include <string.h>

#include "base/num.h"

/* The next word of a code's arguments; parentheses count as blanks, so that servers may set more
 * or fewer of them than they should. False at the end. */
static bool imap_code_word(const char **text, const char *end, const char **ret_word,
                           size_t *ret_len)
{
    while (*text < end && strchr(" \t()", **text))
        (*text)++;
    const char *word = *text;
    while (*text < end && !strchr(" \t()", **text))
        (*text)++;
    *ret_word = word;
    *ret_len = (size_t)(*text - word);
    return *text > word;
}

/* The code's arguments, as far as a collector looks at them; others cost nothing. */
static void imap_code_take_arguments(struct imap_response *response, const char *text,
                                     const char *end)
{
    const char *word;
    size_t len;
    switch (response->code) {
    case IMAP_CODE_CAPABILITY:
        while (imap_code_word(&text, end, &word, &len))
            response->caps |= imap_cap_parse(word, len);
        break;
    case IMAP_CODE_PERMANENTFLAGS:
        while (imap_code_word(&text, end, &word, &len)) {
            response->flags |= imap_flag_parse(word, len);
            response->keywords_allowed |= imap_name_is(word, len, "\\*");
        }
        break;
    case IMAP_CODE_UIDNEXT:
    case IMAP_CODE_UIDVALIDITY:
    case IMAP_CODE_UNSEEN:
    case IMAP_CODE_HIGHESTMODSEQ:
    case IMAP_CODE_MESSAGELIMIT:
        if (imap_code_word(&text, end, &word, &len))
            num_parse_u64(word, len, UINT64_MAX, &response->number);
        if (response->code == IMAP_CODE_MESSAGELIMIT && imap_code_word(&text, end, &word, &len))
            num_parse_u32(word, len, &response->code_uid);
        break;
    default:
        break;
    }
}

void imap_code_take(struct imap_response *response, const char **text, size_t *len)
{
    const char *end = *text + *len;
    if (!*len || **text != '[')
        return;

    /* RFC 9051 "resp-text-code": none of it may hold a "]". Without one the code may be whole or
     * not: it is taken for what it says, and left in the text for people. */
    const char *close = memchr(*text, ']', *len);
    const char *arguments = *text + 1, *word;
    size_t word_len;
    if (!imap_code_word(&arguments, close ? close : end, &word, &word_len))
        response->code = IMAP_CODE_OTHER;
    else
        response->code = imap_code_parse(word, word_len);
    imap_code_take_arguments(response, arguments, close ? close : end);
    if (!close)
        return;
    *text = close + 1;
    if (*text < end && **text == ' ')
        (*text)++;
    *len = (size_t)(end - *text);
}
