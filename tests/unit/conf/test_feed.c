#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "scene.h"

struct feed_case {
    const char *text;
    const char *outcome;
};

#define FEED_REST " tls=none payload=json confirm=auto/confirm.writer/1000ms max_frame=1048576\n"
#define FEED_UNKNOWN                                                                               \
    ", expected one of broker, host, port, identity, ident, secret, secret_file, "                 \
    "secret_command, channels, tls, tls_ca, tls_verify, tls_cert, tls_key, payload, confirm, "     \
    "confirm_channel, confirm_grace, max_frame\n"

static const struct feed_case feed_good[] = {
    /* The two forms people have. */
    {"---  # seed form\n  broker: \"127.0.0.1\"\n  port: 10_000  # underscores\n"
     "  identity: \"writer\"\n  secret: \"hunter2\"\n  channels:\n    - \"spam.mails\"\n",
     "feed 127.0.0.1:10000 ident=writer secret=hunter2 channels=spam.mails" FEED_REST},
    {"type: hpfeeds\nhpfeeds: {host: broker.example, port: 10000, ident: writer, secret: s, "
     "tls: true, channels: [spam.mails]}\n",
     "feed broker.example:10000 ident=writer secret=s channels=spam.mails tls=implicit "
     "payload=json confirm=auto/confirm.writer/1000ms max_frame=1048576\n"},
    /* Synonyms in both. */
    {"host: h\nident: w\n",
     "feed h:10000 ident=w secret=secret channels=spam.mails tls=none payload=json "
     "confirm=auto/confirm.w/1000ms max_frame=1048576\n"},
    {"hpfeeds:\n  broker: h\n  identity: w\n",
     "feed h:10000 ident=w secret=secret channels=spam.mails tls=none payload=json "
     "confirm=auto/confirm.w/1000ms max_frame=1048576\n"},
    /* Defaults. */
    {"port: 1\n", "feed localhost:1 ident=writer secret=secret channels=spam.mails" FEED_REST},
    {"{}", "feed localhost:10000 ident=writer secret=secret channels=spam.mails" FEED_REST},
    {"type: hpfeeds\nhpfeeds:\n",
     "feed localhost:10000 ident=writer secret=secret channels=spam.mails" FEED_REST},
    {"", "warning: f.yml: is empty: the defaults stand (localhost, port 10000, identity writer, "
         "channel spam.mails)\n"
         "feed localhost:10000 ident=writer secret=secret channels=spam.mails" FEED_REST},
    {"---\n# nothing yet\n",
     "warning: f.yml: is empty: the defaults stand (localhost, port 10000, identity writer, "
     "channel spam.mails)\n"
     "feed localhost:10000 ident=writer secret=secret channels=spam.mails" FEED_REST},
    /* Everything else that can be set. */
    {"payload: raw\nconfirm: Close\nconfirm_channel: c\nconfirm_grace: 250ms\nmax_frame: 10MiB\n",
     "feed localhost:10000 ident=writer secret=secret channels=spam.mails tls=none payload=raw "
     "confirm=close/c/250ms max_frame=10485760\n"},
    {"confirm_grace: 60\nmax_frame: 1_048_577\nconfirm: sent\n",
     "feed localhost:10000 ident=writer secret=secret channels=spam.mails tls=none payload=json "
     "confirm=sent/confirm.writer/60000ms max_frame=1048577\n"},
    {"confirm_grace: 0\nmax_frame: 1024\nconfirm: echo\n",
     "feed localhost:10000 ident=writer secret=secret channels=spam.mails tls=none payload=json "
     "confirm=echo/confirm.writer/0ms max_frame=1024\n"},
    {"tls: on\ntls_ca: ca.pem\ntls_verify: no\ntls_cert: ca.pem\ntls_key: ca.pem\n",
     "feed localhost:10000 ident=writer secret=secret channels=spam.mails tls=implicit ca=ca.pem "
     "unverified cert=ca.pem key=ca.pem payload=json confirm=auto/confirm.writer/1000ms "
     "max_frame=1048576\n"},
    /* Scalars as people and YAML 1.1 write them. */
    {"port: '20_000'\nchannels: one\nsecret: 0123\n",
     "feed localhost:20000 ident=writer secret=0123 channels=one" FEED_REST},
    {"port: 0x2711\nchannels: [a, 'b c', \"d\\u00e9\"]\nsecret: yes\n",
     "feed localhost:10001 ident=writer secret=yes channels=a,b c,d\xC3\xA9" FEED_REST},
    {"broker: '[2001:db8::1]'\nsecret: a#b:c\n",
     "feed 2001:db8::1:10000 ident=writer secret=a#b:c channels=spam.mails" FEED_REST},
    {"broker: fe80::1%eth0\nsecret: !!str 12\n",
     "feed fe80::1%eth0:10000 ident=writer secret=12 channels=spam.mails" FEED_REST},
    {"broker: ::ffff:192.0.2.1\nsecret: s\n",
     "feed ::ffff:192.0.2.1:10000 ident=writer secret=s channels=spam.mails" FEED_REST},
    {"&x broker: h\nident: &i w\nchannels: [*i]\n",
     "feed h:10000 ident=w secret=secret channels=w tls=none payload=json "
     "confirm=auto/confirm.w/1000ms max_frame=1048576\n"},
    {"hpfeeds: {<<: {port: 7, ident: w}, port: 8}\n",
     "feed localhost:8 ident=w secret=secret channels=spam.mails tls=none payload=json "
     "confirm=auto/confirm.w/1000ms max_frame=1048576\n"},
    /* The first line of a file, whatever its line ends. */
    {"secret_file: s.lf\n",
     "feed localhost:10000 ident=writer secret=hunter2 lf channels=spam.mails" FEED_REST},
    {"secret_file: s.crlf\n",
     "feed localhost:10000 ident=writer secret=hunter2 crlf channels=spam.mails" FEED_REST},
    {"secret_file: s.bare\n",
     "feed localhost:10000 ident=writer secret=hunter2 bare channels=spam.mails" FEED_REST},
    {"secret_command: [printf, '%s\\n%s', hunter2 out, more]\n",
     "feed localhost:10000 ident=writer secret=hunter2 out channels=spam.mails" FEED_REST},
    {"secret_command: printf '%s|' \"hunter2 out\"\n",
     "feed localhost:10000 ident=writer secret=hunter2 out| channels=spam.mails" FEED_REST},
    {"secret_command: ./s.sh\n",
     "feed localhost:10000 ident=writer secret=hunter2 run channels=spam.mails" FEED_REST},
    {"tls: no\ntls_verify: yes\n",
     "warning: f.yml:2:1: \"tls_verify\" does nothing while tls is off\n"
     "feed localhost:10000 ident=writer secret=secret channels=spam.mails" FEED_REST},
};

