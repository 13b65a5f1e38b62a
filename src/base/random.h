/* base/random.h: unpredictable bytes from the kernel, and jitter made of them. */
#ifndef BASE_RANDOM_H
#define BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

#include "base/num.h"

/* Fills `out`, from any thread, and in a child with other bytes than in its parent. Cannot fail:
 * aborts where the kernel has no randomness. */
void random_bytes(void *out, size_t len);

/* The pause before attempt number `attempt` (0 is the first repetition): `first` doubled each
 * time up to `most`, of which the upper half is random, so that many clients spread out. */
msec_t random_backoff(unsigned attempt, msec_t first, msec_t most);

#endif
