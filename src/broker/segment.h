/* broker/segment.h: a durable subscription's folder: segment files of batches, and a cursor.
 * Blocking; no loop, no thread of its own.
 *
 * A segment is named by the place where it begins and holds batches, one behind the other. A batch
 * is whole frames with a header that says where it stands and a checksum over both: what a crash
 * tore does not fit. The cursor has two slots that are written in turn, so that one is always
 * whole; a lost write costs duplicates, never a frame. Numbers are big-endian. */
#ifndef BROKER_SEGMENT_H
#define BROKER_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum {
    BROKER_BATCH_HEADER = 32,
};

/* Between two batches. */
struct broker_place {
    uint64_t at;     /* bytes from the subscription's beginning, headers included */
    uint64_t number; /* frames from there */
};

/* What a folder holds. */
struct broker_folder {
    int fd;
    struct broker_place *segments; /* where each begins, in order; at least one unless new */
    size_t segment_count;
    struct broker_place cursor; /* never before the first segment nor behind the end */
    struct broker_place end;
};

/* Opens parent/name, made if it is not there; a torn end is cut off. *ret_cut is how many bytes
 * that were. */
int broker_folder_open(int parent, const char *name, struct broker_folder *ret_folder,
                       uint64_t *ret_cut, struct err *err);
void broker_folder_release(struct broker_folder *folder);

/* Makes the segment that begins at `place`, durably; returns a descriptor to write to, or -1. */
int broker_segment_create(int folder, struct broker_place place, struct err *err);
int broker_segment_open(int folder, struct broker_place place, struct err *err);
void broker_segment_delete(int folder, struct broker_place place);
/* Writes a batch at `offset` of the segment; *place is moved behind it. */
int broker_segment_write(int fd, uint64_t offset, const void *frames, size_t len, unsigned count,
                         struct broker_place *place, struct err *err);
/* Reads the batches from *place on, of the segment that begins at `segment`, up to `end` and
 * about `most` bytes, at least one: appends their frames, moves *place behind the last. A batch
 * that is not whole fails when it is the first, else it is left for the next call. */
int broker_segment_read(int folder, struct broker_place segment, uint64_t end, size_t most,
                        struct broker_place *place, struct buf *frames, struct err *err);
/* The next broker_folder_open() begins there: durable when it returns. */
int broker_cursor_write(int folder, struct broker_place place, struct err *err);

#endif
