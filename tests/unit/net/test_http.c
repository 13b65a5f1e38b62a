/* One question to an endpoint that answers well, badly, too much or never. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <dlfcn.h>
#include <netdb.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/conn_impl.h"
#include "net/http.h"
#include "net/tls.h"
#include "peer.h"
#include "pki.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define FORM "grant_type=refresh_token&refresh_token=geheim"

enum {
    REPLY_MOST = 2000
};

static struct pki *pki;

static const struct pki_spec specs[] = {
    {.file = "host.pem", .cn = "h", .san = "DNS:localhost,IP:127.0.0.1", .to_day = 5},
    {.file = "old.pem", .cn = "h", .san = "DNS:localhost", .from_day = -9, .to_day = -2},
    {.file = "other.pem", .cn = "localhost", .san = "DNS:other.example", .to_day = 5},
};

/* What came of a call. */
static struct {
    struct stage *stage;
    unsigned calls;
    bool replied;
    unsigned status;
    char type[100];
    struct buf body;
    struct err err;
} seen;

static void note(void *ctx, const struct net_http_reply *reply, const struct err *err)
{
    assert_ptr_equal(ctx, &seen);
    seen.calls++;
    seen.replied = reply;
    if (reply) {
        seen.status = reply->status;
        snprintf(seen.type, sizeof seen.type, "%s",
                 reply->content_type ? reply->content_type : "-");
        buf_add(&seen.body, reply->body, reply->len);
    } else {
        seen.err = *err;
    }
    net_loop_stop(seen.stage->loop);
}

static bool called(struct stage *stage)
{
    (void)stage;
    return seen.calls;
}

static const char *answer;
static bool answer_ends;
static unsigned answer_talk; /* so many messages of TLS before it */
static size_t answer_fill;   /* so many bytes behind it, and then the end of a header's line */

/* Answers when the question is whole: in two pieces, whatever it is. */
static void answer_question(struct peer *peer, enum peer_event event)
{
    if (event != PEER_DATA || !strstr(buf_cstr(&peer->got), FORM))
        return;
    for (unsigned i = 0; i < answer_talk; i++) {
        SSL_key_update(peer->conn->ssl, SSL_KEY_UPDATE_NOT_REQUESTED);
        SSL_do_handshake(peer->conn->ssl);
    }
    size_t len = strlen(answer), first = len / 2;
    net_conn_write(peer->conn, answer, first);
    net_conn_write(peer->conn, answer + first, len - first);
    for (size_t i = 0; i < answer_fill; i++)
        net_conn_write(peer->conn, "x", 1);
    if (answer_fill)
        net_conn_write(peer->conn, "\r\n", 2);
    if (answer_ends)
        net_conn_end(peer->conn);
}

static void begin(struct stage *stage, const char *file)
{
    struct err err;
    struct net_tls *tls = NULL;
    if (file && net_tls_server_new(pki_path(pki, file), NULL, &tls, &err))
        fail_msg("%s", err.text);
    stage_init(stage, tls);
    net_tls_unref(tls);
    stage->server.hook = answer_question;
    buf_release(&seen.body);
    memset(&seen, 0, sizeof seen);
    seen.stage = stage;
}

static struct net_http_call *post(struct stage *stage, struct net_http *http, const char *scheme,
                                  const char *ca_file)
{
    char url[100], ca[20000] = "";
    FILE *file = ca_file ? fopen(pki_path(pki, ca_file), "r") : NULL;
    if (file) {
        ca[fread(ca, 1, sizeof ca - 1, file)] = '\0';
        fclose(file);
    }
    snprintf(url, sizeof url, "%s://localhost:%u/token?a=b", scheme,
             net_listener_port(stage->listener));
    return net_http_post(http,
                         &(struct net_http_request){
                             .url = url,
                             .ca = ca_file ? ca : NULL,
                             .form = FORM,
                             .len = strlen(FORM),
                             .reply_most = REPLY_MOST,
                             .deadline = 60000,
                         },
                         note, &seen);
}

static void end(struct stage *stage, struct net_http *http)
{
    net_http_free(http);
    stage_release(stage);
    buf_release(&seen.body);
}