static const struct feed_case feed_bad[] = {
    {"- broker\n", "f.yml:1:1: the file is a list, expected keys such as \"broker: localhost\"\n"},
    {"broker\n", "f.yml:1:1: the file is text, expected keys such as \"broker: localhost\"\n"},
    {"brokr: h\n", "f.yml:1:1: unknown key \"brokr\": did you mean \"broker\"?\n"},
    {"Port: 1\n", "f.yml:1:1: unknown key \"Port\": did you mean \"port\"?\n"},
    {"colour: h\n", "f.yml:1:1: unknown key \"colour\"" FEED_UNKNOWN},
    {"1x: h\n", "f.yml:1:1: unknown key" FEED_UNKNOWN},
    {"{secret: s,hunter2: h}\n", "f.yml:1:12: unknown key" FEED_UNKNOWN},
    {"Hunter: h\n", "f.yml:1:1: unknown key" FEED_UNKNOWN},
    {"[a]: h\n", "f.yml:1:1: unknown key" FEED_UNKNOWN},
    {"{secret=hunter2}\n", "f.yml:1:2: unknown key" FEED_UNKNOWN},
    {"port: 1\nport: 2\n", "f.yml:2:1: \"port\" is given twice, first in line 1\n"},
    {"host: a\nident: x\nbroker: b\nidentity: y\n",
     "f.yml:3:1: \"broker\" and \"host\" (line 1) mean the same, expected one of them\n"
     "f.yml:4:1: \"identity\" and \"ident\" (line 2) mean the same, expected one of them\n"},
    /* Types. */
    {"port: [1]\nbroker: {a: b}\nidentity:\nsecret: [hunter2]\nchannels: {a: b}\ntls: maybe\n",
     "f.yml:1:7: \"port\" is a list, expected a number from 1 to 65535\n"
     "f.yml:2:9: \"broker\" is a map, expected text\n"
     "f.yml:3:1: \"identity\" has no value, expected text\n"
     "f.yml:4:9: \"secret\" is a list, expected text\n"
     "f.yml:5:11: \"channels\" is a map, expected a list of names\n"
     "f.yml:6:6: \"tls\" is not a switch, expected true or false\n"},
    {"port: hunter2\nconfirm: hunter2\npayload: hunter2\ntls: hunter2\nmax_frame: hunter2\n"
     "confirm_grace: hunter2\n",
     "f.yml:1:7: \"port\" is not a number, expected a number from 1 to 65535\n"
     "f.yml:2:10: \"confirm\" is none of its values, expected auto, echo, close or sent\n"
     "f.yml:3:10: \"payload\" is none of its values, expected json or raw\n"
     "f.yml:4:6: \"tls\" is not a switch, expected true or false\n"
     "f.yml:5:12: \"max_frame\" is not a size from 1 KiB to 2147483647 bytes, such as \"64MiB\"\n"
     "f.yml:6:16: \"confirm_grace\" is not a duration from 0 to 60 s, such as \"500ms\", \"30s\" "
     "or "
     "\"5min\"\n"},
    {"secret: ~\n",
     "f.yml:1:9: \"secret\" has no value, expected text (quote the text \"null\" or \"~\")\n"},
    {"secret: ''\n", "f.yml:1:9: \"secret\" is empty, expected one line of text\n"},
    {"secret: |\n  hunter2\n",
     "f.yml:1:1: \"secret\" has a line break in it, expected one line of text\n"},
    {"secret: \"hunter2\\0\"\n",
     "f.yml:1:9: \"secret\" has a NUL in it, expected one line of text\n"},
    /* Ranges. */
    {"port: 0\n", "f.yml:1:7: \"port\" is out of range, expected a number from 1 to 65535\n"},
    {"port: 65536\n", "f.yml:1:7: \"port\" is out of range, expected a number from 1 to 65535\n"},
    {"port: -1\n", "f.yml:1:7: \"port\" is out of range, expected a number from 1 to 65535\n"},
    {"port: 99999999999999999999999\n",
     "f.yml:1:7: \"port\" is out of range, expected a number from 1 to 65535\n"},
    {"port: 010000\n", "f.yml:1:7: \"port\" begins with 0, which makes it octal to some readers of "
                       "YAML, expected a number from 1 to 65535\n"},
    {"max_frame: 1023\nconfirm_grace: 61s\n",
     "f.yml:1:12: \"max_frame\" is not a size from 1 KiB to 2147483647 bytes, such as \"64MiB\"\n"
     "f.yml:2:16: \"confirm_grace\" is not a duration from 0 to 60 s, such as \"500ms\", \"30s\" "
     "or "
     "\"5min\"\n"},
    {"max_frame: 2GiB\n",
     "f.yml:1:12: \"max_frame\" is not a size from 1 KiB to 2147483647 bytes, such as \"64MiB\"\n"},
    /* Hosts. */
    {"broker: h:10000\n", "f.yml:1:9: \"broker\" has a \":\" in it (the port has a key of its own, "
                          "\"port\"), expected a host name or an IP address\n"},
    {"broker: 1.2.3.4:10000\n", "f.yml:1:9: \"broker\" has a \":\" in it (the port has a key of "
                                "its own, \"port\"), expected a "
                                "host name or an IP address\n"},
    {"broker: abc:10000:1\n", "f.yml:1:9: \"broker\" has a \":\" in it (the port has a key of its "
                              "own, \"port\"), expected a "
                              "host name or an IP address\n"},
    {"broker: 'tcp://h'\n",
     "f.yml:1:9: \"broker\" is a URL or a path, expected a host name or an IP address\n"},
    {"broker: a b\n", "f.yml:1:9: \"broker\" has a character in it that hosts do not have, "
                      "expected a host name or an IP address\n"},
    {"broker: '[::x]'\n",
     "f.yml:1:9: \"broker\" has no IPv6 address in it, expected a host name or "
     "an IP address\n"},
    {"broker: \"h\\r\\nx\"\n",
     "f.yml:1:9: \"broker\" has a line break in it, expected one line of text\n"},
    {"broker: \"h\\tx\"\n", "f.yml:1:9: \"broker\" has a control character in it\n"},
    /* Names on the wire. */
    {"channels: []\n", "f.yml:1:11: \"channels\" is empty, expected a list of names\n"},
    {"channels:\n", "f.yml:1:1: \"channels\" is nothing, expected a list of names\n"},
    {"channels: [a, b, a, [c], '']\n",
     "f.yml:1:18: \"channels\" names \"a\" twice\n"
     "f.yml:1:21: \"channels\" is a list, expected text\n"
     "f.yml:1:26: \"channels\" is empty, expected one line of text\n"},
    {"channels: [a, c]\nconfirm_channel: c\n",
     "f.yml:2:18: mail and confirmations in one channel, expected a confirm_channel of its own\n"},
    {"channels: [a, confirm.writer]\n",
     "f.yml:1:15: mail and confirmations in one channel, expected a confirm_channel of its own\n"},
    /* Secrets. */
    {"secret: hunter2\nsecret_file: s.lf\n",
     "f.yml:2:1: \"secret_file\" beside another secret, expected one of secret, secret_file, "
     "secret_command\n"},
    {"secret_file: none\n",
     "f.yml:1:14: \"secret_file\" cannot be read: No such file or directory\n"},
    {"secret_file: .\n", "f.yml:1:14: \"secret_file\" is not a file\n"},
    {"secret_file: empty\n",
     "f.yml:1:14: the first line of \"secret_file\" is empty, expected the secret\n"},
    {"secret_file: s.nul\n",
     "f.yml:1:14: the first line of \"secret_file\" has a control character "
     "in it, expected the secret\n"},
    {"secret_file: s.long\n",
     "f.yml:1:14: the first line of \"secret_file\" is longer than 4096 bytes, expected the "
     "secret\n"},
    {"secret_command: [sh, -c, 'echo hunter2; echo no hunter2 here >&2; exit 2']\n",
     "f.yml:1:17: \"secret_command\" failed with exit status 2: no ******* here\n"},
    {"secret_command: [sh, -c, 'printf \"a\\033\\nb\\n\" >&2; kill -9 $$']\n",
     "f.yml:1:17: \"secret_command\" was ended by signal 9: a\\x1b b\n"},
    {"secret_command: /nonexistent/hunter2\n",
     "f.yml:1:17: \"secret_command\" cannot be started: No such file or directory\n"},
    {"secret_command: 'true'\n",
     "f.yml:1:17: the first line of \"secret_command\" is empty, expected the secret\n"},
    {"secret_command: echo hunter2 | cat\n",
     "f.yml:1:17: \"secret_command\" is run without a shell, but has one of | & ; < > $ ` in it: "
     "put it in single quotes, or write [sh, -c, \"\xE2\x80\xA6\"]\n"},
    {"secret_command: \"echo 'hunter2\"\n",
     "f.yml:1:17: \"secret_command\" has a quote that is not closed\n"},
    {"secret_command: []\n",
     "f.yml:1:17: \"secret_command\" is an empty list, expected a command\n"},
    {"secret_command: [echo, [hunter2]]\n",
     "f.yml:1:24: \"secret_command\" is a list of something else, expected text only\n"},
    {"secret_command: ' '\n", "f.yml:1:17: \"secret_command\" is empty, expected a command\n"},
    /* A command may reach out: it is not run while anything is wrong. */
    {"port: 0\nsecret_command: touch ran\n",
     "f.yml:1:7: \"port\" is out of range, expected a number from 1 to 65535\n"},
    /* TLS. */
    {"tls_ca: ca.pem\n",
     "f.yml:1:1: \"tls_ca\" does nothing while tls is off, expected tls: true as well\n"},
    {"tls: true\ntls_cert: ca.pem\n",
     "f.yml:2:1: \"tls_cert\" alone, expected \"tls_key\" as well\n"},
    {"tls: true\ntls_key: ca.pem\n",
     "f.yml:2:1: \"tls_key\" alone, expected \"tls_cert\" as well\n"},
    {"tls: true\ntls_ca: none.pem\n", "f.yml:2:9: \"tls_ca\" cannot be read: No such file or "
                                      "directory, expected certificates in PEM\n"},
    {"tls: true\ntls_ca: .\n",
     "f.yml:2:9: \"tls_ca\" cannot be read: not a file, expected certificates in PEM\n"},
    /* The form with a section. */
    {"type: kafka\nhpfeeds: {}\n", "f.yml:1:7: \"type\" is none of its values, expected hpfeeds\n"},
    {"type: hpfeeds\n", "f.yml:1:1: no section \"hpfeeds:\", expected {broker: \xE2\x80\xA6, port: "
                        "\xE2\x80\xA6} in it\n"},
    {"type: hpfeeds\nhpfeeds: [a]\n", "f.yml:2:10: \"hpfeeds\" is a list, expected {broker: "
                                      "\xE2\x80\xA6, port: \xE2\x80\xA6}\n"},
    {"type: hpfeeds\nport: 1\nhpfeeds: {prt: 1}\n",
     "f.yml:2:1: \"port\" belongs into the section \"hpfeeds:\" when there is one\n"
     "f.yml:3:11: unknown key \"prt\": did you mean \"port\"?\n"},
    {"type: hpfeeds\nhpfeed: {}\n",
     "f.yml:2:1: unknown key \"hpfeed\": did you mean \"hpfeeds\"?\n"},
};

