#include "fence/calls.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <linux/sockios.h>

/* What a client of IMAP and hpfeeds, the broker, SQLite, OpenSSL and the C library need, on any
 * architecture: names that one does not have are passed over. There is no execve(), bind(),
 * listen(), ptrace(), kill(), mount(), or anything that only root may. */
static const char calls_allowed[] =
    /* descriptors and files, as far as Landlock lets it. It knows nothing of modes, owners and
     * times: these only of files that could be opened. */
    "access close dup dup2 dup3 faccessat faccessat2 fallocate "
    "fchown fdatasync flock fstat fstat64 fstatat64 fstatfs fsync ftruncate "
    "ftruncate64 getcwd getdents64 lseek _llseek lstat lstat64 mkdir mkdirat newfstatat "
    "pipe pipe2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read "
    "readlink readlinkat readv rename renameat renameat2 stat stat64 statfs statx umask "
    "unlink unlinkat write writev "
    /* memory */
    "brk madvise membarrier mlock mlock2 mremap msync munlock munmap "
    /* threads and signals of its own */
    "exit exit_group futex futex_time64 futex_waitv get_robust_list getpid getppid "
    "getpgrp gettid restart_syscall rseq rt_sigaction rt_sigpending rt_sigprocmask "
    "rt_sigreturn rt_sigsuspend rt_sigtimedwait sched_getaffinity sched_getparam "
    "sched_getscheduler sched_yield set_robust_list set_tid_address sigaltstack sigreturn "
    "wait4 waitid waitpid "
    /* time */
    "clock_getres clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64 "
    "gettimeofday nanosleep time timerfd_create timerfd_gettime timerfd_settime times "
    /* what there is to wait for */
    "epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd "
    "eventfd2 poll ppoll ppoll_time64 pselect6 select _newselect "
    /* connections outwards */
    "connect getpeername getsockname getsockopt recv recvfrom recvmmsg recvmsg send "
    "sendmmsg sendmsg sendto setsockopt shutdown socketpair "
    /* what it is, and what the machine is */
    "getegid getegid32 geteuid geteuid32 getgid getgid32 getrandom getrlimit getrusage "
    "getuid getuid32 sysinfo ugetrlimit uname "
#ifdef SANITIZED /* the leak check stops its own threads as a debugger does */
    "capget clone getdents kill mincore mmap mmap2 mprotect prctl process_vm_readv ptrace "
    "sched_setaffinity"
#endif
    ;

/* For who serves, too. */
static const char calls_accept[] = "accept accept4";

/* A call of which one argument decides: it is allowed when the bits of `mask` are those of `value`.
 */
struct calls_rule {
    const char *name;
    unsigned argument;
    uint64_t mask;
    uint64_t value;
};

static const uint64_t calls_int = UINT32_MAX; /* the kernel looks at no more of an int */

static const struct calls_rule calls_rules[] = {
    {"ioctl", 1, UINT32_MAX, TCGETS},         {"ioctl", 1, UINT32_MAX, TIOCGWINSZ},
    {"ioctl", 1, UINT32_MAX, FIONBIO},        {"ioctl", 1, UINT32_MAX, FIONREAD},
    {"ioctl", 1, UINT32_MAX, SIOCOUTQ},       {"prctl", 0, UINT32_MAX, PR_SET_NAME},
#ifndef SANITIZED
    {"clone", 0, CLONE_THREAD, CLONE_THREAD},
#endif
};

enum {
    CALLS_OTHERS = S_ISUID | S_ISGID, /* whoever runs such a file is its owner, without a fence */
    CALLS_MAKES = O_CREAT | (O_TMPFILE & ~O_DIRECTORY),
};

/* Files are opened, or made with a mode that does not outlive the fences. */
static const struct calls_rule calls_modes[] = {
    {"open", 1, CALLS_MAKES, 0},    {"open", 2, CALLS_OTHERS, 0},   {"openat", 2, CALLS_MAKES, 0},
    {"openat", 3, CALLS_OTHERS, 0}, {"fchmod", 1, CALLS_OTHERS, 0},
};

/* Locks and flags. What is not here would have descriptors signal other processes, among others. */
static const int calls_fcntl[] = {
    F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD,  F_SETFD,     F_GETFL,     F_SETFL,
    F_GETLK, F_SETLK,         F_SETLKW, F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW,
};

/* TCP and UDP: of other protocols a kernel has many, and loads them for whoever asks. sd_notify(3)
 * sends datagrams. */
static const struct calls_socket {
    uint64_t family;
    uint64_t type;
    uint64_t protocol;
} calls_sockets[] = {
    {AF_INET, SOCK_STREAM, 0},  {AF_INET, SOCK_STREAM, IPPROTO_TCP},
    {AF_INET, SOCK_DGRAM, 0},   {AF_INET, SOCK_DGRAM, IPPROTO_UDP},
    {AF_INET6, SOCK_STREAM, 0}, {AF_INET6, SOCK_STREAM, IPPROTO_TCP},
    {AF_INET6, SOCK_DGRAM, 0},  {AF_INET6, SOCK_DGRAM, IPPROTO_UDP},
    {AF_UNIX, SOCK_DGRAM, 0},
};

