#include "programs/collector_desk.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "programs/collector_tokens.h"

enum {
    DESK_LINES = 1 + DESK_LANES, /* the first is for loading */
    DESK_STEP = 4096,
    DESK_TICK = 50, /* ms between looks where poll() cannot wait */
};

/* IDLE → (a request) → BUSY: a child works → (it has ended) → IDLE. Who hangs up, or cancels, is
 * not listened to until the child has ended. */
struct desk_line {
    int fd;    /* -1: hung up */
    pid_t pid; /* of the child, while … */
    int ended; /* … the pipe that it holds is open; -1: idle */
    bool deaf;
};

/* The means of all accounts, as the child that loads writes them: how many bytes there are, then
 * for each account a desk_means and its strings, a NUL behind each. */
struct desk_means {
    uint8_t key[TOKEN_KEY];
    size_t command; /* bytes, the NULs among them; 0: none */
    size_t directory;
    size_t file;
};

struct desk {
    const struct desk_settings *settings;
    struct conf_place place;
    struct desk_line lines[DESK_LINES];
    struct buf coming; /* what the child that loads has written so far */
    struct buf loaded; /* of the last configuration without errors */
    struct buf taken;  /* of the one in use, if that is another */
};

static atomic_bool desk_cancelled; /* of a child */

int desk_send(int fd, const void *data, size_t len)
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

int desk_receive(int fd, void *data, size_t len)
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

static void desk_wipe(struct buf *buf)
{
    if (buf->data)
        mem_wipe(buf->data, buf->cap);
    buf_release(buf);
}

/* --- loading: in a child
 * ----------------------------------------------------------------------- */

static int desk_send_problems(int fd, const struct conf_problems *problems)
{
    for (size_t i = 0; i < problems->count; i++) {
        const struct conf_problem *problem = &problems->items[i];
        struct desk_problem head = {.warning = problem->warning, .len = strlen(problem->text)};
        if (desk_send(fd, &head, sizeof head) || desk_send(fd, problem->text, head.len))
            return -1;
    }
    return 0;
}

static size_t desk_size(const char *text)
{
    return text ? strlen(text) + 1 : 0;
}

static void desk_add_means(struct buf *out, const struct conf_mailbox *mailbox,
                           const char *directory)
{
    const struct conf_oauth2 *oauth2 = mailbox->oauth2;
    struct desk_means means = {0};
    char *file = tokens_key(mailbox, directory, means.key);
    means.command = oauth2->command_len;
    means.directory = desk_size(oauth2->directory);
    means.file = desk_size(file);
    buf_add(out, &means, sizeof means);
    buf_add(out, oauth2->command, means.command);
    buf_add(out, oauth2->directory, means.directory);
    buf_add(out, file, means.file);
    free(file);
}

/* Before the answer, so that the clerk has it when a deed is asked for. */
static int desk_tell_means(int fd, const struct conf *conf, const char *directory)
{
    struct buf out = {0};
    size_t count = 0;
    buf_add(&out, &count, sizeof count);
    for (size_t i = 0; i < conf->mailbox_count; i++)
        if (conf->mailboxes[i].oauth2)
            desk_add_means(&out, &conf->mailboxes[i], directory);
    count = out.len - sizeof count;
    memcpy(out.data, &count, sizeof count);
    int result = 0;
    for (size_t at = 0; at < out.len && result == 0;) {
        ssize_t wrote = write(fd, out.data + at, out.len - at);
        if (wrote >= 0)
            at += (size_t)wrote;
        else if (errno != EINTR)
            result = -1;
    }
    desk_wipe(&out);
    return result;
}

static int desk_load(struct desk *desk, int fd, int to_clerk)
{
    const struct collector_options *options = desk->settings->options;
    struct desk_loaded loaded = {0};
    struct conf_problems problems;
    conf_load_into(&desk->place, options->feed_config, options->mailbox_config,
                   options->delete_after, &desk_cancelled, &loaded.conf, &problems);
    loaded.used = desk->place.used;
    loaded.problems = problems.count;
    loaded.errors = problems.errors;
    int result = 0;
    if (loaded.conf)
        result = desk_tell_means(to_clerk, loaded.conf, desk->settings->directory);
    if (result || desk_send(fd, &loaded, sizeof loaded) ||
        desk_send(fd, desk->place.base, loaded.used) || desk_send_problems(fd, &problems))
        result = 1;
    conf_problems_release(&problems);
    return result;
}

/* In place of the child: it is asked again when there is more of what is missing. */
static void desk_refuse_load(int fd, int error)
{
    struct desk_loaded loaded = {.problems = 1, .errors = 1};
    struct conf_problem problem = {
        .text = mem_printf("no process to read the configuration: %s", err_errno_text(error))};
    const struct conf_problems problems = {.items = &problem, .count = 1, .errors = 1};
    if (desk_send(fd, &loaded, sizeof loaded) == 0)
        desk_send_problems(fd, &problems);
    free(problem.text);
}

/* --- deeds: in a child
 * ------------------------------------------------------------------------- */

