#include "broker/segment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/mem.h"
#include "broker/crc.h"

enum {
    BATCH_MAGIC = 0x48505131, /* "HPQ1" */
    BATCH_CRC = 28,           /* where it stands: last in the header */
    BATCH_MAX = 1 << 30,
    SEGMENT_NAME = 40,
    CURSOR_SLOT = 512, /* a sector each, so that a torn write hits one of them only */
    CURSOR_LEN = 24,
    CURSOR_CRC = 20,
    CURSOR_MAGIC = 0x48504331, /* "HPC1" */
};

struct batch_header {
    size_t len;
    struct broker_place place;
    unsigned count;
    uint32_t crc;
};

static const char cursor_name[] = "cursor";

static int segment_fail(struct err *err, const char *what)
{
    return err_set(err, ERR_RETRY_LATER, "%s: %s", what, strerror(errno));
}

static void segment_put(uint8_t *out, uint64_t value, size_t bytes)
{
    while (bytes--) {
        out[bytes] = (uint8_t)value;
        value >>= 8;
    }
}

static uint64_t segment_get(const uint8_t *in, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value = value << 8 | in[i];
    return value;
}

static void segment_name(char out[SEGMENT_NAME], struct broker_place place)
{
    snprintf(out, SEGMENT_NAME, "%016" PRIx64 "-%016" PRIx64, place.at, place.number);
}

static bool segment_parse_name(const char *name, struct broker_place *ret_place)
{
    char again[SEGMENT_NAME];
    struct broker_place place;
    if (strlen(name) != 33 ||
        sscanf(name, "%16" SCNx64 "-%16" SCNx64, &place.at, &place.number) != 2)
        return false;
    segment_name(again, place);
    if (strcmp(name, again) != 0)
        return false;
    *ret_place = place;
    return true;
}

