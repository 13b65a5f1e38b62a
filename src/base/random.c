#include "base/random.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

void random_bytes(void *out, size_t len)
{
    uint8_t *bytes = out;
    while (len) {
        ssize_t got = getrandom(bytes, len, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            abort();
        bytes += got;
        len -= (size_t)got;
    }
}

msec_t random_backoff(unsigned attempt, msec_t first, msec_t most)
{
    msec_t pause = first;
    while (attempt-- && pause && pause < most)
        pause = pause > most / 2 ? most : pause * 2;
    if (pause > most)
        pause = most;
    uint32_t dice;
    random_bytes(&dice, sizeof dice);
    return pause - pause / 2 + dice % (pause / 2 + 1);
}
