#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conf/command.h"

enum {
    LIMIT_LONG = 30000 /* ms: never reached where it is given */
};

/* sh -c `script` */
static struct conf_command command_sh(struct buf *words, const char *script)
{
    buf_add(words, "sh\0-c", 6);
    buf_add(words, script, strlen(script) + 1);
    return (struct conf_command){.words = (const char *)words->data, .words_len = words->len};
}

static void command_release(struct conf_command *command, struct buf *words)
{
    buf_release(&command->out);
    buf_release(&command->err);
    buf_release(words);
}

static void test_command_output(void **state)
{
    (void)state;
    struct buf words = {0};
    struct conf_command command = command_sh(&words, "echo out; echo err >&2; exit 3");
    conf_command_run(&command, 1, LIMIT_LONG, NULL);
    assert_string_equal(buf_cstr(&command.out), "out\n");
    assert_string_equal(buf_cstr(&command.err), "err\n");
    assert_true(WIFEXITED(command.status) && WEXITSTATUS(command.status) == 3);
    assert_int_equal(command.start_error, 0);
    assert_false(command.timed_out || command.too_much);
    command_release(&command, &words);
}

/* What this program has on its standard input is not the command's. */
static void test_command_stdin(void **state)
{
    (void)state;
    int ends[2], before = dup(0);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "mine\n", 5), 5);
    assert_int_equal(dup2(ends[0], 0), 0);
    struct buf words = {0};
    struct conf_command command = command_sh(&words, "cat; echo end");
    conf_command_run(&command, 1, LIMIT_LONG, NULL);
    assert_string_equal(buf_cstr(&command.out), "end\n");
    command_release(&command, &words);
    assert_int_equal(dup2(before, 0), 0);
    close(before);
    close(ends[0]);
    close(ends[1]);
}

static void test_command_signals(void **state)
{
    (void)state;
    struct buf words = {0};
    signal(SIGPIPE, SIG_IGN);
    struct conf_command command = command_sh(&words, "kill -PIPE $$; echo survived");
    conf_command_run(&command, 1, LIMIT_LONG, NULL);
    signal(SIGPIPE, SIG_DFL);
    assert_true(WIFSIGNALED(command.status) && WTERMSIG(command.status) == SIGPIPE);
    assert_int_equal(command.out.len, 0);
    command_release(&command, &words);
}

/* The time limit ends the command and what it started, which says so by closing the pipe. */
static void test_command_time_limit(void **state)
{
    (void)state;
    int ends[2];
    struct buf words = {0};
    assert_int_equal(pipe(ends), 0);
    struct conf_command command = command_sh(&words, "sleep 1000 & sleep 1000");
    conf_command_run(&command, 1, 50, NULL);
    assert_true(command.timed_out);
    close(ends[1]);
    uint8_t byte;
    assert_int_equal(read(ends[0], &byte, 1), 0); /* nobody is left who has it open */
    close(ends[0]);
    command_release(&command, &words);
}

/* What runs is ended, what waits is not begun. */
static void test_command_cancelled(void **state)
{
    (void)state;
    struct buf words[10] = {0};
    struct conf_command commands[10];
    atomic_bool cancelled = true;
    for (size_t i = 0; i < 10; i++)
        commands[i] = command_sh(&words[i], "sleep 1000");
    conf_command_run(commands, 10, LIMIT_LONG, &cancelled);
    for (size_t i = 0; i < 10; i++) {
        assert_true(commands[i].timed_out);
        assert_int_equal(commands[i].status, 0); /* it never ran */
        command_release(&commands[i], &words[i]);
    }
}

struct command_cancel {
    atomic_bool cancelled;
    int ready; /* the command writes here when it runs */
};

static void *command_cancel(void *arg)
{
    struct command_cancel *cancel = arg;
    uint8_t byte;
    if (read(cancel->ready, &byte, 1) == 1)
        atomic_store(&cancel->cancelled, true);
    return NULL;
}