static void ask(const char *file, const char *scheme, const char *ca_file)
{
    struct stage stage;
    begin(&stage, file);
    struct net_http *http = net_http_new(stage.loop);
    post(&stage, http, scheme, ca_file);
    assert_int_equal(seen.calls, 0);
    assert_int_equal(net_loop_outside(stage.loop), 1);
    stage_run(&stage, called);
    stage_turns(&stage);
    assert_int_equal(seen.calls, 1);
    assert_int_equal(net_loop_outside(stage.loop), 0);
    struct buf got = stage.server.got, body = seen.body;
    stage.server.got = seen.body = (struct buf){0};
    end(&stage, http);
    seen.body = body;
    stage.server.got = got;
    if (seen.replied)
        assert_non_null(strstr(buf_cstr(&got), "POST /token?a=b HTTP/1.1\r\n"));
    buf_release(&got);
}

static void test_answers(void **state)
{
    static const struct {
        const char *answer;
        bool ends;
        unsigned status; /* 0: fails */
        const char *type, *body;
        size_t fill;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}", false,
         200, "application/json", "{}", 0},
        {"HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n",
         false, 400, "-", "abcd", 0},
        {"HTTP/1.0 200 OK\r\n\r\nto the end", true, 200, "-", "to the end", 0},
        /* Not followed, and nothing else is asked. */
        {"HTTP/1.1 307 Go\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n", false, 307, "-", "",
         0},
        {"HTTP/1.1 302 Go\r\nLocation: http://192.0.2.1/\r\nContent-Length: 0\r\n\r\n", false, 302,
         "-", "", 0},
        {"HTTP/1.1 401 Who\r\nWWW-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n", false, 401,
         "-", "", 0},
        {"HTTP/1.1 100 Go on\r\n\r\nHTTP/1.1 204 None\r\n\r\n", true, 204, "-", "", 0},
        /* Too much. */
        {"HTTP/1.1 200 OK\r\n\r\n", false, 0, "", "larger than any token", 2001},
        {"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", false, 0, "",
         "larger than any token", 2001},
        {"HTTP/1.1 200 OK\r\nA: ", false, 0, "", "larger than any token", 40000},
        {"HTTP/1.1 200 OK\r\nA: ", false, 0, "", "", 400000},
        /* Cut short, or nothing. */
        {"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nhalf", true, 0, "", "", 0},
        {"", true, 0, "", "Empty reply", 0},
        {"* OK IMAP4rev1 \x1b[2J ready\r\n", true, 0, "", "", 0},
        {"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", true, 0, "", "", 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++)
        for (int tls = 0; tls < 2; tls++) {
            answer = cases[i].answer;
            answer_ends = cases[i].ends;
            answer_fill = cases[i].fill;
            ask(tls ? "host.pem" : NULL, tls ? "https" : "http", "ca.pem");
            if (seen.replied != (cases[i].status != 0))
                fail_msg("case %zu: %u \"%s\"", i, seen.status, seen.err.text);
            if (seen.replied) {
                assert_int_equal(seen.status, cases[i].status);
                assert_string_equal(seen.type, cases[i].type);
                assert_string_equal(buf_cstr(&seen.body), cases[i].body);
            } else {
                assert_int_equal(seen.err.action, ERR_RETRY_LATER);
                assert_non_null(strstr(seen.err.text, cases[i].body));
                assert_null(strchr(seen.err.text, '\x1b'));
            }
            buf_release(&seen.body);
        }
    answer_fill = 0;
}

/* Not a byte of the question goes to whom is not trusted. */
static void test_trust(void **state)
{
    static const struct {
        const char *file, *scheme, *ca_file;
        bool good;
        enum err_action action;
    } cases[] = {
        {"host.pem", "https", "ca.pem", true, ERR_GIVE_UP},
        {"host.pem", "https", NULL, false, ERR_GIVE_UP},
        {"old.pem", "https", "ca.pem", false, ERR_GIVE_UP},
        {"other.pem", "https", "ca.pem", false, ERR_GIVE_UP},
        {"host.pem", "https", "none.pem", false, ERR_GIVE_UP},
        {NULL, "https", "ca.pem", false, ERR_RETRY_LATER},
        {NULL, "ftp", "ca.pem", false, ERR_RETRY_LATER},
    };
    (void)state;
    answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct stage stage;
        begin(&stage, cases[i].file);
        struct net_http *http = net_http_new(stage.loop);
        post(&stage, http, cases[i].scheme, cases[i].ca_file);
        stage_run(&stage, called);
        assert_int_equal(seen.replied, cases[i].good);
        if (!cases[i].good) {
            assert_int_equal(seen.err.action, cases[i].action);
            assert_null(strstr(buf_cstr(&stage.server.got), "geheim"));
        }
        end(&stage, http);
    }
}

