#include "programs/collector_changes.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static int changes_compare(const void *a, const void *b)
{
    const struct collect_account *const *one = a, *const *other = b;
    return strcmp((*one)->label, (*other)->label);
}

struct changes changes_count(const struct collector *collector,
                             const struct collect_account *accounts, size_t count)
{
    struct changes changes = {0};
    size_t old_count = collector_count(collector), i = 0, k = 0;
    const struct collect_account **old = mem_realloc_array(NULL, old_count + 1, sizeof(void *));
    const struct collect_account **now = mem_realloc_array(NULL, count + 1, sizeof(void *));
    for (size_t at = 0; at < old_count; at++)
        old[at] = collector_account(collector, at);
    for (size_t at = 0; at < count; at++)
        now[at] = &accounts[at];
    qsort(old, old_count, sizeof *old, changes_compare);
    qsort(now, count, sizeof *now, changes_compare);
    while (i < old_count || k < count) {
        int order = i == old_count ? 1 : k == count ? -1 : strcmp(old[i]->label, now[k]->label);
        bool same = order == 0 && collect_account_equal(old[i], now[k]);
        changes.removed += order < 0;
        changes.added += order > 0;
        changes.changed += order == 0 && !same;
        changes.unchanged += same;
        i += order <= 0;
        k += order >= 0;
    }
    free(old);
    free(now);
    return changes;
}
