#include "stage.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "state/memory.h"

enum {
    /* In real time: twice so long must nobody have anything to do before the clock jumps. What one
     * end of a connection writes the other has at once, unless the machine is very busy. */
    STAGE_QUIET = 8,
    /* So often must it be quiet with nothing due before that is believed. */
    STAGE_PATIENCE = 1000,
};

static void stage_active(void *ctx)
{
    struct stage *stage = ctx;
    stage->quiet_for = 0;
    net_timer_start(stage->quiet, STAGE_QUIET);
    if (stage->holds && stage->holds(stage))
        net_loop_stop(stage->loop);
}

static void stage_quiet(void *ctx)
{
    struct stage *stage = ctx;
    /* Twice: the first time the turn before may just have taken that long, and nobody has had a
     * look at the sockets since. */
    stage->quiet_for = net_loop_outside(stage->loop) ? 0 : stage->quiet_for + 1;
    if (stage->quiet_for < 2)
        net_timer_start(stage->quiet, STAGE_QUIET);
    else
        net_loop_stop(stage->loop);
}

void stage_init(struct stage *stage)
{
    *stage = (struct stage){.loop = net_loop_new()};
    stage->log_file = open_memstream(&stage->log, &stage->log_len);
    assert_non_null(stage->log_file);
    log_setup(LOG_LEVEL_INFO, LOG_FORMAT_TEXT, stage->log_file);
    stage->quiet = net_timer_new(stage->loop, stage_quiet, stage);
    fake_sink_init(&stage->sink, stage->loop, stage_active, stage);
    stage->state = state_memory_new();
    collector_settings_init(&stage->settings);
    stage->settings.payload = PAYLOAD_RAW;
}

static void stage_end_collector(struct stage *stage)
{
    if (!stage->collector)
        return;
    collector_free(stage->collector);
    stage->collector = NULL;
}

void stage_release(struct stage *stage)
{
    stage_end_collector(stage);
    for (size_t i = 0; i < stage->trap_count; i++)
        trap_free(stage->traps[i]);
    fake_sink_release(&stage->sink);
    state_free(stage->state);
    net_timer_free(stage->quiet);
    net_loop_free(stage->loop);
    log_setup(LOG_LEVEL_INFO, LOG_FORMAT_TEXT, stderr);
    fclose(stage->log_file);
    free(stage->log);
}

struct trap *stage_add_trap(struct stage *stage, const char *label)
{
    assert_true(stage->trap_count < STAGE_TRAPS);
    struct trap *trap = trap_new(stage->loop, label, stage_active, stage);
    stage->traps[stage->trap_count++] = trap;
    return trap;
}

static void stage_finished(void *ctx, enum collector_outcome outcome, const struct err *err)
{
    struct stage *stage = ctx;
    (void)err;
    stage->finished = true;
    stage->outcome = outcome;
    stage_active(stage);
}

void stage_reload(struct stage *stage)
{
    struct collect_account accounts[STAGE_TRAPS];
    for (size_t i = 0; i < stage->trap_count; i++)
        accounts[i] = stage->traps[i]->account;
    collector_set_accounts(stage->collector, accounts, stage->trap_count);
}

void stage_start(struct stage *stage)
{
    stage_end_collector(stage);
    stage->finished = false;
    if (stage->sink.freed)
        fake_sink_renew(&stage->sink);
    stage->collector = collector_new(stage->loop, &stage->settings, &stage->sink.sink, stage->state,
                                     stage_finished, stage);
    stage_reload(stage);
    collector_start(stage->collector);
}

void stage_fail(struct stage *stage, const char *why)
{
    struct buf said = {0};
    fflush(stage->log_file);
    for (size_t i = 0; i < stage->trap_count; i++)
        buf_printf(&said, "--- %s was told:\n%s", stage->traps[i]->account.label,
                   buf_cstr(&stage->traps[i]->log));
    /* cmocka's own message would be cut. */
    fprintf(stderr, "%s--- the collector's log:\n%s--- %zu mails were taken, %zu offered\n",
            buf_cstr(&said), stage->log, stage->sink.taken_count, stage->sink.offered);
    buf_release(&said);
    fail_msg("%s", why);
}

static bool stage_holds(struct stage *stage)
{
    return stage->holds && stage->holds(stage);
}

/* Until `holds`, or until all is quiet. */
static void stage_run(struct stage *stage)
{
    stage->quiet_for = 0;
    net_timer_start(stage->quiet, STAGE_QUIET);
    while (stage->quiet_for < 2 && !stage_holds(stage))
        net_loop_run(stage->loop);
    net_timer_stop(stage->quiet);
}

void stage_settle(struct stage *stage)
{
    stage->holds = NULL;
    stage_run(stage);
}

/* Until `holds`, or until `until`. True: it holds. */
static bool stage_drive(struct stage *stage, msec_t until, const char **ret_why)
{
    for (int idle = 0;;) {
        stage_run(stage);
        msec_t now = net_loop_now(stage->loop), after;
        if (stage_holds(stage))
            return true;
        bool nothing = !net_loop_next_due(stage->loop, &after);
        if (nothing && now < until && ++idle < STAGE_PATIENCE)
            continue;
        *ret_why = nothing ? "nothing is left to happen" : "it did not happen in time";
        if (now >= until || nothing || after > until - now)
            return false;
        net_loop_skip(stage->loop, after);
    }
}

void stage_await(struct stage *stage, msec_t within, bool (*holds)(struct stage *stage))
{
    const char *why = NULL;
    stage->holds = holds;
    bool held = stage_drive(stage, net_loop_now(stage->loop) + within, &why);
    stage->holds = NULL;
    if (!held)
        stage_fail(stage, why);
}

void stage_pass(struct stage *stage, msec_t by)
{
    const char *why = NULL;
    msec_t until = net_loop_now(stage->loop) + by, now;
    stage->holds = NULL;
    stage_drive(stage, until, &why);
    if ((now = net_loop_now(stage->loop)) < until)
        net_loop_skip(stage->loop, until - now);
    stage_run(stage);
}

/* What stage_await() is to see; there is one stage at a time. */
static size_t awaited;

static bool stage_has_taken(struct stage *stage)
{
    return stage->sink.taken_count >= awaited;
}

void stage_await_taken(struct stage *stage, msec_t within, size_t count)
{
    awaited = count;
    stage_await(stage, within, stage_has_taken);
}

static bool stage_all_idle(struct stage *stage)
{
    for (size_t i = 0; i < stage->trap_count; i++)
        if (trap_idling(stage->traps[i]) != awaited)
            return false;
    return true;
}

void stage_await_idling(struct stage *stage, msec_t within, unsigned each)
{
    awaited = each;
    stage_await(stage, within, stage_all_idle);
}

static bool stage_has_finished(struct stage *stage)
{
    return stage->finished;
}

void stage_await_finished(struct stage *stage, msec_t within)
{
    stage_await(stage, within, stage_has_finished);
}

void stage_assert_taken(const struct stage *stage, const char *const *bodies, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (fake_sink_taken(&stage->sink, bodies[i]) != 1)
            fail_msg("\"%s\" was taken %zu times", bodies[i],
                     fake_sink_taken(&stage->sink, bodies[i]));
    assert_int_equal(stage->sink.taken_count, count);
}

unsigned stage_logged(struct stage *stage, const char *part)
{
    unsigned count = 0;
    fflush(stage->log_file);
    for (const char *at = stage->log; at && (at = strstr(at, part)); count++)
        at = strchr(at, '\n');
    return count;
}
