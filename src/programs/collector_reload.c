#include "programs/collector_reload.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "net/worker.h"

struct reload {
    struct net_job job; /* first: the worker's callbacks get only this */
    struct net_worker *worker;
    const struct collector_options *options;
    struct clerk *clerk;
    reload_loaded_fn *loaded;
    void *ctx;
    bool busy;  /* the job is the worker's */
    bool again; /* asked for meanwhile */
    bool ending;
    /* What came of it. */
    struct conf *conf;
    struct conf_problems problems;
};

/* `-m <(decrypt …)`: it was read to its end at the start, and would be waited for for ever. */
static bool reload_is_pipe(const char *path)
{
    struct stat info;
    return path && stat(path, &info) == 0 && S_ISFIFO(info.st_mode);
}

static void reload_refuse_pipe(struct reload *reload, const char *path)
{
    reload->problems.items = mem_new(struct conf_problem);
    reload->problems.items[0].text =
        mem_printf("%s: is a pipe, which gives its content once: restart to change it", path);
    reload->problems.count = reload->problems.errors = 1;
}

static void reload_work(struct net_job *job)
{
    struct reload *reload = (struct reload *)job;
    const struct collector_options *options = reload->options;
    if (reload_is_pipe(options->feed_config))
        reload_refuse_pipe(reload, options->feed_config);
    else if (reload_is_pipe(options->mailbox_config))
        reload_refuse_pipe(reload, options->mailbox_config);
    else
        clerk_load(reload->clerk, &reload->conf, &reload->problems);
}

static void reload_begin(struct reload *reload)
{
    reload->busy = true;
    reload->again = false;
    net_worker_submit(reload->worker, &reload->job);
}

static void reload_done(struct net_job *job)
{
    struct reload *reload = (struct reload *)job;
    struct conf *conf = reload->conf;
    struct conf_problems problems = reload->problems;
    reload->conf = NULL;
    reload->problems = (struct conf_problems){0};
    reload->busy = false;
    if (!reload->ending && !reload->again)
        reload->loaded(reload->ctx, conf, &problems);
    clerk_forget(reload->clerk);
    conf_problems_release(&problems);
    if (reload->again && !reload->ending)
        reload_begin(reload);
}

struct reload *reload_new(struct net_loop *loop, const struct collector_options *options,
                          struct clerk *clerk, reload_loaded_fn *loaded, void *ctx)
{
    struct reload *reload = mem_new(struct reload);
    reload->job = (struct net_job){.work = reload_work, .done = reload_done};
    reload->worker = net_worker_new(loop);
    reload->options = options;
    reload->clerk = clerk;
    reload->loaded = loaded;
    reload->ctx = ctx;
    return reload;
}

void reload_request(struct reload *reload)
{
    if (!reload->busy) {
        reload_begin(reload);
        return;
    }
    reload->again = true;
    clerk_cancel(reload->clerk);
}

void reload_free(struct reload *reload)
{
    if (!reload)
        return;
    reload->ending = true;
    clerk_cancel(reload->clerk);
    net_worker_free(reload->worker);
    free(reload);
}
