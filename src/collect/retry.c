#include "collect/retry.h"

#include "base/random.h"

enum {
    RETRY_FIRST = 1000,
    /* One pass. */
    RETRY_PASS_IN_A_ROW = 3,
    RETRY_PASS_ALL = 20,
    RETRY_PASS_MOST = 15 * 1000,
    /* Continuous. */
    RETRY_MOST = 15 * 60 * 1000,
    RETRY_MOST_CAUGHT_UP = 60 * 1000,
    RETRY_PERSON = 60 * 60 * 1000, /* the upper half is random */
    RETRY_LIMITED = 60 * 1000,     /* at least, when a server speaks of a limit */
};

static bool retry_pass(struct retry *retry, const struct retry_attempt *attempt, msec_t *ret_pause)
{
    if (attempt->action == ERR_GIVE_UP || attempt->hint > RETRY_PASS_MOST ||
        retry->in_a_row >= RETRY_PASS_IN_A_ROW || retry->all >= RETRY_PASS_ALL)
        return false;
    *ret_pause = random_backoff(retry->in_a_row - 1, RETRY_FIRST, RETRY_PASS_MOST);
    return true;
}

bool retry_next(struct retry *retry, bool continuous, const struct retry_attempt *attempt,
                msec_t *ret_pause)
{
    msec_t pause;
    if (attempt->progressed)
        retry->in_a_row = 0;
    retry->in_a_row++;
    retry->all++;
    if (!continuous) {
        if (!retry_pass(retry, attempt, &pause))
            return false;
    } else if (attempt->action == ERR_GIVE_UP) {
        pause = random_backoff(0, RETRY_PERSON, RETRY_PERSON);
    } else {
        pause = random_backoff(retry->in_a_row - 1, RETRY_FIRST,
                               attempt->caught_up ? RETRY_MOST_CAUGHT_UP : RETRY_MOST);
        if (attempt->limited && pause < RETRY_LIMITED)
            pause = RETRY_LIMITED + pause;
    }
    /* With something random on top, so that those who were told the same do not come back
     * together; and a hint never makes it come sooner. */
    if (attempt->hint) {
        msec_t hinted = attempt->hint + random_backoff(0, RETRY_FIRST, RETRY_FIRST) / 2 +
                        random_backoff(0, attempt->hint / 4, attempt->hint / 4) / 2;
        pause = pause > hinted ? pause : hinted;
    }
    *ret_pause = pause;
    return true;
}
