#include "programs/collector_fences.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "fence/fence.h"
#include "net/tls.h"

/* The directory that a path leads to, or NULL. The caller frees it. */
static char *fences_directory(const char *path)
{
    char *real = path ? realpath(path, NULL) : NULL;
    char *slash = real ? strrchr(real, '/') : NULL;
    if (slash)
        slash[slash == real ? 1 : 0] = '\0';
    return real;
}

void collector_fences_up(const char *state)
{
    char *resolver = fences_directory("/etc/resolv.conf"); /* a link, often to somewhere in /run */
    char *writable = fences_directory(state);
    const char *const readable[] = {
        net_tls_system_file(),
        net_tls_system_directory(),
        /* what the links in that directory lead to */
        "/usr/share/ca-certificates",
        "/usr/local/share/ca-certificates",
        "/etc",
        "/lib",
        "/lib64",
        "/usr/lib",
        "/usr/lib64",
        resolver ? resolver : "/etc",
    };
    const struct fence_settings settings = {
        .readable = readable,
        .readable_count = sizeof readable / sizeof *readable,
        .writable = writable,
    };
    struct err err;
    if (fence_up(&settings, &err) < 0)
        log_warning(NULL, "%s", err.text);
    free(resolver);
    free(writable);
}
