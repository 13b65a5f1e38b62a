#include "fence/user.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"

enum {
    USER_NAME_SHOWN = 80,
};

static int user_environment(const struct passwd *user)
{
    if (setenv("HOME", user->pw_dir, 1) || setenv("USER", user->pw_name, 1))
        return -1;
    return setenv("LOGNAME", user->pw_name, 1);
}

/* Groups first: afterwards there is no right to. */
static int user_switch(const struct passwd *user)
{
    if (initgroups(user->pw_name, user->pw_gid) ||
        setresgid(user->pw_gid, user->pw_gid, user->pw_gid) ||
        setresuid(user->pw_uid, user->pw_uid, user->pw_uid))
        return -1;
    return user_environment(user);
}

int fence_user_become(const char *name, struct err *err)
{
    char shown[USER_NAME_SHOWN];
    if (!name && geteuid() == 0)
        return err_set(err, ERR_GIVE_UP,
                       "not as root, who could be taken over: say --user NAME to run as that user, "
                       "or --user root");
    if (!name)
        return 0;
    text_escape_utf8(shown, sizeof shown, name, strlen(name));
    const struct passwd *user = getpwnam(name);
    if (!user)
        return err_set(err, ERR_GIVE_UP, "--user: there is no user %s", shown);
    if (user->pw_uid == geteuid())
        return 0;
    if (geteuid() != 0)
        return err_set(err, ERR_GIVE_UP, "--user: only root can become %s", shown);
    if (user_switch(user))
        return err_set(err, ERR_GIVE_UP, "--user: cannot become %s: %s", shown, strerror(errno));
    return 0;
}
