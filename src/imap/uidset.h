/* imap/uidset.h: sets of UIDs (or sequence numbers) as ascending ranges, and the text of commands
 * that name them (RFC 9051 "sequence-set"). */
#ifndef IMAP_UIDSET_H
#define IMAP_UIDSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct imap_range {
    uint32_t first; /* >= 1 */
    uint32_t last;  /* >= first, inclusive */
};

/* Ranges ascending, disjoint, never touching. All zero is the empty set. */
struct imap_uidset {
    struct imap_range *ranges; /* the first of `count` */
    size_t count;
    struct imap_range *memory; /* owned; `ranges` moves on within it as leading ones are taken */
    size_t cap;                /* of `memory` */
};

void imap_uidset_release(struct imap_uidset *set);
void imap_uidset_clear(struct imap_uidset *set);
/* Adds first..last (swapped if need be; 0 is ignored). Appending in ascending order is O(1),
 * elsewhere O(ranges). */
void imap_uidset_add(struct imap_uidset *set, uint32_t first, uint32_t last);
/* Adds all of another set, which stays as it is: O(its ranges) when it begins where `set` ends or
 * above, else O(ranges of both). */
void imap_uidset_add_set(struct imap_uidset *set, const struct imap_uidset *more);
void imap_uidset_remove(struct imap_uidset *set, uint32_t uid);
bool imap_uidset_contains(const struct imap_uidset *set, uint32_t uid);
/* How many numbers it holds. */
uint64_t imap_uidset_size(const struct imap_uidset *set);
/* Removes and returns the smallest number; 0 when empty. O(1). */
uint32_t imap_uidset_take_first(struct imap_uidset *set);
/* Leaves the smallest `size` numbers, and adds the others to `rest`: O(ranges) of both. */
void imap_uidset_cut(struct imap_uidset *set, uint64_t size, struct imap_uidset *rest);
/* Removes all numbers below `uid`; takes as long as there are ranges of them. */
void imap_uidset_drop_below(struct imap_uidset *set, uint64_t uid);

/* Appends the set's text ("1:3,7,9:12") to `out`, as many leading ranges as fit in `max_octets`
 * (>= 24, so at least one always fits), and removes those from the set: for commands of bounded
 * length. Returns how many numbers were taken. */
uint64_t imap_uidset_take_text(struct imap_uidset *set, struct buf *out, size_t max_octets);

/* Parses a seq-number or a seq-range without "*" (RFC 9051), in either order. */
bool imap_range_parse(const char *text, size_t len, struct imap_range *ret_range);

/* Parses a sequence-set without "*", in any order: *set becomes it. False on anything else; *set
 * is then as before. Ranges cost nothing however wide they are (a "set bomb" stays two numbers);
 * more than `max_ranges` are refused. */
bool imap_uidset_parse(struct imap_uidset *set, const char *text, size_t len, size_t max_ranges);

#endif
