#include "conf/integer.h"

#include <stdbool.h>

/* 99 for what is no digit of any base. */
static unsigned conf_integer_digit(char byte)
{
    if (byte >= '0' && byte <= '9')
        return (unsigned)(byte - '0');
    if (byte >= 'a' && byte <= 'f')
        return (unsigned)(byte - 'a') + 10;
    if (byte >= 'A' && byte <= 'F')
        return (unsigned)(byte - 'A') + 10;
    return 99;
}

static unsigned conf_integer_base(const char *text, size_t len)
{
    if (len < 3 || text[0] != '0')
        return 10;
    switch (text[1]) {
    case 'x':
        return 16;
    case 'b':
        return 2;
    case 'o':
        return 8;
    default:
        return 10;
    }
}

static enum conf_integer conf_integer_digits(const char *text, size_t len, unsigned base,
                                             uint64_t *ret_number)
{
    uint64_t number = 0;
    bool beyond = false;
    if (!len || text[0] == '_')
        return CONF_INTEGER_NONE;
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '_')
            continue;
        unsigned digit = conf_integer_digit(text[i]);
        if (digit >= base)
            return CONF_INTEGER_NONE;
        beyond = beyond || number > (UINT64_MAX - digit) / base;
        number = number * base + digit;
    }
    if (beyond)
        return CONF_INTEGER_BEYOND;
    *ret_number = number;
    return CONF_INTEGER_GOOD;
}

enum conf_integer conf_integer_parse(const char *text, size_t len, uint64_t *ret_number)
{
    bool negative = len && text[0] == '-';
    if (negative || (len && text[0] == '+')) {
        text++;
        len--;
    }
    unsigned base = conf_integer_base(text, len);
    size_t prefix = base == 10 ? 0 : 2;
    uint64_t number;
    enum conf_integer result = conf_integer_digits(text + prefix, len - prefix, base, &number);
    if (result != CONF_INTEGER_GOOD)
        return result;
    if (negative && number)
        return CONF_INTEGER_BEYOND;
    if (base == 10 && len > 1 && text[0] == '0')
        return CONF_INTEGER_OCTAL;
    *ret_number = number;
    return CONF_INTEGER_GOOD;
}