static bool desk_find(const struct buf *known, const uint8_t key[TOKEN_KEY],
                      struct token_means *ret_means)
{
    for (size_t at = 0; at < known->len;) {
        struct desk_means head;
        const char *texts = (const char *)known->data + at + sizeof head;
        memcpy(&head, known->data + at, sizeof head);
        at += sizeof head + head.command + head.directory + head.file;
        if (memcmp(head.key, key, TOKEN_KEY) != 0)
            continue;
        *ret_means = (struct token_means){
            .command = head.command ? texts : NULL,
            .command_len = head.command,
            .directory = head.directory ? texts + head.command : NULL,
            .file = head.file ? texts + head.command + head.directory : NULL,
        };
        return true;
    }
    return false;
}

/* `packet` comes from whom nobody has to believe: it is of `len` bytes, whatever they are. */
static int desk_do(const struct desk *desk, const struct desk_deed *packet, size_t len,
                   char **ret_token, struct err *err)
{
    const size_t before = offsetof(struct desk_deed, token);
    struct token_means means;
    if (len < before || len > sizeof *packet || packet->kind > TOKEN_WRITE ||
        (packet->kind != TOKEN_WRITE && len != before))
        return err_set(err, ERR_GIVE_UP, "the clerk was asked for what it does not know");
    if (!desk_find(&desk->loaded, packet->key, &means) &&
        !desk_find(&desk->taken, packet->key, &means))
        return err_set(err, ERR_GIVE_UP, "the account is not in the configuration");
    char *token = packet->kind == TOKEN_WRITE ? mem_strndup(packet->token, len - before) : NULL;
    const struct token_deed deed = {
        .kind = packet->kind, .token = token, .cancelled = &desk_cancelled};
    /* A NUL in the middle is no token's either. */
    int result = token && (strlen(token) != len - before || !oauth_token_valid(token))
                     ? err_set(err, ERR_GIVE_UP, "that is no refresh token")
                     : token_deed_do(&means, &deed, ret_token, err);
    mem_free_secret(token);
    return result;
}

static int desk_answer(int fd, int result, const char *token, const struct err *err)
{
    struct desk_done done = {.done = result == 0};
    size_t len = result == 0 && token ? strlen(token) : 0;
    if (result < 0)
        done.err = *err;
    if (len)
        memcpy(done.token, token, len);
    int sent = desk_send(fd, &done, offsetof(struct desk_done, token) + len);
    mem_wipe(&done, sizeof done);
    return sent;
}

static int desk_serve(const struct desk *desk, int fd, const struct desk_deed *packet, size_t len)
{
    char *token = NULL;
    struct err err = {0};
    int result = desk_do(desk, packet, len, &token, &err);
    int sent = desk_answer(fd, result, token, &err);
    mem_free_secret(token);
    return sent ? 1 : 0;
}

static void desk_refuse_deed(int fd, int error)
{
    struct err err;
    err_set(&err, ERR_RETRY_LATER, "no process to get a token: %s", err_errno_text(error));
    desk_answer(fd, -1, NULL, &err);
}

/* --- the clerk
 * --------------------------------------------------------------------------------- */

static void desk_on_cancel(int number)
{
    (void)number;
    atomic_store(&desk_cancelled, true);
}

/* The child's: nobody is to wait for another's line because of it. */
static void desk_close_others(const struct desk *desk, const struct desk_line *own)
{
    for (const struct desk_line *line = desk->lines; line < desk->lines + DESK_LINES; line++) {
        if (line != own && line->fd >= 0)
            close(line->fd);
        if (line->ended >= 0)
            close(line->ended);
    }
}

static void desk_begin(struct desk *desk, struct desk_line *line, const struct desk_deed *packet,
                       size_t len)
{
    bool loads = line == desk->lines;
    int ends[2] = {-1, -1};
    atomic_store(&desk_cancelled, false);
    pid_t pid = pipe2(ends, O_CLOEXEC) < 0 ? -1 : fork();
    int error = errno;
    if (pid == 0) {
        close(ends[0]);
        desk_close_others(desk, line);
        _exit(loads ? desk_load(desk, line->fd, ends[1]) : desk_serve(desk, line->fd, packet, len));
    }
    if (ends[1] >= 0)
        close(ends[1]);
    if (pid > 0) {
        fcntl(ends[0], F_SETFL, O_NONBLOCK);
        line->pid = pid;
        line->ended = ends[0];
        return;
    }
    if (ends[0] >= 0)
        close(ends[0]);
    if (loads)
        desk_refuse_load(line->fd, error);
    else
        desk_refuse_deed(line->fd, error);
}

static void desk_replace(struct buf *old, struct buf *moved)
{
    desk_wipe(old);
    *old = *moved;
    *moved = (struct buf){0};
}

