#include "conf/command.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"

enum {
    COMMAND_AT_ONCE = 8,
    COMMAND_STEP = 4096,
    COMMAND_STDERR_SHOWN = 300,
    COMMAND_TICK = 2000000, /* ns between looks at those that run */
};

/* A command on its way. */
struct conf_command_child {
    struct conf_command *command; /* NULL: free */
    pid_t pid;
    int out; /* -1: closed */
    int err;
    msec_t deadline;
};

static msec_t conf_command_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (msec_t)now.tv_sec * 1000 + (msec_t)now.tv_nsec / 1000000;
}

static char **conf_command_argv(const struct conf_command *command)
{
    size_t count = 0;
    for (size_t i = 0; i < command->words_len; i++)
        count += !command->words[i];
    char **argv = mem_realloc_array(NULL, count + 1, sizeof *argv);
    const char *word = command->words;
    for (size_t i = 0; i < count; i++) {
        argv[i] = (char *)(uintptr_t)word; /* posix_spawn() has no const */
        word += strlen(word) + 1;
    }
    argv[count] = NULL;
    return argv;
}

static int conf_command_actions(posix_spawn_file_actions_t *actions,
                                const struct conf_command *command, int out, int err)
{
    int failed = posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDONLY, 0);
    if (!failed)
        failed = posix_spawn_file_actions_adddup2(actions, out, 1);
    if (!failed)
        failed = posix_spawn_file_actions_adddup2(actions, err, 2);
    if (!failed && command->directory && command->directory[0])
        failed = posix_spawn_file_actions_addchdir_np(actions, command->directory);
    return failed;
}

