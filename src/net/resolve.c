#include "net/resolve.h"

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"
#include "net/loop_impl.h"

enum {
    NET_RESOLVER_BUCKETS = 256,
    NET_RESOLVER_KEEP = 60 * 1000,
    NET_RESOLVER_KEEP_FAILURE = 5 * 1000,
};

/* One name: being looked up, or known, or both while it is refreshed. */
struct net_host {
    uv_getaddrinfo_t request;
    struct net_resolver *resolver; /* NULL once that is gone: the answer only frees the host */
    struct net_host *next;
    struct net_task waiting; /* head of the questions that wait for the answer */
    bool busy;
    msec_t expires;
    int status; /* 0, or libuv's error */
    struct net_addresses found;
    char name[];
};

struct net_resolver {
    struct net_loop *loop;
    struct net_host *buckets[NET_RESOLVER_BUCKETS];
};

struct net_resolver *net_resolver_new(struct net_loop *loop)
{
    struct net_resolver *resolver = mem_new(struct net_resolver);
    resolver->loop = loop;
    return resolver;
}

static void net_host_free(struct net_host *host)
{
    if (host->busy) {
        host->resolver = NULL;
        uv_cancel((uv_req_t *)&host->request);
    } else {
        free(host);
    }
}

void net_resolver_free(struct net_resolver *resolver)
{
    for (size_t i = 0; i < NET_RESOLVER_BUCKETS; i++)
        for (struct net_host *host = resolver->buckets[i], *next; host; host = next) {
            next = host->next;
            net_host_free(host);
        }
    free(resolver);
}

static struct net_host **net_resolver_bucket(struct net_resolver *resolver, const char *name)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (const char *c = name; *c; c++)
        hash = (hash ^ (uint8_t)*c) * 16777619u;
    return &resolver->buckets[hash % NET_RESOLVER_BUCKETS];
}

static struct net_host *net_resolver_host(struct net_resolver *resolver, const char *name)
{
    struct net_host **bucket = net_resolver_bucket(resolver, name);
    for (struct net_host *host = *bucket; host; host = host->next)
        if (!strcmp(host->name, name))
            return host;

    size_t size = strlen(name) + 1;
    struct net_host *host = mem_zalloc(sizeof *host + size);
    memcpy(host->name, name, size);
    host->resolver = resolver;
    host->waiting.next = host->waiting.prev = &host->waiting;
    host->next = *bucket;
    *bucket = host;
    return host;
}

/* The first that is not yet used, of another family than `family` if there is one. */
static size_t net_addresses_pick(const struct net_addresses *addresses, const bool *used,
                                 int family)
{
    size_t any = addresses->count;
    for (size_t i = addresses->count; i-- > 0;)
        if (!used[i])
            any = i;
    for (size_t i = any; i < addresses->count; i++)
        if (!used[i] && addresses->list[i].any.sa_family != family)
            return i;
    return any;
}

void net_addresses_interleave(struct net_addresses *addresses)
{
    struct net_addresses sorted = {.count = addresses->count};
    bool used[NET_ADDRESSES_MAX] = {false};
    int family = AF_UNSPEC;
    for (size_t n = 0; n < addresses->count; n++) {
        size_t pick = net_addresses_pick(addresses, used, family);
        used[pick] = true;
        sorted.list[n] = addresses->list[pick];
        family = sorted.list[n].any.sa_family;
    }
    *addresses = sorted;
}

static void net_host_store(struct net_host *host, const struct addrinfo *info)
{
    struct net_addresses *found = &host->found;
    found->count = 0;
    for (; info && found->count < NET_ADDRESSES_MAX; info = info->ai_next) {
        if (info->ai_family != AF_INET && info->ai_family != AF_INET6)
            continue;
        memcpy(&found->list[found->count++], info->ai_addr, info->ai_addrlen);
    }
    net_addresses_interleave(found);
    host->status = found->count ? 0 : UV_EAI_NODATA;
}

