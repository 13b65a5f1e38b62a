/* A configuration that another process makes, in a place that both have. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conf/place.h"
#include "scene.h"

static const char feed[] = "{secret: hunter2, channels: [a, b], payload: raw}\n";
static const char mailboxes[] =
    "defaults: {host: h, after: {move: Done}}\n"
    "mailboxes:\n"
    "- {username: u, password_command: [echo, hunter2], folders: [INBOX, Junk]}\n"
    "- {username: v, name: second, oauth2: {token_command: [echo, hunter2]}}\n";

static int load_into(struct conf_place *place, struct conf **ret_conf)
{
    struct conf_problems problems;
    int result = conf_load_into(place, "f.yml", "m.yml", false, NULL, ret_conf, &problems);
    conf_problems_release(&problems);
    return result;
}

static void write_all(int fd, const void *data, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t wrote = write(fd, (const char *)data + done, len - done);
        if (wrote <= 0)
            _exit(1);
        done += (size_t)wrote;
    }
}

static void read_all(int fd, void *data, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t got = read(fd, (char *)data + done, len - done);
        assert_true(got > 0);
        done += (size_t)got;
    }
}

static void test_a_configuration_from_another_process(void **state)
{
    (void)state;
    struct conf_place place;
    struct conf *conf;
    int fds[2], status;
    size_t used;
    scene_write_text("f.yml", feed);
    scene_write_text("m.yml", mailboxes);
    assert_int_equal(conf_place_reserve(&place), 0);
    assert_int_equal(pipe(fds), 0);
    pid_t child = fork();
    if (!child) {
        if (load_into(&place, &conf))
            _exit(1);
        write_all(fds[1], &conf, sizeof conf);
        write_all(fds[1], &place.used, sizeof place.used);
        write_all(fds[1], place.base, place.used);
        _exit(0);
    }
    close(fds[1]);
    read_all(fds[0], &conf, sizeof conf);
    read_all(fds[0], &used, sizeof used);
    read_all(fds[0], conf_place_cut(&place, used, 1), used);
    close(fds[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);

    char *got = scene_show(conf), *expected = scene_load("f.yml", "m.yml", false);
    scene_expect("the place", got, expected);
    assert_non_null(strstr(got, "password=hunter2"));
    free(got);
    free(expected);
    conf_place_release(&place);
    assert_null(place.base);
    conf_place_release(&place);
}

static void test_nothing_is_left_of_a_configuration(void **state)
{
    (void)state;
    struct conf_place place;
    struct conf *conf;
    assert_int_equal(conf_place_reserve(&place), 0);
    scene_write_text("f.yml", feed);
    scene_write_text("m.yml", "- {username: u, password: hunter2}\n"); /* no host */
    assert_int_equal(load_into(&place, &conf), -1);
    assert_int_equal(place.used, 0);
    assert_int_equal(place.open, 0);
    scene_write_text("m.yml", mailboxes);
    assert_int_equal(load_into(&place, &conf), 0);
    assert_int_equal(conf->mailbox_count, 2);
    size_t used = place.used;
    conf_place_clear(&place);
    assert_int_equal(place.open, 0);
    const char *again = conf_place_cut(&place, used, 1);
    assert_ptr_equal(again, place.base);
    for (size_t i = 0; i < used; i++)
        assert_int_equal(again[i], 0);
    conf_place_release(&place);
}

static void test_pieces_of_a_place(void **state)
{
    (void)state;
    struct conf_place place;
    assert_int_equal(conf_place_reserve(&place), 0);
    char *first = conf_place_cut(&place, 3, 1);
    char *second = conf_place_cut(&place, 1000000, 64);
    char *third = conf_place_cut(&place, 1, 1);
    assert_ptr_equal(first, place.base);
    assert_ptr_equal(second, place.base + 64);
    assert_ptr_equal(third, second + 1000000);
    memset(first, 1, 3);
    memset(second, 2, 1000000);
    *third = 3;
    assert_int_equal(first[2], 1);
    conf_place_release(&place);
}

/* Sizes that are beyond it, also by a wrap. */
static void test_a_place_that_is_full(void **state)
{
    (void)state;
    struct conf_place place;
    assert_int_equal(conf_place_reserve(&place), 0);
    const size_t sizes[] = {place.size, SIZE_MAX - 3, SIZE_MAX};
    conf_place_cut(&place, 8, 1);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int status;
        pid_t child = fork();
        if (!child) {
            close(2);
            signal(SIGABRT, SIG_DFL);
            conf_place_cut(&place, sizes[i], 1);
            _exit(0);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    }
    conf_place_release(&place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_configuration_from_another_process),
        cmocka_unit_test(test_nothing_is_left_of_a_configuration),
        cmocka_unit_test(test_pieces_of_a_place),
        cmocka_unit_test(test_a_place_that_is_full),
    };
    return cmocka_run_group_tests(tests, scene_setup, scene_teardown);
}
