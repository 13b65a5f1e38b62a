#include "imapsim/words.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/num.h"

enum {
    SIM_RANGES_MAX = 4096,
};

/* "{5}" or "{5+}" at the end of a line that ends with LF at `len`. */
static bool sim_literal_announced(const char *line, size_t len, size_t *ret_size, bool *ret_waits)
{
    uint64_t size;
    if (len < 5 || memcmp(line + len - 3, "}\r\n", 3) != 0)
        return false;
    size_t end = len - 3, begin = end;
    *ret_waits = line[end - 1] != '+';
    if (!*ret_waits)
        end--;
    while (begin && line[begin - 1] != '{')
        begin--;
    if (!begin || begin >= end || !num_parse_u64(line + begin, end - begin, UINT32_MAX, &size))
        return false;
    *ret_size = (size_t)size;
    return true;
}

size_t sim_command_length(const char *data, size_t len, unsigned *ret_asked)
{
    size_t at = 0, literal;
    bool waits;
    *ret_asked = 0;
    for (;;) {
        const char *newline = memchr(data + at, '\n', len - at);
        if (!newline)
            return 0;
        size_t end = (size_t)(newline - data) + 1;
        if (!sim_literal_announced(data + at, end - at, &literal, &waits))
            return end;
        *ret_asked += waits;
        if (literal > len - end)
            return 0;
        at = end + literal;
    }
}

static bool sim_words_quoted(struct sim_words *words, struct sim_word *ret_word)
{
    char *out = ++words->at;
    ret_word->text = out;
    for (; words->at < words->end && *words->at != '"'; words->at++) {
        if (*words->at == '\\' && words->at + 1 < words->end)
            words->at++;
        *out++ = *words->at;
    }
    ret_word->len = (size_t)(out - ret_word->text);
    if (words->at == words->end)
        return false;
    words->at++;
    return true;
}

static bool sim_words_literal(struct sim_words *words, struct sim_word *ret_word)
{
    char *newline = memchr(words->at, '\n', (size_t)(words->end - words->at));
    size_t size;
    bool waits;
    if (!newline ||
        !sim_literal_announced(words->at, (size_t)(newline + 1 - words->at), &size, &waits))
        return false;
    if (size > (size_t)(words->end - newline - 1))
        return false;
    ret_word->text = newline + 1;
    ret_word->len = size;
    words->at = newline + 1 + size;
    return true;
}

/* No literals in lists: nobody sends any there. */
static bool sim_words_list(struct sim_words *words, struct sim_word *ret_word)
{
    unsigned depth = 0;
    bool quoted = false;
    ret_word->text = words->at + 1;
    for (; words->at < words->end; words->at++) {
        if (*words->at == '"')
            quoted = !quoted;
        else if (!quoted && *words->at == '(')
            depth++;
        else if (!quoted && *words->at == ')' && !--depth)
            break;
    }
    ret_word->len = (size_t)(words->at - ret_word->text);
    if (words->at == words->end)
        return false;
    words->at++;
    return true;
}

/* Blanks and parentheses inside of brackets belong to it: BODY[HEADER.FIELDS (SUBJECT)]. */
static bool sim_words_atom(struct sim_words *words, struct sim_word *ret_word)
{
    bool bracket = false;
    ret_word->text = words->at;
    for (; words->at < words->end; words->at++) {
        if (*words->at == '[')
            bracket = true;
        else if (*words->at == ']')
            bracket = false;
        else if (!bracket && strchr(" ()\r\n", *words->at))
            break;
    }
    ret_word->len = (size_t)(words->at - ret_word->text);
    return ret_word->len;
}

bool sim_words_next(struct sim_words *words, struct sim_word *ret_word)
{
    while (words->at < words->end && *words->at == ' ')
        words->at++;
    if (words->at == words->end)
        return false;
    ret_word->kind = SIM_WORD_STRING;
    if (*words->at == '"')
        return sim_words_quoted(words, ret_word);
    if (*words->at == '{')
        return sim_words_literal(words, ret_word);
    ret_word->kind = SIM_WORD_LIST;
    if (*words->at == '(')
        return sim_words_list(words, ret_word);
    ret_word->kind = SIM_WORD_ATOM;
    return sim_words_atom(words, ret_word);
}

