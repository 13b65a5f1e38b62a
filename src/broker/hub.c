#include "broker/hub.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "net/loop.h"

enum {
    /* A client with a wrong secret may come back a thousand times a second. */
    HUB_TALK_MS = 10000,
    HUB_TALK_MAX = 30,
};

bool broker_hub_may_talk(struct broker_hub *hub)
{
    msec_t now = net_loop_now(hub->loop);
    if (!hub->talk_count || now - hub->talk_since >= HUB_TALK_MS) {
        if (hub->talk_silent)
            log_warning(NULL, "%u more refusals were not logged", hub->talk_silent);
        hub->talk_since = now;
        hub->talk_count = hub->talk_silent = 0;
    }
    if (hub->talk_count < HUB_TALK_MAX) {
        hub->talk_count++;
        return true;
    }
    hub->talk_silent++;
    return false;
}

static bool hub_is_full(const struct broker_hub *hub, const struct broker_address *address)
{
    const struct broker_settings *settings = &hub->settings;
    return (settings->address_max && address->connections >= settings->address_max) ||
           (settings->strangers_max && address->strangers >= settings->strangers_max);
}

bool broker_hub_admit(struct broker_hub *hub, const char *network)
{
    size_t len = strlen(network);
    struct broker_address *address = broker_map_get(&hub->addresses, network, len);
    if (address && hub_is_full(hub, address)) {
        broker_metrics_count_error(&hub->metrics, "", 0, "too-many-connections");
        if (broker_hub_may_talk(hub))
            log_warning(NULL, "somebody at %s: refused: too many connections from there", network);
        return false;
    }
    if (!address) {
        address = mem_new(struct broker_address);
        broker_map_add(&hub->addresses, network, len, address);
    }
    address->connections++;
    address->strangers++;
    return true;
}

void broker_hub_leave(struct broker_hub *hub, const char *network, bool stranger, bool gone)
{
    size_t len = strlen(network);
    struct broker_address *address = broker_map_get(&hub->addresses, network, len);
    address->strangers -= stranger;
    address->connections -= gone;
    if (address->connections)
        return;
    broker_map_remove(&hub->addresses, network, len);
    free(address);
}

void broker_hub_release(struct broker_hub *hub)
{
    broker_channels_release(&hub->channels);
    broker_metrics_release(&hub->metrics);
    broker_map_release(&hub->addresses);
}
