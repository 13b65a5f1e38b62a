/* Both configuration files from the same bytes: what is not valid must be reported, what is valid
 * must be whole. Nothing is run. */
#include <stdint.h>
#include <stdlib.h>

#include "conf/feed.h"
#include "conf/file.h"
#include "conf/mailboxes.h"
#include "conf/pool.h"
#include "conf/report.h"
#include "conf/secret.h"
#include "conf/yaml.h"
#include "libfyaml_leak.h"

struct fuzz_conf {
    struct conf conf;
    struct conf_report report;
    struct conf_secrets secrets;
    struct conf_pool pool;
    struct conf_pool nodes;
    struct conf_file file;
    const struct conf_secret *feed_secret;
    const struct conf_secret **mailbox_secrets;
};

static void fuzz_conf_check_mailboxes(const struct fuzz_conf *fuzz)
{
    const struct conf *conf = &fuzz->conf;
    if (!conf->mailbox_count)
        abort();
    for (size_t i = 0; i < conf->mailbox_count; i++) {
        const struct conf_mailbox *mailbox = &conf->mailboxes[i];
        bool named = mailbox->after == CONF_AFTER_MOVE || mailbox->after == CONF_AFTER_KEYWORD;
        if (!mailbox->label || !mailbox->username || !mailbox->host || !mailbox->port ||
            !mailbox->folder_count || named != (mailbox->after_name != NULL))
            abort();
        if (!mailbox->password && !fuzz->mailbox_secrets[i])
            abort();
    }
}

static void fuzz_conf_check_limits(const struct conf_limits *limits)
{
    if (limits->memory_budget < 4 << 20 || limits->hosts[limits->host_count - 1].host)
        abort();
    for (size_t i = 0; i < limits->host_count; i++)
        if (!(limits->hosts[i].logins_per_second > 0))
            abort();
}

static void fuzz_conf_read(struct fuzz_conf *fuzz, const uint8_t *data, size_t len, bool feed)
{
    const struct conf_yaml *root;
    conf_file_init(&fuzz->file, "/nonexistent/fuzz.yml", 0);
    fuzz->file.report = &fuzz->report;
    fuzz->file.pool = &fuzz->pool;
    fuzz->file.secrets = &fuzz->secrets;
    buf_add(&fuzz->file.content, data, len);
    if (conf_file_check(&fuzz->file) < 0 || conf_yaml_load(&fuzz->file, &fuzz->nodes, &root) < 0) {
        if (!fuzz->report.errors)
            abort();
    } else if (feed) {
        conf_feed_read(&fuzz->file, root, &fuzz->conf.feed, &fuzz->feed_secret);
    } else {
        conf_mailboxes_read(&fuzz->file, root, false, &fuzz->conf, &fuzz->mailbox_secrets);
        fuzz_conf_check_limits(&fuzz->conf.limits);
        if (!fuzz->report.errors)
            fuzz_conf_check_mailboxes(fuzz);
    }
}

static void fuzz_conf_release(struct fuzz_conf *fuzz)
{
    struct conf_problems problems;
    conf_report_finish(&fuzz->report, &problems);
    conf_problems_release(&problems);
    conf_file_release(&fuzz->file);
    conf_secrets_release(&fuzz->secrets);
    conf_pool_release(&fuzz->nodes);
    conf_pool_release(&fuzz->pool);
    free(fuzz->mailbox_secrets);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (int feed = 0; feed < 2; feed++) {
        struct fuzz_conf fuzz = {0};
        fuzz_conf_read(&fuzz, data, size, feed);
        fuzz_conf_release(&fuzz);
    }
    return 0;
}
