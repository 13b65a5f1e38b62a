/* collect/mailbox.h: one account's connection: connect, log in, go through its folders, leave.
 * Internal.
 *
 *   IDLE → CONNECTING → LOGGING_IN → [LISTING] → COLLECTING or CHECKING → LEAVING
 *             ↑              └───────────┴─────────────┴──────────────────→ DRAINING
 *             └── WAITING ←───────── trouble that may pass ────────────────────┤
 *                                                          DONE, FAILED ←──────┘
 * In DRAINING there is no connection: what is in flight is settled and recorded, and then it is
 * decided how to go on. */
#ifndef COLLECT_MAILBOX_H
#define COLLECT_MAILBOX_H

#include <stdbool.h>

#include "collect/account.h"

struct collect_env;
struct mailbox;

struct mailbox *mailbox_new(struct collect_env *env, const struct collect_account *account,
                            struct collect_report *report, void (*finished)(void *ctx), void *ctx);
/* Only when it was never started, or finished, or nothing of it is with sink and journal any
 * more. NULL does nothing. */
void mailbox_free(struct mailbox *mailbox);
/* Begins; `finished` is called once, when it is DONE or FAILED, from the loop. */
void mailbox_start(struct mailbox *mailbox);
/* The sink came up or went down. */
void mailbox_sink_changed(struct mailbox *mailbox);
/* Closes the connection; finishes as FAILED with `why` when what is in flight is settled. */
void mailbox_stop(struct mailbox *mailbox, const struct err *why);

#endif
