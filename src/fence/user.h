/* fence/user.h: who a program runs as. */
#ifndef FENCE_USER_H
#define FENCE_USER_H

#include "base/err.h"

/* `name` is what the command line says, NULL when it says nothing. Root becomes that user, with its
 * groups, and $HOME, $USER and $LOGNAME are set; "root" stays root, as it is written out. Fails
 * (ERR_GIVE_UP) for root without a name, and when the user is not there or can't be had. Before
 * threads are made. */
int fence_user_become(const char *name, struct err *err);

#endif
