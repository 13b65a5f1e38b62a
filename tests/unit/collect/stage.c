#include "stage.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "../net/driven.h"
#include "state/memory.h"

void stage_init(struct stage *stage)
{
    *stage = (struct stage){.loop = net_loop_new()};
    stage->log_file = open_memstream(&stage->log, &stage->log_len);
    assert_non_null(stage->log_file);
    log_setup(LOG_LEVEL_INFO, LOG_FORMAT_TEXT, stage->log_file);
    net_loop_drive(stage->loop);
    fake_sink_init(&stage->sink, stage->loop);
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
    net_loop_free(stage->loop);
    log_setup(LOG_LEVEL_INFO, LOG_FORMAT_TEXT, stderr);
    fclose(stage->log_file);
    free(stage->log);
}

struct trap *stage_add_trap(struct stage *stage, const char *label)
{
    assert_true(stage->trap_count < STAGE_TRAPS);
    struct trap *trap = trap_new(stage->loop, label);
    stage->traps[stage->trap_count++] = trap;
    return trap;
}

struct trap *stage_add_folders(struct stage *stage, const char *caps, const char *const *folders)
{
    struct trap *trap = stage_add_trap(stage, "trap");
    trap->caps = caps;
    for (size_t i = 0; folders[i]; i++) {
        trap->folders[i] = folders[i];
        trap->account.folder_count = i + 1;
    }
    stage->settings.continuous = true;
    return trap;
}

static void stage_finished(void *ctx, enum collector_outcome outcome, const struct err *err)
{
    struct stage *stage = ctx;
    (void)err;
    stage->finished = true;
    stage->outcome = outcome;
}

void stage_reload(struct stage *stage)
{
    struct collect_account accounts[STAGE_TRAPS];
    size_t count = 0;
    for (size_t i = 0; i < stage->trap_count; i++)
        if (!stage->traps[i]->dismissed)
            accounts[count++] = stage->traps[i]->account;
    collector_set_accounts(stage->collector, accounts, count);
}

void stage_start(struct stage *stage)
{
    stage_end_collector(stage);
    stage->finished = false;
    if (stage->sink.freed)
        fake_sink_renew(&stage->sink);
    struct sink *sink = stage->new_sink ? stage->new_sink(stage->new_sink_ctx) : &stage->sink.sink;
    stage->collector =
        collector_new(stage->loop, &stage->settings, sink, stage->state, stage_finished, stage);
    stage_reload(stage);
    collector_start(stage->collector);
}

static void stage_deliver(struct stage *stage, struct trap *trap, const char *box, size_t size,
                          struct buf *body)
{
    buf_clear(body);
    buf_printf(body, "%zu in %s:", stage->mailed++, trap->account.label);
    while (body->len < size)
        buf_add_byte(body, '.');
    trap_deliver(trap, box, buf_cstr(body));
}

void stage_mail(struct stage *stage, struct trap *trap, size_t count, size_t size)
{
    struct buf body = {0};
    for (size_t i = 0; i < count; i++)
        stage_deliver(stage, trap, "INBOX", size, &body);
    buf_release(&body);
}

/* What stage_expect_mail() is to see. */
static const char *awaited_body;

static bool stage_has_taken_body(struct stage *stage)
{
    return fake_sink_taken(&stage->sink, awaited_body);
}

void stage_expect_mail(struct stage *stage, struct trap *trap, const char *box, msec_t within)
{
    struct buf body = {0};
    stage_deliver(stage, trap, box, 0, &body);
    awaited_body = buf_cstr(&body);
    stage_await(stage, within, stage_has_taken_body);
    buf_release(&body);
}

void stage_assert_mailed(struct stage *stage)
{
    bool *taken = mem_zalloc((stage->mailed + 1) * sizeof *taken);
    for (size_t i = 0; i < stage->sink.taken_count; i++) {
        size_t number = strtoul(stage->sink.taken[i], NULL, 10);
        assert_true(number < stage->mailed);
        if (taken[number])
            stage_fail(stage, stage->sink.taken[i]);
        taken[number] = true;
    }
    free(taken);
    if (stage->sink.taken_count != stage->mailed)
        stage_fail(stage, "not all were taken");
    for (size_t i = 0; i < stage->trap_count; i++)
        if (box_unseen(trap_box(stage->traps[i], "INBOX")))
            stage_fail(stage, "not all are marked");
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

/* A stage's condition, as driven.h asks for it. */
struct stage_wait {
    struct stage *stage;
    bool (*holds)(struct stage *stage);
};

static bool stage_holds(void *ctx)
{
    const struct stage_wait *wait = ctx;
    return wait->holds(wait->stage);
}

void stage_settle(struct stage *stage)
{
    driven_settle(stage->loop, NULL, NULL);
}

void stage_await(struct stage *stage, msec_t within, bool (*holds)(struct stage *stage))
{
    struct stage_wait wait = {stage, holds};
    const char *why = driven_await(stage->loop, within, stage_holds, &wait);
    if (why)
        stage_fail(stage, why);
}

void stage_pass(struct stage *stage, msec_t by)
{
    driven_pass(stage->loop, by);
}

/* What stage_await() is to see; there is one stage at a time. */
static size_t awaited;

static bool stage_has_offered(struct stage *stage)
{
    return stage->sink.offered >= awaited;
}

void stage_await_offered(struct stage *stage, msec_t within, size_t count)
{
    awaited = count;
    stage_await(stage, within, stage_has_offered);
}

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
