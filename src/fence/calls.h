/* fence/calls.h: seccomp: which system calls a process may still make. Internal. */
#ifndef FENCE_CALLS_H
#define FENCE_CALLS_H

#include "fence/fence.h"

/* All other calls fail with EPERM from now on, on all threads. Returns -1 with errno. */
int fence_calls(const struct fence_settings *settings);

#endif
