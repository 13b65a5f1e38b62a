/* Whom a connection trusts, what it says when it does not, STARTTLS, and listeners. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "net/conn_impl.h"
#include "net/loop_impl.h"
#include "net/socket.h"
#include "net/tls.h"
#include "net/tls_impl.h"
#include "peer.h"
#include "pki.h"

static struct pki *pki;

static const struct pki_spec specs[] = {
    {.file = "host.pem", .cn = "h", .san = "DNS:localhost,IP:127.0.0.1", .to_day = 5},
    {.file = "self.pem", .cn = "h", .san = "DNS:localhost", .to_day = 5, .self_signed = true},
    {.file = "old.pem", .cn = "h", .san = "DNS:localhost", .from_day = -9, .to_day = -2},
    {.file = "young.pem", .cn = "h", .san = "DNS:localhost", .from_day = 2, .to_day = 5},
    {.file = "other.pem", .cn = "localhost", .san = "DNS:other.example,IP:192.0.2.1", .to_day = 5},
    {.file = "wild.pem", .cn = "h", .san = "DNS:*.example,DNS:a\\x1b", .to_day = 5},
    {.file = "cn.pem", .cn = "localhost", .to_day = 5},
    {.file = "nul.pem", .cn = "localhost\0.evil.example", .cn_len = 23, .to_day = 5},
    {.file = "key.pem", .cn = "h", .to_day = 5, .wrong_key = true},
    {.file = "rsa.pem", .cn = "h", .san = "DNS:localhost", .to_day = 5, .rsa = true},
};

enum trust {
    TRUST_CA,
    TRUST_SYSTEM,
    TRUST_SELF, /* the self-signed certificate given as CA */
    TRUST_ANY,
    TRUST_PIN,       /* of self.pem */
    TRUST_PIN_OTHER, /* of host.pem */
};

static struct net_tls *make_server(const char *file)
{
    struct err err;
    struct net_tls *tls;
    if (net_tls_server_new(pki_path(pki, file), NULL, &tls, &err))
        fail_msg("%s", err.text);
    return tls;
}

static struct net_tls *make_client(enum trust trust)
{
    struct err err;
    struct net_tls *tls;
    struct net_tls_settings settings = {
        .ca_file = trust == TRUST_CA     ? pki_path(pki, "ca.pem")
                   : trust == TRUST_SELF ? pki_path(pki, "self.pem")
                                         : NULL,
        .no_verify = trust == TRUST_ANY,
        .has_fingerprint = trust == TRUST_PIN || trust == TRUST_PIN_OTHER,
    };
    pki_fingerprint(pki, trust == TRUST_PIN ? "self.pem" : "host.pem", settings.fingerprint);
    if (net_tls_client_new(&settings, &tls, &err))
        fail_msg("%s", err.text);
    return tls;
}

static bool client_decided(struct stage *stage)
{
    return peer_saw(&stage->client, 'R') || peer_saw(&stage->client, 'F');
}

/* "2026-11-30", `days` from now, as openssl would say it. */
static char *date(char out[16], int days)
{
    time_t then = time(NULL) + days * 86400L;
    struct tm tm;
    strftime(out, 16, "%Y-%m-%d", gmtime_r(&then, &tm));
    return out;
}

