#include "conf/syntax.h"

#include <stdbool.h>
#include <string.h>

#include "conf/file.h"

struct conf_syntax_phrase {
    const char *found; /* a part of libfyaml's message */
    const char *said;
    bool behind; /* it points one behind what it is about */
};

/* The first that fits. Only messages whose own words would leave the user alone. */
static const struct conf_syntax_phrase syntax_phrases[] = {
    {.found = "invalid nested block mapping",
     .said = "a second \": \" on the same line: put the text in quotes, or write {key: value}"},
    {.found = "invalid multiline plain key",
     .said = "a line without its \":\", or wrongly indented"},
    {.found = "could not find expected ':'",
     .said = "a line without its \":\", or wrongly indented"},
    {.found = "invalid escape",
     .said =
         "an unknown escape: in double quotes a backslash is written twice, in single quotes once"},
    {.found = "has invalid",
     .said = "an unknown escape: in double quotes a backslash is written twice"},
    {.found = "without closing quote",
     .said = "the quote that begins here is not closed",
     .behind = true},
    {.found = "wrongly indented double-quoted",
     .said = "the quote that begins here is not closed on its line"},
    {.found = "wrongly indented single-quoted",
     .said = "the quote that begins here is not closed on its line"},
    {.found = "invalid trailing content after", .said = "text behind the closing quote"},
    {.found = "plain scalar cannot start with",
     .said = "text that begins with this character needs quotes"},
    {.found = "tag", .said = "a tag: text that begins with \"!\" needs quotes"},
    {.found = "did not find expected '-'",
     .said = "wrongly indented: this is neither in the list nor beside it"},
    {.found = "scalar at the end of block sequence",
     .said = "an entry of a list begins with \"- \""},
    {.found = "same line as a mapping key", .said = "a list begins on the line below its key"},
    {.found = "expected node content",
     .said = "something is missing before this: a value, or the end of a bracket or brace"},
    {.found = "missing comma", .said = "a comma is missing before this"},
    {.found = "alias", .said = "an alias: text that begins with \"*\" needs quotes"},
    {.found = "anchor", .said = "an anchor: text that begins with \"&\" needs quotes"},
    {.found = "depth", .said = "nested too deeply"},
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

/* Nothing but the end of the file from here on: what is missing is the end of something. */
static bool conf_syntax_at_end(const struct conf_file *file, unsigned line)
{
    size_t len;
    return !conf_syntax_line(file, line, &len) || !len;
}

void conf_syntax_report(const struct conf_file *file, unsigned line, unsigned column,
                        const char *message, struct conf_syntax_open open)
{
    bool unclosed = strstr(message, "closing bracket") ||
                    (strstr(message, "in flow") && conf_syntax_at_end(file, line));
    if (unclosed && open.line) {
        conf_file_error_at(file, open.line, open.column,
                           "the bracket or brace that begins here is not closed");
        return;
    }
    if (conf_syntax_report_tab(file, line))
        return;
    for (size_t i = 0; i < sizeof syntax_phrases / sizeof *syntax_phrases; i++) {
        const struct conf_syntax_phrase *phrase = &syntax_phrases[i];
        if (strstr(message, phrase->found)) {
            column -= phrase->behind && column > 1;
            conf_file_error_at(file, line, column, "%s", phrase->said);
            return;
        }
    }
    int len = (int)conf_syntax_plain_len(message);
    conf_file_error_at(file, line, column, "not valid YAML: %.*s", len, message);
}
