/* fence/process.h: what a process gives up for itself, and for all that it starts. */
#ifndef FENCE_PROCESS_H
#define FENCE_PROCESS_H

/* From now on no program that is run gets more rights than this one has (PR_SET_NO_NEW_PRIVS), and
 * this process leaves no core dump, and is no debugger's and no other process's of the same user to
 * read (PR_SET_DUMPABLE); root still may. To be called again after fence_user_become(). */
void fence_process(void);

#endif
