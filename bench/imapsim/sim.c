/* Listening, delivering, and faults. */
#include "imapsim/sim.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/num.h"
#include "imapsim/session.h"
#include "net/conn.h"
#include "net/loop.h"
#include "net/tls.h"

enum {
    SIM_TICK = 10, /* ms between portions of `rate` */
};

static const struct {
    const char *name;
    unsigned cap;
} sim_caps[] = {
    {"IDLE", SIM_CAP_IDLE},        {"UIDPLUS", SIM_CAP_UIDPLUS},
    {"ESEARCH", SIM_CAP_ESEARCH},  {"ID", SIM_CAP_ID},
    {"SASL-IR", SIM_CAP_SASL_IR},  {"MOVE", SIM_CAP_MOVE},
    {"AUTH=PLAIN", SIM_CAP_PLAIN}, {"SPECIAL-USE", SIM_CAP_SPECIAL_USE},
};

/* What is announced is what is done. */
static unsigned sim_parse_caps(const char *text)
{
    unsigned caps = 0;
    for (size_t len; *text; text += len + (text[len] == ' ')) {
        len = strcspn(text, " ");
        for (size_t i = 0; i < sizeof sim_caps / sizeof *sim_caps; i++)
            if (strlen(sim_caps[i].name) == len && strncasecmp(text, sim_caps[i].name, len) == 0)
                caps |= sim_caps[i].cap;
    }
    return caps;
}

static void sim_accepted(void *ctx, struct net_conn *conn)
{
    sim_session_start(ctx, conn);
}

static const struct net_listener_events sim_listener_events = {.accepted = sim_accepted};

static int sim_listen(struct sim *sim, struct err *err)
{
    for (unsigned i = 0; i < SIM_PORTS; i++) {
        if (!sim->settings.listens[i] || sim->listeners[i])
            continue;
        if (net_listener_new(sim->loop, sim->settings.host, sim->settings.ports[i],
                             i == SIM_PORT_TLS ? sim->tls : NULL, &sim_listener_events, sim,
                             &sim->listeners[i], err))
            return -1;
        sim->settings.ports[i] = net_listener_port(sim->listeners[i]);
    }
    sim->stats.listening = 1;
    sim_counted(sim);
    return 0;
}

static void sim_restarted(void *ctx)
{
    struct sim *sim = ctx;
    if (sim_listen(sim, NULL)) /* somebody else has the port: once more */
        net_timer_start(sim->restart, 1000);
}

static void sim_rate_tick(void *ctx)
{
    struct sim *sim = ctx;
    uint64_t now = net_loop_now(sim->loop);
    sim->rate_due += (now - sim->rate_at) * sim->rate_per_second;
    sim->rate_at = now;
    for (; sim->rate_due >= 1000 && sim->rate_left; sim->rate_due -= 1000, sim->rate_left--)
        sim_deliver(sim, &sim->boxes[sim_random(&sim->dice) % sim->settings.boxes], NULL);
    if (sim->rate_left)
        net_timer_start(sim->rate, SIM_TICK);
}

int sim_start(struct sim *sim, struct net_loop *loop, const struct sim_settings *settings,
              uint32_t mails, struct err *err)
{
    sim->loop = loop;
    sim->settings = *settings;
    sim->dice = settings->seed;
    sim->caps = sim_parse_caps(settings->capabilities);
    sim->boxes = mem_zalloc(settings->boxes * sizeof *sim->boxes);
    for (uint32_t i = 0; i < settings->boxes; i++) {
        sim_box_init(&sim->boxes[i], i + 1);
        for (uint32_t j = 0; j < mails; j++)
            sim_box_deliver(&sim->boxes[i]);
    }
    sim->restart = net_timer_new(loop, sim_restarted, sim);
    sim->rate = net_timer_new(loop, sim_rate_tick, sim);
    if (settings->listens[SIM_PORT_TLS] &&
        net_tls_server_new(settings->cert, settings->key, &sim->tls, err))
        return -1;
    return sim_listen(sim, err);
}

static void sim_stop_listening(struct sim *sim)
{
    for (unsigned i = 0; i < SIM_PORTS; i++) {
        net_listener_free(sim->listeners[i]);
        sim->listeners[i] = NULL;
    }
    sim->stats.listening = 0;
}

