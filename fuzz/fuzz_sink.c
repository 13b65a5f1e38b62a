/* The publisher and a broker that does as the input says, on a clock that jumps
 * (tests/unit/sink/owner.h): what is told to be taken was handled, each mail settles as the sink's
 * contract has it, and when the broker is well again every mail is taken, once.
 * Input: a byte for each thing that the broker may do, then what it says beside that: pieces of a
 * length and so many bytes. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "../tests/unit/sink/owner.h"

enum {
    MAILS = 6,
    ANSWERS = PEER_CRASH + 1,
};

struct fuzz_input {
    const uint8_t *data;
    size_t len;
};

static void fuzz_check(bool holds)
{
    if (!holds)
        abort();
}

/* 0 when there is no more. */
static uint8_t fuzz_byte(struct fuzz_input *input)
{
    if (!input->len)
        return 0;
    input->len--;
    return *input->data++;
}

static enum peer_answer fuzz_answer(struct fuzz_input *input)
{
    return fuzz_byte(input) % ANSWERS;
}

static void fuzz_script(struct owner *owner, struct fuzz_input *input)
{
    struct peer *peer = &owner->peer;
    uint8_t ways = fuzz_byte(input), echoes = fuzz_byte(input);
    owner->settings.secret = peer->secret = "geheimnis";
    owner->settings.confirm = ways % 4;
    owner->settings.channel_count = ways & 4 ? 2 : 1;
    owner->channels[1] = "spam.more";
    peer->echo_same = echoes & 1;
    peer->echo_second = echoes & 2;
    peer->wrong_echo = echoes & 4;
    peer->other_ident = echoes & 8 ? "somebody" : NULL;
    peer->words = echoes & 16 ? "your geheimnis, \x1b[2J and \xff" : NULL;
    peer->on_connect = fuzz_answer(input);
    peer->on_good_auth = fuzz_answer(input);
    peer->on_subscribe = fuzz_answer(input);
    peer->on_publish = fuzz_answer(input);
    peer->on_marker = fuzz_answer(input);
    peer->on_excess = fuzz_answer(input);
    peer->on_end = fuzz_answer(input);
    peer->kill = fuzz_answer(input);
    peer->kill_after = fuzz_byte(input) % 16;
    peer->kills = fuzz_byte(input) % 8;
    peer->on_poison = fuzz_answer(input);
    peer->poison = fuzz_byte(input) & 1 ? "mail 3" : NULL;
    peer->away = fuzz_byte(input);
    peer->cut_after = fuzz_byte(input) * (size_t)8;
    peer->late_error = fuzz_byte(input) & 1 ? 20 : 0;
    /* Who throws away what it then confirms, or ends cleanly without a word, is believed. */
    owner->lies = owner->settings.confirm != SINK_CONFIRM_ECHO || peer->on_publish != PEER_TAKE ||
                  peer->poison || peer->late_error || (peer->kills && peer->kill <= PEER_IGNORE);
}

static void fuzz_say(struct owner *owner, struct fuzz_input *input)
{
    while (input->len) {
        size_t len = fuzz_byte(input);
        len = len < input->len ? len : input->len;
        peer_say(&owner->peer, input->data, len);
        input->data += len;
        input->len -= len;
        owner_pass(owner, 30);
    }
}

static void fuzz_heal(struct owner *owner)
{
    struct peer *peer = &owner->peer;
    peer->on_connect = peer->on_good_auth = peer->on_subscribe = peer->on_publish = PEER_TAKE;
    peer->on_marker = peer->on_excess = peer->on_end = PEER_TAKE;
    peer->kills = peer->cut_after = 0;
    peer->poison = NULL;
    peer->late_error = 0;
    peer->wrong_echo = false;
    peer->other_ident = NULL;
    peer->echo_same = peer->echo_second = true;
    peer_go_on(peer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct owner owner;
    struct fuzz_input input = {data, size};
    owner_init(&owner);
    owner.tuning.backoff_first = 100; /* else most of the time is spent on connecting */
    owner.tuning.backoff_most = 2000;
    fuzz_script(&owner, &input);
    owner_start(&owner);
    owner_pass(&owner, 100);
    for (size_t i = 0; i < MAILS; i++)
        owner_mail(&owner, (char[]){'m', 'a', 'i', 'l', ' ', (char)('0' + i), '\0'});
    owner_pass(&owner, 30);
    fuzz_say(&owner, &input);
    owner_pass(&owner, 2000);
    fuzz_heal(&owner);
    owner_run_until(&owner, owner_all_settled);
    for (size_t i = 0; i < MAILS; i++)
        fuzz_check(owner.mails[i].takens + owner.mails[i].refusals == 1);
    fuzz_check(!strstr(owner.err.text, "geheimnis"));
    owner_release(&owner);
    return 0;
}
