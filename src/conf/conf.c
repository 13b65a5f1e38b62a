#include "conf/conf.h"

#include <malloc.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "conf/command.h"
#include "conf/feed.h"
#include "conf/file.h"
#include "conf/mailboxes.h"
#include "conf/place.h"
#include "conf/pool.h"
#include "conf/report.h"
#include "conf/secret.h"
#include "conf/yaml.h"

/* What conf_load() gives out: everything in `conf` lies in `pool`. */
struct conf_whole {
    struct conf conf; /* first: conf_free() gets only this */
    struct conf_pool pool;
};

/* The work of one conf_load(). */
struct conf_loader {
    struct conf_whole *whole;
    struct conf_report report;
    struct conf_secrets secrets;
    struct conf_pool nodes;
    struct conf_file feed;
    struct conf_file mailboxes;
    const struct conf_secret *feed_secret;
    const struct conf_secret **mailbox_secrets;
};

/* The names a file may have when none is given. */
struct conf_default {
    const char *first;
    const char *second;
    const char *option;
};

static const struct conf_default conf_default_feed = {"feed_config.yml", "feed_config.yaml", "-f"};
static const struct conf_default conf_default_mailboxes = {"mailbox_credentials.yml",
                                                           "mailbox_credentials.yaml", "-m"};

/* Finds, reads and parses one file. Returns -1, reported; or 0 and its root. */
static int conf_load_file(struct conf_loader *loader, struct conf_file *file, const char *path,
                          const struct conf_default *names, unsigned order,
                          const struct conf_yaml **ret_root)
{
    bool found = path;
    if (!path) {
        bool first = access(names->first, F_OK) == 0;
        found = first || access(names->second, F_OK) == 0;
        path = found && !first ? names->second : names->first;
    }
    conf_file_init(file, path, order);
    file->report = &loader->report;
    file->pool = &loader->whole->pool;
    file->secrets = &loader->secrets;
    if (!found) {
        conf_file_error(file, NULL, "is not here, nor is %s: name the file with %s", names->second,
                        names->option);
        return -1;
    }
    if (conf_file_read(file) < 0)
        return -1;
    return conf_yaml_load(file, &loader->nodes, ret_root);
}

static void conf_load_feed(struct conf_loader *loader, const char *path)
{
    struct conf_file *file = &loader->feed;
    const struct conf_yaml *root;
    if (conf_load_file(loader, file, path, &conf_default_feed, 0, &root) == 0)
        conf_feed_read(file, root, &loader->whole->conf.feed, &loader->feed_secret);
    conf_file_check_mode(file);
    loader->whole->conf.feed_path = conf_pool_intern(file->pool, file->path, strlen(file->path));
}

static void conf_load_mailboxes(struct conf_loader *loader, const char *path, bool delete_after)
{
    struct conf_file *file = &loader->mailboxes;
    struct conf *conf = &loader->whole->conf;
    const struct conf_yaml *root;
    if (conf_load_file(loader, file, path, &conf_default_mailboxes, 1, &root) == 0)
        conf_mailboxes_read(file, root, delete_after, conf, &loader->mailbox_secrets);
    conf_file_check_mode(file);
    conf->mailbox_path = conf_pool_intern(file->pool, file->path, strlen(file->path));
}

/* Commands may reach out for their secret, so they run only when all else is right. */
static void conf_load_secrets(struct conf_loader *loader, const atomic_bool *cancelled)
{
    struct conf *conf = &loader->whole->conf;
    if (loader->report.errors)
        return;
    conf_secrets_run(&loader->secrets, CONF_COMMAND_TIME_LIMIT, cancelled);
    if (loader->feed_secret)
        conf->feed.secret = loader->feed_secret->value;
    for (size_t i = 0; i < conf->mailbox_count; i++)
        if (loader->mailbox_secrets[i])
            conf->mailboxes[i].password = loader->mailbox_secrets[i]->value;
}

static void conf_loader_release(struct conf_loader *loader)
{
    conf_file_release(&loader->feed);
    conf_file_release(&loader->mailboxes);
    conf_secrets_release(&loader->secrets);
    conf_pool_release(&loader->nodes);
    free(loader->mailbox_secrets);
#ifdef __GLIBC__
    /* The tree of a large file is many times what stays, which lies between its pieces. */
    malloc_trim(0);
#endif
}

/* Into `whole`, which is empty. Returns -1 when there was an error. */
static int conf_load_whole(struct conf_whole *whole, const char *feed_path,
                           const char *mailbox_path, bool delete_after,
                           const atomic_bool *cancelled, struct conf_problems *ret_problems)
{
    struct conf_loader loader = {.whole = whole};
    conf_load_feed(&loader, feed_path);
    conf_load_mailboxes(&loader, mailbox_path, delete_after);
    conf_load_secrets(&loader, cancelled);
    conf_loader_release(&loader);
    conf_pool_seal(&whole->pool);
    bool failed = loader.report.errors;
    conf_report_finish(&loader.report, ret_problems);
    return failed ? -1 : 0;
}

int conf_load(const char *feed_path, const char *mailbox_path, bool delete_after,
              const atomic_bool *cancelled, struct conf **ret_conf,
              struct conf_problems *ret_problems)
{
    struct conf_whole *whole = mem_new(struct conf_whole);
    if (conf_load_whole(whole, feed_path, mailbox_path, delete_after, cancelled, ret_problems)) {
        conf_free(&whole->conf);
        return -1;
    }
    *ret_conf = &whole->conf;
    return 0;
}

int conf_load_into(struct conf_place *place, const char *feed_path, const char *mailbox_path,
                   bool delete_after, const atomic_bool *cancelled, struct conf **ret_conf,
                   struct conf_problems *ret_problems)
{
    struct conf_whole *whole = conf_place_cut(place, sizeof *whole, alignof(max_align_t));
    whole->pool.place = place;
    if (conf_load_whole(whole, feed_path, mailbox_path, delete_after, cancelled, ret_problems)) {
        conf_place_clear(place);
        return -1;
    }
    *ret_conf = &whole->conf;
    return 0;
}

void conf_free(struct conf *conf)
{
    struct conf_whole *whole = (struct conf_whole *)conf;
    if (!whole)
        return;
    conf_pool_release(&whole->pool);
    free(whole);
}
