#include "programs/collector_limits.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"

enum {
    LIMITS_LEAST_FILES = 20,
    LIMITS_OTHER_FILES = 64, /* broker, state, log, and what is open for a moment */
    LIMITS_HOST_SHOWN = 200,
};

int limits_raise(struct err *err)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit))
        return 0;
    if (limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    if (limit.rlim_cur < LIMITS_LEAST_FILES)
        return err_set(
            err, ERR_GIVE_UP,
            "too many open files: only %llu are allowed, and one mailbox takes %d: raise "
            "the limit (`ulimit -Hn`)",
            (unsigned long long)limit.rlim_cur, LIMITS_LEAST_FILES);
    return 0;
}

/* Of one mailbox, at most: a connection for each folder. */
static size_t limits_connections(const struct conf_mailbox *mailbox)
{
    return mailbox->folder_count < mailbox->max_connections ? mailbox->folder_count
                                                            : mailbox->max_connections;
}

static void limits_check_files(const struct conf *conf)
{
    struct rlimit limit;
    size_t wanted = LIMITS_OTHER_FILES;
    for (size_t i = 0; i < conf->mailbox_count; i++)
        wanted += limits_connections(&conf->mailboxes[i]);
    if (!getrlimit(RLIMIT_NOFILE, &limit) && wanted > limit.rlim_cur)
        log_warning(NULL,
                    "%zu mailboxes may need %zu open files, and only %llu are allowed: raise the "
                    "limit (LimitNOFILE= of the service, `ulimit -Hn` of a shell), or lower "
                    "max_connections",
                    conf->mailbox_count, wanted, (unsigned long long)limit.rlim_cur);
}

static int limits_compare_hosts(const void *a, const void *b)
{
    const struct conf_mailbox *const *one = a, *const *other = b;
    return strcasecmp((*one)->host, (*other)->host);
}

static void limits_check_host(const struct conf *conf, const char *host, size_t mailboxes)
{
    char shown[LIMITS_HOST_SHOWN];
    unsigned connections = conf_limits_of_host(&conf->limits, host)->connections;
    if (connections && mailboxes > connections)
        log_warning(NULL,
                    "%zu mailboxes at %s share %u connections and take turns, so that new mail "
                    "waits: if the server allows more, raise connections_per_host of this host "
                    "(limits, hosts)",
                    mailboxes, text_escape_utf8(shown, sizeof shown, host, strlen(host)),
                    connections);
}

static void limits_check_hosts(const struct conf *conf)
{
    const struct conf_mailbox **by_host =
        mem_realloc_array(NULL, conf->mailbox_count, sizeof *by_host);
    for (size_t i = 0; i < conf->mailbox_count; i++)
        by_host[i] = &conf->mailboxes[i];
    qsort(by_host, conf->mailbox_count, sizeof *by_host, limits_compare_hosts);
    for (size_t i = 0, first = 0; i < conf->mailbox_count; i++) {
        if (i + 1 < conf->mailbox_count && !limits_compare_hosts(&by_host[i], &by_host[i + 1]))
            continue;
        limits_check_host(conf, by_host[first]->host, i + 1 - first);
        first = i + 1;
    }
    free(by_host);
}

void limits_check(const struct conf *conf)
{
    limits_check_files(conf);
    limits_check_hosts(conf);
}
