/* The two ways of writing an endpoint. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "base/log.h"
#include "broker/endpoint.h"

struct endpoint_case {
    const char *text;
    const char *host; /* NULL: refused, and … */
    unsigned port;
    const char *cert; /* … this is part of the message */
    const char *key;
};

static const struct endpoint_case endpoint_cases[] = {
    {"tcp:port=10000", "0.0.0.0", 10000, NULL, NULL},
    {"tcp:interface=127.0.0.1:port=0", "127.0.0.1", 0, NULL, NULL},
    {"tcp:port=1:interface=\\:\\:1", "::1", 1, NULL, NULL},
    {"tcp:port=1:interface=", "", 1, NULL, NULL},
    {"tls:port=10000", "0.0.0.0", 10000, "cert.pem", "key.pem"},
    {"tls:port=65535:key=k\\:1:cert=/a=b.crt", "0.0.0.0", 65535, "/a=b.crt", "k:1"},
    {"tls:port=1:cert=C\\x", "0.0.0.0", 1, "C\\x", "key.pem"},
    {"", NULL, 0, "neither tcp: nor tls:", NULL},
    {"udp:port=1", NULL, 0, "neither tcp: nor tls:", NULL},
    {"tcp", NULL, 0, "port= is missing", NULL},
    {"tcp:", NULL, 0, "not key=value", NULL},
    {"tcp:interface=127.0.0.1", NULL, 0, "port= is missing", NULL},
    {"tcp:port=65536", NULL, 0, "\"65536\" is not a port", NULL},
    {"tcp:port=", NULL, 0, "\"\" is not a port", NULL},
    {"tcp:port=-1", NULL, 0, "\"-1\" is not a port", NULL},
    {"tcp:port=1:cert=x", "0.0.0.0", 1, NULL, NULL}, /* told, and ignored, as usual */
    {"tls:port=1:chain=x:privateKey=y", "0.0.0.0", 1, "cert.pem", "key.pem"},
    {"tcp:port=1:interface", NULL, 0, "not key=value", NULL},
};

static const struct endpoint_case bind_cases[] = {
    {"0.0.0.0:20000", "0.0.0.0", 20000, NULL, NULL},
    {"localhost:0", "localhost", 0, NULL, NULL},
    {":1", "", 1, NULL, NULL},
    {"[::1]:2", "::1", 2, NULL, NULL},
    {"20000", NULL, 0, "not host:port", NULL},
    {"host:", NULL, 0, "is not a port", NULL},
    {"host:x", NULL, 0, "is not a port", NULL},
    {"::1:2", NULL, 0, "brackets", NULL},
};

static void check(const struct endpoint_case *expected,
                  int (*parse)(const char *, struct broker_endpoint *, struct err *))
{
    struct broker_endpoint endpoint = {0};
    struct err err = {0};
    int result = parse(expected->text, &endpoint, &err);
    if (!expected->host) {
        assert_int_equal(result, -1);
        if (!strstr(err.text, expected->cert))
            fail_msg("%s: \"%s\"", expected->text, err.text);
        assert_null(endpoint.host);
        return;
    }
    if (result)
        fail_msg("%s: %s", expected->text, err.text);
    assert_string_equal(endpoint.host, expected->host);
    assert_int_equal(endpoint.port, expected->port);
    assert_int_equal(endpoint.tls, expected->cert != NULL);
    if (expected->cert) {
        assert_string_equal(endpoint.cert, expected->cert);
        assert_string_equal(endpoint.key, expected->key);
    }
    broker_endpoint_release(&endpoint);
}

static void test_endpoints(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof endpoint_cases / sizeof *endpoint_cases; i++)
        check(&endpoint_cases[i], broker_endpoint_parse);
}

static void test_binds(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bind_cases / sizeof *bind_cases; i++)
        check(&bind_cases[i], broker_endpoint_parse_bind);
}

static void test_device(void **state)
{
    (void)state;
    struct broker_endpoint endpoint;
    assert_int_equal(broker_endpoint_parse("tcp:port=1:device=eth0", &endpoint, NULL), 0);
    assert_string_equal(endpoint.device, "eth0");
    broker_endpoint_release(&endpoint);
    assert_int_equal(broker_endpoint_parse("tcp:port=1", &endpoint, NULL), 0);
    assert_null(endpoint.device);
    broker_endpoint_release(&endpoint);
}

int main(void)
{
    log_setup(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, stderr);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_endpoints),
        cmocka_unit_test(test_binds),
        cmocka_unit_test(test_device),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
