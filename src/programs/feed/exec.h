/* feed/exec.h: a command that is run for each message. */
#ifndef FEED_EXEC_H
#define FEED_EXEC_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "hpfeeds/frame.h"

/* Runs `command` with the shell, the bytes on its standard input, HPFEEDS_IDENT, HPFEEDS_CHANNEL
 * and, if it is not NULL, HPFEEDS_SHA256 in its environment, and waits for it. 0: it exited with 0;
 * 1: it did not, which `err` tells; -1: it could not be run. */
int feed_exec(const char *command, const struct hpfeeds_frame *frame, const uint8_t *data,
              size_t len, const char *sha256, struct err *err);

#endif
