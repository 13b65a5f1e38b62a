#include "collect/journal.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "net/loop.h"
#include "net/worker.h"

/* A commit's size is bounded so that its fsync comes soon and its memory stays small. The same few
 * pages and two syncs are written for one change and for hundreds: so a commit comes at once after
 * a quiet time, and else waits for company. */
enum {
    JOURNAL_BATCH_MAX = 1000,
    JOURNAL_BATCH_GOOD = 500, /* waits for no more */
    JOURNAL_INTERVAL = 25,    /* ms from the beginning of a commit to that of the next */
    JOURNAL_ATTEMPTS = 5,     /* at a commit that fails for a passing cause: a full disk … */
    JOURNAL_PAUSE = 1000,
    JOURNAL_TELL_AGAIN = 3600 * 1000, /* trouble that goes on is told again */
};

enum journal_task_type {
    JOURNAL_COMMIT,
    JOURNAL_LOAD,
    JOURNAL_PRUNE,
};

/* One thing for the worker to do; tasks are done one after the other. */
struct journal_task {
    struct net_job job; /* first: the worker hands it back */
    struct journal *journal;
    enum journal_task_type type;
    int result;
    struct err err;
    /* COMMIT */
    struct state_change *changes;
    void **owners;
    size_t count;
    unsigned attempts;
    /* LOAD */
    char *account;
    char *folder;
    uint32_t uidvalidity;
    uint32_t first_uid;
    struct state_folder loaded;
    void (*loaded_cb)(void *owner, struct state_folder *moved, const struct err *err);
    void *owner;
    /* PRUNE */
    int64_t folder_id;
    size_t keep;
    struct journal_task *next;
};

struct journal {
    struct net_loop *loop;
    struct net_worker *worker;
    struct state *state;
    const struct journal_events *events;
    void *ctx;
    struct net_deferred *pump;
    msec_t interval;
    msec_t commit_at; /* when the next commit waits for company no longer */
    struct net_timer *pace;
    struct net_timer *again;
    struct journal_task *repeated; /* waits for `again` */
    struct journal_task *first;    /* not yet with the worker, in order */
    struct journal_task *last;
    char *told; /* why the last commit failed that is tried again, as it was told; or NULL */
    msec_t told_at;
    bool patient;
    bool busy;   /* one task is with the worker */
    bool failed; /* the state could not be written: everything stops */
    bool closing;
    size_t lost; /* mails that were delivered, which is not on record */
};

static void journal_task_free(struct journal_task *task)
{
    for (size_t i = 0; i < task->count; i++) {
        free((char *)(uintptr_t)task->changes[i].note);
        free((char *)(uintptr_t)task->changes[i].limit);
        free((char *)(uintptr_t)task->changes[i].account);
    }
    free(task->changes);
    free(task->owners);
    free(task->account);
    free(task->folder);
    free(task);
}

static void journal_work(struct net_job *job)
{
    struct journal_task *task = (struct journal_task *)job;
    struct state *state = task->journal->state;
    switch (task->type) {
    case JOURNAL_COMMIT:
        task->result = state_commit(state, task->changes, task->count, &task->err);
        break;
    case JOURNAL_LOAD:
        task->result = state_load(state, task->account, task->folder, task->uidvalidity,
                                  task->first_uid, &task->loaded, &task->err);
        break;
    case JOURNAL_PRUNE:
        task->result = state_prune_old(state, task->folder_id, task->keep, &task->err);
        break;
    }
}

static void journal_report(struct journal *journal, struct journal_task *task)
{
    if (task->type == JOURNAL_LOAD) {
        task->loaded_cb(task->owner, task->result < 0 ? NULL : &task->loaded, &task->err);
        return;
    }
    /* A prune that failed leaves hashes for the next run to prune. */
    if (task->result < 0 && task->type == JOURNAL_COMMIT) {
        journal->failed = true;
        journal->events->failed(journal->ctx, &task->err);
        return;
    }
    for (size_t i = 0; i < task->count; i++)
        if (task->owners[i])
            journal->events->committed(task->owners[i], &task->changes[i]);
}

