#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "scene.h"

#define MAILBOXES "mailboxes:\n- {username: u, password: hunter2, host: h}\n"

struct limits_case {
    const char *text; /* of the file, but for its mailboxes */
    const char *hosts[8];
    const char *outcome; /* memory, then connections/logins of each host */
};

static const struct limits_case limits_good[] = {
    {"", {"h", "10.0.0.1", "::1"}, "67108864 0/50 0/50 0/50\n"},
    {"limits:\n", {"h"}, "67108864 0/50\n"},
    {"limits: {}\n", {"h"}, "67108864 0/50\n"},
    /* Freemail services have gentle limits of their own, in any case, also below their domain. */
    {"",
     {"imap.gmail.com", "IMAP.GMail.COM", "outlook.office365.com", "imap.qq.com", "gmail.com",
      "notgmail.com", "gmail.com.example"},
     "67108864 1000/2 1000/2 1000/2 100/1 1000/2 0/50 0/50\n"},
    /* The general ones hold for what has none of its own. */
    {"limits: {memory_budget: 4MiB, connections_per_host: 20, logins_per_second: 0.5}\n",
     {"h", "imap.gmail.com"},
     "4194304 20/0.5 1000/2\n"},
    {"limits: {memory_budget: 1_000_000_000, connections_per_host: 1_000, logins_per_second: "
     "1_000}\n",
     {"h"},
     "1000000000 1000/1000\n"},
    {"limits: {memory_budget: 1024GiB, logins_per_second: 0.001}\n",
     {"h"},
     "1099511627776 0/0.001\n"},
    {"limits: {logins_per_second: '10000.000'}\n", {"h"}, "67108864 0/10000\n"},
    /* A host by its name, or with all below it; what it leaves open is what would hold else. */
    {"limits:\n  logins_per_second: 7\n  hosts:\n    mail.example: {connections_per_host: 3}\n"
     "    .example.org: {logins_per_second: 0.25}\n    imap.gmail.com: {connections_per_host: 0}\n",
     {"mail.example", "x.mail.example", "example.org", "a.b.example.org", "anexample.org",
      "imap.gmail.com", "x.gmail.com"},
     "67108864 3/7 0/7 0/0.25 0/0.25 0/7 0/2 1000/2\n"},
    /* The nearest wins, wherever it stands. */
    {"limits: {hosts: {.org: {connections_per_host: 1, logins_per_second: 1}, "
     ".example.org: {connections_per_host: 2}, a.example.org: {logins_per_second: 3}, "
     "B.Example.ORG: {connections_per_host: 4}}}\n",
     {"x.org", "example.org", "x.example.org", "a.example.org", "b.example.org"},
     "67108864 1/1 2/1 2/1 2/3 4/1\n"},
    {"limits: {hosts: {10.0.0.1: {connections_per_host: 1}, '::1': {connections_per_host: 2}, "
     "'[::2]': {connections_per_host: 3}}}\n",
     {"10.0.0.1", "::1", "::2"},
     "67108864 1/50 2/50 3/50\n"},
    {"limits: {hosts: {h: {}, i: {logins_per_second: 2}}}\n", {"h", "i"}, "67108864 0/50 0/2\n"},
    {"limits: {hosts: }\n", {"h"}, "67108864 0/50\n"},
    /* Merge keys and aliases, as everywhere. */
    {"limits:\n  hosts:\n    a: &gentle {connections_per_host: 1, logins_per_second: 1}\n"
     "    b: *gentle\n    c: {<<: *gentle, connections_per_host: 9}\n"
     "    <<: [{a: {connections_per_host: 5}, d: {connections_per_host: 6}}, {e: *gentle}]\n",
     {"a", "b", "c", "d", "e"},
     "67108864 1/1 1/1 9/1 6/50 1/1\n"},
};

#define HOST_EXPECTED                                                                              \
    ", expected a map such as {connections_per_host: 10, logins_per_second: 0.5}\n"
#define RATE_EXPECTED " is not a number from 0.001 to 10000, such as \"20\" or \"0.5\"\n"