static int feed_setup(void **state)
{
    char line[5000];
    memset(line, 'x', sizeof line);
    scene_setup(state);
    scene_write_text("ca.pem", "-");
    scene_write_text("s.lf", "hunter2 lf\nmore\n");
    scene_write_text("s.crlf", "hunter2 crlf\r\nmore\r\n");
    scene_write_text("s.bare", "hunter2 bare");
    scene_write_text("empty", "");
    scene_write("s.nul", "a\0hunter2\n", 10, 0600);
    scene_write("s.long", line, sizeof line, 0600);
    scene_write("s.sh", "#!/bin/sh\necho hunter2 run\n", 27, 0700);
    return 0;
}

static void feed_run(const struct feed_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char *got = scene_load_texts(cases[i].text, NULL);
        scene_expect(cases[i].text, got, cases[i].outcome);
        free(got);
    }
}

static void test_feed_good(void **state)
{
    (void)state;
    feed_run(feed_good, sizeof feed_good / sizeof *feed_good);
}

static void test_feed_bad(void **state)
{
    (void)state;
    scene_remove("ran");
    feed_run(feed_bad, sizeof feed_bad / sizeof *feed_bad);
}

/* "ident: <i bytes>, channels: [<c bytes>]" loads or says `expected`. */
static void feed_names(size_t ident, size_t channel, const char *more, const char *expected)
{
    struct buf text = {0};
    char letters[200];
    memset(letters, 'x', sizeof letters);
    buf_printf(&text, "%sident: %.*s\nchannels: [%.*s]\n", more, (int)ident, letters, (int)channel,
               letters);
    char *got = scene_load_texts(buf_cstr(&text), NULL);
    if (!expected)
        assert_ptr_equal(strstr(got, "feed "), got);
    else
        scene_expect(buf_cstr(&text), got, expected);
    free(got);
    buf_release(&text);
}

