#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "conf/file.h"
#include "conf/secret.h"
#include "conf/yaml.h"

/* A file that has one key, "password_command", with this command line. */
struct secret_scene {
    struct conf_report report;
    struct conf_pool pool;
    struct conf_secrets secrets;
    struct conf_file file;
    struct conf_yaml node;
    struct conf_entry entry;
    struct conf_problems problems;
};

static const struct conf_secret *secret_begin(struct secret_scene *scene, const char *line)
{
    *scene = (struct secret_scene){
        .node = {.text = line, .len = (uint32_t)strlen(line), .line = 7, .column = 3},
        .entry = {.name = "password_command", .key = &scene->node, .value = &scene->node},
    };
    conf_file_init(&scene->file, "m.yml", 0);
    scene->file.report = &scene->report;
    scene->file.pool = &scene->pool;
    scene->file.secrets = &scene->secrets;
    return conf_secret_from_command(&scene->file, &scene->entry);
}

static void secret_end(struct secret_scene *scene)
{
    conf_report_finish(&scene->report, &scene->problems);
}

static void secret_release(struct secret_scene *scene)
{
    conf_problems_release(&scene->problems);
    conf_file_release(&scene->file);
    conf_secrets_release(&scene->secrets);
    conf_pool_release(&scene->pool);
}

/* What a command said before its time was over is shown, what it gave is not. */
static void test_secret_time_limit(void **state)
{
    (void)state;
    struct secret_scene scene;
    const struct conf_secret *secret =
        secret_begin(&scene, "sh -c 'echo hunter2; echo waiting for hunter2 >&2; exec sleep 1000'");
    assert_non_null(secret);
    conf_secrets_run(&scene.secrets, 300, NULL);
    secret_end(&scene);
    assert_null(secret->value);
    assert_int_equal(scene.problems.count, 1);
    static const char begin[] = "m.yml:7:3: \"password_command\" took too long and was ended";
    assert_int_equal(strncmp(scene.problems.items[0].text, begin, sizeof begin - 1), 0);
    assert_null(strstr(scene.problems.items[0].text, "hunter2"));
    secret_release(&scene);
}

struct secret_strike_case {
    const char *line;
    const char *problem;
};

/* Every line of the output is struck, as often as it is there; what is left is made safe. */
static const struct secret_strike_case secret_strikes[] = {
    {"sh -c 'echo ab; echo cde; echo ab abab cde x >&2; false'",
     "failed with exit status 1: ** **** *** x"},
    {"sh -c 'printf \"ab\\r\\n\\n\"; printf \"1\\r\\n2 ab\\t3\\n\\n\" >&2; exit 9'",
     "failed with exit status 9: 1  2 ** 3"},
    {"sh -c 'printf \"\\134\\303\\251 \\033 \\377\" >&2; exit 1'",
     "failed with exit status 1: \\\\\xC3\xA9 \\x1b \\xff"},
    {"sh -c 'exit 1'", "failed with exit status 1"},
    {"sh -c 'kill -TERM $$'", "was ended by signal 15"},
    {"cat /dev/zero", "wrote more than 64 KiB and was ended"},
};

static void test_secret_strike(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof secret_strikes / sizeof *secret_strikes; i++) {
        struct secret_scene scene;
        assert_non_null(secret_begin(&scene, secret_strikes[i].line));
        conf_secrets_run(&scene.secrets, 30000, NULL);
        secret_end(&scene);
        assert_int_equal(scene.problems.count, 1);
        char *expected =
            mem_printf("m.yml:7:3: \"password_command\" %s", secret_strikes[i].problem);
        assert_string_equal(scene.problems.items[0].text, expected);
        free(expected);
        secret_release(&scene);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_secret_time_limit),
        cmocka_unit_test(test_secret_strike),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
