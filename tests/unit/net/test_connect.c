/* Names to addresses, and addresses to the first that answers. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/connect.h"
#include "net/loop.h"
#include "net/loop_impl.h"
#include "net/resolve.h"

static void test_families_interleaved(void **state)
{
    static const struct {
        const char *in, *out; /* families, and the place each address came from */
    } cases[] = {
        {"", ""},           {"4", "0"},         {"46", "01"},
        {"4466", "0213"},   {"6644", "0213"},   {"444", "012"},
        {"64446", "01423"}, {"46666", "01234"}, {"444466", "041523"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct net_addresses addresses = {.count = strlen(cases[i].in)};
        for (size_t n = 0; n < addresses.count; n++) {
            addresses.list[n].any.sa_family = cases[i].in[n] == '4' ? AF_INET : AF_INET6;
            net_address_set_port(&addresses.list[n], (uint16_t)n);
        }
        net_addresses_interleave(&addresses);
        char out[NET_ADDRESSES_MAX + 1] = "";
        for (size_t n = 0; n < addresses.count; n++) {
            const union net_address *address = &addresses.list[n];
            out[n] = (char)('0' + ntohs(address->any.sa_family == AF_INET ? address->v4.sin_port
                                                                          : address->v6.sin6_port));
        }
        assert_string_equal(out, cases[i].out);
    }
}

static union net_address make_address(const char *text)
{
    union net_address address = {0};
    if (inet_pton(AF_INET, text, &address.v4.sin_addr) == 1)
        address.any.sa_family = AF_INET;
    else if (inet_pton(AF_INET6, text, &address.v6.sin6_addr) == 1)
        address.any.sa_family = AF_INET6;
    return address;
}

static void test_addresses_shown(void **state)
{
    static const struct {
        const char *address, *shown, *with_port;
    } cases[] = {
        {"127.0.0.1", "127.0.0.1", "127.0.0.1:993"},
        {"::1", "::1", "[::1]:993"},
        {"::ffff:192.0.2.7", "192.0.2.7", "192.0.2.7:993"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[NET_ADDRESS_TEXT];
        union net_address address = make_address(cases[i].address);
        net_address_set_port(&address, 993);
        assert_string_equal(net_address_format(text, sizeof text, &address), cases[i].shown);
        assert_string_equal(net_address_format_port(text, sizeof text, &address),
                            cases[i].with_port);
    }
}

static void test_labels(void **state)
{
    char text[NET_LABEL_TEXT], longest[400];
    (void)state;
    assert_string_equal(net_label(text, sizeof text, "mail.example", 143), "mail.example:143");
    assert_string_equal(net_label(text, sizeof text, "::1", 143), "[::1]:143");
    assert_string_equal(net_label(text, sizeof text, "a\nb", 1), "a\\x0ab:1");
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    net_label(text, sizeof text, longest, 65535);
    assert_string_equal(text + strlen(text) - 9, "...:65535");
}

struct found {
    struct net_loop *loop;
    struct net_lookup lookup;
    int calls;
    struct net_addresses addresses;
    struct err err;
};

static void found_done(void *ctx, const struct net_addresses *found, const struct err *err)
{
    struct found *out = ctx;
    out->calls++;
    if (found)
        out->addresses = *found;
    else
        out->err = *err;
}

static void test_lookup(void **state)
{
    static const struct {
        const char *host, *first; /* NULL: fails */
    } cases[] = {
        {"127.0.0.1", "127.0.0.1"},
        {"::1", "::1"},
        {"localhost", "127.0.0.1"},
        {"bad name with blanks and a \n", NULL},
        {"", NULL},
    };
    (void)state;
    struct net_loop *loop = net_loop_new();
    struct found found[2 * sizeof cases / sizeof *cases] = {0};
    for (size_t round = 0; round < 2; round++) { /* asked, then known */
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            struct found *a = &found[2 * i], *b = &found[2 * i + 1];
            *a = *b = (struct found){.loop = loop};
            net_lookup_start(&a->lookup, loop->resolver, cases[i].host, found_done, a);
            net_lookup_start(&b->lookup, loop->resolver, cases[i].host, found_done, b);
            assert_ptr_equal(a->lookup.host, b->lookup.host);
            assert_int_equal(a->calls, 0);
        }
        net_loop_run(loop);
        for (size_t i = 0; i < sizeof found / sizeof *found; i++) {
            const char *first = cases[i / 2].first;
            char text[NET_ADDRESS_TEXT];
            assert_int_equal(found[i].calls, 1);
            assert_int_equal(found[i].addresses.count > 0, first != NULL);
            if (!first)
                assert_int_equal(found[i].err.action, ERR_RETRY_LATER);
            else if (strcmp(cases[i / 2].host, "localhost") != 0)
                assert_string_equal(
                    net_address_format(text, sizeof text, &found[i].addresses.list[0]), first);
        }
    }
    assert_non_null(strstr(found[6].err.text, "bad name with blanks and a \\x0a"));
    net_loop_free(loop);
}

