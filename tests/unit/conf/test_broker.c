/* The broker's file: what it comes to, and what is said of what is wrong in it. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../imap/heap.h"
#include "base/buf.h"
#include "base/mem.h"
#include "conf/broker.h"
#include "scene.h"

static void add_endpoint(struct buf *out, const struct conf_endpoint *endpoint)
{
    if (endpoint->text) {
        buf_printf(out, "endpoint \"%s\"\n", endpoint->text);
        return;
    }
    buf_printf(out, "endpoint %s %s:%u", endpoint->tls ? "tls" : "tcp", endpoint->interface,
               endpoint->port);
    if (endpoint->device)
        buf_printf(out, " on %s", endpoint->device);
    if (endpoint->tls)
        buf_printf(out, " %s %s", endpoint->cert, endpoint->key ? endpoint->key : "-");
    buf_add_str(out, "\n");
}

static void add_number(struct buf *out, const char *name, uint64_t value, bool there)
{
    if (there)
        buf_printf(out, "%s %" PRIu64 "\n", name, value);
}

static void add_text(struct buf *out, const char *name, const char *text)
{
    if (text)
        buf_printf(out, "%s %s\n", name, text);
}

static void add_broker(struct buf *out, const struct conf_broker *broker)
{
    for (size_t i = 0; i < broker->endpoint_count; i++)
        add_endpoint(out, &broker->endpoints[i]);
    for (size_t i = 0; i < broker->auth_count; i++)
        add_text(out, "auth", broker->auths[i]);
    add_text(out, "exporter", broker->exporter);
    add_text(out, "name", broker->name);
    add_number(out, "frame", broker->max_frame, broker->max_frame);
    add_number(out, "queue", broker->max_queue, broker->max_queue);
    add_number(out, "memory", broker->max_memory, broker->max_memory);
    add_number(out, "timeout", broker->auth_timeout, broker->auth_timeout);
    add_number(out, "strangers", broker->max_unauthenticated, broker->has_strangers);
    add_number(out, "address", broker->max_connections, broker->has_address_max);
    add_text(out, "slow", broker->drop_oldest ? "drops" : NULL);
    add_text(out, "private", broker->no_private_channels ? "off" : NULL);
    for (size_t i = 0; i < broker->durable_count; i++)
        buf_printf(out, "durable %s %s\n", broker->durable[i].ident, broker->durable[i].channel);
    add_text(out, "cert", broker->cert);
    add_text(out, "key", broker->key);
    add_text(out, "user", broker->user);
    add_text(out, "sandbox", broker->no_sandbox ? "off" : NULL);
    add_text(out, "store", broker->store);
    add_number(out, "limit", broker->store_limit, broker->store_limit);
    add_text(out, "full", broker->store_drop_oldest ? "drops" : NULL);
    add_text(out, "level", broker->log_level);
    add_text(out, "format", broker->log_format);
}

/* The problems, a line each, or what was loaded. free() it. */
static char *load(const char *path)
{
    struct conf_broker *broker = NULL;
    struct conf_problems problems;
    struct buf out = {0};
    int result = conf_broker_load(path, &broker, &problems);
    for (size_t i = 0; i < problems.count; i++)
        buf_printf(&out, "%s%s\n", problems.items[i].warning ? "warning: " : "",
                   problems.items[i].text);
    assert_int_equal(result, problems.errors ? -1 : 0);
    assert_int_equal(!broker, problems.errors != 0);
    if (broker)
        add_broker(&out, broker);
    conf_problems_release(&problems);
    conf_broker_free(broker);
    char *text = mem_strdup(buf_cstr(&out));
    buf_release(&out);
    return text;
}

struct broker_case {
    const char *text;
    const char *outcome;
};

static void check(const struct broker_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        scene_write_text("b.yml", cases[i].text);
        char *got = load("b.yml");
        scene_expect(cases[i].text, got, cases[i].outcome);
        free(got);
    }
}

