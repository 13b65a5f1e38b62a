#include "conf/syntax.h"

#include <stdbool.h>
#include <string.h>

#include "conf/file.h"

struct conf_syntax_phrase {
    const char *found; /* a part of libfyaml's message */
    const char *said;
};

/* The first that fits. Only messages whose own words would leave the user alone. */
static const struct conf_syntax_phrase syntax_phrases[] = {
    {"invalid nested block mapping",
     "a second \": \" on the same line: put the text in quotes, or write {key: value}"},
    {"invalid multiline plain key", "a line without its \":\", or wrongly indented"},
    {"could not find expected ':'", "a line without its \":\", or wrongly indented"},
    {"invalid escape",
     "an unknown escape: in double quotes a backslash is written twice, in single quotes once"},
    {"has invalid", "an unknown escape: in double quotes a backslash is written twice"},
    {"without closing quote", "the quote that begins here is not closed"},
    {"wrongly indented double-quoted", "the quote that begins here is not closed on its line"},
    {"wrongly indented single-quoted", "the quote that begins here is not closed on its line"},
    {"invalid trailing content after", "text behind the closing quote"},
    {"plain scalar cannot start with", "text that begins with this character needs quotes"},
    {"tag", "a tag: text that begins with \"!\" needs quotes"},
    {"did not find expected '-'", "wrongly indented: this is neither in the list nor beside it"},
    {"scalar at the end of block sequence", "an entry of a list begins with \"- \""},
    {"same line as a mapping key", "a list begins on the line below its key"},
    {"alias", "an alias: text that begins with \"*\" needs quotes"},
    {"anchor", "an anchor: text that begins with \"&\" needs quotes"},
    {"depth", "nested too deeply"},
};

static bool conf_syntax_cut(char mark)
{
    return mark == '\'' || mark == '"' || mark == '(' || mark == '=' || mark == '%';
}

/* The message up to where it might begin to quote. */
static size_t conf_syntax_plain_len(const char *message)
{
    size_t len = 0;
    while (message[len] && !conf_syntax_cut(message[len]))
        len++;
    while (len && message[len - 1] == ' ')
        len--;
    return len;
}

/* The start of a line, counted from 1; NULL behind the end. */
static const char *conf_syntax_line(const struct conf_file *file, unsigned line, size_t *ret_len)
{
    const char *at = (const char *)file->content.data;
    const char *end = at + file->content.len;
    for (; line > 1; line--) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        if (!newline)
            return NULL;
        at = newline + 1;
    }
    *ret_len = (size_t)(end - at);
    return at;
}

/* The column of a tab in the indentation of a line, or 0: a person can't see it. */
static unsigned conf_syntax_tab(const struct conf_file *file, unsigned line)
{
    size_t len;
    const char *text = conf_syntax_line(file, line, &len);
    for (size_t i = 0; text && i < len && (text[i] == ' ' || text[i] == '\t'); i++)
        if (text[i] == '\t')
            return (unsigned)i + 1;
    return 0;
}

/* libfyaml notices a tab only in some places, else what the line becomes by it. */
static bool conf_syntax_report_tab(const struct conf_file *file, unsigned line)
{
    for (unsigned near = line; near <= line + 1; near++) {
        unsigned column = conf_syntax_tab(file, near);
        if (!column)
            continue;
        conf_file_error_at(file, near, column, "a tab: YAML is indented with blanks");
        return true;
    }
    return false;
}

void conf_syntax_report(const struct conf_file *file, unsigned line, unsigned column,
                        const char *message, struct conf_syntax_open open)
{
    if (strstr(message, "closing bracket") && open.line) {
        conf_file_error_at(file, open.line, open.column,
                           "the bracket or brace that begins here is not closed");
        return;
    }
    if (conf_syntax_report_tab(file, line))
        return;
    for (size_t i = 0; i < sizeof syntax_phrases / sizeof *syntax_phrases; i++) {
        if (strstr(message, syntax_phrases[i].found)) {
            conf_file_error_at(file, line, column, "%s", syntax_phrases[i].said);
            return;
        }
    }
    int len = (int)conf_syntax_plain_len(message);
    conf_file_error_at(file, line, column, "not valid YAML: %.*s", len, message);
}
