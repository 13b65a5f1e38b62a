/* fence/files.h: Landlock: which files a process may still open. Internal. */
#ifndef FENCE_FILES_H
#define FENCE_FILES_H

#include "fence/fence.h"

/* The calling thread, and all that it starts, may open only what `settings` name, bind no TCP port,
 * and send signals, and speak over abstract Unix sockets, only to its own kind, as far as the
 * kernel has that. Returns -1 with errno when nothing of it could be had. *ret_version is the
 * kernel's version of Landlock. */
int fence_files(const struct fence_settings *settings, int *ret_version);

#endif