static void test_feed_name_lengths(void **state)
{
    (void)state;
    feed_names(1, 127, "", NULL);
    feed_names(119, 127, "", NULL);
    feed_names(127, 125, "confirm: close\n", NULL);
    feed_names(127, 10, "confirm_channel: c\n", NULL);
    feed_names(1, 128, "", "f.yml:2:12: \"channels\" is too long, expected at most 127 bytes\n");
    feed_names(128, 1, "", "f.yml:1:8: \"ident\" is too long, expected at most 127 bytes\n");
    feed_names(120, 1, "",
               "f.yml:1:8: confirm.<identity> is too long for a channel, expected a "
               "confirm_channel as well\n");
    feed_names(126, 127, "confirm: close\n",
               "f.yml:3:12: identity and channel are too long, expected at most 252 bytes "
               "together\n");
}

/* The command of a bad configuration did not run; that of a good one does. */
static void test_feed_command_last(void **state)
{
    (void)state;
    FILE *ran = fopen("ran", "r");
    assert_null(ran);
    free(scene_load_texts("secret_command: touch ran\n", "- {username: u}\n"));
    ran = fopen("ran", "r");
    assert_null(ran);
    free(scene_load_texts("secret_command: touch ran\n", NULL));
    ran = fopen("ran", "r");
    assert_non_null(ran);
    fclose(ran);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_feed_good),
        cmocka_unit_test(test_feed_bad),
        cmocka_unit_test(test_feed_name_lengths),
        cmocka_unit_test(test_feed_command_last),
    };
    return cmocka_run_group_tests(tests, feed_setup, scene_teardown);
}