void sim_release(struct sim *sim)
{
    sim_stop_listening(sim);
    sim_drop(sim, NULL, 100, true);
    net_timer_free(sim->restart);
    net_timer_free(sim->rate);
    net_tls_unref(sim->tls);
    for (uint32_t i = 0; sim->boxes && i < sim->settings.boxes; i++)
        sim_box_release(&sim->boxes[i]);
    free(sim->boxes);
    free(sim->refusal);
    sim_mails_release(&sim->mails);
    buf_release(&sim->line);
    buf_release(&sim->body);
}

uint16_t sim_port(const struct sim *sim, enum sim_port port)
{
    return sim->listeners[port] ? sim->settings.ports[port] : 0;
}

struct sim_box *sim_find_box(struct sim *sim, const char *name, size_t len)
{
    uint32_t number;
    if (len < 4 || memcmp(name, "box", 3) != 0 || name[3] == '0' ||
        !num_parse_u32(name + 3, len - 3, &number) || number > sim->settings.boxes)
        return NULL;
    return &sim->boxes[number - 1];
}

void sim_counted(struct sim *sim)
{
    if (sim->counted)
        sim->counted(sim->counted_ctx);
}

uint32_t sim_deliver(struct sim *sim, struct sim_box *box, unsigned *ret_told)
{
    uint32_t uid = sim_box_deliver(box);
    unsigned told = sim_folder_notify(&box->folders[0]);
    sim->stats.delivered++;
    sim_counted(sim);
    if (ret_told)
        *ret_told = told;
    return uid;
}

void sim_set_rate(struct sim *sim, uint32_t per_second, uint64_t count)
{
    sim->rate_per_second = per_second;
    sim->rate_left = per_second ? count : 0;
    sim->rate_due = 0;
    sim->rate_at = net_loop_now(sim->loop);
    net_timer_start(sim->rate, SIM_TICK);
}

unsigned sim_drop(struct sim *sim, const struct sim_box *box, unsigned percent, bool reset)
{
    unsigned count = 0;
    for (struct sim_session *session = sim->sessions, *next; session; session = next) {
        next = session->next;
        if ((box && session->box != box) || sim_random(&sim->dice) % 100 >= percent)
            continue;
        sim_session_drop(session, reset);
        count++;
    }
    return count;
}

unsigned sim_bye(struct sim *sim, const struct sim_box *box, const char *text)
{
    unsigned count = 0;
    for (struct sim_session *session = sim->sessions; session; session = session->next) {
        if (box && session->box != box)
            continue;
        sim_session_bye(session, text);
        count++;
    }
    return count;
}

/* All sessions of the box, or all there are, go on. */
static void sim_resume(struct sim *sim, const struct sim_box *box)
{
    for (struct sim_session *session = sim->sessions, *next; session; session = next) {
        next = session->next;
        if (!box || session->box == box)
            sim_session_resume(session);
    }
}

void sim_freeze(struct sim *sim, struct sim_box *box, bool frozen)
{
    if (!box)
        sim->frozen = frozen;
    for (uint32_t i = 0; i < sim->settings.boxes; i++)
        if (!box || box == &sim->boxes[i])
            sim->boxes[i].frozen = frozen;
    if (!frozen)
        sim_resume(sim, box);
}

void sim_mute(struct sim *sim, struct sim_box *box, bool mute)
{
    for (uint32_t i = 0; i < sim->settings.boxes; i++)
        if (!box || box == &sim->boxes[i])
            sim->boxes[i].mute = mute;
    if (!mute)
        sim_resume(sim, box);
}

void sim_slow(struct sim *sim, struct sim_box *box, uint32_t ms)
{
    for (uint32_t i = 0; i < sim->settings.boxes; i++)
        if (!box || box == &sim->boxes[i])
            sim->boxes[i].slow = ms;
}

void sim_renew(struct sim *sim, struct sim_box *box)
{
    for (struct sim_session *session = sim->sessions, *next; session; session = next) {
        next = session->next;
        if (session->box != box)
            continue;
        sim_session_close_folder(session);
        sim_session_bye(session, "the mailbox was made anew");
    }
    sim_folder_renew(&box->folders[0]);
}

void sim_restart(struct sim *sim, uint32_t after)
{
    sim_stop_listening(sim);
    sim_drop(sim, NULL, 100, true);
    net_timer_start(sim->restart, after);
}
