/* What a service manager is told, by its socket. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/loop.h"
#include "programs/service.h"

struct manager {
    int socket;
    char directory[sizeof "/tmp/notify-XXXXXX"];
    char path[sizeof "/tmp/notify-XXXXXX/socket"];
    char heard[500];
};

static int manager_setup(void **state)
{
    static struct manager manager;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(manager.directory, sizeof manager.directory, "/tmp/notify-XXXXXX");
    assert_non_null(mkdtemp(manager.directory));
    snprintf(manager.path, sizeof manager.path, "%s/socket", manager.directory);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", manager.path);
    manager.socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_return_code(bind(manager.socket, (struct sockaddr *)&address, sizeof address), 0);
    setenv("NOTIFY_SOCKET", manager.path, 1);
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    *state = &manager;
    return 0;
}

static int manager_teardown(void **state)
{
    struct manager *manager = *state;
    close(manager->socket);
    unlink(manager->path);
    return rmdir(manager->directory);
}

/* The next message, or "" when there is none. */
static const char *manager_hear(struct manager *manager)
{
    ssize_t got = recv(manager->socket, manager->heard, sizeof manager->heard - 1, 0);
    manager->heard[got > 0 ? got : 0] = '\0';
    return manager->heard;
}

static void test_states(void **state)
{
    struct manager *manager = *state;
    struct net_loop *loop = net_loop_new();
    struct service *service = service_new(loop);
    assert_string_equal(manager_hear(manager), "");
    service_ready(service);
    assert_string_equal(manager_hear(manager), "READY=1");
    service_stopping(service);
    assert_string_equal(manager_hear(manager), "STOPPING=1");
    uint64_t usec;
    int end = 0;
    service_reloading(service);
    manager_hear(manager);
    assert_int_equal(
        sscanf(manager->heard, "RELOADING=1\nMONOTONIC_USEC=%" SCNu64 "%n", &usec, &end), 1);
    assert_int_equal(manager->heard[end], '\0');
    assert_true(usec > 0);
    service_free(service);
    service_free(NULL);
    net_loop_free(loop);
}

static void test_status(void **state)
{
    struct manager *manager = *state;
    struct net_loop *loop = net_loop_new();
    struct service *service = service_new(loop);
    service_status(service, "all is well");
    service_status(service, "all is well");
    service_status(service, "not\nREADY=1\x01");
    assert_string_equal(manager_hear(manager), "STATUS=all is well");
    assert_string_equal(manager_hear(manager), "STATUS=not READY=1 ");
    assert_string_equal(manager_hear(manager), "");
    service_free(service);
    net_loop_free(loop);
}

/* The loop of the test ends when the watchdog has been fed often enough. */
struct watchdog_end {
    struct manager *manager;
    struct net_loop *loop;
    struct net_timer *timer;
    unsigned fed;
};

static void watchdog_look(void *ctx)
{
    struct watchdog_end *end = ctx;
    while (manager_hear(end->manager)[0]) {
        assert_string_equal(end->manager->heard, "WATCHDOG=1");
        end->fed++;
    }
    if (end->fed < 3)
        net_timer_start(end->timer, 1);
    else
        net_loop_stop(end->loop);
}

static void test_watchdog(void **state)
{
    struct watchdog_end end = {.manager = *state, .loop = net_loop_new()};
    char pid[20];
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    setenv("WATCHDOG_USEC", "4000", 1);
    setenv("WATCHDOG_PID", pid, 1);
    struct service *service = service_new(end.loop);
    end.timer = net_timer_new(end.loop, watchdog_look, &end);
    net_timer_start(end.timer, 1);
    net_loop_run(end.loop);
    assert_true(end.fed >= 3);
    service_free(service);
    net_timer_free(end.timer);
    net_loop_free(end.loop);
}

/* Meant for another process, or for nobody. */
static void test_nobody_hears(void **state)
{
    struct manager *manager = *state;
    struct net_loop *loop = net_loop_new();
    setenv("WATCHDOG_USEC", "4000", 1);
    setenv("WATCHDOG_PID", "1", 1);
    struct service *service = service_new(loop);
    net_loop_run(loop); /* no timer: it ends at once */
    service_free(service);
    assert_string_equal(manager_hear(manager), "");
    unsetenv("NOTIFY_SOCKET");
    service = service_new(loop);
    service_ready(service);
    service_status(service, "all is well");
    service_reloading(service);
    service_stopping(service);
    assert_string_equal(manager_hear(manager), "");
    service_free(service);
    net_loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_states, manager_setup, manager_teardown),
        cmocka_unit_test_setup_teardown(test_status, manager_setup, manager_teardown),
        cmocka_unit_test_setup_teardown(test_watchdog, manager_setup, manager_teardown),
        cmocka_unit_test_setup_teardown(test_nobody_hears, manager_setup, manager_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