static void test_lookup_cancelled(void **state)
{
    (void)state;
    struct net_loop *loop = net_loop_new();
    struct found a = {.loop = loop}, b = {.loop = loop};
    net_lookup_start(&a.lookup, loop->resolver, "localhost", found_done, &a);
    net_lookup_start(&b.lookup, loop->resolver, "localhost", found_done, &b);
    net_lookup_cancel(&a.lookup);
    net_loop_run(loop);
    assert_int_equal(a.calls, 0);
    assert_int_equal(b.calls, 1);
    net_loop_free(loop);
}

static sem_t silent_server;

/* In the place of the C library's: some names have a server that says nothing. */
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **found)
{
    static int (*next)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    *(void **)&next = dlsym(RTLD_NEXT, "getaddrinfo");
    if (!node || strncmp(node, "silent", 6) != 0 || (hints && hints->ai_flags & AI_NUMERICHOST))
        return next(node, service, hints, found);
    sem_wait(&silent_server);
    return EAI_AGAIN;
}

static void test_names_of_silent_servers(void **state)
{
    (void)state;
    struct net_loop *loop = net_loop_new();
    struct found silent[10] = {0}, good = {.loop = loop};
    sem_init(&silent_server, 0, 0);
    for (size_t i = 0; i < 10; i++) {
        char name[20];
        snprintf(name, sizeof name, "silent%zu.example", i);
        net_lookup_start(&silent[i].lookup, loop->resolver, name, found_done, &silent[i]);
    }
    net_lookup_start(&good.lookup, loop->resolver, "localhost", found_done, &good);
    while (!good.calls)
        uv_run(&loop->uv, UV_RUN_ONCE);
    assert_true(good.addresses.count > 0);
    for (size_t i = 0; i < 10; i++) {
        assert_int_equal(silent[i].calls, 0);
        sem_post(&silent_server);
    }
    net_loop_run(loop);
    for (size_t i = 0; i < 10; i++)
        assert_int_equal(silent[i].calls, 1);
    net_loop_free(loop);
}

static void test_loop_freed_during_lookup(void **state)
{
    (void)state;
    struct net_loop *loop = net_loop_new();
    struct found a = {.loop = loop};
    net_lookup_start(&a.lookup, loop->resolver, "localhost", found_done, &a);
    net_lookup_cancel(&a.lookup);
    net_loop_free(loop);
    assert_int_equal(a.calls, 0);
}

struct outcome {
    int calls, fd;
    char address[NET_ADDRESS_TEXT];
    struct err err;
};

static void outcome_done(void *ctx, int fd, const union net_address *address, const struct err *err)
{
    struct outcome *outcome = ctx;
    outcome->calls++;
    outcome->fd = fd;
    if (fd < 0)
        outcome->err = *err;
    else
        net_address_format(outcome->address, sizeof outcome->address, address);
}

/* Has the port, and refuses who connects. */
static int bind_to(const char *text, uint16_t port, uint16_t *ret_port)
{
    union net_address address = make_address(text);
    socklen_t size = net_address_size(&address);
    int fd = net_socket_new(address.any.sa_family);
    net_address_set_port(&address, port);
    assert_int_equal(bind(fd, &address.any, size), 0);
    assert_int_equal(getsockname(fd, &address.any, &size), 0);
    *ret_port = ntohs(address.v4.sin_port);
    return fd;
}

static int listen_on(const char *text, uint16_t port, int backlog, uint16_t *ret_port)
{
    int fd = bind_to(text, port, ret_port);
    assert_int_equal(listen(fd, backlog), 0);
    return fd;
}

enum {
    STUFFED = 4
};

/* A listener that answers no more: its queue is full, further SYNs are dropped. */
static void stuff(const char *text, uint16_t port, int fds[STUFFED])
{
    union net_address address = make_address(text);
    net_address_set_port(&address, port);
    for (int i = 0; i < STUFFED; i++) {
        fds[i] = net_socket_new(AF_INET);
        (void)connect(fds[i], &address.any, net_address_size(&address));
    }
}