/* Where the environment says so, curl(1) would go by it. */
static void test_no_proxy(void **state)
{
    (void)state;
    answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("https_proxy", "http://127.0.0.1:1", 1);
    setenv("ALL_PROXY", "socks5://127.0.0.1:1", 1);
    ask(NULL, "http", NULL);
    assert_true(seen.replied);
    buf_release(&seen.body);
    ask("host.pem", "https", "ca.pem");
    assert_true(seen.replied);
    buf_release(&seen.body);
    unsetenv("http_proxy");
    unsetenv("https_proxy");
    unsetenv("ALL_PROXY");
}

static bool half_answered(struct stage *stage)
{
    return strstr(buf_cstr(&stage->server.got), FORM);
}

/* Who begins and never ends. */
static void test_deadline(void **state)
{
    (void)state;
    struct stage stage;
    answer = "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nhalf";
    answer_ends = false;
    begin(&stage, NULL);
    struct net_http *http = net_http_new(stage.loop);
    post(&stage, http, "http", NULL);
    stage_run(&stage, half_answered);
    stage_turns(&stage);
    net_loop_skip(stage.loop, 59000);
    stage_turns(&stage);
    assert_int_equal(seen.calls, 0);
    net_loop_skip(stage.loop, 1000);
    stage_run(&stage, called);
    assert_string_equal(seen.err.text, "no answer in time");
    assert_int_equal(seen.err.action, ERR_RETRY_LATER);
    end(&stage, http);
}

static void test_cancel(void **state)
{
    (void)state;
    struct stage stage;
    answer = "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nhalf";
    answer_ends = false;
    for (int late = 0; late < 2; late++) {
        begin(&stage, NULL);
        struct net_http *http = net_http_new(stage.loop);
        struct net_http_call *call = post(&stage, http, "http", NULL);
        if (late)
            stage_run(&stage, half_answered);
        net_http_cancel(call);
        stage_turns(&stage);
        assert_int_equal(seen.calls, 0);
        assert_int_equal(net_loop_outside(stage.loop), 0);
        end(&stage, http);
    }
    net_http_cancel(NULL);
    net_http_free(NULL);
}

/* Messages of TLS without an end would keep the loop in libcurl. */
static void test_talk(void **state)
{
    (void)state;
    answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
    answer_ends = false;
    for (int much = 0; much < 2; much++) {
        answer_talk = much ? 2000 : 100;
        ask("host.pem", "https", "ca.pem");
        assert_int_equal(seen.replied, !much);
        buf_release(&seen.body);
    }
    assert_int_equal(seen.err.action, ERR_RETRY_LATER);
    answer_talk = 0;
}

static sem_t name_server, looked_up;

/* In the place of the C library's, for libcurl too: the name server of one host takes its time. */
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **found)
{
    static int (*next)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    *(void **)&next = dlsym(RTLD_NEXT, "getaddrinfo");
    if (!node || strcmp(node, "slow.example") != 0)
        return next(node, service, hints, found);
    sem_wait(&name_server);
    sem_post(&looked_up);
    return EAI_AGAIN;
}

/* Nobody waits for a name server once the deadline is over, or the question is not of interest any
 * more. */
static void test_slow_lookup(void **state)
{
    (void)state;
    sem_init(&name_server, 0, 0);
    sem_init(&looked_up, 0, 0);
    for (int cancelled = 0; cancelled < 2; cancelled++) {
        struct stage stage;
        begin(&stage, NULL);
        struct net_http *http = net_http_new(stage.loop);
        struct net_http_call *call = net_http_post(http,
                                                   &(struct net_http_request){
                                                       .url = "http://slow.example/token",
                                                       .form = FORM,
                                                       .len = strlen(FORM),
                                                       .reply_most = REPLY_MOST,
                                                       .deadline = 200,
                                                   },
                                                   note, &seen);
        stage_turns(&stage);
        if (cancelled)
            net_http_cancel(call);
        else
            stage_run(&stage, called);
        end(&stage, http);
        sem_post(&name_server); /* only now: its thread went on by itself */
        sem_wait(&looked_up);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),     cmocka_unit_test(test_trust),
        cmocka_unit_test(test_no_proxy),    cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_cancel),      cmocka_unit_test(test_talk),
        cmocka_unit_test(test_slow_lookup),
    };
    pki = pki_new();
    for (size_t i = 0; i < COUNT(specs); i++)
        pki_make(pki, &specs[i]);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    pki_free(pki);
    return failed;
}
