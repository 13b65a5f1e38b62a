#include "programs/feed/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "programs/feed/file.h"

enum {
    EXEC_MORE = 3, /* variables added to the environment */
};

/* A name from the wire, up to a NUL: an environment cannot hold one. */
static char *exec_variable(const char *name, const char *value, size_t len)
{
    char *text = mem_strndup(value, len);
    char *variable = mem_printf("%s=%s", name, text);
    free(text);
    return variable;
}

static char **exec_environment(const struct hpfeeds_frame *frame, const char *sha256)
{
    size_t count = 0;
    while (environ[count])
        count++;
    char **list = mem_zalloc((count + EXEC_MORE + 1) * sizeof *list);
    for (size_t i = 0; i < count; i++)
        list[EXEC_MORE + i] = environ[i];
    list[0] = exec_variable("HPFEEDS_IDENT", frame->ident, frame->ident_len);
    list[1] = exec_variable("HPFEEDS_CHANNEL", frame->channel, frame->channel_len);
    list[2] = exec_variable("HPFEEDS_SHA256", sha256 ? sha256 : "", sha256 ? strlen(sha256) : 0);
    return list;
}

static void exec_free_environment(char **list)
{
    for (size_t i = 0; i < EXEC_MORE; i++)
        free(list[i]);
    free(list);
}

static int exec_start(const char *command, char **environment, int in, pid_t *ret_pid)
{
    char *const arguments[] = {(char[]){"sh"}, (char[]){"-c"}, (char *)(uintptr_t)command, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t defaults;
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE); /* ignored here, and it would be there */
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
    int failed = posix_spawn(ret_pid, "/bin/sh", &actions, &attributes, arguments, environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return failed;
}

static int exec_judge(int status, struct err *err)
{
    if (WIFEXITED(status) && !WEXITSTATUS(status))
        return 0;
    if (WIFEXITED(status))
        err_set(err, ERR_GIVE_UP, "--exec: the command ended with %d", WEXITSTATUS(status));
    else
        err_set(err, ERR_GIVE_UP, "--exec: the command was ended by signal %d", WTERMSIG(status));
    return 1;
}

int feed_exec(const char *command, const struct hpfeeds_frame *frame, const uint8_t *data,
              size_t len, const char *sha256, struct err *err)
{
    int ends[2];
    pid_t pid;
    int status = 0;
    if (pipe2(ends, O_CLOEXEC))
        return err_set(err, ERR_GIVE_UP, "--exec: %s", strerror(errno));
    char **environment = exec_environment(frame, sha256);
    int failed = exec_start(command, environment, ends[0], &pid);
    exec_free_environment(environment);
    close(ends[0]);
    if (failed) {
        close(ends[1]);
        return err_set(err, ERR_GIVE_UP, "--exec: %s", strerror(failed));
    }
    /* A command that does not read all it is given is none that failed. */
    (void)!feed_file_write(ends[1], data, len);
    close(ends[1]);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return exec_judge(status, err);
}
