#include "base/random.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/mem.h"

/* Ten thousand idle mailboxes ask for five bytes at a time, for a tag, and for eight to spread
 * their moments: that was half of all their system calls. */
struct random_pool {
    uint8_t bytes[256];
    size_t left; /* at the end of `bytes` */
};

static _Thread_local struct random_pool random_pool;
static pthread_once_t random_once = PTHREAD_ONCE_INIT;

static void random_fill(uint8_t *bytes, size_t len)
{
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

/* In a child, which has no thread but the one that forked: it must not have its parent's bytes. */
static void random_forget(void)
{
    random_pool.left = 0;
}

static void random_watch_forks(void)
{
    if (pthread_atfork(NULL, NULL, random_forget))
        abort();
}

void random_bytes(void *out, size_t len)
{
    struct random_pool *pool = &random_pool;
    if (!len)
        return;
    if (len > sizeof pool->bytes / 4) {
        random_fill(out, len);
        return;
    }
    pthread_once(&random_once, random_watch_forks);
    if (pool->left < len) {
        random_fill(pool->bytes, sizeof pool->bytes);
        pool->left = sizeof pool->bytes;
    }
    uint8_t *taken = pool->bytes + sizeof pool->bytes - pool->left;
    memcpy(out, taken, len);
    mem_wipe(taken, len);
    pool->left -= len;
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
