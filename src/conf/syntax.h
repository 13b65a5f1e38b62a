/* conf/syntax.h: what libfyaml says about broken YAML, in words of this program. Internal. */
#ifndef CONF_SYNTAX_H
#define CONF_SYNTAX_H

#include <stddef.h>

struct conf_file;

/* Where the innermost collection that is not closed begins; line 0: none. */
struct conf_syntax_open {
    unsigned line;
    unsigned column;
};

/* Reports the error `message` of libfyaml, found at line and column (from 1). No word of the file
 * is repeated: what breaks YAML is most often a password without quotes. */
void conf_syntax_report(const struct conf_file *file, unsigned line, unsigned column,
                        const char *message, struct conf_syntax_open open);

#endif
