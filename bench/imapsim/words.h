/* imapsim/words.h: the grammar of what a client says (RFC 9051 section 9), as far as a server needs
 * it that is spoken to by decent clients. Written from the RFC, apart from the room under test. */
#ifndef IMAPSIM_WORDS_H
#define IMAPSIM_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* The length of the command at the start of `data`, with its literals and the last CRLF; 0: not
 * all of it is there. *ret_asked: how many of the literals seen so far wait for a "+". */
size_t sim_command_length(const char *data, size_t len, unsigned *ret_asked);

/* What is left of a command, without its CRLF. Taken apart in place. */
struct sim_words {
    char *at, *end;
};

enum sim_word_kind {
    SIM_WORD_ATOM,
    SIM_WORD_STRING, /* quoted or literal: its value */
    SIM_WORD_LIST,   /* what stands between the parentheses */
};

struct sim_word {
    enum sim_word_kind kind;
    char *text;
    size_t len;
};

/* The next word; false at the end, and at what is no word. */
bool sim_words_next(struct sim_words *words, struct sim_word *ret_word);
/* The next word, which must be of that kind. */
bool sim_words_take(struct sim_words *words, enum sim_word_kind kind, struct sim_word *ret_word);
/* Case does not matter. */
bool sim_word_is(const struct sim_word *word, const char *name);
/* A word as a C string; false when it is a list, holds NUL, or does not fit. */
bool sim_word_copy(const struct sim_word *word, char *out, size_t cap);

struct sim_range {
    uint32_t first, last;
};

struct sim_set {
    struct sim_range *ranges;
    size_t count;
};

/* A sequence-set; "*" is `last`, so that "7:*" always has `last` in it. False when it is none. */
bool sim_set_parse(const struct sim_word *word, uint32_t last, struct sim_set *ret_set);
bool sim_set_has(const struct sim_set *set, uint32_t uid);
uint32_t sim_set_least(const struct sim_set *set);
void sim_set_release(struct sim_set *set);

/* Ascending numbers put together as "1:3,7". All zero to begin with; ends with _end(). */
struct sim_runs {
    struct buf text;
    uint32_t first, last;
};

void sim_runs_add(struct sim_runs *runs, uint32_t number);
/* The text, valid until the release. */
const char *sim_runs_end(struct sim_runs *runs);
void sim_runs_release(struct sim_runs *runs);

#endif
