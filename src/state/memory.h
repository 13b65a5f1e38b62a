/* state/memory.h: the state in memory only, for `--state none` and for tests. */
#ifndef STATE_MEMORY_H
#define STATE_MEMORY_H

#include "state/state.h"

struct state *state_memory_new(void);

#endif
