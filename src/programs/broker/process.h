/* broker/process.h: what the process takes of the machine, in Prometheus' usual figures. */
#ifndef DAEMON_PROCESS_H
#define DAEMON_PROCESS_H

#include "base/buf.h"

void daemon_render_process(struct buf *out);

#endif