/* The child starts with no signal blocked or ignored: this program may ignore SIGPIPE. */
static int conf_command_attributes(posix_spawnattr_t *attributes)
{
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    int failed = posix_spawnattr_setsigmask(attributes, &none);
    if (!failed)
        failed = posix_spawnattr_setsigdefault(attributes, &all);
    if (!failed)
        failed = posix_spawnattr_setflags(
            attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
    return failed;
}

/* Returns 0 or an errno. */
static int conf_command_spawn(const struct conf_command *command, int out, int err, pid_t *ret_pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int failed = posix_spawn_file_actions_init(&actions);
    if (failed)
        return failed;
    failed = posix_spawnattr_init(&attributes);
    if (failed) {
        posix_spawn_file_actions_destroy(&actions);
        return failed;
    }
    char **argv = conf_command_argv(command);
    failed = conf_command_actions(&actions, command, out, err);
    if (!failed)
        failed = conf_command_attributes(&attributes);
    if (!failed)
        failed = posix_spawnp(ret_pid, argv[0], &actions, &attributes, argv, environ);
    free(argv);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return failed;
}

static void conf_command_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static int conf_command_pipe(int ends[2])
{
    if (pipe2(ends, O_CLOEXEC) < 0)
        return errno;
    return fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0 ? errno : 0;
}

/* Leaves the child free when it can't be started. */
static void conf_command_start(struct conf_command_child *child, struct conf_command *command,
                               msec_t time_limit)
{
    int out[2] = {-1, -1}, err[2] = {-1, -1};
    int failed = conf_command_pipe(out);
    if (!failed)
        failed = conf_command_pipe(err);
    if (!failed)
        failed = conf_command_spawn(command, out[1], err[1], &child->pid);
    conf_command_close(&out[1]);
    conf_command_close(&err[1]);
    if (failed) {
        command->start_error = failed;
        conf_command_close(&out[0]);
        conf_command_close(&err[0]);
        return;
    }
    child->command = command;
    child->out = out[0];
    child->err = err[0];
    child->deadline = conf_command_now() + time_limit;
}

/* Reads what is there. What comes beyond the limit is thrown away, and returns true. */
static bool conf_command_read(int *fd, struct buf *into)
{
    while (*fd >= 0) {
        uint8_t step[COMMAND_STEP];
        ssize_t got = read(*fd, step, sizeof step);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            return false;
        if (got <= 0) {
            conf_command_close(fd);
            return false;
        }
        size_t room = CONF_COMMAND_OUTPUT_MOST - into->len;
        buf_reserve_exact(into, into->cap ? 0 : CONF_COMMAND_OUTPUT_MOST);
        buf_add(into, step, (size_t)got < room ? (size_t)got : room);
        mem_wipe(step, sizeof step);
        if ((size_t)got > room)
            return true;
    }
    return false;
}

/* Ends the whole session, and waits: a killed process does not take long. */
static void conf_command_kill(struct conf_command_child *child)
{
    kill(-child->pid, SIGKILL);
    while (waitpid(child->pid, &child->command->status, 0) < 0 && errno == EINTR)
        continue;
}

/* Gives back what of the room was not needed: there may be thousands of commands. */
static void conf_command_trim(struct buf *output)
{
    struct buf exact = {0};
    buf_reserve_exact(&exact, output->len + 1);
    buf_add(&exact, output->data, output->len);
    if (output->data)
        mem_wipe(output->data, output->cap);
    buf_release(output);
    *output = exact;
}

static void conf_command_finish(struct conf_command_child *child)
{
    conf_command_trim(&child->command->out);
    conf_command_trim(&child->command->err);
    conf_command_close(&child->out);
    conf_command_close(&child->err);
    child->command = NULL;
}

static bool conf_command_ended(struct conf_command_child *child)
{
    pid_t pid = waitpid(child->pid, &child->command->status, WNOHANG);
    if (pid == 0 || (pid < 0 && errno == EINTR))
        return false;
    if (pid < 0) /* somebody else reaped it: what it wrote has to do */
        child->command->status = 0;
    return true;
}

/* Looks what became of a command. Its end counts, not that of its output: what it left running in
 * the background may hold the pipe. */
static void conf_command_step(struct conf_command_child *child, bool cancelled)
{
    struct conf_command *command = child->command;
    bool ended = conf_command_ended(child);
    command->too_much = conf_command_read(&child->out, &command->out);
    conf_command_read(&child->err, &command->err);
    command->timed_out = !ended && (cancelled || conf_command_now() >= child->deadline);
    if (!ended && (command->timed_out || command->too_much)) {
        conf_command_kill(child);
        ended = true;
    }
    if (ended)
        conf_command_finish(child);
}

/* A command is short and rare: a look now and then costs less than an event loop would. */
static void conf_command_pause(void)
{
    const struct timespec tick = {.tv_nsec = COMMAND_TICK};
    nanosleep(&tick, NULL);
}

void conf_command_run(struct conf_command *commands, size_t count, msec_t time_limit,
                      const atomic_bool *cancelled)
{
    struct conf_command_child children[COMMAND_AT_ONCE] = {0};
    size_t next = 0, running = 1;
    while (next < count || running) {
        bool cancel = cancelled && atomic_load(cancelled);
        running = 0;
        for (; cancel && next < count; next++)
            commands[next].timed_out = true;
        for (size_t i = 0; i < COMMAND_AT_ONCE; i++) {
            struct conf_command_child *child = &children[i];
            while (!child->command && next < count)
                conf_command_start(child, &commands[next++], time_limit);
            if (child->command)
                conf_command_step(child, cancel);
            running += child->command ? 1 : 0;
        }
        if (running)
            conf_command_pause();
    }
}

/* Strikes every line of the output in what is shown of the error output. */
static void conf_command_strike(struct buf *shown, const struct buf *output)
{
    const uint8_t *at = output->data, *end = at + output->len;
    while (at < end) {
        const uint8_t *newline = memchr(at, '\n', (size_t)(end - at));
        size_t len = (size_t)((newline ? newline : end) - at);
        while (len && at[len - 1] == '\r')
            len--;
        text_strike(shown->data, shown->len, at, len);
        at = newline ? newline + 1 : end;
    }
}

static char *conf_command_complaint(struct conf_command *command)
{
    struct buf *shown = &command->err;
    if (command->out.len && shown->len)
        conf_command_strike(shown, &command->out);
    for (size_t i = 0; i < shown->len; i++)
        if (shown->data[i] == '\n' || shown->data[i] == '\r' || shown->data[i] == '\t')
            shown->data[i] = ' ';
    while (shown->len && shown->data[shown->len - 1] == ' ')
        shown->len--;
    if (!shown->len)
        return mem_strdup("");
    char words[COMMAND_STDERR_SHOWN];
    text_escape_utf8(words, sizeof words, shown->data, shown->len);
    return mem_printf(": %s", words);
}

char *conf_command_trouble(struct conf_command *command)
{
    char what[80];
    if (command->start_error)
        return mem_printf("cannot be started: %s", err_errno_text(command->start_error));
    if (command->timed_out)
        snprintf(what, sizeof what, "took too long and was ended");
    else if (command->too_much)
        snprintf(what, sizeof what, "wrote more than 64 KiB and was ended");
    else if (WIFSIGNALED(command->status))
        snprintf(what, sizeof what, "was ended by signal %d", WTERMSIG(command->status));
    else if (command->status)
        snprintf(what, sizeof what, "failed with exit status %d", WEXITSTATUS(command->status));
    else
        return NULL;
    char *complaint = conf_command_complaint(command);
    char *trouble = mem_printf("%s%s", what, complaint);
    free(complaint);
    return trouble;
}

void conf_command_release(struct conf_command *command)
{
    if (command->out.data)
        mem_wipe(command->out.data, command->out.cap);
    if (command->err.data)
        mem_wipe(command->err.data, command->err.cap);
    buf_release(&command->out);
    buf_release(&command->err);
}