bool sim_words_take(struct sim_words *words, enum sim_word_kind kind, struct sim_word *ret_word)
{
    return sim_words_next(words, ret_word) && ret_word->kind == kind;
}

bool sim_word_is(const struct sim_word *word, const char *name)
{
    return word->kind != SIM_WORD_LIST && word->len == strlen(name) &&
           strncasecmp(word->text, name, word->len) == 0;
}

bool sim_word_copy(const struct sim_word *word, char *out, size_t cap)
{
    if (word->kind == SIM_WORD_LIST || word->len >= cap || memchr(word->text, '\0', word->len))
        return false;
    memcpy(out, word->text, word->len);
    out[word->len] = '\0';
    return true;
}

static bool sim_number_parse(const char *text, size_t len, uint32_t last, uint32_t *ret_number)
{
    if (len == 1 && *text == '*') {
        *ret_number = last;
        return true;
    }
    return num_parse_u32(text, len, ret_number) && *ret_number;
}

static bool sim_range_parse(const char *text, size_t len, uint32_t last, struct sim_range *range)
{
    const char *colon = memchr(text, ':', len);
    size_t first = colon ? (size_t)(colon - text) : len;
    if (!sim_number_parse(text, first, last, &range->first))
        return false;
    range->last = range->first;
    if (colon && !sim_number_parse(colon + 1, len - first - 1, last, &range->last))
        return false;
    if (range->last < range->first)
        *range = (struct sim_range){range->last, range->first};
    return true;
}

bool sim_set_parse(const struct sim_word *word, uint32_t last, struct sim_set *ret_set)
{
    struct sim_set set = {0};
    const char *at = word->text, *end = word->text + word->len;
    if (word->kind != SIM_WORD_ATOM)
        return false;
    for (;;) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        size_t len = (size_t)((comma ? comma : end) - at);
        set.ranges = mem_realloc_array(set.ranges, set.count + 1, sizeof *set.ranges);
        if (set.count == SIM_RANGES_MAX ||
            !sim_range_parse(at, len, last, &set.ranges[set.count])) {
            sim_set_release(&set);
            return false;
        }
        set.count++;
        if (!comma)
            break;
        at = comma + 1;
    }
    *ret_set = set;
    return true;
}

bool sim_set_has(const struct sim_set *set, uint32_t uid)
{
    for (size_t i = 0; i < set->count; i++)
        if (uid >= set->ranges[i].first && uid <= set->ranges[i].last)
            return true;
    return false;
}

uint32_t sim_set_least(const struct sim_set *set)
{
    uint32_t least = UINT32_MAX;
    for (size_t i = 0; i < set->count; i++)
        if (set->ranges[i].first < least)
            least = set->ranges[i].first;
    return least;
}

void sim_set_release(struct sim_set *set)
{
    free(set->ranges);
    *set = (struct sim_set){0};
}

static void sim_runs_finish(struct sim_runs *runs)
{
    if (!runs->first)
        return;
    buf_printf(&runs->text, "%s%u", runs->text.len ? "," : "", runs->first);
    if (runs->last != runs->first)
        buf_printf(&runs->text, ":%u", runs->last);
}

void sim_runs_add(struct sim_runs *runs, uint32_t number)
{
    if (runs->first && number == runs->last + 1) {
        runs->last = number;
        return;
    }
    sim_runs_finish(runs);
    runs->first = runs->last = number;
}

const char *sim_runs_end(struct sim_runs *runs)
{
    sim_runs_finish(runs);
    runs->first = 0;
    return buf_cstr(&runs->text);
}

void sim_runs_release(struct sim_runs *runs)
{
    buf_release(&runs->text);
}
