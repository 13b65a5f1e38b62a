#include "fence/fence.h"

#include <errno.h>
#include <string.h>

#include "fence/calls.h"
#include "fence/files.h"

enum {
    FENCE_LANDLOCK_WANTED = 3, /* before, any file that can be named can be emptied */
};

int fence_up_files(const struct fence_settings *settings, struct err *err)
{
    int version;
    if (fence_files(settings, &version))
        return err_set(err, ERR_GIVE_UP,
                       "this kernel has no Landlock (%s): all files of the user stay open to the "
                       "process",
                       strerror(errno));
    if (version < FENCE_LANDLOCK_WANTED)
        return err_set(err, ERR_GIVE_UP,
                       "this kernel's Landlock is of version %d: files of the user can be emptied, "
                       "but not read",
                       version);
    return 0;
}

int fence_up_calls(const struct fence_settings *settings, struct err *err)
{
    if (fence_calls(settings))
        return err_set(err, ERR_GIVE_UP,
                       "this kernel has no seccomp (%s): all system calls stay open to the process",
                       strerror(errno));
    return 0;
}

int fence_up(const struct fence_settings *settings, struct err *err)
{
    struct err calls;
    int files_result = fence_up_files(settings, err);
    int calls_result = fence_up_calls(settings, &calls);
    if (files_result && calls_result)
        return err_prefix(err, "%s; and", calls.text);
    if (calls_result)
        *err = calls;
    return files_result || calls_result ? -1 : 0;
}
