/* Each fence, tried from inside: a child puts them up and then does what it must not. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fence/fence.h"
#include "fence/process.h"
#include "fence/user.h"

static char fence_directory[] = "/tmp/fence-XXXXXX";

/* A child's deeds return 0, or the errno that they met. */
static int fence_result(long result)
{
    return result < 0 ? errno : 0;
}

static int fence_open(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
    return fence_result(fd);
}

static int deed_read_allowed(void)
{
    return fence_open("readable/file", O_RDONLY);
}

static int deed_write_allowed(void)
{
    int error = fence_open("writable/new", O_WRONLY | O_CREAT | O_TRUNC);
    if (!error)
        error = fence_result(rename("writable/new", "writable/newer"));
    return error ? error : fence_result(unlink("writable/newer"));
}

static int deed_read_other(void)
{
    return fence_open("other", O_RDONLY);
}

static int deed_read_passwd(void)
{
    return fence_open("/etc/passwd", O_RDONLY);
}

static int deed_list_other(void)
{
    return fence_open(".", O_RDONLY | O_DIRECTORY);
}

static int deed_write_readable(void)
{
    return fence_open("readable/file", O_WRONLY);
}

static int deed_empty_other(void)
{
    return fence_result(truncate("other", 0));
}

static int deed_make_other(void)
{
    return fence_open("made", O_WRONLY | O_CREAT);
}

static int deed_remove_other(void)
{
    return fence_result(unlink("other"));
}

static int deed_link_out(void)
{
    return fence_result(symlink("/etc/passwd", "writable/link"));
}

static int deed_run(void)
{
    char *const words[] = {(char *)"/bin/true", NULL};
    return fence_result(execv(words[0], words));
}

static int deed_listen(void)
{
    return fence_result(listen(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), 1));
}

static int deed_bind(void)
{
    const struct sockaddr_in any = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fence_result(bind(fd, (const struct sockaddr *)&any, sizeof any));
}

static int deed_socket(void)
{
    return fence_result(socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

static int deed_netlink(void)
{
    return fence_result(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0));
}

/* Of what a kernel has, or loads for whoever asks. */
static int deed_other_protocol(void)
{
    return fence_result(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_MPTCP));
}

static int deed_other_type(void)
{
    return fence_result(socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_UDP));
}

static int deed_datagram(void)
{
    return fence_result(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, IPPROTO_UDP));
}

/* What is readable for its owner alone, for everyone. */
static int deed_open_up(void)
{
    return fence_result(chmod("other", 0644));
}

static int deed_open_up_at(void)
{
    return fence_result(fchmodat(AT_FDCWD, "other", 0644, 0));
}

static int deed_touch(void)
{
    return fence_result(utimensat(AT_FDCWD, "other", NULL, 0));
}

/* A descriptor signals whom it is told to when something can be read. */
static int deed_signal_by_owner(void)
{
    int ends[2];
    if (pipe(ends))
        return errno;
    return fence_result(fcntl(ends[0], F_SETOWN, getppid()));
}

static int deed_signal_by_number(void)
{
    int ends[2];
    if (pipe(ends))
        return errno;
    return fence_result(fcntl(ends[0], F_SETSIG, SIGKILL));
}

static int deed_flags(void)
{
    int ends[2];
    int error = fence_result(pipe(ends));
    if (!error)
        error = fence_result(fcntl(ends[0], F_SETFL, fcntl(ends[0], F_GETFL) | O_NONBLOCK));
    return error ? error : fence_result(fcntl(ends[0], F_DUPFD_CLOEXEC, 0));
}

/* Whoever ran it would be this user, without a fence. */
static int deed_make_runner(void)
{
    return fence_result(open("writable/runner", O_WRONLY | O_CREAT | O_CLOEXEC, 04755));
}

static int deed_make_nameless_runner(void)
{
    return fence_result(open("writable", O_WRONLY | O_TMPFILE | O_CLOEXEC, 02755));
}

