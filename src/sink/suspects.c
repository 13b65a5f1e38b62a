#include "sink/suspects.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum {
    SUSPECTS_SAMPLE = 256, /* bytes looked at from either end */
    /* By how much the company shrinks from the second loss on: the first is most often a broker
     * that was restarted, which is no reason to be slow. */
    SUSPECTS_DIVISOR = 8,
};

void suspects_release(struct suspects *suspects)
{
    free(suspects->slots);
    *suspects = (struct suspects){0};
}

/* Eight bytes at a time through a multiplication and a shift: nothing depends on its strength, as
 * a mail taken for another is only sent with more care. */
static uint64_t suspects_mix(uint64_t hash, const uint8_t *data, size_t len)
{
    while (len) {
        uint64_t word = 0;
        size_t part = len < sizeof word ? len : sizeof word;
        memcpy(&word, data, part);
        hash = (hash ^ word) * 0x9e3779b97f4a7c15U;
        hash ^= hash >> 32;
        data += part;
        len -= part;
    }
    return hash;
}

uint64_t suspects_print(const uint8_t *payload, size_t len)
{
    uint64_t hash = suspects_mix(len, payload, len < SUSPECTS_SAMPLE ? len : SUSPECTS_SAMPLE);
    if (len <= SUSPECTS_SAMPLE)
        return hash;
    size_t rest = len - SUSPECTS_SAMPLE;
    size_t tail = rest < SUSPECTS_SAMPLE ? rest : SUSPECTS_SAMPLE;
    return suspects_mix(hash, payload + len - tail, tail);
}

static struct suspect *suspects_slot(const struct suspects *suspects, uint64_t print)
{
    return &suspects->slots[print % SUSPECTS_SLOTS];
}

struct suspect *suspects_find(const struct suspects *suspects, uint64_t print)
{
    if (!suspects->slots)
        return NULL;
    struct suspect *suspect = suspects_slot(suspects, print);
    return suspect->losses && suspect->print == print ? suspect : NULL;
}

static struct suspect *suspects_enter(struct suspects *suspects, uint64_t print, uint64_t taken)
{
    if (!suspects->slots)
        suspects->slots = mem_zalloc(SUSPECTS_SLOTS * sizeof *suspects->slots);
    struct suspect *suspect = suspects_slot(suspects, print);
    if (suspect->losses && suspect->print == print)
        return suspect;
    if (suspect->losses > 1)
        return NULL;
    suspects->count += !suspect->losses;
    *suspect = (struct suspect){.print = print, .taken = taken};
    return suspect;
}

void suspects_lost(struct suspects *suspects, uint64_t print, size_t group, uint64_t taken)
{
    struct suspect *suspect = suspects_enter(suspects, print, taken);
    if (!suspect)
        return;
    if (suspect->losses)
        group /= SUSPECTS_DIVISOR;
    if (suspect->losses < UINT16_MAX)
        suspect->losses++;
    suspect->limit = group < SUSPECTS_ALONE ? SUSPECTS_ALONE
                     : group > UINT32_MAX   ? UINT32_MAX
                                            : (uint32_t)group;
}

void suspects_cleared(struct suspects *suspects, uint64_t print)
{
    struct suspect *suspect = suspects_find(suspects, print);
    if (!suspect)
        return;
    *suspect = (struct suspect){0};
    if (!--suspects->count)
        suspects_release(suspects);
}

size_t suspects_limit(const struct suspects *suspects, uint64_t print)
{
    const struct suspect *suspect = suspects_find(suspects, print);
    return suspect ? suspect->limit : SIZE_MAX;
}

unsigned suspects_losses(const struct suspects *suspects, uint64_t print)
{
    const struct suspect *suspect = suspects_find(suspects, print);
    return suspect ? suspect->losses : 0;
}
