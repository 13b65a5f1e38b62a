#include "programs/service.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include "base/log.h"
#include "base/mem.h"
#include "net/loop.h"

struct service {
    struct net_timer *watchdog;
    msec_t interval; /* between two signs of life */
    char status[400];
    bool mute; /* it could not be told once, and that is said once */
};

bool service_is_abstract(void)
{
    const char *address = getenv("NOTIFY_SOCKET");
    return address && *address == '@';
}

static void service_tell(struct service *service, const char *state)
{
    int result = sd_notify(0, state);
    if (result >= 0 || service->mute)
        return;
    service->mute = true;
    log_warning(NULL, "systemd does not hear: %s", strerror(-result));
}

static void service_feed_watchdog(void *ctx)
{
    struct service *service = ctx;
    service_tell(service, "WATCHDOG=1");
    net_timer_start(service->watchdog, service->interval);
}

struct service *service_new(struct net_loop *loop)
{
    struct service *service = mem_new(struct service);
    uint64_t usec;
    service->watchdog = net_timer_new(loop, service_feed_watchdog, service);
    if (sd_watchdog_enabled(0, &usec) > 0) {
        service->interval = usec > 2000 ? usec / 2000 : 1;
        net_timer_start(service->watchdog, service->interval);
    }
    return service;
}

void service_free(struct service *service)
{
    if (!service)
        return;
    net_timer_free(service->watchdog);
    free(service);
}

void service_ready(struct service *service)
{
    service_tell(service, "READY=1");
}

void service_status(struct service *service, const char *text)
{
    char line[sizeof service->status + sizeof "STATUS="];
    if (!strncmp(service->status, text, sizeof service->status - 1))
        return;
    snprintf(service->status, sizeof service->status, "%s", text);
    int len = snprintf(line, sizeof line, "STATUS=%s", service->status);
    for (int i = 0; i < len; i++) /* a line break would begin another assignment */
        if ((unsigned char)line[i] < 0x20)
            line[i] = ' ';
    service_tell(service, line);
}

void service_reloading(struct service *service)
{
    struct timespec now;
    char state[80];
    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(state, sizeof state, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
             (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000);
    service_tell(service, state);
}

void service_stopping(struct service *service)
{
    service_tell(service, "STOPPING=1");
}