/* For who asks services, too. */
static const struct calls_socket calls_services = {AF_UNIX, SOCK_STREAM, 0};

/* No new code: nothing is to become executable. */
static const struct calls_rule calls_code[] = {
    {"mmap", 2, PROT_EXEC, 0},
    {"mmap2", 2, PROT_EXEC, 0},
    {"mprotect", 2, PROT_EXEC, 0},
};

static int calls_add(scmp_filter_ctx filter, const char *name, const struct scmp_arg_cmp *cmp)
{
    int number = seccomp_syscall_resolve_name(name);
    if (number == __NR_SCMP_ERROR)
        return 0;
    return cmp ? seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, number, 1, cmp)
               : seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 0);
}

static int calls_add_words(scmp_filter_ctx filter, const char *words)
{
    int result = 0;
    for (size_t len; !result && *words; words += len + strspn(words + len, " ")) {
        char name[32];
        len = strcspn(words, " ");
        snprintf(name, sizeof name, "%.*s", (int)len, words);
        result = calls_add(filter, name, NULL);
    }
    return result;
}

static int calls_add_rules(scmp_filter_ctx filter, const struct calls_rule *rules, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct calls_rule *rule = &rules[i];
        const struct scmp_arg_cmp cmp =
            SCMP_CMP(rule->argument, SCMP_CMP_MASKED_EQ, rule->mask, rule->value);
        int result = calls_add(filter, rule->name, &cmp);
        if (result)
            return result;
    }
    return 0;
}

static int calls_add_fcntl(scmp_filter_ctx filter, const char *name)
{
    for (size_t i = 0; i < sizeof calls_fcntl / sizeof *calls_fcntl; i++) {
        const struct calls_rule rule = {name, 1, calls_int, (uint64_t)calls_fcntl[i]};
        int result = calls_add_rules(filter, &rule, 1);
        if (result)
            return result;
    }
    return 0;
}

static int calls_add_sockets(scmp_filter_ctx filter, const struct calls_socket *sockets,
                             size_t count)
{
    const uint64_t type_flags = SOCK_NONBLOCK | SOCK_CLOEXEC;
    for (size_t i = 0; i < count; i++) {
        const struct scmp_arg_cmp cmp[] = {
            SCMP_CMP(0, SCMP_CMP_MASKED_EQ, calls_int, sockets[i].family),
            SCMP_CMP(1, SCMP_CMP_MASKED_EQ, calls_int & ~type_flags, sockets[i].type),
            SCMP_CMP(2, SCMP_CMP_MASKED_EQ, calls_int, sockets[i].protocol),
        };
        int result = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 3, cmp);
        if (result)
            return result;
    }
    return 0;
}

/* Signals and limits: its own only. */
static int calls_add_own(scmp_filter_ctx filter)
{
    const struct calls_rule own[] = {
        {"tgkill", 0, calls_int, (uint64_t)getpid()},
        {"prlimit64", 2, UINT64_MAX, 0}, /* to ask, not to set */
    };
    return calls_add_rules(filter, own, sizeof own / sizeof *own);
}

static int calls_fill(scmp_filter_ctx filter, const struct fence_settings *settings)
{
    int result = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    /* A processor's other ways to call, for programs of 32 bits: not for this one. */
    if (!result)
        result = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(EPERM));
    if (!result)
        result = calls_add_words(filter, calls_allowed);
    if (!result && settings->serves)
        result = calls_add_words(filter, calls_accept);
    if (!result)
        result = calls_add_rules(filter, calls_rules, sizeof calls_rules / sizeof *calls_rules);
    if (!result)
        result = calls_add_rules(filter, calls_modes, sizeof calls_modes / sizeof *calls_modes);
    if (!result)
        result = calls_add_fcntl(filter, "fcntl");
    if (!result)
        result = calls_add_fcntl(filter, "fcntl64");
    if (!result)
        result =
            calls_add_sockets(filter, calls_sockets, sizeof calls_sockets / sizeof *calls_sockets);
    if (!result && settings->asks)
        result = calls_add_sockets(filter, &calls_services, 1);
    if (!result)
        result = calls_add_rules(filter, calls_code, sizeof calls_code / sizeof *calls_code);
    if (!result)
        result = calls_add_own(filter);
    /* Its flags lie in memory, where no filter can look: the C library takes clone() instead. */
    if (!result)
        result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    return result;
}

int fence_calls(const struct fence_settings *settings)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (!filter) {
        errno = ENOSYS;
        return -1;
    }
    int result = calls_fill(filter, settings);
    if (!result)
        result = seccomp_load(filter);
    seccomp_release(filter);
    errno = -result;
    return result ? -1 : 0;
}