static char *hex(char out[65], const char *file)
{
    uint8_t digest[32];
    pki_fingerprint(pki, file, digest);
    for (size_t i = 0; i < 32; i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
    return out;
}

/* `expected` with `own` in the place of its '@'. */
static void check_says(const struct err *err, const char *expected, const char *own)
{
    char whole[600];
    int before = (int)strcspn(expected, "@");
    snprintf(whole, sizeof whole, "%.*s%s%s", before, expected, expected[before] ? own : "",
             expected[before] ? expected + before + 1 : "");
    if (!strstr(err->text, whole))
        fail_msg("\"%s\" does not say \"%s\"", err->text, whole);
}

static void test_trust(void **state)
{
    static const struct {
        const char *file, *host;
        enum trust trust;
        const char *text; /* NULL: trusted. @ is the certificate's own date or fingerprint */
        int day;
    } cases[] = {
        {"host.pem", "localhost", TRUST_CA, NULL, 0},
        {"host.pem", "127.0.0.1", TRUST_CA, NULL, 0},
        {"cn.pem", "localhost", TRUST_CA, NULL, 0},
        {"self.pem", "localhost", TRUST_SELF, NULL, 0},
        {"self.pem", "localhost", TRUST_PIN, NULL, 0},
        {"self.pem", "127.0.0.1", TRUST_PIN, NULL, 0},
        {"old.pem", "127.0.0.1", TRUST_ANY, NULL, 0},
        {"host.pem", "localhost", TRUST_PIN_OTHER, NULL, 0},
        {"host.pem", "localhost", TRUST_SYSTEM,
         "the certificate of localhost is not trusted: unable to get local issuer certificate; "
         "give its CA with tls_ca, or pin it with tls_fingerprint: @",
         0},
        {"self.pem", "localhost", TRUST_CA,
         "the certificate of localhost is not trusted: self-signed certificate; give its CA with "
         "tls_ca, or pin it with tls_fingerprint: @",
         0},
        {"self.pem", "localhost", TRUST_PIN_OTHER,
         "the certificate of localhost is not the pinned one: its tls_fingerprint is @", 0},
        {"self.pem", "127.0.0.1", TRUST_SELF, "the certificate is for localhost, not for 127.0.0.1",
         0},
        {"other.pem", "localhost", TRUST_CA,
         "the certificate is for other.example, 192.0.2.1, not for localhost", 0},
        {"other.pem", "127.0.0.1", TRUST_CA,
         "the certificate is for other.example, 192.0.2.1, not for 127.0.0.1", 0},
        {"wild.pem", "localhost", TRUST_CA, "the certificate is for *.example, a", 0},
        {"cn.pem", "127.0.0.1", TRUST_CA, "the certificate is for localhost, not for 127.0.0.1", 0},
        {"nul.pem", "localhost", TRUST_CA,
         "the certificate is for localhost\\x00.evil.example, not for localhost", 0},
        {"old.pem", "localhost", TRUST_CA, "the certificate of localhost expired on @", -2},
        {"young.pem", "localhost", TRUST_CA,
         "the certificate of localhost is valid from @ only: is this machine's clock right?", 2},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct stage stage;
        struct net_tls *server = make_server(cases[i].file), *client = make_client(cases[i].trust);
        char own[65];
        stage_init(&stage, server);
        stage_connect(&stage, cases[i].host, client);
        stage_run(&stage, client_decided);
        if (!cases[i].text) {
            if (stage.client.err.text[0])
                fail_msg("%zu: %s", i, stage.client.err.text);
        } else {
            assert_string_equal(stage.client.log, "F");
            check_says(&stage.client.err, cases[i].text,
                       cases[i].day ? date(own, cases[i].day) : hex(own, cases[i].file));
            assert_int_equal(stage.client.err.action, ERR_GIVE_UP);
        }
        stage_release(&stage);
        net_tls_unref(server);
        net_tls_unref(client);
    }
}

static void test_info(void **state)
{
    (void)state;
    struct stage stage;
    struct net_tls *server = make_server("host.pem"), *client = make_client(TRUST_CA);
    struct net_tls_info info;
    uint8_t digest[32];
    char own[16];
    stage_init(&stage, server);
    stage_connect(&stage, "localhost", client);
    assert_false(net_conn_tls_info(stage.client.conn, &info));
    stage_run(&stage, stage_both_ready);
    assert_true(net_conn_tls_info(stage.client.conn, &info));
    pki_fingerprint(pki, "host.pem", digest);
    assert_string_equal(info.version, "TLSv1.3");
    assert_memory_equal(info.cipher, "TLS_", 4);
    assert_string_equal(info.subject, "CN=h");
    assert_string_equal(info.issuer, "CN=Test CA");
    assert_string_equal(info.not_after, date(own, 5));
    assert_memory_equal(info.fingerprint, digest, 32);
    stage_release(&stage);
    net_tls_unref(server);
    net_tls_unref(client);
}

static void test_files_that_cannot_be_used(void **state)
{
    static const struct {
        const char *ca, *cert, *key, *named;
    } cases[] = {
        {"missing.pem", NULL, NULL, "CA file @: No such file or directory"},
        {"empty.pem", NULL, NULL, "CA file @: "},
        {"ca.pem", "missing.pem", NULL, "certificate file @: No such file or directory"},
        {"ca.pem", "empty.pem", NULL, "certificate file @: "},
        {"ca.pem", "host.pem", "missing.pem", "key file @: No such file or directory"},
        {"ca.pem", "host.pem", "key.pem", "key file @: key values mismatch"},
        {"ca.pem", "key.pem", NULL, "key file @: key values mismatch"},
    };
    (void)state;
    fclose(fopen(pki_path(pki, "empty.pem"), "w"));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err err;
        struct net_tls *tls = NULL;
        const char *ca = cases[i].ca, *cert = cases[i].cert, *key = cases[i].key;
        struct net_tls_settings settings = {
            .ca_file = pki_path(pki, ca),
            .cert_file = cert ? pki_path(pki, cert) : NULL,
            .key_file = key ? pki_path(pki, key) : NULL,
        };
        assert_int_equal(net_tls_client_new(&settings, &tls, &err), -1);
        assert_null(tls);
        assert_int_equal(err.action, ERR_GIVE_UP);
        check_says(&err, cases[i].named, pki_path(pki, key ? key : cert ? cert : ca));
    }
}