/* A request, or that there will be none any more. */
static void desk_listen(struct desk *desk, struct desk_line *line)
{
    struct desk_deed packet;
    bool loads = line == desk->lines, busy = line->ended >= 0;
    /* MSG_TRUNC: a packet that is too long has its own length, not what fits. */
    ssize_t got = loads ? recv(line->fd, &packet, 1, MSG_DONTWAIT | (busy ? MSG_PEEK : 0))
                        : recv(line->fd, &packet, sizeof packet,
                               MSG_DONTWAIT | MSG_TRUNC | (busy ? MSG_PEEK : 0));
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    bool cancels = got == 1 && packet.kind == DESK_CANCEL;
    if (busy) {
        if (cancels)
            (void)recv(line->fd, &packet, 1, MSG_DONTWAIT);
        if (got <= 0 || cancels)
            kill(line->pid, SIGUSR1);
        line->deaf = true;
    } else if (got <= 0) {
        close(line->fd);
        line->fd = -1;
    } else if (loads && packet.kind == DESK_TAKEN) {
        if (desk->loaded.data)
            desk_replace(&desk->taken, &desk->loaded);
    } else if (!cancels && (!loads || packet.kind == DESK_LOAD)) {
        desk_begin(desk, line, &packet, (size_t)got);
    }
    mem_wipe(&packet, sizeof packet);
}

/* As buf_add(), but that growing leaves no copy. */
static void desk_add(struct buf *buf, const uint8_t *bytes, size_t len)
{
    if (buf->cap - buf->len < len) {
        struct buf grown = {0};
        buf_reserve_exact(&grown, 2 * buf->cap + len);
        buf_add(&grown, buf->data, buf->len);
        desk_replace(buf, &grown);
    }
    buf_add(buf, bytes, len);
}

/* What the child has written: complete as soon as all of it is here. */
static void desk_take_means(struct desk *desk, uint8_t *bytes, size_t len)
{
    size_t count;
    desk_add(&desk->coming, bytes, len);
    mem_wipe(bytes, len);
    if (desk->coming.len < sizeof count)
        return;
    memcpy(&count, desk->coming.data, sizeof count);
    if (desk->coming.len - sizeof count < count)
        return;
    buf_drop_front(&desk->coming, sizeof count);
    desk_replace(&desk->loaded, &desk->coming);
}

/* It did not answer, or not to the end: a packet says so, a stream is at its end. */
static void desk_child_failed(struct desk_line *line, bool loads)
{
    struct err err;
    err_set(&err, ERR_RETRY_LATER, "the process that gets the token was killed");
    if (!loads && desk_answer(line->fd, -1, NULL, &err) == 0)
        return;
    close(line->fd);
    line->fd = -1;
}

/* The child's pipe has something, or it is closed: then the child has ended. False: neither. */
static bool desk_hear_child(struct desk *desk, struct desk_line *line)
{
    uint8_t bytes[DESK_STEP];
    int status = 0;
    ssize_t got = read(line->ended, bytes, sizeof bytes);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (got > 0) {
        desk_take_means(desk, bytes, (size_t)got);
        return true;
    }
    close(line->ended);
    line->ended = -1;
    line->deaf = false;
    while (waitpid(line->pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (line == desk->lines)
        desk_wipe(&desk->coming);
    if (status)
        desk_child_failed(line, line == desk->lines);
    return true;
}

static bool desk_goes_on(const struct desk *desk)
{
    bool busy = desk->lines[0].fd >= 0;
    for (size_t i = 0; i < DESK_LINES; i++)
        busy = busy || desk->lines[i].ended >= 0;
    return busy;
}

/* poll(2) refuses more than the limit of open files, which may have become less than are open: then
 * all are looked at, again and again. */
static void desk_wait(struct pollfd *looks, size_t count)
{
    if (poll(looks, count, -1) >= 0 || errno == EINTR)
        return;
    nanosleep(&(struct timespec){.tv_nsec = DESK_TICK * 1000000}, NULL);
    for (size_t i = 0; i < count; i++)
        looks[i].revents = looks[i].fd >= 0 ? POLLIN : 0;
}

/* Children first: what one has written before it answered counts for whoever was answered. */
static void desk_round(struct desk *desk)
{
    struct pollfd looks[2 * DESK_LINES];
    for (size_t i = 0; i < DESK_LINES; i++) {
        const struct desk_line *line = &desk->lines[i];
        looks[i] = (struct pollfd){.fd = line->ended, .events = POLLIN};
        looks[DESK_LINES + i] = (struct pollfd){.fd = line->deaf ? -1 : line->fd, .events = POLLIN};
    }
    desk_wait(looks, sizeof looks / sizeof *looks);
    bool heard = false;
    for (size_t i = 0; i < DESK_LINES; i++)
        if (looks[i].revents && desk_hear_child(desk, &desk->lines[i]))
            heard = true;
    for (size_t i = 0; i < DESK_LINES && !heard; i++)
        if (looks[DESK_LINES + i].revents)
            desk_listen(desk, &desk->lines[i]);
}

/* Signals are for the collector, and it ends with that. */
_Noreturn void desk_run(const struct desk_settings *settings)
{
    struct desk desk = {.settings = settings, .place = settings->place};
    prctl(PR_SET_NAME, "collector-clerk");
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGUSR1, desk_on_cancel);
    for (size_t i = 0; i < DESK_LINES; i++)
        desk.lines[i] =
            (struct desk_line){.fd = i ? settings->lanes[i - 1] : settings->load, .ended = -1};
    while (desk_goes_on(&desk))
        desk_round(&desk);
    _exit(0);
}
