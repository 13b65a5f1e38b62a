/* Durable subscriptions, killed at every step that touches the disk, with the process alone and
 * with the machine: what was confirmed is there afterwards, in order, whole, and nothing before the
 * place that was settled is missing. The linker puts the functions below in the place of the
 * kernel's. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "broker/store.h"
#include "hpfeeds/frame.h"
#include "net/loop.h"

enum {
    FRAMES = 40,
    FRAME_SIZE = 30000, /* so that several segments come about, and go */
    QUEUE_MAX = 1 << 20,
    FILES_MAX = 64,
    HANG_S = 300,
};

/* What becomes of the process at step `fatal`. */
enum crash {
    CRASH_BEFORE, /* killed before it */
    CRASH_HALF,   /* killed when half of a write is done */
    CRASH_POWER,  /* the machine stops before it: what is not synced may be lost or torn */
};

/* A file as the disk has it for sure. */
struct disk_file {
    char name[64];
    off_t synced;
    bool entered; /* its name, too */
};

/* Shared with the victim. */
struct shared {
    _Atomic int steps;
    int fatal;
    enum crash crash;
    _Atomic unsigned confirmed; /* frames that a publisher was told of */
    _Atomic unsigned settled;   /* frames that the reader has for good */
    struct disk_file files[FILES_MAX];
};

static struct shared *shared;
static bool armed; /* in the victim */

ssize_t __real_pwritev64(int fd, const struct iovec *parts, int count, off_t offset);
int __real_fdatasync(int fd);
int __real_fsync(int fd);
int __real_unlinkat(int folder, const char *name, int flags);
int __real_ftruncate64(int fd, off_t len);
ssize_t __wrap_pwritev64(int fd, const struct iovec *parts, int count, off_t offset);
int __wrap_fdatasync(int fd);
int __wrap_fsync(int fd);
int __wrap_unlinkat(int folder, const char *name, int flags);
int __wrap_ftruncate64(int fd, off_t len);

/* True: half of it is to be done. */
static bool step(void)
{
    if (!armed || ++shared->steps != shared->fatal)
        return false;
    if (shared->crash != CRASH_HALF)
        _exit(9);
    return true;
}

static struct disk_file *disk_find(int fd)
{
    char link[64], path[500];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path - 1);
    path[len > 0 ? len : 0] = '\0';
    const char *name = strrchr(path, '/');
    for (size_t i = 0; name && i < FILES_MAX; i++) {
        struct disk_file *file = &shared->files[i];
        if (!*file->name)
            snprintf(file->name, sizeof file->name, "%s", name + 1);
        if (!strcmp(file->name, name + 1))
            return file;
    }
    abort();
}

ssize_t __wrap_pwritev64(int fd, const struct iovec *parts, int count, off_t offset)
{
    if (step()) {
        struct iovec half = parts[count - 1];
        half.iov_len /= 2;
        if (count > 1)
            offset += (off_t)__real_pwritev64(fd, parts, 1, offset);
        (void)!__real_pwritev64(fd, &half, 1, offset);
        _exit(9);
    }
    if (armed)
        disk_find(fd);
    return __real_pwritev64(fd, parts, count, offset);
}

int __wrap_fdatasync(int fd)
{
    struct stat status;
    if (step())
        _exit(9);
    int result = __real_fdatasync(fd);
    if (armed && !result && !fstat(fd, &status))
        disk_find(fd)->synced = status.st_size;
    return result;
}

/* Of a folder: the names in it are on disk. */
int __wrap_fsync(int fd)
{
    if (step())
        _exit(9);
    if (armed)
        for (size_t i = 0; i < FILES_MAX; i++)
            shared->files[i].entered = true;
    return __real_fsync(fd);
}

int __wrap_unlinkat(int folder, const char *name, int flags)
{
    if (step())
        _exit(9);
    return __real_unlinkat(folder, name, flags);
}

int __wrap_ftruncate64(int fd, off_t len)
{
    if (step())
        _exit(9);
    return __real_ftruncate64(fd, len);
}

/* --- the store, as a broker uses it --- */

struct user {
    struct net_loop *loop;
    struct broker_store *store;
    struct broker_queue *queue;
    unsigned appended; /* frames */
    unsigned expected; /* the number of the next frame that is read; 0: any */
    unsigned first;    /* the first that was read */
    bool settling;
};

static void user_open(struct user *user, const char *folder)
{
    struct broker_store_settings settings = {.directory = folder, .queue_max = QUEUE_MAX};
    struct err err;
    user->loop = net_loop_new();
    if (broker_store_open(user->loop, &settings, &user->store, &err) ||
        broker_store_add(user->store, "reader", "mails", &err)) {
        fprintf(stderr, "%s\n", err.text);
        abort();
    }
    user->queue = broker_store_queue(user->store, 0);
}

static void user_close(struct user *user)
{
    broker_store_free(user->store);
    net_loop_free(user->loop);
}

static void user_append(struct user *user)
{
    struct buf frame = {0};
    char *payload = mem_zalloc(FRAME_SIZE);
    snprintf(payload, FRAME_SIZE, "%u", ++user->appended);
    hpfeeds_add_publish(&frame, "writer", "mails", payload, FRAME_SIZE - user->appended % 7);
    struct block *block = block_from_buf(&frame);
    broker_queue_append(user->queue, block, 1);
    block_unref(block);
    free(payload);
}

