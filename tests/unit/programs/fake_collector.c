#include "fake_collector.h"

size_t collector_count(const struct collector *collector)
{
    return collector->count;
}

const struct collect_account *collector_account(const struct collector *collector, size_t index)
{
    return &collector->accounts[index];
}

const struct collect_report *collector_report(const struct collector *collector, size_t index)
{
    return &collector->reports[index];
}

struct collect_counts collector_gone(const struct collector *collector)
{
    return collector->gone;
}

bool collector_state_written(const struct collector *collector)
{
    return !collector->state_bad;
}

bool collector_sink_up(const struct collector *collector, const char **ret_describe)
{
    *ret_describe = "hpfeeds h:10000, confirmed by sent";
    return collector->sink_up;
}
