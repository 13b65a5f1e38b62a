/* imapsim/mail.h: what the mails say. Nothing of a mail is stored: its bytes follow from the box
 * and its number, the same in every run. */
#ifndef IMAPSIM_MAIL_H
#define IMAPSIM_MAIL_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

/* Where the mails' bytes come from. */
struct sim_mails {
    size_t size;       /* of a made mail, about; the half to one and a half times it */
    struct buf *files; /* instead: these, with CRLF line ends */
    size_t file_count;
};

/* Reads the .eml files of `directory`, in the order of their names. */
int sim_mails_load(struct sim_mails *mails, const char *directory, struct err *err);
void sim_mails_release(struct sim_mails *mails);

/* Appends mail `number` of `box`. Its first header is the marker "X-Sim-Mail: box7/12". */
void sim_mail_add(const struct sim_mails *mails, uint32_t box, uint32_t number, struct buf *out);

/* A well-mixed 64-bit number out of `*state`, which goes on (splitmix64): the one source of chance
 * here, so that a run can be repeated. */
uint64_t sim_random(uint64_t *state);

#endif
