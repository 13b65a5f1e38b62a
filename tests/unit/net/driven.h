/* A loop whose clock the test drives (net_loop_drive()). The clock stands still until all is quiet,
 * that is, nothing more can happen: nobody has anything to read, nothing is under way between two
 * ends (wire.h), no worker is at work. Then it jumps to what is due next. */
#ifndef TEST_NET_DRIVEN_H
#define TEST_NET_DRIVEN_H

#include <stdbool.h>

#include "net/loop.h"

typedef bool driven_holds(void *ctx);

/* Until `holds` (NULL: never), which is asked after each turn, or until all is quiet. True: it
 * holds. */
bool driven_settle(struct net_loop *loop, driven_holds *holds, void *ctx);
/* Lets time pass until `holds`, for `within` at most. NULL: it holds; else why it does not. */
const char *driven_await(struct net_loop *loop, msec_t within, driven_holds *holds, void *ctx);
/* Lets `by` ms pass, with all that happens in them. */
void driven_pass(struct net_loop *loop, msec_t by);

#endif
