/* programs/service.h: what systemd is told of a service of Type=notify (sd_notify(3)), and its
 * watchdog. Without NOTIFY_SOCKET in the environment nothing of this does anything. */
#ifndef PROGRAMS_SERVICE_H
#define PROGRAMS_SERVICE_H

#include <stdbool.h>

struct net_loop;
struct service;

/* Is it told over a Unix socket that is no file? What is fenced must be let. */
bool service_is_abstract(void);

/* The watchdog is fed from the loop from now on, twice as often as it asks for. */
struct service *service_new(struct net_loop *loop);
/* NULL does nothing. */
void service_free(struct service *service);

/* It does its work; also when a reload is over. */
void service_ready(struct service *service);
/* The line that `systemctl status` shows. Sent only when it is another one than before. */
void service_status(struct service *service, const char *text);
void service_reloading(struct service *service);
void service_stopping(struct service *service);

#endif