static const struct limits_case limits_bad[] = {
    {"limits: []\n", {0}, "m.yml:1:9: \"limits\" is a list, expected a map of keys\n"},
    {"limit: {}\n", {0}, "m.yml:1:1: unknown key \"limit\": did you mean \"limits\"?\n"},
    {"limits: {memory: 1GiB, connections: 1, logins: 1, host: {}}\n",
     {0},
     "m.yml:1:10: unknown key \"memory\": did you mean \"memory_budget\"?\n"
     "m.yml:1:24: unknown key \"connections\": did you mean \"connections_per_host\"?\n"
     "m.yml:1:40: unknown key \"logins\": did you mean \"logins_per_second\"?\n"
     "m.yml:1:51: unknown key \"host\": did you mean \"hosts\"?\n"},
    {"limits: {memory_budget: 4095KiB}\n",
     {0},
     "m.yml:1:25: \"memory_budget\" is not a size from 4 MiB to 1024 GiB, such as \"64MiB\"\n"},
    {"limits: {memory_budget: 1025GiB}\n",
     {0},
     "m.yml:1:25: \"memory_budget\" is not a size from 4 MiB to 1024 GiB, such as \"64MiB\"\n"},
    {"limits: {memory_budget: much}\n",
     {0},
     "m.yml:1:25: \"memory_budget\" is not a size from 4 MiB to 1024 GiB, such as \"64MiB\"\n"},
    {"limits: {connections_per_host: -1, logins_per_second: 0}\n",
     {0},
     "m.yml:1:32: \"connections_per_host\" is out of range, expected a number from 0 to 1000000\n"
     "m.yml:1:55: \"logins_per_second\"" RATE_EXPECTED},
    {"limits: {logins_per_second: 10000.001}\n",
     {0},
     "m.yml:1:29: \"logins_per_second\"" RATE_EXPECTED},
    {"limits: {logins_per_second: 0.0001}\n",
     {0},
     "m.yml:1:29: \"logins_per_second\"" RATE_EXPECTED},
    {"limits: {logins_per_second: .5}\n", {0}, "m.yml:1:29: \"logins_per_second\"" RATE_EXPECTED},
    {"limits: {logins_per_second: 1.}\n", {0}, "m.yml:1:29: \"logins_per_second\"" RATE_EXPECTED},
    {"limits: {logins_per_second: 1.5.5}\n",
     {0},
     "m.yml:1:29: \"logins_per_second\"" RATE_EXPECTED},
    {"limits: {logins_per_second: -1}\n", {0}, "m.yml:1:29: \"logins_per_second\"" RATE_EXPECTED},
    {"limits: {logins_per_second: 1e3}\n", {0}, "m.yml:1:29: \"logins_per_second\"" RATE_EXPECTED},
    {"limits: {logins_per_second: inf}\n", {0}, "m.yml:1:29: \"logins_per_second\"" RATE_EXPECTED},
    {"limits: {logins_per_second: [1]}\n",
     {0},
     "m.yml:1:29: \"logins_per_second\" is a list, expected a number\n"},
    {"limits: {hosts: [h]}\n",
     {0},
     "m.yml:1:17: \"hosts\" is a list, expected a map of host names\n"},
    {"limits: {hosts: {h: 5, i: , j: [x]}}\n",
     {0},
     "m.yml:1:21: the limits of a host are text" HOST_EXPECTED
     "m.yml:1:24: the limits of a host are nothing" HOST_EXPECTED
     "m.yml:1:32: the limits of a host are a list" HOST_EXPECTED},
    {"limits:\n  hosts:\n    h: {conections_per_host: 1, memory_budget: 1}\n",
     {0},
     "m.yml:3:9: unknown key \"conections_per_host\": did you mean \"connections_per_host\"?\n"
     "m.yml:3:33: unknown key \"memory_budget\", expected one of connections_per_host, "
     "logins_per_second\n"},
    {"limits:\n  hosts:\n    h: {}\n    H: {}\n    .h: {}\n    'h:993': {}\n    ~: {}\n"
     "    .: {}\n    [x]: {}\n    http://h: {}\n    '': {}\n",
     {0},
     "m.yml:4:5: this host is given twice\n"
     "m.yml:6:5: \"hosts\" has a \":\" in it (the port has a key of its own, \"port\"), expected a "
     "host name or an IP address\n"
     "m.yml:7:5: \"hosts\" has no value, expected text (quote the text \"null\" or \"~\")\n"
     "m.yml:9:5: \"hosts\" is a list, expected text\n"
     "m.yml:10:5: \"hosts\" is a URL or a path, expected a host name or an IP address\n"
     "m.yml:11:5: \"hosts\" is empty, expected one line of text\n"},
    {"limits: {hosts: {<<: h}}\n",
     {0},
     "m.yml:1:22: \"<<\" is text, expected a map of host names\n"},
};

