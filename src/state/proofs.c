#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "state/state.h"

/* The first account that is not before this one. */
static size_t state_proofs_position(const struct state_proofs *proofs, const char *account,
                                    bool *ret_found)
{
    size_t low = 0, high = proofs->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(proofs->items[middle].account, account) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_found = low < proofs->count && !strcmp(proofs->items[low].account, account);
    return low;
}

unsigned state_proofs_get(const struct state_proofs *proofs, const char *account)
{
    bool found;
    size_t at = state_proofs_position(proofs, account, &found);
    return found ? proofs->items[at].proof : 0;
}

void state_proofs_set(struct state_proofs *proofs, const char *account, unsigned proof)
{
    bool found;
    size_t at = state_proofs_position(proofs, account, &found);
    if (!found) {
        if (proofs->count == proofs->cap) {
            proofs->cap = proofs->cap ? 2 * proofs->cap : 16;
            proofs->items = mem_realloc_array(proofs->items, proofs->cap, sizeof *proofs->items);
        }
        memmove(&proofs->items[at + 1], &proofs->items[at],
                (proofs->count - at) * sizeof *proofs->items);
        proofs->items[at].account = mem_strdup(account);
        proofs->count++;
    }
    proofs->items[at].proof = proof;
}

void state_proofs_release(struct state_proofs *proofs)
{
    for (size_t i = 0; i < proofs->count; i++)
        free(proofs->items[i].account);
    free(proofs->items);
    *proofs = (struct state_proofs){0};
}
