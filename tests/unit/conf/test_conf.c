#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "scene.h"

#define GOOD_FEED "secret: hunter2\n"
#define GOOD_MAILBOXES "- {username: u, password: hunter2, host: h}\n"
#define GOOD_LOADED                                                                                \
    "feed localhost:10000 ident=writer secret=hunter2 channels=spam.mails tls=none payload=json "  \
    "confirm=auto/confirm.writer/1000ms max_frame=1048576\n"                                       \
    "1: u@h user=u password=hunter2 server=h:993 tls=implicit auth=auto folders=INBOX after=seen " \
    "idle=on poll=60000ms\n"

static void conf_expect(const char *feed, const char *mailboxes, const char *expected)
{
    char *got = scene_load(feed, mailboxes, false);
    scene_expect(expected, got, expected);
    free(got);
}

/* The examples that the documentation shows, byte for byte. */
static void test_conf_examples(void **state)
{
    (void)state;
    char *got = scene_load(EXAMPLES "/feed_config.yml", EXAMPLES "/mailbox_credentials.yml", false);
    char *loaded = strstr(got, "feed ");
    assert_non_null(loaded);
    scene_expect("feed_config.yml", loaded,
                 "feed 127.0.0.1:10000 ident=writer secret=secret channels=spam.mails tls=none "
                 "payload=json confirm=auto/confirm.writer/1000ms max_frame=1048576\n"
                 "1: user@domain@mail.mailserver.com user=user@domain password=secret "
                 "server=mail.mailserver.com:993 tls=implicit auth=auto folders=INBOX after=seen "
                 "idle=on poll=60000ms\n");
    free(got);
}

