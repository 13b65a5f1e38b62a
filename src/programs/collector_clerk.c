#include "programs/collector_clerk.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "programs/collector_desk.h"

enum {
    CLERK_TICK = 50, /* ms between looks whether a deed is cancelled */
};

struct clerk {
    struct desk_settings ends; /* the lines are the collector's ends of them */
    pid_t pid;                 /* 0: it has ended */
};

/* --- its life ----------------------------------------------------------------------------------
 */

static void clerk_close(struct desk_settings *ends)
{
    if (ends->load >= 0)
        close(ends->load);
    for (size_t i = 0; i < DESK_LANES; i++)
        if (ends->lanes[i] >= 0)
            close(ends->lanes[i]);
}

static int clerk_pair(int type, int *ret_own, int *ret_other)
{
    int ends[2];
    if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends) < 0)
        return -1;
    *ret_own = ends[0];
    *ret_other = ends[1];
    return 0;
}

/* Packets on the lanes: what is said there has a length that nobody can lie about. */
static int clerk_connect(struct desk_settings *own, struct desk_settings *other)
{
    own->load = other->load = -1;
    for (size_t i = 0; i < DESK_LANES; i++)
        own->lanes[i] = other->lanes[i] = -1;
    if (conf_place_reserve(&own->place) < 0 || clerk_pair(SOCK_STREAM, &own->load, &other->load))
        return -1;
    other->place = own->place;
    for (size_t i = 0; i < DESK_LANES; i++)
        if (clerk_pair(SOCK_SEQPACKET, &own->lanes[i], &other->lanes[i]))
            return -1;
    return 0;
}

int clerk_start(const struct collector_options *options, const char *directory,
                struct clerk **ret_clerk, struct err *err)
{
    struct clerk *clerk = mem_new(struct clerk);
    struct desk_settings desk = {.options = options, .directory = directory};
    const char *what = "no room for the configuration";
    int result = clerk_connect(&clerk->ends, &desk);
    if (result == 0) {
        what = "no process to read the configuration";
        clerk->pid = fork();
        result = clerk->pid < 0 ? -1 : 0;
    }
    if (result == 0 && clerk->pid == 0) {
        clerk_close(&clerk->ends);
        desk_run(&desk);
    }
    int error = errno;
    clerk_close(&desk);
    if (result < 0) {
        clerk->pid = 0;
        clerk_stop(clerk);
        return err_set(err, ERR_GIVE_UP, "%s: %s", what, err_errno_text(error));
    }
    *ret_clerk = clerk;
    return 0;
}

bool clerk_gone(struct clerk *clerk)
{
    if (clerk->pid > 0 && waitpid(clerk->pid, NULL, WNOHANG) == clerk->pid) {
        clerk->pid = 0;
        return true;
    }
    return false;
}

void clerk_stop(struct clerk *clerk)
{
    if (!clerk)
        return;
    clerk_close(&clerk->ends);
    if (clerk->pid > 0)
        while (waitpid(clerk->pid, NULL, 0) < 0 && errno == EINTR)
            continue;
    conf_place_release(&clerk->ends.place);
    free(clerk);
}

/* --- loading -----------------------------------------------------------------------------------
 */

static int clerk_receive_problems(int fd, const struct desk_loaded *answer,
                                  struct conf_problems *problems)
{
    problems->items = mem_realloc_array(NULL, answer->problems, sizeof *problems->items);
    while (problems->count < answer->problems) {
        struct desk_problem head;
        if (desk_receive(fd, &head, sizeof head))
            return -1;
        char *text = mem_alloc(head.len + 1);
        problems->items[problems->count++] =
            (struct conf_problem){.warning = head.warning, .text = text};
        text[0] = '\0';
        if (desk_receive(fd, text, head.len))
            return -1;
        text[head.len] = '\0';
    }
    problems->errors = answer->errors;
    return 0;
}

static int clerk_say(const struct clerk *clerk, enum desk_request request)
{
    char byte = (char)request;
    return desk_send(clerk->ends.load, &byte, 1);
}

static int clerk_receive_answer(struct clerk *clerk, struct desk_loaded *answer,
                                struct conf_problems *problems)
{
    int fd = clerk->ends.load;
    if (clerk_say(clerk, DESK_LOAD) || desk_receive(fd, answer, sizeof *answer))
        return -1;
    if (answer->used &&
        desk_receive(fd, conf_place_cut(&clerk->ends.place, answer->used, 1), answer->used))
        return -1;
    return clerk_receive_problems(fd, answer, problems);
}

int clerk_load(struct clerk *clerk, struct conf **ret_conf, struct conf_problems *ret_problems)
{
    struct desk_loaded answer;
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

void clerk_taken(struct clerk *clerk)
{
    (void)clerk_say(clerk, DESK_TAKEN);
}

void clerk_cancel(struct clerk *clerk)
{
    (void)clerk_say(clerk, DESK_CANCEL);
}

void clerk_forget(struct clerk *clerk)
{
    if (clerk)
        conf_place_clear(&clerk->ends.place);
}

/* --- deeds -------------------------------------------------------------------------------------
 */

static int clerk_ask(int lane, const struct token_deed *deed)
{
    struct desk_deed packet = {.kind = (uint8_t)deed->kind};
    size_t len = deed->token ? strnlen(deed->token, sizeof packet.token) : 0;
    memcpy(packet.key, deed->key, sizeof packet.key);
    if (len)
        memcpy(packet.token, deed->token, len);
    int result = desk_send(lane, &packet, offsetof(struct desk_deed, token) + len);
    mem_wipe(&packet, sizeof packet);
    return result;
}

/* Returns the length of the answer; 0 or less: there is nobody any more. */
static ssize_t clerk_await(int lane, const struct token_deed *deed, struct desk_done *answer)
{
    struct pollfd look = {.fd = lane, .events = POLLIN};
    bool told = false;
    while (poll(&look, 1, CLERK_TICK) <= 0) {
        const char cancel = DESK_CANCEL;
        if (!told && deed->cancelled && atomic_load(deed->cancelled)) {
            (void)desk_send(lane, &cancel, 1);
            told = true;
        }
    }
    ssize_t got;
    do
        got = recv(lane, answer, sizeof *answer, 0);
    while (got < 0 && errno == EINTR);
    return got;
}

static int clerk_act(void *ctx, const struct token_deed *deed, char **ret_token, struct err *err)
{
    const size_t before = offsetof(struct desk_done, token);
    const struct clerk *clerk = ctx;
    int lane = clerk->ends.lanes[deed->slot];
    struct desk_done answer;
    int result = 0;
    ssize_t got = clerk_ask(lane, deed) ? -1 : clerk_await(lane, deed, &answer);
    if (got < (ssize_t)before) {
        return err_set(err, ERR_GIVE_UP,
                       "the process that runs token_command and keeps refresh tokens "
                       "(collector-clerk) is gone: restart");
    }
    if (!answer.done) {
        *err = answer.err;
        result = -1;
    } else {
        size_t len = (size_t)got - before;
        *ret_token = len ? mem_strndup(answer.token, len) : NULL;
    }
    mem_wipe(&answer, sizeof answer);
    return result;
}

struct token_doer clerk_doer(struct clerk *clerk)
{
    return (struct token_doer){.act = clerk_act, .ctx = clerk};
}
