/* A directory of a test's own, and files in it. */
#ifndef TEST_STATE_SCRATCH_H
#define TEST_STATE_SCRATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct scratch {
    char dir[64];
    char path[128]; /* dir/state.db, not made */
};

void scratch_make(struct scratch *scratch);
/* Removes it with all that is in it. */
void scratch_remove(struct scratch *scratch);

/* The file's bytes; the caller frees them. Fails the test when it cannot be read. */
uint8_t *scratch_read(const char *path, size_t *ret_len);
void scratch_write(const char *path, const void *data, size_t len);
void scratch_copy(const char *from, const char *to);
/* Of `path` with `suffix` behind it; -1 when there is no such file. */
long scratch_size(const char *path, const char *suffix);

#endif