static void conf_copy(const char *from, const char *to)
{
    struct buf content = {0};
    int fd = open(from, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    buf_reserve(&content, 100000);
    ssize_t got = read(fd, content.data, content.cap);
    assert_true(got > 0);
    close(fd);
    scene_write(to, content.data, (size_t)got, 0600);
    buf_release(&content);
}

/* The examples of the newer forms, with the secrets they point to. */
static void test_conf_newer_examples(void **state)
{
    (void)state;
    static const char pass[] = "#!/bin/sh\n[ \"$*\" = 'show mail/abuse' ] && echo hunter2\n";
    conf_copy(EXAMPLES "/feed_config_tls.yml", "f.yml");
    conf_copy(EXAMPLES "/mailboxes_many.yml", "m.yml");
    scene_write_text("hpfeeds.secret", "hunter2\n");
    scene_write("pass", pass, sizeof pass - 1, 0700);
    char *path = mem_strdup(getenv("PATH"));
    char *with_here = mem_printf("%s:%s", ".", path);
    setenv("PATH", with_here, 1);
    conf_expect("f.yml", "m.yml",
                "feed broker.example:10000 ident=writer secret=hunter2 channels=spam.mails "
                "tls=implicit payload=json confirm=auto/confirm.writer/1000ms max_frame=1048576\n"
                "17: trap1@example@mail.example user=trap1@example password=secret1 "
                "server=mail.example:993 tls=implicit auth=auto folders=INBOX,\\Junk after=seen "
                "idle=on poll=60000ms\n"
                "19: trap2@example@mail.example user=trap2@example password=secret2 "
                "server=mail.example:993 tls=implicit auth=auto folders=INBOX,\\Junk "
                "after=move:Collected idle=on poll=60000ms\n"
                "24: trap3-old-server user=trap3 password=secret3 server=192.0.2.7:143 "
                "tls=starttls fingerprint=2c..24 auth=auto folders=INBOX,\\Junk after=seen idle=on "
                "poll=60000ms\n"
                "33: abuse@example@mail.example user=abuse@example password=hunter2 "
                "server=mail.example:993 tls=implicit auth=auto folders=Reports,Reports/2026 "
                "after=none idle=off poll=300000ms\n");
    setenv("PATH", path, 1);
    free(with_here);
    free(path);
}

static void test_conf_default_names(void **state)
{
    (void)state;
    conf_expect(NULL, NULL,
                "feed_config.yml: is not here, nor is feed_config.yaml: name the file with -f\n"
                "mailbox_credentials.yml: is not here, nor is mailbox_credentials.yaml: name the "
                "file with -m\n");
    scene_write_text("feed_config.yaml", GOOD_FEED);
    scene_write_text("mailbox_credentials.yaml", GOOD_MAILBOXES);
    conf_expect(NULL, NULL, GOOD_LOADED);
    scene_write_text("feed_config.yml", "x: 1\ny: 1\n");
    scene_write_text("mailbox_credentials.yml", "");
    char *got = scene_load(NULL, NULL, false);
    assert_ptr_equal(strstr(got, "feed_config.yml:1:1: "), got);
    assert_non_null(strstr(got, "\nmailbox_credentials.yml: is empty"));
    free(got);
    scene_remove("feed_config.yml");
    scene_remove("feed_config.yaml");
    scene_remove("mailbox_credentials.yml");
    scene_remove("mailbox_credentials.yaml");
}

static void test_conf_unreadable(void **state)
{
    (void)state;
    mkdir("directory", 0700);
    conf_expect("none.yml", "directory",
                "none.yml: cannot be read: No such file or directory\n"
                "directory: cannot be read: Is a directory\n");
    /* A name is shown so that it can't act on a terminal. */
    conf_expect("a\033[1m.yml", "directory",
                "a\\x1b[1m.yml: cannot be read: No such file or directory\n"
                "directory: cannot be read: Is a directory\n");
}

/* Paths in a file start where the file is, wherever the program was started. */
static void test_conf_relative(void **state)
{
    (void)state;
    scene_write_text("directory/f.yml", "secret_file: s\ntls: true\ntls_ca: s\n");
    scene_write_text("directory/m.yml", "- {username: u, password_file: ../p, host: h}\n"
                                        "- {username: v, password_file: ~/p, host: h}\n"
                                        "- {username: w, password_command: cat s, host: h}\n");
    scene_write_text("directory/s", "hunter2 s\n");
    scene_write_text("p", "hunter2 p\n");
    setenv("HOME", ".", 1);
    char *got = scene_load("directory/f.yml", "directory/m.yml", false);
    assert_non_null(strstr(got, "secret=hunter2 s "));
    assert_non_null(strstr(got, "ca=directory/s "));
    assert_non_null(strstr(got, "u@h user=u password=hunter2 p "));
    assert_non_null(strstr(got, "v@h user=v password=hunter2 p "));
    assert_non_null(strstr(got, "w@h user=w password=hunter2 s "));
    free(got);
}

/* What systemd's LoadCredential= brings. */
static void test_conf_credentials(void **state)
{
    (void)state;
    static const char none[] = "there is no ${CREDENTIALS_DIRECTORY}: systemd makes one for a "
                               "service with LoadCredential=\n";
    char *expected = mem_printf("f.yml:1:14: %sf.yml:3:9: %sm.yml:1:32: %s", none, none, none);
    mkdir("credentials", 0700);
    scene_write_text("credentials/trap", "hunter2 t\n");
    scene_write_text("f.yml", "secret_file: ${CREDENTIALS_DIRECTORY}/trap\ntls: on\n"
                              "tls_ca: ${CREDENTIALS_DIRECTORY}/trap\n");
    scene_write_text("m.yml", "- {username: u, password_file: '${CREDENTIALS_DIRECTORY}/trap', "
                              "host: h}\n");
    unsetenv("CREDENTIALS_DIRECTORY");
    conf_expect("f.yml", "m.yml", expected);
    setenv("CREDENTIALS_DIRECTORY", "", 1);
    conf_expect("f.yml", "m.yml", expected);
    setenv("CREDENTIALS_DIRECTORY", "credentials", 1);
    char *got = scene_load("f.yml", "m.yml", false);
    assert_non_null(strstr(got, "secret=hunter2 t "));
    assert_non_null(strstr(got, "ca=credentials/trap "));
    assert_non_null(strstr(got, "u@h user=u password=hunter2 t "));
    free(got);
    unsetenv("CREDENTIALS_DIRECTORY");
    free(expected);
}

/* Paths have variables in them, anywhere; a secret is what it is. */
static void test_conf_variables(void **state)
{
    (void)state;
    mkdir("credentials", 0700);
    scene_write_text("credentials/trap-1", "hunter2\n");
    scene_write_text("f.yml", "secret: a${TRAP_NUMBER}${\n");
    scene_write_text("m.yml", "- username: u\n  host: h\n"
                              "  password_file: ${TRAP_WHERE}/trap-${TRAP_NUMBER}\n");
    unsetenv("TRAP_WHERE");
    setenv("TRAP_NUMBER", "1", 1);
    conf_expect("f.yml", "m.yml",
                "m.yml:3:18: a variable of the environment in this path is not set\n");
    setenv("TRAP_WHERE", "credentials", 1);
    char *got = scene_load("f.yml", "m.yml", false);
    assert_non_null(strstr(got, "secret=a${TRAP_NUMBER}${ "));
    assert_non_null(strstr(got, "user=u password=hunter2 "));
    free(got);
    unsetenv("TRAP_WHERE");
    unsetenv("TRAP_NUMBER");
}

static void conf_expect_mode(const char *content, unsigned mode, const char *expected)
{
    scene_write_text("f.yml", GOOD_FEED);
    scene_write("m.yml", content, strlen(content), mode);
    char *got = scene_load("f.yml", "m.yml", false);
    char *loaded = strstr(got, "feed ");
    assert_non_null(loaded);
    *loaded = '\0';
    scene_expect(content, got, expected);
    free(got);
}

static void test_conf_modes(void **state)
{
    (void)state;
    static const char file[] = "- {username: u, password_file: p, host: h}\n";
    scene_write("p", "hunter2\n", 8, 0600);
    conf_expect_mode(GOOD_MAILBOXES, 0600, "");
    conf_expect_mode(GOOD_MAILBOXES, 0640, "");
    conf_expect_mode(GOOD_MAILBOXES, 0644,
                     "warning: m.yml:1:27: a secret stands here, and everyone can read this file "
                     "(mode 0644): chmod 600 it\n");
    conf_expect_mode(file, 0644, "");
    scene_write("p", "hunter2\n", 8, 0604);
    conf_expect_mode(file, 0644,
                     "warning: m.yml:1:32: everyone can read the file of \"password_file\" (mode "
                     "0604): chmod 600 it\n");
    scene_write("p", "hunter2\n", 8, 0600);
    scene_write("key.pem", "-", 1, 0644);
    scene_write_text("m.yml", GOOD_MAILBOXES);
    scene_write_text("f.yml", "tls: on\ntls_cert: key.pem\ntls_key: key.pem\n");
    char *got = scene_load("f.yml", "m.yml", false);
    assert_ptr_equal(strstr(got, "warning: f.yml:3:10: everyone can read the file of \"tls_key\" "
                                 "(mode 0644): chmod 600 it\nfeed "),
                     got);
    free(got);
}

/* `-m <(decrypt …)`: a pipe, filled piece by piece. */
static void test_conf_pipe(void **state)
{
    (void)state;
    static const char text[] = GOOD_MAILBOXES;
    scene_write_text("f.yml", GOOD_FEED);
    assert_int_equal(mkfifo("pipe", 0600), 0);
    pid_t pid = fork();
    if (pid == 0) {
        int fd = open("pipe", O_WRONLY);
        for (size_t i = 0; i < sizeof text - 1; i++)
            if (write(fd, text + i, 1) != 1)
                _exit(1);
        _exit(0);
    }
    conf_expect("f.yml", "pipe", GOOD_LOADED);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

struct conf_bytes_case {
    const char *text;
    size_t len;
    const char *outcome;
};

#define BYTES(literal) literal, sizeof literal - 1

/* What editors and accidents put into a file. */
static const struct conf_bytes_case conf_bytes[] = {
    {BYTES("\xEF\xBB\xBFsecret: hunter2\n"), ""},
    {BYTES("secret: hunter2\r\nport: 1\r\n"), ""},
    {BYTES("secret: hunter2\rport: 1\r"), ""},
    {BYTES("secret: hunter2"), ""},
    {BYTES("\n\n# x\n---\n\nsecret: hunter2\n...\n"), ""},
    {BYTES("%YAML 1.1\n---\nsecret: hunter2\n"), ""},
    {BYTES("%YAML 1.2\n---\nsecret: hunter2\n"), ""},
    {BYTES("\xEF\xBB\xBFsecret: hunter2\r\nprt: 1\r\n"),
     "f.yml:2:1: unknown key \"prt\": did you mean \"port\"?\n"},
    {BYTES("\xFF\xFEs\0e\0"), "f.yml:1:1: this is UTF-16: save the file as UTF-8\n"},
    {BYTES("secret: hunter2\nident: caf\xE9\n"),
     "f.yml:2:11: not valid UTF-8: save the file in this encoding\n"},
    {BYTES("\xC3\xA9: 1\r\nident: \xC3\xA9\xC3\xA9\xC3\r\n"),
     "f.yml:2:10: not valid UTF-8: save the file in this encoding\n"},
    {BYTES("secret: hunter2\n\0"), "f.yml:2:1: a NUL byte, expected text in UTF-8\n"},
};

static void test_conf_bytes(void **state)
{
    (void)state;
    scene_write_text("m.yml", GOOD_MAILBOXES);
    for (size_t i = 0; i < sizeof conf_bytes / sizeof *conf_bytes; i++) {
        scene_write("f.yml", conf_bytes[i].text, conf_bytes[i].len, 0600);
        char *got = scene_load("f.yml", "m.yml", false);
        if (conf_bytes[i].outcome[0])
            scene_expect(conf_bytes[i].text, got, conf_bytes[i].outcome);
        else if (!strstr(got, " secret=hunter2 "))
            fail_msg("%s: %s", conf_bytes[i].text, got);
        free(got);
    }
}

struct conf_syntax_case {
    const char *text;
    const char *problem;
};

#define SECOND_COLON                                                                               \
    "a second \": \" on the same line: put the text in quotes, or write {key: value}"

/* Broken YAML: one problem, at its place, in words that help, and none of the file's. */
static const struct conf_syntax_case conf_syntax[] = {
    {"- password: hunter2: x\n", "1:20: " SECOND_COLON},
    {"- after: move: hunter2\n", "1:14: " SECOND_COLON},
    {"- password: @hunter2\n", "1:13: text that begins with this character needs quotes"},
    {"- password: `hunter2\n", "1:13: text that begins with this character needs quotes"},
    {"- password: %hunter2\n", "1:13: text that begins with this character needs quotes"},
    {"- password: *hunter2\n",
     "1:14: an alias to nothing: text that begins with \"*\" needs quotes"},
    {"- password: !hunter2\n",
     "1:3: a tag that is not known here: text that begins with \"!\" needs quotes"},
    {"- password: !hunter2!x\n", "1:13: a tag: text that begins with \"!\" needs quotes"},
    {"- !hunter2 {a: b}\n",
     "1:12: a tag that is not known here: text that begins with \"!\" needs quotes"},
    {"- password: &hunter2 &hunter2 x\n",
     "1:23: an anchor: text that begins with \"&\" needs quotes"},
    {"- password: &hunter2 *hunter2\n", "1:23: an alias: text that begins with \"*\" needs quotes"},
    {"- &a [*a]\n", "1:8: an alias to what it stands in itself"},
    {"- &a {<<: *a}\n", "1:12: an alias to what it stands in itself"},
    {"- password: \"hunter2\n", "1:13: the quote that begins here is not closed"},
    {"- folders: [\"\\Junk\"]\n",
     "1:14: an unknown escape: in double quotes a backslash is written "
     "twice, in single quotes once"},
    {"- password: \"\\xhunter2\"\n",
     "1:14: an unknown escape: in double quotes a backslash is written twice"},
    {"- password: 'hunter2\n  x: y\n", "1:13: the quote that begins here is not closed"},
    {"- password: 'it's hunter2'\n", "1:17: text behind the closing quote"},
    {"- folders: [hunter2, b\n", "1:12: the bracket or brace that begins here is not closed"},
    {"- {username: hunter2\n", "1:3: the bracket or brace that begins here is not closed"},
    {"- {username: u host: hunter2}\n", "1:20: a comma is missing before this"},
    {"- {username: u,\n- {password: hunter2}\n",
     "2:1: something is missing before this: a value, or the end of a bracket or brace"},
    {"- {username: 'u' host: hunter2}\n", "1:18: a comma is missing before this"},
    {"- [u\n- b\n", "1:3: the bracket or brace that begins here is not closed"},
    {"- password: {hunter2\n  host: b\n",
     "1:13: the bracket or brace that begins here is not closed"},
    {"- {username: [hunter2\n", "1:14: the bracket or brace that begins here is not closed"},
    {"\t- username: hunter2\n", "1:1: a tab: YAML is indented with blanks"},
    {"- username: hunter2\n\thost: x\n", "2:1: a tab: YAML is indented with blanks"},
    {"- username: hunter2\n  \thost: x\n", "2:3: a tab: YAML is indented with blanks"},
    {"- username: hunter2\n    host: x\n", "1:13: a line without its \":\", or wrongly indented"},
    {"- username hunter2\n  host: x\n", "1:3: a line without its \":\", or wrongly indented"},
    {"- username: hunter2\n host: x\n",
     "2:2: wrongly indented: this is neither in the list nor beside it"},
    {"- username: hunter2\nhost: x\n", "2:1: an entry of a list begins with \"- \""},
    {"mailboxes: - hunter2\n", "1:12: a list begins on the line below its key"},
    {"- a\n---\n- hunter2\n", "2:1: a second document (\"---\"), expected one in the file"},
    {"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", "1:33: nested too deeply"},
};

static void test_conf_syntax(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof conf_syntax / sizeof *conf_syntax; i++) {
        char *got = scene_load_texts(NULL, conf_syntax[i].text);
        char *expected = mem_printf("m.yml:%s\n", conf_syntax[i].problem);
        scene_expect(conf_syntax[i].text, got, expected);
        free(expected);
        free(got);
    }
}

/* Both files' problems come together, the feed's first, each file's from top to bottom. */
static void test_conf_all_in_one_go(void **state)
{
    (void)state;
    scene_write_text("f.yml", "port: 0\nprt: 1\ntls: \"hunter2\n");
    scene_write_text("m.yml", "- {username: u, password: hunter2, host: h, port: 0}\n- x\n");
    conf_expect("f.yml", "m.yml",
                "f.yml:3:6: the quote that begins here is not closed\n"
                "m.yml:1:51: \"port\" is out of range, expected a number from 1 to 65535\n"
                "m.yml:2:3: this entry is text, expected entries such as \"- {username: "
                "user@domain, password: secret, host: mail.example}\"\n");
}

/* A file of a few hundred bytes that would be billions of values. */
static void test_conf_alias_bomb(void **state)
{
    (void)state;
    struct buf text = {0};
    buf_add_str(&text, "- &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for (int i = 1; i < 12; i++) {
        buf_printf(&text, "- &a%d [", i);
        for (int k = 0; k < 10; k++)
            buf_printf(&text, "*a%d, ", i - 1);
        buf_add_str(&text, "]\n");
    }
    char *got = scene_load_texts(NULL, buf_cstr(&text));
    assert_string_equal(got, "m.yml:8:7: too much, once all aliases are followed\n");
    free(got);
    buf_clear(&text);
    /* The same by merge keys, which are maps in maps. */
    buf_add_str(&text, "- &a0 {username: u}\n");
    for (int i = 1; i < 12; i++) {
        buf_printf(&text, "- &a%d\n  <<: [", i);
        for (int k = 0; k < 10; k++)
            buf_printf(&text, "*a%d, ", i - 1);
        buf_add_str(&text, "]\n");
    }
    got = scene_load_texts(NULL, buf_cstr(&text));
    assert_non_null(strstr(got, ": too much, once all aliases are followed\n"));
    free(got);
    buf_release(&text);
}

/* However a file is cut off, it is read or refused, and no secret shows. */
static void test_conf_cut(void **state)
{
    (void)state;
    static const char text[] =
        "# many\ndefaults: &d {host: h, folders: [a, \"\\\\Junk\"], after: {move: x}}\n"
        "mailboxes:\n- {username: u, password: 'hunter2'}\n- <<: *d\n  username: v\n"
        "  password: \"hunter2\\u00e9\"\n- username: w\n  password: >-\n    hunter2\n";
    scene_write_text("f.yml", GOOD_FEED);
    for (size_t len = 0; len < sizeof text; len++) {
        scene_write("m.yml", text, len, 0600);
        char *got = scene_load("f.yml", "m.yml", false);
        assert_true(got[0]);
        free(got);
    }
}

static void test_conf_nothing(void **state)
{
    (void)state;
    struct conf_problems none = {0};
    conf_problems_release(&none);
    conf_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conf_examples),      cmocka_unit_test(test_conf_newer_examples),
        cmocka_unit_test(test_conf_default_names), cmocka_unit_test(test_conf_unreadable),
        cmocka_unit_test(test_conf_relative),      cmocka_unit_test(test_conf_modes),
        cmocka_unit_test(test_conf_pipe),          cmocka_unit_test(test_conf_bytes),
        cmocka_unit_test(test_conf_syntax),        cmocka_unit_test(test_conf_all_in_one_go),
        cmocka_unit_test(test_conf_alias_bomb),    cmocka_unit_test(test_conf_cut),
        cmocka_unit_test(test_conf_nothing),       cmocka_unit_test(test_conf_credentials),
        cmocka_unit_test(test_conf_variables),
    };
    return cmocka_run_group_tests(tests, scene_setup, scene_teardown);
}
