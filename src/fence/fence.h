/* fence/fence.h: what a process may still do, once it has all that it needs.
 *
 * Both fences hold for the process and all that it starts, and cannot be taken down again. */
#ifndef FENCE_FENCE_H
#define FENCE_FENCE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

/* Files and directories, with all below them; what is not there is passed over. All else can be
 * opened no more, nor made, removed or run. */
struct fence_settings {
    const char *const *readable;
    size_t readable_count;
    const char *const *writable; /* directories: files may also be made and removed, directories
                                    made */
    size_t writable_count;
    bool serves; /* what is bound until the second fence stands may accept connections */
    bool asks;   /* services of the machine, over Unix sockets: these are not fenced themselves, and
                    may do for it what it may not */
    bool abstract; /* Unix sockets that are no file may be spoken to */
};

/* Puts them up: Landlock for files, TCP ports, signals and Unix sockets that are no file; seccomp
 * for system calls: no program can be run, no process started, watched or signalled, no socket
 * listen, no memory become code, no file another user's program, and this cannot be undone. After
 * fence_process(), while there is one thread: others would stay without the first. Returns 0 when
 * both stand; -1 when the kernel has one of them not, or an older one that lets more through, and
 * what then is missing: the other stands all the same. */
int fence_up(const struct fence_settings *settings, struct err *err);
/* The same in two steps, for who binds its sockets in between: the first while there is one
 * thread, the second holds for all threads. */
int fence_up_files(const struct fence_settings *settings, struct err *err);
int fence_up_calls(const struct fence_settings *settings, struct err *err);

#endif