static void test_good(void **state)
{
    static const struct broker_case cases[] = {
        {"", ""},
        {"---\n", ""},
        {"{}\n", ""},
        {"endpoints: tcp:port=10000\n", "endpoint \"tcp:port=10000\"\n"},
        {"endpoints: {port: 10_000}\n", "endpoint tcp 0.0.0.0:10000\n"},
        {"endpoints:\n- tls:port=1\n- {interface: '::1', port: 0, device: lo}\n"
         "- {tls: on, port: 65535, cert: c.pem}\n- {tls: yes, port: 1, cert: c.pem, key: k.pem}\n",
         "endpoint \"tls:port=1\"\nendpoint tcp ::1:0 on lo\nendpoint tls 0.0.0.0:65535 c.pem -\n"
         "endpoint tls 0.0.0.0:1 c.pem k.pem\n"},
        {"auth: env\n", "auth env\n"},
        {"auth: [env, users.json, /a/b.json, x.db]\n",
         "auth env\nauth users.json\nauth /a/b.json\nauth x.db\n"},
        {"exporter: ':9431'\nname: my broker\n", "exporter :9431\nname my broker\n"},
        {"max_frame: 1MiB\nmax_queue: 1\nmax_memory: 1GiB\nauth_timeout: 500ms\n",
         "frame 1048576\nqueue 1\nmemory 1073741824\ntimeout 500\n"},
        {"max_unauthenticated_per_address: 0\nmax_connections_per_address: 4294967295\n",
         "strangers 0\naddress 4294967295\n"},
        {"slow_subscribers: drop-oldest\nprivate_channels: off\nstore_full: drop-oldest\n",
         "slow drops\nprivate off\nfull drops\n"},
        {"slow_subscribers: disconnect\nprivate_channels: on\nstore_full: refuse\n", ""},
        {"durable: {reader: [spam.mails, other], second: one}\nstore: kept\nstore_limit: 10GiB\n",
         "durable reader spam.mails\ndurable reader other\ndurable second one\nstore kept\n"
         "limit 10737418240\n"},
        {"durable: {a: &c [x, y], b: *c}\n",
         "durable a x\ndurable a y\ndurable b x\ndurable b y\n"},
        {"durable: {}\n", ""},
        {"cert: c.pem\nkey: k.pem\nuser: me\nsandbox: off\n",
         "cert c.pem\nkey k.pem\nuser me\nsandbox off\n"},
        {"cert: c.pem\nsandbox: on\n", "cert c.pem\nkey c.pem\n"},
        {"auth: [\"sqlite:x.db\", \"database+sqlite:///x.db\", \"sqlite:/x.db\", sqlite]\n",
         "auth sqlite:x.db\nauth database+sqlite:///x.db\nauth sqlite:/x.db\nauth sqlite\n"},
        {"log_level: debug\nlog_format: json\n", "level debug\nformat json\n"},
    };
    (void)state;
    scene_write_text("c.pem", "x");
    scene_write_text("k.pem", "x");
    check(cases, sizeof cases / sizeof *cases);
}

