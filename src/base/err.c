#include "base/err.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

int err_set(struct err *err, enum err_action action, const char *format, ...)
{
    if (!err)
        return -1;

    /* The arguments may point into err->text itself, as when a text is wrapped. The whole field is
     * kept, and sent to another process: what stood on the stack does not go along. */
    char text[sizeof err->text] = "";
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    memcpy(err->text, text, sizeof text);
    err->action = action;
    return -1;
}

int err_prefix(struct err *err, const char *format, ...)
{
    if (!err)
        return -1;

    char prefix[200];
    va_list args;
    va_start(args, format);
    vsnprintf(prefix, sizeof prefix, format, args);
    va_end(args);
    return err_set(err, err->action, "%s: %s", prefix, err->text);
}

const char *err_errno_text(int error)
{
    switch (error) {
    case EMFILE:
        return "too many open files: raise the limit of this process (ulimit -n, LimitNOFILE)";
    case ENFILE:
        return "too many open files in the whole system: raise fs.file-max";
    case EADDRNOTAVAIL:
        return "no free local port or address";
    default:
        return strerror(error);
    }
}

void err_keep(struct err **kept, const struct err *err)
{
    if (err && *kept) {
        **kept = *err;
    } else if (err) {
        *kept = mem_new(struct err);
        **kept = *err;
    } else {
        free(*kept);
        *kept = NULL;
    }
}