int broker_segment_open(int folder, struct broker_place place, struct err *err)
{
    char name[SEGMENT_NAME];
    segment_name(name, place);
    int fd = openat(folder, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 ? segment_fail(err, name) : fd;
}

int broker_segment_create(int folder, struct broker_place place, struct err *err)
{
    char name[SEGMENT_NAME];
    segment_name(name, place);
    int fd = openat(folder, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return segment_fail(err, name);
    if (fsync(folder)) {
        segment_fail(err, name);
        close(fd);
        return -1;
    }
    return fd;
}

void broker_segment_delete(int folder, struct broker_place place)
{
    char name[SEGMENT_NAME];
    segment_name(name, place);
    unlinkat(folder, name, 0);
}

static uint32_t batch_crc(const uint8_t header[BROKER_BATCH_HEADER], const void *frames, size_t len)
{
    return broker_crc(broker_crc(0, header, BATCH_CRC), frames, len);
}

static int segment_write_all(int fd, struct iovec *parts, size_t count, uint64_t offset)
{
    while (count) {
        ssize_t put = pwritev(fd, parts, (int)count, (off_t)offset);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return -1;
        offset += (uint64_t)put;
        size_t left = (size_t)put;
        while (count && left >= parts->iov_len) {
            left -= parts->iov_len;
            parts++;
            count--;
        }
        if (count) {
            parts->iov_base = (uint8_t *)parts->iov_base + left;
            parts->iov_len -= left;
        }
    }
    return 0;
}

int broker_segment_write(int fd, uint64_t offset, const void *frames, size_t len, unsigned count,
                         struct broker_place *place, struct err *err)
{
    uint8_t header[BROKER_BATCH_HEADER];
    segment_put(header, BATCH_MAGIC, 4);
    segment_put(header + 4, len, 4);
    segment_put(header + 8, place->at, 8);
    segment_put(header + 16, place->number, 8);
    segment_put(header + 24, count, 4);
    segment_put(header + BATCH_CRC, batch_crc(header, frames, len), 4);
    struct iovec parts[] = {
        {.iov_base = header, .iov_len = sizeof header},
        {.iov_base = (void *)(uintptr_t)frames, .iov_len = len},
    };
    if (segment_write_all(fd, parts, 2, offset))
        return segment_fail(err, "writing");
    place->at += sizeof header + len;
    place->number += count;
    return 0;
}

/* Fewer than `len` only at the end of the file. */
static ssize_t segment_read_all(int fd, void *data, size_t len, uint64_t offset)
{
    size_t have = 0;
    while (have < len) {
        ssize_t got = pread(fd, (uint8_t *)data + have, len - have, (off_t)(offset + have));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (!got)
            break;
        have += (size_t)got;
    }
    return (ssize_t)have;
}

static bool batch_parse(const uint8_t raw[BROKER_BATCH_HEADER], struct broker_place expected,
                        struct batch_header *ret_header)
{
    struct batch_header header = {
        .len = (size_t)segment_get(raw + 4, 4),
        .place = {.at = segment_get(raw + 8, 8), .number = segment_get(raw + 16, 8)},
        .count = (unsigned)segment_get(raw + 24, 4),
        .crc = (uint32_t)segment_get(raw + BATCH_CRC, 4),
    };
    if (segment_get(raw, 4) != BATCH_MAGIC || header.len > BATCH_MAX ||
        header.place.at != expected.at || header.place.number != expected.number)
        return false;
    *ret_header = header;
    return true;
}

/* Appends the frames of the batch at *place: 1; 0: there is none, or it is torn. */
static int segment_read_batch(int fd, uint64_t offset, struct broker_place *place,
                              struct buf *frames)
{
    uint8_t raw[BROKER_BATCH_HEADER];
    struct batch_header header;
    ssize_t got = segment_read_all(fd, raw, sizeof raw, offset);
    if (got < 0)
        return -1;
    struct stat status;
    if ((size_t)got < sizeof raw || !batch_parse(raw, *place, &header) || fstat(fd, &status) ||
        (uint64_t)status.st_size < offset + sizeof raw + header.len)
        return 0;
    buf_reserve(frames, header.len);
    uint8_t *to = frames->data + frames->len;
    got = segment_read_all(fd, to, header.len, offset + sizeof raw);
    if (got < 0)
        return -1;
    if ((size_t)got < header.len || batch_crc(raw, to, header.len) != header.crc)
        return 0;
    frames->len += header.len;
    place->at += sizeof raw + header.len;
    place->number += header.count;
    return 1;
}

int broker_segment_read(int folder, struct broker_place segment, uint64_t end, size_t most,
                        struct broker_place *place, struct buf *frames, struct err *err)
{
    int fd = broker_segment_open(folder, segment, err);
    if (fd < 0)
        return -1;
    size_t begin = frames->len;
    int got = 1;
    while (place->at < end && frames->len - begin < most &&
           (got = segment_read_batch(fd, place->at - segment.at, place, frames)) > 0)
        ;
    if (got < 0)
        segment_fail(err, "reading");
    else if (!got)
        err_set(err, ERR_GIVE_UP, "what stands at byte %" PRIu64 " is damaged",
                place->at - segment.at);
    close(fd);
    return got > 0 || frames->len > begin ? 0 : -1;
}

static bool cursor_parse(const uint8_t slot[CURSOR_LEN], struct broker_place *ret_place)
{
    if (segment_get(slot, 4) != CURSOR_MAGIC ||
        segment_get(slot + CURSOR_CRC, 4) != broker_crc(0, slot, CURSOR_CRC))
        return false;
    *ret_place = (struct broker_place){
        .at = segment_get(slot + 4, 8),
        .number = segment_get(slot + 12, 8),
    };
    return true;
}

/* The slots as they stand; which is the newer: cursors only go forward. */
static int cursor_read(int fd, struct broker_place *ret_place, unsigned *ret_newer)
{
    struct broker_place places[2] = {{0}};
    bool whole[2];
    for (unsigned i = 0; i < 2; i++) {
        uint8_t slot[CURSOR_LEN] = {0};
        if (segment_read_all(fd, slot, sizeof slot, i * CURSOR_SLOT) < 0)
            return -1;
        whole[i] = cursor_parse(slot, &places[i]);
    }
    *ret_newer = whole[1] && (!whole[0] || places[1].at > places[0].at);
    *ret_place = places[*ret_newer];
    return whole[0] || whole[1];
}

int broker_cursor_write(int folder, struct broker_place place, struct err *err)
{
    uint8_t slot[CURSOR_LEN];
    struct broker_place old;
    unsigned newer = 1;
    int fd = openat(folder, cursor_name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return segment_fail(err, cursor_name);
    int found = cursor_read(fd, &old, &newer);
    int result = found < 0 ? -1 : 0;
    segment_put(slot, CURSOR_MAGIC, 4);
    segment_put(slot + 4, place.at, 8);
    segment_put(slot + 12, place.number, 8);
    segment_put(slot + CURSOR_CRC, broker_crc(0, slot, CURSOR_CRC), 4);
    struct iovec part = {.iov_base = slot, .iov_len = sizeof slot};
    if (!result)
        result = segment_write_all(fd, &part, 1, (1 - newer) * CURSOR_SLOT);
    if (!result)
        result = fdatasync(fd);
    /* The first one's name, too: it must be there when a segment goes that it has left. */
    if (!result && !found)
        result = fsync(folder);
    if (result)
        segment_fail(err, cursor_name);
    close(fd);
    return result ? -1 : 0;
}

/* Nothing but a place on disk can be lost with it: then the oldest segment is the next. */
static void folder_load_cursor(struct broker_folder *folder)
{
    unsigned newer;
    int fd = openat(folder->fd, cursor_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return;
    if (cursor_read(fd, &folder->cursor, &newer) <= 0)
        folder->cursor = (struct broker_place){0};
    close(fd);
}

static int folder_compare_places(const void *a, const void *b)
{
    uint64_t one = ((const struct broker_place *)a)->at,
             other = ((const struct broker_place *)b)->at;
    return one < other ? -1 : one > other;
}

static int folder_list_segments(struct broker_folder *folder, struct err *err)
{
    int copy = openat(folder->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = copy < 0 ? NULL : fdopendir(copy);
    if (!directory) {
        segment_fail(err, "listing");
        if (copy >= 0)
            close(copy);
        return -1;
    }
    struct dirent *entry;
    struct broker_place place;
    while ((entry = readdir(directory))) {
        if (!segment_parse_name(entry->d_name, &place))
            continue;
        folder->segments = mem_realloc_array(folder->segments, folder->segment_count + 1,
                                             sizeof *folder->segments);
        folder->segments[folder->segment_count++] = place;
    }
    closedir(directory);
    if (folder->segment_count)
        qsort(folder->segments, folder->segment_count, sizeof *folder->segments,
              folder_compare_places);
    return 0;
}

/* Finds where the last segment's whole batches end, and cuts off the rest: it was never confirmed,
 * and what is written next must not look like a part of it. A broker that was killed may not have
 * synced the last of them: what is written next is not to stand behind what a power cut takes. */
static int folder_find_end(struct broker_folder *folder, uint64_t *ret_cut, struct err *err)
{
    struct broker_place last = folder->segments[folder->segment_count - 1];
    struct stat status;
    struct buf frames = {0};
    int fd = broker_segment_open(folder->fd, last, err);
    if (fd < 0)
        return -1;
    int got;
    folder->end = last;
    while ((got = segment_read_batch(fd, folder->end.at - last.at, &folder->end, &frames)) > 0)
        buf_clear(&frames);
    buf_release(&frames);
    uint64_t len = folder->end.at - last.at;
    if (got < 0 || fstat(fd, &status) ||
        ((uint64_t)status.st_size > len && ftruncate(fd, (off_t)len)) || fsync(fd)) {
        segment_fail(err, "looking for the end");
        close(fd);
        return -1;
    }
    *ret_cut = (uint64_t)status.st_size - len;
    close(fd);
    return 0;
}

static void folder_clamp_cursor(struct broker_folder *folder)
{
    if (!folder->segment_count)
        folder->end = folder->cursor;
    else if (folder->cursor.at < folder->segments[0].at)
        folder->cursor = folder->segments[0];
    else if (folder->cursor.at > folder->end.at)
        folder->cursor = folder->end;
}

int broker_folder_open(int parent, const char *name, struct broker_folder *ret_folder,
                       uint64_t *ret_cut, struct err *err)
{
    struct broker_folder folder = {.fd = -1};
    uint64_t cut = 0;
    /* Synced also when it is there: who made it may have been killed before that. */
    if ((mkdirat(parent, name, 0700) && errno != EEXIST) || fsync(parent))
        return segment_fail(err, name);
    folder.fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (folder.fd < 0)
        return segment_fail(err, name);
    folder_load_cursor(&folder);
    /* Who made the names in it may have been killed before that, too. */
    int result = fsync(folder.fd) ? segment_fail(err, "syncing") : 0;
    if (result || folder_list_segments(&folder, err) ||
        (folder.segment_count && folder_find_end(&folder, &cut, err))) {
        broker_folder_release(&folder);
        return err_prefix(err, "%s", name);
    }
    folder_clamp_cursor(&folder);
    *ret_folder = folder;
    *ret_cut = cut;
    return 0;
}

void broker_folder_release(struct broker_folder *folder)
{
    if (folder->fd >= 0)
        close(folder->fd);
    free(folder->segments);
    *folder = (struct broker_folder){.fd = -1};
}
