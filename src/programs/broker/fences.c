#include "programs/broker/fences.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "fence/fence.h"
#include "programs/service.h"

/* Directories, each of its own. */
struct fences_list {
    char **paths;
    size_t count;
};

static void fences_add(struct fences_list *list, char *moved_path)
{
    if (!moved_path)
        return;
    list->paths = mem_realloc_array(list->paths, list->count + 1, sizeof *list->paths);
    list->paths[list->count++] = moved_path;
}

static void fences_free(struct fences_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->paths[i]);
    free(list->paths);
}

/* Where a file lies, and where it really does when it is a link. NULL does nothing. */
static void fences_add_directories(struct fences_list *list, const char *path)
{
    const char *slash = path ? strrchr(path, '/') : NULL;
    char *real = path ? realpath(path, NULL) : NULL;
    if (path) {
        char *directory = slash ? mem_strndup(path, (size_t)(slash - path) + 1) : mem_strdup(".");
        fences_add(list, directory);
    }
    if (real)
        strrchr(real, '/')[1] = '\0';
    fences_add(list, real);
}

static void fences_collect(const struct daemon_options *options, struct fences_list *readable,
                           struct fences_list *writable)
{
    for (size_t i = 0; i < options->auth_count; i++) {
        const char *path;
        bool database = daemon_auth_parse(options->auths[i], &path) >= DAEMON_AUTH_SQLITE;
        fences_add_directories(database ? writable : readable, path);
    }
    for (size_t i = 0; i < options->endpoint_count; i++) {
        fences_add_directories(readable, options->endpoints[i].cert);
        fences_add_directories(readable, options->endpoints[i].key);
    }
    fences_add_directories(readable, options->tls_cert);
    fences_add_directories(readable, options->tls_key);
    if (options->durable_count)
        fences_add(writable, mem_strdup(options->store));
}

void daemon_fences_files(const struct daemon_options *options)
{
    /* What addresses to listen on are looked up with, and what the metrics tell of the process. */
    static const char *const always[] = {
        "/etc/hosts",    "/etc/host.conf", "/etc/nsswitch.conf", "/etc/resolv.conf",
        "/etc/gai.conf", "/etc/services",  "/etc/ssl",           "/etc/ld.so.cache",
        "/lib",          "/lib64",         "/usr/lib",           "/usr/lib64",
        "/proc/self",
    };
    struct fences_list readable = {0}, writable = {0};
    struct err err;
    for (size_t i = 0; i < sizeof always / sizeof *always; i++)
        fences_add(&readable, mem_strdup(always[i]));
    fences_collect(options, &readable, &writable);
    const struct fence_settings settings = {
        .readable = (const char *const *)readable.paths,
        .readable_count = readable.count,
        .writable = (const char *const *)writable.paths,
        .writable_count = writable.count,
        .serves = true,
        .abstract = service_is_abstract(),
    };
    if (fence_up_files(&settings, &err))
        log_warning(NULL, "%s", err.text);
    fences_free(&readable);
    fences_free(&writable);
}

void daemon_fences_calls(void)
{
    struct err err;
    if (fence_up_calls(&(struct fence_settings){.serves = true}, &err))
        log_warning(NULL, "%s", err.text);
}
