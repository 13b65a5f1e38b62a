/* conf/integer.h: integers as YAML 1.1 writes them. Internal. */
#ifndef CONF_INTEGER_H
#define CONF_INTEGER_H

#include <stddef.h>
#include <stdint.h>

enum conf_integer {
    CONF_INTEGER_GOOD,
    CONF_INTEGER_NONE,   /* no number */
    CONF_INTEGER_BEYOND, /* negative, or more than 64 bits */
    CONF_INTEGER_OCTAL,  /* 010: 8 in YAML 1.1, 10 in YAML 1.2 */
};

/* Decimal, 0x hexadecimal, 0b binary and 0o octal, with "_" between digits; never a sign other
 * than "+". *ret_number is set for CONF_INTEGER_GOOD only. */
enum conf_integer conf_integer_parse(const char *text, size_t len, uint64_t *ret_number);

#endif
