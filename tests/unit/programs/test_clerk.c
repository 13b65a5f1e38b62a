/* What the clerk does for whoever speaks to it, and what it does not. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "programs/collector_desk.h"
#include "programs/collector_tokens.h"

struct scene {
    char directory[sizeof "/tmp/clerk-XXXXXX"];
    struct collector_options options;
    struct desk_settings ends; /* a collector's that was taken over */
    struct conf *conf;
    pid_t clerk;
};

static void scene_write(const char *name, const char *text)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

/* The first line of a file. */
static const char *scene_read(const char *name)
{
    static char line[64];
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? 0 : read(fd, line, sizeof line - 1);
    line[len < 0 ? 0 : len] = '\0';
    line[strcspn(line, "\n")] = '\0';
    if (fd >= 0)
        close(fd);
    return line;
}

static void scene_load(struct scene *scene)
{
    struct desk_loaded loaded;
    conf_place_clear(&scene->ends.place);
    assert_int_equal(desk_send(scene->ends.load, "L", 1), 0);
    assert_int_equal(desk_receive(scene->ends.load, &loaded, sizeof loaded), 0);
    assert_non_null(loaded.conf);
    assert_int_equal(loaded.problems, 0);
    assert_int_equal(desk_receive(scene->ends.load,
                                  conf_place_cut(&scene->ends.place, loaded.used, 1), loaded.used),
                     0);
    scene->conf = loaded.conf;
}

static const char scene_mailboxes[] =
    "- {name: run, username: u, host: h, oauth2: {token_command: [cat, said]}}\n"
    "- {name: slow, username: s, host: h, oauth2: {token_command: [sh, -c, echo >running; sleep "
    "1000]}}\n"
    "- {name: keep, username: k, host: h, oauth2: {token_url: 'https://h/t', client_id: c, "
    "refresh_token_file: kept}}\n"
    "- {name: pass, username: p, host: h, password: p}\n";