static void test_wrong(void **state)
{
    static const struct broker_case cases[] = {
        {"- x\n", "b.yml:1:1: the file is a list, expected keys such as \"endpoints: […]\"\n"},
        {"x\n", "b.yml:1:1: the file is text, expected keys such as \"endpoints: […]\"\n"},
        {"endpoints: [{interface: h}]\n", "b.yml:1:13: an endpoint without a port\n"},
        {"endpoints: {port: 1, tls: on}\n",
         "b.yml:1:12: an endpoint with tls, but without a cert\n"},
        {"key: k.pem\n", "b.yml:1:1: a key without a cert\n"},
        {"endpoints: {port: 1, cert: c.pem}\n",
         "b.yml:1:12: an endpoint with a cert or key, but without \"tls: on\"\n"},
        {"durable: [spam.mails]\n",
         "b.yml:1:10: \"durable\" is a list, expected identities and their channels, as in "
         "{reader: [spam.mails]}\n"},
    };
    /* The words are those of the values, which have tests of their own: that they are said. */
    static const char *const said[] = {
        "endpoint: x\n",
        "endpoints: [[]]\n",
        "endpoints: {port: 65536}\n",
        "endpoints: {port: 1, tls: maybe}\n",
        "endpoints: {port: 1, prot: 1}\n",
        "endpoints: {port: 1, interface: 'a b'}\n",
        "endpoints: {port: 1, device: []}\n",
        "endpoints: {port: 1, tls: on, cert: missing.pem}\n",
        "endpoints: {port: 1, tls: on, cert: c.pem, key: missing.pem}\n",
        "auth: []\n",
        "auth: {a: b}\n",
        "auth: [env, env]\n",
        "auth: ['${CREDENTIALS_DIRECTORY}/x.json']\n",
        "exporter: []\n",
        "name: \"a\\nb\"\n",
        "max_frame: 1\n",
        "max_frame: 2GiB\n",
        "max_queue: 0\n",
        "max_memory: 1KiB\n",
        "auth_timeout: 1ms\n",
        "auth_timeout: 2h\n",
        "max_unauthenticated_per_address: -1\n",
        "max_connections_per_address: 4294967296\n",
        "slow_subscribers: wait\n",
        "private_channels: 2\n",
        "durable: {'': [c]}\n",
        "durable: {a: []}\n",
        "durable: {a: [c, c]}\n",
        "durable: {[a]: [c]}\n",
        "durable: {a: {b: c}}\n",
        "store: []\n",
        "store: ${CREDENTIALS_DIRECTORY}/x\n",
        "store_limit: 1\n",
        "store_full: wait\n",
        "log_level: loud\n",
        "log_format: xml\n",
        "name: a\nname: b\n",
        "name: [\n",
    };
    (void)state;
    unsetenv("CREDENTIALS_DIRECTORY");
    check(cases, sizeof cases / sizeof *cases);
    for (size_t i = 0; i < sizeof said / sizeof *said; i++) {
        scene_write_text("b.yml", said[i]);
        char *got = load("b.yml");
        if (strncmp(got, "b.yml:", 6) != 0)
            fail_msg("nothing is said of: %s\n%s", said[i], got);
        free(got);
    }
}

static void test_missing(void **state)
{
    (void)state;
    char *got = load("nowhere.yml");
    assert_non_null(strstr(got, "nowhere.yml"));
    assert_non_null(strstr(got, "No such file"));
    free(got);
}

/* A path in it starts where the file is. */
static void test_elsewhere(void **state)
{
    (void)state;
    char *here = realpath(".", NULL);
    struct buf path = {0}, expected = {0};
    buf_printf(&path, "%s/b.yml", here);
    buf_printf(&expected, "auth %s/users.json\nauth env\nstore %s/kept\n", here, here);
    scene_write_text("b.yml", "auth: [users.json, env]\nstore: kept\n");
    char *got = load(buf_cstr(&path));
    scene_expect("elsewhere", got, buf_cstr(&expected));
    free(got);
    free(here);
    buf_release(&path);
    buf_release(&expected);
}

/* What is kept of many durable subscriptions is what they are. */
static void test_many_durable(void **state)
{
    enum {
        MANY = 5000
    };
    (void)state;
    struct buf text = {0};
    struct conf_broker *broker;
    struct conf_problems problems;
    buf_add_str(&text, "durable:\n");
    for (unsigned i = 0; i < MANY; i++)
        buf_printf(&text, "  reader%u: [spam.mails]\n", i);
    scene_write("b.yml", text.data, text.len, 0600);
    size_t before = heap_used();
    assert_int_equal(conf_broker_load("b.yml", &broker, &problems), 0);
    assert_int_equal(broker->durable_count, MANY);
    assert_string_equal(broker->durable[MANY - 1].ident, "reader4999");
    assert_true(heap_used() - before < 2 << 20);
    conf_problems_release(&problems);
    conf_broker_free(broker);
    buf_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),         cmocka_unit_test(test_wrong),
        cmocka_unit_test(test_missing),      cmocka_unit_test(test_elsewhere),
        cmocka_unit_test(test_many_durable),
    };
    return cmocka_run_group_tests(tests, scene_setup, scene_teardown);
}
