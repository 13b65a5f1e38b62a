#include "programs/collector_fences.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "fence/fence.h"
#include "net/tls.h"
#include "programs/service.h"

/* The directory that a path leads to, or NULL. The caller frees it. */
static char *fences_directory(const char *path)
{
    char *real = path ? realpath(path, NULL) : NULL;
    char *slash = real ? strrchr(real, '/') : NULL;
    if (slash)
        slash[slash == real ? 1 : 0] = '\0';
    return real;
}

/* The clerk, whom no fence holds back, would run what was written there. */
static void fences_look_at(const char *path, const char *writable)
{
    char shown[200];
    char *real = realpath(path, NULL);
    size_t len = strlen(writable);
    len -= len && writable[len - 1] == '/';
    if (real && !strncmp(real, writable, len) && real[len] == '/')
        log_warning(
            NULL,
            "%s lies in the directory of the state, and so may be written by who takes this "
            "process over, with commands that are run outside of its fences: give the state "
            "(--state) a directory of its own",
            text_escape_utf8(shown, sizeof shown, path, strlen(path)));
    free(real);
}

/* What nsswitch.conf(5) names for host names. */
struct fences_lookups {
    bool others; /* some ask services of this machine: mdns4_minimal, mymachines … */
    bool resolve;
    bool dns; /* where "resolve" cannot ask its service, this does, over UDP */
};

static bool fences_is(const char *word, size_t len, const char *name)
{
    return len == strlen(name) && !memcmp(word, name, len);
}

/* One that is not there is passed over, as the C library does. */
static void fences_load(struct fences_lookups *lookups, const char *word, size_t len)
{
    char name[64];
    snprintf(name, sizeof name, "libnss_%.*s.so.2", (int)len, word);
    if (!dlopen(name, RTLD_NOW))
        return;
    if (fences_is(word, len, "resolve"))
        lookups->resolve = true;
    else if (fences_is(word, len, "dns"))
        lookups->dns = true;
    else if (!fences_is(word, len, "files") && !fences_is(word, len, "myhostname"))
        lookups->others = true;
}

/* "files mdns4_minimal [NOTFOUND=return] dns" */
static void fences_load_words(struct fences_lookups *lookups, const char *words)
{
    while (*words) {
        size_t len = strcspn(words, " \t[");
        if (len)
            fences_load(lookups, words, len);
        words += len;
        words += *words == '[' ? strcspn(words, "]") : 0;
        words += strspn(words, " \t]");
    }
}

/* What the C library loads when the first name is looked up, which would be too late: behind the
 * fences no file becomes code. Do they need to ask services of this machine? */
static bool fences_load_lookups(void)
{
    struct fences_lookups lookups = {0};
    char line[1024];
    FILE *file = fopen("/etc/nsswitch.conf", "re");
    while (file && fgets(line, sizeof line, file)) {
        const char *start = line + strspn(line, " \t");
        line[strcspn(line, "#\n")] = '\0';
        if (!strncmp(start, "hosts:", 6))
            fences_load_words(&lookups, start + 6);
    }
    if (file)
        fclose(file);
    return lookups.others || (lookups.resolve && !lookups.dns);
}

void collector_fences_up(const struct conf *conf, const char *state)
{
    bool asks = fences_load_lookups();
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
        .asks = asks,
        .abstract = service_is_abstract(),
    };
    struct err err;
    if (asks)
        log_info(NULL,
                 "names are looked up with services of this machine (hosts: in "
                 "/etc/nsswitch.conf): all that listens on Unix sockets stays open to the process");
    if (fence_up(&settings, &err) < 0)
        log_warning(NULL, "%s", err.text);
    if (writable) {
        fences_look_at(conf->feed_path, writable);
        fences_look_at(conf->mailbox_path, writable);
    }
    free(resolver);
    free(writable);
}