static void greet(struct peer *peer, enum peer_event event)
{
    static const char words[] = "* OK \x1bhello\r\n";
    if (event == PEER_READY)
        net_conn_write(peer->conn, words, sizeof words - 1);
}

static void test_no_tls_spoken(void **state)
{
    (void)state;
    struct stage stage;
    struct net_tls *client = make_client(TRUST_CA);
    stage_init(&stage, NULL);
    stage.server.hook = greet;
    stage_connect(&stage, "localhost", client);
    stage_run(&stage, stage_client_failed);
    assert_non_null(
        strstr(stage.client.err.text, ": no TLS spoken there: it says \"* OK \\x1bhello\""));
    assert_int_equal(stage.client.err.action, ERR_GIVE_UP);
    stage_release(&stage);
    net_tls_unref(client);
}

/* Closed with output dropped: no close_notify may make that look whole. */
static void write_and_close(struct peer *peer, enum peer_event event)
{
    if (event != PEER_READY)
        return;
    net_conn_write(peer->conn, "x", 1);
    peer_close(peer);
}

static bool client_over(struct stage *stage)
{
    return peer_saw(&stage->client, 'F') || peer_saw(&stage->client, 'E');
}

static void test_end_without_close_notify(void **state)
{
    (void)state;
    struct stage stage;
    struct net_tls *server = make_server("host.pem"), *client = make_client(TRUST_CA);
    stage_init(&stage, server);
    stage.server.hook = write_and_close;
    stage_connect(&stage, "localhost", client);
    stage_run(&stage, client_over);
    assert_string_equal(stage.client.log, "RF");
    assert_string_equal(stage.client.err.text,
                        "the peer ended the connection without ending TLS: something may be "
                        "missing");
    stage_release(&stage);
    net_tls_unref(server);
    net_tls_unref(client);
}

/* STARTTLS, as short as can be: the client says "s", the server "o" and begins. */
static struct {
    struct net_tls *server, *client;
    const char *reply; /* what the server says in the clear */
    bool asked, began;
} turn;

static void turn_server(struct peer *peer, enum peer_event event)
{
    if (event != PEER_DATA || turn.asked)
        return;
    turn.asked = true;
    net_conn_write(peer->conn, turn.reply, strlen(turn.reply));
    net_conn_start_tls(peer->conn, turn.server, NULL, 20000);
    net_conn_write(peer->conn, "under TLS", 9);
}

