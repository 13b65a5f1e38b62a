#include "programs/collector_fences.h"

#include <dlfcn.h>
#include <stdio.h>
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

/* nsswitch.conf(5): "hosts: files mdns4_minimal [NOTFOUND=return] dns". One that is not there is
 * passed over, as the C library does. */
static void fences_load_words(char *words)
{
    char name[64];
    while (*words) {
        size_t len = strcspn(words, " \t[");
        if (len) {
            snprintf(name, sizeof name, "libnss_%.*s.so.2", (int)len, words);
            dlopen(name, RTLD_NOW);
        }
        words += len;
        words += *words == '[' ? strcspn(words, "]") : 0;
        words += strspn(words, " \t]");
    }
}

/* What the C library loads when the first name is looked up, which would be too late: behind the
 * fences no file becomes code. */
static void fences_load_lookups(void)
{
    char line[1024];
    FILE *file = fopen("/etc/nsswitch.conf", "re");
    while (file && fgets(line, sizeof line, file)) {
        char *start = line + strspn(line, " \t");
        line[strcspn(line, "#\n")] = '\0';
        if (!strncmp(start, "hosts:", 6))
            fences_load_words(start + 6);
    }
    if (file)
        fclose(file);
}

void collector_fences_up(const char *state)
{
    fences_load_lookups();
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
        .writable = (const char *const *)&writable,
        .writable_count = writable ? 1 : 0,
    };
    struct err err;
    if (fence_up(&settings, &err) < 0)
        log_warning(NULL, "%s", err.text);
    free(resolver);
    free(writable);
}