static void test_command_cancelled_while_it_runs(void **state)
{
    (void)state;
    pthread_t thread;
    struct buf words = {0};
    int ends[2];
    char script[60];
    assert_int_equal(pipe(ends), 0);
    struct command_cancel cancel = {.ready = ends[0]};
    assert_int_equal(pthread_create(&thread, NULL, command_cancel, &cancel), 0);
    snprintf(script, sizeof script, "echo >&%d; sleep 1000", ends[1]);
    struct conf_command command = command_sh(&words, script);
    conf_command_run(&command, 1, LIMIT_LONG, &cancel.cancelled);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(command.timed_out && WIFSIGNALED(command.status));
    close(ends[0]);
    close(ends[1]);
    command_release(&command, &words);
}

/* A daemon that keeps the pipe does not keep the command. */
static void test_command_background(void **state)
{
    (void)state;
    struct buf words = {0};
    struct conf_command command = command_sh(&words, "sleep 1000 & echo $!");
    conf_command_run(&command, 1, LIMIT_LONG, NULL);
    assert_false(command.timed_out);
    assert_int_equal(command.status, 0);
    long pid = strtol(buf_cstr(&command.out), NULL, 10);
    assert_true(pid > 1);
    assert_int_equal(kill((pid_t)pid, SIGKILL), 0);
    command_release(&command, &words);
}

static void test_command_too_much(void **state)
{
    (void)state;
    struct buf words = {0};
    struct conf_command command = command_sh(&words, "exec cat /dev/zero");
    conf_command_run(&command, 1, LIMIT_LONG, NULL);
    assert_true(command.too_much);
    assert_int_equal(command.out.len, CONF_COMMAND_OUTPUT_MOST);
    command_release(&command, &words);

    struct buf noisy_words = {0};
    struct conf_command noisy =
        command_sh(&noisy_words, "head -c 300000 /dev/zero >&2; echo secret");
    conf_command_run(&noisy, 1, LIMIT_LONG, NULL);
    assert_string_equal(buf_cstr(&noisy.out), "secret\n");
    assert_int_equal(noisy.err.len, CONF_COMMAND_OUTPUT_MOST);
    assert_int_equal(noisy.status, 0);
    command_release(&noisy, &noisy_words);
}

static void test_command_missing(void **state)
{
    (void)state;
    static const char words[] = "/nonexistent/program";
    struct conf_command command = {.words = words, .words_len = sizeof words};
    conf_command_run(&command, 1, LIMIT_LONG, NULL);
    assert_int_equal(command.start_error, ENOENT);
}

static void test_command_directory(void **state)
{
    (void)state;
    struct buf words = {0};
    struct conf_command command = command_sh(&words, "pwd");
    command.directory = "/usr/";
    conf_command_run(&command, 1, LIMIT_LONG, NULL);
    assert_string_equal(buf_cstr(&command.out), "/usr\n");
    command_release(&command, &words);
}

/* More commands than run at once, with good and bad among them: each has its own outcome. */
static void test_command_many(void **state)
{
    (void)state;
    struct buf words[30] = {{0}};
    struct conf_command commands[30];
    for (int i = 0; i < 30; i++) {
        char script[40];
        snprintf(script, sizeof script, "echo %d; exit %d", i, i % 3);
        commands[i] = command_sh(&words[i], script);
        if (i % 7 == 6)
            memcpy(words[i].data, "/x", 2);
    }
    conf_command_run(commands, 30, LIMIT_LONG, NULL);
    for (int i = 0; i < 30; i++) {
        if (i % 7 == 6) {
            assert_int_equal(commands[i].start_error, ENOENT);
        } else {
            assert_int_equal(strtol(buf_cstr(&commands[i].out), NULL, 10), i);
            assert_int_equal(WEXITSTATUS(commands[i].status), i % 3);
        }
        command_release(&commands[i], &words[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_command_output),
        cmocka_unit_test(test_command_stdin),
        cmocka_unit_test(test_command_signals),
        cmocka_unit_test(test_command_time_limit),
        cmocka_unit_test(test_command_background),
        cmocka_unit_test(test_command_too_much),
        cmocka_unit_test(test_command_missing),
        cmocka_unit_test(test_command_directory),
        cmocka_unit_test(test_command_many),
        cmocka_unit_test(test_command_cancelled),
        cmocka_unit_test(test_command_cancelled_while_it_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