static void turn_client(struct peer *peer, enum peer_event event)
{
    if (event == PEER_READY && !turn.began)
        net_conn_write(peer->conn, "s", 1);
    if (event != PEER_DATA || turn.began)
        return;
    turn.began = true;
    peer->take = 0;
    net_conn_start_tls(peer->conn, turn.client, "localhost.", 20000); /* an absolute name */
    net_conn_write(peer->conn, "me too", 6);
}

static void turn_init(struct stage *stage, const char *reply)
{
    turn.server = make_server("host.pem");
    turn.client = make_client(TRUST_CA);
    turn.reply = reply;
    turn.asked = turn.began = false;
    stage_init(stage, NULL);
    stage->server.hook = turn_server;
    stage->client.hook = turn_client;
    stage->client.take = 1;
    stage_connect(stage, "localhost", NULL);
}

static void turn_release(struct stage *stage)
{
    stage_release(stage);
    net_tls_unref(turn.server);
    net_tls_unref(turn.client);
}

static bool both_got_tls_words(struct stage *stage)
{
    return (stage->client.got.len >= 10 && stage->server.got.len >= 7) ||
           stage_client_failed(stage);
}

static void test_starttls(void **state)
{
    (void)state;
    struct stage stage;
    struct net_tls_info info;
    turn_init(&stage, "o");
    stage_run(&stage, both_got_tls_words);
    assert_string_equal(stage.client.err.text, "");
    assert_string_equal(stage.client.log, "RDdRDd");
    assert_memory_equal(stage.client.got.data, "ounder TLS", 10);
    assert_memory_equal(stage.server.got.data, "sme too", 7);
    assert_true(net_conn_tls_info(stage.client.conn, &info));
    turn_release(&stage);
}

static void check_injected(const struct stage *stage)
{
    assert_true(peer_saw(&stage->client, 'F'));
    assert_int_equal(stage->client.err.action, ERR_GIVE_UP);
    assert_non_null(strstr(stage->client.err.text, "bytes came before TLS began"));
    assert_int_equal(stage->client.got.len, 1);
}

static void test_starttls_injected_in_the_same_segment(void **state)
{
    (void)state;
    struct stage stage;
    turn_init(&stage, "oinjected");
    stage_run(&stage, stage_client_failed);
    check_injected(&stage);
    turn_release(&stage);
}

static void take_one_and_pause(struct peer *peer, enum peer_event event)
{
    if (event == PEER_READY && !turn.began)
        net_conn_write(peer->conn, "s", 1);
}

static bool client_got_one(struct stage *stage)
{
    return stage->client.got.len == 1;
}

/* TLS is asked for later, with the rest still in hand. */
static void test_starttls_injected_and_kept(void **state)
{
    (void)state;
    struct stage stage;
    turn_init(&stage, "oinjected");
    stage.client.hook = take_one_and_pause;
    stage_run(&stage, client_got_one);
    net_conn_start_tls(stage.client.conn, turn.client, "localhost", 20000);
    assert_false(peer_saw(&stage.client, 'F')); /* not from inside the call */
    stage_run(&stage, stage_client_failed);
    check_injected(&stage);
    turn_release(&stage);
}

static int bare_fd;

static void inject_first(struct peer *peer, enum peer_event event)
{
    if (event == PEER_DATA)
        assert_int_equal(send(bare_fd, "injected", 8, 0), 8);
    turn_client(peer, event);
}

static bool client_ready(struct stage *stage)
{
    return peer_saw(&stage->client, 'R');
}

/* The bytes are in the kernel, unread, when TLS is asked for. */
static void test_starttls_injected_in_another_segment(void **state)
{
    (void)state;
    struct stage stage;
    union net_address address = {.v4 = {.sin_family = AF_INET}};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    address.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(listener, &address.any, net_address_size(&address)), 0);
    assert_int_equal(listen(listener, 5), 0);
    assert_int_equal(getsockname(listener, &address.any, &size), 0);
    turn_init(&stage, "o");
    peer_close(&stage.client);
    stage.client.hook = inject_first;
    stage_connect_to(
        &stage, &(struct net_conn_target){.host = "127.0.0.1", .port = ntohs(address.v4.sin_port)});
    stage_run(&stage, client_ready);
    bare_fd = accept(listener, NULL, NULL);
    assert_int_equal(send(bare_fd, "o", 1, 0), 1);
    stage_run(&stage, stage_client_failed);
    check_injected(&stage);
    close(bare_fd);
    close(listener);
    turn_release(&stage);
}

