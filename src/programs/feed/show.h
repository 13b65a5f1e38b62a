/* feed/show.h: messages as they are shown and stored. */
#ifndef FEED_SHOW_H
#define FEED_SHOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "hpfeeds/frame.h"

struct feed_options;

struct feed_archive;

struct feed_show {
    bool mail;                    /* payloads hold mails */
    bool raw;                     /* bytes to standard output in place of lines */
    bool json;                    /* lines of JSON */
    const char *command;          /* run for each, or NULL */
    int folder;                   /* a descriptor, or -1 */
    unsigned sequence;            /* of the next file's name */
    struct feed_archive *archive; /* or NULL */
    uint64_t wrong;               /* mails whose hash was wrong */
    uint64_t failed;              /* commands that failed */
};

/* Opens the folder and the archive, if the options name any. */
int feed_show_init(struct feed_show *show, const struct feed_options *options, struct err *err);
void feed_show_release(struct feed_show *show);
/* Shows one message on standard output and stores it in the folder; standard output is flushed by
 * feed_show_flush(). */
int feed_show_message(struct feed_show *show, const struct hpfeeds_frame *frame, struct err *err);
int feed_show_flush(struct err *err);

#endif