static int deed_become_runner(void)
{
    int fd = open("writable/new", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    int error = unlink("writable/new") ? errno : 0;
    return error ? error : fence_result(fchmod(fd, 06755));
}

static int deed_change_mode(void)
{
    int fd = open("writable/new", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    int error = unlink("writable/new") ? errno : 0;
    return error ? error : fence_result(fchmod(fd, 0644));
}

/* What listens there does for others what it may: start containers, services, programs. */
static int fence_ask(const char *name, size_t len)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    memcpy(address.sun_path, name, len);
    return fence_result(connect(fd, (const struct sockaddr *)&address,
                                (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)));
}

static int deed_ask(void)
{
    return fence_ask("service", sizeof "service");
}

static char fence_abstract[40]; /* the name of a service that is no file, behind a NUL */

static int deed_ask_abstract(void)
{
    return fence_ask(fence_abstract, 1 + strlen(fence_abstract + 1));
}

static int deed_ask_in_packets(void)
{
    return fence_result(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
}

static int deed_notify(void)
{
    return fence_result(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
}

/* A pair leads nowhere else. */
static int deed_ask_by_pair(void)
{
    const struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "service"};
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
        return errno;
    close(ends[1]);
    return fence_result(connect(ends[0], (const struct sockaddr *)&address, sizeof address));
}

#ifdef __x86_64__
/* As a program of 32 bits calls: 20 is its getpid(). */
static int deed_call_as_32_bits(void)
{
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(20L) : "memory");
    return result < 0 ? (int)-result : 0;
}

static int deed_call_as_x32(void)
{
    return fence_result(syscall(0x40000000 + SYS_getpid));
}
#endif

static int deed_be_dumped(void)
{
    return fence_result(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
}

static int deed_trace(void)
{
    return fence_result(ptrace(PTRACE_ATTACH, getppid(), NULL, NULL));
}

static int deed_signal(void)
{
    return fence_result(kill(getppid(), 0));
}

static int deed_fork(void)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    return fence_result(pid);
}

static int deed_code(void)
{
    void *code = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return code == MAP_FAILED ? errno : 0;
}

static void *fence_thread_work(void *arg)
{
    *(int *)arg = fence_open("other", O_RDONLY);
    return NULL;
}

/* A thread can be made, and is no way out. */
static int deed_thread(void)
{
    pthread_t thread;
    int error = 0;
    if (pthread_create(&thread, NULL, fence_thread_work, &error) || pthread_join(thread, NULL))
        return ECHILD;
    return error;
}

struct fence_case {
    const char *what;
    int (*deed)(void);
    int met;        /* the errno, 0: it may do that */
    bool sanitizer; /* needs what sanitizers are let */
};

static const struct fence_case fence_cases[] = {
    {"read what it may", deed_read_allowed, 0, false},
    {"make, rename and remove where it may write", deed_write_allowed, 0, false},
    {"connect", deed_socket, 0, false},
    {"read another file", deed_read_other, EACCES, false},
    {"read another file on a thread", deed_thread, EACCES, false},
    {"read /etc/passwd", deed_read_passwd, EACCES, false},
    {"list another directory", deed_list_other, EACCES, false},
    {"write what it may read", deed_write_readable, EACCES, false},
    {"empty another file", deed_empty_other, EPERM, false},
    {"make another file", deed_make_other, EACCES, false},
    {"remove another file", deed_remove_other, EACCES, false},
    {"make a link", deed_link_out, EPERM, false},
    {"run a program", deed_run, EPERM, false},
    {"listen", deed_listen, EPERM, false},
    {"bind", deed_bind, EPERM, false},
    {"talk to the kernel", deed_netlink, EPERM, false},
    {"speak another protocol", deed_other_protocol, EPERM, false},
    {"make packets", deed_other_type, EPERM, false},
    {"send datagrams", deed_datagram, 0, false},
    {"open another file up", deed_open_up, EPERM, false},
    {"open another file up at a place", deed_open_up_at, EPERM, false},
    {"touch another file", deed_touch, EPERM, false},
    {"signal another process by a descriptor", deed_signal_by_owner, EPERM, false},
    {"choose a descriptor's signal", deed_signal_by_number, EPERM, false},
    {"change a descriptor", deed_flags, 0, false},
    {"make a program of its user's", deed_make_runner, EPERM, false},
    {"make one without a name", deed_make_nameless_runner, EPERM, false},
    {"make a file one", deed_become_runner, EPERM, false},
    {"change a file's mode", deed_change_mode, 0, false},
    {"ask a service", deed_ask, EPERM, false},
    {"ask one that is no file", deed_ask_abstract, EPERM, false},
    {"ask in packets", deed_ask_in_packets, EPERM, false},
    {"ask by a pair", deed_ask_by_pair, EISCONN, false},
    {"tell systemd", deed_notify, 0, false},
#ifdef __x86_64__
    {"call as a program of 32 bits", deed_call_as_32_bits, EPERM, false},
    {"call as one of x32", deed_call_as_x32, EPERM, false},
#endif
    {"be dumped", deed_be_dumped, EPERM, true},
    {"trace another process", deed_trace, EPERM, true},
    {"signal another process", deed_signal, EPERM, true},
    {"start a process", deed_fork, EPERM, true},
    {"make code", deed_code, EPERM, true},
};

static const char *const fence_readable[] = {"readable", "not there"};
static const char *const fence_writable[] = {"writable"};

static const struct fence_settings fence_settings = {
    .readable = fence_readable,
    .readable_count = 2,
    .writable = fence_writable,
    .writable_count = 1,
};

/* For who looks names up with them. */
static const struct fence_settings fence_settings_asking = {
    .readable = fence_readable,
    .readable_count = 2,
    .asks = true,
};

/* The exit code of a child that does `deed` within the fences; 255: they are not whole. */
static int fence_try(const struct fence_settings *settings, int (*deed)(void))
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct err err;
        fence_process();
        if (fence_up(settings, &err) < 0) {
            fprintf(stderr, "%s\n", err.text);
            _exit(255);
        }
        _exit(deed());
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int deed_nothing(void)
{
    return 0;
}

static void test_fences(void **state)
{
    (void)state;
#ifdef SANITIZED
    bool sanitized = true;
#else
    bool sanitized = false;
#endif
    if (fence_try(&fence_settings, deed_nothing) == 255)
        skip(); /* this kernel lacks one, as was just said */
    for (size_t i = 0; i < sizeof fence_cases / sizeof *fence_cases; i++) {
        const struct fence_case *one = &fence_cases[i];
        if (one->sanitizer && sanitized)
            continue;
        int met = fence_try(&fence_settings, one->deed);
        if (met != one->met)
            fail_msg("%s: %s", one->what, strerror(met));
    }
    assert_int_equal(fence_try(&fence_settings_asking, deed_ask), 0);
    assert_int_equal(fence_try(&fence_settings_asking, deed_ask_in_packets), EPERM);
}

enum {
    FENCE_ABI_SCOPED = 6,
    FENCE_QUESTION_VERSION = 1
};

static void test_abstract(void **state)
{
    (void)state;
    struct fence_settings settings = fence_settings_asking;
    long version = syscall(SYS_landlock_create_ruleset, NULL, (size_t)0, FENCE_QUESTION_VERSION);
    if (version < FENCE_ABI_SCOPED)
        skip();
    assert_int_equal(fence_try(&settings, deed_ask_abstract), EPERM);
    settings.abstract = true;
    assert_int_equal(fence_try(&settings, deed_ask_abstract), 0);
}

/* Without them all of it can be done: the cases above are no others' doing. */
static void test_without(void **state)
{
    (void)state;
    assert_int_equal(deed_read_other(), 0);
    assert_int_equal(deed_read_passwd(), 0);
    assert_int_equal(deed_write_readable(), 0);
    assert_int_equal(deed_list_other(), 0);
    assert_int_equal(deed_listen(), 0);
    assert_int_equal(deed_bind(), 0);
    assert_int_equal(deed_signal(), 0);
    assert_int_equal(deed_code(), 0);
    assert_int_equal(deed_open_up(), 0);
    assert_int_equal(deed_touch(), 0);
    assert_int_equal(deed_signal_by_owner(), 0);
    assert_int_equal(deed_signal_by_number(), 0);
    assert_int_equal(deed_ask(), 0);
    assert_int_equal(deed_ask_abstract(), 0);
    assert_int_equal(deed_become_runner(), 0);
}

static int status_field(const char *name)
{
    char line[200];
    int value = -1;
    FILE *file = fopen("/proc/self/status", "re");
    assert_non_null(file);
    while (fgets(line, sizeof line, file))
        if (!strncmp(line, name, strlen(name)))
            value = (int)strtol(line + strlen(name), NULL, 10);
    fclose(file);
    return value;
}

static int deed_status(void)
{
    bool good = status_field("NoNewPrivs:") == 1 && prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0;
    return good ? 0 : EINVAL;
}

static void test_process(void **state)
{
    (void)state;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        fence_process();
        _exit(deed_status());
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void test_user(void **state)
{
    (void)state;
    struct err err;
    assert_int_equal(fence_user_become("no such user", &err), -1);
    assert_string_equal(err.text, "--user: there is no user no such user");
    if (geteuid() == 0) {
        assert_int_equal(fence_user_become(NULL, &err), -1);
        assert_non_null(strstr(err.text, "--user NAME"));
        assert_int_equal(fence_user_become("root", &err), 0);
    } else {
        assert_int_equal(fence_user_become(NULL, &err), 0);
        assert_int_equal(fence_user_become("root", &err), -1);
        assert_string_equal(err.text, "--user: only root can become root");
    }
}

/* Somebody who is asked there. */
static int fence_listen(const char *name, size_t len)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    memcpy(address.sun_path, name, len);
    if (bind(fd, (const struct sockaddr *)&address,
             (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)))
        return -1;
    return listen(fd, 64);
}

static int fence_begin(void **state)
{
    (void)state;
    if (!mkdtemp(fence_directory) || chdir(fence_directory) || mkdir("readable", 0700) ||
        mkdir("writable", 0700))
        return -1;
    snprintf(fence_abstract + 1, sizeof fence_abstract - 1, "fence-%d", (int)getpid());
    if (fence_listen("service", sizeof "service") ||
        fence_listen(fence_abstract, 1 + strlen(fence_abstract + 1)))
        return -1;
    return fence_open("readable/file", O_CREAT) || fence_open("other", O_CREAT) ? -1 : 0;
}

static int fence_end(void **state)
{
    (void)state;
    unlink("readable/file");
    unlink("other");
    unlink("service");
    rmdir("readable");
    rmdir("writable");
    return chdir("/") || rmdir(fence_directory) ? -1 : 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without),  cmocka_unit_test(test_fences),
        cmocka_unit_test(test_abstract), cmocka_unit_test(test_process),
        cmocka_unit_test(test_user),
    };
    return cmocka_run_group_tests(tests, fence_begin, fence_end);
}