static struct {
    struct net_timer *timer;
    int taken[100000];
    size_t count;
    unsigned turns;
} hoard;

static void hoard_count_turn(uv_prepare_t *prepare)
{
    (void)prepare;
    hoard.turns++;
}

static void hoard_free(void *ctx)
{
    (void)ctx;
    while (hoard.count)
        close(hoard.taken[--hoard.count]);
}

static bool server_ready(struct stage *stage)
{
    return peer_saw(&stage->server, 'R');
}

/* Without descriptors the listener rests, and takes the waiting peer afterwards. */
static void test_listener_without_descriptors(void **state)
{
    (void)state;
    struct stage stage;
    stage_init(&stage, NULL);
    union net_address address = {.v4 = {.sin_family = AF_INET}};
    address.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    net_address_set_port(&address, net_listener_port(stage.listener));
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, &address.any, net_address_size(&address)), 0);
    while (hoard.count < sizeof hoard.taken / sizeof *hoard.taken &&
           (hoard.taken[hoard.count] = dup(0)) >= 0)
        hoard.count++;
    static uv_prepare_t prepare; /* until the loop is freed */
    uv_prepare_init(&stage.loop->uv, &prepare);
    uv_prepare_start(&prepare, hoard_count_turn);
    hoard.timer = net_timer_new(stage.loop, hoard_free, NULL);
    net_timer_start(hoard.timer, 100);
    stage_run(&stage, server_ready);
    assert_true(hoard.turns < 20); /* a spinning loop makes thousands */
    uv_close((uv_handle_t *)&prepare, NULL);
    net_timer_free(hoard.timer);
    close(fd);
    stage_release(&stage);
}

static void test_listener_addresses(void **state)
{
    static const struct {
        const char *host;
        bool good;
    } cases[] = {
        {NULL, true}, {"", true}, {"127.0.0.1", true}, {"localhost", true}, {"192.0.2.1", false}};
    (void)state;
    struct net_loop *loop = net_loop_new();
    static const struct net_listener_events events = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct net_listener *listener = NULL, *second = NULL;
        struct err err = {.text = ""};
        int rc = net_listener_new(loop, cases[i].host, 0, NULL, &events, NULL, &listener, &err);
        assert_int_equal(rc, cases[i].good ? 0 : -1);
        if (!listener) {
            assert_int_equal(err.action, ERR_GIVE_UP);
            assert_non_null(strstr(err.text, "cannot listen on 192.0.2.1:0: "));
            continue;
        }
        assert_true(net_listener_port(listener) > 0);
        rc = net_listener_new(loop, cases[i].host, net_listener_port(listener), NULL, &events, NULL,
                              &second, &err);
        assert_int_equal(rc, -1); /* taken */
        assert_non_null(strstr(err.text, "Address already in use"));
        net_listener_free(listener);
    }
    net_listener_free(NULL);
    net_loop_free(loop);
}

/* A peer that hangs in the handshake goes with its listener. */
static void test_listener_freed_during_handshake(void **state)
{
    (void)state;
    struct stage stage;
    struct net_tls *server = make_server("host.pem");
    stage_init(&stage, server);
    stage_connect(&stage, "localhost", NULL);
    stage_run(&stage, client_ready);
    net_conn_write(stage.client.conn, "\x16\x03", 2);
    stage_turns(&stage);
    net_listener_free(stage.listener);
    stage.listener = NULL;
    stage_run(&stage, client_over);
    assert_string_equal(stage.server.log, "");
    stage_release(&stage);
    net_tls_unref(server);
}