/* Whole frames, one behind the other, numbered without a gap. */
static void user_on_frames(void *ctx, struct block *block, struct broker_place behind)
{
    struct user *user = ctx;
    struct hpfeeds_decoder decoder;
    struct hpfeeds_frame frame;
    hpfeeds_decoder_init(&decoder, FRAME_SIZE * 2);
    hpfeeds_decoder_feed(&decoder, block->data, block->len);
    while (hpfeeds_decoder_next(&decoder, &frame, NULL) > 0) {
        unsigned number = (unsigned)strtoul((const char *)frame.payload, NULL, 10);
        if (user->expected && number != user->expected) {
            fprintf(stderr, "frame %u in place of %u\n", number, user->expected);
            abort();
        }
        if (!user->first)
            user->first = number;
        user->expected = number + 1;
    }
    hpfeeds_decoder_release(&decoder);
    block_unref(block);
    if (user->settling) {
        shared->settled = user->expected - 1;
        broker_queue_settle(user->queue, behind);
    }
    broker_queue_want(user->queue, true);
    net_loop_stop(user->loop);
}

static const struct broker_reader_events reader_events = {.frames = user_on_frames};

static void user_on_durable(void *ctx)
{
    struct user *user = ctx;
    if (broker_store_durable(user->store) == broker_store_ticket(user->store))
        shared->confirmed = user->appended;
    net_loop_stop(user->loop);
}

static void user_on_failed(void *ctx, uint64_t from, const struct err *err)
{
    (void)ctx;
    (void)from;
    fprintf(stderr, "%s\n", err->text);
    abort();
}

/* Publishes in groups of one to three, each confirmed before the next; from the middle on somebody
 * reads, and settles what it has. */
static void victim(const char *folder)
{
    static const struct broker_store_events events = {
        .durable = user_on_durable,
        .failed = user_on_failed,
    };
    struct user user = {.settling = true};
    armed = true;
    user_open(&user, folder);
    broker_store_set_events(user.store, &events, &user);
    while (user.appended < FRAMES) {
        if (user.appended >= FRAMES / 2 && broker_queue_attach(user.queue, &reader_events, &user))
            broker_queue_want(user.queue, true);
        for (unsigned i = 0; i <= user.appended % 3; i++)
            user_append(&user);
        while (shared->confirmed < user.appended)
            net_loop_run(user.loop);
    }
    while (user.expected <= FRAMES)
        net_loop_run(user.loop);
    user_close(&user);
    _exit(0);
}

/* --- what is left --- */

/* Of each file only what was synced is sure: of the rest some is there, some of it wrong. */
static void lose_power(const char *folder)
{
    for (size_t i = 0; i < FILES_MAX; i++) {
        const struct disk_file *file = &shared->files[i];
        struct stat status;
        if (!*file->name)
            continue;
        char *path = mem_printf("%s/reader@mails/%s", folder, file->name);
        if (!stat(path, &status) && status.st_size > file->synced) {
            off_t kept = file->synced + (status.st_size - file->synced) / 3 * (off_t)(i % 3);
            assert_int_equal(truncate(path, kept), 0);
            int fd = open(path, O_WRONLY);
            if (kept > file->synced && i % 2) /* a page that was never written */
                (void)!pwrite(fd, "\0\0\0\0", 4, file->synced + (kept - file->synced) / 2);
            close(fd);
        }
        if (!file->entered && !file->synced)
            unlink(path);
        free(path);
    }
}

static void assert_nothing_lost(const char *folder)
{
    struct user user = {0};
    user_open(&user, folder);
    uint64_t frames = broker_queue_frames(user.queue);
    assert_true(broker_queue_attach(user.queue, &reader_events, &user));
    broker_queue_want(user.queue, true);
    while (frames && user.expected < (user.first ? user.first : 1) + frames)
        net_loop_run(user.loop);
    if (shared->confirmed > shared->settled) {
        assert_true(user.first && user.first <= shared->settled + 1);
        assert_true(user.expected > shared->confirmed);
    }
    user_close(&user);
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

/* False: it came to its end before that step. */
static bool crash_at(int fatal, enum crash crash)
{
    char folder[] = "/tmp/test-store-XXXXXX";
    assert_non_null(mkdtemp(folder));
    memset(shared, 0, sizeof *shared);
    shared->fatal = fatal;
    shared->crash = crash;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (!pid)
        victim(folder);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    bool crashed = WEXITSTATUS(status) == 9;
    assert_true(crashed || !WEXITSTATUS(status));
    if (crash == CRASH_POWER && crashed)
        lose_power(folder);
    assert_nothing_lost(folder);
    nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    return crashed;
}

static void test_at_every_step(enum crash crash)
{
    int fatal = 1;
    while (crash_at(fatal, crash))
        fatal++;
    print_message("%d steps\n", fatal - 1);
    assert_true(fatal > 50);
    assert_true(shared->confirmed >= FRAMES);
}

static void test_killed_before(void **state)
{
    (void)state;
    test_at_every_step(CRASH_BEFORE);
}

static void test_killed_in_a_write(void **state)
{
    (void)state;
    test_at_every_step(CRASH_HALF);
}

static void test_power_lost(void **state)
{
    (void)state;
    test_at_every_step(CRASH_POWER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_killed_before),
        cmocka_unit_test(test_killed_in_a_write),
        cmocka_unit_test(test_power_lost),
    };
    alarm(HANG_S);
    log_setup(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, stderr);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return shared == MAP_FAILED ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
