/* sink_free() at every moment: in each event, and between any two. The sanitizers judge. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>

#include "net/loop.h"
#include "owner.h"

static const enum sink_confirm freed_ways[] = {SINK_CONFIRM_AUTO, SINK_CONFIRM_ECHO,
                                               SINK_CONFIRM_CLOSE, SINK_CONFIRM_SENT};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void freed_start(struct owner *owner, enum sink_confirm confirm, size_t script)
{
    owner_init(owner);
    owner->settings.confirm = confirm;
    owner->lies = true;
    owner->peer.echo_same = script % 2;
    owner->peer.kill = script % 3 ? PEER_RESET : PEER_CLOSE;
    owner->peer.kills = 2;
    owner->peer.kill_after = 4;
    owner->peer.poison = "poison";
    owner->peer.on_poison = PEER_CLOSE;
    owner_start(owner);
    owner_large_mail(owner, "large", 200000);
    owner_mail(owner, "poison");
    for (int i = 0; i < 6; i++)
        owner_mail(owner, "small");
}

static bool freed_or_done(const struct owner *owner)
{
    return !owner->sink || owner_all_settled(owner);
}

static void test_freed_in_each_event(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(freed_ways); i++) {
        for (size_t event = 1; event <= 40; event++) {
            struct owner owner;
            freed_start(&owner, freed_ways[i], event);
            owner.free_at = event;
            owner_run_until(&owner, freed_or_done);
            owner_release(&owner);
        }
    }
}

struct freed_count {
    struct owner *owner;
    struct net_deferred *deferred;
    size_t turns;
};

static void freed_count_down(void *ctx)
{
    struct freed_count *count = ctx;
    if (count->turns--) {
        net_deferred_schedule(count->deferred);
        return;
    }
    sink_free(count->owner->sink);
    count->owner->sink = NULL;
}

static void test_freed_after_so_many_turns(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(freed_ways); i++) {
        for (size_t turns = 0; turns <= 60; turns++) {
            struct owner owner;
            struct freed_count count = {.owner = &owner, .turns = turns};
            freed_start(&owner, freed_ways[i], turns);
            count.deferred = net_deferred_new(owner.loop, freed_count_down, &count);
            net_deferred_schedule(count.deferred);
            owner_run_until(&owner, freed_or_done);
            net_deferred_free(count.deferred);
            owner_release(&owner);
        }
    }
}

static void test_never_started(void **state)
{
    struct owner owner;

    (void)state;
    for (size_t i = 0; i < COUNT(freed_ways); i++) {
        owner_init(&owner);
        owner.settings.confirm = freed_ways[i];
        owner.sink = sink_hpfeeds_new(owner.loop, &owner.settings);
        owner_release(&owner);
    }
    sink_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_freed_in_each_event),
        cmocka_unit_test(test_freed_after_so_many_turns),
        cmocka_unit_test(test_never_started),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
