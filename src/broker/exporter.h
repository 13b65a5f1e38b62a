/* broker/exporter.h: the broker's figures by HTTP, as Prometheus fetches them. */
#ifndef BROKER_EXPORTER_H
#define BROKER_EXPORTER_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct broker_exporter;
struct net_loop;

/* Answers GET /metrics with what `render` appends and GET /healthz with {}, on host:port (port 0:
 * any free one). On the loop: no request is waited for. */
int broker_exporter_new(struct net_loop *loop, const char *host, uint16_t port,
                        void (*render)(void *ctx, struct buf *out), void *ctx,
                        struct broker_exporter **ret_exporter, struct err *err);
uint16_t broker_exporter_port(const struct broker_exporter *exporter);
/* NULL does nothing. */
void broker_exporter_free(struct broker_exporter *exporter);

#endif
