/* programs/collector_changes.h: what a reload changes, for the log. */
#ifndef PROGRAMS_COLLECTOR_CHANGES_H
#define PROGRAMS_COLLECTOR_CHANGES_H

#include <stddef.h>

#include "collect/collector.h"

struct changes {
    size_t added, removed, changed, unchanged;
};

/* From the collector's accounts to these. */
struct changes changes_count(const struct collector *collector,
                             const struct collect_account *accounts, size_t count);

#endif