static int scene_begin(void **state)
{
    static struct scene scene;
    scene = (struct scene){.options = {.feed_config = "f.yml", .mailbox_config = "m.yml"}};
    snprintf(scene.directory, sizeof scene.directory, "/tmp/clerk-XXXXXX");
    assert_non_null(mkdtemp(scene.directory));
    assert_return_code(chdir(scene.directory), 0);
    scene_write("f.yml", "secret: s\n");
    scene_write("m.yml", scene_mailboxes);
    scene_write("said", "access\n");
    scene_write("kept", "refresh\n");
    struct desk_settings desk = {.options = &scene.options};
    assert_int_equal(conf_place_reserve(&scene.ends.place), 0);
    desk.place = scene.ends.place;
    int ends[2];
    assert_return_code(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    scene.ends.load = ends[0];
    desk.load = ends[1];
    for (size_t i = 0; i < DESK_LANES; i++) {
        assert_return_code(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
        scene.ends.lanes[i] = ends[0];
        desk.lanes[i] = ends[1];
    }
    scene.clerk = fork();
    assert_true(scene.clerk >= 0);
    if (scene.clerk == 0) {
        close(scene.ends.load);
        for (size_t i = 0; i < DESK_LANES; i++)
            close(scene.ends.lanes[i]);
        desk_run(&desk);
    }
    close(desk.load);
    for (size_t i = 0; i < DESK_LANES; i++)
        close(desk.lanes[i]);
    scene_load(&scene);
    *state = &scene;
    return 0;
}

static int scene_end(void **state)
{
    struct scene *scene = *state;
    int status;
    close(scene->ends.load);
    assert_int_equal(waitpid(scene->clerk, &status, 0), scene->clerk);
    assert_int_equal(status, 0);
    for (size_t i = 0; i < DESK_LANES; i++)
        close(scene->ends.lanes[i]);
    conf_place_release(&scene->ends.place);
    static const char *const files[] = {"f.yml", "m.yml", "said", "kept", "running"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        unlink(files[i]);
    assert_return_code(chdir("/"), 0);
    return rmdir(scene->directory); /* there is nothing else in it */
}

static struct desk_deed scene_deed(const struct scene *scene, const char *label,
                                   enum token_deed_kind kind)
{
    struct desk_deed deed = {.kind = (uint8_t)kind};
    for (size_t i = 0; i < scene->conf->mailbox_count; i++)
        if (!strcmp(scene->conf->mailboxes[i].label, label))
            free(tokens_key(&scene->conf->mailboxes[i], NULL, deed.key));
    return deed;
}

static void scene_say(const struct scene *scene, unsigned lane, const void *packet, size_t len)
{
    assert_int_equal(send(scene->ends.lanes[lane], packet, len, MSG_NOSIGNAL), len);
}

/* The token, or what is wrong. Valid until the next call. */
static const char *scene_hear(const struct scene *scene, unsigned lane)
{
    static struct desk_done done;
    memset(&done, 0, sizeof done);
    ssize_t got = recv(scene->ends.lanes[lane], &done, sizeof done, 0);
    assert_true(got >= (ssize_t)offsetof(struct desk_done, token));
    return done.done ? done.token : done.err.text;
}

static const char *scene_do(const struct scene *scene, const struct desk_deed *deed,
                            size_t token_len)
{
    scene_say(scene, 0, deed, offsetof(struct desk_deed, token) + token_len);
    return scene_hear(scene, 0);
}

static const char *scene_write_token(const struct scene *scene, const char *token, size_t len)
{
    struct desk_deed deed = scene_deed(scene, "keep", TOKEN_WRITE);
    memcpy(deed.token, token, len);
    return scene_do(scene, &deed, len);
}

static void test_deeds(void **state)
{
    const struct scene *scene = *state;
    struct desk_deed run = scene_deed(scene, "run", TOKEN_RUN);
    struct desk_deed read = scene_deed(scene, "keep", TOKEN_READ);
    assert_string_equal(scene_do(scene, &run, 0), "access");
    assert_string_equal(scene_do(scene, &read, 0), "refresh");
    assert_string_equal(scene_write_token(scene, "rotated", 7), "");
    assert_string_equal(scene_read("kept"), "rotated");
    assert_string_equal(scene_do(scene, &read, 0), "rotated");
    unlink("kept");
    assert_string_equal(scene_do(scene, &read, 0), ""); /* not there, which is no error */
    scene_write("said", "two words\n");
    assert_string_equal(scene_do(scene, &run, 0),
                        "the first line of token_command is no access token");
}

/* Neither another's means nor any that are not configured. */
static void test_other_accounts(void **state)
{
    const struct scene *scene = *state;
    struct desk_deed none = {.kind = TOKEN_RUN};
    struct desk_deed run = scene_deed(scene, "keep", TOKEN_RUN);
    struct desk_deed read = scene_deed(scene, "run", TOKEN_READ);
    struct desk_deed unknown = scene_deed(scene, "run", (enum token_deed_kind)77);
    assert_string_equal(scene_do(scene, &none, 0), "the account is not in the configuration");
    assert_string_equal(scene_do(scene, &run, 0), "the account has no token_command");
    assert_string_equal(scene_do(scene, &read, 0), "the account has no place for a refresh token");
    assert_string_equal(scene_do(scene, &unknown, 0),
                        "the clerk was asked for what it does not know");
}

static void test_packets_of_all_sizes(void **state)
{
    static const char words[] = "the clerk was asked for what it does not know";
    const struct scene *scene = *state;
    static char large[sizeof(struct desk_deed) + 70000];
    struct desk_deed run = scene_deed(scene, "run", TOKEN_RUN);
    struct desk_deed write = scene_deed(scene, "keep", TOKEN_WRITE);
    for (size_t len = 1; len < offsetof(struct desk_deed, token); len++) {
        scene_say(scene, 0, &run, len);
        assert_string_equal(scene_hear(scene, 0), words);
    }
    assert_string_equal(scene_do(scene, &run, 1), words); /* nothing is given to a command */
    memset(large, 'x', sizeof large);
    memcpy(large, &write, offsetof(struct desk_deed, token));
    scene_say(scene, 0, large, sizeof(struct desk_deed) + 1);
    assert_string_equal(scene_hear(scene, 0), words);
    scene_say(scene, 0, large, sizeof large);
    assert_string_equal(scene_hear(scene, 0), words);
    assert_string_equal(scene_read("kept"), "refresh");
    scene_say(scene, 0, large, sizeof(struct desk_deed)); /* the longest that is one */
    assert_string_equal(scene_hear(scene, 0), "");
}

static void test_what_is_no_token(void **state)
{
    static const char *const texts[] = {"two words", "line\n", "\x1b[2J", "t\xc3\xa4", "\x7f", ""};
    static const char words[] = "that is no refresh token";
    const struct scene *scene = *state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_string_equal(scene_write_token(scene, texts[i], strlen(texts[i])), words);
    assert_string_equal(scene_write_token(scene, "a\0b", 3), words);
    assert_string_equal(scene_write_token(scene, "a\0", 2), words);
    assert_string_equal(scene_read("kept"), "refresh");
}

static void scene_await_running(void)
{
    while (access("running", F_OK))
        usleep(1000);
}

/* Nor does a load wait. What is cancelled ends, with its answer; what comes late cancels nothing.
 */
static void test_a_slow_command_holds_up_nobody(void **state)
{
    struct scene *scene = *state;
    struct desk_deed slow = scene_deed(scene, "slow", TOKEN_RUN);
    struct desk_deed run = scene_deed(scene, "run", TOKEN_RUN);
    scene_say(scene, 1, &slow, offsetof(struct desk_deed, token));
    scene_await_running();
    assert_string_equal(scene_do(scene, &run, 0), "access");
    scene_load(scene);
    scene_say(scene, 1, "X", 1);
    assert_string_equal(scene_hear(scene, 1), "token_command took too long and was ended");
    scene_say(scene, 1, "X", 1);
    scene_say(scene, 1, &run, offsetof(struct desk_deed, token));
    assert_string_equal(scene_hear(scene, 1), "access");
}

/* The collector's end is that of what it asked for. */
static void test_an_end_in_the_middle(void **state)
{
    const struct scene *scene = *state;
    struct desk_deed slow = scene_deed(scene, "slow", TOKEN_RUN);
    scene_say(scene, 1, &slow, offsetof(struct desk_deed, token));
    scene_await_running();
    shutdown(scene->ends.lanes[1], SHUT_RDWR);
}

/* Those of the configuration in use, and of the one that is about to be; not those of before. */
static void test_reload(void **state)
{
    struct scene *scene = *state;
    struct desk_deed run = scene_deed(scene, "run", TOKEN_RUN);
    assert_int_equal(desk_send(scene->ends.load, "T", 1), 0);
    scene_write("m.yml",
                "- {name: other, username: u, host: h, oauth2: {token_command: echo new}}\n");
    for (int i = 0; i < 2; i++) { /* the first is not taken */
        scene_load(scene);
        struct desk_deed other = scene_deed(scene, "other", TOKEN_RUN);
        assert_string_equal(scene_do(scene, &run, 0), "access");
        assert_string_equal(scene_do(scene, &other, 0), "new");
    }
    assert_int_equal(desk_send(scene->ends.load, "T", 1), 0);
    scene_load(scene); /* which is after it was heard */
    assert_string_equal(scene_do(scene, &run, 0), "the account is not in the configuration");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_deeds, scene_begin, scene_end),
        cmocka_unit_test_setup_teardown(test_other_accounts, scene_begin, scene_end),
        cmocka_unit_test_setup_teardown(test_packets_of_all_sizes, scene_begin, scene_end),
        cmocka_unit_test_setup_teardown(test_what_is_no_token, scene_begin, scene_end),
        cmocka_unit_test_setup_teardown(test_a_slow_command_holds_up_nobody, scene_begin,
                                        scene_end),
        cmocka_unit_test_setup_teardown(test_an_end_in_the_middle, scene_begin, scene_end),
        cmocka_unit_test_setup_teardown(test_reload, scene_begin, scene_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