static void journal_again(void *ctx)
{
    struct journal *journal = ctx;
    struct journal_task *task = journal->repeated;
    journal->repeated = NULL;
    net_worker_submit(journal->worker, &task->job);
}

static bool journal_may_repeat(const struct journal *journal, const struct journal_task *task)
{
    return !journal->closing && task->type == JOURNAL_COMMIT && task->result < 0 &&
           task->err.action != ERR_GIVE_UP &&
           (journal->patient || task->attempts < JOURNAL_ATTEMPTS);
}

static void journal_lose(struct journal *journal, const struct journal_task *task)
{
    for (size_t i = 0; i < task->count; i++)
        journal->lost += task->changes[i].type == STATE_ADD_DELIVERED ||
                         task->changes[i].type == STATE_ADD_RECOGNISED;
}

/* Says when trouble begins, changes, has lasted for another hour, and when it is over. */
static void journal_tell_trouble(struct journal *journal, const struct err *err)
{
    msec_t now = net_loop_now(journal->loop);
    bool same = err ? journal->told && !strcmp(journal->told, err->text) : !journal->told;
    if (!journal->patient || (same && !(err && now - journal->told_at >= JOURNAL_TELL_AGAIN)))
        return;
    free(journal->told);
    journal->told = err ? mem_strdup(err->text) : NULL;
    journal->told_at = now;
    journal->events->troubled(journal->ctx, err);
}

static void journal_done(struct net_job *job)
{
    struct journal_task *task = (struct journal_task *)job;
    struct journal *journal = task->journal;
    if (journal_may_repeat(journal, task)) {
        task->attempts++;
        journal->repeated = task;
        net_timer_start(journal->again, JOURNAL_PAUSE);
        journal_tell_trouble(journal, &task->err);
        return;
    }
    journal->busy = false;
    if (task->type == JOURNAL_COMMIT && task->result == 0 && !journal->closing)
        journal_tell_trouble(journal, NULL);
    if (!journal->closing && !journal->failed)
        journal_report(journal, task);
    else if (task->type == JOURNAL_LOAD && task->result == 0)
        state_folder_release(&task->loaded);
    else if (task->type == JOURNAL_COMMIT && task->result < 0)
        journal->failed = true;
    if (task->type == JOURNAL_COMMIT && task->result < 0)
        journal_lose(journal, task);
    journal_task_free(task);
    if (!journal->closing)
        net_deferred_schedule(journal->pump);
}

static struct journal_task *journal_shift(struct journal *journal)
{
    struct journal_task *task = journal->first;
    if (task && !(journal->first = task->next))
        journal->last = NULL;
    return task;
}

/* Is it a commit that others may still join, with nothing behind it that waits? */
static bool journal_is_gathering(const struct journal_task *task)
{
    return task->type == JOURNAL_COMMIT && task->count < JOURNAL_BATCH_GOOD && !task->next;
}

static void journal_pump(void *ctx)
{
    struct journal *journal = ctx;
    if (journal->busy || journal->failed || !journal->first)
        return;
    struct journal_task *task = journal->first;
    msec_t now = net_loop_now(journal->loop);
    if (journal_is_gathering(task) && now < journal->commit_at) {
        net_timer_start(journal->pace, journal->commit_at - now);
        return;
    }
    if (task->type == JOURNAL_COMMIT)
        journal->commit_at = now + journal->interval;
    journal_shift(journal);
    journal->busy = true;
    net_worker_submit(journal->worker, &task->job);
}