static char *limits_show(const struct conf_limits *limits, const char *const *hosts)
{
    struct buf out = {0};
    buf_printf(&out, "%zu", limits->memory_budget);
    for (; *hosts; hosts++) {
        const struct conf_host_limits *found = conf_limits_of_host(limits, *hosts);
        buf_printf(&out, " %u/%g", found->connections, found->logins_per_second);
    }
    buf_add_str(&out, "\n");
    char *text = mem_strdup(buf_cstr(&out));
    buf_release(&out);
    return text;
}

static void limits_run(const struct limits_case *one)
{
    struct conf *conf;
    struct conf_problems problems;
    char *text = mem_printf("%s" MAILBOXES, one->text);
    scene_write_text("f.yml", "secret: hunter2\n");
    scene_write_text("m.yml", text);
    free(text);
    if (conf_load("f.yml", "m.yml", false, NULL, &conf, &problems) < 0)
        fail_msg("%s: %s", one->text, problems.items[0].text);
    assert_int_equal(problems.count, 0);
    const struct conf_host_limits *last = &conf->limits.hosts[conf->limits.host_count - 1];
    assert_null(last->host);
    char *got = limits_show(&conf->limits, one->hosts);
    scene_expect(one->text, got, one->outcome);
    free(got);
    conf_free(conf);
    conf_problems_release(&problems);
}

static void test_limits_good(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof limits_good / sizeof *limits_good; i++)
        limits_run(&limits_good[i]);
}

static void test_limits_bad(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof limits_bad / sizeof *limits_bad; i++) {
        char *text = mem_printf("%s" MAILBOXES, limits_bad[i].text);
        char *got = scene_load_texts(NULL, text);
        scene_expect(text, got, limits_bad[i].outcome);
        free(got);
        free(text);
    }
}

/* Mails of the largest kind must fit side by side. */
static void test_limits_frames(void **state)
{
    (void)state;
    char *got = scene_load_texts("secret: hunter2\nmax_frame: 20MiB\n",
                                 "limits: {memory_budget: 79MiB}\n" MAILBOXES);
    scene_expect("79MiB", got,
                 "m.yml:1:25: \"memory_budget\" has no room for four of the largest frames "
                 "(\"max_frame\" of the feed is 20971520), expected at least 83886080\n");
    free(got);
    struct conf *conf;
    struct conf_problems problems;
    scene_write_text("m.yml", MAILBOXES);
    assert_int_equal(conf_load("f.yml", "m.yml", false, NULL, &conf, &problems), 0);
    assert_int_equal(conf->limits.memory_budget, 80 << 20);
    conf_free(conf);
    conf_problems_release(&problems);
}

static void test_limits_many_hosts(void **state)
{
    (void)state;
    struct buf text = {0};
    buf_add_str(&text, "limits:\n  hosts:\n");
    for (int i = 0; i < 1001; i++)
        buf_printf(&text, "    h%d: {connections_per_host: 1}\n", i);
    buf_add_str(&text, MAILBOXES);
    char *got = scene_load_texts(NULL, buf_cstr(&text));
    scene_expect("1001 hosts", got, "m.yml:1003:5: more than 1000 hosts\n");
    free(got);
    buf_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limits_good),
        cmocka_unit_test(test_limits_bad),
        cmocka_unit_test(test_limits_frames),
        cmocka_unit_test(test_limits_many_hosts),
    };
    return cmocka_run_group_tests(tests, scene_setup, scene_teardown);
}