/* The server chooses the group, and one of 10,000 bits takes a second of the client's processor. */
static void test_groups(void **state)
{
    static const struct {
        const char *group, *says;
    } cases[] = {{"ffdhe4096", ""}, {"ffdhe6144", "modulus too large"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct stage stage;
        struct net_tls *server = make_server("rsa.pem"), *client = make_client(TRUST_CA);
        EVP_PKEY *group = NULL;
        EVP_PKEY_CTX *made = EVP_PKEY_CTX_new_from_name(NULL, "DH", NULL);
        const OSSL_PARAM params[] = {
            OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME,
                                             (char *)(uintptr_t)cases[i].group, 0),
            OSSL_PARAM_construct_end()};
        assert_int_equal(EVP_PKEY_fromdata_init(made), 1);
        assert_int_equal(EVP_PKEY_fromdata(made, &group, EVP_PKEY_KEY_PARAMETERS,
                                           (OSSL_PARAM *)(uintptr_t)params),
                         1);
        EVP_PKEY_CTX_free(made);
        assert_int_equal(SSL_CTX_set0_tmp_dh_pkey(server->ctx, group), 1);
        SSL_CTX_set_max_proto_version(server->ctx, TLS1_2_VERSION);
        assert_int_equal(SSL_CTX_set_cipher_list(server->ctx, "kDHE"), 1);
        stage_init(&stage, server);
        stage_connect(&stage, "localhost", client);
        stage_run(&stage, client_decided);
        assert_int_equal(peer_saw(&stage.client, 'F'), *cases[i].says != '\0');
        assert_non_null(strstr(stage.client.err.text, cases[i].says));
        stage_release(&stage);
        net_tls_unref(server);
        net_tls_unref(client);
    }
}

static bool something_came(struct stage *stage)
{
    return peer_saw(&stage->client, 'd') || peer_saw(&stage->client, 'F') ||
           peer_saw(&stage->server, 'd') || peer_saw(&stage->server, 'F');
}

/* Messages that bring no data, in a row: a peer may send some, and not so many that nobody else
 * has a turn. */
static void test_talk(void **state)
{
    static const struct {
        unsigned messages;
        bool client;
    } cases[] = {{100, false}, {100, true}, {2000, false}, {2000, true}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct stage stage;
        struct net_tls *server = make_server("host.pem"), *client = make_client(TRUST_CA);
        stage_init(&stage, server);
        stage_connect(&stage, "localhost", client);
        stage_run(&stage, stage_both_ready);
        struct peer *talker = cases[i].client ? &stage.client : &stage.server;
        struct peer *other = cases[i].client ? &stage.server : &stage.client;
        for (unsigned n = 0; n < cases[i].messages; n++) {
            assert_int_equal(SSL_key_update(talker->conn->ssl, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
            assert_int_equal(SSL_do_handshake(talker->conn->ssl), 1);
        }
        net_conn_write(talker->conn, "x", 1);
        stage_run(&stage, something_came);
        if (cases[i].messages < 500)
            assert_string_equal(buf_cstr(&other->got), "x");
        else
            assert_string_equal(other->err.text, "TLS: the peer talks on without saying anything");
        stage_release(&stage);
        net_tls_unref(server);
        net_tls_unref(client);
    }
}

static int setup(void **state)
{
    (void)state;
    pki = pki_new();
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++)
        pki_make(pki, &specs[i]);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    pki_free(pki);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trust),
        cmocka_unit_test(test_info),
        cmocka_unit_test(test_files_that_cannot_be_used),
        cmocka_unit_test(test_no_tls_spoken),
        cmocka_unit_test(test_end_without_close_notify),
        cmocka_unit_test(test_starttls),
        cmocka_unit_test(test_starttls_injected_in_the_same_segment),
        cmocka_unit_test(test_starttls_injected_and_kept),
        cmocka_unit_test(test_starttls_injected_in_another_segment),
        cmocka_unit_test(test_listener_without_descriptors),
        cmocka_unit_test(test_listener_addresses),
        cmocka_unit_test(test_listener_freed_during_handshake),
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_talk),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
