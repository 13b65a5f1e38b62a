/* The kernel is asked about each end by itself, as both are there to be asked. What an end leaves
 * unread says that it does not read for now, or that its loop sees it: neither is under way. */
#include "wire.h"

#include <dirent.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/mem.h"

enum {
    /* The states of linux/tcp.h's neighbour, net/tcp_states.h, which is the kernel's own. */
    WIRE_ESTABLISHED = 1,
    WIRE_SYN_SENT = 2,
    WIRE_CLOSE = 7,
    WIRE_LISTEN = 10,
    /* TCP_QUICKACK: acknowledge now what was kept for company, and go on as before. */
    WIRE_ACKNOWLEDGE = 2,
};

struct wire_end {
    int fd;
    int unread;
    struct tcp_info info;
    struct sockaddr_in6 own, other; /* large enough for both families */
};

struct wire {
    struct wire_end *ends;
    size_t count;
};

static void wire_add(struct wire *wire, int fd)
{
    struct wire_end end = {.fd = fd};
    socklen_t info_size = sizeof end.info, own_size = sizeof end.own, other_size = sizeof end.other;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &end.info, &info_size) ||
        end.info.tcpi_state == WIRE_LISTEN || end.info.tcpi_state == WIRE_CLOSE)
        return;
    ioctl(fd, FIONREAD, &end.unread);
    getsockname(fd, (struct sockaddr *)&end.own, &own_size);
    getpeername(fd, (struct sockaddr *)&end.other, &other_size);
    wire->ends = mem_realloc_array(wire->ends, wire->count + 1, sizeof end);
    wire->ends[wire->count++] = end;
}

static void wire_open(struct wire *wire)
{
    DIR *fds = opendir("/proc/self/fd");
    if (!fds)
        abort();
    for (const struct dirent *entry; (entry = readdir(fds));)
        if (*entry->d_name != '.')
            wire_add(wire, atoi(entry->d_name));
    closedir(fds);
}

/* NULL: not accepted yet, or closed already. */
static const struct wire_end *wire_other(const struct wire *wire, const struct wire_end *end)
{
    for (size_t i = 0; i < wire->count; i++) {
        const struct wire_end *other = &wire->ends[i];
        if (memcmp(&other->own, &end->other, sizeof end->other) == 0 &&
            memcmp(&other->other, &end->own, sizeof end->own) == 0)
            return other;
    }
    return NULL;
}

static bool wire_end_is_busy(const struct wire *wire, const struct wire_end *end)
{
    const struct wire_end *other = wire_other(wire, end);
    bool unsettled = end->info.tcpi_unacked || end->info.tcpi_notsent_bytes;
    if (end->info.tcpi_state == WIRE_SYN_SENT)
        return true;
    /* It is to be accepted, or to hear of the end. */
    if (!other)
        return !end->unread && (unsettled || end->info.tcpi_state == WIRE_ESTABLISHED);
    if (!unsettled || other->unread)
        return false;
    setsockopt(other->fd, IPPROTO_TCP, TCP_QUICKACK, &(int){WIRE_ACKNOWLEDGE}, sizeof(int));
    return true;
}

bool wire_is_busy(void)
{
    struct wire wire = {0};
    bool busy = false;
    wire_open(&wire);
    for (size_t i = 0; i < wire.count; i++) /* all: each may have to be asked to acknowledge */
        busy |= wire_end_is_busy(&wire, &wire.ends[i]);
    free(wire.ends);
    return busy;
}
