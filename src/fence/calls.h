/* fence/calls.h: seccomp: which system calls a process may still make. Internal. */
#ifndef FENCE_CALLS_H
#define FENCE_CALLS_H

#include <stdbool.h>

/* All other calls fail with EPERM from now on, on all threads. `accepts`: connections that come to
 * sockets that listen already. Returns -1 with errno. */
int fence_calls(bool accepts);

#endif
