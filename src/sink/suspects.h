/* sink/suspects.h: mails that were in flight when a connection broke.
 *
 * One of them may be the cause: a frame over the broker's own limit is answered by a reset without
 * a word, and would be sent and lost for ever, and all that travels with it. A suspect is
 * recognised when it is offered again, and travels in ever smaller company until it either gets
 * through or is alone when the connection breaks. The rules are in docs/reliability.md. */
#ifndef SINK_SUSPECTS_H
#define SINK_SUSPECTS_H

#include <stddef.h>
#include <stdint.h>

enum {
    SUSPECTS_SLOTS = 8192, /* a power of two */
    SUSPECTS_ALONE = 1,
};

struct suspect {
    uint64_t print;
    uint64_t taken; /* mails taken by the sink when it first was lost, or last without a word */
    uint32_t limit; /* see suspects_limit() */
    uint16_t losses;
    uint16_t strikes; /* see outbox_strike() */
    uint16_t certain; /* of these, such that leave no other explanation */
};

/* All zero is empty; its memory is there only while there are suspects. */
struct suspects {
    struct suspect *slots;
    size_t count;
};

void suspects_release(struct suspects *suspects);

/* What a mail is recognised by: its length, its first and its last bytes. (The payload of `json`
 * has the mail's SHA-256 among them.) */
uint64_t suspects_print(const uint8_t *payload, size_t len);

/* It was one of `group` mails in flight when the connection broke. `taken` counts the mails the
 * sink saw taken so far. Where two share a slot the one lost more often stays. */
void suspects_lost(struct suspects *suspects, uint64_t print, size_t group, uint64_t taken);
/* It was taken: no suspect any more. */
void suspects_cleared(struct suspects *suspects, uint64_t print);
/* With how many mails in flight it may go out, itself included: SIZE_MAX, or down to
 * SUSPECTS_ALONE. */
size_t suspects_limit(const struct suspects *suspects, uint64_t print);
/* How often it was lost; 0: no suspect. */
unsigned suspects_losses(const struct suspects *suspects, uint64_t print);
/* NULL if it is none. */
struct suspect *suspects_find(const struct suspects *suspects, uint64_t print);

#endif