struct journal *journal_new(struct net_loop *loop, struct state *state, bool patient,
                            const struct journal_events *events, void *ctx)
{
    struct journal *journal = mem_new(struct journal);
    journal->loop = loop;
    journal->worker = net_worker_new(loop);
    journal->state = state;
    journal->patient = patient;
    journal->events = events;
    journal->ctx = ctx;
    journal->pump = net_deferred_new(loop, journal_pump, journal);
    journal->interval = JOURNAL_INTERVAL;
    journal->pace = net_timer_new(loop, journal_pump, journal);
    journal->again = net_timer_new(loop, journal_again, journal);
    return journal;
}

void journal_set_interval(struct journal *journal, msec_t interval)
{
    journal->interval = interval;
}

/* Commits what is left, the worker being gone; nothing behind what failed, as the order counts. */
static void journal_flush(struct journal *journal)
{
    struct journal_task *task;
    while ((task = journal_shift(journal))) {
        if (task->type == JOURNAL_COMMIT && !journal->failed) {
            journal_work(&task->job);
            journal->failed = task->result < 0;
        }
        if (task->type == JOURNAL_COMMIT && journal->failed)
            journal_lose(journal, task);
        journal_task_free(task);
    }
}

size_t journal_free(struct journal *journal)
{
    if (!journal)
        return 0;
    journal->closing = true;
    net_worker_free(journal->worker);
    /* One that waits to be tried again is the first in line: it may be that there is room now. */
    if (journal->repeated) {
        journal->repeated->next = journal->first;
        journal->first = journal->repeated;
        journal->repeated = NULL;
    }
    journal_flush(journal);
    size_t lost = journal->lost;
    net_deferred_free(journal->pump);
    net_timer_free(journal->pace);
    net_timer_free(journal->again);
    free(journal->told);
    free(journal);
    return lost;
}

static struct journal_task *journal_append(struct journal *journal, enum journal_task_type type)
{
    struct journal_task *task = mem_new(struct journal_task);
    task->job.work = journal_work;
    task->job.done = journal_done;
    task->journal = journal;
    task->type = type;
    if (journal->last)
        journal->last->next = task;
    else
        journal->first = task;
    journal->last = task;
    net_deferred_schedule(journal->pump);
    return task;
}

void journal_load(struct journal *journal, const char *account, const char *folder,
                  uint32_t uidvalidity, uint32_t first_uid,
                  void (*loaded)(void *owner, struct state_folder *moved, const struct err *err),
                  void *owner)
{
    struct journal_task *task = journal_append(journal, JOURNAL_LOAD);
    task->account = mem_strdup(account);
    task->folder = mem_strdup(folder);
    task->uidvalidity = uidvalidity;
    task->first_uid = first_uid;
    task->loaded_cb = loaded;
    task->owner = owner;
}

/* The task that a change joins: the last in line, when it is a commit with room. */
static struct journal_task *journal_open_batch(struct journal *journal)
{
    struct journal_task *last = journal->last;
    if (last && last->type == JOURNAL_COMMIT && last->count < JOURNAL_BATCH_MAX)
        return last;

    struct journal_task *task = journal_append(journal, JOURNAL_COMMIT);
    task->changes = mem_realloc_array(NULL, JOURNAL_BATCH_MAX, sizeof *task->changes);
    task->owners = mem_realloc_array(NULL, JOURNAL_BATCH_MAX, sizeof *task->owners);
    return task;
}

void journal_add(struct journal *journal, void *owner, const struct state_change *change)
{
    struct journal_task *task = journal_open_batch(journal);
    struct state_change *copy = &task->changes[task->count];
    *copy = *change;
    copy->note = mem_strdup(change->note);
    copy->limit = mem_strdup(change->limit);
    copy->account = mem_strdup(change->account);
    task->owners[task->count++] = owner;
    if (task->count == JOURNAL_BATCH_GOOD)
        net_deferred_schedule(journal->pump);
}

void journal_prune_old(struct journal *journal, int64_t folder, size_t keep)
{
    struct journal_task *task = journal_append(journal, JOURNAL_PRUNE);
    task->folder_id = folder;
    task->keep = keep;
}