static struct outcome try_all(const char *const *list, uint16_t port)
{
    struct net_loop *loop = net_loop_new();
    struct net_addresses addresses = {0};
    struct outcome outcome = {.fd = -2};
    for (; *list; list++)
        addresses.list[addresses.count++] = make_address(*list);
    net_connect_start(loop, &addresses, "mail.example", port, outcome_done, &outcome);
    assert_int_equal(outcome.calls, 0);
    net_loop_run(loop);
    net_loop_free(loop);
    assert_int_equal(outcome.calls, 1);
    if (outcome.fd >= 0)
        close(outcome.fd);
    return outcome;
}

static void test_first_that_answers_wins(void **state)
{
    static const char *const lists[][5] = {
        {"127.0.0.1"},
        {"::1", "127.0.0.1"},              /* refused at once */
        {"127.0.0.2", "127.0.0.1"},        /* silent: the next after 250 ms */
        {"127.0.0.2", "::1", "127.0.0.1"}, /* both */
        {"127.0.0.1", "127.0.0.2"},
        {"127.0.0.3", "127.0.0.4", "127.0.0.5", "127.0.0.1"},
    };
    (void)state;
    uint16_t port, same;
    int fds[STUFFED];
    int good = listen_on("127.0.0.1", 0, 100, &port);
    int silent = listen_on("127.0.0.2", port, 0, &same);
    stuff("127.0.0.2", port, fds);
    int before = dup(0);
    close(before);
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        assert_string_equal(try_all(lists[i], port).address, "127.0.0.1");
    int after = dup(0);
    close(after);
    assert_int_equal(before, after); /* no descriptor is left behind */
    for (int i = 0; i < STUFFED; i++)
        close(fds[i]);
    close(good);
    close(silent);
}

static void test_all_refused(void **state)
{
    static const char *const list[] = {"127.0.0.1", "127.0.0.2", NULL};
    (void)state;
    uint16_t port;
    int first = bind_to("127.0.0.1", 0, &port);
    int second = bind_to("127.0.0.2", port, &port);
    struct outcome outcome = try_all(list, port);
    assert_int_equal(outcome.fd, -1);
    assert_int_equal(outcome.err.action, ERR_RETRY_LATER);
    assert_non_null(strstr(outcome.err.text, "cannot connect to mail.example:"));
    assert_non_null(strstr(outcome.err.text, "Connection refused (127.0.0.1), "));
    assert_non_null(strstr(outcome.err.text, "Connection refused (127.0.0.2)"));
    close(first);
    close(second);
}

static void test_cancelled(void **state)
{
    (void)state;
    uint16_t port;
    int good = listen_on("127.0.0.1", 0, 100, &port);
    struct net_loop *loop = net_loop_new();
    struct net_addresses addresses = {.count = 1, .list = {make_address("127.0.0.1")}};
    struct outcome outcome = {0};
    struct net_connect *connect =
        net_connect_start(loop, &addresses, "mail.example", port, outcome_done, &outcome);
    net_connect_cancel(connect);
    net_connect_cancel(NULL);
    net_loop_run(loop);
    assert_int_equal(outcome.calls, 0);
    net_loop_free(loop);
    close(good);
}

static void test_descriptors_exhausted(void **state)
{
    static const char *const list[] = {"127.0.0.1", "127.0.0.2", NULL};
    (void)state;
    struct net_loop *loop = net_loop_new();
    struct net_addresses addresses = {.count = 1, .list = {make_address(list[0])}};
    struct outcome outcome = {.fd = -2};
    static int taken[100000];
    size_t count = 0;
    net_connect_start(loop, &addresses, "mail.example", 1, outcome_done, &outcome);
    while (count < sizeof taken / sizeof *taken && (taken[count] = dup(0)) >= 0)
        count++;
    net_loop_run(loop);
    while (count)
        close(taken[--count]);
    assert_int_equal(outcome.fd, -1);
    assert_int_equal(outcome.err.action, ERR_RETRY_LATER);
    assert_non_null(strstr(outcome.err.text, "too many open files: raise the limit"));
    net_loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_families_interleaved),
        cmocka_unit_test(test_addresses_shown),
        cmocka_unit_test(test_labels),
        cmocka_unit_test(test_lookup),
        cmocka_unit_test(test_lookup_cancelled),
        cmocka_unit_test(test_names_of_silent_servers),
        cmocka_unit_test(test_loop_freed_during_lookup),
        cmocka_unit_test(test_first_that_answers_wins),
        cmocka_unit_test(test_all_refused),
        cmocka_unit_test(test_cancelled),
        cmocka_unit_test(test_descriptors_exhausted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
