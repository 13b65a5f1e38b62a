/* The configuration loaded once more, beside a loop that goes on. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/loop.h"
#include "programs/collector_reload.h"

struct scene {
    char directory[sizeof "/tmp/reload-XXXXXX"];
    struct clerk *clerk;
    struct net_loop *loop;
    struct reload *reload;
    struct collector_options options;
    struct net_timer *timer; /* a round of the loop now and then */
    unsigned rounds;
    unsigned loads;
    char last[500]; /* what came of the last load */
};

static void scene_write(const char *name, const char *text)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void scene_loaded(void *ctx, const struct conf *conf, const struct conf_problems *problems)
{
    struct scene *scene = ctx;
    scene->loads++;
    if (conf)
        snprintf(scene->last, sizeof scene->last, "%s %s", conf->mailboxes[0].label,
                 conf->mailboxes[0].password);
    else
        snprintf(scene->last, sizeof scene->last, "%zu: %s", problems->errors,
                 problems->items[0].text);
    net_loop_stop(scene->loop);
}

static int scene_begin(void **state)
{
    static struct scene scene;
    scene = (struct scene){.options = {.feed_config = "f.yml", .mailbox_config = "m.yml"}};
    snprintf(scene.directory, sizeof scene.directory, "/tmp/reload-XXXXXX");
    assert_non_null(mkdtemp(scene.directory));
    assert_return_code(chdir(scene.directory), 0);
    scene_write("f.yml", "secret: s\n");
    scene_write("m.yml", "- {username: u, password: p, host: h}\n");
    struct err err;
    assert_int_equal(clerk_start(&scene.options, NULL, &scene.clerk, &err), 0);
    scene.loop = net_loop_new();
    scene.reload = reload_new(scene.loop, &scene.options, scene.clerk, scene_loaded, &scene);
    *state = &scene;
    return 0;
}

static int scene_end(void **state)
{
    struct scene *scene = *state;
    reload_free(scene->reload);
    net_timer_free(scene->timer);
    net_loop_free(scene->loop);
    clerk_stop(scene->clerk);
    unlink("f.yml");
    unlink("m.yml");
    unlink("running");
    assert_return_code(chdir("/"), 0);
    return rmdir(scene->directory);
}

static void test_load(void **state)
{
    struct scene *scene = *state;
    reload_request(scene->reload);
    net_loop_run(scene->loop);
    assert_string_equal(scene->last, "u@h p");
    scene_write("m.yml", "- {username: v, password: q, host: h}\n");
    reload_request(scene->reload);
    net_loop_run(scene->loop);
    assert_string_equal(scene->last, "v@h q");
    assert_int_equal(scene->loads, 2);
    reload_free(NULL);
}

static void test_errors(void **state)
{
    struct scene *scene = *state;
    scene_write("m.yml", "- {username: v, password: q, hst: h}\n");
    reload_request(scene->reload);
    net_loop_run(scene->loop);
    assert_string_equal(scene->last, "1: m.yml:1:30: unknown key \"hst\": did you mean \"host\"?");
}

static void test_pipe(void **state)
{
    struct scene *scene = *state;
    unlink("m.yml");
    assert_return_code(mkfifo("m.yml", 0600), 0);
    reload_request(scene->reload);
    net_loop_run(scene->loop);
    assert_string_equal(scene->last,
                        "1: m.yml: is a pipe, which gives its content once: restart to change it");
}

/* Waits on the loop until the command of the first load runs. */
static void scene_look(void *ctx)
{
    struct scene *scene = ctx;
    scene->rounds++;
    if (access("running", F_OK) == 0)
        net_loop_stop(scene->loop);
    else
        net_timer_start(scene->timer, 1);
}

static void scene_begin_endless_load(struct scene *scene)
{
    scene_write("m.yml", "- {username: u, password_command: [sh, -c, echo >running; sleep 1000], "
                         "host: h}\n");
    reload_request(scene->reload);
    scene->timer = net_timer_new(scene->loop, scene_look, scene);
    net_timer_start(scene->timer, 1);
    net_loop_run(scene->loop);
    assert_int_equal(scene->loads, 0);
    assert_true(scene->rounds > 0);
}

/* What the files said when they were read is not what they say when it was asked for again. */
static void test_asked_again(void **state)
{
    struct scene *scene = *state;
    scene_begin_endless_load(scene);
    scene_write("m.yml", "- {username: w, password: r, host: h}\n");
    reload_request(scene->reload);
    reload_request(scene->reload);
    net_loop_run(scene->loop);
    assert_string_equal(scene->last, "w@h r");
    assert_int_equal(scene->loads, 1);
}

static void test_end_in_the_middle(void **state)
{
    struct scene *scene = *state;
    scene_begin_endless_load(scene);
    reload_free(scene->reload);
    scene->reload = NULL;
    assert_int_equal(scene->loads, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_load, scene_begin, scene_end),
        cmocka_unit_test_setup_teardown(test_errors, scene_begin, scene_end),
        cmocka_unit_test_setup_teardown(test_pipe, scene_begin, scene_end),
        cmocka_unit_test_setup_teardown(test_asked_again, scene_begin, scene_end),
        cmocka_unit_test_setup_teardown(test_end_in_the_middle, scene_begin, scene_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
