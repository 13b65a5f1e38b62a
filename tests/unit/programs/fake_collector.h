/* A collector that has what a test says: for what only looks at one. */
#ifndef TESTS_PROGRAMS_FAKE_COLLECTOR_H
#define TESTS_PROGRAMS_FAKE_COLLECTOR_H

#include "collect/collector.h"

enum {
    FAKE_MOST = 8
};

struct collector {
    struct collect_account accounts[FAKE_MOST];
    struct collect_report reports[FAKE_MOST];
    size_t count;
    struct collect_counts gone;
    bool sink_up;
    bool state_bad;
};

#endif