static void net_host_settle(struct net_host *host, int status, const struct addrinfo *info)
{
    struct net_loop *loop = host->resolver->loop;
    host->status = status;
    if (!status)
        net_host_store(host, info);
    host->expires =
        net_loop_now(loop) + (host->status ? NET_RESOLVER_KEEP_FAILURE : NET_RESOLVER_KEEP);
    while (host->waiting.next != &host->waiting) {
        struct net_task *task = host->waiting.next;
        net_task_cancel(task);
        net_task_schedule(loop, NET_PHASE_INPUT, task);
    }
}

/* glibc calls a name unknown for which it had no descriptor to ask with. */
static int net_host_true_status(int status)
{
    int fd = status ? socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0) : -1;
    if (status && fd < 0 && (errno == EMFILE || errno == ENFILE))
        status = -errno;
    if (fd >= 0)
        close(fd);
    return status;
}

static void net_host_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *info)
{
    struct net_host *host = request->data;
    host->busy = false;
    if (host->resolver) {
        host->resolver->loop->outside--;
        net_host_settle(host, net_host_true_status(status), info);
    } else {
        free(host);
    }
    uv_freeaddrinfo(info);
}

/* Addresses need no thread: AI_NUMERICHOST asks nobody. */
static bool net_host_numeric(struct net_host *host)
{
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM};
    struct addrinfo *info;
    if (getaddrinfo(host->name, NULL, &hints, &info))
        return false;
    net_host_settle(host, 0, info);
    freeaddrinfo(info);
    return true;
}

static void net_host_look_up(struct net_host *host)
{
    struct net_loop *loop = host->resolver->loop;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    if (net_host_numeric(host))
        return;
    host->request.data = host;
    int status =
        uv_getaddrinfo(&loop->uv, &host->request, net_host_resolved, host->name, NULL, &hints);
    if (status) {
        net_host_settle(host, status, NULL);
    } else {
        host->busy = true;
        loop->outside++;
    }
}

static void net_lookup_fail(struct net_lookup *lookup, int status)
{
    struct err err;
    char name[NET_LABEL_TEXT];
    text_escape_utf8(name, sizeof name, lookup->host->name, strlen(lookup->host->name));
    if (status == UV_EAI_NONAME || status == UV_EAI_NODATA)
        err_set(&err, ERR_RETRY_LATER, "there is no host named %s: is it spelled right?", name);
    else
        err_set(&err, ERR_RETRY_LATER, "the host name %s cannot be looked up: %s", name,
                status == UV_EMFILE || status == UV_ENFILE ? err_errno_text(-status)
                                                           : uv_strerror(status));
    lookup->done(lookup->ctx, NULL, &err);
}

static void net_lookup_run(void *owner)
{
    struct net_lookup *lookup = owner;
    if (lookup->host->status)
        net_lookup_fail(lookup, lookup->host->status);
    else
        lookup->done(lookup->ctx, &lookup->host->found, NULL);
}

void net_lookup_start(struct net_lookup *lookup, struct net_resolver *resolver, const char *host,
                      void (*done)(void *ctx, const struct net_addresses *found,
                                   const struct err *err),
                      void *ctx)
{
    struct net_loop *loop = resolver->loop;
    *lookup = (struct net_lookup){.done = done, .ctx = ctx};
    lookup->host = net_resolver_host(resolver, host);
    net_task_init(&lookup->task, net_lookup_run, lookup);
    if (!lookup->host->busy && net_loop_now(loop) < lookup->host->expires) {
        net_task_schedule(loop, NET_PHASE_INPUT, &lookup->task);
        return;
    }
    struct net_task *head = &lookup->host->waiting;
    lookup->task.next = head;
    lookup->task.prev = head->prev;
    head->prev->next = &lookup->task;
    head->prev = &lookup->task;
    if (!lookup->host->busy)
        net_host_look_up(lookup->host);
}

void net_lookup_cancel(struct net_lookup *lookup)
{
    net_task_cancel(&lookup->task);
}
