#include "fence/fence.h"

#include <errno.h>
#include <string.h>

#include "fence/calls.h"
#include "fence/files.h"

enum {
    FENCE_LANDLOCK_WANTED = 3, /* before, any file that can be named can be emptied */
};

int fence_up(const struct fence_settings *settings, struct err *err)
{
    int version = 0;
    int files_error = fence_files(settings, &version) ? errno : 0;
    int calls_error = fence_calls() ? errno : 0;
    if (files_error && calls_error)
        return err_set(err, ERR_GIVE_UP,
                       "this kernel has neither Landlock (%s) nor seccomp (%s): all files and "
                       "system calls stay open to the process",
                       strerror(files_error), strerror(calls_error));
    if (files_error)
        return err_set(err, ERR_GIVE_UP,
                       "this kernel has no Landlock (%s): all files of the user stay open to the "
                       "process",
                       strerror(files_error));
    if (calls_error)
        return err_set(err, ERR_GIVE_UP,
                       "this kernel has no seccomp (%s): all system calls stay open to the process",
                       strerror(calls_error));
    if (version < FENCE_LANDLOCK_WANTED)
        return err_set(err, ERR_GIVE_UP,
                       "this kernel's Landlock is of version %d: files of the user can be emptied, "
                       "but not read",
                       version);
    return 0;
}
