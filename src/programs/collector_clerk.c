#include "programs/collector_clerk.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "conf/place.h"

enum clerk_request {
    CLERK_LOAD = 'L',
    CLERK_CANCEL = 'X',
};

struct clerk {
    const struct collector_options *options;
    struct conf_place place; /* at the same address in all of these processes */
    int fd;                  /* the collector's end, or the clerk's */
    pid_t pid;
};

/* What goes before the `used` bytes of the place; the problems come behind them. */
struct clerk_answer {
    struct conf *conf; /* in the place; NULL: there are errors */
    size_t used;
    size_t problems;
    size_t errors;
};

struct clerk_problem {
    bool warning;
    size_t len;
};

static atomic_bool clerk_cancelled; /* of the child that loads */

static int clerk_send(int fd, const void *data, size_t len)
{
    const char *at = data;
    while (len) {
        ssize_t sent = send(fd, at, len, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return -1;
        at += sent;
        len -= (size_t)sent;
    }
    return 0;
}

static int clerk_receive(int fd, void *data, size_t len)
{
    char *at = data;
    while (len) {
        ssize_t got = read(fd, at, len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return -1;
        at += got;
        len -= (size_t)got;
    }
    return 0;
}

static int clerk_send_problems(int fd, const struct conf_problems *problems)
{
    for (size_t i = 0; i < problems->count; i++) {
        const struct conf_problem *problem = &problems->items[i];
        struct clerk_problem head = {.warning = problem->warning, .len = strlen(problem->text)};
        if (clerk_send(fd, &head, sizeof head) || clerk_send(fd, problem->text, head.len))
            return -1;
    }
    return 0;
}

/* The child that loads. */
static int clerk_work(struct clerk *clerk)
{
    const struct collector_options *options = clerk->options;
    struct clerk_answer answer = {0};
    struct conf_problems problems;
    conf_load_into(&clerk->place, options->feed_config, options->mailbox_config,
                   options->delete_after, &clerk_cancelled, &answer.conf, &problems);
    answer.used = clerk->place.used;
    answer.problems = problems.count;
    answer.errors = problems.errors;
    int result = 0;
    if (clerk_send(clerk->fd, &answer, sizeof answer) ||
        clerk_send(clerk->fd, clerk->place.base, answer.used) ||
        clerk_send_problems(clerk->fd, &problems))
        result = 1;
    conf_problems_release(&problems);
    return result;
}

static void clerk_on_cancel(int number)
{
    (void)number;
    atomic_store(&clerk_cancelled, true);
}

/* Until the child has ended; it has, when nobody holds the other end of the pipe any more. The next
 * request waits; a cancellation, or the collector's end, ends the child. */
static void clerk_watch(const struct clerk *clerk, pid_t child, int ended)
{
    struct pollfd looks[2] = {{.fd = ended}, {.fd = clerk->fd, .events = POLLIN}};
    while (!(looks[0].revents & POLLHUP)) {
        char request;
        if (poll(looks, 2, -1) < 0 || !looks[1].revents)
            continue;
        ssize_t got = recv(clerk->fd, &request, 1, MSG_PEEK | MSG_DONTWAIT);
        if (got == 1 && request == CLERK_CANCEL)
            (void)recv(clerk->fd, &request, 1, MSG_DONTWAIT);
        if (got == 0 || (got == 1 && request == CLERK_CANCEL))
            kill(child, SIGUSR1);
        looks[1].fd = -1;
    }
}

/* In place of the child: it is asked again when there is more of what is missing. */
static int clerk_refuse(const struct clerk *clerk, int error)
{
    struct clerk_answer answer = {.problems = 1, .errors = 1};
    struct conf_problem problem = {
        .text = mem_printf("no process to read the configuration: %s", err_errno_text(error))};
    const struct conf_problems problems = {.items = &problem, .count = 1, .errors = 1};
    int result = clerk_send(clerk->fd, &answer, sizeof answer);
    if (result == 0)
        result = clerk_send_problems(clerk->fd, &problems);
    free(problem.text);
    return result;
}

/* Returns -1 when the collector cannot be answered any more. */
static int clerk_serve(struct clerk *clerk)
{
    int pipe_ends[2], status;
    if (pipe2(pipe_ends, O_CLOEXEC) < 0)
        return clerk_refuse(clerk, errno);
    signal(SIGUSR1, clerk_on_cancel);
    pid_t child = fork();
    int error = errno;
    if (child == 0) {
        close(pipe_ends[0]);
        _exit(clerk_work(clerk));
    }
    close(pipe_ends[1]);
    if (child > 0)
        clerk_watch(clerk, child, pipe_ends[0]);
    close(pipe_ends[0]);
    if (child < 0)
        return clerk_refuse(clerk, error);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    return status ? -1 : 0;
}

/* The clerk. Signals are for the collector, and it ends with that. */
static _Noreturn void clerk_run(struct clerk *clerk)
{
    char request;
    prctl(PR_SET_NAME, "collector-clerk");
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    while (clerk_receive(clerk->fd, &request, 1) == 0)
        if (request == CLERK_LOAD && clerk_serve(clerk) < 0)
            break;
    _exit(0);
}

int clerk_start(const struct collector_options *options, struct clerk **ret_clerk, struct err *err)
{
    struct clerk *clerk = mem_new(struct clerk);
    int ends[2];
    clerk->options = options;
    if (conf_place_reserve(&clerk->place) < 0 ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
        err_set(err, ERR_GIVE_UP, "no room for the configuration: %s", err_errno_text(errno));
        conf_place_release(&clerk->place);
        free(clerk);
        return -1;
    }
    clerk->pid = fork();
    clerk->fd = ends[clerk->pid ? 0 : 1];
    close(ends[clerk->pid ? 1 : 0]);
    if (clerk->pid == 0)
        clerk_run(clerk);
    if (clerk->pid < 0) {
        err_set(err, ERR_GIVE_UP, "no process to read the configuration: %s",
                err_errno_text(errno));
        clerk_stop(clerk);
        return -1;
    }
    *ret_clerk = clerk;
    return 0;
}

static int clerk_receive_problems(int fd, const struct clerk_answer *answer,
                                  struct conf_problems *problems)
{
    problems->items = mem_realloc_array(NULL, answer->problems, sizeof *problems->items);
    while (problems->count < answer->problems) {
        struct clerk_problem head;
        if (clerk_receive(fd, &head, sizeof head))
            return -1;
        char *text = mem_alloc(head.len + 1);
        problems->items[problems->count++] =
            (struct conf_problem){.warning = head.warning, .text = text};
        text[0] = '\0';
        if (clerk_receive(fd, text, head.len))
            return -1;
        text[head.len] = '\0';
    }
    problems->errors = answer->errors;
    return 0;
}

static int clerk_receive_answer(struct clerk *clerk, struct clerk_answer *answer,
                                struct conf_problems *problems)
{
    char request = CLERK_LOAD;
    if (clerk_send(clerk->fd, &request, 1) || clerk_receive(clerk->fd, answer, sizeof *answer))
        return -1;
    if (answer->used &&
        clerk_receive(clerk->fd, conf_place_cut(&clerk->place, answer->used, 1), answer->used))
        return -1;
    return clerk_receive_problems(clerk->fd, answer, problems);
}

int clerk_load(struct clerk *clerk, struct conf **ret_conf, struct conf_problems *ret_problems)
{
    struct clerk_answer answer;
    *ret_problems = (struct conf_problems){0};
    if (clerk_receive_answer(clerk, &answer, ret_problems)) {
        clerk_forget(clerk);
        conf_problems_release(ret_problems);
        ret_problems->items = mem_new(struct conf_problem);
        ret_problems->items[0].text =
            mem_strdup("the process that reads the configuration is gone: restart to change it");
        ret_problems->count = ret_problems->errors = 1;
        return -1;
    }
    if (!answer.conf)
        return -1;
    *ret_conf = answer.conf;
    return 0;
}

void clerk_cancel(struct clerk *clerk)
{
    char request = CLERK_CANCEL;
    (void)clerk_send(clerk->fd, &request, 1);
}

void clerk_forget(struct clerk *clerk)
{
    if (clerk)
        conf_place_clear(&clerk->place);
}

void clerk_stop(struct clerk *clerk)
{
    if (!clerk)
        return;
    close(clerk->fd);
    if (clerk->pid > 0)
        while (waitpid(clerk->pid, NULL, 0) < 0 && errno == EINTR)
            continue;
    conf_place_release(&clerk->place);
    free(clerk);
}
