/* What is under way in the kernel between two ends of a TCP connection that are both this process's
 * own: it has left the one, and the other cannot see it yet. */
#ifndef TEST_NET_WIRE_H
#define TEST_NET_WIRE_H

#include <stdbool.h>

/* Is there anything of which an end that has read all it was sent would still come to know: bytes,
 * a connection, its end or its reset, room for what is to be sent? Does not wait for it. */
bool wire_is_busy(void);

#endif
